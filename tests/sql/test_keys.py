"""API keys in the database: what opens, what is refused from the next call on, and who may touch them at all."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from almagest.catalogue import database, keys, migrate
from almagest.catalogue.keys import Key
from almagest.core.errors import ConfigurationError
from almagest.core.settings import Settings

Authorize = Callable[..., tuple[Any, ...]]

OTHERS = ("almagest_reader", "almagest_writer", "almagest_external")
NOTHING = (None, None)


@pytest.fixture
def admin(settings: Settings) -> Iterator[psycopg.Connection]:
    with database.connect(settings, "postgres") as connection:
        yield connection


@pytest.fixture
def ops(settings: Settings) -> Iterator[psycopg.Connection]:
    with database.connect(settings, "almagest_ops") as connection:
        yield connection


@pytest.fixture
def authorize(ops: psycopg.Connection) -> Authorize:
    """Asks as the ops processes do; name, scopes and reason."""
    return lambda key, address="192.0.2.1": ask(ops, key, address)


def ask(connection: psycopg.Connection, key: Key, address: str | None = "192.0.2.1") -> tuple[Any, ...]:
    statement = "SELECT name, scopes, reason FROM authorize(%s, %s, %s)"
    rows = connection.execute(statement, (key.id, key.sha256, address)).fetchall()
    assert len(rows) == 1
    return rows[0]


def entry(connection: psycopg.Connection, key: Key) -> keys.Entry:
    return next(found for found in keys.entries(connection) if found.id == key.id)


def travel(connection: psycopg.Connection, ahead: str) -> None:
    """Puts the one clock forward."""
    connection.execute(
        "CREATE OR REPLACE FUNCTION almagest.clock() RETURNS timestamptz LANGUAGE sql VOLATILE"
        f" AS $$ SELECT clock_timestamp() + interval '{ahead}' $$"
    )


def test_a_key_opens_and_says_whose_it_is(admin: psycopg.Connection, authorize: Authorize) -> None:
    key = keys.create(admin, "nightly ingest", ["catalogue:write", "catalogue:read"])
    assert authorize(key) == ("nightly ingest", ["catalogue:write", "catalogue:read"], None)


def test_another_secret_and_another_id_are_the_same_to_a_stranger(
    admin: psycopg.Connection, authorize: Authorize
) -> None:
    key = keys.create(admin, "x", ["admin"])
    keys.revoke(admin, key.id)
    assert authorize(Key(key.id, Key.make().secret)) == authorize(Key.make()) == (*NOTHING, "unknown")


def test_the_secret_is_nowhere_in_the_database(admin: psycopg.Connection) -> None:
    key = keys.create(admin, "x", ["admin"])
    row = admin.execute("SELECT k::text FROM almagest.api_key AS k").fetchone()
    assert row
    assert key.secret not in row[0]
    assert key.sha256.hex() in row[0]


def test_revocation_holds_on_the_next_call_and_for_good(admin: psycopg.Connection, authorize: Authorize) -> None:
    key = keys.create(admin, "x", ["admin"])
    assert authorize(key)[2] is None
    assert keys.revoke(admin, key.id) == "x"
    assert authorize(key) == (*NOTHING, "revoked")
    when = entry(admin, key).revoked_at
    keys.revoke(admin, key.id)
    assert entry(admin, key).revoked_at == when
    assert not keys.register(admin, key, "again", ["admin"])
    assert authorize(key) == (*NOTHING, "revoked")
    with pytest.raises(ConfigurationError, match="create a new one"):
        keys.rotate(admin, key.id)


def test_expiry_holds_on_the_next_call(admin: psycopg.Connection, authorize: Authorize) -> None:
    key = keys.create(admin, "x", ["admin"], expires=timedelta(hours=1))
    assert authorize(key)[2] is None
    assert entry(admin, key).active
    travel(admin, "59 min")
    assert authorize(key)[2] is None
    travel(admin, "1 hour")
    assert authorize(key) == (*NOTHING, "expired")
    assert not entry(admin, key).active


def test_a_rotated_secret_opens_and_the_old_one_does_not(admin: psycopg.Connection, authorize: Authorize) -> None:
    first = keys.create(admin, "x", ["admin"])
    second = keys.rotate(admin, first.id)
    assert second.id == first.id
    assert authorize(second)[2] is None
    assert authorize(first) == (*NOTHING, "unknown")
    assert entry(admin, first).rotated_at


def test_an_overlap_keeps_the_old_secret_for_as_long(admin: psycopg.Connection, authorize: Authorize) -> None:
    first = keys.create(admin, "x", ["admin"])
    second = keys.rotate(admin, first.id, timedelta(hours=1))
    assert authorize(first)[2] is authorize(second)[2] is None
    travel(admin, "1 hour")
    assert authorize(first) == (*NOTHING, "unknown")
    assert authorize(second)[2] is None


def test_a_second_rotation_ends_the_first_secret(admin: psycopg.Connection, authorize: Authorize) -> None:
    first = keys.create(admin, "x", ["admin"])
    second = keys.rotate(admin, first.id, timedelta(hours=1))
    third = keys.rotate(admin, first.id, timedelta(hours=1))
    assert [authorize(key)[2] for key in (first, second, third)] == ["unknown", None, None]


def test_revocation_ends_both_secrets_of_an_overlap(admin: psycopg.Connection, authorize: Authorize) -> None:
    first = keys.create(admin, "x", ["admin"])
    second = keys.rotate(admin, first.id, timedelta(hours=1))
    keys.revoke(admin, first.id)
    assert authorize(first)[2] == "unknown"
    assert authorize(second)[2] == "revoked"


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("192.0.2.7", None),
        ("192.0.3.1", "address"),
        ("2001:db8::1", None),
        ("2001:db9::1", "address"),
        ("198.51.100.9", None),
        ("198.51.100.8", "address"),
        ("::ffff:192.0.2.7", "address"),
        (None, "address"),
    ],
)
def test_a_key_with_addresses_opens_from_there_alone(
    address: str | None, reason: str | None, admin: psycopg.Connection, authorize: Authorize
) -> None:
    key = keys.create(admin, "x", ["admin"], addresses=["192.0.2.0/24", "2001:db8::/32", "198.51.100.9"])
    assert authorize(key, address)[2] == reason


def test_a_key_without_addresses_opens_from_anywhere(admin: psycopg.Connection, authorize: Authorize) -> None:
    key = keys.create(admin, "x", ["admin"])
    assert [authorize(key, address)[2] for address in ("192.0.2.7", "2001:db8::1", None)] == [None] * 3


def test_use_is_noted_once_a_minute(admin: psycopg.Connection, authorize: Authorize) -> None:
    key = keys.create(admin, "x", ["admin"])
    assert entry(admin, key).last_used_at is None
    authorize(Key(key.id, Key.make().secret))
    assert entry(admin, key).last_used_at is None
    authorize(key)
    first = entry(admin, key).last_used_at
    assert first
    authorize(key)
    assert entry(admin, key).last_used_at == first
    travel(admin, "61 s")
    authorize(key)
    later = entry(admin, key).last_used_at
    assert later
    assert later - first >= timedelta(seconds=61)


def test_a_read_only_database_still_opens(admin: psycopg.Connection, ops: psycopg.Connection) -> None:
    key = keys.create(admin, "x", ["admin"])
    ops.execute("SET default_transaction_read_only = on")
    assert ask(ops, key)[2] is None
    assert entry(admin, key).last_used_at is None


def test_a_key_that_is_being_changed_opens_without_waiting(
    admin: psycopg.Connection, settings: Settings, ops: psycopg.Connection
) -> None:
    key = keys.create(admin, "x", ["admin"])
    with database.connect(settings, "postgres", autocommit=False) as other:
        keys.rotate(other, key.id)
        ops.execute("SET statement_timeout = '2s'")
        assert ask(ops, key)[2] is None
        other.rollback()


def test_a_use_that_cannot_be_noted_opens_all_the_same(admin: psycopg.Connection, authorize: Authorize) -> None:
    key = keys.create(admin, "x", ["admin"])
    admin.execute("ALTER TABLE almagest.api_key ADD CONSTRAINT broken CHECK (last_used_at IS NULL)")
    assert authorize(key)[2] is None
    assert entry(admin, key).last_used_at is None


def test_many_at_once_open_and_nobody_waits(admin: psycopg.Connection, settings: Settings) -> None:
    key = keys.create(admin, "x", ["admin"])
    reasons: list[Any] = []

    def run() -> None:
        with database.connect(settings, "almagest_ops") as connection:
            reasons.extend(ask(connection, key)[2] for _ in range(20))

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert reasons == [None] * 160


def test_the_ops_processes_cannot_read_tables_nor_write_them(
    admin: psycopg.Connection, ops: psycopg.Connection
) -> None:
    """They make and end keys on behalf of people, by functions that show no hash."""
    key = keys.create(admin, "x", ["admin"])
    assert ops.execute("SELECT active_keys()").fetchone() == (1,)
    for statement in (
        "SELECT * FROM api_key",
        "SELECT id FROM api_key",
        "UPDATE api_key SET revoked_at = NULL",
        "SELECT * FROM account",
        "SELECT * FROM session",
        "UPDATE account SET role = 'ADMIN'",
        "DELETE FROM quota_use",
        "SELECT take_quota('key:x', 'ml')",
        "SELECT standing(gen_random_uuid())",
        f"SELECT note_use('{key.id}', NULL, now())",
        "SELECT * FROM ledger",
        "SELECT collection_ids()",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            ops.execute(statement)


@pytest.mark.parametrize("role", OTHERS)
def test_no_other_role_reaches_keys(role: str, admin: psycopg.Connection) -> None:
    named = ("authorize", "active_keys", "list_keys", "create_key", "rotate_key", "revoke_key", "note_use")
    found = admin.execute(
        """
        SELECT p.proname, has_function_privilege(%s, p.oid, 'EXECUTE') FROM pg_proc AS p
        WHERE p.pronamespace = 'almagest'::regnamespace AND p.proname = ANY(%s)
        """,
        (role, list(named)),
    ).fetchall()
    assert sorted(found) == sorted((name, False) for name in named)
    for privilege in ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"):
        assert admin.execute(
            "SELECT has_table_privilege(%s, 'almagest.api_key', %s)", (role, privilege)
        ).fetchone() == (False,)
    assert admin.execute(
        "SELECT has_any_column_privilege(%s, 'almagest.api_key', 'SELECT, INSERT, UPDATE')", (role,)
    ).fetchone() == (False,)
    with admin.transaction():
        admin.execute("SELECT set_config('role', %s, true)", (role,))
        with pytest.raises(psycopg.errors.InsufficientPrivilege), admin.transaction():
            admin.execute("SELECT * FROM almagest.api_key")


def test_another_migration_keeps_keys_and_grants(admin: psycopg.Connection, authorize: Authorize) -> None:
    key = keys.create(admin, "x", ["admin"])
    assert migrate.migrate(admin).is_current
    assert authorize(key)[2] is None


def test_everything_that_was_asked_for_is_kept(admin: psycopg.Connection) -> None:
    until = datetime(2999, 1, 1, tzinfo=UTC)
    key = keys.create(
        admin, "Ann's laptop", ["ops:read", "ops:read"], expires=until, addresses=["10.0.0.0/8", "10.0.0.0/8", "::1"]
    )
    found = entry(admin, key)
    assert dataclasses.replace(found, created_at=until) == keys.Entry(
        id=key.id,
        name="Ann's laptop",
        owner=None,
        scopes=["ops:read"],
        addresses=["10.0.0.0/8", "::1/128"],
        created_at=until,
        expires_at=until,
        rotated_at=None,
        previous_until=None,
        revoked_at=None,
        last_used_at=None,
        active=True,
    )


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ({"scopes": ["catalogue:write", "root"]}, "'root' is not a scope: there are catalogue:read"),
        ({"scopes": ["public"]}, "'public' is not a scope"),
        ({"scopes": []}, "needs a scope"),
        ({"name": ""}, "printable ASCII"),
        ({"name": "a\nX-Scopes: admin"}, "printable ASCII"),
        ({"name": "naïve"}, "printable ASCII"),
        ({"name": "a" * 101}, "printable ASCII"),
        ({"addresses": ["10.0.0.1/8"]}, r"'10\.0\.0\.1/8' is neither an address nor a network: .*host bits"),
        ({"addresses": ["localhost"]}, "'localhost' is neither"),
        ({"addresses": ["::ffff:10.0.0.1"]}, "write it as IPv4"),
        ({"expires": datetime(2020, 1, 1, tzinfo=UTC)}, "expired before it was made: 2020-01-01"),
        ({"expires": timedelta(0)}, "expired before it was made"),
        ({"expires": timedelta(days=999999 * 7)}, "end of the calendar"),
    ],
)
def test_what_cannot_be_is_said(admin: psycopg.Connection, wanted: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        keys.create(admin, **{"name": "x", "scopes": ["admin"], **wanted})
    assert keys.entries(admin) == []


@pytest.mark.parametrize("act", [keys.rotate, keys.revoke])
def test_an_id_that_nobody_has_is_said(act: Callable[..., object], admin: psycopg.Connection) -> None:
    with pytest.raises(ConfigurationError, match=r"^There is no key 00000000\.$"):
        act(admin, "00000000")
    whole = Key.make()
    with pytest.raises(ConfigurationError, match="named by its id") as caught:
        act(admin, whole.reveal())
    assert whole.secret not in str(caught.value)
