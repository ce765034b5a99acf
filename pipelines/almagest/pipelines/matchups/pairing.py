"""Finds the pairs of two sensors: a sweep through time, with a tree of footprints for each stretch of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from almagest.pipelines.matchups.areas import area_km2
from almagest.pipelines.matchups.scenes import Scenes, Times, polygons_of

_SECOND = np.timedelta64(1, "s")
#: Shorter stretches cost more in trees than they save in candidates.
_STRETCH = np.timedelta64(30, "m")
_AREAS = np.array([shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON])


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
    begin = 0
    while begin < len(first):
        until = first.start[begin] + max(reach, _STRETCH)
        end = int(np.searchsorted(first.start, until))
        low = np.searchsorted(second.start, first.start[begin] - reach - second.longest)
        high = np.searchsorted(second.start, first.stop[begin:end].max() + reach, "right")
        if low < high:
            found = _within(first.part(begin, end), second.part(int(low), int(high)), limits, reach)
            if len(found):
                yield Pairs(found.first + begin, found.second + int(low), found.overlap, found.area_km2, found.fraction)
        begin = end


def gap(start: Times, stop: Times, other_start: Times, other_stop: Times) -> npt.NDArray[np.timedelta64]:
    """Between the end of one scene and the start of the other, whichever was first; 0 if they overlap in time."""
    return np.maximum(np.maximum(start - other_stop, other_start - stop), np.timedelta64(0, "us"))


def _within(first: Scenes, second: Scenes, limits: Limits, reach: np.timedelta64) -> Pairs:
    tree = shapely.STRtree(second.footprints)
    a, b = tree.query(first.footprints)
    near = gap(first.start[a], first.stop[a], second.start[b], second.stop[b]) <= reach
    a, b = a[near], b[near]
    touching = shapely.intersects(first.footprints[a], second.footprints[b])
    a, b = a[touching], b[touching]
    overlap = only_areas(shapely.intersection(first.footprints[a], second.footprints[b]))
    area = area_km2(overlap)
    share = np.divide(area, np.minimum(first.areas[a], second.areas[b]), out=np.zeros_like(area), where=area > 0)
    enough = (area > 0) & (area >= limits.min_overlap_area_km2) & (share >= limits.min_overlap_fraction)
    return Pairs(a[enough], b[enough], overlap[enough], area[enough], np.minimum(share[enough], 1.0))


def only_areas(shapes: npt.NDArray[Any]) -> npt.NDArray[np.object_]:
    """The shapes without the lines and points where footprints only touch."""
    for place in np.flatnonzero(~np.isin(shapely.get_type_id(shapes), _AREAS)):
        shapes[place] = polygons_of(shapes[place])
    return shapes
