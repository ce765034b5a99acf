"""Where jobs are handed in and asked about, on behalf of the web: the table by threads, and the doorbell."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import psycopg
from psycopg_pool import ConnectionPool

from almagest.catalogue import database, jobs
from almagest.core.errors import AlmagestError, BadRequestError, DatabaseUnavailableError
from almagest.core.jobs import ENDED, Process
from almagest.core.settings import Settings
from almagest.pipelines.doorbell import Doorbell
from almagest.services.web.request_id import request_id

T = TypeVar("T")

_LOOK_S, _LONGEST_LOOK_S = 0.03, 1.0
#: Requests that wait for their jobs at the same time. Others are told at once that theirs is accepted.
_WAITERS = 16


class Office:
    """Jobs, for the requests of one process of ours."""

    def __init__(self, settings: Settings) -> None:
        self._doorbell = Doorbell(settings)
        self._waiting = asyncio.Semaphore(_WAITERS)
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
            return jobs.find(connection, identifier), is_new

        job, is_new = await self._ask(work)
        if is_new:
            await asyncio.to_thread(self._doorbell.remind, job.id, process.queue)
        return job, is_new

    async def find(self, job: UUID) -> jobs.Job:
        """A job, whosever it is.

        Raises:
            NotFoundError: there is none.
        """
        return await self._ask(lambda connection: jobs.find(connection, job))

    async def listed(
        self, principal: str | None, filters: Mapping[str, Any], before: tuple[datetime, UUID] | None, limit: int
    ) -> list[jobs.Listed]:
        """Jobs, the newest first."""
        return await self._ask(lambda connection: jobs.listed(connection, principal, filters, before, limit))

    async def events(self, job: UUID, behind: int) -> list[jobs.Event]:
        """The log of a job behind an event."""
        return await self._ask(lambda connection: list(jobs.events(connection, job, behind)))

    async def dismiss(self, job: UUID, *, may_remove: bool) -> str:
        """Ends a job, or removes one that has ended; answers what became of it."""
        # nginx sends a DELETE to a second process where the first one's answer is lost, under the same id.
        asked_by = request_id() or None
        return await self._ask(
            lambda connection: jobs.dismiss(connection, job, may_remove=may_remove, request=asked_by)
        )

    async def wait(self, job: jobs.Job, at_most_s: float) -> jobs.Job:
        """A job when it has ended, or how it is by then: that much is true of it whatever happens."""
        if self._waiting.locked():
            return job
        async with self._waiting:
            until, pause = time.monotonic() + at_most_s, _LOOK_S
            while job.status not in ENDED and time.monotonic() < until:
                await asyncio.sleep(pause)
                pause = min(1.5 * pause, _LONGEST_LOOK_S)
                try:
                    job = await self.find(job.id)
                except AlmagestError:
                    return job
        return job

    async def close(self) -> None:
        """Closes what is open."""
        await asyncio.to_thread(self._pool.close)

    async def _ask(self, work: Callable[[jobs.Connection], T]) -> T:
        def within() -> T:
            self._pool.open()
            try:
                with self._pool.connection() as connection:
                    return work(connection)
            except psycopg.DataError:
                raise BadRequestError("The request holds a character that cannot be stored (U+0000).") from None
            except psycopg.OperationalError as error:
                raise DatabaseUnavailableError() from error

        return await asyncio.to_thread(within)
