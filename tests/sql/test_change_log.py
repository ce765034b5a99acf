"""The log of changes where others come in between: eras, rules, and retention."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from almagest.catalogue import audience, database, pruning, subscriptions
from almagest.catalogue.storing import Store
from almagest.core.settings import Settings
from support import ingests

Connection = psycopg.Connection[Any]


@pytest.fixture
def connection(settings: Settings) -> Iterator[Connection]:
    with database.connect(settings, settings.database.admin_user) as connection:
        connection.execute("SET search_path = almagest, public")
        connection.execute("SELECT put_collection(%s::jsonb)", (json.dumps(ingests.collection()),))
        yield connection


@pytest.fixture
def other(settings: Settings) -> Iterator[Connection]:
    with database.connect(settings, "almagest_writer") as connection:
        yield connection


def put(connection: Connection, number: int) -> None:
    store = Store(connection)
    store.put(store.prepare([ingests.item(number)]))


def one(connection: Connection, statement: str, *values: object) -> Any:
    row = connection.execute(statement.encode(), values).fetchone()
    return row and row[0]


def floor(connection: Connection) -> tuple[Any, ...]:
    return connection.execute("SELECT at, dropped FROM change_floor").fetchone() or ()


def test_an_era_is_begun_once_also_by_one_who_looks_by_an_older_snapshot(
    connection: Connection, other: Connection
) -> None:
    elsewhere = "UPDATE era SET timeline = 'another'"
    connection.execute(elsewhere)
    other.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    with other.transaction(force_rollback=True):
        other.execute("SELECT 1")
        put(connection, 1)
        with pytest.raises(psycopg.errors.SerializationFailure):
            put(other, 2)
    assert one(connection, "SELECT count(*) FROM era") == 2
    put(other, 2)
    assert one(connection, "SELECT count(*) FROM era") == 2
    connection.execute(elsewhere)
    put(other, 3)
    assert one(connection, "SELECT count(*) FROM era") == 3, "where nobody else came, it is begun at once"


def test_what_a_writer_adds_to_a_collection_that_is_being_published_is_announced(
    connection: Connection, other: Connection
) -> None:
    """It was hidden as it was written, and its place in the log may have been passed as such."""
    audience.set_collections(connection, "scenes", "internal")
    put(connection, 0)
    with ThreadPoolExecutor(1) as threads:
        with other.transaction():
            put(other, 1)
            made = threads.submit(audience.set_collections, connection, "scenes", "public")
            time.sleep(0.5)
            assert not made.done(), "it waits for who is writing"
        made.result(10)
    announced = connection.execute("SELECT item FROM change WHERE announced = 'collection' ORDER BY item").fetchall()
    assert announced == [("i000000",), ("i000001",), (None,)]


QUARTER = """
    CREATE TABLE almagest.change_2020q1 PARTITION OF almagest.change FOR VALUES FROM ('2020-01-01Z') TO ('2020-04-01Z');
    ALTER TABLE almagest.change_2020q1 OWNER TO almagest_admin
"""


@pytest.mark.parametrize("past", ["none", "empty", "emptied", "full"])
def test_whether_there_was_anything_in_a_quarter_is_not_told(connection: Connection, past: str) -> None:
    """Partitions are made for hidden changes, too, and empty ones go whenever something is forgotten."""
    if past != "none":
        connection.execute(QUARTER)
    if past == "full":
        connection.execute("INSERT INTO change (era, collection, at) VALUES (1, 'hidden', '2020-02-02Z')")
    if past == "emptied":
        pruning.prune(connection, versions=9)
    if past in {"none", "emptied"}:
        assert one(connection, "SELECT to_regclass('almagest.change_2020q1')") is None
    begun = datetime.now(UTC)
    pruning.prune(connection, days=1000)
    assert one(connection, "SELECT to_regclass('almagest.change_2020q1')") is None
    at, dropped = floor(connection)
    asked = at.astimezone(UTC)
    assert timedelta(0) <= asked - (begun - timedelta(days=1000)) < timedelta(minutes=5)
    assert dropped == datetime(asked.year, (asked.month - 1) // 3 * 3 + 1, 1, tzinfo=UTC)


def test_the_floor_of_the_log_is_not_raised_over_the_first_change_that_is_kept(connection: Connection) -> None:
    moments = ("2020-03-31 23:59:59.999999Z", "2020-04-01Z")
    last, _ = (
        one(
            connection,
            "INSERT INTO change (era, collection, at) VALUES (1, 'scenes', %s) RETURNING sequence",
            moment,
        )
        for moment in moments
    )
    connection.execute("SELECT raise_floor('2020-04-01Z', true)")
    assert one(connection, "SELECT sequence FROM change_floor") == last


def test_what_was_asked_for_is_told_and_not_what_hidden_writers_still_need(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not folded yet, since somebody is writing, is kept for longer; nobody may be told how long."""
    monkeypatch.setattr(pruning, "_counted", lambda _, moment, __: moment - timedelta(days=1))
    begun = one(connection, "SELECT almagest.clock()")
    pruning.prune(connection, days=0)
    at, _ = floor(connection)
    assert at >= begun
    assert one(connection, "SELECT until FROM forgotten WHERE collection = ''") == at


def test_who_comes_too_late_stops_nobody_who_has_come_further(connection: Connection) -> None:
    def subscribe(cursor: str) -> None:
        assert subscriptions.subscribe(connection, "s", "p", "http://x", "external", cursor=cursor)

    subscribe("old")
    late = subscriptions.due(connection, timedelta(minutes=1))
    assert late is not None
    subscriptions.unsubscribe(connection, "s")
    subscribe("new")
    assert not subscriptions.stop(connection, late, "it is gone")
    (found,) = subscriptions.subscriptions(connection)
    assert (found.trouble, found.due_at is None) == (None, False)
    due = subscriptions.due(connection, timedelta(minutes=1))
    assert due is not None
    assert subscriptions.stop(connection, due, "it is gone")
    assert subscriptions.subscriptions(connection)[0].trouble == "it is gone"
