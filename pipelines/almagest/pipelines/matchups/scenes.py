"""Scenes of one sensor: when and where it looked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import shapely

_AREAL = (shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON)
#: Times, in microseconds since 1970.
Times = npt.NDArray[np.datetime64]


@dataclass(frozen=True, order=True)
class Sensor:
    """What looked: a collection, and the platform within it. In the order in which names mention them.

    Attributes:
        collection: id of the STAC collection.
        platform: as its items have it in `platform`.
    """

    collection: str
    platform: str

    def __str__(self) -> str:
        return f"{self.collection}-{self.platform}"


@dataclass(frozen=True, eq=False)
class Scenes:
    """Scenes in columns of equal length, in the order of their starts.

    Attributes:
        sensor: whose they are.
        ids: of the items.
        start: when each began.
        stop: when it ended; as `start` where it took no time.
        footprints: valid polygons and multipolygons, longitudes from -180 to 180; edges are straight in degrees.
    """

    sensor: Sensor
    ids: npt.NDArray[np.object_]
    start: Times
    stop: Times
    footprints: npt.NDArray[np.object_]

    @classmethod
    def of(
        cls,
        sensor: Sensor,
        ids: Sequence[str],
        start: Sequence[Any],
        stop: Sequence[Any],
        footprints: Sequence[Any],
    ) -> Self:
        """Scenes in any order.

        Raises:
            ValueError: one ends before it starts, or the columns differ in length.
        """
        begun = np.asarray(start, "datetime64[us]")
        ended = np.asarray(stop, "datetime64[us]")
        shapes = np.empty(len(footprints), object)
        shapes[:] = footprints
        if not len(ids) == len(begun) == len(ended) == len(shapes):
            raise ValueError("Columns of scenes are of equal length.")
        if (ended < begun).any():
            raise ValueError(f"Scene {ids[int(np.argmax(ended < begun))]} ends before it starts.")
        order = np.argsort(begun, kind="stable")
        return cls(sensor, np.asarray(ids, object)[order], begun[order], ended[order], shapes[order])

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def longest(self) -> np.timedelta64:
        """How long the longest took."""
        return (self.stop - self.start).max() if len(self) else np.timedelta64(0, "us")


def footprint(geometry: Any) -> Any:
    """A shape that can be compared: valid, and of polygons only; None where there is no area in it."""
    shape = geometry if geometry.is_valid else shapely.make_valid(geometry)
    if shape.geom_type in {"Polygon", "MultiPolygon"}:
        return None if shape.is_empty else shape
    found = polygons_of(shape)
    return None if found.is_empty else found


def polygons_of(shape: Any) -> Any:
    """A shape without its lines and points; an empty polygon where nothing else is there."""
    parts = [part for part in shapely.get_parts(shape) if part.geom_type in {"Polygon", "MultiPolygon"}]
    return shapely.union_all(parts) if parts else shapely.Polygon()


def only_areas(shapes: npt.NDArray[Any]) -> npt.NDArray[np.object_]:
    """The shapes without the lines and points where footprints only touch."""
    for place in np.flatnonzero(~np.isin(shapely.get_type_id(shapes), _AREAL)):
        shapes[place] = polygons_of(shapes[place])
    return shapes
