"""One attempt at a job: what the process sees of us, and what others see of it meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import psycopg
from psycopg_pool import ConnectionPool

from almagest.catalogue import jobs
from almagest.core.jobs import Child, DismissedError
from almagest.pipelines.publishing import Publication, within

#: A line of a log is cut off here, and so is whatever else is told.
_LINE = 20_000
#: Lines of one attempt that are kept.
_LINES = 10_000


def storable(text: str) -> str:
    """A text without what a database cannot hold: NULs and halves of characters."""
    return text[:_LINE].encode(errors="replace").decode().replace("\0", "�")


class Attempt:
    """The context of a process, and what is to be told of it.

    The process says things from its own thread; :meth:`keep` tells them from that of the keeper.
    """

    def __init__(
        self,
        job: jobs.Job,
        owner: str,
        workdir: Path,
        children: Sequence[Child],
        publication: Publication,
        pool: ConnectionPool[psycopg.Connection],
    ) -> None:
        self.job = str(job.id)
        self.workdir = workdir
        self.children = children
        self.checkpoint: Any = job.checkpoint
        self.row = job
        #: What stands in each line that is logged about it.
        self.facts = {
            "job": self.job,
            "process": job.process,
            "attempt": str(job.attempt),
            "request_id": job.request.get("request_id", ""),
        }
        self.owner = owner
        self.publication = publication
        self._pool = pool
        self._lock = threading.Lock()
        self._percent: int | None = None
        self._message: str | None = None
        self._lines: list[str] = []
        self._number = 0
        self._is_lost = threading.Event()

    def progress(self, percent: float, message: str | None = None) -> None:
        """See :class:`almagest.core.jobs.Context`."""
        self.check()
        with self._lock:
            self._percent = min(100, max(0, round(percent)))
            self._message = message if message is None else storable(message)

    def log(self, line: str) -> None:
        """See :class:`almagest.core.jobs.Context`."""
        with self._lock:
            self._number += 1
            if self._number <= _LINES:
                self._lines.append(storable(line))
            elif self._number == _LINES + 1:
                self._lines.append(f"{_LINES:,} lines are kept; what follows is not")

    def source(self, collection: str, identifier: str) -> dict[str, Any]:
        """See :class:`almagest.core.jobs.Context`."""
        with self._pool.connection() as connection:
            return self.publication.source(connection, collection, identifier)

    def sources(self, names: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
        """See :class:`almagest.core.jobs.Context`."""
        with self._pool.connection() as connection:
            return self.publication.sources(connection, names)

    def pin(self, sources: Sequence[tuple[str, str, str]]) -> None:
        """See :class:`almagest.core.jobs.Context`."""
        self.publication.pin([(collection, item, version) for collection, item, version in sources])

    def collection(self, document: Mapping[str, Any], made_of: Sequence[str], *, public: bool = False) -> None:
        """See :class:`almagest.core.jobs.Context`."""
        self.publication.collection(dict(document), made_of, public=public)

    def rely_on(self, collections: Sequence[str], mark: str) -> None:
        """See :class:`almagest.core.jobs.Context`."""
        self.publication.rely_on(collections, mark)

    def remove(self, names: Sequence[tuple[str, str] | tuple[str, str, str]]) -> None:
        """See :class:`almagest.core.jobs.Context`."""
        self.publication.remove({(of, item): version[0] if version else None for of, item, *version in names})

    def recall(self, key: str) -> Any:
        """See :class:`almagest.core.jobs.Context`."""
        with self._pool.connection() as connection:
            return self.publication.recall(connection, key)

    def remember(self, key: str, value: Any) -> None:
        """See :class:`almagest.core.jobs.Context`."""
        self.publication.remember(key, value)

    def publish(
        self,
        items: Iterable[Mapping[str, Any]],
        *,
        public: bool = False,
        sources: Sequence[tuple[str, str]] | None = None,
        own: Sequence[str] | None = None,
    ) -> None:
        """See :class:`almagest.core.jobs.Context`."""
        self.publication.items((dict(item) for item in items), self.workdir, public=public, sources=sources, own=own)

    def register(
        self,
        collection: str,
        item: str,
        file: str,
        *,
        prefix: str,
        day: date,
        asset: Mapping[str, Any] | None = None,
        public: bool = False,
    ) -> None:
        """See :class:`almagest.core.jobs.Context`."""
        is_stored = "://" in file
        made = (
            self.publication.stored(file, self.workdir)
            if is_stored
            else self.publication.store(within(self.workdir, file))
        )
        self.publication.asset(collection, item, prefix, {**made, **(asset or {})}, day, public=public)

    def fetch(self, href: str) -> Path:
        """See :class:`almagest.core.jobs.Context`."""
        return self.publication.fetch(href, self.workdir)

    def check(self) -> None:
        """Raises where the job is no longer this attempt's.

        Raises:
            DismissedError: so it is.
        """
        if self._is_lost.is_set():
            raise DismissedError(f"Job {self.job} was dismissed, or somebody else has it.")

    def lose(self) -> None:
        """Somebody else has the job, or nobody wants it any more."""
        self._is_lost.set()

    def keep(self, connection: jobs.Connection, lease: timedelta) -> bool:
        """Tells what there is to tell, and makes the lease last longer; False, once and for all, where it is lost."""
        with self._lock:
            percent, message, lines = self._percent, self._message, self._lines
            self._percent, self._message, self._lines = None, None, []
        try:
            is_ours = jobs.keep(connection, self.row.id, self.owner, lease, percent, message, lines)
        except BaseException:
            self._remember(percent, message, lines)
            raise
        if is_ours is None:
            self._remember(percent, message, lines)
        elif not is_ours:
            self.lose()
        return is_ours is not False

    @property
    def has_news(self) -> bool:
        """Whether there is something to tell."""
        with self._lock:
            return bool(self._lines) or self._percent is not None

    def _remember(self, percent: int | None, message: str | None, lines: list[str]) -> None:
        """What could not be told is told the next time, unless there is newer."""
        with self._lock:
            self._lines = lines + self._lines
            if self._percent is None:
                self._percent, self._message = percent, message
