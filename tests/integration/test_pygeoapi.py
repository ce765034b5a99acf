"""Our echo answers in the shapes in which pygeoapi's does: who has a client for the one has it for the other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from almagest.core import secrets
from almagest.core.settings import Settings
from almagest.services.ops.app import create_app
from almagest.services.ops.descriptions import CONFORMANCE
from support import pygeoapi
from support.cluster import Cluster
from support.hands import at_work

#: Members, links and headers that pygeoapi has and we leave out: it is a server of features as well, and of pages of
#: HTML at the same addresses; `example` and `parameters` are its own; a job that is removed has no list above it here,
#: and one that was waited for is done, so that nobody looks after it.
THEIRS_ALONE = {
    "landing": {"about", "alternate", "data", "http://www.opengis.net/def/rel/ogc/1.0/tiling-schemes"},
    "processes": {"about", "alternate"},
    "description": {"about", "alternate", "example", "keywords"},
    "status": {"parameters"},
    "jobs": {"alternate", "parameters"},
    "removed": {"up"},
    "executed": {"location"},
    "inputs that are wrong": {"location"},
}
#: Where pygeoapi answers something else than the standard wants: a body of `null` for the status of the job, and the
#: output of `hello-world`, which is an object there and a text here.
OTHER_BODIES = {"accepted", "executed", "results"}


@pytest.fixture
def ours(cluster: Cluster, settings: Settings, home: Path) -> Iterator[dict[str, Any]]:
    own = cluster.settings(settings.database.name, home)
    secrets.ensure(own.secrets, secrets.JWT_KEY, "5a" * 32)
    ann = {"X-Scopes": "catalogue:read jobs:run", "X-Subject": "key:ann"}
    with at_work(own, home / "work"), TestClient(create_app(own), base_url=own.site.origin, headers=ann) as client:
        yield pygeoapi.shapes(client, "echo", {"message": "Hello"})


def test_our_answers_have_the_shapes_of_theirs(ours: dict[str, Any]) -> None:
    theirs = json.loads(pygeoapi.RECORDED.read_text())
    assert set(ours) == set(theirs)
    found = {name: list(lacking(theirs[name], ours[name], name)) for name in theirs}
    assert {name: faults for name, faults in found.items() if faults} == {}


def test_every_class_that_they_claim_is_claimed_or_to_come() -> None:
    theirs = {
        f"http://www.opengis.net/spec/ogcapi-processes-1/1.0/conf/{name}"
        for name in ("callback", "core", "json", "oas30", "ogc-process-description")
    }
    assert {uri.rpartition("/")[2] for uri in theirs - set(CONFORMANCE)} <= {"callback"}


@pytest.mark.soak
def test_they_still_answer_so(tmp_path: Path) -> None:
    with pygeoapi.serving(pygeoapi.install(tmp_path), tmp_path) as client:
        assert pygeoapi.shapes(client, "hello-world", {"name": "Ann"}) == json.loads(pygeoapi.RECORDED.read_text())


def lacking(theirs: Any, ours: Any, exchange: str, where: str = "") -> Iterator[str]:
    """What they have and we have not, or otherwise."""
    if where == "/body" and exchange in OTHER_BODIES:
        return
    alone = THEIRS_ALONE.get(exchange, set())
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for name, theirs_there in theirs.items():
            if name in ours:
                yield from lacking(theirs_there, ours[name], exchange, f"{where}/{name}")
            elif name not in alone:
                yield f"{where} has no {name}"
    elif where.endswith(("/links", "/headers")):
        yield from (f"{where} has no {name}" for name in sorted(set(theirs) - set(ours) - alone))
    elif isinstance(theirs, list) and isinstance(ours, list):
        for theirs_there, ours_there in zip(theirs[:1], ours[:1], strict=True):
            yield from lacking(theirs_there, ours_there, exchange, f"{where}[]")
    elif theirs != ours:
        yield f"{where} is {ours}, not {theirs}"
