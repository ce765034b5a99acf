"""What each worker sees to besides its own jobs: bells that nobody heard, workers that died, jobs that are old.

It also does jobs by itself. So work goes on while Redis is away, and where Celery's consumer has silently stopped.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import psycopg
import structlog
from psycopg_pool import ConnectionPool

from almagest.catalogue import jobs, outbox
from almagest.pipelines.runner import Runner

log = structlog.get_logger(__name__)

#: Ended jobs are looked through this often [s].
_EXPIRY_S = 600.0
#: And takes so long at most, each time [s].
_EXPIRING_S = 5.0


class Reconciler:
    """Runs in a thread of a worker until it is stopped."""

    def __init__(
        self,
        pool: ConnectionPool[psycopg.Connection],
        runner: Runner,
        ring: Callable[[UUID, str], bool],
        queues: Sequence[str],
        slots: threading.BoundedSemaphore,
        *,
        interval_s: float,
        retention: timedelta,
        alive: Path,
        first: Callable[[jobs.Connection], object] = lambda _: None,
    ) -> None:
        """Args:
        pool: connections of the workers' role.
        runner: does jobs.
        ring: tells the workers of a queue of a job; answers whether it could.
        queues: whose jobs this worker does.
        slots: how many more jobs it may do at this moment.
        interval_s: time between two looks [s].
        retention: how long ended jobs are kept.
        alive: a file that is touched with each look that went well.
        first: what brings new jobs, before each look.
        """
        self._pool = pool
        self._runner = runner
        self._ring = ring
        self._queues = queues
        self._slots = slots
        self._interval_s = interval_s
        self._retention = retention
        self._alive = alive
        self._first = first
        self._stopped = threading.Event()
        self._hands = ThreadPoolExecutor(thread_name_prefix="unrung")
        self._expired_at = -_EXPIRY_S
        self._thread = threading.Thread(target=self._run, name="reconciler", daemon=True)

    def start(self) -> None:
        """Begins."""
        self._alive.unlink(missing_ok=True)  # a predecessor's
        self._thread.start()

    def stop(self) -> None:
        """Takes up nothing more; what it does by itself is not waited for."""
        self._stopped.set()
        self._hands.shutdown(wait=False, cancel_futures=True)

    def _run(self) -> None:
        while True:
            try:
                self.look()
                self._alive.touch()
            except psycopg.Error as error:
                log.warning("jobs not looked after", reason=str(error))
            except Exception:
                log.exception("jobs not looked after")
            if self._stopped.wait(self._interval_s):
                return

    def look(self) -> None:
        """Looks once.

        Raises:
            psycopg.Error: the database is away.
        """
        with self._pool.connection() as connection:
            try:
                self._first(connection)
            except psycopg.OperationalError:
                raise
            except Exception:  # whatever a schedule is: the jobs that are there are looked after
                log.exception("schedules not looked after")
            buried = jobs.bury(connection)
            unheard = jobs.to_ring(connection, timedelta(seconds=self._interval_s))
            if time.monotonic() - self._expired_at > _EXPIRY_S:
                self._expired_at = time.monotonic()
                for forget in (jobs.expire, jobs.expire_memory, outbox.expire):
                    until = time.monotonic() + _EXPIRING_S
                    while forget(connection, self._retention) and time.monotonic() < until:
                        pass
        if buried or unheard:
            log.info("jobs looked after", buried=buried, unheard=len(unheard))
        deaf: set[str] = set()
        for job, queue in unheard:
            if queue not in deaf and not self._ring(job, queue):
                deaf.add(queue)
        if unheard:
            self._help_out()

    def _help_out(self) -> None:
        """Does what waits, as much at once as there are free hands."""
        while not self._stopped.is_set() and self._slots.acquire(blocking=False):
            self._hands.submit(self._work)

    def _work(self) -> None:
        try:
            while not self._stopped.is_set() and self._runner.run_due(self._queues):
                pass
        except psycopg.Error as error:
            log.warning("the database is away", reason=str(error))
        except Exception:
            log.exception("no jobs done")
        finally:
            self._slots.release()
