"""What each way of writing leaves behind: a version for a change, and none for what only looks like one."""

from __future__ import annotations

import getpass
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

import orjson
import psycopg
import pytest
from psycopg import sql
from pypgstac.db import PgstacDB
from pypgstac.load import Loader
from pypgstac.pypgstac import PgstacCLI

from almagest.catalogue import database
from almagest.catalogue.storing import Store
from almagest.core.settings import Settings
from support import versions
from support.cluster import Cluster

Document = dict[str, Any]

_numbers = count()


def item(collection: str, identifier: str = "one", **properties: Any) -> Document:
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": identifier,
        "collection": collection,
        "geometry": {"type": "Point", "coordinates": [1, 2]},
        "bbox": [1, 2, 1, 2],
        "properties": {"datetime": "2024-01-05T00:00:00Z", "empty": {}, **properties},
        "links": [],
        "assets": {"red": {"href": "https://a.org/red.tif", "title": "Red", "roles": []}},
    }


@dataclass
class Place:
    """A collection of its own, by month, and ways to write into it.

    Attributes:
        settings: where it lies.
        admin: a connection as superuser.
        id: of the collection.
    """

    settings: Settings
    admin: psycopg.Connection
    id: str

    @property
    def one(self) -> Document:
        return item(self.id)

    @property
    def changed(self) -> Document:
        return item(self.id, number=[])

    @property
    def null(self) -> Document:
        return item(self.id, nothing=None, list=[None])

    @property
    def moved(self) -> Document:
        return item(self.id, datetime="2025-03-01T00:00:00Z")

    @property
    def other(self) -> Document:
        return item(self.id, "two")

    def collection(self, **item_assets: Any) -> Document:
        return {
            "type": "Collection",
            "stac_version": "1.1.0",
            "id": self.id,
            "description": "d",
            "license": "other",
            "links": [],
            "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}},
            "item_assets": item_assets,
        }

    def stock(self, user: str = "almagest_writer") -> PgstacDB:
        database = self.settings.database
        return PgstacDB(dsn=f"postgresql://{user}@/{database.name}?host={self.settings.db_host}&port={database.port}")

    def load(self, method: str, *documents: Document, user: str = "almagest_writer") -> None:
        stock = self.stock(user)
        try:
            with tempfile.NamedTemporaryFile("wb", suffix=".ndjson") as file:
                file.write(b"\n".join(map(orjson.dumps, documents)))
                file.flush()
                Loader(stock).load_items(file.name, insert_mode=method)
        finally:
            stock.close()

    def call(self, statement: str, document: Any = None) -> None:
        """A function of pgSTAC's, as its API calls it."""
        with self.admin.transaction():
            self.admin.execute("SET LOCAL search_path = pgstac, public")
            self.admin.execute(statement, None if document is None else (orjson.dumps(document).decode(),))

    def sql(self, statement: str) -> None:
        self.admin.execute(statement, {"collection": self.id})

    def leaf(self, document: Document) -> sql.Identifier:
        """The partition for an item; made where it is missing."""
        moment = document["properties"]["datetime"]
        name = self.admin.execute("SELECT ensure_partitions(%s, %s, %s)", (self.id, [moment], [moment])).fetchone()
        assert name is not None
        return sql.Identifier("pgstac", name[0][0])

    def copy(self, document: Document, identifier: str) -> None:
        """Another row like that of an item, copied into a partition as a stranger would."""
        statement = sql.SQL("COPY {} (id, collection, geometry, datetime, end_datetime, content) FROM stdin")
        leaf, moment = self.leaf(document), document["properties"]["datetime"]
        content = {name: document[name] for name in document if name not in {"id", "collection", "geometry"}}
        shape = "SRID=4326;POINT(1 2)"
        with self.admin.cursor() as cursor, cursor.copy(statement.format(leaf)) as stream:
            stream.write_row((identifier, self.id, shape, moment, moment, orjson.dumps(content).decode()))

    def change_item_assets(self, **item_assets: Any) -> None:
        self.call("SELECT update_collection(%s::jsonb)", self.collection(**item_assets))

    def past(self, identifier: str = "one") -> list[Document | None]:
        return versions.documents(self.admin, self.id, identifier)

    def rows(self) -> int:
        found = self.admin.execute("SELECT count(*) FROM pgstac.items WHERE collection = %s", (self.id,)).fetchone()
        assert found is not None
        return int(found[0])


