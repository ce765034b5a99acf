"""The audit: nothing in it is ever changed, rows are sealed in whatever order they come, and tampering shows."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta
from typing import Any

import hypothesis
import hypothesis.strategies as st
import psycopg
import pytest
from psycopg import sql

from almagest.catalogue import audit, chain, database
from almagest.core.errors import ConfigurationError
from almagest.core.settings import Settings
from support.cluster import Cluster

Connection = psycopg.Connection[Any]

pytestmark = pytest.mark.xdist_group("alone")


@pytest.fixture(scope="session")
def cluster(lonely_cluster: Cluster) -> Cluster:
    """Sealing waits for every transaction of the cluster: those of other tests would hold it up."""
    return lonely_cluster


@pytest.fixture
def admin(settings: Settings) -> Iterator[Connection]:
    with database.connect(settings, "postgres") as connection:
        yield connection


@pytest.fixture
def ops(settings: Settings) -> Iterator[Connection]:
    with database.connect(settings, "almagest_ops") as connection:
        yield connection


def note(connection: Connection, *paths: str, **more: Any) -> None:
    entry = {"subject": "key:4fJk29Zq", "name": "Ann", "method": "PUT", "route": "/api/x", "status": 200, **more}
    connection.execute("SELECT almagest.note_requests(%s)", (json.dumps([{**entry, "path": path} for path in paths]),))


def seal(connection: Connection, most: int = 10_000) -> list[tuple[int, int]]:
    """Blocks and how many rows each has."""
    made = []
    while row := connection.execute("SELECT block, sealed FROM almagest.seal_audit(%s)", (most,)).fetchone():
        made.append(row)
    return made


def one(connection: Connection, statement: str) -> Any:
    row = connection.execute(statement.encode()).fetchone()
    return row and row[0]


def paths(connection: Connection, **chosen: Any) -> list[str]:
    return [row.path for row in audit.export(connection, **chosen)]


def tamper(connection: Connection, statement: str) -> None:
    """As somebody does who may do anything."""
    with connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")
        assert connection.execute(statement.encode()).rowcount > 0


def test_what_is_noted_is_there_and_is_sealed(admin: Connection, ops: Connection) -> None:
    note(ops, "/api/a", "/api/ü ☂", duration_us=1500, key_id="4fJk29Zq", address="192.0.2.1", ago_us=3_600_000_000)
    first, second = audit.export(admin)
    assert (first.login, first.subject, first.name, first.duration_us) == ("almagest_ops", "key:4fJk29Zq", "Ann", 1500)
    assert second.path == "/api/ü ☂"
    assert timedelta(minutes=59) < datetime.now(UTC) - first.at < timedelta(minutes=61)
    before = audit.verify(admin)
    assert (before.blocks, before.unsealed) == (0, 2)
    assert 3500 < before.unsealed_s < 3700
    assert seal(ops) == [(1, 2)]
    after = audit.verify(admin)
    assert (after.fault, after.blocks, after.rows, after.unsealed) == (None, 1, 2, 0)
    assert seal(ops) == []


def test_a_row_is_never_refused_for_what_it_holds(admin: Connection, ops: Connection) -> None:
    ops.execute("SELECT almagest.note_requests(%s)", (json.dumps([{}, {"path": "x" * 9000, "name": "n" * 9000}]),))
    empty, long = audit.export(admin)
    assert (empty.path, empty.status, empty.times) == ("", 0, 1)
    assert (len(long.path), len(long.name)) == (1000, 200)
    seal(ops)
    assert audit.verify(admin).fault is None


@pytest.mark.parametrize("role", ["almagest_reader", "almagest_writer", "almagest_worker", "almagest_ops"])
def test_nobody_reads_or_changes_it(settings: Settings, ops: Connection, role: str) -> None:
    note(ops, "/api/a")
    seal(ops)
    with database.connect(settings, role) as connection:
        connection.execute("SET default_transaction_read_only = off")
        for table in ("request_audit", "request_audit_rest", "audit_block", "audit_state"):
            for statement in ("SELECT FROM {}", "DELETE FROM {}", "TRUNCATE {}", "INSERT INTO {} DEFAULT VALUES"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(sql.SQL(statement).format(sql.Identifier("almagest", table)))
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT almagest.forget_audit('2020-01-01')")


def test_its_owner_does_not_change_it_by_mistake(admin: Connection, ops: Connection) -> None:
    note(ops, "/api/a", "/api/b")
    note(ops, "/api/old", ago_us=400 * 86_400_000_000)
    seal(ops)
    month = f"almagest.request_audit_{datetime.now(UTC):%Y_%m}"
    for statement in (
        "UPDATE almagest.request_audit SET path = ''",
        "DELETE FROM almagest.request_audit",
        f"DELETE FROM {month}",
        f"UPDATE {month} SET status = 1",
        "DELETE FROM almagest.request_audit_rest",
        "TRUNCATE almagest.request_audit",
        f"TRUNCATE {month}",
        "TRUNCATE almagest.request_audit_rest",
        "UPDATE almagest.audit_block SET rows = 0",
        "DELETE FROM almagest.audit_block",
        "TRUNCATE almagest.audit_block",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="neither changed nor removed"):
            admin.execute(statement.encode())
    assert len(paths(admin)) == 3
    assert audit.verify(admin).fault is None


def test_months_are_made_in_time_and_what_came_before_them_moves(admin: Connection, ops: Connection) -> None:
    note(ops, "/api/a")
    note(ops, "/api/old", ago_us=40 * 86_400_000_000)
    note(ops, "/api/b")
    seal(ops)
    assert one(admin, "SELECT count(*) FROM almagest.request_audit_rest") == 1
    assert one(ops, "SELECT almagest.extend_audit()") in {1, 2}
    assert one(ops, "SELECT almagest.extend_audit()") == 0
    assert one(admin, "SELECT count(*) FROM almagest.request_audit_rest") == 0
    assert paths(admin) == ["/api/a", "/api/old", "/api/b"]
    assert audit.verify(admin).fault is None
    note(ops, "/api/c")
    assert one(admin, "SELECT count(*) FROM almagest.request_audit_rest") == 0


def test_a_transaction_that_began_early_and_ends_late_keeps_its_place(
    settings: Settings, admin: Connection, ops: Connection
) -> None:
    with database.connect(settings, "almagest_writer") as slow:
        with slow.transaction():
            note(slow, "/api/slow")
            note(ops, "/api/fast")
            assert seal(ops) == []
            note(ops, "/api/later")
            assert seal(ops) == []
            assert audit.verify(admin).unsealed == 2
        assert seal(ops) == [(1, 3)]
    assert paths(admin) == ["/api/slow", "/api/fast", "/api/later"]
    assert audit.verify(admin).fault is None


def test_those_who_are_always_there_do_not_hold_up_sealing(
    settings: Settings, admin: Connection, ops: Connection
) -> None:
    """At every moment somebody writes, each for longer than sealing pauses; but each ends."""
    note(ops, "/api/a")
    with ExitStack() as connections:
        writers = [connections.enter_context(database.connect(settings, "postgres")) for _ in range(3)]
        running: list[ExitStack] = []
        for turn in range(9):
            begun = ExitStack()
            begun.enter_context(writers[turn % 3].transaction())
            writers[turn % 3].execute("SELECT pg_current_xact_id()")
            running.append(begun)
            if len(running) == 3:
                running.pop(0).close()
            seal(ops)
        assert audit.verify(admin).unsealed == 0
        for begun in running:
            begun.close()


def test_what_was_rolled_back_leaves_no_gap_that_is_waited_for(admin: Connection, ops: Connection) -> None:
    note(ops, "/api/a")
    with ops.transaction(force_rollback=True):
        note(ops, "/api/never", "/api/never")
    assert seal(ops) == [(1, 1)]
    settled = one(admin, "SELECT settled_id FROM almagest.audit_state")
    assert settled == 3
    before = one(admin, "SELECT xmin::text FROM almagest.audit_state")
    assert seal(ops) == []
    assert one(admin, "SELECT xmin::text FROM almagest.audit_state") == before, (
        "nothing to do, and written all the same"
    )
    note(ops, "/api/b")
    assert seal(ops) == [(2, 1)]
    assert audit.verify(admin).fault is None


def test_sealing_stands_alone_in_its_transaction(ops: Connection) -> None:
    note(ops, "/api/a")
    with ops.transaction(force_rollback=True):
        note(ops, "/api/b")
        with pytest.raises(psycopg.errors.RaiseException, match="first thing"):
            ops.execute("SELECT * FROM almagest.seal_audit()")
    with ops.transaction(force_rollback=True):
        ops.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        with pytest.raises(psycopg.errors.RaiseException, match="first thing"):
            ops.execute("SELECT * FROM almagest.seal_audit()")


def test_two_sealers_at_a_time_do_no_harm(settings: Settings, admin: Connection) -> None:
    failed: list[Exception] = []

    def work(seals: bool, number: int) -> None:
        try:
            with database.connect(settings, "almagest_ops") as connection:
                for turn in range(60):
                    if seals:
                        seal(connection, 7)
                    else:
                        with connection.transaction(force_rollback=turn % 5 == 0):
                            note(connection, *[f"/api/{number}/{turn}/{place}" for place in range(turn % 4)])
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number < 3, number)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    with database.connect(settings, "almagest_ops") as connection:
        seal(connection)
        seal(connection)
    found = audit.verify(admin)
    assert (found.fault, found.unsealed) == (None, 0)
    assert found.rows == 3 * sum(turn % 4 for turn in range(60) if turn % 5)


TAMPERINGS = {
    "a row was changed": (
        "UPDATE almagest.request_audit SET path = '/api/other' WHERE id = 5",
        r"Row 5 \(PUT /api/other, .*\) of block 2, .*, has been changed",
    ),
    "a moment was changed": (
        "UPDATE almagest.request_audit SET at = at + interval '1 microsecond' WHERE id = 5",
        "Row 5 .*has been changed",
    ),
    "fields changed places": (
        "UPDATE almagest.request_audit SET subject = name, name = subject WHERE id = 2",
        "Row 2 .* block 1, .*has been changed",
    ),
    "a row was removed": (
        "DELETE FROM almagest.request_audit WHERE id = 6",
        "A row is missing from block 2.* behind row 5",
    ),
    "the first row was removed": (
        "DELETE FROM almagest.request_audit WHERE id = 1",
        "missing from block 1.* at its beginning",
    ),
    "a block of rows was removed": (
        "DELETE FROM almagest.request_audit WHERE id BETWEEN 4 AND 6",
        "3 rows are missing from block 2",
    ),
    "a row was put in": (
        "INSERT INTO almagest.request_audit SELECT 5, at + interval '1 s', login, subject, name, key_id, request_id, "
        "address, method, route, '/forged', status, duration_us, times FROM almagest.request_audit WHERE id = 5",
        "Row 5 was put into block 2",
    ),
    "a row was put in front of all": (
        "INSERT INTO almagest.request_audit SELECT -7, at, login, subject, name, key_id, request_id, "
        "address, method, route, '/forged', status, duration_us, times FROM almagest.request_audit WHERE id = 5",
        "Row -7 was put into block 1",
    ),
    "rows changed places": (
        "UPDATE almagest.request_audit SET id = CASE id WHEN 4 THEN 5 ELSE 4 END, at = "
        "(SELECT at FROM almagest.request_audit WHERE id = 6) WHERE id IN (4, 5)",
        "Row 4 .*has been changed",
    ),
    "a block was changed": (
        "UPDATE almagest.audit_block SET sealed_at = sealed_at + interval '1 h' WHERE number = 2",
        "Block 2.*has been changed",
    ),
    "the hashes of a block were changed": (
        "UPDATE almagest.audit_block SET leaves = overlay(leaves PLACING '\\x00'::bytea FROM 3) WHERE number = 3",
        "Block 3.*hashes of its rows",
    ),
    "a block was removed": ("DELETE FROM almagest.audit_block WHERE number = 2", "Block 2 is missing"),
    "the first block was removed": ("DELETE FROM almagest.audit_block WHERE number = 1", "Block 1 is missing"),
    "the last block was removed": (
        "DELETE FROM almagest.audit_block WHERE number = 4",
        "Block 4 is missing: 4 were sealed",
    ),
    "blocks changed places": (
        "UPDATE almagest.audit_block AS b SET through_id = o.through_id, leaves = o.leaves, root = o.root, "
        "hash = o.hash, previous = o.previous, sealed_at = o.sealed_at "
        "FROM almagest.audit_block AS o WHERE b.number IN (2, 3) AND o.number = 5 - b.number",
        "Block 2.*does not follow",
    ),
    "everything was removed": (
        "WITH gone AS (DELETE FROM almagest.audit_block RETURNING 1) DELETE FROM almagest.request_audit",
        "Block 1 is missing",
    ),
}


@pytest.mark.parametrize("name", TAMPERINGS)
def test_tampering_shows(admin: Connection, ops: Connection, name: str) -> None:
    note(ops, *[f"/api/{number}" for number in range(1, 13)])
    assert seal(ops, 3) == [(1, 3), (2, 3), (3, 3), (4, 3)]
    note(ops, "/api/open")
    assert audit.verify(admin).fault is None
    statement, words = TAMPERINGS[name]
    tamper(admin, statement)
    fault = audit.verify(admin).fault
    assert fault is not None
    assert re.search(words, fault), fault


@pytest.mark.parametrize("column", [field for field in chain.Row.__dataclass_fields__ if field not in {"id", "at"}])
def test_every_column_counts(admin: Connection, ops: Connection, column: str) -> None:
    note(ops, "/api/a", "/api/b")
    seal(ops)
    kind = "int" if column in {"status", "duration_us", "times"} else "text"
    value = sql.SQL("{} + 1" if kind == "int" else "{} || 'x'").format(sql.Identifier(column))
    with admin.transaction():
        admin.execute("SET LOCAL session_replication_role = replica")
        admin.execute(
            sql.SQL("UPDATE almagest.request_audit SET {} = {} WHERE id = 2").format(sql.Identifier(column), value)
        )
    fault = audit.verify(admin).fault
    assert fault is not None
    assert "Row 2" in fault


def test_a_new_chain_is_told_by_a_hash_that_was_noted(admin: Connection, ops: Connection) -> None:
    note(ops, "/api/a")
    seal(ops)
    note(ops, "/api/b")
    seal(ops)
    head = audit.verify(admin).head
    assert audit.verify(admin, head).fault is None
    assert audit.verify(admin, head[:12].upper()).fault is None
    # By somebody who may do anything, and knows how it is done.
    with admin.transaction():
        admin.execute("SET LOCAL session_replication_role = replica")
        admin.execute("UPDATE almagest.request_audit SET path = '/api/other' WHERE id = 1")
        admin.execute("DELETE FROM almagest.audit_block")
        admin.execute("UPDATE almagest.audit_state SET blocks = 0, head = ''")
    seal(ops)
    assert audit.verify(admin).fault is None
    fault = audit.verify(admin, head).fault
    assert fault is not None
    assert "has been replaced" in fault


def test_a_month_that_is_over_is_forgotten_and_the_chain_holds(admin: Connection, ops: Connection) -> None:
    days = 86_400_000_000
    note(ops, "/api/new")
    for turn in range(3):  # out of order, as clocks and transactions would have it
        note(ops, f"/api/old/{turn}", ago_us=62 * days)
        note(ops, f"/api/new/{turn}")
    long_ago = datetime.now(UTC) - timedelta(days=62)
    with pytest.raises(ConfigurationError, match="is not sealed yet"):
        audit.forget(admin, long_ago.date())
    seal(ops)
    with pytest.raises(ConfigurationError, match="is not over yet"):
        audit.forget(admin, datetime.now(UTC).date())
    with pytest.raises(ConfigurationError, match="has nothing of 2001-01"):
        audit.forget(admin, date(2001, 1, 5))
    before = audit.verify(admin)
    assert (before.fault, before.rows) == (None, 7)
    assert audit.forget(admin, long_ago.date()) == 3
    found = audit.verify(admin, before.head)
    assert (found.fault, found.rows, found.forgotten) == (None, 4, {f"{long_ago:%Y-%m}": 3})
    assert paths(admin) == ["/api/new", "/api/new/0", "/api/new/1", "/api/new/2"]
    # And goes on, also for a row that came late.
    note(ops, "/api/late", ago_us=62 * days)
    note(ops, "/api/more")
    seal(ops)
    assert audit.verify(admin).fault is None
    assert audit.forget(admin, long_ago.date()) == 1
    assert audit.verify(admin).fault is None
    # Nobody puts something into what is forgotten, or forgets without a block that says so.
    tamper(admin, "UPDATE almagest.audit_block SET forgets = false WHERE forgets")
    assert audit.verify(admin).fault is not None


def test_what_is_exported_can_be_chosen(admin: Connection, ops: Connection) -> None:
    hours = 3_600_000_000
    note(ops, "/api/1", ago_us=3 * hours)
    note(ops, "/api/2", ago_us=2 * hours, subject="user:1", name="ben", key_id="k")
    note(ops, "/api/3", ago_us=1 * hours)
    now = datetime.now(UTC)
    assert paths(admin) == ["/api/1", "/api/2", "/api/3"]
    assert paths(admin, since=now - timedelta(hours=2.5)) == ["/api/2", "/api/3"]
    assert paths(admin, until=now - timedelta(hours=1.5)) == ["/api/1", "/api/2"]
    assert [paths(admin, subject=subject) for subject in ("user:1", "ben", "k", "nobody")] == [["/api/2"]] * 3 + [[]]


FIELDS = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30), min_size=1, max_size=6)


@hypothesis.settings(suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture], max_examples=60)
@hypothesis.given(fields=FIELDS)
def test_the_database_and_python_write_the_same(admin: Connection, fields: list[str]) -> None:
    (text,) = admin.execute("SELECT almagest.audit_text(VARIADIC %s::text[])", (fields,)).fetchone() or ("",)
    assert str(text).encode() == chain.encoded(*fields)


@hypothesis.settings(suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture], max_examples=60)
@hypothesis.given(leaves=st.lists(st.binary(min_size=32, max_size=32), max_size=40))
def test_the_database_and_python_grow_the_same_tree(admin: Connection, leaves: list[bytes]) -> None:
    assert admin.execute("SELECT almagest.merkle_root(%s::bytea[])", (leaves,)).fetchone() == (chain.root(leaves),)


@hypothesis.given(one=FIELDS, other=FIELDS)
def test_other_fields_are_another_text(one: list[str], other: list[str]) -> None:
    assert (chain.encoded(*one) == chain.encoded(*other)) == (one == other)


MOMENTS = st.datetimes(timezones=st.just(UTC))


@hypothesis.settings(suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture], max_examples=60)
@hypothesis.given(moment=MOMENTS)
def test_moments_are_the_same_to_the_microsecond(admin: Connection, moment: datetime) -> None:
    (text,) = admin.execute("SELECT almagest.microseconds(%s)", (moment,)).fetchone() or ("",)
    assert chain.encoded(moment) == chain.encoded(str(text))
