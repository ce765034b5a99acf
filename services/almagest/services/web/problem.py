"""Errors as ``application/problem+json`` (RFC 9457): one shape for every app, whoever raised them."""

from __future__ import annotations

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

import orjson

from almagest.core.errors import AlmagestError, InvalidDocumentError
from almagest.services.web.request_id import request_id

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
_TYPE = "https://almagest.dev/problems/"


def problem(
    status: int, slug: str, detail: str, *, title: str | None = None, headers: dict[str, str] | None = None, **more: object
) -> Response:
    """A problem document. ``instance`` is the request's id, by which the log finds it again."""
    body = {
        "type": f"{_TYPE}{slug}",
        "title": title or slug.replace("-", " ").capitalize(),
        "status": status,
        "detail": detail,
        "instance": f"urn:uuid:{request_id()}",
        # The names that the STAC API specification gives the same two things.
        "code": slug,
        "description": detail,
        **more,
    }
    return Response(orjson.dumps(body), status_code=status, media_type=MEDIA_TYPE, headers=headers)


def install(app: FastAPI) -> None:
    """Answers every exception of this app with a problem document."""
    app.add_exception_handler(AlmagestError, _almagest)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(Exception, _bug)


async def _almagest(_: Request, error: Exception) -> Response:
    assert isinstance(error, AlmagestError)
    if error.status >= 500:
        log.error("request failed", kind=type(error).__name__, detail=str(error))
    if error.slug == "internal" or type(error).status == 500:
        return _internal()
    more: dict[str, object] = {}
    if isinstance(error, InvalidDocumentError):
        more["errors"] = [{"pointer": v.pointer, "detail": v.message} for v in error.violations]
    headers = {"Retry-After": "2"} if error.status == 503 else None
    return problem(error.status, error.slug, str(error), title=error.title, headers=headers, **more)


async def _http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    slug = {404: "not-found", 405: "method-not-allowed"}.get(error.status_code, "bad-request")
    if error.status_code >= 500:
        log.error("request failed", status=error.status_code, detail=str(error.detail))
        return _internal()
    detail = "There is nothing at this address." if error.detail == "Not Found" else str(error.detail)
    return problem(error.status_code, slug, detail, headers=dict(error.headers or {}))


async def _validation(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = [
        # loc begins with where it stood: ("query", "limit"), ("body", "bbox", 0).
        {"pointer": "/" + "/".join(str(part) for part in fault["loc"][1:]), "detail": str(fault["msg"])}
        for fault in error.errors()
    ]
    first = faults[0] if faults else {"pointer": "/", "detail": "invalid"}
    return problem(400, "bad-request", f"{first['pointer'].lstrip('/') or 'body'}: {first['detail']}", errors=faults)


async def _bug(_: Request, error: Exception) -> Response:
    log.exception("unexpected error", exc_info=error)
    return _internal()


def _internal() -> Response:
    return problem(
        500, "internal", f"Something went wrong on our side. Quote {request_id()} when you tell the operator."
    )
