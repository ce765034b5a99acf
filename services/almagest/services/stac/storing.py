"""Putting items into the catalogue over a pool: what :mod:`almagest.catalogue.storing` does, without blocking."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import astuple, dataclass
from typing import Any, TypeVar

import asyncpg

from almagest.catalogue.rows import Base, Document, Row, RowMaker
from almagest.catalogue.storing import FEW, Mode, Outcome, arguments, parts
from almagest.services.web.pool import WritePool

T = TypeVar("T")

#: What is tried again: other writers came in between, or what was known of the collection is out of date.
_AGAIN = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError, asyncpg.UniqueViolationError)


@dataclass(frozen=True)
class Author:
    """Who asks for a change.

    Attributes:
        actor: name of the key, or of the account behind it.
        key_id: id of the key.
        request_id: id of the request.
    """

    actor: str | None = None
    key_id: str | None = None
    request_id: str | None = None


#: Nobody says.
NOBODY = Author()


class _NoRoomError(Exception):
    def __init__(self, rows: list[Row], cause: Exception) -> None:
        self.rows = rows
        self.cause = cause


class Store:
    """Stores items; what it knows of their collections outlasts a request."""

    def __init__(self, pool: WritePool) -> None:
        self._pool = pool
        self._bases: dict[str, Base] = {}

    async def within(self, work: Callable[[asyncpg.Connection], Awaitable[T]], author: Author) -> T:
        """The result of work in a transaction; it is repeated where other writers came in between.

        Args:
            work: may be called several times, and calls :meth:`put`.
            author: whom versions will name.
        """
        async with self._pool.connection() as connection:
            for last in (False, False, False, True):
                try:
                    async with connection.transaction():
                        await connection.execute("SELECT write_as($1, $2, $3)", *astuple(author))
                        return await work(connection)
                except _NoRoomError as error:
                    if last:
                        raise error.cause from None
                    # In a transaction of its own: it keeps readers waiting.
                    for part in parts(error.rows):
                        given = arguments(part)
                        times = (given["collection"], given["starts"], given["ends"])
                        await connection.execute("SELECT ensure_partitions($1, $2, $3)", *times)
                except _AGAIN as error:
                    if last or (error.message or "").startswith("Item "):
                        raise
                    self._bases.clear()
            raise AssertionError("the last try returns or raises")

    async def put(self, connection: asyncpg.Connection, collection: str, items: list[Document], mode: Mode) -> Outcome:
        """Stores accepted items of a collection, none twice, in a transaction of :meth:`within`.

        Raises:
            NotFoundError: there is no such collection.
        """
        if collection not in self._bases:
            told = await connection.fetchrow("SELECT key, item_id, item FROM port_current_base($1)", collection)
            self._bases[collection] = Base.of(collection, told)
        maker = RowMaker({collection: self._bases[collection]})

        def make() -> list[Row]:
            return sorted(map(maker.row, items), key=lambda row: row.id)

        rows = await asyncio.to_thread(make) if len(items) > FEW else make()
        outcome = Outcome()
        try:
            if len(rows) > FEW:
                await connection.execute("SELECT lock_collection($1)", collection)
            for part in parts(rows):
                outcome += await _put(connection, arguments(part), mode)
        except asyncpg.CheckViolationError as error:
            raise _NoRoomError(rows, error) from None
        return outcome


async def _put(connection: asyncpg.Connection, given: Mapping[str, Any], mode: Mode) -> Outcome:
    done = await connection.fetchrow(
        "SELECT created, updated, unchanged FROM put_items($1, $2, $3, $4, $5, $6, $7, $8, $9)", *given.values(), mode
    )
    return Outcome(*done)
