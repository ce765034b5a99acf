"""`almagest users` as an operator runs it, and the first admin that `make up` makes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from almagest.catalogue import accounts, database, passwords
from almagest.cli.stack import keys as first
from almagest.core import secrets
from almagest.core.settings import Settings
from support import commands
from support.cluster import Cluster
from support.commands import Run

PASSWORD = "correct horse battery staple"


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
    return commands.runner(settings, "users")


def test_an_account_from_its_making_to_its_end(run: Run, admin: psycopg.Connection) -> None:
    made = run("create", "Ada@Example.org", "--role", "premium", typed=f"{PASSWORD}\n")
    assert made.returncode == 0, made.stderr
    assert made.stdout == ""  # whoever has said it knows it
    stored = accounts.find(admin, name="ada@example.org")
    assert passwords.verified(PASSWORD, stored.password_hash)[0]
    changed = run("change", "ada@example.org", "--grant", "catalogue:write", "--tier", "enterprise")
    assert "catalogue:write" in changed.stderr
    assert "enterprise" in changed.stderr
    assert "jobs:run" in changed.stderr
    (listed,) = json.loads(run("list", "--json").stdout)
    assert (listed["name"], listed["role"], listed["own_scopes"]) == ("ada@example.org", "PREMIUM", ["catalogue:write"])
    assert "password" not in json.dumps(listed)
    assert "premium" in run("change", "ada@example.org", "--withdraw", "catalogue:write", "--tier", "none").stderr
    assert "disabled" in run("change", "ada@example.org", "--disable").stderr
    assert "disabled" in run("list").stdout
    assert accounts.find(admin, name="ada@example.org").own_scopes == []


def test_who_says_no_password_is_given_one(run: Run, admin: psycopg.Connection) -> None:
    made = run("create", "bob")
    given = made.stdout.strip()
    assert len(given) >= 20
    assert passwords.verified(given, accounts.find(admin, name="bob").password_hash)[0]
    other = run("password", "bob").stdout.strip()
    assert not passwords.verified(given, accounts.find(admin, name="bob").password_hash)[0]
    assert passwords.verified(other, accounts.find(admin, name="bob").password_hash)[0]


@pytest.mark.parametrize(
    ("arguments", "typed", "words"),
    [
        (("create", "x"), PASSWORD, "3 to 100"),
        (("create", "carol"), "short", "12 to 200"),
        (("create", "carol", "--role", "KING"), PASSWORD, "no role"),
        (("create", "taken"), PASSWORD, "already"),
        (("change", "nobody", "--disable"), "", "no such account"),
        (("change", "taken", "--tier", "gold"), "", "no tier"),
        (("change", "taken", "--grant", "all"), "", "not a scope"),
        (("change", "taken", "--role", "USER"), "", "last admin"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(
    run: Run, admin: psycopg.Connection, arguments: tuple[str, ...], typed: str, words: str
) -> None:
    accounts.create(admin, "taken", None, role="ADMIN")
    refused = run(*arguments, typed=typed)
    assert refused.returncode == 1
    assert words in refused.stderr
    assert "Traceback" not in refused.stderr


def test_the_first_admin_is_made_once(settings: Settings, admin: psycopg.Connection) -> None:
    for _ in range(2):
        first.ensure_admin(settings)
    (account,) = accounts.listed(admin)
    assert (account.name, account.role) == ("admin", "ADMIN")
    password = secrets.require(settings.secrets, secrets.ADMIN_PASSWORD)
    assert passwords.verified(password, accounts.find(admin, name="admin").password_hash)[0]
    # Where there is another one, the first is not made again, whatever became of him.
    accounts.create(admin, "second", None, role="ADMIN")
    accounts.change(admin, account, role="USER", tier=None, scopes=(), disabled=True)
    first.ensure_admin(settings)
    assert {entry.name: entry.role for entry in accounts.listed(admin)} == {"admin": "USER", "second": "ADMIN"}
