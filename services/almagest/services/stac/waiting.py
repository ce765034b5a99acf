"""Waiting for changes without a connection: one look at the log for all who wait, twice a second at most."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from almagest.catalogue.following import Place
from almagest.core.errors import OverloadedError

#: Who waits at the same time in one process, and how many of them ask the database once something has come.
_SEATS, _TURNS = 256, 4
#: Between two looks [s].
_INTERVAL_S = 0.5


@dataclass
class Watch:
    """Looks for as long as anybody waits.

    Attributes:
        look: tells the place of the last change that is final.
        seats: who may wait at the same time.
        interval_s: between two looks.
        turn: to be entered by those who were woken, before they ask: others ask, too.
    """

    look: Callable[[], Awaitable[Place]]
    seats: int = _SEATS
    interval_s: float = _INTERVAL_S
    turn: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_TURNS), init=False)
    _taken: int = field(default=0, init=False)
    _place: Place | None = field(default=None, init=False)
    _looked: float = field(default=float("-inf"), init=False)
    _looking: asyncio.Task[Place] | None = field(default=None, init=False)

    @contextmanager
    def seat(self) -> Iterator[None]:
        """Room for one who waits.

        Raises:
            OverloadedError: too many wait already.
        """
        if self._taken >= self.seats:
            raise OverloadedError("Too many wait for changes at this moment. Ask without `wait`, now and then.")
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1

    async def latest(self) -> Place:
        """The place, at most as old as two looks are apart.

        Raises:
            AlmagestError: the database does not answer.
        """
        if self._place is not None and time.monotonic() - self._looked < self.interval_s:
            return self._place
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())
        # Who goes must not take it along from the others.
        return await asyncio.shield(self._looking)

    async def changed(self, known: Place, timeout_s: float) -> Place:
        """Waits until the place is another, or the time is over; answers which it is.

        Raises:
            AlmagestError: the database does not answer.
        """
        until = time.monotonic() + timeout_s
        while (left := until - time.monotonic()) > 0:
            await asyncio.sleep(min(left, self.interval_s))
            place = await self.latest()
            if place != known:
                return place
        return known

    async def _look(self) -> Place:
        try:
            self._place = await self.look()
            self._looked = time.monotonic()
            return self._place
        finally:
            self._looking = None
