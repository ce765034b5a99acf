"""What answers of the ops app are made of."""

from __future__ import annotations

from collections.abc import Mapping

import orjson
from starlette.responses import Response


def json_answer(document: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A document that nobody keeps: the next moment it may be another."""
    kept = {"Cache-Control": "no-store", **(headers or {})}
    return Response(orjson.dumps(document), status_code=status, media_type="application/json", headers=kept)


def link(rel: str, href: str, title: str, media_type: str = "application/json") -> dict[str, str]:
    """A link, to a JSON document if nothing else is said."""
    return {"rel": rel, "type": media_type, "title": title, "href": href}
