"""What is forgotten is the oldest, and what is left of a history still follows one another."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import orjson
import psycopg
import pytest

from almagest.catalogue import audience, database, migrate, pruning
from almagest.catalogue.pruning import prune
from almagest.core.errors import ConfigurationError
from almagest.core.settings import Settings
from support import adopted, versions
from support.adopted import MONTHLY, WHOLE, collection, item
from support.cluster import Cluster
from support.ingests import a_seed


@pytest.fixture
def settings(cluster: Cluster) -> Iterator[Settings]:
    with adopted.stock(cluster, adopted.ADOPTED) as settings:
        yield settings


@pytest.fixture
def connection(settings: Settings) -> Iterator[psycopg.Connection]:
    with database.connect(settings, "postgres") as connection:
        yield connection


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "_FEW", 2)
    monkeypatch.setattr(pruning, "_MANY", 3)


@pytest.fixture
def past(settings: Settings, connection: psycopg.Connection) -> None:
    """Item i1 of both: as found, 1, deleted, 2, 3, 4; each a month after the other, the last one now."""
    for of in (WHOLE, MONTHLY):
        adopted.load(settings, [item(of, 1, n=1)], "upsert")
        connection.execute("DELETE FROM pgstac.items WHERE collection = %s AND id = 'i1'", (of,))
        for n in (2, 3, 4):
            adopted.load(settings, [item(of, 1, n=n)], "upsert")
    age(connection)


def test_the_size_of_the_past_is_told_about(settings: Settings, connection: psycopg.Connection, past: None) -> None:
    (stored,) = connection.execute("SELECT count(*) FROM almagest.item_history").fetchone() or (0,)
    assert stored > 4
    connection.execute("ANALYZE almagest.item_history")
    with database.connect(settings, "almagest_ops") as ops:
        found = dict(ops.execute("SELECT kind, number FROM almagest.history_sizes()").fetchall())
    assert found["item"] == stored
    assert set(found) == {"item", "collection"}


def age(connection: psycopg.Connection[Any]) -> None:
    """As if months had passed between the states."""
    connection.execute(
        """
        WITH moved AS (DELETE FROM almagest.item_history RETURNING *), placed AS (
            SELECT *, row_number() OVER (PARTITION BY collection, id ORDER BY valid_to DESC) - 1 AS back FROM moved
        )
        INSERT INTO almagest.item_history
        SELECT collection, id, valid_from - (back + 1) * interval '30 days', valid_to - back * interval '30 days',
               deleted, base_key, datetime, end_datetime, geometry, content, login, actor, key_id, request_id, job
        FROM placed
        """
    )


def texts(connection: psycopg.Connection[Any], of: str = WHOLE) -> list[Any]:
    """What is left, each by its number; None: deleted; 0: as it was found."""
    return [document and document["properties"].get("n", 0) for document in versions.documents(connection, of, "i1")]


@pytest.mark.usefixtures("past")
@pytest.mark.parametrize(
    ("rules", "left", "count"),
    [
        ({"days": 1000}, [0, 1, None, 2, 3, 4], 0),
        ({"days": 75}, [None, 2, 3, 4], 2),
        ({"days": 45}, [2, 3, 4], 3),
        ({"days": 0}, [4], 5),
        ({"versions": 1}, [4], 5),
        ({"versions": 3}, [2, 3, 4], 3),
        ({"versions": 4}, [1, None, 2, 3, 4], 1),
        ({"versions": 9}, [0, 1, None, 2, 3, 4], 0),
        ({"versions": 2, "days": 75}, [None, 2, 3, 4], 2),
        ({"versions": 4, "days": 0}, [1, None, 2, 3, 4], 1),
    ],
)
def test_what_a_rule_keeps_is_kept(
    connection: psycopg.Connection, rules: dict[str, int], left: list[Any], count: int
) -> None:
    before = {of: versions.states(connection, of, "i1") for of in (WHOLE, MONTHLY)}
    assert prune(connection, **rules, dry_run=True).items == 2 * count
    assert texts(connection) == [0, 1, None, 2, 3, 4]
    assert prune(connection, **rules).items == 2 * count
    for of in (WHOLE, MONTHLY):
        assert texts(connection, of) == left
        assert versions.states(connection, of, "i1") == before[of][-len(left) :]
    assert prune(connection, **rules).items == 0
    migrate.migrate(connection)
    assert migrate.verify(connection) == []
    assert texts(connection, of) == left


@pytest.mark.usefixtures("past")
def test_of_one_collection_only(connection: psycopg.Connection) -> None:
    assert prune(connection, days=0, collection=WHOLE).items == 5
    assert texts(connection, WHOLE) == [4]
    assert texts(connection, MONTHLY) == [0, 1, None, 2, 3, 4]


@pytest.mark.usefixtures("past")
def test_versions_go_on_after_all_is_forgotten(settings: Settings, connection: psycopg.Connection) -> None:
    prune(connection, days=0)
    adopted.load(settings, [item(WHOLE, 1, n=5)], "upsert")
    assert texts(connection) == [4, 5]
    connection.execute("DELETE FROM pgstac.items WHERE id = 'i1'")
    assert texts(connection) == [4, 5, None]
    prune(connection, versions=1)
    assert texts(connection) == [5, None]
    assert prune(connection, days=0).gone == 2
    assert texts(connection) == []
    adopted.load(settings, [item(WHOLE, 1, n=6)])
    assert texts(connection) == [6]


@pytest.mark.usefixtures("past")
def test_whole_partitions_go_at_once(connection: psycopg.Connection) -> None:
    connection.execute(
        """
        CREATE TABLE almagest.item_history_2020q1 PARTITION OF almagest.item_history
        FOR VALUES FROM ('2020-01-01Z') TO ('2020-04-01Z')
        """
    )
    connection.execute("ALTER TABLE almagest.item_history_2020q1 OWNER TO almagest_admin")
    connection.execute(
        """
        INSERT INTO almagest.item_history (collection, id, valid_from, valid_to, deleted)
        SELECT collection, id, '2020-01-02Z', '2020-02-02Z', true FROM almagest.item_head WHERE id = 'i1'
        """
    )
    assert prune(connection, days=1000).items == 2
    (left,) = connection.execute("SELECT to_regclass('almagest.item_history_2020q1')").fetchone()  # type: ignore[misc]
    assert left is None


def test_collections_of_a_dropped_partition_are_counted_as_such(connection: psycopg.Connection) -> None:
    connection.execute(
        """
        CREATE TABLE almagest.collection_history_2020q1 PARTITION OF almagest.collection_history
        FOR VALUES FROM ('2020-01-01Z') TO ('2020-04-01Z')
        """
    )
    connection.execute("ALTER TABLE almagest.collection_history_2020q1 OWNER TO almagest_admin")
    connection.execute(
        """
        INSERT INTO almagest.collection_history (id, valid_from, valid_to, content)
        SELECT id, '2020-01-02Z', '2020-02-02Z', '{}' FROM almagest.collection_head WHERE id IN ('whole', 'monthly')
        """
    )
    done = prune(connection, days=1000)
    assert (done.items, done.collections) == (0, 2)


def test_base_items_that_nothing_needs_go(settings: Settings, connection: psycopg.Connection) -> None:
    def base_items() -> int:
        (count,) = connection.execute("SELECT count(*) FROM almagest.base_item").fetchone()  # type: ignore[misc]
        return int(count)

    before = base_items()
    adopted.add_collection(connection, collection("new"))
    adopted.load(settings, [item("new", 1)])
    connection.execute("SELECT almagest.put_collection(%s::jsonb)", (orjson.dumps(collection("new", {})).decode(),))
    adopted.load(settings, [item("new", 1, n=1)], "upsert")
    assert base_items() == before + 3
    assert prune(connection, days=0).bases == 0
    adopted.load(settings, [item("new", 1, n=2)], "upsert")
    connection.execute("SELECT almagest.delete_collection('new')")
    assert prune(connection, versions=1).bases == 0
    assert versions.documents(connection, "new", "i1") == [item("new", 1, n=2), None]
    assert prune(connection, days=0).bases == 3
    assert base_items() == before


def test_looking_at_edges_notes_what_walking_back_through_each_item_notes(
    settings: Settings, connection: psycopg.Connection
) -> None:
    chance = random.Random(a_seed())
    for _ in range(7):
        for of in (WHOLE, MONTHLY):
            changed = []
            for number in range(1, 25):
                if chance.random() < 0.6:
                    there = item(of, number, n=chance.randrange(2))
                    there["properties"]["almagest:hidden"] = chance.randrange(3)
                    there["properties"]["list"] = [chance.randrange(2)]
                    there["assets"]["data"] = {"href": f"file:///hidden/{chance.randrange(2)}.tif"}
                    changed.append(there)
                elif chance.random() < 0.2:
                    connection.execute(
                        "DELETE FROM pgstac.items WHERE collection = %s AND id = %s", (of, item(of, number)["id"])
                    )
            adopted.load(settings, changed, "upsert")
    age(connection)
    connection.execute(
        "INSERT INTO almagest.exposed (collection, item, key, location) VALUES (%s, 'i3', 'data', 'file:///hidden/1.tif')",
        (WHOLE,),
    )
    if chance.random() < 0.5:
        audience.set_collections(connection, MONTHLY, "internal")

    def noted(cut: Any, step: str) -> list[Any]:
        with connection.transaction(force_rollback=True):
            if step == "each":
                connection.execute(
                    """
                    SELECT almagest.forget_states(w.collection, w.id, %(cut)s, NULL, 'note')
                    FROM almagest.with_history(NULL, '', '', 1000, %(cut)s) AS w
                    """,
                    {"cut": cut},
                )
            else:
                pruning._note(connection, cut)
            return connection.execute("SELECT * FROM almagest.seen_since WHERE item <> '' ORDER BY 1, 2").fetchall()

    met = 0
    for days in (15, 45, 75, 105, 135):
        (cut,) = connection.execute("SELECT now() - make_interval(days => %s)", (days,)).fetchone() or ()
        each = noted(cut, "each")
        assert noted(cut, "edges") == each
        met += len(each)
    assert met > 0


def test_collections_are_forgotten_alike(connection: psycopg.Connection) -> None:
    for text in ("one", "two", "three"):
        document = {**collection(WHOLE), "description": text}
        connection.execute("SELECT almagest.put_collection(%s::jsonb)", (orjson.dumps(document).decode(),))
    assert prune(connection, versions=2, dry_run=True).collections == 2
    assert prune(connection, versions=2).collections == 2
    rows = connection.execute(
        """
        SELECT almagest.collection_document_at(%(id)s, s.valid_from)->>'description'
        FROM almagest.collection_states(%(id)s) AS s
        """,
        {"id": WHOLE},
    ).fetchall()
    assert rows == [("three",), ("two",)]


def test_nothing_is_forgotten_without_a_rule_or_by_anybody(settings: Settings, connection: psycopg.Connection) -> None:
    with pytest.raises(ConfigurationError, match="Say what is kept"):
        prune(connection)
    for role in ("almagest_writer", "almagest_reader"):
        with (
            database.connect(settings, role) as other,
            pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction)),
        ):
            prune(other, days=0)
