"""pgSTAC puts a collection's items into other tables, while somebody reads them.

Who began to read before that ends waits for the tables that are dropped, and then sees no row of the new ones, which
his snapshot does not know. For who only looks it is as if the items had gone for a moment; who notes what he saw would
never know.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import httpx
import psycopg
import pytest

from almagest.catalogue import database, lineage, rollups
from almagest.catalogue.moments import printed
from almagest.catalogue.storing import Store
from almagest.catalogue.versions import version_of
from almagest.core.settings import Settings
from conftest import stac_client
from support import following, ingests

Document = dict[str, Any]
T = TypeVar("T")


@pytest.fixture
def admin(settings: Settings) -> Iterator[psycopg.Connection[Any]]:
    with database.connect(settings, settings.database.admin_user) as connection:
        connection.execute("SELECT almagest.put_collection(%s::jsonb)", (json.dumps(ingests.collection("scenes")),))
        put(settings, 1)
        following.settle(connection)
        yield connection


@pytest.fixture(params=["/api", "/external"])
def prefix(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def client(settings: Settings, admin: psycopg.Connection[Any], prefix: str) -> Iterator[httpx.Client]:
    with stac_client(settings, "internal" if prefix == "/api" else "external") as client:
        yield client


def put(settings: Settings, number: int) -> None:
    document = {**ingests.item(0), "collection": "scenes"}
    document["properties"]["eo:cloud_cover"] = number
    document["links"] = [
        {"rel": "derived_from", "href": f"https://example.org/external/collections/raw/items/i{number}"}
    ]
    with database.connect(settings, "almagest_writer") as writer:
        store = Store(writer)
        store.put(store.prepare([document]))


def cover(document: Document) -> int:
    return int(document["properties"]["eo:cloud_cover"])


def _wait(settings: Settings, work: Future[Any]) -> None:
    """Until somebody waits for the tables."""
    with database.connect(settings, settings.database.admin_user) as watch:
        until = time.monotonic() + 30
        while not work.done():
            (waiting,) = watch.execute(
                """
                SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'relation'
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                """
            ).fetchone() or (0,)
            if waiting:
                return
            assert time.monotonic() < until, "nobody waits: this says nothing"
            time.sleep(0.01)


def while_moved(settings: Settings, work: Callable[[], T]) -> T:
    """What is answered to one who began to read before the items were moved, and read them then."""
    with (
        database.connect(settings, settings.database.admin_user) as mover,
        ThreadPoolExecutor(1) as threads,
    ):
        with mover.transaction():
            mover.execute(
                """
                UPDATE pgstac.collections SET partition_trunc = CASE WHEN partition_trunc IS NULL THEN 'month' END
                WHERE id = 'scenes'
                """
            )
            reading = threads.submit(work)
            _wait(settings, reading)
            assert not reading.done(), reading.result()  # "it has read other tables: this says nothing"
        return reading.result()


def test_who_follows_is_told_of_every_change(
    settings: Settings, admin: psycopg.Connection[Any], client: httpx.Client, prefix: str
) -> None:
    _, cursor = following.rest(client, prefix, None)
    put(settings, 2)
    following.settle(admin)
    found = while_moved(settings, lambda: following.page(client, prefix, since=cursor, documents="true"))
    assert [(change["type"], cover(change["document"])) for change in found["changes"]] == [("updated", 2)]


def test_who_begins_to_follow_is_told_of_every_item(settings: Settings, client: httpx.Client, prefix: str) -> None:
    found = while_moved(settings, lambda: following.page(client, prefix, collections="scenes"))
    assert [change.get("item") for change in found["changes"]] == [None, "i000000"]


@pytest.mark.parametrize(
    ("path", "count"),
    [
        ("/collections/scenes/items", lambda found: len(found["features"])),
        ("/search?collections=scenes", lambda found: len(found["features"])),
        ("/search?as-of={moment}", lambda found: len(found["features"])),
        ("/collections/scenes/items/i000000", lambda found: int(found["id"] == "i000000")),
        ("/collections/scenes/items/i000000?as-of={moment}", lambda found: int(found["id"] == "i000000")),
        ("/collections/scenes/items/i000000/versions/{version}", lambda found: int(found["id"] == "i000000")),
        ("/aggregate?aggregations=total_count&ids=i000000", lambda found: found["aggregations"][0]["value"]),
    ],
)
def test_nothing_seems_to_be_gone(
    settings: Settings,
    admin: psycopg.Connection[Any],
    client: httpx.Client,
    prefix: str,
    path: str,
    count: Callable[[Document], int],
) -> None:
    # Outsiders are told of whole minutes, in which nobody writes any more.
    admin.execute(
        """
        UPDATE almagest.versioning SET installed_at = '2020-01-01Z';
        UPDATE almagest.collection_head SET valid_from = valid_from - interval '5 minutes';
        UPDATE almagest.item_head SET valid_from = valid_from - interval '5 minutes';
        """
    )
    (moment,) = admin.execute("SELECT valid_from FROM almagest.item_head").fetchone() or (None,)
    address = prefix + path.format(moment=printed(moment), version=version_of(moment))
    answer = while_moved(settings, lambda: client.get(address))
    assert (answer.status_code, count(answer.json())) == (200, 1), answer.text


def test_what_is_folded_is_counted(settings: Settings, admin: psycopg.Connection[Any]) -> None:
    rollups.fold(admin)
    put(settings, 3)
    following.settle(admin)
    for count in (rollups.fold, rollups.recount):
        while_moved(settings, partial(count, admin))
        total = "SELECT key, count FROM almagest.rollup WHERE dimension = 'total'"
        numbers = "SELECT bin, count FROM almagest.rollup_number WHERE property = 'eo:cloud_cover' AND count <> 0"
        assert (admin.execute(total).fetchall(), admin.execute(numbers).fetchall()) == ([("", 1)], [(3, 1)])


def test_what_is_made_of_what_is_noted(settings: Settings, admin: psycopg.Connection[Any]) -> None:
    lineage.fold(admin)
    put(settings, 3)
    following.settle(admin)
    with pytest.raises(psycopg.errors.SerializationFailure):
        while_moved(settings, partial(lineage.fold, admin))
    lineage.fold(admin)
    ((sources,),) = admin.execute("SELECT count(*) FROM almagest.lineage_edge").fetchall()
    assert sources == 2
