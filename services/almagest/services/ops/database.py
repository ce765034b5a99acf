"""What the ops app asks the database, as a role that cannot read keys."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar
from uuid import UUID

from almagest.catalogue.keys import Key
from almagest.core.errors import DatabaseUnavailableError
from almagest.core.settings import Settings
from almagest.services.ops.metrics import Stored
from almagest.services.web.pool import WritePool

T = TypeVar("T")

#: Every request waits for an answer of ours, so a database that hangs is given up soon.
_PATIENCE_S = 5.0


class Database:
    """A few questions, and one thing to do."""

    def __init__(self, settings: Settings) -> None:
        self._pool = WritePool(settings, "almagest_ops", timeout_s=_PATIENCE_S)

    async def authorize(self, key: Key, address: str | None) -> Any:
        """A row that says whose a key is, what it may and how often, or the reason why it opens nothing.

        Raises:
            DatabaseUnavailableError: nobody can tell.
        """
        return await _soon(self._fetch("SELECT * FROM authorize($1, $2, $3)", key.id, key.sha256, address))

    async def authorize_token(self, session: UUID, account: UUID) -> Any:
        """As :meth:`authorize`, of an access token.

        Raises:
            DatabaseUnavailableError: nobody can tell.
        """
        return await _soon(self._fetch("SELECT * FROM authorize_token($1, $2)", session, account))

    async def authorize_page(self, session: UUID, sha256: bytes) -> Any:
        """As :meth:`authorize`, of the cookie of a page.

        Raises:
            DatabaseUnavailableError: nobody can tell.
        """
        return await _soon(self._fetch("SELECT * FROM authorize_page($1, $2)", session, sha256))

    async def active_keys(self) -> int:
        """How many keys open something.

        Raises:
            DatabaseUnavailableError: nobody can tell.
        """
        row = await _soon(self._fetch("SELECT active_keys()"))
        return int(row[0])

    async def stored(self) -> Stored:
        """The numbers that it tells of itself.

        Raises:
            DatabaseUnavailableError: nobody can tell.
        """
        keys = await self.active_keys()
        rows = await _soon(self._fetch_all("SELECT * FROM job_counts()"))
        return Stored(
            keys,
            {(row["process"], row["status"]): row["number"] for row in rows},
            max((row["oldest_waiting_s"] or 0.0 for row in rows), default=0.0),
        )

    async def fold_commits(self) -> int:
        """Keeps the counting of commits short; answers how many were folded.

        Raises:
            DatabaseUnavailableError: it does not answer.
        """
        row = await _soon(self._fetch("SELECT fold_commits()"))
        return int(row[0])

    async def forget_sessions(self) -> int:
        """Removes logins that ended long ago; answers how many.

        Raises:
            DatabaseUnavailableError: it does not answer.
        """
        row = await _soon(self._fetch("SELECT forget_sessions()"))
        return int(row[0])

    async def close(self) -> None:
        """Closes what is open."""
        await self._pool.close()

    async def _fetch(self, statement: str, *values: object) -> Any:
        async with self._pool.connection() as connection:
            return await connection.fetchrow(statement, *values)

    async def _fetch_all(self, statement: str) -> Any:
        async with self._pool.connection() as connection:
            return await connection.fetch(statement)


async def _soon(work: Coroutine[Any, Any, T]) -> T:
    # Not asyncio.timeout: that would wait until the broken connection is tidied up.
    task = asyncio.create_task(work)
    done, _ = await asyncio.wait({task}, timeout=_PATIENCE_S)
    if not done:
        task.cancel()
        raise DatabaseUnavailableError()
    return task.result()
