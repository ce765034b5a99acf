"""Flower behind the door: where it is wanted, for admins, to look at."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from almagest.services.proxy import policy
from almagest.services.web.inventory import Scope
from support import door as doors
from support.door import OUTSIDE, Door

ADMIN = {"Authorization": "Bearer governs"}


@pytest.fixture(scope="module")
def door() -> Iterator[Door]:
    with doors.opened(flower=True) as opened:
        yield opened


@pytest.mark.parametrize("path", ["/", "/workers", "/worker/w@almagest", "/tasks", "/broker", "/static/js/flower.js"])
def test_admins_look_at_it(door: Door, path: str) -> None:
    path = f"/ops/ui/flower{path}"
    for source in (OUTSIDE, doors.INSIDE):
        status, headers, _ = door.ask("GET", path, source=source)
        assert (status, headers["location"]) == (303, f"/ops/ui/login?next={path}")
        for key in ("reads", "writes", "watches"):
            assert door.ask("GET", path, source=source, Authorization=f"Bearer {key}")[0] == 403
        door.reached.clear()
        status, headers, _ = door.ask("GET", path, source=source, **ADMIN)
        assert status == 200
        assert headers["content-security-policy"] == policy.CONTENT_POLICIES["flower"]
        assert [(reached.upstream, reached.path) for reached in door.reached] == [("flower", path)]


@pytest.mark.parametrize(
    "path",
    [
        *("/api/workers", "/api/worker/shutdown/w@almagest", "/api/worker/pool/grow/w@almagest", "/api/tasks"),
        *("/api/task/revoke/1", "/api/task/apply/almagest.ring", "/metrics", "/healthcheck", "/login", "/logout"),
        *("/x/../api/task/revoke/1", "/%61pi/task/revoke/1", "//api/task/revoke/1", "/worker/x/y"),
    ],
)
def test_nothing_that_changes_anything_is_reached(door: Door, path: str) -> None:
    door.reached.clear()
    for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS"):
        assert door.ask(method, f"/ops/ui/flower{path}", **ADMIN)[0] in {404, 405}, method
    assert door.reached == []


def test_pages_are_only_read(door: Door) -> None:
    for route in policy.FLOWER.inventory:
        assert route.scope is Scope.ADMIN
        assert route.methods == (("GET", "POST") if route.path == "/tasks/datatable" else ("GET",))
    assert door.ask("POST", "/ops/ui/flower/workers", **ADMIN)[0] == 405


def test_it_is_not_there_unless_it_is_wanted() -> None:
    with doors.opened() as door:
        for path in ("/ops/ui/flower", "/ops/ui/flower/", "/ops/ui/flower/tasks"):
            assert door.ask("GET", path, **ADMIN)[0] == 404
