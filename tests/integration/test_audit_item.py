"""`almagest audit item`: what happened to an item by HTTP, by a job and past both, and who was refused."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from psycopg_pool import ConnectionPool
from pydantic import BaseModel

from almagest.catalogue import database, jobs, story
from almagest.core import secrets
from almagest.core.jobs import Context, Output, Process
from almagest.core.settings import Settings
from almagest.pipelines.keeper import Keeper
from almagest.pipelines.runner import Runner
from conftest import stac_client
from support import commands, ingests
from support.cluster import Cluster
from support.commands import Run

pytestmark = pytest.mark.xdist_group("alone")

ITEM = "/api/collections/scenes/items/i000000"


@pytest.fixture(scope="session")
def cluster(lonely_cluster: Cluster) -> Cluster:
    """As in the other tests of the audit."""
    return lonely_cluster


@pytest.fixture
def settings(cluster: Cluster, settings: Settings, home: Path) -> Settings:
    found = cluster.settings(settings.database.name, home)
    for role in ("almagest_writer", "almagest_reader", "almagest_external", "almagest_worker"):
        secrets.ensure(found.secrets, role)
    (home / "work").mkdir()
    return found


@pytest.fixture
def run(settings: Settings) -> Run:
    return commands.runner(settings, "audit")


def by(name: str, number: int, scopes: str = "catalogue:read catalogue:write") -> dict[str, str]:
    """What nginx says of who asks."""
    return {
        "X-Scopes": scopes,
        "X-Subject": f"key:{name}",
        "X-Principal": name.capitalize(),
        "X-Key-Id": name,
        "X-Forwarded-For": "192.0.2.7",
        "X-Request-ID": f"{number:032x}",
    }


class Nothing(BaseModel):
    """No inputs."""


def publish(settings: Settings, document: dict[str, Any]) -> str:
    """Has a job publish an item; answers the job's id."""

    def work(_: Nothing, context: Context) -> Mapping[str, Any]:
        context.publish([document])
        return {"done": True}

    made: Process[Any] = Process(
        id="brush",
        version="3",
        title="Brush",
        description="Of a test.",
        inputs=Nothing,
        outputs={"done": Output("Whether", {"type": "boolean"})},
        run=work,
    )
    parameters = {**database.parameters(settings, "almagest_worker"), "autocommit": True}
    with ConnectionPool(kwargs=parameters, min_size=1, max_size=4) as pool:
        keeper = Keeper(pool, timedelta(seconds=10))
        with pool.connection() as connection:
            job = jobs.accept(connection, made, {}, "user:ben")[0]
        assert Runner(pool, keeper, {made.id: made}, settings, settings.site.home / "work").run(job)
        with pool.connection() as connection:
            assert jobs.find(connection, job).status == "successful", jobs.find(connection, job).error
        keeper.stop()
    return str(job)


def refused(settings: Settings) -> int:
    with database.connect(settings, "postgres") as connection:
        row = connection.execute("SELECT count(*) FROM almagest.request_audit WHERE status = 403").fetchone()
    return int(row[0]) if row else 0


