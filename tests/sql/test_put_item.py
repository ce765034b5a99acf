"""`almagest.put_item`: one document, in SQL, by the same path as many."""

from __future__ import annotations

import concurrent.futures
import time
from typing import Any

import orjson
import psycopg
import pytest
from hypothesis import given
from hypothesis import settings as run
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from psycopg import sql

from almagest.catalogue import database
from almagest.catalogue.hydration import join
from almagest.catalogue.rows import stripped
from almagest.catalogue.storing import Store
from almagest.core.settings import Settings
from support import versions
from support.cluster import Cluster

Document = dict[str, Any]

scalars: SearchStrategy[Any] = st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["", "a", 1.0, 0.5])
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=12,
)
documents = st.dictionaries(st.sampled_from("abcd"), values, max_size=4)


def text(value: Any) -> str:
    return orjson.dumps(value).decode()


def written(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


@pytest.fixture(scope="module")
def admin(cluster: Cluster) -> Any:
    with cluster.clone("template_almagest") as name, cluster.connect(name) as connection:
        yield connection


@run(max_examples=300, deadline=None)
@given(document=documents, base=documents)
def test_what_is_stripped_is_joined_again_here_and_there(admin: Any, document: Document, base: Document) -> None:
    """SQL and Python strip and join alike, so that either reads what the other wrote."""
    there = {key: value for key, value in base.items() if value is not None}
    (by_sql,) = admin.execute("SELECT almagest.port_stripped(%s, %s)::text", (text(document), text(there))).fetchone()
    by_python = stripped(there, document)
    for rest in (orjson.loads(by_sql), by_python):
        (joined,) = admin.execute("SELECT almagest.port_joined(%s, %s)::text", (text(rest), text(there))).fetchone()
        assert written(orjson.loads(joined)) == written(document)
        assert written(join(orjson.loads(text(rest)), orjson.loads(text(there)))) == written(document)


ITEM: Document = {
    "type": "Feature",
    "stac_version": "1.1.0",
    "id": "one",
    "collection": "scenes",
    "geometry": {"type": "Point", "coordinates": [1, 2]},
    "bbox": [1, 2, 1, 2],
    "properties": {"datetime": "2024-01-05T00:00:00Z", "note": None},
    "links": [],
    "assets": {"red": {"href": "https://a.org/red.tif", "title": "Red"}},
}


@pytest.fixture
def writer(settings: Settings) -> Any:
    with database.connect(settings, "almagest_writer") as connection:
        collection = {
            "type": "Collection",
            "stac_version": "1.1.0",
            "id": "scenes",
            "description": "d",
            "license": "other",
            "links": [],
            "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}},
            "item_assets": {"red": {"title": "Red", "unit": "m"}, "blue": {"title": "Blue"}},
        }
        Store(connection).collections([collection])
        yield connection


def put(writer: Any, document: Document, version: Any = None) -> Any:
    return writer.execute("SELECT * FROM put_item(%s, %s)", (text(document), version)).fetchone()


def test_it_creates_updates_and_leaves_alone(writer: psycopg.Connection) -> None:
    outcome, first = put(writer, ITEM)
    assert outcome == "created"
    assert versions.documents(writer, "scenes", "one") == [ITEM]
    assert put(writer, ITEM) == ("unchanged", first)
    changed = {**ITEM, "properties": {"datetime": "2025-02-05T00:00:00Z"}, "assets": {}}
    outcome, second = put(writer, changed)
    assert outcome == "updated"
    assert second > first
    assert versions.documents(writer, "scenes", "one") == [ITEM, changed]


def test_it_agrees_with_the_writer_of_many(writer: psycopg.Connection) -> None:
    Store(writer).put([ITEM])
    assert put(writer, ITEM)[0] == "unchanged"


def test_a_version_that_is_not_the_present_one_is_refused(writer: psycopg.Connection) -> None:
    _, first = put(writer, ITEM)
    _, second = put(writer, {**ITEM, "bbox": [0, 0, 3, 3]}, first)
    for version in (first, second.replace(year=2001)):
        with pytest.raises(psycopg.Error) as refused:
            put(writer, ITEM, version)
        assert refused.value.sqlstate == "AM412"
    writer.execute("SELECT delete_item('scenes', 'one')")
    with pytest.raises(psycopg.Error):
        put(writer, ITEM, second)


def test_without_its_collection_there_is_no_item(writer: psycopg.Connection) -> None:
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        put(writer, {**ITEM, "collection": "other"})


def test_it_gives_way_to_who_locks_in_another_order_and_goes_on(writer: psycopg.Connection, settings: Settings) -> None:
    """As a loader of pgSTAC's does, which has one partition and then wants another."""
    with database.connect(settings, "postgres") as loader, concurrent.futures.ThreadPoolExecutor(1) as threads:
        loader.execute("UPDATE pgstac.collections SET partition_trunc = 'month' WHERE id = 'scenes'")
        changed = {**ITEM, "properties": {"datetime": "2024-02-05T00:00:00Z"}}
        put(writer, ITEM)
        put(writer, {**changed, "id": "other"})
        names = "SELECT partition FROM pgstac.partitions_view WHERE collection = 'scenes' ORDER BY 1"
        first, second = (sql.Identifier("pgstac", name) for (name,) in loader.execute(names).fetchall())
        loader.execute("SET deadlock_timeout = '1min'")  # it is the other one that finds out
        with loader.transaction():
            loader.execute(sql.SQL("LOCK TABLE {} IN EXCLUSIVE MODE").format(second))
            written = threads.submit(put, writer, changed)
            waiting = "SELECT 1 FROM pg_locks WHERE relation = %s::regclass AND NOT granted"
            while not loader.execute(waiting, (second.as_string(loader),)).fetchone():
                assert not written.done()
                time.sleep(0.01)
            loader.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(first))
        assert written.result()[0] == "updated"
    assert versions.documents(writer, "scenes", "one") == [ITEM, changed]


@pytest.mark.parametrize(
    "other",
    [
        "UPDATE pgstac.items SET content = content || '{\"late\": 1}' WHERE id = 'one'",
        "DELETE FROM pgstac.items WHERE id = 'one'",
        "SELECT almagest.hold_item('scenes', 'one')",
        "SELECT almagest.lock_collection('scenes')",
    ],
)
def test_nobody_changes_an_item_between_its_reading_and_its_writing(
    writer: psycopg.Connection, settings: Settings, other: str
) -> None:
    """What was read would be written over what came in between: registering an asset would lose a change."""
    writer.execute("SELECT almagest.put_item(%s)", (text(ITEM),))
    with database.connect(settings, "almagest_writer") as another, writer.transaction():
        assert writer.execute("SELECT almagest.hold_item('scenes', 'one')").fetchone() == (True,)
        another.execute("SET lock_timeout = '200ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            another.execute(other.encode())


def test_an_item_that_is_not_there_is_held_as_well(writer: psycopg.Connection, settings: Settings) -> None:
    with database.connect(settings, "almagest_writer") as another, writer.transaction():
        assert writer.execute("SELECT almagest.hold_item('scenes', 'one')").fetchone() == (False,)
        another.execute("SET lock_timeout = '200ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            another.execute("SELECT almagest.put_item(%s)", (text(ITEM),))
