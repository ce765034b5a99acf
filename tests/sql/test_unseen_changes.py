"""Where rows changed while no trigger saw it, the next change is kept all the same, and nothing is made up."""

from __future__ import annotations

import re
from collections.abc import Iterator

import psycopg
import pytest

from almagest.catalogue import database, keeping
from almagest.core.settings import Settings
from support import adopted, versions
from support.adopted import collection, item

INSERT_AGAIN = """
    INSERT INTO pgstac.items (id, collection, geometry, datetime, end_datetime, content)
    SELECT id, collection, geometry, datetime, end_datetime, content || '{"new": 1}' FROM kept
"""


@pytest.fixture
def connection(settings: Settings) -> Iterator[psycopg.Connection]:
    with database.connect(settings, "postgres") as connection:
        adopted.add_collection(connection, collection("c"))
        adopted.load(settings, [item("c", number) for number in range(3)])
        connection.execute("CREATE TEMP TABLE kept AS SELECT * FROM pgstac.items WHERE id = 'i0'")
        yield connection


def unseen(connection: psycopg.Connection, statement: str) -> None:
    """Does something as a restoring or replicating server does."""
    with connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")
        connection.execute(statement)


def test_an_item_that_went_unseen_and_comes_back_is_another_version(connection: psycopg.Connection) -> None:
    """Its head is live, as when pgSTAC moves it, but nothing moves: what comes is no mere return of what was."""
    unseen(connection, "DELETE FROM pgstac.items WHERE id = 'i0'")
    connection.execute(INSERT_AGAIN)
    lost, come = versions.documents(connection, "c", "i0")
    assert lost is None
    assert come is not None
    assert come["new"] == 1
    assert keeping.problems(connection) == []


@pytest.mark.parametrize(
    ("statement", "new"),
    [
        ("UPDATE pgstac.items SET content = content || '{\"newer\": 1}' WHERE id = 'i0'", {"new": 1, "newer": 1}),
        ("DELETE FROM pgstac.items WHERE id = 'i0'", None),
    ],
)
def test_an_item_that_came_unseen_leaves_what_it_was(
    connection: psycopg.Connection, statement: str, new: dict[str, int] | None
) -> None:
    connection.execute("DELETE FROM pgstac.items WHERE id = 'i0'")
    unseen(connection, INSERT_AGAIN)
    connection.execute(statement)
    _, was, now = versions.documents(connection, "c", "i0")
    assert was is not None
    assert (was["new"], "newer" in was) == (1, False)
    assert (now and {name: now[name] for name in ("new", "newer")}) == new
    assert keeping.problems(connection) == []


def test_an_item_whose_head_was_pruned_meanwhile_comes_back_without_a_past(connection: psycopg.Connection) -> None:
    connection.execute("DELETE FROM pgstac.items WHERE id = 'i0'")
    connection.execute(
        "DELETE FROM almagest.item_history WHERE id = 'i0'; DELETE FROM almagest.item_head WHERE id = 'i0'"
    )
    connection.execute(INSERT_AGAIN)
    (now,) = versions.documents(connection, "c", "i0")
    assert now is not None


def test_a_collection_without_a_head_can_be_changed_and_deleted(connection: psycopg.Connection) -> None:
    connection.execute("DELETE FROM almagest.collection_head WHERE id = 'c'")
    assert any("c came without" in problem for problem in keeping.problems(connection))
    changed = {**collection("c"), "description": "another"}
    with connection.transaction():
        connection.execute("SET LOCAL search_path = pgstac, public")
        connection.execute("SELECT update_collection(%s::jsonb)", (psycopg.types.json.Jsonb(changed),))
    connection.execute("SELECT pgstac.delete_collection('c')")
    states = connection.execute("SELECT deleted FROM almagest.collection_states('c')").fetchall()
    assert states == [(True,), (False,), (False,)]
    assert keeping.problems(connection) == []