def test_the_whole_story(settings: Settings, run: Run) -> None:
    with stac_client(settings) as api:
        assert api.post("/api/collections", json=ingests.collection(), headers=by("ann", 1)).status_code == 201
        made = api.post("/api/collections/scenes/items", json=ingests.item(), headers=by("ann", 2))
        assert made.status_code == 201, made.text
        first = _version(api)
        patch = {"properties": {"grade": 4}, "assets": {"extra": {"href": "https://a.org/extra.tif"}}}
        assert api.patch(ITEM, json=patch, headers=by("ben", 3)).status_code == 200
        assert api.put(ITEM, json=_stored(settings), headers=by("ben", 4)).status_code == 200, "nothing changes"
        job = publish(settings, ingests.item())
        assert api.delete(ITEM, headers=by("ann", 5)).status_code == 204
        restore = f"{ITEM}/versions/{first}/restore"
        assert api.post(restore, headers=by("ann", 6)).is_success
        assert api.delete(ITEM, headers=by("eve", 7, "catalogue:read")).status_code == 403
        until = time.monotonic() + 10
        while not refused(settings) and time.monotonic() < until:
            time.sleep(0.1)
    told = run("item", "scenes/i000000", "--json")
    assert told.returncode == 0, told.stderr
    story = json.loads(told.stdout)
    events = story["events"]
    assert [event["kind"] for event in events] == [
        "created",
        "changed",
        "asked",
        "changed",
        "deleted",
        "restored",
        "refused",
    ]
    created, changed, asked, by_job, deleted, restored, denied = events
    assert (created["version"], created["actor"], created["key_id"]) == (first, "Ann", "ann")
    assert (created["request"]["method"], created["request"]["address"]) == ("POST", "192.0.2.7")
    assert created["request"]["path"] == "/api/collections/scenes/items"
    assert set(changed["changed"]) == {"+properties.grade", "+assets.extra"}
    assert asked["request"]["method"] == "PUT"
    assert by_job["job"] == {"id": job, "process": "brush", "version": "3", "principal": "user:ben"}
    assert "-properties.grade" in by_job["changed"]
    assert "version" not in deleted
    assert restored["as_in"] == first
    assert restored["request"]["path"].endswith("/restore")
    assert (denied["request"]["name"], denied["request"]["status"]) == ("Eve", 403)
    words = run("item", "scenes/i000000").stdout
    for sentence in (
        "Created by Ann (key ann)",
        "POST /api/collections/scenes/items from 192.0.2.7 (request 00000000-0000-0000-0000-000000000002)",
        "assets registered: extra",
        "changed: +properties.grade",
        "Asked, and nothing changed: by Ben (key ben)",
        f"Changed by job {job} (brush 3) for user:ben",
        "Deleted by",
        f"Restored as in version {first} by",
        "Refused (403): by Eve (key eve)",
    ):
        assert sentence in words, words


def test_what_was_written_past_the_service_and_what_never_was(settings: Settings, run: Run) -> None:
    with database.connect(settings, "postgres") as connection:
        for document in (ingests.collection(), ingests.item()):
            function = "put_collection" if document["type"] == "Collection" else "put_item"
            connection.execute(f"SELECT almagest.{function}(%s::jsonb)".encode(), (psycopg.types.json.Jsonb(document),))
        connection.execute("INSERT INTO almagest.exposed VALUES ('scenes', 'i000000', 'data', 'file:///srv/x.tif')")
        connection.execute("UPDATE almagest.item_head SET actor = NULL")  # as stock writers leave it
    words = run("item", "scenes/i000000").stdout
    assert "Created by the database role postgres" in words
    assert "Outsiders may read: data" in words
    for name in ("scenes/no", "no/i000000"):
        told = run("item", name)
        assert told.returncode == 1
        assert "never was" in told.stderr
    assert run("item", "scenes").returncode == 2


def _version(api: httpx.Client) -> str:
    return str(api.get(f"{ITEM}/versions").json()["versions"][0]["version"])


def _stored(settings: Settings) -> dict[str, Any]:
    with database.connect(settings, "postgres") as connection:
        row = connection.execute("SELECT almagest.item_document('scenes', 'i000000')").fetchone()
    assert row is not None
    return dict(row[0])


def test_it_does_not_read_the_whole_audit(settings: Settings) -> None:
    paths = ["/api/collections/scenes/items/é-1", "/api/collections/scenes/items/" + "x" * 900]
    told = [
        *(path + rest for path in paths for rest in ("", "/assets/red", "-2", "0", "0/assets")),
        *(f"/api/collections/c/items/{number}" for number in range(5000)),
    ]
    with database.connect(settings, "postgres") as connection:
        connection.execute(
            """
            INSERT INTO almagest.request_audit
            SELECT n, almagest.clock(), '', '', '', '', 'r' || n, '', 'PUT', '', path, 200, 1, 1
            FROM unnest(%s::text[]) WITH ORDINALITY AS p(path, n)
            """,
            (told,),
        )
        connection.execute("ANALYZE almagest.request_audit")
        wanted = {"ids": ["r100", ""], "paths": paths}
        rows = connection.execute(story._REQUESTS.encode(), wanted).fetchall()
        assert [row[8] for row in rows] == [told[number] for number in (0, 1, 5, 6, 99)]
        connection.execute("SET enable_seqscan = off")  # or months with nothing in them would be read
        plan = "\n".join(row[0] for row in connection.execute(b"EXPLAIN " + story._REQUESTS.encode(), wanted))
        assert "Seq Scan on request_audit" not in plan, plan
