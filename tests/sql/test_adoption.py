"""Versions begin on a running database that others have filled: nobody waits, nothing is lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest

from almagest.catalogue import database, migrate
from almagest.core.settings import Settings
from conftest import stac_client
from support import adopted, versions
from support.adopted import MONTHLY, WHOLE, item
from support.cluster import Cluster

EITHER = pytest.mark.parametrize("of", [WHOLE, MONTHLY])


@pytest.fixture
def stock(cluster: Cluster) -> Iterator[Settings]:
    with adopted.stock(cluster) as settings:
        yield settings


@pytest.fixture
def settings(cluster: Cluster) -> Iterator[Settings]:
    """Of a database that was adopted."""
    with adopted.stock(cluster, adopted.ADOPTED) as settings:
        yield settings


@pytest.fixture
def connection(settings: Settings) -> Iterator[psycopg.Connection]:
    with database.connect(settings, "postgres") as connection:
        yield connection


class Traffic:
    """Somebody who does one thing again and again, and notes how long it took him at most."""

    def __init__(self, settings: Settings, statement: str) -> None:
        self._settings, self._statement = settings, statement
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._go_on)
        self.longest_s, self.times = 0.0, 0
        self.error: Exception | None = None

    def __enter__(self) -> Traffic:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        assert self.error is None
        assert self.times > 10

    def _go_on(self) -> None:
        try:
            with database.connect(self._settings, "postgres") as connection:
                while not self._stop.is_set():
                    began = time.monotonic()
                    connection.execute(self._statement.encode())
                    self.longest_s = max(self.longest_s, time.monotonic() - began)
                    self.times += 1
                    self._stop.wait(0.005)
        except Exception as error:
            self.error = error


READ = "SELECT content FROM pgstac.items WHERE collection = 'monthly' AND datetime > '2020-03-01' LIMIT 10"
#: Each in a partition of its own: pgSTAC keeps two writers of one apart, with a row about the partition.
WRITE = """
    UPDATE pgstac.items SET content = jsonb_set(content, '{properties,n}', to_jsonb(clock_timestamp()))
    WHERE collection = '%s' AND id = 'i1'
"""
LONG = """UPDATE pgstac.items SET content = content || '{"long": true}' WHERE collection = 'monthly' AND id = 'i0'"""


#: Who queued behind a lock all this while would be seen to wait far too long.
OPEN_S = 2.5


def adopt(settings: Settings) -> tuple[float, float]:
    """Adopts a database in use; a transaction is open all the while at first. Returns the longest stalls."""
    with (
        Traffic(settings, READ) as reader,
        Traffic(settings, WRITE % WHOLE) as writer,
        Traffic(settings, WRITE % MONTHLY) as another,
        database.connect(settings, "postgres", autocommit=False) as long,
        database.connect(settings, "postgres", autocommit=False) as reading,
    ):
        reading.execute(READ)
        long.execute(LONG)
        migrating = threading.Thread(target=database.prepare, args=(settings,))
        migrating.start()
        time.sleep(OPEN_S)
        assert migrating.is_alive(), "it waits for the open writer"
        long.commit()
        time.sleep(OPEN_S)
        assert migrating.is_alive(), "it waits for the open reader, to make a partition of its own"
        reading.commit()
        migrating.join(60)
        assert not migrating.is_alive()
        time.sleep(0.5)
    with database.connect(settings, "postgres") as connection:
        assert migrate.verify(connection) == []
        # Nobody outside can have followed what nobody was served.
        assert connection.execute("SELECT count(*) FROM almagest.change WHERE announced IS NOT NULL").fetchone() == (0,)
    return reader.longest_s, max(writer.longest_s, another.longest_s)


def test_nobody_waits_a_second_while_a_database_in_use_is_adopted(stock: Settings) -> None:
    for of in (WHOLE, MONTHLY):
        adopted.load(stock, [item(of, number, month=number % 24) for number in range(3, 3_000)])
    reader, writer = adopt(stock)
    print(f"longest stall: reader {reader:.3f} s, writer {writer:.3f} s")
    assert reader < 1
    assert writer < 1


@pytest.mark.soak
def test_nobody_waits_a_second_where_there_are_a_million_items(stock: Settings) -> None:
    for of in (WHOLE, MONTHLY):
        for begin in range(3, 500_000, 100_000):
            last = min(begin + 100_000, 500_000)
            adopted.load(stock, [item(of, number, month=number % 120) for number in range(begin, last)])
    reader, writer = adopt(stock)
    print(f"longest stall: reader {reader:.3f} s, writer {writer:.3f} s")
    assert reader < 1
    assert writer < 1


# What is there without a head.


def installed(connection: psycopg.Connection) -> Any:
    (moment,) = connection.execute("SELECT installed_at FROM almagest.versioning").fetchone()  # type: ignore[misc]
    return moment


def heads(connection: psycopg.Connection, of: str) -> int:
    (count,) = connection.execute("SELECT count(*) FROM almagest.item_head WHERE collection = %s", (of,)).fetchone()  # type: ignore[misc]
    return int(count)


def call(connection: psycopg.Connection, function: str, *arguments: object) -> None:
    """One of pgSTAC's own functions."""
    with connection.transaction():
        connection.execute("SET LOCAL search_path = pgstac, public")
        marks = ", ".join(["%s"] * len(arguments))
        connection.execute(f"SELECT {function}({marks})".encode(), arguments)


