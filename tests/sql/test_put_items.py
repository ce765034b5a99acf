"""The one writer of items: what it compares, what it leaves alone, and that nothing is lost between many of it."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
import psycopg
import pytest

from almagest.catalogue import database, loading, migrate
from almagest.catalogue.hydration import base_item, join
from almagest.catalogue.rows import Base
from almagest.catalogue.storing import Outcome, Store
from almagest.core.errors import NotFoundError
from almagest.core.settings import Settings
from support import data
from support.cluster import Cluster

Document = dict[str, Any]
Put = Callable[..., Outcome]


def collection(identifier: str = "scenes", **more: Any) -> Document:
    return {
        "type": "Collection",
        "stac_version": "1.1.0",
        "id": identifier,
        "description": "d",
        "license": "other",
        "links": [],
        "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}},
        **more,
    }


def item(
    identifier: str = "one", when: str = "2024-01-05T00:00:00Z", of: str = "scenes", **properties: Any
) -> Document:
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": identifier,
        "collection": of,
        "geometry": {"type": "Point", "coordinates": [1, 2]},
        "bbox": [1, 2, 1, 2],
        "properties": {"datetime": when, **properties},
        "links": [],
        "assets": {"red": {"href": "https://a.org/red.tif", "title": "Red", "roles": ["data"]}},
    }


@pytest.fixture
def writer(settings: Settings) -> Iterator[psycopg.Connection]:
    with database.connect(settings, "almagest_writer") as connection:
        yield connection


@pytest.fixture(params=["whole", "monthly"])
def scenes(request: pytest.FixtureRequest, settings: Settings, writer: psycopg.Connection) -> str:
    """A collection, in one partition or in one a month."""
    Store(writer).collections([collection()])
    if request.param == "monthly":
        with admin(settings) as connection:
            connection.execute("UPDATE pgstac.collections SET partition_trunc = 'month'")
    return str(request.param)


def admin(settings: Settings) -> psycopg.Connection:
    return database.connect(settings, "postgres")


def put(connection: psycopg.Connection, *documents: Document, **more: Any) -> Outcome:
    store = Store(connection)
    batch = store.prepare(documents)
    with connection.transaction():
        return store.put(batch, **more)


def read(connection: psycopg.Connection, identifier: str = "one", of: str = "scenes") -> Document | None:
    row = connection.execute("SELECT item, base FROM item_row(%s, %s)", (of, identifier)).fetchone()
    return join(orjson.loads(row[0]), base_item(row[1])) if row else None


def rows(settings: Settings) -> dict[str, list[Any]]:
    """Of every id the versions of its rows: another number for each time one was written."""
    found: dict[str, list[Any]] = {}
    with admin(settings) as connection:
        for identifier, *version in connection.execute("SELECT id, tableoid, ctid::text, xmin FROM pgstac.items"):
            found.setdefault(identifier, []).append(tuple(version))
    return found


def test_items_are_created_updated_and_left_alone(settings: Settings, writer: psycopg.Connection, scenes: str) -> None:
    documents = [item(f"i{n}", f"2024-{1 + n:02}-01T00:00:00Z", note=None) for n in range(6)]
    assert put(writer, *documents) == Outcome(created=6)
    before = rows(settings)
    assert put(writer, *documents) == Outcome(unchanged=6)
    assert rows(settings) == before, "what is the same is not touched"
    documents[0]["properties"]["note"] = 1
    documents[1]["geometry"]["coordinates"] = [1, 2, 3]
    assert put(writer, *documents, item("i6")) == Outcome(created=1, updated=2, unchanged=4)
    assert [read(writer, f"i{n}") for n in range(7)] == [*documents, item("i6")]
    found = writer.execute('SELECT count(*) FROM search_page(\'{"ids": ["i1", "i6"]}\', NULL, false, 10)').fetchone()
    assert found == (2,)


def test_an_item_whose_time_moves_leaves_no_second_one(
    settings: Settings, writer: psycopg.Connection, scenes: str
) -> None:
    for when in ("2024-01-01T00:00:00Z", "2031-07-01T00:00:00Z", "1999-12-31T23:59:59.999999Z"):
        put(writer, item(when=when))
        assert read(writer) == item(when=when)
        assert len(rows(settings)["one"]) == 1
        by_time = orjson.dumps({"datetime": when, "collections": ["scenes"]}).decode()
        found = writer.execute("SELECT count(*) FROM search_page(%s, NULL, false, 10)", (by_time,)).fetchone()
        assert found == (1,), "it is found at once"


def test_what_other_writers_left_twice_becomes_one(settings: Settings, writer: psycopg.Connection) -> None:
    Store(writer).collections([collection()])
    with admin(settings) as connection:
        connection.execute("UPDATE pgstac.collections SET partition_trunc = 'month'")
        # As before versions were kept, which sees to it that there is one.
        connection.execute("ALTER TABLE pgstac.items DISABLE TRIGGER almagest_insert")
        for when in ("2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z"):
            stock(settings, [item(when=when)])
        connection.execute("ALTER TABLE pgstac.items ENABLE TRIGGER almagest_insert")
    assert len(rows(settings)["one"]) == 2
    assert put(writer, item(when="2024-03-01T00:00:00Z"), item("two")) == Outcome(created=1, updated=1)
    assert len(rows(settings)["one"]) == 1
    assert read(writer) == item(when="2024-03-01T00:00:00Z")


def stock(settings: Settings, items: list[Document]) -> None:
    from pypgstac.load import Loader, Methods

    options = "-c search_path=pgstac,public"
    with database.pgstac(settings, "almagest_writer", options=options) as handle:
        Loader(db=handle).load_items(iter(items), Methods.upsert)


def test_creating_and_replacing_name_the_first_that_does_not_fit(writer: psycopg.Connection, scenes: str) -> None:
    put(writer, item("b"), item("c"))
    with pytest.raises(psycopg.errors.UniqueViolation, match="Item b already exists in collection scenes"):
        put(writer, item("a"), item("c"), item("b"), mode="create")
    assert read(writer, "a") is None
    with pytest.raises(psycopg.errors.NoDataFound, match="Item a does not exist in collection scenes"):
        put(writer, item("b", note=1), item("a"), mode="replace")
    assert read(writer, "b") == item("b")
    assert put(writer, item("a"), mode="create") == Outcome(created=1)
    assert put(writer, item("a"), item("b", note=1), mode="replace") == Outcome(updated=1, unchanged=1)


def test_of_one_id_twice_the_last_counts(writer: psycopg.Connection, scenes: str) -> None:
    assert put(writer, item(note=1), item(note=2)) == Outcome(created=1)
    assert read(writer) == item(note=2)


def test_there_is_no_item_without_its_collection(writer: psycopg.Connection) -> None:
    with pytest.raises(NotFoundError, match="create it first"):
        put(writer, item())
    Store(writer).collections([collection()])
    store = Store(writer)
    batch = store.prepare([item()])
    writer.execute("SELECT delete_collection('scenes')")
    with pytest.raises(NotFoundError, match="Create it first"), writer.transaction():
        store.put(batch)


def test_what_was_known_of_a_collection_that_is_gone_is_forgotten(writer: psycopg.Connection) -> None:
    Store(writer).collections([collection()])
    bases: dict[str, Base] = {}
    batch = Store(writer, bases).prepare([item()])
    assert bases.keys() == {"scenes"}
    writer.execute("SELECT delete_collection('scenes')")
    with pytest.raises(NotFoundError), writer.transaction():
        Store(writer, bases).put(batch)
    assert bases == {}


@pytest.mark.parametrize("again", [False, True])
def test_a_collection_that_changed_after_rows_were_made_is_met(writer: psycopg.Connection, again: bool) -> None:
    """Made again it has the same tag: only its key tells that the rows would be joined with a stranger's."""
    Store(writer).collections([collection(item_assets={"red": {"title": "Red", "roles": ["data"]}})])
    store = Store(writer)
    batch = store.prepare([item()])
    if again:
        writer.execute("SELECT delete_collection('scenes')")
    Store(writer).collections([collection(item_assets={"red": {"title": "Rouge"}, "blue": {"title": "Bleu"}})])
    with writer.transaction():
        assert store.put(batch) == Outcome(created=1)
    assert read(writer) == item()


