"""The page of Swagger UI, and the description it shows."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from almagest.services.web import docs
from almagest.services.web.inventory import Route, Scope

ROUTES = (
    Route(("GET",), "/docs", Scope.PUBLIC),
    Route(("GET",), "/openapi.json", Scope.PUBLIC),
    Route(("GET",), "/things", Scope.READ),
    Route(("GET",), "/things/latest", Scope.PUBLIC),
    Route(("GET", "PUT"), "/things/{name:path}", Scope.READ),
    Route(("POST",), "/things", Scope.WRITE),
)


def things(title: str = "Things") -> FastAPI:
    app = FastAPI(title=title, docs_url=None, redoc_url=None)

    @app.get("/things")
    @app.post("/things")
    @app.get("/things/latest")
    @app.get("/things/{name:path}")
    async def read() -> None:
        """Nothing."""

    return app


class Tags(HTMLParser):
    """All elements of a page with their attributes, and all text of its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts = self.title = self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        self.title += data if self._inside == "title" else ""
        self.scripts += data if self._inside == "script" else ""

    def values(self, tag: str, name: str) -> list[str | None]:
        return [attributes[name] for found, attributes in self.elements if found == tag and name in attributes]


@pytest.mark.parametrize("prefix", ["/api", "/external", "/api/tiles"])
def test_the_page_names_the_description_of_its_own_app(prefix: str) -> None:
    app = things()
    docs.add_docs(app, prefix)
    answer = TestClient(app).get("/docs")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    page = Tags(answer.text)
    assert page.title == "Things"
    assert page.values("html", "lang") == ["en"]
    assert page.values("script", "data-openapi") == [f"{prefix}/openapi.json"]


def test_the_page_loads_files_of_this_origin_and_nothing_else() -> None:
    page = Tags(docs.page("Things", "/api/openapi.json").body.decode())
    loaded = page.values("script", "src") + page.values("link", "href")
    assert sorted(str(address) for address in loaded) == [
        "/almagest.svg",
        "/swagger/init.js",
        "/swagger/swagger-ui-bundle.js",
        "/swagger/swagger-ui.css",
    ]
    assert page.scripts.strip() == ""
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]


def test_a_title_cannot_write_into_the_page() -> None:
    page = Tags(docs.page("<script>alert(1)</script>", '/"><script>alert(1)</script>').body.decode())
    assert page.title == "<script>alert(1)</script>"
    assert page.scripts.strip() == ""


def test_the_page_is_no_operation_and_found_by_the_name_of_fastapis_own() -> None:
    app = things()
    docs.add_docs(app, "/api")
    assert "/docs" not in app.openapi()["paths"]
    assert app.url_path_for("swagger_ui_html") == "/docs"


def test_the_description_says_which_operations_ask_for_a_key() -> None:
    app = things()
    docs.add_bearer(app, ROUTES)
    description = TestClient(app).get("/openapi.json").json()
    paths = description["paths"]
    assert paths["/things"]["post"]["security"] == [{"bearer": ["catalogue:write"]}]
    assert paths["/things"]["get"]["security"] == [{}, {"bearer": ["catalogue:read"]}]
    assert paths["/things/{name}"]["get"]["security"] == [{}, {"bearer": ["catalogue:read"]}]
    assert "security" not in paths["/things/latest"]["get"]
    assert scheme(description)["scheme"] == "bearer"
    assert app.openapi() == description


def test_where_everything_is_public_no_key_is_mentioned() -> None:
    app = things()
    docs.add_bearer(app, [Route(route.methods, route.path, Scope.PUBLIC) for route in ROUTES])
    assert "security" not in TestClient(app).get("/openapi.json").text


def scheme(description: dict[str, Any]) -> dict[str, str]:
    return description["components"]["securitySchemes"]["bearer"]
