"""Finds the pairs of two sensors: a sweep through time, with a tree of footprints for each stretch of it."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely

from almagest.pipelines.matchups.areas import area_km2
from almagest.pipelines.matchups.scenes import Scenes, Times, only_areas

#: Shorter stretches cost more in trees than they save in candidates.
_STRETCH = np.timedelta64(30, "m")
#: So many candidates are worth a call.
_AT_ONCE = 8192
_THREADS = min(4, len(os.sched_getaffinity(0)))

_Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Limits:
    """What makes two scenes a pair. Each limit still counts as within.

    Attributes:
        max_time_difference_s: between the end of the one and the start of the other; 0 if they overlap in time.
        min_overlap_area_km2: of their overlap. What overlaps by a line or a point is no pair.
        min_overlap_fraction: the overlap's share of the smaller footprint, 0 to 1.
    """

    max_time_difference_s: float
    min_overlap_area_km2: float = 0.0
    min_overlap_fraction: float = 0.0


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs in columns of equal length.

    Attributes:
        first: which of the first sensor's scenes.
        second: which of the second's.
        overlap: what both saw.
        area_km2: its area.
        fraction: its share of the smaller of both footprints.
    """

    first: npt.NDArray[np.int64]
    second: npt.NDArray[np.int64]
    overlap: npt.NDArray[np.object_]
    area_km2: npt.NDArray[np.float64]
    fraction: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.first)


def pairs(first: Scenes, second: Scenes, limits: Limits) -> Iterator[Pairs]:
    """All pairs of one scene of each, each once, stretch by stretch of the first sensor's time.

    Args:
        first: its stretches are gone through; better the one with fewer scenes.
        second: of another sensor.
        limits: which are pairs.
    """
    reach = np.timedelta64(round(limits.max_time_difference_s * 1e6), "us")
    # Geometry is C code, which other threads need not wait for.
    with ThreadPoolExecutor(_THREADS) as pool:
        running: deque[Future[Pairs]] = deque()
        for near in _gathered(_near(first, second, reach)):
            running.append(pool.submit(_overlapping, first, second, *near, limits))
            if len(running) > _THREADS:
                yield from _some(running.popleft())
        while running:
            yield from _some(running.popleft())


def gap(start: Times, stop: Times, other_start: Times, other_stop: Times) -> npt.NDArray[np.timedelta64]:
    """Between the end of one scene and the start of the other, whichever was first; 0 if they overlap in time."""
    return np.maximum(np.maximum(start - other_stop, other_start - stop), np.timedelta64(0, "us"))


def _near(first: Scenes, second: Scenes, reach: np.timedelta64) -> Iterator[tuple[_Places, _Places]]:
    """Which scenes are close enough in time and have boxes in common, in the order of the first sensor's stretches."""
    begin = 0
    while begin < len(first):
        end = int(np.searchsorted(first.start, first.start[begin] + max(reach, _STRETCH)))
        low = int(np.searchsorted(second.start, first.start[begin] - reach - second.longest))
        high = int(np.searchsorted(second.start, first.stop[begin:end].max() + reach, "right"))
        if low < high:
            a, b = shapely.STRtree(second.footprints[low:high]).query(first.footprints[begin:end])
            a, b = a + begin, b + low
            near = gap(first.start[a], first.stop[a], second.start[b], second.stop[b]) <= reach
            yield a[near], b[near]
        begin = end


def _some(found: Future[Pairs]) -> Iterator[Pairs]:
    if len(found.result()):
        yield found.result()


def _gathered(near: Iterable[tuple[_Places, _Places]]) -> Iterator[tuple[_Places, _Places]]:
    """The same in fewer pieces."""
    waiting: list[tuple[_Places, _Places]] = []
    number = 0
    for piece in near:
        if len(piece[0]):
            waiting.append(piece)
            number += len(piece[0])
        if number >= _AT_ONCE:
            yield _joined(waiting)
            waiting, number = [], 0
    if waiting:
        yield _joined(waiting)


def _joined(pieces: Sequence[tuple[_Places, _Places]]) -> tuple[_Places, _Places]:
    a, b = zip(*pieces, strict=True)
    return np.concatenate(a), np.concatenate(b)


def _overlapping(first: Scenes, second: Scenes, a: _Places, b: _Places, limits: Limits) -> Pairs:
    touching = shapely.intersects(first.footprints[a], second.footprints[b])
    a, b = a[touching], b[touching]
    overlap = only_areas(shapely.intersection(first.footprints[a], second.footprints[b]))
    area = area_km2(overlap)
    smaller = np.minimum(_areas(first, a), _areas(second, b))
    share = np.divide(area, smaller, out=np.zeros_like(area), where=area > 0)
    enough = (area > 0) & (area >= limits.min_overlap_area_km2) & (share >= limits.min_overlap_fraction)
    return Pairs(a[enough], b[enough], overlap[enough], area[enough], np.minimum(share[enough], 1.0))


def _areas(scenes: Scenes, places: _Places) -> npt.NDArray[np.float64]:
    """The areas of some scenes [km²], each measured once."""
    some, where = np.unique(places, return_inverse=True)
    return area_km2(scenes.footprints[some])[where]