def test_nothing_changes_where_only_what_items_share_has_changed(
    settings: Settings, writer: psycopg.Connection
) -> None:
    Store(writer).collections([collection(item_assets={"red": {"title": "Red"}})])
    documents = [item("a"), item("b", start_datetime="2024-01-01T00:00:00Z", end_datetime="2024-01-02T00:00:00Z")]
    documents[1]["properties"]["datetime"] = None
    documents[0]["assets"]["red"]["bands"] = [{"name": "x"}, {"name": "y", "note": None}]
    put(writer, *documents)
    before = rows(settings)
    for item_assets in (
        {"red": {"title": "Rot", "bands": [{"name": "x"}, {"name": "z"}]}, "blue": {"title": "Blau"}},
        {"red": {"title": "Red", "bands": [{"name": "x"}], "roles": ["data"]}},
        {},
        {"red": 1, "blue": {"a": None}},
    ):
        with writer.transaction():
            Store(writer).collections([collection(item_assets=item_assets)])
        assert put(writer, *documents) == Outcome(unchanged=2)
        assert rows(settings) == before
        for place, value in (("title", None), ("bands", [{"name": "x"}]), ("roles", []), ("note", None)):
            other = orjson.loads(orjson.dumps(documents[0]))
            other["assets"]["red"][place] = value
            assert put(writer, other) == Outcome(updated=1), (item_assets, place)
            assert read(writer, "a") == other
            assert put(writer, documents[0]) == Outcome(updated=1)
        before = rows(settings)


