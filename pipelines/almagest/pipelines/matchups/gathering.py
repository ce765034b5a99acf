"""Scenes from STAC items, one after the other: which sensor, when, and where."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import shapely
from shapely.errors import ShapelyError

from almagest.catalogue import footprints, moments
from almagest.catalogue.geometry import ewkb
from almagest.pipelines.matchups.scenes import Scenes, Sensor, footprint

Document = dict[str, Any]

_AREAL = ("Polygon", "MultiPolygon")


class NoSceneError(ValueError):
    """An item is no scene; says why, in words that many items share."""


@dataclass(frozen=True)
class Wanted:
    """Which scenes are looked at.

    Attributes:
        collections: ids; none: any.
        platforms: as items have them in `platform`; none: any. As many as collections: each is that of the collection
            in the same place, as eomatch has it.
        begin: none that ended before.
        end: none that began later.
        place: none that lies elsewhere.
    """

    collections: Sequence[str] = ()
    platforms: Sequence[str] = ()
    begin: np.datetime64 | None = None
    end: np.datetime64 | None = None
    place: Any = None

    def __contains__(self, sensor: Sensor) -> bool:
        if self.collections and len(self.collections) == len(self.platforms):
            return (sensor.collection, sensor.platform) in zip(self.collections, self.platforms, strict=True)
        return (not self.collections or sensor.collection in self.collections) and (
            not self.platforms or sensor.platform in self.platforms
        )

    def missing(self, seen: Collection[Sensor]) -> list[str]:
        """What was asked for and nothing was seen of, and what is needed besides, as sentences."""
        there = {each.collection for each in seen}, {each.platform for each in seen}
        told = [
            f"There are no scenes of the {kind} {name!r}."
            for kind, names, present in (
                ("collection", self.collections, there[0]),
                ("platform", self.platforms, there[1]),
            )
            for name in sorted({*names} - present)
        ]
        if any("," in name for name in (*self.collections, *self.platforms)):
            told.append("Names have spaces between them, no commas.")
        if len(seen) < 2:
            told.append(
                "Matchups are of two sensors, each a platform of a collection; there are scenes of one, or none."
            )
        return told

    def is_then(self, start: np.datetime64, stop: np.datetime64) -> bool:
        """Whether a scene of that time is."""
        return bool((self.begin is None or stop >= self.begin) and (self.end is None or start <= self.end))


@dataclass
class _Columns:
    ids: list[str] = field(default_factory=list)
    start: list[np.datetime64] = field(default_factory=list)
    stop: list[np.datetime64] = field(default_factory=list)
    footprints: list[Any] = field(default_factory=list)


class Gathering:
    """Scenes of some sensors, as they come.

    Attributes:
        skipped: how many items are no scenes, by the reason.
    """

    def __init__(self, wanted: Wanted) -> None:
        """Args:
        wanted: others are passed by.
        """
        self.skipped: Counter[str] = Counter()
        self._wanted = wanted
        self._columns: dict[Sensor, _Columns] = {}
        self._known: set[tuple[str, str]] = set()

    def add(self, item: Mapping[str, Any]) -> None:
        """Takes an item, which may come twice: an API that changes while it is read shows some again."""
        try:
            sensor, identifier = sensor_of(item), str(item["id"])
            if sensor not in self._wanted or (sensor.collection, identifier) in self._known:
                return
            start, stop = times_of(item)
            if not self._wanted.is_then(start, stop):
                return
            ground = ground_of(item)
        except NoSceneError as error:
            self.skipped[str(error)] += 1
            return
        if self._wanted.place is not None and not shapely.intersects(self._wanted.place, ground):
            return
        self._known.add((sensor.collection, identifier))
        columns = self._columns.setdefault(sensor, _Columns())
        columns.ids.append(identifier)
        columns.start.append(start)
        columns.stop.append(stop)
        columns.footprints.append(ground)

    def scenes(self) -> dict[Sensor, Scenes]:
        """What has come so far."""
        return {
            sensor: Scenes.of(sensor, columns.ids, columns.start, columns.stop, columns.footprints)
            for sensor, columns in self._columns.items()
        }


def sensor_of(item: Mapping[str, Any]) -> Sensor:
    """What looked.

    Raises:
        NoSceneError: the item does not say.
    """
    collection, platform = item.get("collection"), _properties(item).get("platform")
    if not isinstance(collection, str) or not isinstance(item.get("id"), str):
        raise NoSceneError("names no collection, or has no id")
    if not isinstance(platform, str):
        if "matchup:platforms" in _properties(item):
            raise NoSceneError("is a matchup or an event of matchups itself")
        raise NoSceneError("names no platform")
    return Sensor(collection, platform)


def times_of(item: Mapping[str, Any]) -> tuple[np.datetime64, np.datetime64]:
    """When it began and ended.

    Raises:
        NoSceneError: the item does not say, or it ended before it began.
    """
    said = _properties(item)
    start = time_of(said.get("start_datetime") or said.get("datetime"))
    stop = time_of(said.get("end_datetime") or said.get("datetime"))
    if stop < start:
        raise NoSceneError("ends before it starts")
    return start, stop


def ground_of(item: Mapping[str, Any]) -> Any:
    """What it saw, as `Scenes` has footprints: split at the antimeridian and closed over the poles, where it was not.

    Raises:
        NoSceneError: there is no area in it.
    """
    geometry, bbox = item.get("geometry"), item.get("bbox")
    try:
        if geometry["type"] == "GeometryCollection":  # type: ignore[index]  # whatever it is
            parts = [_shape(part, None) for part in geometry["geometries"] if part["type"] in _AREAL]  # type: ignore[index]
            found = footprint(shapely.union_all(parts))
        else:
            found = footprint(_shape(geometry, bbox))
    except (KeyError, TypeError, IndexError, ValueError, AttributeError, ShapelyError):
        raise NoSceneError("has no footprint that can be read") from None
    if found is None:
        raise NoSceneError("has a footprint without an area")
    return found


def _shape(geometry: Any, bbox: Any) -> Any:
    if geometry["type"] not in _AREAL:
        return shapely.Polygon()
    mended, _ = footprints.mend(geometry, bbox)
    return shapely.force_2d(shapely.from_wkb(ewkb(mended)))


def _properties(item: Mapping[str, Any]) -> Mapping[str, Any]:
    said = item.get("properties")
    return said if isinstance(said, Mapping) else {}


def time_of(text: Any) -> np.datetime64:
    """A time as RFC 3339 writes it.

    Raises:
        NoSceneError: it is none.
    """
    try:
        return np.datetime64(moments.parsed(text).replace(tzinfo=None), "us")
    except (TypeError, ValueError, AttributeError):
        raise NoSceneError("does not say when it was") from None
