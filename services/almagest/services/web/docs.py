"""What an app says of itself: an OpenAPI description that knows of keys, and a page of Swagger UI that shows it."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import HTMLResponse

from almagest.services.web import problem
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


#: A problem document, as :mod:`almagest.services.web.problem` and nginx write it.
_PROBLEM = {
    "type": "object",
    "description": "RFC 9457, with `code` and `description` as the STAC API has them.",
    "required": ["type", "title", "status", "detail", "instance", "code", "description"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string", "description": "What is wrong, and what helps."},
        "instance": {"type": "string", "description": "The request's id, as the log has it."},
        "code": {"type": "string"},
        "description": {"type": "string"},
        "errors": {
            "type": "array",
            "description": "Everything that is wrong, by JSON Pointer.",
            "items": {
                "type": "object",
                "required": ["pointer", "detail"],
                "properties": {"pointer": {"type": "string"}, "detail": {"type": "string"}},
            },
        },
        "links": {"type": "array", "items": {"type": "object"}},
    },
}
_WHEN = {
    "400": "The request cannot be understood.",
    "401": "A valid key is needed.",
    "403": "The key does not reach so far.",
    "404": "There is nothing here.",
    "409": "It is in conflict with what is there.",
    "410": "What was here is gone.",
    "412": "It has changed since it was read.",
    "413": "It is more than is taken, or given, at once.",
    "416": "There is no such part.",
    "415": "The body's media type is not taken.",
    "428": "The version that is to be changed must be named.",
    "429": "It is more than may be asked for at once.",
    "4XX": "What was asked for cannot be done; the document says why.",
    "500": "It broke, and trying again would not help.",
    "503": "What is behind does not answer. Try again in a moment.",
    "507": "No space is left.",
}
#: What the door answers, whatever is behind it: to everybody, and where a key is asked for.
_OF_THE_DOOR, _OF_KEYS = (429, 503), (401, 403)


def problem_answers(statuses: Iterable[int | str]) -> dict[str, Any]:
    """Answers of an operation that are problem documents, as OpenAPI has them.

    Args:
        statuses: each, or a range like ``4XX``.
    """
    content = {problem.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {str(status): {"description": _WHEN[str(status)], "content": content} for status in statuses}


def add_bearer(app: FastAPI, routes: Iterable[Route]) -> None:
    """Say in the app's OpenAPI description which operations ask for a key, and of which scope.

    Args:
        app: has all its routes when it is first asked for its description.
        routes: its inventory.
    """
    table, describe = tuple(routes), app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = with_bearer(describe(), table)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's own way


def with_bearer(description: dict[str, Any], routes: Iterable[Route]) -> dict[str, Any]:
    """A description that says which operations ask for a key, and what the door answers.

    Args:
        description: is changed.
        routes: the inventory of the app.
    """
    inventory, components, guarded = Inventory(routes), description.setdefault("components", {}), False
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            # A path with its parameters' names in braces fits its own pattern.
            route = inventory.find(method.upper(), path)
            refusals: tuple[int, ...] = _OF_THE_DOOR
            if route is not None and not route.scope.is_open:
                guarded = True
                key = {"bearer": [route.scope.value]}
                # The empty requirement: a key is not always asked for, since sites may open reading to those inside.
                operation["security"] = [{}, key] if route.scope in {Scope.READ, Scope.OPS} else [key]
                refusals = (*_OF_KEYS, *refusals)
            operation["responses"] = {**problem_answers(refusals), **operation["responses"]}
    components.setdefault("schemas", {})["Problem"] = _PROBLEM
    if guarded:
        components.setdefault("securitySchemes", {})["bearer"] = _BEARER
    return description
