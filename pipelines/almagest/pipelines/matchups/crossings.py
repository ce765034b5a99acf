"""Crossings of two satellites: when the ground below one is near that below the other, at nearly the same time.

Both are looked at by the second. What is far away is left out early: two cells of 27 seconds each, one of either
satellite, hold something only where their middles are no further apart than both satellites may come until the ends.
Cells that may are parted in three, and so on. So all pairs of seconds are found that a comparison of every second with
every other one finds.

Seconds are those since 1970, whatever interval is looked at, and days are those of UTC: who looks at another interval
finds the same crossings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from almagest.pipelines.matchups.orbits import DAY_S, RADIUS_KM, STEP_S, Floats, Seconds, distance_km

#: Lengths of cells [s]: odd, so that their middles are whole seconds, each a third of the one before.
_CELLS_S = (STEP_S, 9, 3, 1)
#: So many pairs of the longest cells are parted at once: 729 pairs of seconds each, at most.
_AT_ONCE = 2000


#: Tells of moments, and of the ground below a satellite then, which of them count.
Condition = Callable[[Seconds, Floats], npt.NDArray[np.bool_]]


class Track(Protocol):
    """What a satellite passes over."""

    @property
    def speed_km_s(self) -> float:
        """A bound of how fast, from one multiple of `STEP_S` half the way to the next ones."""
        ...

    def ground(self, seconds: Seconds) -> Floats:
        """Unit vectors, as an array of shape (number of seconds, 3); not a number where it is nowhere."""
        ...


@dataclass(frozen=True)
class Nearness:
    """What a crossing is.

    Attributes:
        max_time_difference_s: so much later one may be where the other was [s].
        max_distance_km: so far from there [km].
        gap_s: without a crossing for longer than this, another one begins [s].
        wanted: when and where both have to be; None: anywhere at any time.
    """

    max_time_difference_s: float
    max_distance_km: float
    gap_s: float
    wanted: Condition | None = None


@dataclass(frozen=True, eq=False)
class Crossing:
    """One crossing, by the second: for each at which the earlier one is near to where the later one will come.

    Attributes:
        begin: that second, in order [s].
        first: when the first satellite is where they come closest, of all pairs of places that begin then [s].
        second: when the second one is.
        km: how far apart these places are.
        until: when the later one is there, at the latest of all these pairs [s].
    """

    begin: Seconds
    first: Seconds
    second: Seconds
    km: Floats
    until: Seconds

    def __len__(self) -> int:
        return len(self.begin)

    @property
    def start(self) -> int:
        """When it begins [s]."""
        return int(self.begin[0])

    @property
    def stop(self) -> int:
        """When it ends [s]."""
        return int(self.until.max())

    @property
    def closest(self) -> int:
        """Where, in the columns, they come closest."""
        return int(np.argmin(self.km))

    def _part(self, begin: int, end: int) -> Crossing:
        cut = slice(begin, end)
        return Crossing(self.begin[cut], self.first[cut], self.second[cut], self.km[cut], self.until[cut])


def crossings(
    first: Track, second: Track, limits: Nearness, begin: int, end: int, seen: Callable[[float], None] | None = None
) -> Iterator[Crossing]:
    """Crossings that begin within an interval, in the order of time.

    Where two fly one behind the other there is no end of it: what goes on for a whole day of UTC is cut at midnights.

    Args:
        first, second: both satellites.
        limits: what a crossing is.
        begin: of the interval [s since 1970].
        end: of it, which does not belong to it [s].
        seen: is told before each day which share of the days has been looked at, from 0 to 1.
    """
    waiting: list[Crossing] = []
    # What begins within a day ends on the next one, or is cut there; and it may have begun on the day before.
    days = range(begin // DAY_S - 1, end // DAY_S + 2)
    for number, day in enumerate(days):
        if seen is not None:
            seen(number / len(days))
        for part in _parted(_of_day(first, second, limits, day * DAY_S), limits.gap_s):
            goes_on = waiting and part.start - int(waiting[-1].begin[-1]) <= limits.gap_s
            if not goes_on or any(_fills_day(each, limits.gap_s) for each in (waiting[-1], part)):
                yield from _within(waiting, begin, end)
                waiting = []
            waiting.append(part)
    yield from _within(waiting, begin, end)


def _within(parts: list[Crossing], begin: int, end: int) -> Iterator[Crossing]:
    if parts and begin <= parts[0].start < end:
        yield _joined(parts)


def _parted(found: Crossing, gap_s: float) -> Iterator[Crossing]:
    if not len(found):
        return
    cuts = np.flatnonzero(np.diff(found.begin) > gap_s) + 1
    for begin, end in zip([0, *cuts], [*cuts, len(found)], strict=True):
        yield found._part(int(begin), int(end))


def _fills_day(part: Crossing, gap_s: float) -> bool:
    """Whether there is no pause before, in or after it on its day."""
    day = part.start // DAY_S * DAY_S
    return part.start <= day + gap_s and int(part.begin[-1]) >= day + DAY_S - 1 - gap_s


def _joined(parts: list[Crossing]) -> Crossing:
    columns = ("begin", "first", "second", "km", "until")
    return Crossing(*(np.concatenate([getattr(part, name) for part in parts]) for name in columns))


def _of_day(first: Track, second: Track, limits: Nearness, midnight: int) -> Crossing:
    """All that begins on a day, as if it were one crossing."""
    cell = _CELLS_S[0]
    behind = midnight + DAY_S + int(limits.max_time_difference_s)
    middles = cell * np.arange(midnight // cell, behind // cell + 2)
    of_first, of_second = _near_cells(first, second, limits, middles)
    found = [_nothing()]
    for start in range(0, len(of_first), _AT_ONCE):
        cut = slice(start, start + _AT_ONCE)
        one, other = middles[of_first[cut]], middles[of_second[cut]]
        found.append(_by_second(_near_seconds(first, second, limits, one, other, midnight)))
    return _by_second(_joined(found))


def _near_cells(first: Track, second: Track, limits: Nearness, middles: Seconds) -> tuple[Seconds, Seconds]:
    """Pairs of the longest cells that may hold something, as places among these, in the order of time."""
    cell = _CELLS_S[0]
    nearest = np.cos(min(_reach_km(first, second, limits, cell) / RADIUS_KM, np.pi))
    here, there = first.ground(middles), second.ground(middles)
    found = []
    most = min(int(limits.max_time_difference_s + cell - 1) // cell, len(middles) - 1)
    for later in range(-most, most + 1):
        begin, end = max(0, -later), len(middles) - max(0, later)
        near = np.einsum("ij,ij->i", here[begin:end], there[begin + later : end + later]) >= nearest
        places = np.flatnonzero(near) + begin
        found.append(np.stack([places, places + later]))
    pairs = np.concatenate(found, axis=1)
    one, other = pairs[:, np.argsort(pairs.min(axis=0), kind="stable")]
    return one, other


def _near_seconds(
    first: Track, second: Track, limits: Nearness, one: Seconds, other: Seconds, midnight: int
) -> Crossing:
    """All pairs of seconds that are near each other, of some pairs of the longest cells, by their middles."""
    # Each side is a list of cells and, for each pair, a place in it: so no cell is computed for every pair it is in.
    these, at_one = np.unique(one, return_inverse=True)
    those, at_other = np.unique(other, return_inverse=True)
    for cell in _CELLS_S[1:]:
        these, at_one = _thirds(these, at_one, cell, np.array([0, 0, 0, 1, 1, 1, 2, 2, 2]))
        those, at_other = _thirds(those, at_other, cell, np.array([0, 1, 2, 0, 1, 2, 0, 1, 2]))
        apart = np.abs(these[at_one] - those[at_other]) <= limits.max_time_difference_s + cell - 1
        at_one, at_other = at_one[apart], at_other[apart]
        km = distance_km(first.ground(these)[at_one], second.ground(those)[at_other])
        near = km <= _reach_km(first, second, limits, cell)
        (these, at_one), (those, at_other), km = _used(these, at_one[near]), _used(those, at_other[near]), km[near]
    when, then = these[at_one], those[at_other]
    begin = np.minimum(when, then)
    here = (begin >= midnight) & (begin < midnight + DAY_S)
    if limits.wanted is not None:
        here &= limits.wanted(these, first.ground(these))[at_one]
        here &= limits.wanted(those, second.ground(those))[at_other]
    return Crossing(begin[here], when[here], then[here], km[here], np.maximum(when, then)[here])


def _thirds(cells: Seconds, places: Seconds, cell: int, which: Seconds) -> tuple[Seconds, Seconds]:
    """Cells parted in three, and for each pair nine of them in its place."""
    parted = (cells[:, None] + cell * np.array([-1, 0, 1])).ravel()
    return parted, (3 * places[:, None] + which).ravel()


def _used(cells: Seconds, places: Seconds) -> tuple[Seconds, Seconds]:
    """Only the cells that are in a pair."""
    is_used = np.zeros(len(cells), bool)
    is_used[places] = True
    return cells[is_used], (np.cumsum(is_used) - 1)[places]


def _reach_km(first: Track, second: Track, limits: Nearness, cell: int) -> float:
    """So far apart the middles of two cells may be that hold something near each other."""
    return limits.max_distance_km + (first.speed_km_s + second.speed_km_s) * (cell - 1) / 2


def _by_second(pairs: Crossing) -> Crossing:
    """Of all pairs that begin with one second the closest, and the latest end."""
    begin, at = np.unique(pairs.begin, return_inverse=True)
    km, until = np.full(len(begin), np.inf), np.zeros(len(begin), np.int64)
    np.minimum.at(km, at, pairs.km)
    np.maximum.at(until, at, pairs.until)
    closest = np.flatnonzero(pairs.km == km[at])
    best = np.empty(len(begin), np.int64)
    best[at[closest]] = closest
    return Crossing(begin, pairs.first[best], pairs.second[best], km, until)


def _nothing() -> Crossing:
    none = np.zeros(0, np.int64)
    return Crossing(none, none, none, np.zeros(0), none)
