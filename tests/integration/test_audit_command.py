"""`almagest audit` as an operator runs it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from almagest.catalogue import database
from almagest.core.settings import Settings
from support import commands
from support.cluster import Cluster
from support.commands import Run

pytestmark = pytest.mark.xdist_group("alone")


@pytest.fixture(scope="session")
def cluster(lonely_cluster: Cluster) -> Cluster:
    """Sealing waits for every transaction of the cluster: those of other tests would hold it up."""
    return lonely_cluster


@pytest.fixture
def settings(cluster: Cluster, settings: Settings, tmp_path: Path) -> Settings:
    """As elsewhere, but with secrets of its own."""
    return cluster.settings(settings.database.name, tmp_path)


@pytest.fixture
def ops(settings: Settings) -> Iterator[psycopg.Connection[Any]]:
    with database.connect(settings, "almagest_ops") as connection:
        yield connection


@pytest.fixture
def run(settings: Settings) -> Run:
    return commands.runner(settings, "audit")


def note(ops: psycopg.Connection[Any], *entries: dict[str, Any], seals: bool = True) -> None:
    ops.execute("SELECT note_requests(%s)", (json.dumps(entries),))
    if seals:
        ops.execute("SELECT * FROM seal_audit()")


def test_verify_tells_what_is_sealed_and_what_is_not(
    settings: Settings, ops: psycopg.Connection[Any], run: Run
) -> None:
    assert run("verify").stdout == "0 rows in 0 blocks are as they were sealed; none waits to be sealed.\n"
    note(ops, {"path": "/a"}, {"path": "/b", "method": "PUT"})
    note(ops, {"path": "/c"}, {"path": "/d", "ago_us": 7_000_000_000}, seals=False)
    told = run("verify")
    assert told.returncode == 0, told.stderr
    first, second = told.stdout.splitlines()
    assert first.startswith("2 rows in 1 block are as they were sealed; 2 rows of the last 700")
    assert first.endswith(" seconds are not sealed yet.")
    head = second.removeprefix("The last block has the hash ")
    assert "do they run?" in told.stderr
    ops.execute("SELECT * FROM seal_audit()")
    assert run("verify", "--known", head[:16]).returncode == 0
    assert run("verify", "--known", "00" * 32).returncode == 1
    found = json.loads(run("verify", "--json").stdout)
    assert (found["fault"], found["rows"], found["blocks"], found["unsealed"]) == (None, 4, 2, 0)
    with database.connect(settings, "postgres") as admin, admin.transaction():
        admin.execute("SET LOCAL session_replication_role = replica")
        admin.execute("UPDATE almagest.request_audit SET subject = 'user:me' WHERE path = '/b'")
    told = run("verify")
    assert told.returncode == 1
    assert told.stdout.startswith("Row 2 (PUT /b, ")
    assert "has been changed" in told.stdout


def test_export_prints_lines_of_json(ops: psycopg.Connection[Any], run: Run) -> None:
    hour = 3_600_000_000
    note(ops, {"path": "/ü", "subject": "key:a", "key_id": "a", "ago_us": 3 * hour, "status": 201, "duration_us": 7})
    note(ops, {"path": "/b", "subject": "user:b", "name": "ben", "ago_us": 2 * hour})
    note(ops, {"path": "/c"}, seals=False)

    def paths(*arguments: str) -> list[str]:
        told = run("export", *arguments)
        assert told.returncode == 0, told.stderr
        return [json.loads(line)["path"] for line in told.stdout.splitlines()]

    (line, *_) = run("export").stdout.splitlines()
    row = json.loads(line)
    assert datetime.now(UTC) - datetime.fromisoformat(row.pop("at")) > timedelta(hours=2.9)
    assert row == {
        "id": 1,
        "login": "almagest_ops",
        "subject": "key:a",
        "name": "",
        "key_id": "a",
        "request_id": "",
        "address": "",
        "method": "",
        "route": "",
        "path": "/ü",
        "status": 201,
        "duration_us": 7,
        "times": 1,
    }
    assert paths() == ["/ü", "/b", "/c"]
    assert paths("--since", "150m", "--until", "1h") == ["/b"]
    assert paths("--subject", "ben") == paths("--subject", "user:b") == ["/b"]
    assert paths("--since", "2020-01-01", "--until", "2020-02-01") == []
    assert run("export", "--since", "yesterday").returncode != 0


def test_forget_removes_a_month_and_verify_says_so(ops: psycopg.Connection[Any], run: Run) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=70)
    note(ops, {"path": "/old", "ago_us": 70 * 86_400_000_000})
    note(ops, {"path": "/new"})
    assert run("forget", f"{datetime.now(UTC):%Y-%m}", "--yes").returncode != 0
    assert "write 2026-01" in run("forget", "then", "--yes").stderr
    told = run("forget", f"{long_ago:%Y-%m}", "--yes")
    assert told.returncode == 0, told.stderr
    assert f"1 row of {long_ago:%Y-%m} is gone." in told.stderr
    found = run("verify")
    assert found.returncode == 0
    assert f"1 row of {long_ago:%Y-%m} was forgotten." in found.stdout
    assert "/old" not in run("export").stdout