@pytest.fixture(scope="module")
def ground(cluster: Cluster) -> Iterator[tuple[Settings, psycopg.Connection]]:
    """One database for all paths: each takes a collection of its own."""
    with cluster.clone("template_almagest") as name, cluster.connect(name) as admin:
        admin.execute("SET search_path = almagest, public")
        yield cluster.settings(name), admin


@pytest.fixture
def place(ground: tuple[Settings, psycopg.Connection]) -> Place:
    settings, admin = ground
    made = Place(settings, admin, f"c{next(_numbers)}")
    Store(admin).collections([made.collection(red={"title": "Red"})])
    made.sql("UPDATE pgstac.collections SET partition_trunc = 'month' WHERE id = %(collection)s")
    return made


Do = Callable[[Place], object]
Past = Callable[[Place], list[Document | None]]


def unchanged(place: Place) -> list[Document | None]:
    return [place.one]


def changed(place: Place) -> list[Document | None]:
    return [place.one, place.changed]


def moved(place: Place) -> list[Document | None]:
    return [place.one, place.moved]


def nulled(place: Place) -> list[Document | None]:
    return [place.one, place.null]


def gone(place: Place) -> list[Document | None]:
    return [place.one, None]


def twice(place: Place) -> list[Document | None]:
    return [place.one, place.changed, place.one]


def reload_untagged(place: Place) -> None:
    """As a loader does that read the collection before it changed: the row that was there at first."""
    statement = "SELECT content FROM pgstac.items WHERE collection = %s AND id = 'one'"
    (before,) = place.admin.execute(statement, (place.id,)).fetchone() or ()
    place.change_item_assets(red={"title": "Red", "unit": "m"})
    place.load("upsert", place.one)
    (after,) = place.admin.execute(statement, (place.id,)).fetchone() or ()
    assert before != after
    assert ("pgstac:base_item" in before, "pgstac:base_item" in after) == (False, True)
    place.admin.execute(
        "UPDATE pgstac.items SET content = %s WHERE collection = %s AND id = 'one'",
        (orjson.dumps(before).decode(), place.id),
    )


def reload_tagged(method: str) -> Do:
    def do(place: Place) -> None:
        place.change_item_assets(red={"title": "Red", "roles": []}, blue={"title": "Blue"})
        place.load(method, place.one)

    return do


def queryables(place: Place) -> None:
    stock = place.stock("postgres")
    try:
        with tempfile.NamedTemporaryFile("wb", suffix=".json") as file:
            file.write(orjson.dumps({"type": "object", "properties": {"number": {"type": "number"}}}))
            file.flush()
            cli = PgstacCLI.__new__(PgstacCLI)
            cli._db = stock
            cli.load_queryables(file.name, collection_ids=[place.id], index_fields=["number"])
    finally:
        stock.close()


def ours(name: str) -> Do:
    def do(place: Place) -> None:
        Store(place.admin).put([getattr(place, name)])

    return do


def trunc(*intervals: str | None) -> Do:
    def do(place: Place) -> None:
        for interval in intervals:
            place.admin.execute(
                "UPDATE pgstac.collections SET partition_trunc = %s WHERE id = %s", (interval, place.id)
            )

    return do


def in_one_transaction(*steps: Do) -> Do:
    def do(place: Place) -> None:
        place.leaf(place.moved)
        with place.admin.transaction():
            for step in steps:
                step(place)

    return do


def undone(step: Do) -> Do:
    def do(place: Place) -> None:
        with place.admin.transaction(force_rollback=True):
            step(place)

    return do


def statement(text: str) -> Do:
    return lambda place: place.sql(text)


def function(text: str, name: str) -> Do:
    def do(place: Place) -> None:
        document = getattr(place, name)
        place.call(text, [document] if "items(" in text else document)

    return do


UPSERT, UPSERTS = "SELECT upsert_item(%s::jsonb)", "SELECT upsert_items(%s::jsonb)"
UPDATE = "SELECT update_item(%s::jsonb)"
NUMBER = """
    UPDATE pgstac.items SET content = jsonb_set(content, '{properties,number}', '[]') WHERE collection = %(collection)s
"""
NUMBER_BACK = "UPDATE pgstac.items SET content = content #- '{properties,number}' WHERE collection = %(collection)s"
MOVE = """
    UPDATE pgstac.items
    SET datetime = '2025-03-01Z', end_datetime = '2025-03-01Z',
        content = jsonb_set(content, '{properties,datetime}', '"2025-03-01T00:00:00Z"')
    WHERE collection = %(collection)s
"""
DELETE = "DELETE FROM pgstac.items WHERE collection = %(collection)s AND id = 'one'"