def test_mending_makes_heads_and_base_items_agree_with_what_is_there(
    settings: Settings, connection: psycopg.Connection
) -> None:
    unseen(connection, "DELETE FROM pgstac.items WHERE id = 'i1'")
    unseen(
        connection,
        """
        INSERT INTO pgstac.collections (content) SELECT content || '{"id": "d"}' FROM pgstac.collections WHERE id = 'c';
        """,
    )
    connection.execute("DELETE FROM almagest.base_item")
    connection.execute("DELETE FROM almagest.item_head WHERE id = 'i2'")
    said = " ".join(keeping.problems(connection))
    for sentence in ("c/i1 went without", "c/i2, d came without", "3 base items"):
        assert sentence in said
    assert keeping.mend(connection) == (1, 2)
    assert keeping.problems(connection) == []
    assert versions.documents(connection, "c", "i0")[0] is not None


SAFE = {None, "pg_catalog, pg_temp", "almagest, pg_temp"}


def test_what_writers_set_off_looks_where_nobody_else_can_make_anything(connection: psycopg.Connection) -> None:
    """A function that fits better than PostgreSQL's own is called instead, if its schema is looked into.

    In a database older than PostgreSQL 15 everybody may make one in public; stock pgSTAC lets its writers in pgstac.
    """
    functions: dict[str, tuple[bool, str | None, str]] = {
        name: (is_trigger, path, source)
        for name, is_trigger, path, source in connection.execute(
            """
            SELECT p.proname, p.prosecdef AND p.prorettype IN ('trigger'::regtype, 'event_trigger'::regtype),
                   substring(s.setting FROM '^search_path=(.*)'), p.prosrc
            FROM pg_proc AS p
            LEFT JOIN LATERAL unnest(p.proconfig) AS s(setting) ON s.setting LIKE 'search_path=%'
            WHERE p.pronamespace = 'almagest'::regnamespace
            """
        ).fetchall()
    }
    triggers = {name for name, (is_trigger, _, _) in functions.items() if is_trigger}
    assert len(triggers) >= 10
    called: set[str] = set()
    calling = triggers
    while calling - called:
        called |= calling
        calling = {name for caller in called for name in re.findall(r"almagest\.(\w+)\(", functions[caller][2])}
        calling &= functions.keys()
    assert len(called) > len(triggers) + 10
    assert {name for name in called if functions[name][1] not in SAFE} == set()
    assert {name for name in triggers if functions[name][1] is None} == set()


def test_nobody_pretends_that_pgstac_moves_an_item(settings: Settings, connection: psycopg.Connection) -> None:
    """While pgSTAC fills new partitions a table of this name is there; anybody may make one."""
    connection.execute("UPDATE pgstac.collections SET partition_trunc = 'month' WHERE id = 'c'")
    with database.connect(settings, "almagest_writer") as writer:
        writer.execute("CREATE TEMP TABLE changepartitionstaging ()")
        writer.execute(
            """
            INSERT INTO pgstac.items (id, collection, geometry, datetime, end_datetime, content)
            SELECT o.id, t.collection, t.geometry, t.datetime, t.end_datetime, t.content
            FROM pgstac.items AS o, pgstac.items AS t WHERE o.id = 'i1' AND t.id = 'i2'
            """
        )
    assert len(versions.documents(connection, "c", "i1")) == 2
    assert connection.execute("SELECT count(*) FROM pgstac.items WHERE id = 'i1'").fetchone() == (1,)


def test_a_row_that_came_unseen_leaves_its_version_when_its_collection_goes(connection: psycopg.Connection) -> None:
    connection.execute("DELETE FROM pgstac.items WHERE id = 'i0'")
    unseen(connection, INSERT_AGAIN)
    connection.execute("SELECT pgstac.delete_collection('c')")
    _, came, gone = versions.documents(connection, "c", "i0")
    assert came is not None
    assert came["new"] == 1
    assert gone is None
