"""The database behind the STAC API: pools by role, and the one place where its errors become ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from almagest.core import secrets
from almagest.core.errors import (
    AlmagestError,
    BadRequestError,
    ConflictError,
    DatabaseUnavailableError,
    NotFoundError,
    OverloadedError,
    StorageFullError,
)
from almagest.core.settings import Settings


class Pool:
    """Connections of one role, opened when first needed.

    A database that is away does not keep the process from starting; requests are answered 503 until it is back.
    """

    def __init__(self, settings: Settings, role: str) -> None:
        self._settings = settings
        self._role = role
        self._pool: asyncpg.Pool | None = None
        self._opening = asyncio.Lock()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection, with the database's errors translated.

        Raises:
            AlmagestError: whatever went wrong, as one of ours.
        """
        try:
            pool = self._pool or await self._open()
            async with pool.acquire(timeout=self._settings.database.statement_timeout_s) as connection:
                yield connection
        except AlmagestError:
            raise
        except Exception as error:
            translated = translate(error)
            if translated is None:
                raise
            raise translated from error

    async def close(self) -> None:
        """Closes what is open, waiting for statements under way."""
        if self._pool is not None:
            await self._pool.close()
            self._pool = None

    async def _open(self) -> asyncpg.Pool:
        async with self._opening:
            if self._pool is None:
                database = self._settings.database
                self._pool = await asyncpg.create_pool(
                    host=self._settings.db_host,
                    port=database.port,
                    database=database.name,
                    user=self._role,
                    password=secrets.require(self._settings.secrets, self._role),
                    min_size=0,
                    max_size=database.pool_max,
                    timeout=5,
                    command_timeout=database.statement_timeout_s + 5,
                    # Plans of a search depend on its values, and each search builds its own statement inside.
                    server_settings={
                        "application_name": f"almagest {self._role.removeprefix('almagest_')}",
                        "statement_timeout": f"{int(database.statement_timeout_s * 1000)}ms",
                        "idle_in_transaction_session_timeout": "60s",
                    },
                )
            return self._pool


#: What PostgreSQL says when an operator or function meets types that it is not for, or an expression nests too deep.
_NOT_SQL = frozenset({"42601", "42703", "42704", "42725", "42804", "42846", "42883", "42P18", "54001"})


def translate(error: Exception) -> AlmagestError | None:
    """What an error of the database means to the client; None where it is a bug of ours.

    pgSTAC raises its refusals as plain exceptions (P0001) with a sentence made for people, and PostgreSQL and PostGIS
    refuse malformed values by class 22 and XX000: all of them are the request's fault, not the server's.
    """
    if isinstance(error, asyncpg.PostgresError):
        state = str(error.sqlstate or "")
        sentence = error.message or ""
        match state:
            case "23505":
                return ConflictError(sentence if sentence.startswith("Item ") else "This id is taken already.")
            case "23503":
                return NotFoundError("The collection does not exist: create it first.")
            case "P0002":
                return NotFoundError(sentence if sentence.endswith(".") else "There is nothing of this id to change.")
            case "P0001" | "23502" | "23514":
                return BadRequestError(sentence)
            case "57014":
                return OverloadedError()
            case "53100":
                return StorageFullError()
            case "25006":
                return DatabaseUnavailableError("The catalogue takes no changes at the moment.")
            case "55P03" | "40P01" | "40001":
                return DatabaseUnavailableError("Others are changing the same thing at this moment. Try again.")
        if state.startswith("22") or state == "XX000":
            return BadRequestError(f"A value in this request cannot be used: {sentence}")
        if state in _NOT_SQL:
            # The sentence would be about SQL that the client never wrote.
            return BadRequestError("This search cannot be answered: an operator in it does not fit its operands.")
        if state[:2] in {"08", "53", "57"}:
            return DatabaseUnavailableError()
        return None
    if isinstance(error, asyncpg.DataError):
        return BadRequestError("A value in this request cannot be used.")
    # A connection that breaks under a statement shows itself in as many ways as there are moments for it.
    if isinstance(error, asyncpg.InterfaceError | asyncpg.InternalClientError | OSError | EOFError | TimeoutError):
        return DatabaseUnavailableError()
    return None
