"""Keeps the leases of all that a worker does, from a thread of its own: a process may be deep in somebody's C code."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import psycopg
import structlog
from psycopg_pool import ConnectionPool
from structlog.contextvars import bound_contextvars

from almagest.catalogue import jobs
from almagest.pipelines.attempt import Attempt

log = structlog.get_logger(__name__)

#: How often what processes say is told [s].
_NEWS_S = 1.0


class Keeper:
    """Tells the table how attempts get on."""

    def __init__(self, pool: ConnectionPool[psycopg.Connection], lease: timedelta) -> None:
        self._pool = pool
        self._lease = lease
        self._running: dict[Attempt, float] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)
        self._thread.start()

    @contextmanager
    def keeping(self, attempt: Attempt) -> Iterator[None]:
        """Keeps an attempt's lease for so long."""
        with self._lock:
            self._running[attempt] = time.monotonic()
        try:
            yield
        finally:
            with self._lock:
                self._running.pop(attempt, None)

    def release(self) -> None:
        """Gives back whatever is being done here: the worker is about to stop.

        Raises:
            psycopg.Error: the database is away; leases run out by themselves.
        """
        with self._lock:
            running = list(self._running)
        for attempt in running:
            attempt.lose()
            with self._pool.connection(timeout=2) as connection:
                jobs.release(connection, attempt.row.id, attempt.owner)

    def stop(self) -> None:
        """Keeps nothing any more."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(_NEWS_S):
            with self._lock:
                running = list(self._running.items())
            for attempt, kept_at in running:
                age = time.monotonic() - kept_at
                if attempt.has_news or age > self._lease.total_seconds() / 3:
                    with bound_contextvars(**attempt.facts):
                        try:
                            self._keep(attempt)
                        except Exception:  # one attempt must not take the leases of the others along
                            log.exception("lease not kept")

    def _keep(self, attempt: Attempt) -> None:
        asked_at = time.monotonic()
        try:
            with self._pool.connection(timeout=5) as connection:
                attempt.keep(connection, self._lease)
        except psycopg.Error as error:
            # The lease is there for that: it is tried again in a moment.
            log.warning("lease not kept", reason=str(error))
            return
        with self._lock:
            if attempt in self._running:
                self._running[attempt] = asked_at
