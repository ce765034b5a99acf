"""What would change items without a trace is refused or found, and can be mended."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from almagest.catalogue import database, keeping, migrate
from almagest.core.settings import Settings
from support import adopted, versions
from support.adopted import MONTHLY, WHOLE, collection, item
from support.cluster import Cluster

TABLES = ["items", "collections", "base_items"]


@pytest.fixture
def settings(cluster: Cluster) -> Iterator[Settings]:
    with adopted.stock(cluster, adopted.ADOPTED) as settings:
        yield settings


@pytest.fixture
def connection(settings: Settings) -> Iterator[psycopg.Connection]:
    with database.connect(settings, "postgres") as connection:
        yield connection


def partitions(connection: psycopg.Connection) -> list[str]:
    return [
        name
        for (name,) in connection.execute(
            "SELECT relid::regclass::text FROM pg_partition_tree('pgstac.items')"
        ).fetchall()
    ]


def truncate(connection: psycopg.Connection, table: str) -> None:
    connection.execute(sql.SQL("TRUNCATE {} CASCADE").format(sql.Identifier(*table.split("."))))


def test_nobody_truncates_what_versions_are_kept_of(settings: Settings, connection: psycopg.Connection) -> None:
    adopted.load(settings, [item(MONTHLY, 1, month=40)], "delsert")  # a partition that is new
    everywhere = partitions(connection)
    assert len(everywhere) > 6
    for table in (*everywhere, *(f"pgstac.{name}" for name in TABLES)):
        for role in ("postgres", "pgstac_admin", "pgstac_ingest"):
            with connection.transaction(force_rollback=True):
                connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(role)))
                # Who only writes has no right to it, and who owns the table is told.
                refused = (
                    psycopg.errors.InsufficientPrivilege
                    if role == "pgstac_ingest"
                    else psycopg.errors.FeatureNotSupported
                )
                with pytest.raises(refused, match=r"permission denied|is not truncated"):
                    truncate(connection, table)
    assert keeping.problems(connection) == []


@pytest.mark.parametrize("trunc", ["month", "year", None])
def test_partitions_that_others_make_are_guarded(
    settings: Settings, connection: psycopg.Connection, trunc: str | None
) -> None:
    # Roles belong to the cluster, and these tests run beside one another.
    loader = f"stock_loader_by_{trunc}"
    role = sql.Identifier(loader)
    connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(role))
    connection.execute(sql.SQL("CREATE ROLE {} LOGIN IN ROLE pgstac_ingest").format(role))
    adopted.add_collection(connection, collection("new"))
    connection.execute("UPDATE pgstac.collections SET partition_trunc = %s WHERE id = 'new'", (trunc,))
    adopted.load(settings, [item("new", number) for number in range(5)], user=loader)
    connection.execute("UPDATE pgstac.collections SET partition_trunc = 'year' WHERE id = 'monthly'")
    assert keeping.problems(connection) == []
    assert versions.states(connection, "new", "i1")[0].login == loader


def test_a_table_of_anybody_is_made_whatever_happens_to_us(settings: Settings, connection: psycopg.Connection) -> None:
    connection.execute("DROP ROLE IF EXISTS stranger; CREATE ROLE stranger LOGIN")
    connection.execute("CREATE SCHEMA strange AUTHORIZATION stranger")
    tables = ("CREATE TABLE strange.a (n int)", "CREATE TABLE strange.b (n int) PARTITION BY LIST (n)")
    with database.connect(settings, "stranger") as stranger:
        for statement in (*tables, "CREATE TABLE strange.c PARTITION OF strange.b DEFAULT"):
            stranger.execute(statement.encode())
    connection.execute("DROP FUNCTION almagest.port_guard(regclass)")
    adopted.load(settings, [item(WHOLE, 7), item(MONTHLY, 1, month=40)], "delsert")
    assert versions.documents(connection, MONTHLY, "i1")[-1] == item(MONTHLY, 1, month=40)
    connection.execute("DROP FUNCTION almagest.port_is_partition(oid)")
    with database.connect(settings, "stranger") as stranger:
        stranger.execute("CREATE TABLE strange.d (n int)")
    connection.execute("DROP SCHEMA almagest CASCADE")
    with database.connect(settings, "stranger") as stranger:
        stranger.execute("CREATE TABLE strange.e (n int)")
    connection.execute("DROP SCHEMA strange CASCADE")
    connection.execute("DROP ROLE stranger")


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (
            "ALTER TABLE pgstac.items DISABLE TRIGGER almagest_insert",
            "the trigger almagest_insert, or it is switched off",
        ),
        ("ALTER TABLE pgstac._items_1 DISABLE TRIGGER almagest_delete", "_items_1 lacks the trigger almagest_delete"),
        ("DROP TRIGGER almagest_update ON pgstac.items", "the trigger almagest_update, or"),
        ("DROP TRIGGER almagest_capture ON pgstac.collections", "pgstac.collections lacks the trigger"),
        ("DROP TRIGGER almagest_no_truncate ON pgstac._items_1", "_items_1 may be truncated"),
        ("ALTER TABLE pgstac.collections DISABLE TRIGGER almagest_no_truncate", "collections may be truncated"),
        ("DROP EVENT TRIGGER almagest_guard", "new partitions of items may be truncated"),
        ("ALTER EVENT TRIGGER almagest_guard DISABLE", "new partitions of items may be truncated"),
    ],
)
def test_what_is_missing_is_found_and_made(connection: psycopg.Connection, damage: str, sentence: str) -> None:
    connection.execute(damage.encode())
    (problem,) = keeping.problems(connection)
    assert sentence in problem
    assert "almagest db migrate" in problem
    migrate.migrate(connection)
    assert migrate.verify(connection) == []


def test_where_no_event_trigger_may_be_made_the_rest_is(settings: Settings, connection: psycopg.Connection) -> None:
    connection.execute("DROP EVENT TRIGGER almagest_guard")
    connection.execute("DROP ROLE IF EXISTS owner; CREATE ROLE owner LOGIN IN ROLE almagest_admin")
    said: list[str] = []
    adopted.load(settings, [item(MONTHLY, 1, month=40)], "delsert")
    with database.connect(settings, "owner") as owner:
        keeping.keep(owner, said.append)
    assert ["only a superuser" in sentence for sentence in said] == [True]
    (problem,) = keeping.problems(connection)
    assert "as a superuser" in problem
    connection.execute("DROP ROLE owner")


def test_what_slipped_by_is_found_and_mended(settings: Settings, connection: psycopg.Connection) -> None:
    adopted.add_collection(connection, collection("new"))
    adopted.load(settings, [item("new", number) for number in range(10)])
    connection.execute("DELETE FROM pgstac.items WHERE collection = 'new' AND id = 'i9'")
    connection.execute("SET session_replication_role = replica")
    connection.execute("DELETE FROM pgstac.items WHERE collection = 'new' AND id < 'i5'")
    connection.execute(
        """
        INSERT INTO pgstac.items (id, collection, geometry, datetime, end_datetime, content)
        SELECT new, collection, geometry, datetime, end_datetime, content
        FROM pgstac.items, unnest('{other,i9}'::text[]) AS new
        WHERE collection = 'new' AND id = 'i7'
        """
    )
    connection.execute("RESET session_replication_role")
    went, came = keeping.problems(connection)
    assert went.startswith("new/i0, new/i1, new/i2 and 2 more went without leaving a version")
    assert came.startswith("new/i9, new/other came without leaving a version")
    assert keeping.mend(connection) == (5, 2)
    assert keeping.problems(connection) == []
    assert versions.documents(connection, "new", "i1") == [None]
    assert versions.documents(connection, "new", "i6") == [item("new", 6)]
    first, second, third = versions.documents(connection, "new", "i9")
    assert (first, second) == (item("new", 9), None)
    assert third is not None
    assert third["id"] == "i9"
    assert len(versions.documents(connection, "new", "other")) == 1
    assert keeping.mend(connection) == (0, 0)


def test_history_that_runs_out_of_partitions_is_found_and_goes_on(
    settings: Settings, connection: psycopg.Connection
) -> None:
    quarters = connection.execute(
        """
        SELECT format('DROP TABLE almagest.%I', c.relname) FROM pg_class AS c
        WHERE c.relkind = 'r' AND c.relname ~ '^(item|collection)_history_2'
        """
    ).fetchall()
    for (statement,) in quarters:
        connection.execute(statement.encode())
    adopted.load(settings, [item(WHOLE, 1, n=1)], "upsert")
    late, runs_out = keeping.problems(connection)
    assert late.startswith("1 former states have no partition")
    assert runs_out.startswith("history runs out of partitions within three months")
    migrate.migrate(connection)
    assert migrate.verify(connection) == []
    assert versions.documents(connection, WHOLE, "i1") == [item(WHOLE, 1), item(WHOLE, 1, n=1)]
