"""Aggregations equal a count over all documents, from what was counted beforehand as by looking at every item."""

from __future__ import annotations

import contextlib
import random
import threading
import time
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


pytestmark = pytest.mark.xdist_group("alone")


@pytest.fixture(scope="session")
def cluster(lonely_cluster: Cluster) -> Cluster:
    """Folding waits for every transaction of the cluster: those of other tests would hold it up."""
    return lonely_cluster


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
        (orjson.dumps(search).decode(), orjson.dumps(aggregations.questions(asked)).decode()),
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


def refresh(connection: psycopg.Connection) -> None:
    """As if ten minutes had passed."""
    connection.execute("UPDATE almagest.rollup_state SET refreshed_at = '-infinity'")
    rollups.refresh(connection)


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


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.soak) for seed in (1, 2))])
def test_they_equal_a_count_over_all_documents(settings: Settings, connection: psycopg.Connection, seed: int) -> None:
    chance = random.Random(seed)
    scribble(settings, chance, 8)
    check(connection)  # nothing is counted yet
    rollups.fold(connection)
    check(connection)
    for _ in range(2):
        scribble(settings, chance, 3)
        check(connection)  # with a tail
        rollups.fold(connection)
        check(connection)
    refresh(connection)
    assert connection.execute("SELECT count(*) FROM stale_bins()").fetchone() == (0,)
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


@pytest.mark.parametrize("looks", [3, pytest.param(12, marks=pytest.mark.soak)])
def test_they_are_exact_at_any_moment(settings: Settings, connection: psycopg.Connection, looks: int) -> None:
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
                refresh(connection_of_admin)
        stop.wait(chance.uniform(0, 0.2))

    with database.connect(settings, "postgres") as connection_of_admin:
        threads = [
            *(kept(lambda chance: scribble(settings, chance, 1), seed) for seed in range(2)),
            *(kept(late, seed) for seed in range(2)),
            kept(folding, 9),
        ]
        try:
            for _ in range(looks):
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


def test_a_middle_beyond_the_globe_is_on_it_or_nowhere(connection: psycopg.Connection) -> None:
    def middle(text: str) -> str | None:
        row = connection.execute("SELECT ST_AsText(middle(ST_GeomFromText(%s, 4326)))", (text,)).fetchone()
        return row[0] if row else None

    assert middle("POLYGON((175 0, 190 0, 190 2, 175 2, 175 0))") == "POINT(-177.5 1)"
    assert middle("POLYGON((-200 0, -190 0, -190 2, -200 2, -200 0))") == "POINT(165 1)"
    assert middle("POINT(721 95)") == "POINT(1 90)"
    assert middle("POINT(180 0)") == "POINT(-180 0)"
    for nowhere in ("POLYGON EMPTY", "POINT(1e300 0)", "POINT(NaN 0)", "POINT(0 NaN)"):
        assert middle(nowhere) is None, nowhere


def test_what_others_load_is_counted_whatever_it_is(settings: Settings, connection: psycopg.Connection) -> None:
    """pgSTAC takes footprints beyond the antimeridian, and numbers of thousands of digits."""
    ring = [[175, 0], [190, 0], [190, 2], [175, 2], [175, 0]]
    beyond = adopted.item("c-1", 1) | {"geometry": {"type": "Polygon", "coordinates": [ring]}}
    connection.execute("SELECT pgstac.create_item(%s::jsonb)", (orjson.dumps(beyond).decode(),))
    nowhere = orjson.dumps(adopted.item("c-1", 3) | {"geometry": {"type": "Point", "coordinates": [1e300, 0]}}).decode()
    connection.execute("SELECT pgstac.create_item(%s::jsonb)", (nowhere,))
    long = orjson.dumps(adopted.item("c-1", 2, gsd=12345)).decode().replace("12345", "8" * 9000)
    connection.execute("SELECT pgstac.create_item(%s::jsonb)", (long,))
    asked = aggregations.parse(
        ["gsd_max", "gsd_sum", "gsd_frequency", *(f"centroid_{grid}_grid_frequency" for grid in aggregations.GRIDS)],
        {"centroid_geohash_grid_frequency_precision": 2},
    )
    scanned = ask(connection, asked, {})
    assert [one["value"] for one in scanned[:2]] == [None, None]
    keys = [{bucket["key"] for bucket in one["buckets"]} for one in scanned[3:]]
    assert "80" in keys[0]
    assert [one["overflow"] for one in scanned[3:]] == [1, 1, 1]
    rollups.fold(connection)
    assert ask(connection, asked, {}) == scanned
    pruning.prune(connection, days=0)
    assert rollups.recount(connection) == []


def test_what_changed_unseen_is_counted_once_it_is_mended(settings: Settings, connection: psycopg.Connection) -> None:
    scribble(settings, random.Random(3), 6)
    rollups.fold(connection)
    with connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")
        deleted = "DELETE FROM pgstac.items WHERE collection = 'c-1' AND id IN (SELECT id FROM pgstac.items WHERE "
        connection.execute(deleted + "collection = 'c-1' ORDER BY id LIMIT 2)")
    assert connection.execute("SELECT gone, come FROM mend_versions()").fetchone() == (2, 0)
    check(connection)
    rollups.fold(connection)
    assert connection.execute("SELECT scheme = rollup_scheme() FROM rollup_state").fetchone() == (True,)
    check(connection)
    assert rollups.recount(connection) == []


def test_an_item_that_came_unseen_and_changes_is_counted_anew(
    settings: Settings, connection: psycopg.Connection
) -> None:
    chance = random.Random(6)
    scribble(settings, chance, 4)
    with database.connect(settings, "almagest_writer") as writer:
        Store(writer).put([item(chance, 50, "c-1")])
        connection.execute("CREATE TEMP TABLE kept AS SELECT * FROM pgstac.items WHERE id = 'i50'")
        writer.execute("SELECT delete_item('c-1', 'i50')")
    rollups.fold(connection)
    with connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")
        connection.execute("INSERT INTO pgstac.items SELECT * FROM kept")
    with database.connect(settings, "almagest_writer") as writer:
        Store(writer).put([item(chance, 50, "c-1")])
    assert connection.execute("SELECT scheme FROM rollup_state").fetchone() == (0,)
    check(connection)
    rollups.fold(connection)
    check(connection)
    assert rollups.recount(connection) == []


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
    # Transactions of other tests, in other databases of this cluster, are waited for as well.
    deadline = time.monotonic() + 60
    while connection.execute("SELECT count(*) FROM item_history").fetchone() != (0,):
        assert time.monotonic() < deadline
        pruning.prune(connection, days=0)
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
        # Transactions of other tests, in other databases of this cluster, are waited for as well.
        rollups.fold(ops)
        deadline = time.monotonic() + 60
        while ops.execute("SELECT rollup_lag()").fetchone() != (0,):
            assert time.monotonic() < deadline, "not everything was folded"
            rollups.fold(ops)
        for statement in ("DELETE FROM almagest.rollup", "SELECT * FROM almagest.rollup"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                ops.execute(statement)
        rollups.refresh(ops)
        for statement in ("SELECT * FROM fold_rollups(false)", "SELECT refresh_extremes()"):
            with pytest.raises(psycopg.errors.RaiseException, match="REPEATABLE READ"):
                ops.execute(statement.encode())
    check(connection)
