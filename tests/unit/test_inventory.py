"""The route inventory, the gate that stands on it, and the tables of the apps."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, WebSocket
from starlette.responses import PlainTextResponse
from starlette.routing import Mount
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from almagest.core.errors import ConfigurationError
from almagest.services.stac import map_page
from almagest.services.stac import routes as stac
from almagest.services.tiles import routes as tiles
from almagest.services.web import inventory
from almagest.services.web.gate import Gate
from almagest.services.web.inventory import Inventory, Route, Scope
from almagest.services.web.public_url import PublicUrl

TABLE = (
    Route(("GET",), "/", Scope.PUBLIC),
    Route(("GET", "POST"), "/search", Scope.READ),
    Route(("GET",), "/things/{thing}", Scope.READ),
    Route(("PUT", "DELETE"), "/things/{thing}", Scope.WRITE),
    Route(("GET",), "/files/{name}/{path:path}", Scope.READ),
    Route(("GET",), "/authorize", Scope.NONE),
)


def made(table: Iterable[Route] = TABLE) -> FastAPI:
    """An app with exactly these routes, some of them in routers within routers."""
    app = FastAPI(openapi_url=None)
    inner, outer = APIRouter(), APIRouter()

    def answer() -> str:
        return "reached"

    for number, route in enumerate(table):
        (app, inner, outer)[number % 3].add_api_route(route.path, answer, methods=list(route.methods))
    outer.include_router(inner)
    app.include_router(outer)
    return app


def gated(path_prefix: str = "/api") -> TestClient:
    app = PublicUrl(Gate(made(), TABLE), origin="https://stac.example", prefix=path_prefix)
    return TestClient(app)


def test_an_app_that_serves_what_it_declares_starts() -> None:
    inventory.enforce(made(), TABLE)


def test_an_undeclared_route_stops_the_start() -> None:
    app = made()
    app.add_api_route("/hole", lambda: "", methods=["GET", "POST"])
    with pytest.raises(ConfigurationError, match=r"GET /hole is served but has no entry; POST /hole is served"):
        inventory.enforce(app, TABLE)


def test_an_undeclared_method_stops_the_start() -> None:
    app = made()
    app.add_api_route("/things/{thing}", lambda: "", methods=["PATCH"])
    with pytest.raises(ConfigurationError, match=r"PATCH /things/\{thing\} is served but has no entry"):
        inventory.enforce(app, TABLE)


def test_an_undeclared_route_deep_in_included_routers_stops_the_start() -> None:
    app, middle, inner = made(), APIRouter(prefix="/b"), APIRouter(prefix="/c")
    inner.add_api_route("/hole", lambda: "")
    middle.include_router(inner)
    app.include_router(middle, prefix="/a")
    with pytest.raises(ConfigurationError, match="GET /a/b/c/hole is served but has no entry"):
        inventory.enforce(app, TABLE)


def test_what_is_no_plain_route_stops_the_start(tmp_path: Any) -> None:
    async def echo(socket: WebSocket) -> None:
        await socket.close()

    app = made()
    app.add_api_websocket_route("/socket", echo)
    with pytest.raises(ConfigurationError, match="APIWebSocketRoute /socket is served"):
        inventory.enforce(app, TABLE)
    app = made()
    app.mount("/static", PlainTextResponse("file"))
    with pytest.raises(ConfigurationError, match="Mount /static is served"):
        inventory.enforce(app, TABLE)
    app = made()
    app.router.routes.append(Mount("", PlainTextResponse("everything")))
    with pytest.raises(ConfigurationError, match=r"Mount \? is served"):
        inventory.enforce(app, TABLE)
    app = made()
    (tmp_path / "index.html").write_text("page")
    app.frontend("/", directory=str(tmp_path))
    with pytest.raises(ConfigurationError, match=r"_FrontendRouteGroup \? is served"):
        inventory.enforce(app, TABLE)


def test_an_entry_without_a_route_stops_the_start() -> None:
    with pytest.raises(ConfigurationError, match="DELETE /gone has an entry but is not served"):
        inventory.enforce(made(), (*TABLE, Route(("DELETE",), "/gone", Scope.WRITE)))


def test_two_entries_of_one_route_stop_the_start() -> None:
    with pytest.raises(ConfigurationError, match="GET /search has two entries"):
        inventory.enforce(made(), (*TABLE, Route(("GET",), "/search", Scope.PUBLIC)))


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/", Scope.PUBLIC),
        ("HEAD", "/search", Scope.READ),
        ("POST", "/search", Scope.READ),
        ("GET", "/things/a\n", Scope.READ),
        ("DELETE", "/things/a b", Scope.WRITE),
        ("GET", "/files/a/b/c\n/d", Scope.READ),
        ("GET", "/search\n", None),
        ("GET", "/Search", None),
        ("GET", "/search/", None),
        ("GET", "//search", None),
        ("GET", "/things/", None),
        ("GET", "/things/a/b", None),
        ("GET", "/files/a/", None),
        ("OPTIONS", "/search", None),
        ("get", "/search", None),
        ("PATCH", "/things/a", None),
        ("GET", "", None),
    ],
)
def test_what_an_address_is(method: str, path: str, scope: Scope | None) -> None:
    found = Inventory(TABLE).find(method, path)
    assert (found and found.scope) == scope


def test_an_exact_path_wins_over_one_with_parameters() -> None:
    table = Inventory([Route(("GET",), "/{any}", Scope.PUBLIC), Route(("GET",), "/keys", Scope.ADMIN)])
    found = table.find("GET", "/keys")
    assert found is not None
    assert found.scope is Scope.ADMIN


@pytest.mark.parametrize(
    ("method", "path", "scopes", "status"),
    [
        ("GET", "/api/", "", 200),
        ("GET", "/api/search", "", 401),
        ("GET", "/api/search", "ops:read", 403),
        ("GET", "/api/search", "ops:read catalogue:read", 200),
        ("POST", "/api/search", "catalogue:read", 200),
        ("GET", "/api/search", "admin", 200),
        ("PUT", "/api/things/a", "catalogue:read", 403),
        ("PUT", "/api/things/a", "catalogue:write", 200),
        ("GET", "/api/things/a", "catalogue:write", 403),
        ("GET", "/api/search", "catalogue:read,admin", 403),
        ("GET", "/api/authorize", "", 200),
        ("GET", "/api/docs", "admin", 404),
        ("GET", "/api/search/", "admin", 404),
        ("GET", "/api/search%0A", "admin", 404),
        ("GET", "/api", "admin", 404),
        ("PATCH", "/api/things/a", "admin", 405),
        ("OPTIONS", "/api/search", "admin", 405),
    ],
)
def test_who_passes_the_gate(method: str, path: str, scopes: str, status: int) -> None:
    answer = gated().request(method, path, headers={"X-Scopes": scopes} if scopes else {}, follow_redirects=False)
    assert answer.status_code == status
    if status >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == status


def test_head_is_answered_like_get_unless_the_app_answers_it_itself() -> None:
    table = (Route(("GET",), "/told", Scope.PUBLIC), Route(("GET", "HEAD"), "/own", Scope.PUBLIC))
    app = FastAPI(openapi_url=None)
    app.add_api_route("/told", lambda: PlainTextResponse("told"), methods=["GET"])
    app.add_api_route("/own", lambda: PlainTextResponse("got"), methods=["GET"])
    app.add_api_route("/own", lambda: PlainTextResponse("", headers={"X-Own": "1"}), methods=["HEAD"])
    inventory.enforce(app, table)
    client = TestClient(Gate(app, table))
    told = client.head("/told")
    assert (told.status_code, told.headers["content-length"], told.content) == (200, "4", b"")
    assert client.head("/own").headers["x-own"] == "1"


def test_a_refusal_says_what_would_help() -> None:
    gate = gated()
    assert gate.get("/api/search").headers["www-authenticate"] == 'Bearer realm="almagest"'
    assert "`catalogue:write`" in gate.put("/api/things/a", headers={"X-Scopes": "ops:read"}).json()["detail"]
    assert gate.patch("/api/things/a").headers["allow"] == "DELETE, GET, HEAD, PUT"


def test_no_header_but_nginxs_one_opens_the_gate() -> None:
    gate = gated()
    forged = {
        "Host": "localhost",
        "X-Forwarded-Prefix": "",
        "X-HTTP-Method-Override": "GET",
        "X-Original-URL": "/",
        "X-Rewrite-URL": "/",
    }
    assert gate.put("/api/things/a", headers=forged).status_code == 401
    two = [("X-Scopes", "catalogue:write"), ("X-Scopes", "admin")]
    assert gate.put("/api/things/a", headers=two).status_code == 401


def test_no_websocket_passes_the_gate() -> None:
    with pytest.raises(WebSocketDisconnect), gated().websocket_connect("/api/search"):
        pass


@pytest.mark.parametrize("table", [stac.EXTERNAL, tiles.EXTERNAL])
def test_the_public_only_reads(table: tuple[Route, ...]) -> None:
    assert {route.scope for route in table} == {Scope.PUBLIC}
    assert {method for route in table for method in route.methods} <= {"GET", "HEAD", "POST"}
    assert not [route for route in table if "bulk" in route.path or "register" in route.path]


@pytest.mark.parametrize("table", [stac.INTERNAL, tiles.INTERNAL])
def test_inside_only_descriptions_are_open(table: tuple[Route, ...]) -> None:
    of_stac = set(map_page.FILES) if table is stac.INTERNAL else set()
    assert {route.path for route in table if route.scope is Scope.PUBLIC} == {"/openapi.json", "/docs"} | of_stac
    assert all(route.scope is Scope.WRITE for route in table if {"PUT", "PATCH", "DELETE"} & set(route.methods))


@pytest.mark.parametrize("table", [stac.INTERNAL, stac.EXTERNAL, tiles.INTERNAL, tiles.EXTERNAL])
def test_where_two_entries_fit_they_ask_for_the_same(table: tuple[Route, ...]) -> None:
    """So nothing hangs on which of them nginx, the gate and the app would choose."""
    found = Inventory(table)
    for route in table:
        path = re.sub(r"\{\w+(:path)?\}", "1", route.path)
        fitting = [other for other in table if re.fullmatch(other.pattern, path)]
        for method in route.methods:
            assert found.find(method, path) is not None
            assert len({other.scope for other in fitting if method in other.methods}) == 1


@pytest.mark.parametrize(("table", "can_register"), [(tiles.INTERNAL, True), (tiles.EXTERNAL, False)])
def test_the_tilers_table_is_what_its_routers_serve(table: tuple[Route, ...], *, can_register: bool) -> None:
    from almagest.services.tiles import searches
    from almagest.services.tiles.factories import routers

    app = FastAPI(title="tiles")
    app.include_router(searches.router(can_register=can_register))
    for prefix, _, router in routers({}):
        app.include_router(router, prefix=prefix)
    app.router.routes = [
        route for route in app.router.routes if getattr(route, "path", "") not in {"/redoc", "/docs/oauth2-redirect"}
    ]
    inventory.enforce(app, table)