def test_what_the_loader_of_pgstac_stored_is_the_same_to_us(settings: Settings, writer: psycopg.Connection) -> None:
    Store(writer).collections([collection(item_assets={"red": {"title": "Red"}})])
    documents = [item(f"i{n}") for n in range(5)]
    stock(settings, documents)
    before = rows(settings)
    assert put(writer, *documents) == Outcome(unchanged=5)
    assert rows(settings) == before


def test_real_items_are_read_as_those_of_the_loader_of_pgstac(
    cluster: Cluster, settings: Settings, shared_data: Any
) -> None:
    collections = [data.collections()[identifier] for identifier in data.COLORADO]
    items = [document for name in data.COLORADO for document in data.items(f"colorado/{name}")][:300]
    loading.load_documents(settings, collections, items)
    with cluster.clone("template_almagest") as name:
        other = cluster.settings(name)
        with admin(other) as connection:
            migrate.migrate(connection)
        loading.load_documents(other, collections, [])
        stock(other, items)
        with admin(settings) as ours, admin(other) as theirs:
            shapes = "SELECT collection, id, datetime, end_datetime, geometry::bytea FROM pgstac.items ORDER BY 1, 2"
            assert ours.execute(shapes).fetchall() == theirs.execute(shapes).fetchall()
            hydrated = "SELECT pgstac.content_hydrate(i) FROM pgstac.items AS i ORDER BY collection, id"
            ours.execute("SET search_path = pgstac, public")
            theirs.execute("SET search_path = pgstac, public")
            assert ours.execute(hydrated).fetchall() == theirs.execute(hydrated).fetchall()
        with database.connect(settings, "almagest_writer") as connection:
            for document in items:
                assert read(connection, document["id"], document["collection"]) == document


def test_a_batch_is_whole_with_what_else_is_written(writer: psycopg.Connection, scenes: str) -> None:
    run = writer.execute("SELECT begin_ingest('key', 'file.ndjson')").fetchone()
    assert run is not None
    store = Store(writer)
    batch = store.prepare([item()])
    with writer.transaction(force_rollback=True):
        store.put(batch)
        writer.execute("SELECT record_batch(%s, '\\x01', 1, 1, 0, 0)", run)
    assert read(writer) is None
    assert writer.execute("SELECT * FROM ingest_batches(%s)", run).fetchall() == []


