"""Who keeps house folds rollups, and an operator can have everything counted anew."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator

import psycopg
import pytest

from almagest.catalogue import database, loading
from almagest.core.settings import Settings
from almagest.services.ops import folding
from support import adopted, commands
from support.aggregating import item


@pytest.fixture
def filled(settings: Settings) -> Settings:
    chance = random.Random(1)
    loading.load_documents(settings, [adopted.collection("c")], [item(chance, number, "c") for number in range(30)])
    return settings


@pytest.fixture
def admin(filled: Settings) -> Iterator[psycopg.Connection]:
    with database.connect(filled, "postgres") as connection:
        yield connection


def total(connection: psycopg.Connection) -> int | None:
    row = connection.execute(
        "SELECT count FROM almagest.rollup WHERE collection = 'c' AND dimension = 'total'"
    ).fetchone()
    return row[0] if row else None


def value(connection: psycopg.Connection, statement: str) -> int:
    row = connection.execute(statement.encode()).fetchone()
    assert row is not None
    return int(row[0])


async def folded(connection: psycopg.Connection, count: int) -> None:
    while await asyncio.to_thread(total, connection) != count:  # noqa: ASYNC110 (no event comes from a database)
        await asyncio.sleep(0.05)


def test_ops_folds_by_itself(filled: Settings, admin: psycopg.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folding, "INTERVAL_S", 0.05)

    async def watched() -> None:
        task = asyncio.create_task(folding.keep_folding(filled))
        try:
            async with asyncio.timeout(30):
                await folded(admin, 30)
                loading.load_documents(filled, [], [item(random.Random(2), 77, "c")])
                await folded(admin, 31)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(watched())


def test_what_befalls_rollups_keeps_no_lineage_from_being_folded(
    filled: Settings, admin: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folding, "INTERVAL_S", 0.05)
    admin.execute("DROP TABLE almagest.rollup_number")
    behind = """
        SELECT count(*) FROM almagest.change AS c JOIN almagest.lineage_position AS p
        ON (c.era, c.xact, c.sequence) > (p.era, p.xact, p.sequence)
    """

    async def watched() -> None:
        task = asyncio.create_task(folding.keep_folding(filled))
        try:
            async with asyncio.timeout(30):
                while await asyncio.to_thread(value, admin, behind):  # noqa: ASYNC110 (no event comes from a database)
                    await asyncio.sleep(0.05)
                assert not task.done()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    assert value(admin, behind)
    asyncio.run(watched())


def test_who_is_stopped_while_counting_stops_at_once(filled: Settings, admin: psycopg.Connection) -> None:
    def slow(connection: psycopg.Connection) -> None:
        connection.execute("SELECT pg_sleep(60)")

    async def stopped() -> float:
        task = asyncio.create_task(folding.fold(filled, slow))
        await asyncio.sleep(0.5)
        start = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return time.monotonic() - start

    assert asyncio.run(stopped()) < 10
    busy = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)' AND datname = current_database()"
    assert admin.execute(busy + " AND pid <> pg_backend_pid()").fetchone() == (0,)


def test_an_operator_has_everything_counted_anew(filled: Settings, admin: psycopg.Connection) -> None:
    run = commands.runner(filled, "db")
    counted = run("recount")
    assert (counted.returncode, counted.stdout) == (0, ""), counted.stderr
    assert "what was kept is right" in counted.stderr
    admin.execute("UPDATE almagest.rollup SET count = 29 WHERE dimension = 'total'")
    wrong = run("recount")
    assert (wrong.returncode, wrong.stdout.splitlines()) == (1, ["c: total : 29 was kept, and 30 is right"])
    assert run("recount").returncode == 0
