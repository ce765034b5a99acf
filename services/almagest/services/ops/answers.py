"""What answers of the ops app are made of."""

from __future__ import annotations

import re
from collections.abc import Mapping

import orjson
from starlette.requests import Request
from starlette.responses import Response

from almagest.core.errors import BadRequestError


def json_answer(document: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A document that nobody keeps: the next moment it may be another."""
    kept = {"Cache-Control": "no-store", **(headers or {})}
    return Response(orjson.dumps(document), status_code=status, media_type="application/json", headers=kept)


def page_size(request: Request, usual: int, largest: int) -> int:
    """How many of something a request asks for, by `limit`.

    Raises:
        BadRequestError: it is no number.
    """
    given = request.query_params.get("limit", str(usual))
    if not re.fullmatch(r"[0-9]{1,9}", given) or int(given) < 1:
        raise BadRequestError("limit: a whole number, at least 1.")
    return min(int(given), largest)


def link(rel: str, href: str, title: str, media_type: str = "application/json") -> dict[str, str]:
    """A link, to a JSON document if nothing else is said."""
    return {"rel": rel, "type": media_type, "title": title, "href": href}