def load(method: str, name: str) -> Do:
    return lambda place: place.load(method, getattr(place, name))


def move(place: Place) -> None:
    place.leaf(place.moved)
    place.sql(MOVE)


#: What is done to an item that is there, and what it was, one after the other.
PATHS: dict[str, tuple[Do, Past]] = {
    "pypgstac load, ignore": (load("ignore", "changed"), unchanged),
    "pypgstac load, upsert, the same": (load("upsert", "one"), unchanged),
    "pypgstac load, upsert, changed": (load("upsert", "changed"), changed),
    "pypgstac load, upsert, another month": (load("upsert", "moved"), moved),
    "pypgstac load, ignore, another month": (load("ignore", "moved"), moved),
    "pypgstac load, insert, another month": (load("insert", "moved"), moved),
    "pypgstac load, delsert, the same": (load("delsert", "one"), unchanged),
    "pypgstac load, delsert, changed": (load("delsert", "changed"), changed),
    "pypgstac load, delsert, another month": (load("delsert", "moved"), moved),
    "pypgstac load, upsert, a null more": (load("upsert", "null"), nulled),
    "pypgstac load, a null more, twice": (lambda place: [place.load("delsert", place.null) for _ in "12"], nulled),
    "put_items, the same": (ours("one"), unchanged),
    "put_items, changed": (ours("changed"), changed),
    "put_items, another month": (ours("moved"), moved),
    "pypgstac loadqueryables": (queryables, unchanged),
    "upsert_item, the same": (function(UPSERT, "one"), unchanged),
    "upsert_item, changed": (function(UPSERT, "changed"), changed),
    "upsert_item, another month": (function(UPSERT, "moved"), moved),
    "upsert_items, the same": (function(UPSERTS, "one"), unchanged),
    "upsert_items, changed": (function(UPSERTS, "changed"), changed),
    "upsert_item, a null more, which it drops": (
        function(UPSERT, "null"),
        lambda place: [place.one, item(place.id, list=[None])],
    ),
    "update_item, the same": (function(UPDATE, "one"), unchanged),
    "update_item, changed": (function(UPDATE, "changed"), changed),
    "update_item, another month": (function(UPDATE, "moved"), moved),
    "delete_item": (lambda place: place.call(f"SELECT delete_item('one', '{place.id}')"), gone),
    "UPDATE of the content": (statement(NUMBER), changed),
    "UPDATE of the time to another month": (move, moved),
    "UPDATE of nothing": (statement("UPDATE pgstac.items SET id = id WHERE collection = %(collection)s"), unchanged),
    "UPDATE of what is private": (
        statement("UPDATE pgstac.items SET private = '{}' WHERE collection = %(collection)s"),
        unchanged,
    ),
    "DELETE": (statement(DELETE), gone),
    "COPY into a leaf of another month": (lambda place: place.copy(place.moved, "one"), moved),
    "delete_collection": (lambda place: place.call(f"SELECT delete_collection('{place.id}')"), gone),
    "DELETE of the collection": (statement("DELETE FROM pgstac.collections WHERE id = %(collection)s"), gone),
    "repartition to years": (trunc("year"), unchanged),
    "repartition to one, and back": (trunc(None, "month"), unchanged),
    "pgstac.repartition itself": (statement("SELECT pgstac.repartition(%(collection)s, 'year')"), unchanged),
    "other item_assets": (lambda place: place.change_item_assets(red={"title": "Other"}), unchanged),
    "upsert again after other item_assets": (reload_tagged("upsert"), unchanged),
    "delsert again after other item_assets": (reload_tagged("delsert"), unchanged),
    "again as before the other item_assets": (reload_untagged, unchanged),
    "changed and back, in two transactions": (lambda place: (place.sql(NUMBER), place.sql(NUMBER_BACK)), twice),
    "changed and back, in one transaction": (in_one_transaction(statement(NUMBER), statement(NUMBER_BACK)), unchanged),
    "deleted and made again as it was": (
        in_one_transaction(function(UPDATE, "moved"), function(UPDATE, "one")),
        unchanged,
    ),
    "changed, then deleted, in one transaction": (in_one_transaction(statement(NUMBER), statement(DELETE)), gone),
    "changed, but rolled back": (undone(statement(NUMBER)), unchanged),
    "deleted, but back at the savepoint": (in_one_transaction(undone(statement(DELETE))), unchanged),
    "deleted, but back at the savepoint, then changed": (
        in_one_transaction(undone(statement(DELETE)), statement(NUMBER)),
        changed,
    ),
    "changed, then deleted, but back at the savepoint": (
        in_one_transaction(statement(NUMBER), undone(statement(DELETE))),
        changed,
    ),
}


