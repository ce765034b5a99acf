"""What sessions of reads and of writes are like, seen from the database."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import asyncpg
import psycopg
import pytest

from almagest.catalogue import database
from almagest.core.errors import DatabaseUnavailableError, OverloadedError
from almagest.core.settings import Settings
from almagest.services.tiles.database import Catalogue
from almagest.services.web.pool import Pool, WritePool

#: What a session was told when it began, rather than by its role. PostgreSQL does not list what it does not know.
SAID = """
    SELECT name, setting FROM pg_settings
    WHERE source = 'client' AND name IN ('default_transaction_read_only', 'statement_timeout')
    UNION ALL SELECT 'pgstac.readonly', setting FROM current_setting('pgstac.readonly', true) AS setting
    WHERE setting IS NOT NULL
    ORDER BY name
"""
WRITE = "INSERT INTO almagest.asset_name DEFAULT VALUES"


def using(pool: Any, work: Callable[[Any], Awaitable[Any]]) -> Any:
    async def use() -> Any:
        try:
            return await work(pool)
        finally:
            await pool.close()

    return asyncio.run(use())


def read(settings: Settings, role: str, statement: str) -> list[tuple[Any, ...]]:
    async def work(pool: Pool) -> list[tuple[Any, ...]]:
        async with pool.connection() as connection:
            return [tuple(row) for row in await connection.fetch(statement)]

    found: list[tuple[Any, ...]] = using(Pool(settings, role), work)
    return found


@pytest.fixture
def admin(settings: Settings) -> Iterator[psycopg.Connection]:
    with database.connect(settings, "postgres") as connection:
        yield connection


@pytest.mark.parametrize(("role", "timeout_s"), [("almagest_reader", 30), ("almagest_external", 10)])
def test_a_session_that_reads_says_so_when_it_begins(settings: Settings, role: str, timeout_s: int) -> None:
    said = [
        ("default_transaction_read_only", "on"),
        ("pgstac.readonly", "true"),
        ("statement_timeout", str(timeout_s * 1000)),
    ]
    assert read(settings, role, SAID) == said
    catalogue = Catalogue(settings, role)
    catalogue.open()
    try:
        assert catalogue._read(SAID) == said
    finally:
        catalogue.close()


def test_nothing_is_written_by_who_reads_even_if_the_role_could(settings: Settings) -> None:
    with pytest.raises(DatabaseUnavailableError, match="takes no changes") as refused:
        read(settings, "almagest_writer", WRITE)
    assert isinstance(refused.value.__cause__, asyncpg.ReadOnlySQLTransactionError)
    catalogue = Catalogue(settings, "almagest_writer")
    catalogue.open()
    try:
        with pytest.raises(DatabaseUnavailableError, match="takes no changes"):
            catalogue._read(WRITE)
    finally:
        catalogue.close()


def test_a_statement_ends_when_its_audience_has_waited_long_enough(settings: Settings) -> None:
    short = settings.database.model_copy(update={"statement_timeout_s": 30.0, "external_timeout_s": 0.1})
    impatient = Settings(site=settings.site, database=short)
    with pytest.raises(OverloadedError):
        read(impatient, "almagest_external", "SELECT pg_sleep(3)")
    assert read(impatient, "almagest_reader", "SELECT 1 FROM pg_sleep(0.2)") == [(1,)]


def test_who_writes_can_and_leaves_its_session_as_it_found_it(settings: Settings) -> None:
    async def work(pool: WritePool) -> list[Any]:
        async with pool.connection() as connection:
            assert await connection.fetch(SAID) == [("statement_timeout", "60000")]
            before = await connection.fetchval("SHOW lock_timeout")
            await connection.execute("SET lock_timeout = '7s'")
            await connection.execute("SELECT write_as(NULL, NULL, NULL)")
        async with pool.connection() as connection:
            return [before, await connection.fetchval("SHOW lock_timeout")]

    before, after = using(WritePool(settings, "almagest_writer", timeout_s=60), work)
    assert before == after != "7s"


def test_after_a_read_nothing_is_sent_and_after_a_write_everything_is_set_back(
    settings: Settings, admin: psycopg.Connection
) -> None:
    async def work(pool: Pool | WritePool) -> str:
        async with pool.connection() as connection:
            process = await connection.fetchval("SELECT pg_backend_pid()")
        (last,) = admin.execute("SELECT query FROM pg_stat_activity WHERE pid = %s", (process,)).fetchone() or ()
        return str(last)

    assert using(Pool(settings, "almagest_reader"), work) == "SELECT pg_backend_pid()"
    assert "RESET ALL" in using(WritePool(settings, "almagest_writer", timeout_s=60), work)


def test_a_read_whose_session_was_ended_is_asked_once_again(settings: Settings, admin: psycopg.Connection) -> None:
    async def work(pool: Pool) -> tuple[int, int]:
        async with pool.connection() as connection:
            process = await connection.fetchval("SELECT pg_backend_pid()")
            admin.execute("SELECT pg_terminate_backend(%s, 5000)", (process,))
            return process, await connection.fetchval("SELECT pg_backend_pid()")

    one, other = using(Pool(settings, "almagest_reader"), work)
    assert one != other
