"""A page that shows where items lie: the grid of an aggregation on a map of the world."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from almagest.catalogue import land

_LAND = "/map/land.json"
#: What is served below the prefix of an app, and as what.
FILES = {
    "/map": ("map.html", "text/html; charset=utf-8"),
    "/map/map.js": ("map.js", "text/javascript; charset=utf-8"),
    "/map/map.css": ("map.css", "text/css; charset=utf-8"),
    _LAND: ("land.json", "application/json"),
}


def install(app: FastAPI) -> None:
    """Adds the page to an app. It asks the app's own API for all that it shows."""
    folder = resources.files(__name__)
    for path, (name, media_type) in FILES.items():
        content = land.as_json() if path == _LAND else (folder / name).read_bytes()
        app.add_route(path, _file(content, media_type), include_in_schema=False)


def _file(content: bytes, media_type: str) -> Callable[[Request], Response]:
    def read(_: Request) -> Response:
        return Response(content, media_type=media_type)

    return read