@pytest.mark.parametrize("since", ["versions are kept", "before that"])
@pytest.mark.parametrize("path", PATHS)
def test_each_path_leaves_what_has_changed(place: Place, path: str, since: str) -> None:
    place.load("insert", place.one, place.other)
    if since == "before that":
        place.admin.execute("INSERT INTO adopted_collection (id) VALUES (%s)", (place.id,))
        place.admin.execute("DELETE FROM item_head WHERE collection = %s", (place.id,))
    began = versions.states(place.admin, place.id, "one")[0].valid_from
    do, expected = PATHS[path]
    do(place)
    states = versions.states(place.admin, place.id, "one")
    assert [state.document for state in states] == expected(place)
    assert states[0].valid_from == began
    assert place.rows() == sum(past[-1] is not None for past in (expected(place), place.past("two")))


#: What puts an item there that never was.
NEW: dict[str, Do] = {
    **{f"pypgstac load, {method}": load(method, "one") for method in ("insert", "ignore", "upsert", "delsert")},
    **{
        name: function(f"SELECT {name}(%s::jsonb)", "one")
        for name in ("create_item", "create_items", "upsert_item", "upsert_items")
    },
    "put_items": ours("one"),
    "COPY into a leaf": lambda place: place.copy(place.one, "one"),
    "made, changed and deleted, then made again, in one transaction": in_one_transaction(
        function("SELECT create_item(%s::jsonb)", "changed"),
        function(UPDATE, "moved"),
        statement(DELETE),
        function("SELECT create_item(%s::jsonb)", "one"),
    ),
}


@pytest.mark.parametrize("since", ["versions are kept", "before that"])
@pytest.mark.parametrize("path", NEW)
def test_what_is_new_has_one_version(place: Place, path: str, since: str) -> None:
    if since == "before that":
        place.admin.execute("INSERT INTO adopted_collection (id) VALUES (%s)", (place.id,))
    (before,) = place.admin.execute("SELECT clock_timestamp()").fetchone() or ()
    NEW[path](place)
    (state,) = versions.states(place.admin, place.id, "one")
    assert state.valid_from > before
    assert {**place.one, **(state.document or {})} == place.one  # a stranger's COPY knows no base


def test_what_was_refused_leaves_nothing(place: Place) -> None:
    place.load("insert", place.one)
    with pytest.raises(psycopg.errors.UniqueViolation):
        place.call("SELECT create_item(%s::jsonb)", place.changed)
    assert place.past() == [place.one]


def test_what_came_and_went_within_a_transaction_never_was(place: Place) -> None:
    with place.admin.transaction():
        place.call("SELECT create_item(%s::jsonb)", place.one)
        place.sql(DELETE)
    assert place.past() == []


def test_each_step_of_many_is_found_again(place: Place) -> None:
    """As many as it takes for the clock not to tell two of them apart."""
    place.load("insert", place.one)
    for number in range(100):
        place.admin.execute(
            """
            UPDATE pgstac.items SET content = jsonb_set(content, '{properties,number}', to_jsonb(%s))
            WHERE collection = %s
            """,
            (number, place.id),
        )
    assert place.past() == [place.one, *(item(place.id, number=number) for number in range(100))]


WHO = "SELECT login, actor, key_id, request_id, job FROM item_states(%s, 'one') ORDER BY valid_from"


