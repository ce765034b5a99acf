"""The database behind an app: pools by role, and the one place where its errors become ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import asyncpg
import psycopg_pool

from almagest.core import secrets, sqlstate
from almagest.core.errors import AlmagestError, BadRequestError, DatabaseUnavailableError
from almagest.core.places import Place
from almagest.core.settings import Settings
from almagest.services.web.aging import read_from_replica

T = TypeVar("T")

#: What every session that reads starts with, whatever its role may. In pgSTAC's own words once more: it would write
#: what it was asked for.
READ_ONLY = {"default_transaction_read_only": "on", "pgstac.readonly": "true"}

#: How a replica ends a statement that stands in the way of the replay (one within a block that catches errors takes the
#: whole session along), and how one is refused that read items while they were put into other tables.
_CONFLICTS = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError, asyncpg.ConnectionDoesNotExistError)
#: How often one is asked at most.
_TRIES = 3


@dataclass(frozen=True)
class PoolUse:
    """How much of a pool is in use.

    Attributes:
        in_use: connections that somebody has.
        idle: connections that are open, and nobody's.
        most: connections that it opens at most.
        waiting: who waits for one.
    """

    in_use: int
    idle: int
    most: int
    waiting: int


def use_of(pool: psycopg_pool.ConnectionPool[Any]) -> PoolUse:
    """How much of a pool of the other library is in use."""
    told = pool.get_stats()
    idle = told["pool_available"]
    return PoolUse(told["pool_size"] - idle, idle, pool.max_size, told["requests_waiting"])


class _Connections:
    """Connections of one role, opened when first needed.

    A database that is away does not keep the process from starting; requests are answered 503 until it is back.
    """

    def __init__(
        self,
        settings: Settings,
        role: str,
        place: Place,
        timeout_s: float,
        *,
        most: int | None = None,
        reset: Callable[[Any], Awaitable[None]] | None = None,
        session: dict[str, str] | None = None,
    ) -> None:
        self._settings = settings
        self._role = role
        self._place = place
        self._timeout_s = timeout_s
        self._most = most or settings.database.pool_max
        self._reset = reset
        self._session = session or {}
        self._pool: asyncpg.Pool | None = None
        self._opening = asyncio.Lock()
        self._waiting = 0

    def use(self) -> PoolUse:
        """How much of it is in use at this moment."""
        size, idle = (self._pool.get_size(), self._pool.get_idle_size()) if self._pool else (0, 0)
        return PoolUse(size - idle, idle, self._most, self._waiting)

    async def close(self) -> None:
        """Closes what is open, waiting for statements under way."""
        if self._pool is not None:
            await self._pool.close()
            self._pool = None

    @asynccontextmanager
    async def _acquired(self) -> AsyncIterator[Any]:
        self._waiting += 1
        try:
            pool = self._pool or await self._open()
            connection = await pool.acquire(timeout=self._settings.database.statement_timeout_s)
        finally:
            self._waiting -= 1
        try:
            yield connection
        finally:
            await pool.release(connection)

    async def _open(self) -> asyncpg.Pool:
        async with self._opening:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    host=self._place.host,
                    port=self._place.port,
                    database=self._place.name,
                    user=self._role,
                    # Read anew for each connection: passwords rotate.
                    password=lambda: secrets.require(self._settings.secrets, self._role),
                    min_size=0,
                    max_size=self._most,
                    timeout=5,
                    command_timeout=self._timeout_s + 5,
                    reset=self._reset,
                    # Plans of a search depend on its values, and each search builds its own statement inside.
                    server_settings={
                        "application_name": f"almagest {self._role.removeprefix('almagest_')}",
                        "statement_timeout": f"{int(self._timeout_s * 1000)}ms",
                        "idle_in_transaction_session_timeout": "60s",
                        **self._session,
                    },
                )
            return self._pool


class Pool(_Connections):
    """Reads as one role, from the replica where there is one. Its sessions cannot write, whatever their role may."""

    def __init__(self, settings: Settings, role: str, *, place: Place | None = None, most: int | None = None) -> None:
        """Opens no connection yet.

        Args:
            settings: where the database is, and how long a statement of the role may take.
            role: reads as this role.
            place: reads there, whatever the settings say.
            most: connections at the same time; as many as the settings say.
        """
        place = place or settings.read_replica or settings.primary
        timeout_s = settings.database.timeout_s(role)
        super().__init__(settings, role, place, timeout_s, most=most, reset=_unchanged, session=READ_ONLY)
        self._is_replica = place == settings.read_replica

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Reader]:
        """Something to ask, with the database's errors translated.

        Raises:
            AlmagestError: whatever went wrong, as one of ours.
        """
        with _translated():
            async with self._acquired() as connection:
                if self._is_replica:
                    read_from_replica()
                yield Reader(connection, self._acquired)


class WritePool(_Connections):
    """Writes as one role, where writes go."""

    def __init__(self, settings: Settings, role: str, *, timeout_s: float, most: int | None = None) -> None:
        super().__init__(settings, role, settings.primary, timeout_s, most=most)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection, with the database's errors translated.

        Raises:
            AlmagestError: whatever went wrong, as one of ours.
        """
        with _translated():
            async with self._acquired() as connection:
                yield connection


class Reader:
    """Asks one statement at a time; one that had to make way, for the replay of a replica say, is asked once more."""

    def __init__(self, connection: asyncpg.Connection, another: Callable[[], Any]) -> None:
        self._connection = connection
        self._another = another

    async def fetch(self, statement: str, *values: object) -> list[asyncpg.Record]:
        """All rows."""
        return await self._ask(lambda connection: connection.fetch(statement, *values))

    async def fetchrow(self, statement: str, *values: object) -> asyncpg.Record | None:
        """The first row, if there is one."""
        return await self._ask(lambda connection: connection.fetchrow(statement, *values))

    async def fetchval(self, statement: str, *values: object) -> Any:
        """The first value of the first row."""
        return await self._ask(lambda connection: connection.fetchval(statement, *values))

    async def _ask(self, question: Callable[[Any], Awaitable[T]]) -> T:
        try:
            return await question(self._connection)
        except _CONFLICTS:
            with suppress(asyncpg.InterfaceError):  # it is gone already
                self._connection.terminate()
        for _ in range(_TRIES - 2):
            with suppress(*_CONFLICTS):
                async with self._another() as connection:
                    return await question(connection)
        async with self._another() as connection:
            return await question(connection)


async def _unchanged(_: object) -> None:
    """Sets nothing back: no read changes anything of its session, and asking for it after each is a round trip."""


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except AlmagestError:
        raise
    except Exception as error:
        translated = translate(error)
        if translated is None:
            raise
        raise translated from error


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
