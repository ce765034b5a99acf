"""Aggregations equal a count over all documents, from what was counted beforehand as by looking at every item."""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import psycopg
import pytest

from almagest.catalogue import aggregations, database, pruning, rollups
from almagest.catalogue.aggregations import Aggregation
from almagest.catalogue.storing import Store
from almagest.core.settings import Settings
from support import adopted
from support.aggregating import brute, chosen, item, plain
from support.cluster import Cluster

Document = dict[str, Any]

COLLECTIONS = ("c-0", "c-1", "c-2")


@pytest.fixture
def connection(settings: Settings) -> Iterator[psycopg.Connection]:
    with database.connect(settings, "postgres") as connection:
        for of in COLLECTIONS:
            adopted.add_collection(connection, adopted.collection(of))
        connection.execute("SET search_path = almagest, public")
        yield connection


def ask(connection: psycopg.Connection, asked: list[Aggregation], search: Document, schema: str = "almagest") -> Any:
    rows = connection.execute(
        f"SELECT place, key, frequency, value::text FROM {schema}.aggregate(%s::jsonb, %s::jsonb)".encode(),
        (orjson.dumps(search).decode(), orjson.dumps([one.asked for one in asked]).decode()),
    ).fetchall()
    return plain(aggregations.answers(asked, rows))


def stored(connection: psycopg.Connection) -> list[Document]:
    rows = connection.execute(
        "SELECT item_document(collection, id) || jsonb_build_object('collection', collection) FROM port_item_keys()"
    ).fetchall()
    return [row[0] for row in rows]


def check(connection: psycopg.Connection) -> None:
    """In one snapshot: from rollups, by a scan, and by counting."""
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    with connection.transaction():
        everything = stored(connection)
        for coarse in (True, False):
            asked = chosen(coarse)
            for ids in ([], ["c-1"], ["c-0", "c-2", "none"]):
                search: Document = {"collections": ids} if ids else {}
                right = plain(brute(asked, [i for i in everything if not ids or i["collection"] in ids]))
                assert ask(connection, asked, search) == right
                # A filter that lets all pass keeps rollups out of it.
                assert ask(connection, asked, {**search, "bbox": [-180, -90, 180, 90]}) == right
    connection.isolation_level = None


def scribble(settings: Settings, chance: random.Random, rounds: int) -> None:
    """Writes, changes and deletes, as our own writers do and as others do."""
    with database.connect(settings, "almagest_writer") as writer:
        store = Store(writer)
        for _ in range(rounds):
            of = chance.choice(COLLECTIONS)
            with contextlib.suppress(psycopg.errors.DeadlockDetected), writer.transaction():
                store.put([item(chance, n, of) for n in chance.sample(range(40), chance.randint(1, 8))])
                for n in chance.sample(range(40), chance.randint(0, 4)):
                    with contextlib.suppress(psycopg.errors.NoDataFound), writer.transaction():
                        writer.execute("SELECT delete_item(%s, %s)", (of, f"i{n}"))


@pytest.mark.parametrize("seed", range(3))
def test_they_equal_a_count_over_all_documents(settings: Settings, connection: psycopg.Connection, seed: int) -> None:
    chance = random.Random(seed)
    scribble(settings, chance, 8)
    check(connection)  # nothing is counted yet
    rollups.fold(connection)
    check(connection)
    for _ in range(3):
        scribble(settings, chance, 3)
        check(connection)  # with a tail
        rollups.fold(connection)
        check(connection)
    connection.execute("SELECT refresh_extremes()")
    check(connection)
    assert rollups.recount(connection) == []
    check(connection)


def test_rollups_are_what_is_read(settings: Settings, connection: psycopg.Connection) -> None:
    scribble(settings, random.Random(5), 8)
    rollups.fold(connection)
    connection.execute("UPDATE rollup SET count = count + 1000 WHERE dimension = 'total' AND collection = 'c-1'")
    connection.execute("UPDATE rollup_number SET total = 7, least = -9 WHERE property = 'gsd' AND collection = 'c-1'")
    asked = aggregations.parse(["total_count", "collection_frequency", "gsd_min"], {})
    assert ask(connection, asked, {})[0]["value"] >= 1000
    assert ask(connection, asked, {})[2]["value"] == -9
    assert ask(connection, asked, {"bbox": [-180, -90, 180, 90]})[0]["value"] < 1000
    wrong = rollups.recount(connection)
    assert any("c-1: total" in sentence for sentence in wrong)
    check(connection)


