"""Has jobs of schedules come when they are due: one for each moment, however many workers look."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, timedelta
from typing import Any
from uuid import UUID

import psycopg
import structlog

from almagest.catalogue import accounts, jobs, schedules
from almagest.core.errors import BadRequestError, NotFoundError
from almagest.core.jobs import Process
from almagest.pipelines.attempt import storable

log = structlog.get_logger(__name__)

#: For so long, a schedule is left to workers that know its process.
_PATIENCE = timedelta(minutes=1)
#: With each look: whatever else a reconciler sees to must have its turn.
_AT_ONCE = 100


class Scheduler:
    """Looks for schedules that are due."""

    def __init__(self, processes: Mapping[str, Process[Any]]) -> None:
        """Args:
        processes: those that are installed here, by id.
        """
        self._processes = processes

    def look(self, connection: jobs.Connection) -> int:
        """Accepts a job for each schedule that is due; answers how many were. Of missed moments, the latest counts.

        Raises:
            psycopg.Error: the database is away.
        """
        fired = 0
        while fired < _AT_ONCE and self._fire(connection):
            fired += 1
        return fired

    def _fire(self, connection: jobs.Connection) -> bool:
        with connection.transaction():
            schedule = schedules.due(connection, self._processes, _PATIENCE)
            if schedule is None:
                return False
            now = schedules.now(connection)
            try:
                times = schedule.times
                moment, following = times.latest(now, schedule.next_at), next(times.after(now), None)
            except (BadRequestError, ValueError, OverflowError, StopIteration) as error:
                # A zone that this machine has not heard of, or a calendar that ends.
                schedules.note(connection, schedule.name, schedule.next_at, None, error=storable(str(error)))
                log.warning("schedule paused", schedule=schedule.name, reason=str(error))
                return True
            job: UUID | None = None
            why: str | None = None
            try:
                with connection.transaction():
                    job = self._accept(connection, schedule, f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}")
            except psycopg.OperationalError:
                raise
            except Exception as error:  # whatever a process makes of inputs: the others have their moments, too
                why = storable(str(error) or type(error).__name__)
            schedules.note(connection, schedule.name, moment, following, job=job, error=why)
        told = log.bind(schedule=schedule.name, moment=moment.isoformat())
        if why:
            told.warning("schedule not kept", reason=why)
        else:
            told.info("schedule kept", job=str(job))
        return True

    def _accept(self, connection: jobs.Connection, schedule: schedules.Schedule, moment: str) -> UUID:
        process = self._processes.get(schedule.process)
        if process is None:
            raise NotFoundError(
                f"There is no process {schedule.process!r} here: there are {', '.join(self._processes)}."
            )
        for scope in ("jobs:run", process.scope):
            if scope and (why := accounts.why_not(connection, schedule.principal, scope)):
                raise BadRequestError(why)
        return submit(connection, process, schedule, f"schedule:{schedule.name}:{moment}")


def submit(
    connection: jobs.Connection, process: Process[Any], schedule: schedules.Schedule, key: str | None = None
) -> UUID:
    """Accepts a job of a schedule; with a key that was used before, it is the one of that time."""
    request = {"by": f"schedule:{schedule.name}"}
    job, _ = jobs.accept(connection, process, schedule.inputs, schedule.principal, request=request, key=key)
    return job
