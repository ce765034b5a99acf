"""Errors as ``application/problem+json`` (RFC 9457): one shape for every app, whoever raised them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from pydantic_core import PydanticSerializationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from almagest.core.errors import PROBLEM_TYPES, AlmagestError
from almagest.services.web.request_id import request_id

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
#: As many as anybody would mend before he tries again.
_MAX_FAULTS = 20
#: What stac-fastapi says of a `datetime`, without naming it, and once the wrong way round.
_OF_DATETIME = {
    "Start datetime cannot be before end datetime.": "datetime: it ends before it starts.",
    **dict.fromkeys(
        (
            "Invalid RFC3339 datetime.",
            "Invalid date format.",
            "Empty interval string is invalid.",
            "Interval string contains more than one forward slash.",
            "Double open-ended intervals are not allowed.",
        ),
        "datetime: write a time as `2025-06-20T00:00:00Z`, or two of them with a slash between; one may be `..`.",
    ),
}
_UNION_MEMBER = re.compile(r"\w+\[.*\]|[A-Z]\w+|function-\w+|constrained-\w+")


def problem(
    status: int,
    slug: str,
    detail: str,
    *,
    title: str | None = None,
    standard: str = "",
    headers: dict[str, str] | None = None,
    **more: object,
) -> Response:
    """A problem document. ``instance`` is the request's id, by which the log finds it again.

    ``standard`` is its type, where a standard has named it.
    """
    body = {
        "type": standard or f"{PROBLEM_TYPES}{slug}",
        "title": title or slug.replace("-", " ").capitalize(),
        "status": status,
        "detail": detail,
        "instance": f"urn:uuid:{request_id()}",
        # The names that the STAC API specification gives the same two things.
        "code": slug,
        "description": detail,
        **more,
    }
    # Browsers keep a 410 for good, though what is deleted may be restored.
    kept = {"Cache-Control": "no-store", **(headers or {})}
    return Response(orjson.dumps(body), status_code=status, media_type=MEDIA_TYPE, headers=kept)


@dataclass
class LastResort:
    """Answers what nobody expected, inside of everything that needs to know about it (the request's id)."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        started = False

        async def send_and_remember(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, send_and_remember)
        except Exception:
            if scope["type"] != "http" or started:
                raise
            log.exception("unexpected error")
            await internal_problem()(scope, receive, send)


def install(app: FastAPI) -> None:
    """Answers every exception of this app with a problem document."""
    app.add_exception_handler(AlmagestError, answer)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(ValidationError, _validation)
    app.add_exception_handler(PydanticSerializationError, _unserializable)
    app.add_exception_handler(OverflowError, _overflow)
    app.add_exception_handler(ClientDisconnect, _gone)


async def answer(_: Request, error: Exception) -> Response:
    """The problem document of one of our errors."""
    assert isinstance(error, AlmagestError)
    if error.status >= 500:
        log.error("request failed", kind=type(error).__name__, detail=str(error))
    if error.slug == "internal" or type(error).status == 500:
        return internal_problem()
    wait_s = 2 if error.status == 503 else getattr(error, "retry_after_s", 0)
    headers = {"Retry-After": str(wait_s)} if wait_s else None
    return problem(
        error.status,
        error.slug,
        str(error),
        title=error.title,
        headers=headers,
        standard=error.standard_type,
        **error.more,
    )


async def _http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    slug = {404: "not-found", 405: "method-not-allowed"}.get(error.status_code, "bad-request")
    if error.status_code >= 500:
        log.error("request failed", status=error.status_code, detail=str(error.detail))
        return internal_problem()
    detail = "There is nothing at this address." if error.detail == "Not Found" else str(error.detail)
    detail = _OF_DATETIME.get(detail, detail)
    return problem(error.status_code, slug, detail, headers=dict(error.headers or {}))


async def _validation(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError | ValidationError)
    # FastAPI's locations begin with where the value stood: ("query", "limit"), ("body", "bbox", 0).
    skipped = 1 if isinstance(error, RequestValidationError) else 0
    faults = [
        {"pointer": _pointer(fault["loc"][skipped:]), "detail": str(fault["msg"]).removeprefix("Value error, ")}
        for fault in _of_the_kind_meant(error.errors())
    ]
    first = faults[0] if faults else {"pointer": "", "detail": "invalid"}
    where = first["pointer"].lstrip("/") or "body"
    return problem(400, "bad-request", f"{where}: {first['detail']}", errors=faults[:_MAX_FAULTS])


async def _unserializable(_: Request, __: Exception) -> Response:
    # Only what a request brought is ever serialized by pydantic here.
    return problem(400, "bad-request", "The request nests too deeply, or holds text that is not valid Unicode.")


async def _overflow(_: Request, __: Exception) -> Response:
    # Times a few hours beyond the year 1 or 9999, once they are put into UTC.
    return problem(400, "bad-request", "A number or a time in the request lies outside of what can be computed with.")


async def _gone(_: Request, __: Exception) -> Response:
    # As nginx writes it into its log. Nobody reads it, and nothing went wrong here.
    return Response(status_code=499)


def _of_the_kind_meant(faults: Sequence[Any]) -> Sequence[Any]:
    """Of a geometry's faults, one set for each type that it might be: those of the type that it says it is."""
    other = {str(fault["loc"][-2]) for fault in faults if fault["type"] == "literal_error" and len(fault["loc"]) > 1}
    return [fault for fault in faults if not other & set(map(str, fault["loc"]))] or faults


def _pointer(location: Sequence[str | int]) -> str:
    """A JSON Pointer without the parts that pydantic adds to tell the members of a union apart."""
    return "".join(f"/{part}" for part in location if not (isinstance(part, str) and _UNION_MEMBER.fullmatch(part)))


def internal_problem() -> Response:
    """What is said of an error of ours: its id, and nothing else."""
    return problem(
        500, "internal", f"Something went wrong on our side. Quote {request_id()} when you tell the operator."
    )