def test_a_version_says_who_made_it(place: Place, stranger: str) -> None:
    place.load("insert", place.one, user=stranger)
    with database.connect(place.settings, "almagest_writer") as writer:
        with writer.transaction():
            writer.execute("SELECT write_as('ada', 'k1', 'r1', 'j1')")
            Store(writer).put([place.changed])
        Store(writer).put([place.moved])  # whom the transaction before named is not asked again
        with writer.transaction():
            writer.execute("SELECT write_as('bob', NULL, NULL)")
            Store(writer).put([place.moved])  # changes nothing
    with place.admin.transaction():
        place.admin.execute("SELECT write_as('eve', NULL, 'r2')")
        place.call(f"SELECT delete_collection('{place.id}')")
    assert place.admin.execute(WHO, (place.id,)).fetchall() == [
        (stranger, None, None, None, None),
        ("almagest_writer", "ada", "k1", "r1", "j1"),
        ("almagest_writer", getpass.getuser(), None, None, None),
        ("postgres", "eve", None, "r2", None),
    ]


def test_who_is_none_of_ours_cannot_write_in_the_name_of_others(place: Place, stranger: str) -> None:
    with database.connect(place.settings, stranger) as connection:
        connection.execute("SET almagest.actor = 'the boss'; SET almagest.key_id = 'k'; SET almagest.job = 'j'")
        place.load("insert", place.one)
        connection.execute("DELETE FROM pgstac.items WHERE collection = %s", (place.id,))
    assert place.admin.execute(WHO, (place.id,)).fetchall()[-1] == (stranger, None, None, None, None)


def test_nobody_slips_a_base_item_under_what_is_there(place: Place, stranger: str) -> None:
    """Items that were stored before their collection was ever edited are read with the first base item there is."""
    place.load("insert", place.one)
    with (
        database.connect(place.settings, stranger) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege, match="first base item"),
    ):
        connection.execute(
            "INSERT INTO pgstac.base_items (collection, base_item) VALUES (%s, %s)",
            (place.id, '{"assets": {"red": {"title": "FORGED"}}}'),
        )
    place.change_item_assets(red={"title": "Another"})
    assert place.past() == [place.one]


def test_what_was_undone_names_nobody(place: Place, stranger: str) -> None:
    """An item that is again as it was before the transaction is still that of whoever made it so."""
    place.load("insert", place.one, user=stranger)
    in_one_transaction(statement(NUMBER), statement(NUMBER_BACK))(place)
    assert place.admin.execute(WHO, (place.id,)).fetchall() == [(stranger, None, None, None, None)]


@pytest.fixture
def stranger(cluster: Cluster) -> Iterator[str]:
    """A login that may write as pgSTAC's own tools do, and no more."""
    name = f"stranger_{next(_numbers)}_{os.getpid()}"
    role = sql.Identifier(name)
    with cluster.connect() as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN IN ROLE pgstac_ingest").format(role))
        yield name
        connection.execute(sql.SQL("DROP ROLE {}").format(role))


@pytest.mark.parametrize(
    "attempt",
    [
        # Found before PostgreSQL's own, they would run with the rights of whoever calls them.
        "CREATE FUNCTION pgstac.format(text, regclass) RETURNS text LANGUAGE sql AS $$ SELECT 'DROP TABLE x' $$",
        "CREATE OPERATOR pgstac.= (FUNCTION = texteq, LEFTARG = oid, RIGHTARG = regnamespace)",
        *(
            f"{what} almagest.{table}"
            for table in (
                "item_head",
                "item_history",
                "collection_head",
                "collection_history",
                "base_item",
                "versioning",
            )
            for what in ("TABLE", "DELETE FROM", "TRUNCATE", "DROP TABLE")
        ),
        "UPDATE almagest.item_head SET actor = 'nobody'",
        "UPDATE almagest.item_history SET actor = 'nobody'",
        "INSERT INTO almagest.moving_collection VALUES ('c')",
        "INSERT INTO almagest.adopted_collection VALUES ('c')",
        "SELECT almagest.item_states('c', 'one')",
        "SELECT almagest.note_item(NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
        "SELECT almagest.port_delete_elsewhere('c', 'one', 0)",
        "ALTER TABLE pgstac.items DISABLE TRIGGER USER",
        "ALTER TABLE pgstac.items DISABLE TRIGGER almagest_update",
        "ALTER TABLE pgstac.collections DISABLE TRIGGER aa_almagest_empty",
        "DROP TRIGGER almagest_delete ON pgstac.items",
        "CREATE OR REPLACE FUNCTION almagest.capture_delete() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'",
        "SET session_replication_role = replica",
        "CREATE TRIGGER mine AFTER DELETE ON pgstac.items FOR EACH ROW EXECUTE FUNCTION almagest.capture_insert()",
        *(
            f"CREATE TRIGGER mine BEFORE {what} FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()"
            for what in (
                "DELETE ON pgstac.items",
                "DELETE ON pgstac.collections",
                "INSERT ON pgstac.items_staging",
                "INSERT ON pgstac.partition_stats",
                "INSERT ON pgstac.query_queue",
            )
        ),
        # What items were stripped against is a part of them.
        "UPDATE pgstac.base_items SET base_item = '{}'",
        "DELETE FROM pgstac.base_items",
        *(f"TRUNCATE pgstac.{table}" for table in ("items", "base_items", "collections CASCADE")),
        "SET ROLE almagest_admin",
    ],
)
def test_a_stranger_who_may_write_cannot_touch_the_past(place: Place, stranger: str, attempt: str) -> None:
    with database.connect(place.settings, stranger) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(attempt)