@EITHER
def test_what_is_there_has_one_version_and_nothing_is_written_for_it(
    settings: Settings, connection: psycopg.Connection, of: str
) -> None:
    assert heads(connection, of) == 0
    (state,) = versions.states(connection, of, "i1")
    assert (state.document, state.login, state.actor) == (item(of, 1), None, None)
    assert (state.valid_from, state.valid_to) == (installed(connection), None)
    assert versions.at(connection, of, "i1", installed(connection)) == item(of, 1)
    assert versions.states(connection, of, "never") == []


@EITHER
def test_its_version_is_served(settings: Settings, of: str) -> None:
    with stac_client(settings) as api:
        here = f"/collections/{of}/items/i1"
        (listed,) = _good(api.get(f"{here}/versions"))["versions"]
        document = _good(api.get(f"{here}/versions/{listed['version']}"))
        assert document["assets"] == item(of, 1)["assets"]
        tag = api.get(here).headers["ETag"]
        changed = item(of, 1, number=1)
        _good(api.put(here, json=changed, headers={"If-Match": tag}))
        assert api.put(here, json=item(of, 1), headers={"If-Match": tag}).status_code == 412
        assert len(_good(api.get(f"{here}/versions"))["versions"]) == 2
        assert api.delete(here).is_success
        assert api.get(here).status_code == 410
        assert _good(api.get(f"{here}/versions/{listed['version']}"))["assets"] == item(of, 1)["assets"]


@EITHER
@pytest.mark.parametrize("by", ["upsert", "delsert", "upsert_item", "update_item", "sql", "delete", "delete_item"])
def test_its_first_change_keeps_what_was_there(
    settings: Settings, connection: psycopg.Connection, of: str, by: str
) -> None:
    changed: Any = item(of, 1, number=5)
    if by in ("upsert", "delsert"):
        adopted.load(settings, [changed], by)
    elif by in ("upsert_item", "update_item"):
        call(connection, by, psycopg.types.json.Jsonb(changed))
    elif by == "sql":
        connection.execute(
            """
            UPDATE pgstac.items SET content = jsonb_set(content, '{properties,number}', '5')
            WHERE collection = %s AND id = 'i1'
            """,
            (of,),
        )
    elif by == "delete":
        connection.execute("DELETE FROM pgstac.items WHERE collection = %s AND id = 'i1'", (of,))
        changed = None
    else:
        call(connection, "delete_item", "i1", of)
        changed = None
    first, second = versions.states(connection, of, "i1")
    assert (first.document, first.valid_from, first.login) == (item(of, 1), installed(connection), None)
    assert (second.document, second.login) == (changed, "postgres")
    assert versions.documents(connection, of, "i2") == [item(of, 2)]
    assert heads(connection, of) == 1


@EITHER
@pytest.mark.parametrize("by", ["upsert", "delsert", "ignore", "upsert_item", "update_item"])
def test_the_same_again_is_no_change(settings: Settings, connection: psycopg.Connection, of: str, by: str) -> None:
    if by.endswith("item"):
        call(connection, by, psycopg.types.json.Jsonb(item(of, 1)))
    else:
        adopted.load(settings, [item(of, number) for number in range(3)], by)
    (state,) = versions.states(connection, of, "i1")
    assert (state.document, state.valid_from, state.login) == (item(of, 1), installed(connection), None)


@EITHER
def test_new_items_begin_when_they_came(settings: Settings, connection: psycopg.Connection, of: str) -> None:
    adopted.load(settings, [item(of, number) for number in range(3, 6)])
    (state,) = versions.states(connection, of, "i4")
    assert state.document == item(of, 4)
    assert state.valid_from > installed(connection)
    assert state.login == "postgres"


