"""The migration runner: what it applies, what it refuses, and that what it leaves is what a fresh install gives."""

from __future__ import annotations

import dataclasses
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg import sql

from almagest.catalogue import database, migrate
from almagest.core import secrets
from almagest.core.errors import ConfigurationError
from almagest.core.settings import Settings
from support.cluster import Cluster, server_programs


@pytest.fixture
def connection(settings: Settings) -> Iterator[psycopg.Connection]:
    with database.connect(settings, "postgres") as connection:
        yield connection


def catalog(connection: psycopg.Connection) -> list[tuple[str, ...]]:
    """Everything of ours in the system catalogues: objects with their definitions, owners and rights."""
    return connection.execute(
        """
        SELECT 'function', p.oid::regprocedure::text, pg_get_functiondef(p.oid), p.proowner::regrole::text,
               p.proacl::text
        FROM pg_proc p WHERE p.pronamespace IN ('almagest'::regnamespace, 'external'::regnamespace)
        UNION ALL
        SELECT 'relation', c.oid::regclass::text, c.relkind::text, c.relowner::regrole::text,
               coalesce(c.relacl, acldefault('r', c.relowner))::text -- a dump leaves the default out
        FROM pg_class c WHERE c.relnamespace IN ('almagest'::regnamespace, 'external'::regnamespace)
        UNION ALL
        SELECT 'column', a.attrelid::regclass::text, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull::text
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        WHERE c.relnamespace IN ('almagest'::regnamespace, 'external'::regnamespace) AND a.attnum > 0
        UNION ALL
        SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid), ''
        FROM pg_constraint WHERE connamespace IN ('almagest'::regnamespace, 'external'::regnamespace)
        ORDER BY 1, 2, 3
        """
    ).fetchall()


def test_a_second_run_changes_nothing(connection: psycopg.Connection) -> None:
    before = connection.execute("SELECT * FROM almagest.ledger ORDER BY 1, 2").fetchall(), catalog(connection)
    state = migrate.migrate(connection)
    assert state.is_current
    assert (connection.execute("SELECT * FROM almagest.ledger ORDER BY 1, 2").fetchall(), catalog(connection)) == before
    assert migrate.verify(connection) == []


def test_a_changed_function_is_applied_again(connection: psycopg.Connection) -> None:
    connection.execute("UPDATE almagest.ledger SET sha256 = 'old' WHERE name LIKE 'functions/%'")
    fresh = catalog(connection)
    assert not migrate.status(connection).is_current
    assert migrate.migrate(connection).is_current
    assert catalog(connection) == fresh


def test_a_function_file_that_is_gone_was_renamed(connection: psycopg.Connection) -> None:
    connection.execute("UPDATE almagest.ledger SET name = 'functions/05_former.sql' WHERE name LIKE 'functions/10_re%'")
    assert migrate.status(connection).problems == ()
    assert migrate.migrate(connection).is_current


def test_an_edited_migration_is_refused(connection: psycopg.Connection) -> None:
    connection.execute("UPDATE almagest.ledger SET sha256 = 'old' WHERE kind = 'migration'")
    with pytest.raises(ConfigurationError, match="never edited"):
        migrate.migrate(connection)


def test_a_newer_database_is_refused(connection: psycopg.Connection) -> None:
    connection.execute(
        "INSERT INTO almagest.ledger (set_name, name, kind, sha256, app_version, pgstac_version)"
        " VALUES ('tomorrow', 'migrations/0001_x.sql', 'migration', 'x', '9', '9')"
    )
    with pytest.raises(ConfigurationError, match="older than the database"):
        migrate.migrate(connection)


def test_an_untested_pgstac_is_refused(connection: psycopg.Connection) -> None:
    connection.execute("SELECT pgstac.set_version('0.11.0')")
    assert any("0.11.0 is not among the tested versions" in problem for problem in migrate.verify(connection))
    with pytest.raises(ConfigurationError, match=r"0\.11\.0"):
        migrate.migrate(connection)


def test_a_function_that_everybody_may_call_is_found(connection: psycopg.Connection) -> None:
    migrate.migrate(connection)
    connection.execute("GRANT EXECUTE ON FUNCTION almagest.port_version() TO PUBLIC")
    assert migrate.verify(connection) == ["almagest.port_version() may be executed by everybody"]


