"""`almagest keys` as an operator runs it, and the first key that `make up` makes known."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from almagest.catalogue import database, keys
from almagest.catalogue.keys import Key
from almagest.cli.stack import keys as first
from almagest.core import secrets
from almagest.core.errors import ConfigurationError
from almagest.core.settings import Settings
from support import commands
from support.cluster import Cluster
from support.commands import Run


@pytest.fixture
def settings(cluster: Cluster, settings: Settings, tmp_path: Path) -> Settings:
    """As elsewhere, but with secrets of its own."""
    return cluster.settings(settings.database.name, tmp_path)


@pytest.fixture
def admin(settings: Settings) -> Iterator[psycopg.Connection]:
    with database.connect(settings, "postgres") as connection:
        yield connection


@pytest.fixture
def run(settings: Settings) -> Run:
    return commands.runner(settings, "keys")


def opens(settings: Settings, key: Key) -> bool:
    with database.connect(settings, "almagest_ops") as connection:
        row = connection.execute("SELECT reason FROM authorize(%s, %s, NULL)", (key.id, key.sha256)).fetchone()
    return row == (None,)


def test_a_key_lives_from_create_to_revoke(settings: Settings, run: Run) -> None:
    made = run("create", "nightly ingest", "--scope", "catalogue:write", "--scope", "ops:read", "--expires", "90d")
    assert made.returncode == 0, made.stderr
    key = Key.parse(made.stdout.removesuffix("\n"))
    assert "shown only now" in made.stderr
    assert key.secret not in made.stderr
    assert opens(settings, key)

    (entry,) = json.loads(run("list", "--json").stdout)
    assert (entry["id"], entry["name"], entry["active"]) == (key.id, "nightly ingest", True)
    assert entry["scopes"] == ["catalogue:write", "ops:read"]
    table = run("list").stdout
    assert "nightly ingest" in table
    assert "until 20" in table
    assert key.secret not in table

    rotated = Key.parse(run("rotate", key.id, "--overlap", "1h").stdout.strip())
    assert rotated.id == key.id
    assert opens(settings, key)
    assert opens(settings, rotated)

    assert run("revoke", key.id).returncode == 0
    assert not opens(settings, key)
    assert not opens(settings, rotated)
    assert "revoked 20" in run("list").stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("create", "x", "--scope", "root"), "'root' is not a scope"),
        (("create", "x", "--scope", "admin", "--expires", "2020-01-01"), "expired before it was made"),
        (("create", "x", "--scope", "admin", "--expires", "soon"), "neither a duration like 90d nor a date"),
        (("create", "x", "--scope", "admin", "--address", "10.0.0.1/8"), "host bits"),
        (("rotate", "00000000"), "There is no key 00000000."),
        (("rotate", "00000000", "--overlap", "2027-01-01"), "is not a duration"),
        (("revoke", "alm_00000000"), "named by its id"),
    ],
)
def test_a_mistake_is_one_sentence(arguments: tuple[str, ...], sentence: str, run: Run) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["create", "list", "rotate", "revoke"])
def test_help_gives_an_example(command: str, run: Run) -> None:
    assert f"almagest keys {command}" in run(command, "--help").stdout.partition("Example: ")[2]


def test_the_first_key_is_known_once(settings: Settings, admin: psycopg.Connection) -> None:
    for _ in range(2):
        first.ensure(settings)
        first.ensure_registered(settings)
    (entry,) = keys.entries(admin)
    assert (entry.name, entry.scopes) == ("make up", ["catalogue:read", "catalogue:write", "ops:read"])
    assert opens(settings, Key.parse(secrets.require(settings.secrets, secrets.WRITE_KEY)))


def test_a_first_key_that_was_revoked_stays_revoked(settings: Settings, admin: psycopg.Connection) -> None:
    first.ensure(settings)
    first.ensure_registered(settings)
    key = Key.parse(secrets.require(settings.secrets, secrets.WRITE_KEY))
    keys.revoke(admin, key.id)
    first.ensure(settings)
    first.ensure_registered(settings)
    assert not opens(settings, key)
    assert [entry.active for entry in keys.entries(admin)] == [False]


def test_rotating_the_first_key_renews_its_file(settings: Settings, admin: psycopg.Connection, run: Run) -> None:
    first.ensure(settings)
    first.ensure_registered(settings)
    old = Key.parse(secrets.require(settings.secrets, secrets.WRITE_KEY))
    other = keys.create(admin, "other", ["admin"])
    assert run("rotate", other.id).returncode == 0
    assert secrets.require(settings.secrets, secrets.WRITE_KEY) == old.reveal()
    done = run("rotate", old.id)
    assert "write.key holds the new key" in done.stderr
    assert secrets.require(settings.secrets, secrets.WRITE_KEY) == done.stdout.strip()
    first.ensure_registered(settings)
    assert opens(settings, Key.parse(done.stdout.strip()))
    assert not opens(settings, old)


def test_a_file_that_holds_no_key_is_named(settings: Settings) -> None:
    secrets.ensure(settings.secrets, secrets.WRITE_KEY, "something else")
    with pytest.raises(ConfigurationError, match=r"write\.key holds no key: remove it") as caught:
        first.ensure_registered(settings)
    assert "something else" not in str(caught.value)
