"""A catalogue that is restored in another cluster has its history, and goes on with it."""

from __future__ import annotations

import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pytest
from psycopg import sql

from almagest.catalogue import audit, canary, database, migrate
from almagest.catalogue.storing import Store
from almagest.core import secrets
from almagest.core.processes import Audience
from almagest.core.settings import Settings
from conftest import stac_client
from support import adopted, following, versions
from support import cluster as clusters
from support.adopted import MONTHLY, WHOLE, collection, item
from support.cluster import Cluster, server_programs

_ALL_PENDING = """
    SELECT s.pending_xact IS NOT NULL AND s.pending_id = (SELECT q.last_value FROM almagest.request_audit_id AS q)
    FROM almagest.audit_state AS s
"""
IDS = [f"i{number}" for number in range(30)]
BOTH = (WHOLE, MONTHLY)


pytestmark = pytest.mark.xdist_group("alone")


@pytest.fixture(scope="session")
def cluster(lonely_cluster: Cluster) -> Cluster:
    """Sealing waits for every transaction of the cluster: those of other tests would hold it up."""
    return lonely_cluster


@pytest.fixture(scope="module")
def original(cluster: Cluster) -> Iterator[Settings]:
    """Of a catalogue with a past."""
    with adopted.stock(cluster, adopted.ADOPTED) as settings:
        with database.connect(settings, "postgres") as connection:
            # So that the other cluster, which is younger, comes to the numbers of the transactions that follow.
            _burn(connection, 20_000)
            for of in BOTH:
                adopted.load(settings, [item(of, number) for number in range(3, 30)])
                adopted.load(settings, [item(of, number, n=1) for number in range(10)], "upsert")
                connection.execute("DELETE FROM pgstac.items WHERE collection = %s AND id = 'i5'", (of,))
                other = collection(of, {**adopted.ASSETS, "blue": {"title": "Blue"}})
                connection.execute("SELECT almagest.put_collection(%s::jsonb)", (orjson.dumps(other).decode(),))
                # One transaction each.
                store = Store(connection)
                for number in range(20, 30):
                    with connection.transaction():
                        store.put([item(of, number, n=2)])
            _audit(settings)
        yield settings


@pytest.fixture(scope="module")
def restored(cluster: Cluster, original: Settings) -> Iterator[Settings]:
    """As compose/README.md says, but for the one database."""
    readme = (Path(__file__).parents[2] / "compose/README.md").read_text()
    (path,) = re.findall(r'^path="(.*)"$', readme, re.MULTILINE)
    programs = server_programs()
    where = ["-h", str(cluster.root), "-p", str(cluster.port), "-U", "postgres"]
    dump = subprocess.run([programs / "pg_dumpall", *where, "--globals-only"], check=True, capture_output=True).stdout
    dump += subprocess.run(
        [programs / "pg_dump", *where, "--create", original.database.name], check=True, capture_output=True
    ).stdout
    root = Path(tempfile.mkdtemp(prefix="almagest-test-"))
    try:
        other = clusters.start(root)
        filtered = subprocess.run(
            ["sed", "-e", "/^CREATE ROLE postgres;/d", "-e", path], input=dump, check=True, capture_output=True
        ).stdout
        psql = [programs / "psql", "-h", str(other.root), "-p", str(other.port), "-U", "postgres", "-d", "postgres"]
        subprocess.run([*psql, "-q", "-v", "ON_ERROR_STOP=1"], input=filtered, check=True, capture_output=True)
        yield other.settings(original.database.name)
    finally:
        clusters.stop(root)


def past(settings: Settings) -> dict[tuple[str, str], list[versions.State]]:
    with database.connect(settings, "postgres") as connection:
        return {(of, identifier): versions.states(connection, of, identifier) for of in BOTH for identifier in IDS}


def test_everything_is_as_it_was(original: Settings, restored: Settings) -> None:
    before = past(original)
    assert [state.document for state in before[MONTHLY, "i5"]] == [item(MONTHLY, 5), item(MONTHLY, 5, n=1), None]
    assert past(restored) == before
    with database.connect(restored, "postgres") as connection:
        migrate.migrate(connection)
        assert migrate.verify(connection) == []
    assert past(restored) == before


def test_versions_go_on_by_every_writer(restored: Settings) -> None:
    before = past(restored)
    with database.connect(restored, "postgres") as connection:
        adopted.load(restored, [item(MONTHLY, 1, n=7), item(MONTHLY, 100)], "upsert")
        with connection.transaction():
            Store(connection).put([item(WHOLE, 1, n=8)])
        connection.execute("DELETE FROM pgstac.items WHERE collection = 'whole' AND id = 'i2'")
        assert versions.states(connection, MONTHLY, "i1")[:-2] == before[MONTHLY, "i1"][:-1]
        assert versions.documents(connection, MONTHLY, "i1")[-2:] == [item(MONTHLY, 1, n=1), item(MONTHLY, 1, n=7)]
        assert versions.documents(connection, MONTHLY, "i100") == [item(MONTHLY, 100)]
        assert versions.documents(connection, WHOLE, "i1")[-2:] == [item(WHOLE, 1, n=1), item(WHOLE, 1, n=8)]
        assert versions.documents(connection, WHOLE, "i2")[-2:] == [item(WHOLE, 2, n=1), None]


