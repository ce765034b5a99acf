"""Where jobs are handed in and asked about, on behalf of the web: the table by threads, and the doorbell."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from uuid import UUID

import psycopg
from psycopg_pool import ConnectionPool, PoolTimeout

from almagest.catalogue import database, jobs
from almagest.core.errors import DatabaseUnavailableError
from almagest.core.jobs import ENDED, Process
from almagest.core.settings import Settings
from almagest.pipelines.doorbell import Doorbell

T = TypeVar("T")

_LOOK_S = 0.05


class Office:
    """Jobs, for the requests of one process of ours."""

    def __init__(self, settings: Settings) -> None:
        self._doorbell = Doorbell(settings)
        self._pool: ConnectionPool[psycopg.Connection[Any]] = ConnectionPool(
            kwargs={**database.parameters(settings, "almagest_ops"), "autocommit": True},
            min_size=0,
            max_size=4,
            timeout=5,
            open=False,
        )

    async def accept(
        self,
        process: Process[Any],
        inputs: Mapping[str, Any],
        principal: str,
        request: Mapping[str, Any],
        key: str | None,
    ) -> tuple[jobs.Job, bool]:
        """Takes a job in and rings for it. Answers it, and whether it is new."""

        def work(connection: jobs.Connection) -> tuple[jobs.Job, bool]:
            identifier, is_new = jobs.accept(connection, process, inputs, principal, request=request, key=key)
            if is_new:
                self._doorbell.ring(identifier, process.queue)
            return jobs.find(connection, identifier), is_new

        return await self._ask(work)

    async def find(self, job: UUID) -> jobs.Job:
        """A job, whosever it is.

        Raises:
            NotFoundError: there is none.
        """
        return await self._ask(lambda connection: jobs.find(connection, job))

    async def listed(
        self, principal: str | None, filters: Mapping[str, Any], before: jobs.Job | None, limit: int
    ) -> list[jobs.Job]:
        """Jobs, the newest first."""
        return await self._ask(lambda connection: jobs.listed(connection, principal, filters, before, limit))

    async def events(self, job: UUID, behind: int) -> list[jobs.Event]:
        """The log of a job behind an event."""
        return await self._ask(lambda connection: list(jobs.events(connection, job, behind)))

    async def dismiss(self, job: UUID) -> None:
        """Ends a job, or removes one that has ended."""
        await self._ask(lambda connection: jobs.dismiss(connection, job))

    async def wait(self, job: UUID, at_most_s: float) -> jobs.Job:
        """A job when it has ended, or how it is by then."""
        until = time.monotonic() + at_most_s
        while True:
            found = await self.find(job)
            if found.status in ENDED or time.monotonic() > until:
                return found
            await asyncio.sleep(_LOOK_S)

    async def close(self) -> None:
        """Closes what is open."""
        await asyncio.to_thread(self._pool.close)

    async def _ask(self, work: Callable[[jobs.Connection], T]) -> T:
        def within() -> T:
            self._pool.open()
            try:
                with self._pool.connection() as connection:
                    return work(connection)
            except (psycopg.OperationalError, PoolTimeout) as error:
                raise DatabaseUnavailableError() from error

        return await asyncio.to_thread(within)
