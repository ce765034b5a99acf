"""Boxes of longitude and latitude, which may lie across the antimeridian and hold a pole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, cos, floor, radians
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import shapely

#: As far as this from the pole, the way round it is short enough to be called all longitudes [degree].
_POLAR = 1.0
#: What leaves no more of the way round the globe than this goes round it [degree].
_NO_GAP = 1.0
#: Boxes that are drawn around places lie on a grid of so many lines in a degree.
_LINES = 100
_KM_OF_DEGREE = 111.0


@dataclass(frozen=True)
class Box:
    """West, south, east, north [degree]; across the antimeridian west is the greater (RFC 7946, 5.2)."""

    west: float
    south: float
    east: float
    north: float

    @classmethod
    def around(cls, lon: npt.NDArray[np.float64], lat: npt.NDArray[np.float64]) -> Self:
        """The smallest one around some places, widened to the next hundredth of a degree.

        Args:
            lon: longitudes from -180 to 180 [degree], at least one.
            lat: latitudes [degree].
        """
        south, north = _outwards(float(lat.min()), float(lat.max()), 90)
        is_south, is_north = south < _POLAR - 90, north > 90 - _POLAR
        if is_south or is_north:
            return cls(-180.0, -90.0 if is_south else south, 180.0, 90.0 if is_north else north)
        in_order = np.unique(np.where(lon == 180, -180.0, lon))
        gaps = np.diff(in_order, append=in_order[0] + 360)
        widest = int(np.argmax(gaps))  # in which there is nothing: the box goes round the other side of the globe
        if gaps[widest] <= _NO_GAP:
            return cls(-180.0, south, 180.0, north)
        west, east = _outwards(float(in_order[(widest + 1) % len(in_order)]), float(in_order[widest]), 180)
        return cls(west, south, 180.0 if east == -180 else east, north)

    @classmethod
    def of(cls, bbox: Sequence[float]) -> Self:
        """As a STAC item has it, with heights or without."""
        west, south, *_ = bbox
        east, north = bbox[len(bbox) // 2 : len(bbox) // 2 + 2]
        return cls(west, south, east, north)

    @property
    def width(self) -> float:
        """From west to east [degree]."""
        return self.east - self.west if self.east >= self.west else self.east - self.west + 360

    @property
    def shape(self) -> Any:
        """As an area, parted at the antimeridian."""
        if self.west <= self.east:
            return shapely.box(self.west, self.south, self.east, self.north)
        return shapely.MultiPolygon(
            [
                shapely.box(west, self.south, east, self.north)
                for west, east in ((self.west, 180.0), (-180.0, self.east))
                if west < east
            ]
        )

    def wider(self, km: float) -> Self:
        """One that holds what is no further away than this."""
        by = km / _KM_OF_DEGREE
        south, north = max(self.south - by, -90.0), min(self.north + by, 90.0)
        highest = max(abs(south), abs(north))
        # On its own parallel a place is away by less than the way along it, which is over the pole at last.
        aside = by / cos(radians(highest)) if highest < 89 else 360.0
        if self.width + 2 * aside >= 360:
            return type(self)(-180.0, south, 180.0, north)
        return type(self)(_on_globe(self.west - aside), south, _on_globe(self.east + aside), north)

    def overlaps(self, other: Box) -> bool:
        """Whether there is a place in both."""
        if self.south > other.north or other.south > self.north:
            return False
        return (other.west - self.west) % 360 <= self.width or (self.west - other.west) % 360 <= other.width


def _outwards(low: float, high: float, most: float) -> tuple[float, float]:
    """To the grid, and to a line further where both would be one."""
    begin, end = floor(low * _LINES), ceil(high * _LINES)
    if begin == end:
        begin, end = (begin - 1, end) if end >= most * _LINES else (begin, end + 1)
    return begin / _LINES, end / _LINES


def _on_globe(lon: float) -> float:
    return (lon + 180) % 360 - 180