def test_a_function_for_outsiders_that_is_none_of_ours_is_found(connection: psycopg.Connection) -> None:
    migrate.migrate(connection)
    connection.execute("CREATE FUNCTION external.former() RETURNS int LANGUAGE sql AS 'SELECT 1'")
    connection.execute("REVOKE EXECUTE ON FUNCTION external.former() FROM PUBLIC")
    assert migrate.verify(connection) == ["external.former can be called by outsiders, and is none of ours: drop it"]


def test_temporary_tables_for_outsiders_are_found(connection: psycopg.Connection) -> None:
    migrate.migrate(connection)
    name = sql.Identifier(connection.info.dbname)
    connection.execute(sql.SQL("GRANT TEMPORARY ON DATABASE {} TO PUBLIC").format(name))
    assert migrate.verify(connection) == ["almagest_external may make temporary tables: run `almagest db migrate`"]
    migrate.migrate(connection)
    assert migrate.verify(connection) == []


def test_two_runners_at_once(cluster: Cluster) -> None:
    with cluster.clone(None) as name:
        settings = cluster.settings(name)
        database.install_pgstac(settings)
        failures: list[BaseException] = []

        def run() -> None:
            try:
                with database.connect(settings, "postgres") as connection:
                    migrate.migrate(connection)
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=run) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        with database.connect(settings, "postgres") as connection:
            assert migrate.verify(connection) == []


def test_dump_and_restore_keep_everything(cluster: Cluster, settings: Settings) -> None:
    """pgSTAC's generated columns call PostGIS unqualified, so its dumps restore only with its own search path."""
    programs = server_programs()
    where = ["-h", str(cluster.root), "-p", str(cluster.port), "-U", "postgres"]
    dump = subprocess.run(
        [programs / "pg_dump", *where, settings.database.name], check=True, capture_output=True, text=True
    ).stdout.replace("set_config('search_path', '', false)", "set_config('search_path', 'pgstac, public', false)")
    with cluster.clone(None) as restored:
        psql = [programs / "psql", *where, "-d", restored, "-v", "ON_ERROR_STOP=1", "-q"]
        subprocess.run(psql, check=True, capture_output=True, text=True, input=dump)
        with cluster.connect(settings.database.name) as before, cluster.connect(restored) as after:
            assert catalog(after) == catalog(before)
            # A dump of one database holds no grants on the database itself: the next start makes them again.
            migrate.migrate(after)
            assert migrate.verify(after) == []


def test_rotation_replaces_every_password(settings: Settings, connection: psycopg.Connection) -> None:
    stored = "SELECT rolname, rolpassword FROM pg_authid WHERE rolname = ANY(%s) ORDER BY 1"
    roles = list(database.ROLES)
    before = connection.execute(stored, (roles,)).fetchall(), [secrets.require(settings.secrets, r) for r in roles]
    database.credentials(settings, connection)
    assert [secrets.require(settings.secrets, role) for role in roles] == before[1]
    database.credentials(settings, connection, rotate=True)
    after = connection.execute(stored, (roles,)).fetchall(), [secrets.require(settings.secrets, r) for r in roles]
    assert all(old != new for pair in zip(before, after, strict=True) for old, new in zip(*pair, strict=True))


def test_databases_of_one_cluster_are_prepared_at_the_same_moment(cluster: Cluster) -> None:
    """Roles are rows that they share: without a lock, one of two fails with "tuple concurrently updated"."""

    def prepare(name: str) -> None:
        settings = cluster.settings(name)
        for _ in range(20):
            with database.connect(settings, "postgres") as connection:
                database.credentials(settings, connection)

    with cluster.clone(None) as one, cluster.clone(None) as other, ThreadPoolExecutor(2) as pool:
        list(pool.map(prepare, (one, other)))


def test_what_the_database_refuses_an_operator_is_one_sentence(cluster: Cluster) -> None:
    with cluster.clone(None) as name:
        with cluster.connect() as admin:
            admin.execute("DROP ROLE IF EXISTS powerless; CREATE ROLE powerless LOGIN")
        base = cluster.settings(name)
        powerless = dataclasses.replace(base, database=base.database.model_copy(update={"admin_user": "powerless"}))
        with pytest.raises(ConfigurationError, match="The database refuses: permission denied"):
            database.prepare(powerless)


def test_readers_cannot_write(settings: Settings) -> None:
    with database.connect(settings, "almagest_reader") as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT create_collection('{}')")
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute("INSERT INTO pgstac.collections (content) VALUES ('{}')")
        connection.execute("SET default_transaction_read_only = off")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("INSERT INTO pgstac.collections (content) VALUES ('{}')")
