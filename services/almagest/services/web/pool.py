"""The database behind an app: pools by role, and the one place where its errors become ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from almagest.core import secrets, sqlstate
from almagest.core.errors import AlmagestError, BadRequestError, DatabaseUnavailableError
from almagest.core.settings import Settings


class Pool:
    """Connections of one role, opened when first needed.

    A database that is away does not keep the process from starting; requests are answered 503 until it is back.
    """

    def __init__(self, settings: Settings, role: str, *, timeout_s: float | None = None) -> None:
        self._settings = settings
        self._timeout_s = timeout_s or settings.database.timeout_s(role)
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
                    # Read anew for each connection: passwords rotate.
                    password=lambda: secrets.require(self._settings.secrets, self._role),
                    min_size=0,
                    max_size=database.pool_max,
                    timeout=5,
                    command_timeout=self._timeout_s + 5,
                    # Plans of a search depend on its values, and each search builds its own statement inside.
                    server_settings={
                        "application_name": f"almagest {self._role.removeprefix('almagest_')}",
                        "statement_timeout": f"{int(self._timeout_s * 1000)}ms",
                        "idle_in_transaction_session_timeout": "60s",
                    },
                )
            return self._pool


def translate(error: Exception) -> AlmagestError | None:
    """What an error of the database means to the client; None where it is a bug of ours."""
    if isinstance(error, asyncpg.PostgresError):
        return sqlstate.meaning(str(error.sqlstate or ""), error.message or "")
    if isinstance(error, asyncpg.DataError):
        return BadRequestError("A value in this request cannot be used.")
    # A connection that breaks under a statement shows itself in as many ways as there are moments for it.
    if isinstance(error, asyncpg.InterfaceError | asyncpg.InternalClientError | OSError | EOFError | TimeoutError):
        return DatabaseUnavailableError()
    return None
