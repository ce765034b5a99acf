"""What the ops app asks the database, as a role that cannot read keys."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar
from uuid import UUID

from almagest.catalogue.keys import Key
from almagest.core.errors import DatabaseUnavailableError
from almagest.core.groups import QUEUES
from almagest.core.settings import Settings
from almagest.pipelines import registry
from almagest.services.ops.metrics import Stored
from almagest.services.web.pool import PoolUse, WritePool

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
        jobs = await _soon(self._fetch_all("SELECT * FROM job_counts()"))
        queues = await _soon(self._fetch_all("SELECT * FROM job_queues()"))
        losses = await _soon(self._fetch_all("SELECT * FROM job_losses()"))
        connections = await _soon(self._fetch_all("SELECT * FROM connection_counts()"))
        most = await _soon(self._fetch("SELECT current_setting('max_connections')::int"))
        history = await _soon(self._fetch_all("SELECT * FROM history_sizes()"))
        troubles = await _soon(self._fetch("SELECT undelivered, failing_schedules FROM job_troubles()"))
        lag = await _soon(self._fetch("SELECT changes FROM rollup_lag()"))
        unsealed = await _soon(self._fetch("SELECT unsealed, oldest_s FROM audit_numbers()"))
        # A number that begins at one looks as if nothing had been added.
        none_yet = dict.fromkeys(registry.processes(), 0)
        return Stored(
            active_keys=keys,
            jobs={(row["process"], row["status"]): row["number"] for row in jobs},
            oldest_waiting_s=max((row["oldest_waiting_s"] or 0.0 for row in jobs), default=0.0),
            waiting={**dict.fromkeys(QUEUES, 0), **{row["queue"]: row["waiting"] for row in queues}},
            dead={**none_yet, **{row["process"]: row["dead"] for row in losses}},
            lease_expiries={**none_yet, **{row["process"]: row["lease_expiries"] for row in losses}},
            connections={row["role"]: row["number"] for row in connections},
            most_connections=most[0],
            history_rows={row["kind"]: row["number"] for row in history},
            undelivered=troubles["undelivered"],
            failing_schedules=troubles["failing_schedules"],
            unfolded=lag["changes"],
            unsealed=unsealed["unsealed"],
            oldest_unsealed_s=unsealed["oldest_s"],
        )

    def use(self) -> PoolUse:
        """How much of its pool is in use."""
        return self._pool.use()

    async def note_requests(self, rows: str) -> None:
        """Adds rows to the audit.

        Args:
            rows: a JSON array.

        Raises:
            DatabaseUnavailableError: it does not answer.
        """
        await self._fetch("SELECT note_requests($1)", rows)

    async def seal_audit(self) -> tuple[int, int, str] | None:
        """Seals the next rows of the audit; answers the block's number, how many rows it has, and its hash.

        Raises:
            DatabaseUnavailableError: it does not answer.
        """
        row = await _soon(self._fetch("SELECT block, sealed, head FROM seal_audit()"))
        return tuple(row) if row else None

    async def extend_audit(self) -> int:
        """Makes the partitions of the audit that will be needed soon; answers how many.

        Raises:
            DatabaseUnavailableError: it does not answer.
        """
        row = await _soon(self._fetch("SELECT extend_audit()"))
        return int(row[0])

    async def fold_commits(self) -> int:
        """Keeps the counting of commits short; answers how many were folded.

        Raises:
            DatabaseUnavailableError: it does not answer.
        """
        row = await _soon(self._fetch("SELECT fold_commits()"))
        return int(row[0])

    async def keep_time(self) -> None:
        """Writes down who is writing, so that it is known what was when.

        Raises:
            DatabaseUnavailableError: it does not answer.
        """
        await _soon(self._fetch("SELECT keep_time()"))

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
