"""Epochs grow with what is committed, and stay what they are while commits are folded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from almagest.catalogue import database, migrate
from almagest.core.settings import Settings
from support import ingests


@pytest.fixture
def connection(settings: Settings) -> Iterator[psycopg.Connection[Any]]:
    with database.connect(settings, settings.database.admin_user) as connection:
        connection.execute("SET search_path = almagest, public")
        connection.execute("SELECT put_collection(%s::jsonb)", (json.dumps(ingests.collection()),))
        yield connection


def epoch(connection: psycopg.Connection[Any], *collections: str) -> int:
    row = connection.execute("SELECT epoch(%s)", (list(collections) or None,)).fetchone()
    assert row is not None
    return int(row[0])


def test_a_script_that_is_applied_moves_all_epochs(
    connection: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = epoch(connection, "scenes")
    migrate.migrate(connection)
    assert epoch(connection, "scenes") == before, "nothing was pending"
    connection.execute("UPDATE ledger SET sha256 = repeat('0', 64) WHERE set_name = 'search' AND kind = 'function'")
    migrate.migrate(connection)
    assert epoch(connection, "scenes") > before


def test_folding_goes_on_in_parts_and_changes_no_epoch(connection: psycopg.Connection[Any]) -> None:
    """Much that waits to be folded must not take longer than a housekeeper has patience for."""
    connection.execute("INSERT INTO commit (collection) SELECT 'scenes' FROM generate_series(1, 100000)")
    before = epoch(connection, "scenes")
    folded = []
    while not folded or folded[-1]:
        folded += [connection.execute("SELECT fold_commits()").fetchone()[0]]  # type: ignore[index]
        assert epoch(connection, "scenes") == before
    assert folded[0] == 100_000
    assert len(folded) == 3