@pytest.mark.parametrize("method", ["insert", "ignore", "upsert", "delsert"])
def test_an_id_that_a_stock_loader_puts_into_another_partition_is_a_change(
    settings: Settings, connection: psycopg.Connection, method: str
) -> None:
    moved = item(MONTHLY, 1, month=30)
    adopted.load(settings, [moved, item(MONTHLY, 7)], method)
    assert versions.documents(connection, MONTHLY, "i1") == [item(MONTHLY, 1), moved]
    (rows,) = connection.execute("SELECT count(*) FROM pgstac.items WHERE id = 'i1' AND collection = 'monthly'")
    assert rows == (1,)
    # And back again.
    adopted.load(settings, [item(MONTHLY, 1)], method)
    assert versions.documents(connection, MONTHLY, "i1") == [item(MONTHLY, 1), moved, item(MONTHLY, 1)]


def test_of_an_id_that_was_there_twice_one_version_is_kept(stock: Settings) -> None:
    adopted.load(stock, [item(MONTHLY, 1, month=30)])
    database.prepare(stock)
    with database.connect(stock, "postgres") as connection:
        assert len(versions.documents(connection, MONTHLY, "i1")) == 1
        connection.execute("DELETE FROM pgstac.items WHERE collection = 'monthly' AND id = 'i1'")
        first, second = versions.documents(connection, MONTHLY, "i1")
        assert first in (item(MONTHLY, 1), item(MONTHLY, 1, month=30))
        assert second is None


def test_one_that_is_left_of_two_is_no_version_but_another_answer(stock: Settings) -> None:
    """So the epoch moves, or a search would be answered with both of them for another minute."""
    adopted.load(stock, [item(MONTHLY, 1, month=30)])
    database.prepare(stock)
    with database.connect(stock, "postgres") as connection:
        before = connection.execute("SELECT almagest.epoch('{monthly}')").fetchone()
        connection.execute(
            "DELETE FROM pgstac.items WHERE id = 'i1' AND datetime < '2022-01-01' AND collection = 'monthly'"
        )
        assert connection.execute("SELECT almagest.epoch('{monthly}')").fetchone() != before
        assert versions.documents(connection, MONTHLY, "i1") == [item(MONTHLY, 1, month=30)]
        connection.execute("DELETE FROM pgstac.items WHERE id = 'i1' AND collection = 'monthly'")
        assert versions.documents(connection, MONTHLY, "i1") == [item(MONTHLY, 1, month=30), None]


@EITHER
def test_items_that_were_there_are_noted_in_the_end(stock: Settings, of: str) -> None:
    """So that nothing has to look through all partitions whether a new one was there before."""
    with database.connect(stock, "postgres") as connection:
        database.prepare(stock)
        assert heads(connection, of) == 3
        assert connection.execute("SELECT * FROM almagest.adopted_collection").fetchall() == []
        test_new_items_begin_when_they_came(stock, connection, of)
        test_other_partitions_are_no_change(stock, connection, of, "year")


@pytest.mark.parametrize("trunc", ["month", "year", None])
@EITHER
def test_other_partitions_are_no_change(
    settings: Settings, connection: psycopg.Connection, of: str, trunc: str | None
) -> None:
    connection.execute("UPDATE pgstac.collections SET partition_trunc = %s WHERE id = %s", (trunc, of))
    for number in range(3):
        (state,) = versions.states(connection, of, f"i{number}")
        assert (state.document, state.valid_from) == (item(of, number), installed(connection))
    adopted.load(settings, [item(of, 1, number=5)], "upsert")
    assert versions.documents(connection, of, "i1") == [item(of, 1), item(of, 1, number=5)]


@EITHER
def test_a_collection_that_is_deleted_leaves_its_items_behind(
    settings: Settings, connection: psycopg.Connection, of: str
) -> None:
    call(connection, "delete_collection", of)
    assert versions.documents(connection, of, "i1") == [item(of, 1), None]
    other = {**adopted.ASSETS, "blue": {"title": "Blue"}}
    adopted.add_collection(connection, adopted.collection(of, other))
    assert versions.documents(connection, of, "i1") == [item(of, 1), None]
    adopted.load(settings, [item(of, 1)])
    assert versions.documents(connection, of, "i1") == [item(of, 1), None, item(of, 1)]


@EITHER
def test_its_collection_has_a_version_too(settings: Settings, connection: psycopg.Connection, of: str) -> None:
    other = adopted.collection(of, {**adopted.ASSETS, "blue": {"title": "Blue"}})
    call(connection, "update_collection", psycopg.types.json.Jsonb(other))
    rows = connection.execute(
        """
        SELECT s.valid_from, s.login, almagest.collection_document_at(%(of)s, s.valid_from)
        FROM almagest.collection_states(%(of)s) AS s
        """,
        {"of": of},
    ).fetchall()
    assert [row[1:] for row in rows] == [("postgres", other), (None, adopted.collection(of))]
    assert rows[1][0] == installed(connection)
    assert versions.documents(connection, of, "i1") == [item(of, 1)]


def _good(response: httpx.Response) -> dict[str, Any]:
    assert response.is_success, response.text
    return dict(response.json())
