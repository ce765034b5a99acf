"""Who may use what: every route of every app, asked for with every role, against a table that was written by hand."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from almagest.catalogue.keys import SCOPES
from almagest.services.proxy.policy import FLOWER, MOUNTS, Mount
from almagest.services.web.gate import Gate
from almagest.services.web.inventory import Route, Scope

#: What the database gives each role (`sql/accounts/migrations/0002_create_account.sql`); whoever logs in has `account`.
ROLES: dict[str, set[str]] = {
    "nobody": set(),
    "somebody inside": {"catalogue:read", "ops:read"},
    "USER": {"catalogue:read", "jobs:run", "files:write", "account"},
    "PREMIUM": {"catalogue:read", "jobs:run", "files:write", "account"},
    "writer": {"catalogue:read", "catalogue:write"},
    "ADMIN": {"admin", "account"},
    "an admin's key": {"admin"},
}
#: Of what begins so, the first that fits: whom a request needs to be, by whether it changes anything.
EXPECTED: list[tuple[str, str, str]] = [
    # pattern of the path, who may read (or ask), who may change
    (r"/external/.*", "", "never"),
    (r"/ops/ui/flower/.*", "admin", "admin"),
    (r"/ops/ui/static/.*", "", "never"),
    (r"/ops/ui/(login|register|oidc/.*)", "", ""),
    (r"/ops/ui/admin.*", "admin", "admin"),
    (r"/ops/ui/(account.*|logout)", "account", "account"),
    (r"/ops/ui/.*", "jobs:run", "jobs:run"),
    (r"/ops/admin/.*", "admin", "admin"),
    (r"/ops/schedules", "admin", "admin"),
    (r"/ops/auth/(login|register|refresh|jwks\.json)", "", ""),
    (r"/ops/auth/.*", "account", "account"),
    (r"/ops/files.*", "files:write", "files:write"),
    (r"/ops/(jobs.*|processes/.*/execution)", "jobs:run", "jobs:run"),
    (r"/ops/(health|docs|openapi\.json)", "", "never"),
    (r"/ops/(metrics|ready)", "ops:read", "never"),
    (r"/ops/.*", "catalogue:read", "never"),
    (r"/api(/tiles)?/(openapi\.json|docs|api|api\.html)", "", "never"),
    (r"/api/map(/.*)?", "", "never"),  # the page alone: what it shows it asks for
    (r"/api/coverage", "catalogue:read", "never"),  # a page with all that it shows
    (r"/api/.*", "catalogue:read", "catalogue:write"),
]
#: POSTs that only read: a search, a count, a shape, or a search that is remembered.
READING_POSTS = re.compile(
    r"/(api|external)(/tiles)?/(search|pair-search|aggregate|collections/1/.*|.*statistics|.*feature.*|searches.*|.*bbox.*)"
)

ROUTES = [(mount, route, method) for mount in (*MOUNTS, FLOWER) for route in mount.routes for method in route.methods]


def address(mount: Mount, route: Route) -> str:
    return mount.prefix + re.sub(r"\{\w+(:\w+)?\}", "1", route.path)


def expected(mount: Mount, route: Route, method: str) -> str:
    path = address(mount, route)
    pattern, reads, writes = next(rule for rule in EXPECTED if re.fullmatch(rule[0], path))
    is_read = method in {"GET", "HEAD"} or (method == "POST" and route.scope.is_read and READING_POSTS.fullmatch(path))
    needed = reads if is_read else writes
    assert needed != "never", f"{method} {path} changes something where nothing is to be changed ({pattern})"
    return needed


@pytest.mark.parametrize(
    ("mount", "route", "method"), ROUTES, ids=[f"{method} {address(mount, route)}" for mount, route, method in ROUTES]
)
def test_every_route_lets_in_those_who_may_and_nobody_else(mount: Mount, route: Route, method: str) -> None:
    needed = expected(mount, route, method)
    for role, scopes in ROLES.items():
        # What people do about themselves no key can, not even an admin's.
        may = not needed or needed in scopes or ("admin" in scopes and needed != "account")
        status = asked(mount, route, method, scopes)
        assert status == (200 if may else 403 if scopes else 401), (role, method, address(mount, route), needed)


def test_every_scope_is_asked_for_somewhere() -> None:
    asked_for = {route.scope.value for _, route, _ in ROUTES if not route.scope.is_open}
    assert asked_for == {*SCOPES, Scope.ACCOUNT.value}


def asked(mount: Mount, route: Route, method: str, scopes: set[str]) -> int:
    """The status of a request that reaches the gate of the app with these scopes."""
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"x-scopes", " ".join(sorted(scopes)).encode())] if scopes else []
    path = address(mount, route).removeprefix(mount.prefix)
    connection = {
        "type": "http",
        "method": method,
        "path": path,
        "root_path": "",
        "headers": headers,
        "query_string": b"",
    }
    asyncio.run(Gate(app, mount.inventory)(connection, None, send))  # type: ignore[arg-type]
    return int(sent[0]["status"])


#: What does not count against the quota of requests, by the beginnings of addresses, and what does.
UNCOUNTED = ("/api/tiles/", "/api/assets/", "/ops/jobs/", "/ops/ui/flower/")
COUNTED = (
    "/api/search",
    "/api/collections",
    "/ops/jobs",
    "/ops/jobs/statistics",
    "/ops/processes",
    "/ops/jobs/1/results",
)


def counts(mount: Mount, method: str, path: str) -> bool:
    return next(counted for pattern, counted in mount.counted() if re.fullmatch(pattern, f"{method} {path}"))


@pytest.mark.parametrize(
    ("mount", "route", "method"), ROUTES, ids=[f"{method} {address(mount, route)}" for mount, route, method in ROUTES]
)
def test_what_counts_is_what_is_said_to_count(mount: Mount, route: Route, method: str) -> None:
    path = address(mount, route)
    if method != "GET" or mount.prefix.startswith("/external"):
        return
    if path in COUNTED:
        assert counts(mount, method, path)
    elif path.startswith(UNCOUNTED) or (path.startswith("/ops/ui/") and not route.scope.is_open):
        assert not counts(mount, method, path)