def test_a_transaction_that_has_the_number_of_one_there_is_another(restored: Settings) -> None:
    with database.connect(restored, "postgres") as connection:
        connection.execute("ALTER SYSTEM SET autovacuum = off")
        connection.execute("SELECT pg_reload_conf()")
        numbers: list[tuple[str, str, int]] = connection.execute(
            """
            SELECT collection, id, xact::text::bigint FROM almagest.item_head
            WHERE id >= 'i20' AND id <= 'i29' AND length(id) = 3 ORDER BY xact
            """
        ).fetchall()
        met = 0
        for of, identifier, xact in numbers:
            if (missing := xact - _next_number(connection)) > 0:
                _burn(connection, missing)
            with connection.transaction():
                (mine,) = _one(connection, "SELECT pg_current_xact_id()::text::bigint")
                if mine != xact:
                    continue
                met += 1
                connection.execute(
                    """
                    UPDATE pgstac.items SET content = jsonb_set(content, '{properties,n}', '3')
                    WHERE collection = %s AND id = %s
                    """,
                    (of, identifier),
                )
            number = int(identifier[1:])
            documents = [item(of, number), item(of, number, n=2), item(of, number, n=3)]
            assert versions.documents(connection, of, identifier) == documents
        assert met > 5


def _sealed(ops: psycopg.Connection[Any]) -> int | None:
    """How many rows the next block has: autovacuum is waited for as everybody is who writes in the cluster."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if (row := ops.execute("SELECT sealed FROM almagest.seal_audit()").fetchone()) is not None:
            return int(row[0])
        time.sleep(0.02)
    return None


def test_the_audit_is_whole_and_goes_on(restored: Settings) -> None:
    with (
        database.connect(restored, "postgres") as connection,
        database.connect(restored, "almagest_ops") as ops,
    ):
        (pending,) = _one(connection, "SELECT pending_xact::text::bigint FROM almagest.audit_state")
        assert pending > _next_number(connection), "the other cluster is not younger: this says nothing"
        before = audit.verify(connection)
        assert (before.fault, before.blocks, before.unsealed) == (None, 1, 2)
        with database.connect(restored, "almagest_writer") as slow, slow.transaction():
            slow.execute(_NOTE)
            ops.execute(_NOTE)
            # What was waited for there has ended, and what runs here is waited for.
            assert _sealed(ops) == 2
            assert ops.execute("SELECT sealed FROM almagest.seal_audit()").fetchone() is None
        assert _sealed(ops) == 2
        after = audit.verify(connection, before.head)
        assert (after.fault, after.blocks, after.rows, after.unsealed) == (None, 3, 6, 0)


@pytest.mark.parametrize("audience", ["internal", "external"])
def test_who_followed_it_goes_on_in_the_other_cluster(
    original: Settings, restored: Settings, audience: Audience
) -> None:
    prefix = {"internal": "/api", "external": "/external"}[audience]
    known: following.Catalogue = {}
    with stac_client(original, audience) as client:
        changes, cursor = following.rest(client, prefix, None, documents="true", limit=1000)
        following.apply(known, changes)
        assert following.without_links(known) == following.there(client, prefix)
    # What signs cursors is kept with the other secrets.
    secrets.replace(restored.secrets, secrets.TOKEN_KEY, secrets.ensure(original.secrets, secrets.TOKEN_KEY))
    with stac_client(restored, audience) as client, database.connect(restored, "postgres") as connection:
        database.credentials(restored, connection)
        assert canary.run(connection) == []
        with connection.transaction():
            Store(connection).put([item(WHOLE, 3, n=40)])
        connection.execute("DELETE FROM pgstac.items WHERE collection = 'whole' AND id = 'i4'")
        following.settle(connection)
        assert connection.execute("SELECT count(DISTINCT era) FROM almagest.change").fetchone() == (2,)
        changes, cursor = following.rest(client, prefix, cursor, documents="true", limit=3)
        assert changes
        following.apply(known, changes)
        assert following.without_links(known) == following.there(client, prefix)
        assert following.rest(client, prefix, cursor) == ([], cursor)


_NOTE = "SELECT almagest.note_requests('[{}]')"


def _audit(settings: Settings) -> None:
    """Leaves a block, and rows that wait for a transaction which is under way."""
    with database.connect(settings, "almagest_ops") as ops, database.connect(settings, "almagest_writer") as slow:
        ops.execute("SELECT almagest.note_requests('[{}, {}]')")
        deadline = time.monotonic() + 60
        # Transactions of other tests, in other databases of this cluster, are waited for as well.
        while ops.execute("SELECT sealed FROM almagest.seal_audit()").fetchone() is None:
            assert time.monotonic() < deadline, "nothing was sealed"
            time.sleep(0.05)
        with slow.transaction(force_rollback=True):
            slow.execute(_NOTE)
            ops.execute("SELECT almagest.note_requests('[{}, {}]')")
            # As long as one of these is still waited for, what comes later waits for nobody in particular.
            with database.connect(settings, "postgres") as connection:
                while not _one(connection, _ALL_PENDING)[0]:
                    assert time.monotonic() < deadline, "something else is waited for"
                    ops.execute("SELECT * FROM almagest.seal_audit()")


def _burn(connection: psycopg.Connection[Any], count: int) -> None:
    """Takes the numbers of so many transactions."""
    statement = "DO $$ BEGIN FOR n IN 1..{} LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END; $$"
    connection.execute(sql.SQL(statement).format(sql.Literal(count)))


def _next_number(connection: psycopg.Connection[Any]) -> int:
    (number,) = _one(connection, "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
    return int(number)


def _one(connection: psycopg.Connection[Any], statement: str) -> tuple[Any, ...]:
    row = connection.execute(statement.encode()).fetchone()
    assert row is not None
    return tuple(row)
