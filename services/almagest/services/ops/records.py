"""Jobs, people and keys, for the requests of one process of ours: the database by threads, as the role of ops."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import psycopg
from psycopg_pool import ConnectionPool, PoolTimeout

from almagest.catalogue import database
from almagest.core.errors import BadRequestError, DatabaseUnavailableError
from almagest.core.settings import Settings

T = TypeVar("T")


class Records:
    """A few connections."""

    def __init__(self, settings: Settings) -> None:
        self._pool: ConnectionPool[psycopg.Connection[Any]] = ConnectionPool(
            kwargs={**database.parameters(settings, "almagest_ops"), "autocommit": True},
            min_size=0,
            max_size=4,
            timeout=5,
            open=False,
        )

    async def ask(self, work: Callable[[psycopg.Connection[Any]], T]) -> T:
        """Does something with a connection.

        Raises:
            DatabaseUnavailableError: there is none.
            BadRequestError: what a request brought cannot be stored.
        """

        def within() -> T:
            self._pool.open()
            try:
                with self._pool.connection() as connection:
                    return work(connection)
            except psycopg.DataError:
                raise BadRequestError("The request holds a character that cannot be stored (U+0000).") from None
            except (psycopg.OperationalError, PoolTimeout) as error:
                raise DatabaseUnavailableError() from error

        return await asyncio.to_thread(within)

    async def close(self) -> None:
        """Closes what is open."""
        await asyncio.to_thread(self._pool.close)