def test_they_are_exact_at_any_moment(settings: Settings, connection: psycopg.Connection) -> None:
    """Writers run, of which some begin early and end late, and somebody folds."""
    stop = threading.Event()
    failures: list[BaseException] = []

    def kept(work: Callable[[random.Random], None], seed: int) -> threading.Thread:
        def run() -> None:
            chance = random.Random(seed)
            try:
                while not stop.is_set():
                    work(chance)
            except BaseException as error:  # told in the thread of the test
                failures.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    def late(chance: random.Random) -> None:
        with (
            database.connect(settings, "almagest_writer") as writer,
            contextlib.suppress(psycopg.errors.DeadlockDetected),
            writer.transaction(),
        ):
            writer.execute("SELECT pg_current_xact_id()")  # before others, which end first
            stop.wait(chance.uniform(0.05, 0.6))
            Store(writer).put([item(chance, chance.randrange(40), chance.choice(COLLECTIONS))])

    def folding(chance: random.Random) -> None:
        with database.connect(settings, "almagest_ops") as ops:
            rollups.fold(ops, anew=chance.random() < 0.1)
            if chance.random() < 0.3:
                connection_of_admin.execute("SELECT almagest.refresh_extremes()")
        stop.wait(chance.uniform(0, 0.2))

    with database.connect(settings, "postgres") as connection_of_admin:
        threads = [
            *(kept(lambda chance: scribble(settings, chance, 1), seed) for seed in range(2)),
            *(kept(late, seed) for seed in range(2)),
            kept(folding, 9),
        ]
        try:
            for _ in range(12):
                check(connection)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    assert not failures, failures
    rollups.fold(connection)
    check(connection)
    assert rollups.recount(connection) == []


def test_items_that_were_there_before_are_counted(cluster: Cluster) -> None:
    with adopted.stock(cluster, adopted.ADOPTED) as settings, database.connect(settings, "postgres") as connection:
        connection.execute("SET search_path = almagest, public")
        rollups.fold(connection)
        asked = aggregations.parse(["total_count"], {})
        assert ask(connection, asked, {})[0]["value"] == 6
        adopted.load(settings, [adopted.item(adopted.MONTHLY, 1, month=30), adopted.item(adopted.WHOLE, 8)], "upsert")
        assert ask(connection, asked, {})[0]["value"] == 7
        check(connection)
        connection.execute("UPDATE pgstac.collections SET partition_trunc = 'year' WHERE id = %s", (adopted.MONTHLY,))
        check(connection)
        rollups.fold(connection)
        connection.execute("SELECT delete_collection(%s)", (adopted.MONTHLY,))
        check(connection)
        rollups.fold(connection)
        check(connection)
        assert rollups.recount(connection) == []


def test_the_middle_of_a_footprint_on_both_sides_of_the_antimeridian(connection: psycopg.Connection) -> None:
    def middle(text: str) -> str | None:
        row = connection.execute("SELECT ST_AsText(middle(ST_GeomFromText(%s, 4326)))", (text,)).fetchone()
        return row[0] if row else None

    east, west = "((178 0, 180 0, 180 2, 178 2, 178 0))", "((-180 0, -176 0, -176 2, -180 2, -180 0))"
    assert middle(f"MULTIPOLYGON({east}, {west})") == "POINT(-179 1)"
    assert middle("POLYGON((-180 -90, 180 -90, 180 90, -180 90, -180 -90))") == "POINT(0 0)"


def test_who_forgets_folds_first_and_waits_for_open_writers(settings: Settings, connection: psycopg.Connection) -> None:
    chance = random.Random(2)
    scribble(settings, chance, 4)
    rollups.fold(connection)
    scribble(settings, chance, 4)
    with database.connect(settings, "almagest_writer", autocommit=False) as writer:
        Store(writer).put([item(chance, 1, "c-0")])  # and does not end yet
        scribble(settings, chance, 2)
        pruning.prune(connection, days=0)
        check(connection)
        writer.commit()
    check(connection)
    rollups.fold(connection)
    check(connection)
    pruning.prune(connection, days=0)
    assert connection.execute("SELECT count(*) FROM item_history").fetchone() == (0,)
    assert rollups.recount(connection) == []


def test_a_restored_copy_goes_on_counting(settings: Settings, connection: psycopg.Connection) -> None:
    """Numbers of transactions begin anew in another cluster; here its era ends."""
    chance = random.Random(4)
    scribble(settings, chance, 3)
    rollups.fold(connection)
    scribble(settings, chance, 3)
    connection.execute("UPDATE era SET timeline = 'other'")
    check(connection)
    scribble(settings, chance, 3)
    check(connection)
    rollups.fold(connection)
    check(connection)
    assert rollups.recount(connection) == []


def test_whoever_is_to_fold_can_do_nothing_else(settings: Settings, connection: psycopg.Connection) -> None:
    scribble(settings, random.Random(1), 2)
    with database.connect(settings, "almagest_ops") as ops:
        rollups.fold(ops)
        assert ops.execute("SELECT rollup_lag()").fetchone() == (0,)
        for statement in ("DELETE FROM almagest.rollup", "SELECT * FROM almagest.rollup", "SELECT refresh_extremes()"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                ops.execute(statement)
        with pytest.raises(psycopg.errors.RaiseException, match="REPEATABLE READ"):
            ops.execute("SELECT * FROM fold_rollups(false)")
    check(connection)
