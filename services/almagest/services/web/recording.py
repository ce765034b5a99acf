"""Rows of the audit on their way into the database: before the answer, or soon after it."""

from __future__ import annotations

import asyncio
import dataclasses
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import orjson
import structlog

from almagest.services.web.denials import Denials
from almagest.services.web.pool import WritePool

log = structlog.get_logger(__name__)

#: Writes rows, a JSON array.
Write = Callable[[str], Awaitable[None]]

#: So long an answer waits for its row at most [s].
PATIENCE_S = 5.0
#: How often what waits is written [s].
EVERY_S = 1.0
#: Rows that wait for the database at most. It may be away for a while, not for ever.
MOST_WAITING = 10_000
#: Characters of each, at most. The database would cut them too.
_MOST = {"subject": 100, "name": 200, "key_id": 20, "address": 100, "method": 20, "route": 500, "path": 1000}


@dataclass(frozen=True)
class Entry:
    """A row: who asked for what, and what was answered. Never a query, a header or a body: they may hold secrets."""

    subject: str = ""
    name: str = ""
    key_id: str = ""
    request_id: str = ""
    address: str = ""
    method: str = ""
    route: str = ""
    path: str = ""
    status: int = 0
    duration_us: int = 0
    times: int = 1
    #: When the answer was ready, by a clock that is never set.
    ready_s: float = field(default_factory=time.monotonic)

    def document(self) -> dict[str, object]:
        """What is stored: characters that PostgreSQL or a terminal would stumble over are replaced."""
        given = dataclasses.asdict(self)
        ago_us = int((time.monotonic() - given.pop("ready_s")) * 1e6)
        cut = {name: printable(given[name][:most]) for name, most in _MOST.items()}
        return {**given, **cut, "ago_us": ago_us}


class Recorder:
    """Writes the audit of one process.

    Attributes:
        late: rows that could not be written before their answer was sent. The log has them.
        lost: those of them that never were.
    """

    def __init__(self, write: Write | None) -> None:
        """Args:
        write: None where nothing can be written: the log is all that is told then.
        """
        self._write = write
        self._denials = Denials()
        self._waiting: list[Entry] = []
        self._writing: set[asyncio.Task[None]] = set()
        self.late = 0
        self.lost = 0

    def fates(self) -> dict[str, int]:
        """How many rows were late, and how many are lost."""
        return {"late": self.late, "lost": self.lost}

    @classmethod
    def over(cls, pool: WritePool | None) -> Recorder:
        """One that writes where an app writes."""
        if pool is None:
            return cls(None)

        async def write(rows: str) -> None:
            async with pool.connection() as connection:
                await connection.execute("SELECT note_requests($1)", rows)

        return cls(write)

    async def record(self, entry: Entry) -> None:
        """Writes a row, and returns when it is there: nobody shall hold an answer to a change that is not.

        Where it cannot be written, the change is done all the same. The row waits then, and the log has it.
        """
        if self._write is None:
            self._lose(entry)
            return
        # Not a timeout of the task: broken off, nobody would know whether the row is there.
        done, _ = await asyncio.wait({self._begun(self._at_once(entry))}, timeout=PATIENCE_S)
        if not done:
            log.error("audited late", **entry.document())

    def deny(self, entry: Entry) -> None:
        """Notes a refusal, to be written within moments. Many of one address in a minute become one row."""
        if self._write is None:
            log.warning("denied", **entry.document())
        elif self._denials.is_told(entry.address, time.monotonic()):
            self.later(entry)

    def later(self, entry: Entry) -> None:
        """Has a row written within moments, if the database lets."""
        if self._write is not None and len(self._waiting) < MOST_WAITING:
            self._waiting.append(entry)
        else:
            self._lose(entry)

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Writes what waits, as long as this goes on; in the end, once more."""
        keeping = asyncio.create_task(self._keep())
        try:
            yield
        finally:
            keeping.cancel()
            with suppress(asyncio.CancelledError):
                await keeping
            if self._writing:
                await asyncio.wait(self._writing, timeout=PATIENCE_S)
            await self._flush(math.inf)
            for entry in self._waiting:
                self._lose(entry)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            # It ends even where this is cancelled: else nobody would know which rows are there.
            await asyncio.shield(self._begun(self._flush(time.monotonic())))

    def _begun(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)
        return task

    async def _flush(self, now: float) -> None:
        for address, times in self._denials.over(now):
            self.later(Entry(address=address, times=times))
        entries, self._waiting = self._waiting, []
        if entries and not await self._written(entries):
            self._waiting = entries + self._waiting

    async def _at_once(self, entry: Entry) -> None:
        if not await self._written([entry]):
            self.late += 1
            log.error("audited late", **entry.document())
            self.later(entry)

    def _lose(self, entry: Entry) -> None:
        self.lost += 1
        log.error("not audited", **entry.document())

    async def _written(self, entries: Iterable[Entry]) -> bool:
        assert self._write is not None
        try:
            await self._write(orjson.dumps([entry.document() for entry in entries]).decode())
        except Exception as error:  # whatever it is, answers go out
            log.warning("the audit cannot be written", reason=str(error) or type(error).__name__)
            return False
        return True


def printable(text: str) -> str:
    """A text without control characters and half characters."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)
