"""How far a replica has come.

The primary is asked where its WAL ends, then the replica whether it is there: once it is, it shows all that was
committed before the primary was asked. That holds for an idle primary, a paused replay and a connection that broke
without a word, and compares no two clocks. Where the primary does not answer, the last that is known grows old.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from almagest.core.errors import AlmagestError, DatabaseUnavailableError
from almagest.core.places import Place
from almagest.core.settings import Settings
from almagest.services.web.pool import Pool

#: What is known counts so long before it is asked anew: less than a second, so that what lacks nothing is 0 s old.
_FRESH_S = 0.5
#: A request waits so long for that, and longer only where nothing is known yet; then it goes by what was known before.
_PATIENCE_S = 0.1
_FIRST_PATIENCE_S = 5.0
#: Either server has so long to answer.
_TIMEOUT_S = 2.0
#: A busy replica is some milliseconds behind: it is asked again after these times, rather than not believed.
_PAUSES_S = (0.01, 0.03)
#: Moments that are remembered while the replica has not come so far; of more, every other one is forgotten.
_MOST_ENDS = 1000

#: What is not flushed yet may stay so for long on an idle server, and no commit that was acknowledged is among it.
_PRIMARY = """
    SELECT pg_wal_lsn_diff(pg_current_wal_flush_lsn(), '0/0')::bigint AS lsn,
           extract(epoch FROM clock_timestamp())::float8 AS clock,
           system_identifier AS system
    FROM pg_control_system()
"""
#: `stamp`: by the primary's clock, of the last transaction that was replayed; before there is one, a checkpoint's.
_REPLICA = """
    SELECT pg_is_in_recovery() AS is_replica,
           pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '0/0')::bigint AS lsn,
           extract(epoch FROM coalesce(pg_last_xact_replay_timestamp(), checkpoint_time))::float8 AS stamp,
           extract(epoch FROM clock_timestamp())::float8 AS clock,
           system_identifier AS system
    FROM pg_control_system(), pg_control_checkpoint()
"""


@dataclass
class Progress:
    """What the two servers said, put together. Times are of this process's monotonic clock.

    Attributes:
        complete_until: the replica shows everything that was committed before; None: nobody knows.
    """

    complete_until: float | None = None
    _ends: list[tuple[float, int]] = field(default_factory=list, init=False)
    _offset: float | None = field(default=None, init=False)

    def primary_ended(self, when: float, lsn: int, clock: float) -> None:
        """The primary's WAL ended there, when its clock said this."""
        self._ends.append((when, lsn))
        if len(self._ends) > _MOST_ENDS:
            self._ends = self._ends[::2]
        self._offset = clock - when

    def replica_came(self, when: float, lsn: int, stamp: float | None, clock: float) -> bool:
        """The replica has replayed so far, its last transaction of that time, when its own clock said this.

        Returns:
            Whether that is everything that is known of the primary.
        """
        passed = [end for end in self._ends if end[1] <= lsn]
        known = [passed[-1][0]] if passed else []
        if stamp is not None:
            # Before the primary was ever asked, the replica's clock stands in for its.
            offset = self._offset if self._offset is not None else clock - when
            known.append(min(stamp - offset, when))
        self.complete_until = max(known, default=None)
        self._ends = [*passed[-1:], *(end for end in self._ends if end[1] > lsn)]
        return bool(self._ends) and self._ends[-1][1] <= lsn


class Replay:
    """Asks the primary and the replica, at most twice a second however many requests there are."""

    def __init__(self, settings: Settings, role: str, replica: Place) -> None:
        self._primary = Pool(settings, role, place=settings.primary, most=1)
        self._replica = Pool(settings, role, place=replica, most=1)
        self._place = replica
        self._most_s = settings.replica.max_age_s
        self._progress = Progress()
        self._looking: asyncio.Task[None] | None = None
        self._begun = -_FRESH_S

    @classmethod
    def of(cls, settings: Settings, role: str) -> Replay | None:
        """The one of the replica that serves reads; None where there is no replica."""
        replica = settings.read_replica
        return cls(settings, role, replica) if replica else None

    async def complete_until(self) -> float | None:
        """Whoever reads from now on sees everything that was committed before this moment; None: nobody knows."""
        now = time.monotonic()
        if self._looking is None and now - self._begun >= _FRESH_S:
            self._begun = now
            self._looking = asyncio.create_task(self._look())
        if self._looking is not None:
            patience = _PATIENCE_S if self._progress.complete_until is not None else _FIRST_PATIENCE_S
            left = self._begun + patience - now
            if left > 0:
                await asyncio.wait({self._looking}, timeout=left)
        return self._progress.complete_until

    async def check(self) -> None:
        """Raises where reads from the replica are no good.

        Raises:
            DatabaseUnavailableError: it is away, or no replica, or far behind; says which.
        """
        who = f"The replica at {self._place} (ALMAGEST_READ_DSN)"
        try:
            told = await self._ask(self._replica, _REPLICA)
        except AlmagestError:
            raise DatabaseUnavailableError(f"{who} does not answer.") from None
        if not told["is_replica"]:
            raise DatabaseUnavailableError(f"{who} is no replica: it takes writes of its own.")
        try:
            system = (await self._ask(self._primary, _PRIMARY))["system"]
        except AlmagestError:
            system = told["system"]
        if system != told["system"]:
            raise DatabaseUnavailableError(f"{who} is a replica of another database.")
        since = await self.complete_until()
        if since is None:
            raise DatabaseUnavailableError(f"{who} cannot tell how far behind it is.")
        if (age := time.monotonic() - since) > self._most_s:
            raise DatabaseUnavailableError(f"{who} may be {age:.0f} s behind (ALMAGEST_READ_MAX_AGE_S).")

    async def close(self) -> None:
        """Closes what is open."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait({self._looking})
        await self._primary.close()
        await self._replica.close()

    async def _look(self) -> None:
        try:
            asked = time.monotonic()
            end = None
            with suppress(AlmagestError):  # what is known grows older
                end = await self._ask(self._primary, _PRIMARY)
                self._progress.primary_ended(asked, end["lsn"], end["clock"])
            for pause in (*_PAUSES_S, None):
                asked = time.monotonic()
                came = await self._ask(self._replica, _REPLICA)
                if not came["is_replica"] or (end is not None and end["system"] != came["system"]):
                    return
                is_all = self._progress.replica_came(asked, came["lsn"], came["stamp"], came["clock"])
                if is_all or pause is None:
                    return
                await asyncio.sleep(pause)
        except AlmagestError:
            pass  # reading will fail, too, and say so
        finally:
            self._looking = None

    @staticmethod
    async def _ask(pool: Pool, question: str) -> Any:
        async def ask() -> Any:
            async with pool.connection() as connection:
                return await connection.fetchrow(question)

        try:
            return await asyncio.wait_for(ask(), _TIMEOUT_S)
        except TimeoutError:
            raise DatabaseUnavailableError() from None