def test_nor_in_a_partition_that_it_has_made(place: Place, stranger: str) -> None:
    place.load("insert", place.one, place.moved, user=stranger)
    leaves = [place.leaf(document) for document in (place.one, place.moved)]
    assert len({leaf.as_string(None) for leaf in leaves}) == 2
    with database.connect(place.settings, stranger) as connection:
        for leaf in leaves:
            for attempt in (
                "TRUNCATE {}",
                "DROP TABLE {}",
                "ALTER TABLE {} DISABLE TRIGGER USER",
                "CREATE TRIGGER mine BEFORE DELETE ON {} FOR EACH ROW"
                " EXECUTE FUNCTION suppress_redundant_updates_trigger()",
            ):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(sql.SQL(attempt).format(leaf))
    place.load("delsert", place.changed, user=stranger)
    assert place.past()[-1] == place.changed


PUT_BACK = """
    INSERT INTO pgstac.items (id, collection, geometry, datetime, end_datetime, content)
    SELECT k.id, k.collection, k.geometry, k.datetime + %(later)s::interval, k.end_datetime + %(later)s::interval,
           k.content || jsonb_build_object('n', %(n)s::int)
    FROM kept AS k WHERE k.id = 'one'
"""


def test_an_id_that_another_writer_puts_back_meanwhile_is_not_there_twice(place: Place) -> None:
    """He has deleted the row, of which no trigger has told yet, and inserts it again.

    Who puts it into another partition, and waits for the old row to go, must then see the new one.
    """
    place.load("insert", place.other)
    place.load("insert", place.one, place.moved | {"id": "three"})
    place.admin.execute("DROP TABLE IF EXISTS public.kept")
    place.admin.execute("CREATE TABLE public.kept AS SELECT * FROM pgstac.items WHERE collection = %s", (place.id,))
    failures: list[Exception] = []

    def run(name: str, *statements: tuple[str, dict[str, Any]]) -> threading.Thread:
        def do() -> None:
            try:
                with database.connect(place.settings, "postgres") as own, own.transaction():
                    own.execute(sql.SQL("SET application_name = {}").format(name))
                    for text, values in statements:
                        own.execute(text.encode(), values)
            except psycopg.Error as error:
                failures.append(error)

        thread = threading.Thread(target=do)
        thread.start()
        waits = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s AND wait_event_type = 'Lock'"
        deadline = time.monotonic() + 20
        while place.admin.execute(waits, (name,)).fetchone() != (1,):
            assert time.monotonic() < deadline, f"{name} never waited: {failures}"
            time.sleep(0.02)
        return thread

    with database.connect(place.settings, "postgres") as barrier, barrier.transaction():
        barrier.execute("SELECT FROM almagest.item_head WHERE collection = %s AND id = 'two' FOR UPDATE", (place.id,))
        first = run(
            "first",
            ("DELETE FROM pgstac.items WHERE collection = %(of)s AND id IN ('one', 'two')", {"of": place.id}),
            (PUT_BACK, {"later": "0", "n": 2}),
        )
        second = run("second", (PUT_BACK, {"later": "421 days", "n": 3}))
    first.join()
    second.join()
    assert failures == []
    rows = place.admin.execute("SELECT count(*) FROM pgstac.items WHERE collection = %s AND id = 'one'", (place.id,))
    assert rows.fetchone() == (1,)
    assert [document and document.get("n") for document in place.past()] == [None, 2, 3]