def test_a_run_that_is_not_finished_goes_on(writer: psycopg.Connection) -> None:
    def one(statement: str, *values: object) -> Any:
        row = writer.execute(statement.encode(), values).fetchone()
        return row if row is None or len(row) > 1 else row[0]

    run = one("SELECT begin_ingest('key', 'file.ndjson', '{\"a\": 1}')")
    assert one("SELECT begin_ingest('key', 'file.ndjson')") == run
    assert one("SELECT begin_ingest('other', 'file.ndjson')") != run
    assert one("SELECT record_batch(%s, '\\x01', 3, 1, 1, 1)", run) is True
    assert one("SELECT record_batch(%s, '\\x01', 3, 1, 1, 1)", run) is False
    assert one("SELECT record_batch(%s, '\\x02', 4, 4, 0, 0)", run) is True
    digests = writer.execute("SELECT * FROM ingest_batches(%s) AS b ORDER BY b", (run,)).fetchall()
    assert digests == [(b"\x01",), (b"\x02",)]
    assert one("SELECT * FROM finish_ingest(%s)", run) == (7, 5, 1, 1)
    assert one("SELECT * FROM finish_ingest(%s)", run) == (None,) * 4
    assert one("SELECT count(*) FROM ingest_batch") == 0
    assert one("SELECT items, source, options FROM ingest_run WHERE id = %s", run) == (7, "file.ndjson", {"a": 1})
    assert one("SELECT begin_ingest('key', 'file.ndjson')") != run


def test_how_many_are_there(writer: psycopg.Connection, scenes: str) -> None:
    put(writer, item("a"), item("b", "2025-01-01T00:00:00Z"))
    assert writer.execute("SELECT count_present('scenes', '{a,b,c}')").fetchone() == (2,)


def test_readers_see_nothing_of_runs(settings: Settings) -> None:
    with database.connect(settings, "almagest_reader") as connection:
        for statement in (b"SELECT * FROM ingest_run", b"SELECT begin_ingest('a', 'b')"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)


# ---------------------------------------------------------------------------------------------------------------------
# Partitions


def test_a_partition_takes_whole_years_until_it_is_refreshed(settings: Settings, writer: psycopg.Connection) -> None:
    Store(writer).collections([collection()])
    store = Store(writer)
    with writer.transaction():
        store.put([item("a", "2024-05-05T00:00:00Z")])
    limits = "SELECT constraint_dtrange::text FROM pgstac.partitions_view WHERE collection = 'scenes'"
    with admin(settings) as connection:
        connection.execute("SET search_path = pgstac, public; SET timezone = 'UTC'")
        (wide,) = connection.execute(limits).fetchone() or ("",)
        assert wide == '["2024-01-01 00:00:00+00","2024-12-31 23:59:59.999999+00"]'
        store.refresh()
        (narrow,) = connection.execute(limits).fetchone() or ("",)
        assert narrow == '["2024-05-05 00:00:00+00","2024-05-05 00:00:00+00"]'
        batch = store.prepare([item("b", "2024-07-07T00:00:00Z")])
        connection.execute("SELECT update_partition_stats_q(partition) FROM partitions_view")
    with writer.transaction():  # narrowed after it was prepared
        assert store.put(batch) == Outcome(created=1)


