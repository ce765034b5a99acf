"""What the tiler asks the catalogue. Names have no schema: the role's ``search_path`` decides who sees what."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
import psycopg_pool
from psycopg.rows import TupleRow

from almagest.catalogue.hydration import base_item, join
from almagest.core import secrets, sqlstate
from almagest.core.errors import AlmagestError, DatabaseUnavailableError, UnauthorizedError
from almagest.core.hrefs import AssetName
from almagest.core.places import Place
from almagest.core.settings import Settings
from almagest.services.web.aging import read_from_replica
from almagest.services.web.pool import READ_ONLY, PoolUse, use_of

Document = dict[str, Any]

#: How a replica ends a statement that stands in the way of the replay; it is asked once again.
_CONFLICTS = (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected)


class Catalogue:
    """The catalogue as one role sees it. Nothing is kept: what is hidden or deleted is gone with the next request."""

    def __init__(self, settings: Settings, role: str, writer: str | None = None) -> None:
        """Opens no connection yet.

        Args:
            settings: where the database is.
            role: reads as this role.
            writer: registers searches as this role; None where they cannot be registered.
        """
        replica = settings.read_replica
        self._reads = _pool(settings, role, replica or settings.primary, READ_ONLY)
        self._writes = _pool(settings, writer, settings.primary) if writer else None
        self._is_replica = replica is not None

    def open(self) -> None:
        """Lets connections be made. A database that is away does not keep the process from starting."""
        for pool in self._pools():
            pool.open()

    def close(self) -> None:
        """Closes all connections."""
        for pool in self._pools():
            pool.close()

    def use(self) -> dict[str, PoolUse]:
        """How much of each pool is in use."""
        return dict(zip(("reads", "writes"), map(use_of, self._pools()), strict=False))

    def check(self) -> None:
        """Asks the database whether it is there and knows our functions.

        Raises:
            DatabaseUnavailableError: it is not, or does not.
        """
        if not self._one("SELECT to_regproc('mosaic_items') IS NOT NULL"):
            raise DatabaseUnavailableError("The database is not migrated: run `almagest db migrate`.")

    def canary_has_passed(self) -> bool:
        """Whether outsiders may be served; asked for the external audience alone."""
        return bool(self._one("SELECT canary_has_passed()"))

    def item(self, collection: str, item: str) -> Document | None:
        """One item, or None."""
        found: Document | None = self._one("SELECT item_document(%s, %s)", collection, item)
        return found

    def collection(self, collection: str) -> Document | None:
        """One collection, or None."""
        found: Document | None = self._one("SELECT collection_document(%s)", collection)
        return found

    def asset_locations(self, names: Iterable[AssetName]) -> dict[AssetName, str]:
        """Where the bytes of those assets lie that this role may read; the others are left out."""
        columns = [list(column) for column in zip(*names, strict=True)]
        if not columns:
            return {}
        rows = self._read(
            """
            SELECT asked.collection, asked.item, asked.key, found.location
            FROM unnest(%s::text[], %s::text[], %s::text[]) AS asked(collection, item, key),
                 LATERAL asset_location(asked.collection, asked.item, asked.key) AS found
            """,
            *columns,
        )
        return {(collection, item, key): location for collection, item, key, location in rows}

    def search(self, identifier: str) -> Document | None:
        """A registered search, or None."""
        ask = "SELECT registered_search(%s)"
        found: Document | None = self._one(ask, identifier)
        if found is None and self._is_replica and self._writes is not None:
            with _translated():  # registered a moment ago, it may not have come to the replica yet
                ((found,),) = _rows(self._writes, ask, (identifier,))
        return found

    def register(self, search: Mapping[str, Any], metadata: Mapping[str, Any]) -> Document:
        """Gives a search an address.

        Raises:
            UnauthorizedError: this catalogue only reads.
        """
        if self._writes is None:
            raise UnauthorizedError("Searches cannot be registered here.")
        with _translated():
            given = (json.dumps(search), json.dumps(metadata))
            rows = _rows(self._writes, "SELECT register_search(%s::jsonb, %s::jsonb)", given)
        registered: Document = rows[0][0]
        return registered

    def mosaic(
        self,
        search: Mapping[str, Any],
        geometry: Mapping[str, Any] | None,
        *,
        limit: int,
        exit_when_full: bool = True,
        skip_covered: bool = True,
    ) -> list[Document]:
        """Items of a search under a geometry, in its order, with id, collection, bbox and assets."""
        rows = self._read(
            "SELECT item, base FROM mosaic_items(%s::jsonb, %s::jsonb, %s, %s, %s)",
            json.dumps(search),
            json.dumps(geometry) if geometry is not None else None,
            limit,
            exit_when_full,
            skip_covered,
        )
        items: list[Document] = []
        base: Document = {}
        for item, new_base in rows:
            if new_base is not None:  # stands only where it differs from the row before
                base = base_item(new_base)
            items.append(join(json.loads(item), base))
        return items

    def _one(self, statement: str, *values: object) -> Any:
        rows = self._read(statement, *values)
        return rows[0][0] if rows else None

    def _read(self, statement: str, *values: object) -> list[TupleRow]:
        if self._is_replica:
            read_from_replica()
        with _translated():
            try:
                return _rows(self._reads, statement, values)
            except _CONFLICTS:
                return _rows(self._reads, statement, values)

    def _pools(self) -> Iterator[psycopg_pool.ConnectionPool]:
        yield self._reads
        if self._writes is not None:
            yield self._writes


def _rows(pool: psycopg_pool.ConnectionPool, statement: str, values: Sequence[object]) -> list[TupleRow]:
    with pool.connection() as connection:
        return connection.execute(statement.encode(), values).fetchall()


def _pool(
    settings: Settings, role: str, place: Place, session: Mapping[str, str] | None = None
) -> psycopg_pool.ConnectionPool:
    database = settings.database
    given = {"statement_timeout": int(database.timeout_s(role) * 1000), **(session or {})}
    return psycopg_pool.ConnectionPool(
        kwargs={
            "host": place.host,
            "port": place.port,
            "dbname": place.name,
            "user": role,
            "password": secrets.require(settings.secrets, role),
            "connect_timeout": 5,
            "application_name": f"almagest tiles {role.removeprefix('almagest_')}",
            "options": " ".join(f"-c {name}={value}" for name, value in given.items()),
            # A connection is used for one statement; a failed one must leave nothing behind.
            "autocommit": True,
            # Each search builds its own statement inside; plans kept for ours would only grow.
            "prepare_threshold": None,
        },
        min_size=0,
        max_size=database.pool_max,
        # No `max_waiting`: it counts those too who gave up, so a pool that was asked often enough without its database
        # would refuse everybody for ever. The threads of the tiler are few anyway.
        timeout=5,
        # A pool that lost its database asks again with the next request, not after ever longer waits.
        reconnect_timeout=2,
        check=psycopg_pool.ConnectionPool.check_connection,
        open=False,
    )


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (psycopg.Error, psycopg_pool.PoolTimeout, psycopg_pool.TooManyRequests) as error:
        translated = translate(error)
        if translated is None:
            raise
        raise translated from error


def translate(error: Exception) -> AlmagestError | None:
    """What an error of the database means to the client; None where it is a bug of ours."""
    state = error.sqlstate if isinstance(error, psycopg.Error) else None
    if isinstance(error, psycopg.Error) and state is not None:
        return sqlstate.meaning(state, error.diag.message_primary or "")
    connection_is_gone = isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    return DatabaseUnavailableError() if connection_is_gone or not isinstance(error, psycopg.Error) else None
