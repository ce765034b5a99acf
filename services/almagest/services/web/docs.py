"""What an app says of itself: an OpenAPI description that knows of keys, and a page of Swagger UI that shows it."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import HTMLResponse

from almagest.services.web.inventory import Inventory, Route, Scope

# Nothing from another origin and no inline script: the site's content policy refuses both.
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" type="image/svg+xml" href="/almagest.svg">
<link rel="stylesheet" href="/swagger/swagger-ui.css">
</head>
<body style="margin: 0">
<main id="docs"></main>
<noscript><p>This page needs JavaScript. The same as data: <a href="{openapi_url}">{openapi_url}</a></p></noscript>
<script src="/swagger/swagger-ui-bundle.js"></script>
<script src="/swagger/init.js" data-openapi="{openapi_url}"></script>
</body>
</html>
"""

_BEARER = {
    "type": "http",
    "scheme": "bearer",
    "description": "A key of this site, as `almagest keys create` prints it.",
}


def page(title: str, openapi_url: str) -> HTMLResponse:
    """A page for people, of the description at this address.

    nginx says what the page may load, and serves the files beside it: ``stac-browser/build.sh`` lays them there.
    """
    return HTMLResponse(_PAGE.format(title=escape(title), openapi_url=escape(openapi_url)))


def add_docs(app: FastAPI, prefix: str) -> None:
    """Add ``/docs`` to an app that was made without it.

    Args:
        app: has an ``openapi_url`` and no ``docs_url``.
        prefix: where nginx mounts the app, as in ``/api``.
    """

    async def docs(_: Request) -> HTMLResponse:
        return page(app.title, f"{prefix}{app.openapi_url}")

    # stac-fastapi makes its `service-doc` link by the name that FastAPI's own page has.
    app.add_route("/docs", docs, name="swagger_ui_html", include_in_schema=False)


def add_bearer(app: FastAPI, routes: Iterable[Route]) -> None:
    """Say in the app's OpenAPI description which operations ask for a key, and of which scope.

    Args:
        app: has all its routes when it is first asked for its description.
        routes: its inventory.
    """
    inventory, describe = Inventory(routes), app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _with_bearer(describe(), inventory)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's own way


def _with_bearer(description: dict[str, Any], inventory: Inventory) -> dict[str, Any]:
    guarded = False
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            # A path with its parameters' names in braces fits its own pattern.
            route = inventory.find(method.upper(), path)
            if route is None or route.scope.is_open:
                continue
            guarded = True
            key = {"bearer": [route.scope.value]}
            # The empty requirement means that a key is not always asked for: sites may open reading to those inside.
            operation["security"] = [{}, key] if route.scope in {Scope.READ, Scope.OPS} else [key]
    if guarded:
        description.setdefault("components", {}).setdefault("securitySchemes", {})["bearer"] = _BEARER
    return description