def test_a_large_batch_over_many_months_goes_in_by_parts(
    settings: Settings, writer: psycopg.Connection, scenes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("almagest.catalogue.storing._MAX_ROWS", 50)
    documents = [item(f"i{n:03}", f"{2015 + n % 9}-{1 + n % 12:02}-01T12:00:00+02:00") for n in range(240)]
    assert put(writer, *documents) == Outcome(created=240)
    moved = [item(f"i{n:03}", f"{2016 + n % 9}-{1 + n % 12:02}-01T12:00:00+02:00") for n in range(240)]
    assert put(writer, *moved) == Outcome(updated=240)
    assert all(len(places) == 1 for places in rows(settings).values())


# ---------------------------------------------------------------------------------------------------------------------
# Many at once


def at_once(settings: Settings, *works: Callable[[psycopg.Connection], None]) -> None:
    """Runs all at the same moment, each on its own connection; the first error is raised."""
    ready = threading.Barrier(len(works))

    def run(work: Callable[[psycopg.Connection], None]) -> None:
        with database.connect(settings, "almagest_writer") as connection:
            ready.wait(60)
            work(connection)

    with ThreadPoolExecutor(len(works)) as pool:
        for future in [pool.submit(run, work) for work in works]:
            future.result()


def test_sixty_four_writers_of_one_item_lose_nothing(
    settings: Settings, writer: psycopg.Connection, scenes: str
) -> None:
    put(writer, item())

    def add(number: int) -> Callable[[psycopg.Connection], None]:
        def work(connection: psycopg.Connection) -> None:
            store = Store(connection)
            with connection.transaction():
                connection.execute("SELECT lock_item('scenes', 'one')")
                document = read(connection)
                assert document is not None
                document["assets"][f"a{number}"] = {"href": f"https://a.org/{number}"}
                assert store.put([document], mode="replace") == Outcome(updated=1)

        return work

    at_once(settings, *(add(number) for number in range(64)))
    document = read(writer)
    assert document is not None
    assert set(document["assets"]) == {"red", *(f"a{number}" for number in range(64))}
    assert len(rows(settings)["one"]) == 1


def test_the_same_new_item_is_created_once(settings: Settings, writer: psycopg.Connection, scenes: str) -> None:
    outcomes: list[object] = []

    def create(connection: psycopg.Connection) -> None:
        when = f"2024-{random.randint(1, 12):02}-01T00:00:00Z"
        try:
            outcomes.append(put(connection, item(when=when), mode="create"))
        except psycopg.errors.UniqueViolation as error:
            outcomes.append(str(error.diag.message_primary))

    at_once(settings, *[create] * 16)
    assert outcomes.count("Item one already exists in collection scenes.") == 15
    assert Outcome(created=1) in outcomes
    assert len(rows(settings)["one"]) == 1


def test_bulks_in_opposite_order_singles_and_changing_collections_do_not_stop_each_other(
    settings: Settings, writer: psycopg.Connection, scenes: str
) -> None:
    """Every writer ends without an error, and every id is stored once, as somebody wrote it."""
    ids = [f"i{n:03}" for n in range(120)]
    until = time.monotonic() + 4

    def when(chance: random.Random) -> str:
        return f"2024-{chance.randint(1, 12):02}-01T00:00:00Z"

    def bulk(seed: int, *, backwards: bool) -> Callable[[psycopg.Connection], None]:
        def work(connection: psycopg.Connection) -> None:
            chance = random.Random(seed)
            while time.monotonic() < until:
                documents = [item(i, when(chance), note=chance.randint(0, 9)) for i in ids]
                store = Store(connection)
                with connection.transaction():
                    if backwards:  # two calls of one transaction, against the order
                        store.put(documents[60:])
                        store.put(documents[:60])
                    else:
                        store.put(documents)

        return work

    def single(seed: int) -> Callable[[psycopg.Connection], None]:
        def work(connection: psycopg.Connection) -> None:
            chance = random.Random(seed)
            while time.monotonic() < until:
                few = chance.sample(ids, chance.choice([1, 1, 1, 20]))
                put(connection, *(item(i, when(chance), note=chance.randint(0, 9)) for i in few))

        return work

    def collections(connection: psycopg.Connection) -> None:
        number = 0
        while time.monotonic() < until:
            number += 1
            with connection.transaction():
                Store(connection).collections([collection(item_assets={"red": {"title": f"Red {number % 3}"}})])
            time.sleep(0.2)

    works = [bulk(1, backwards=False), bulk(2, backwards=True), *(single(seed) for seed in range(6)), collections]
    at_once(settings, *works)
    found = rows(settings)
    assert set(found) == set(ids)
    assert all(len(places) == 1 for places in found.values())
    for i in ids:
        document = read(writer, i)
        assert document is not None
        expected = item(i, document["properties"]["datetime"], note=document["properties"]["note"])
        assert document == expected
