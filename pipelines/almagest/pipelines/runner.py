"""Does jobs: takes one up, runs its process, and ends it, each step fenced by the lease."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import socket
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import structlog
from psycopg_pool import ConnectionPool
from structlog.contextvars import bound_contextvars

from almagest.catalogue import jobs
from almagest.catalogue.storing import Store
from almagest.core.errors import AlmagestError
from almagest.core.jobs import Child, DismissedError, Fanout, OvertakenError, Process
from almagest.core.settings import Settings
from almagest.pipelines import apart
from almagest.pipelines.apart import ChildError
from almagest.pipelines.attempt import Attempt, storable
from almagest.pipelines.keeper import Keeper
from almagest.pipelines.publishing import Publication

log = structlog.get_logger(__name__)

#: Before the second try, and the longest pause before any [s].
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 5.0, 600.0
#: Of what is overtaken again and again.
_LONGEST_WAIT = timedelta(hours=1)
#: Results wait for so long for others who are publishing in the same collections.
_PATIENCE = "10min"


class Runner:
    """Does one job at a time in each thread that calls it."""

    def __init__(
        self,
        pool: ConnectionPool[psycopg.Connection],
        keeper: Keeper,
        processes: Mapping[str, Process[Any]],
        settings: Settings,
        workroot: Path,
        ring: Callable[[UUID, str], bool] | None = None,
    ) -> None:
        """Args:
        pool: connections of the workers' role.
        keeper: keeps leases meanwhile.
        processes: those that this worker knows, by id; jobs of others are left to others.
        settings: of the stack.
        workroot: folder that the folders of attempts are made in.
        ring: tells the workers of a queue of a job, where one job makes others due; without it they are found in time.
        """
        self._pool = pool
        self._keeper = keeper
        self._processes = processes
        self._settings = settings
        self._lease = timedelta(seconds=settings.work.lease_s)
        self._workroot = workroot
        self._ring = ring or _nobody
        self._name = f"{socket.gethostname()}:{os.getpid()}"
        self._number = itertools.count(1)

    def run(self, job: UUID) -> bool:
        """Does a job, if it is to be had. Whatever happens to it, nothing is raised but what happens to us.

        Raises:
            psycopg.Error: the database is away; the lease runs out, and the job is taken up again.
        """
        return self._do(lambda connection, owner: jobs.claim(connection, job, owner, self._lease, self._processes))

    def run_due(self, queues: Sequence[str]) -> bool:
        """Does some job that waits, whether or not anybody has rung."""
        return self._do(
            lambda connection, owner: jobs.claim_due(connection, queues, owner, self._lease, self._processes)
        )

    def _do(self, claim: Callable[[jobs.Connection, str], jobs.Job | None]) -> bool:
        owner = f"{self._name}:{next(self._number)}"
        with self._pool.connection() as connection:
            claimed = claim(connection, owner)
            if claimed is None:
                return False
            children = jobs.children(connection, claimed.id)
        self._attempt(claimed, owner, children)
        return True

    def _attempt(self, job: jobs.Job, owner: str, children: Sequence[Child]) -> None:
        workdir = self._workroot / f"{job.id}-{job.attempt}"
        with closing(Publication(self._settings, job, self._workroot)) as publication:
            attempt = Attempt(job, owner, workdir, children, publication, self._pool)
            with bound_contextvars(**attempt.facts):
                self._try(attempt)

    def _try(self, attempt: Attempt) -> None:
        try:
            shutil.rmtree(attempt.workdir, ignore_errors=True)
            attempt.workdir.mkdir(mode=0o700)
            process = self._processes[attempt.row.process]
            with self._keeper.keeping(attempt):
                if process.is_apart:
                    result = apart.run(process, attempt)
                else:
                    result = process.run(process.parse(attempt.row.inputs), attempt)
                attempt.check()
            self._end(attempt, process, result)
            log.info("job done", waits=isinstance(result, Fanout))
        except DismissedError:
            log.info("job lost")
        except Exception as error:
            if _is_away(error):
                log.warning("job not ended: the database is away", reason=str(error))
                return
            log.warning("job failed", reason=str(error), exc_info=not isinstance(error, AlmagestError))
            self._fail(attempt, error)
        finally:
            shutil.rmtree(attempt.workdir, ignore_errors=True)

    def _end(self, attempt: Attempt, process: Process[Any], result: Mapping[str, Any] | Fanout) -> None:
        if isinstance(result, Fanout):
            if not attempt.publication.is_empty:
                raise TypeError(f"Process {process.id} publishes before its children have ended.")
            children = [(self._processes[child.process], child.inputs) for child in result.children]
            # They count with their parent: what has no class must not bring any number of those that have one.
            if others := {found.quota for found, _ in children} - {None, process.quota}:
                raise TypeError(
                    f"Process {process.id} gives others jobs of the class {others.pop()}, and is not of it."
                )
        elif unknown := set(result) - set(process.outputs):
            raise TypeError(f"Process {process.id} has no output {sorted(unknown)[0]!r}.")
        due: list[tuple[UUID, str]] = []
        with self._pool.connection() as connection:
            # By itself: what it said stays said, should its end fail.
            if (attempt.has_news or not attempt.publication.is_empty) and not attempt.keep(connection, self._lease):
                raise DismissedError()
            # The fence, in each of these: whoever lost the job changes nothing.
            if isinstance(result, Fanout):
                made = jobs.suspend(connection, attempt.row.id, attempt.owner, children, result.checkpoint)
                due = [(child, process.queue) for child, (process, _) in zip(made, children, strict=False)]
                is_ours = bool(made)
            elif attempt.publication.is_empty:
                is_ours = jobs.finish(connection, attempt.row.id, attempt.owner, result)
            else:
                is_ours = self._publish(connection, attempt, result)
        if not is_ours:
            raise DismissedError()
        self._wake(attempt, due)

    def _publish(self, connection: jobs.Connection, attempt: Attempt, result: Mapping[str, Any]) -> bool:
        store = Store(connection)
        try:
            with self._keeper.keeping(attempt):
                attempt.publication.prepare(connection, store)
            with connection.transaction():
                with self._keeper.keeping(attempt):
                    # Whoever publishes much keeps others waiting for longer than a caller would wait.
                    connection.execute("SELECT set_config('lock_timeout', %s, true)", (_PATIENCE,))
                    attempt.publication.secure(connection)
                # From here on nobody else can have the job, and what is published is published with its end.
                if not jobs.hold(connection, attempt.row.id, attempt.owner):
                    return False
                published = attempt.publication.commit(connection, store)
                return jobs.finish(connection, attempt.row.id, attempt.owner, result, published)
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected) as error:
            raise OvertakenError(f"Others were writing where job {attempt.job} publishes: {error}") from error

    def _fail(self, attempt: Attempt, error: Exception) -> None:
        # What the process or its inputs say will be the same the next time.
        is_final = isinstance(error, AlmagestError) and error.status < 500
        pause = timedelta(seconds=_pause_s(attempt.row.attempt))
        named = attempt.row.id, attempt.owner, _problem(error)
        with self._pool.connection() as connection:
            if not attempt.keep(connection, self._lease):
                return
            if isinstance(error, OvertakenError):
                # Longer and longer, so that what is overtaken again and again does not keep a worker busy.
                age = datetime.now(UTC) - (attempt.row.started_at or attempt.row.created_at)
                became = jobs.postpone(connection, *named, max(pause, min(age / 5, _LONGEST_WAIT)))
            else:
                became = jobs.fail(connection, *named, None if is_final else pause)
            if became != "failed":
                return
        self._wake(attempt, [])

    def _wake(self, attempt: Attempt, due: list[tuple[UUID, str]]) -> None:
        """Tells workers of what a commit has made due: these, and whose last part it was. The table has them anyway."""
        if attempt.row.parent is not None:
            with suppress(AlmagestError, psycopg.Error), self._pool.connection() as connection:
                parent = jobs.find(connection, attempt.row.parent)
                if parent.status == "running" and parent.lease_owner is None and not parent.pending_children:
                    due = [*due, (parent.id, parent.queue)]
        all(self._ring(*job) for job in due)


def _nobody(_: UUID, __: str) -> bool:
    return False


def _is_away(error: Exception) -> bool:
    """Whether the database is gone; what else it refuses is the job's own trouble."""
    state = error.sqlstate if isinstance(error, psycopg.OperationalError) else ""
    return state is None or state[:2] == "08" or state[:3] == "57P"


def _pause_s(attempt: int) -> float:
    longest: float = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 3 ** (attempt - 1))
    return longest * random.uniform(0.5, 1)  # noqa: S311 (so that what failed together is not tried together)


def _problem(error: Exception) -> dict[str, Any]:
    """What callers are told, and under ``internal`` what operators are: that may show paths and values."""
    if isinstance(error, AlmagestError) and error.status < 500:
        return {"title": error.title, "status": error.status, "detail": storable(str(error))}
    if isinstance(error, ChildError):
        told = {"title": error.title, "detail": storable(str(error)), "internal": storable(error.internal)}
    elif isinstance(error, AlmagestError):
        told = {"title": error.title, "detail": error.default_message(), "internal": storable(str(error))}
    else:
        trace = "".join(traceback.format_exception(error))[-20_000:]
        told = {"title": "Internal", "detail": "The process broke.", "internal": storable(trace)}
    return {"status": 500, **told}
