"""pgSTAC drops the tables of a collection that goes: its items leave their versions all at once, and nobody waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from almagest.catalogue import database, keeping
from almagest.core.settings import Settings
from support import adopted, versions
from support.adopted import collection, item

DELETE = "SELECT pgstac.delete_collection(%s)"


@pytest.fixture
def connection(settings: Settings) -> Iterator[psycopg.Connection]:
    with database.connect(settings, "postgres") as connection:
        yield connection


def fill(settings: Settings, connection: psycopg.Connection, name: str, count: int = 5) -> None:
    adopted.add_collection(connection, collection(name))
    connection.execute("UPDATE pgstac.collections SET partition_trunc = 'month' WHERE id = %s", (name,))
    adopted.load(settings, [item(name, number, month=number % 3) for number in range(count)])


def background(settings: Settings, statement: str, *values: Any) -> tuple[threading.Thread, list[Exception]]:
    """A statement that runs in a connection of its own, and what went wrong with it."""
    failures: list[Exception] = []

    def run() -> None:
        try:
            with database.connect(settings, "postgres") as own:
                own.execute(statement, values)
        except psycopg.Error as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, failures


def wait_until(connection: psycopg.Connection, waiting: int) -> None:
    """Until so many sessions of this database wait for a lock."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        found = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        ).fetchone()
        if found == (waiting,):
            return
        time.sleep(0.02)
    pytest.fail(f"never did {waiting} sessions wait for a lock")


def test_two_are_deleted_while_somebody_reads(settings: Settings, connection: psycopg.Connection) -> None:
    """Dropping a part locks the table of all items, and so does reading the part, a little: two that do both in turn
    would deadlock."""
    for name in ("one", "two"):
        fill(settings, connection, name)
    with database.connect(settings, "postgres") as reader, reader.transaction():
        reader.execute("SELECT count(*) FROM pgstac.items")
        deleted = [background(settings, DELETE, name) for name in ("one", "two")]
        wait_until(connection, 2)
    for thread, _ in deleted:
        thread.join()
    assert [failures for _, failures in deleted] == [[], []]
    for name in ("one", "two"):
        for number in range(5):
            before, after = versions.states(connection, name, f"i{number}")
            assert before.document is not None
            assert after.document is None
    assert keeping.problems(connection) == []


def test_who_writes_into_one_that_goes_leaves_no_change_unseen(
    settings: Settings, connection: psycopg.Connection
) -> None:
    fill(settings, connection, "one")
    with database.connect(settings, "postgres") as writer:
        with writer.transaction():
            writer.execute(
                "UPDATE pgstac.items SET content = content || '{\"late\": 1}' WHERE collection = 'one' AND id = 'i1'"
            )
            thread, failures = background(settings, DELETE, "one")
            wait_until(connection, 1)
        thread.join()
    assert failures == []
    states = versions.states(connection, "one", "i1")
    assert [state.document and state.document.get("late") for state in states] == [None, 1, None]
    assert keeping.problems(connection) == []


def test_each_item_ends_as_it_was(settings: Settings, connection: psycopg.Connection) -> None:
    """Also what was there before versions were kept, be it twice, and what the same transaction has changed."""
    fill(settings, connection, "one", 6)
    connection.execute("INSERT INTO almagest.adopted_collection VALUES ('one')")
    connection.execute("DELETE FROM almagest.item_head WHERE collection = 'one' AND id IN ('i0', 'i1')")
    connection.execute(
        """
        ALTER TABLE pgstac.items DISABLE TRIGGER USER;
        INSERT INTO pgstac.items (id, collection, geometry, datetime, end_datetime, content)
        SELECT 'i1', o.collection, o.geometry, o.datetime, o.end_datetime, o.content
        FROM pgstac.items AS o WHERE o.collection = 'one' AND o.id = 'i2';
        ALTER TABLE pgstac.items ENABLE TRIGGER USER;
        """
    )
    connection.execute("DELETE FROM pgstac.items WHERE collection = 'one' AND id = 'i3'")
    before = {f"i{n}": versions.documents(connection, "one", f"i{n}") for n in (0, 1, 2, 3, 4, 5)}
    with connection.transaction():
        connection.execute(
            "UPDATE pgstac.items SET content = content || '{\"late\": 1}' WHERE collection = 'one' AND id = 'i4'"
        )
        connection.execute("DELETE FROM pgstac.items WHERE collection = 'one' AND id = 'i5'")
        connection.execute(
            """
            INSERT INTO pgstac.items (id, collection, geometry, datetime, end_datetime, content)
            SELECT 'new', o.collection, o.geometry, o.datetime, o.end_datetime, o.content
            FROM pgstac.items AS o WHERE o.collection = 'one' AND o.id = 'i2'
            """
        )
        connection.execute(DELETE, ("one",))
    for name in ("i0", "i2", "i4", "i5"):
        assert versions.documents(connection, "one", name) == [*before[name], None], name
    one_of_two, end = versions.documents(connection, "one", "i1")
    assert end is None
    assert one_of_two is not None
    assert one_of_two["id"] == "i1"
    assert versions.documents(connection, "one", "i3") == before["i3"]
    assert versions.documents(connection, "one", "new") == []
    ends = {versions.states(connection, "one", name)[-1].valid_from for name in ("i0", "i1", "i2")}
    assert len(ends) == 1
    assert keeping.problems(connection) == []


def test_who_writes_through_the_table_of_all_items_loses_nothing(
    settings: Settings, connection: psycopg.Connection
) -> None:
    """He and who deletes the collection wait for each other: PostgreSQL ends one of them, and says so."""
    fill(settings, connection, "one")
    refused = False
    with database.connect(settings, "postgres") as writer:
        writer.autocommit = False
        writer.execute("DELETE FROM pgstac.items WHERE false")
        thread, failures = background(settings, DELETE, "one")
        wait_until(connection, 1)
        try:
            writer.execute(
                "UPDATE pgstac.items SET content = content || '{\"late\": 1}' WHERE collection = 'one' AND id = 'i1'"
            )
            writer.commit()
        except psycopg.errors.DeadlockDetected:
            refused = True
            writer.rollback()
        thread.join()
    assert refused + len(failures) == 1
    assert all(isinstance(failure, psycopg.errors.DeadlockDetected) for failure in failures)
    assert keeping.problems(connection) == []
    last = versions.documents(connection, "one", "i1")[-1]
    assert (last is None) if refused else (last is not None and last["late"] == 1)
