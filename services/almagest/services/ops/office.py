"""Where jobs are handed in and asked about, on behalf of the web: the table, and the doorbell."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from almagest.catalogue import audience, jobs, schedules, statistics
from almagest.core.errors import AlmagestError, NotFoundError
from almagest.core.jobs import ENDED, Process
from almagest.core.settings import Settings
from almagest.pipelines.doorbell import Doorbell
from almagest.services.ops.records import Records
from almagest.services.web.caller import Caller
from almagest.services.web.inventory import Scope
from almagest.services.web.request_id import request_id

#: Types of problems that the standard names.
EXCEPTIONS = "http://www.opengis.net/def/exceptions/ogcapi-processes-1/1.0"
_LOOK_S, _LONGEST_LOOK_S = 0.03, 1.0
#: Requests that wait for their jobs at the same time. Others are told at once that theirs is accepted.
_WAITERS = 16


class NoSuchJobError(NotFoundError):
    """There is no such job."""

    slug = "no-such-job"
    standard_type = f"{EXCEPTIONS}/no-such-job"


class Office:
    """Jobs, for the requests of one process of ours."""

    def __init__(self, settings: Settings, records: Records) -> None:
        self._doorbell = Doorbell(settings)
        self._waiting = asyncio.Semaphore(_WAITERS)
        self._ask = records.ask

    async def accept(
        self,
        process: Process[Any],
        inputs: Mapping[str, Any],
        principal: str,
        request: Mapping[str, Any],
        key: str | None,
        request_id: str,
    ) -> tuple[jobs.Job, bool]:
        """Takes a job in and rings for it. Answers it, and whether it is new."""

        def work(connection: jobs.Connection) -> tuple[jobs.Job, bool]:
            identifier, is_new = jobs.accept(
                connection, process, inputs, principal, request=request, key=key, request_id=request_id
            )
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

    async def find_for(self, caller: Caller, identifier: str) -> jobs.Job:
        """One's own job; an admin's may be anybody's.

        Raises:
            NoSuchJobError: there is none, or it is another's, of which no more is said.
        """
        missing = NoSuchJobError(f"There is no job {identifier[:100]!r}.")
        try:
            job = await self.find(UUID(identifier))
        except (ValueError, NotFoundError):
            raise missing from None
        if job.principal != caller.subject and not caller.may(Scope.ADMIN):
            raise missing
        return job

    async def listed(
        self, principal: str | None, filters: Mapping[str, Any], before: tuple[datetime, UUID] | None, limit: int
    ) -> list[jobs.Listed]:
        """Jobs, the newest first."""
        return await self._ask(lambda connection: jobs.listed(connection, principal, filters, before, limit))

    async def events(self, job: UUID, behind: int) -> list[jobs.Event]:
        """The log of a job behind an event."""
        return await self._ask(lambda connection: list(jobs.events(connection, job, behind)))

    async def statistics(
        self, principal: str | None, begin: datetime | None, end: datetime | None
    ) -> list[statistics.Fared]:
        """How jobs of somebody, or of all, fared that were accepted in a time."""
        return await self._ask(lambda connection: statistics.by_process(connection, principal, begin, end))

    async def schedules(self) -> list[schedules.Schedule]:
        """All schedules."""
        return await self._ask(schedules.listed)

    async def public_among(self, collections: Collection[str]) -> set[str]:
        """Those of some collections that outsiders may see."""
        return await self._ask(lambda connection: audience.public_among(connection, collections))

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
