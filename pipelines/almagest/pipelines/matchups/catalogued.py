"""What a catalogue holds: scenes, without their documents, and matchups and events that were found before."""

from __future__ import annotations

import gc
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import numpy as np
import shapely

from almagest.catalogue.exporting import Outline, Outlines, Snapshot
from almagest.core.jobs import ProcessFailedError
from almagest.pipelines.matchups import naming
from almagest.pipelines.matchups.chains import Entry
from almagest.pipelines.matchups.documents import Document, Matchup, Product
from almagest.pipelines.matchups.gathering import Wanted
from almagest.pipelines.matchups.kept import (
    FINDING,
    NOT_PREDICTED,
    ONLY_PREDICTED,
    Name,
    derived_from,
    is_own,
    sensors_of,
)
from almagest.pipelines.matchups.predictions import Happening
from almagest.pipelines.matchups.scenes import Scenes, Sensor, footprint, only_areas
from almagest.pipelines.matchups.stretches import KNOWN, Stretch

_AREAL = (shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON)
#: No scene that takes longer is looked at.
LONGEST = timedelta(days=31)
_AT_ONCE = 500
_TICK = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: As outlines have times [us].
_KNOWN = tuple((moment - _EPOCH) // _TICK for moment in KNOWN)


@dataclass
class Catalogued:
    """A catalogue at one moment.

    Attributes:
        snapshot: that moment.
        search: which items are looked at: members of a STAC item search, CQL2 as JSON.
        wanted: which of their sensors.
        skipped: how many items are no scenes, by the reason.
    """

    snapshot: Snapshot
    search: Mapping[str, Any]
    wanted: Wanted
    skipped: Counter[str] = field(default_factory=Counter)
    #: Whose the combinations are that were asked for.
    _held: dict[str, tuple[Sensor, ...]] = field(default_factory=dict)

    @cached_property
    def present(self) -> frozenset[str]:
        """The collections that there are."""
        return frozenset(self.snapshot.ids())

    @cached_property
    def mark(self) -> str:
        """Which changes of it are seen."""
        return self.snapshot.mark()

    def scenes(self, window: Stretch, reach: timedelta) -> dict[Sensor, Scenes]:
        """All scenes that begin within a window, and those behind it that may be the later ones of a pair with them.

        Args:
            window: stretch of time.
            reach: so much later than the end of a scene its partner may begin.
        """
        self.skipped.clear()
        with _no_collector():
            seen = self._short(self.snapshot.outlines(self.search, window.begin, window.end, "platform"))
            if window.end is not None and seen.ids:
                latest = moment_of(max(seen.ends)) + reach + _TICK
                behind = self.snapshot.outlines(self.search, window.end, max(latest, window.end), "platform")
                seen.add(self._short(behind).columns)
            return self._gathered(seen)

    def _short(self, seen: Outlines) -> Outlines:
        """Those that do not take longer than anything is looked for: an end that means "until now" is none."""
        begins, ends = (np.array(column, "int64") for column in (seen.begins, seen.ends))
        first, last = _KNOWN
        known = (first <= begins) & (ends < last)
        short = ends - begins <= LONGEST / _TICK
        if (known & short).all():
            return seen
        self.skipped["is of a time of which nothing is known"] += int((~known).sum())
        self.skipped[f"takes longer than {LONGEST.days} days"] += int((known & ~short).sum())
        return seen.chosen(np.flatnonzero(known & short).tolist())

    @cached_property
    def combinations(self) -> Sequence[tuple[Sensor, Sensor]]:
        """Pairs of the sensors that are wanted of which matchups are catalogued, whether or not there are scenes."""
        return list(self._combinations())

    def _combinations(self) -> Iterator[tuple[Sensor, Sensor]]:
        for identifier in self.present:
            if "-vs-" in identifier and not identifier.startswith(naming.EVENTS_PREFIX):
                sensors = self._sensors(identifier, identifier)
                if len(sensors) == len({*sensors}) == 2 and all(sensor in self.wanted for sensor in sensors):
                    yield sensors[0], sensors[1]

    def require_own(self, combination: str, sensors: Sequence[Sensor]) -> None:
        """Raises where a combination of some sensors is called as that of others is.

        Raises:
            ProcessFailedError: so it is: hyphens may stand in the names of collections and of platforms.
        """
        if combination.startswith(naming.EVENTS_PREFIX):
            raise ProcessFailedError(f"{combination!r} is what events are kept in, and no name for matchups.")
        events = naming.events_collection(combination)
        known = self._sensors(combination, combination) or self._sensors(events, combination)
        held = self._held.setdefault(combination, known or tuple(sensors))
        if held != tuple(sensors):
            raise ProcessFailedError(
                f"{combination!r} holds matchups of {_told(held)}, and would hold those of {_told(sensors)}, too."
            )

    def _sensors(self, identifier: str, combination: str) -> tuple[Sensor, ...]:
        """Those that a collection is of, in their order; none, where it is not there, or not of this combination."""
        if identifier not in self.present:
            return ()
        sensors = sensors_of(self.snapshot.collection(identifier))
        return tuple(sensors) if naming.combination(sensors) == combination else ()

    def matchups(self, combination: str, window: Stretch) -> list[Entry]:
        """Matchups of a combination that are catalogued and begin within a window."""
        if combination not in self.present:
            return []
        found = self.snapshot.outlines({"collections": [combination]}, window.begin, window.end, "matchup:event_id")
        return [
            Entry(
                row.id,
                moment_of(row.begins),
                moment_of(row.ends),
                shapely.from_wkb(row.footprint),
                # What others say there may be anything, and must not become the name of an event of ours.
                row.value if row.value and naming.is_event(row.value, combination) else None,
            )
            for row in found.rows()
            if row.footprint is not None and _is_known_time(row)
        ]

    def events(self, combination: str, window: Stretch) -> dict[str, Stretch]:
        """Events of a combination that have not become part of others and overlap a window, and when each is.

        What is only predicted is none.
        """
        collection = naming.events_collection(combination)
        if collection not in self.present:
            return {}
        found = self.snapshot.outlines({**within(collection, window), **NOT_PREDICTED}, None, None, "deprecated")
        return {
            row.id: Stretch(moment_of(row.begins), moment_of(row.ends) + _TICK)
            for row in found.rows()
            if row.value != "true" and _is_known_time(row)
        }

    def happenings(self, combination: str, window: Stretch, *, predicted: bool) -> list[Happening]:
        """Events of a combination that overlap a window: those that are predicted, or all others."""
        collection = naming.events_collection(combination)
        if collection not in self.present:
            return []
        search = {**within(collection, window), **(ONLY_PREDICTED if predicted else NOT_PREDICTED)}
        return [
            Happening(row.id, moment_of(row.begins), [shapely.from_wkb(row.footprint)])
            for row in self.snapshot.outlines(search, None, None, "title").rows()
            if row.footprint is not None and _is_known_time(row)
        ]

    def living(self, combination: str, ids: Collection[str]) -> frozenset[str]:
        """Those of some ids that events have which have not become part of others."""
        return frozenset(name for name, is_deprecated in self.found(combination, ids).items() if not is_deprecated)

    def found(self, combination: str, ids: Collection[str]) -> dict[str, bool]:
        """Those of some ids that events have which are not only predicted; whether it has become part of another."""
        collection = naming.events_collection(combination)
        if collection not in self.present or not ids:
            return {}
        search = {"collections": [collection], "ids": sorted(ids), **NOT_PREDICTED}
        rows = self.snapshot.outlines(search, None, None, "deprecated").rows()
        return {row.id: row.value == "true" for row in rows}

    def own(self, collection: str, ids: Collection[str], process: str = FINDING) -> list[str]:
        """Those of some items that a process has made: what others keep there is theirs."""
        return [document["id"] for document in self.documents(collection, ids) if is_own(document, process)]

    def documents(self, collection: str, ids: Collection[str]) -> Iterator[Document]:
        """Items of a collection, as far as they are there."""
        for _, some in _in_batches([(collection, identifier) for identifier in ids]):
            yield from self.snapshot.items(collection, {"ids": some})

    def untrue(self, combination: str, ids: Collection[str]) -> set[str]:
        """Those of some catalogued matchups whose scenes have gone, or are no longer what they were.

        A matchup is called by the times of its scenes and the box of their overlap: where these would give it another
        name, or none, it is not true any more. By which limits it was found does not matter. What others have put there
        is not judged.
        """
        products = {
            document["id"]: [name for name, _ in derived_from(document)]
            for document in filter(is_own, self.documents(combination, ids))
        }
        scenes = self._named({name for names in products.values() for name in names})
        return {
            identifier
            for identifier, names in products.items()
            if len(names) != 2
            or not all(name in scenes for name in names)
            or _name_of(*(scenes[name] for name in names)) != identifier
        }

    def versions(self, names: Collection[Name]) -> dict[Name, str]:
        """Which versions of some scenes are the ones that were seen."""
        return {
            (collection, identifier): version
            for collection, ids in _in_batches(names)
            for identifier, version in self.snapshot.versions(collection, ids).items()
        }

    def _named(self, names: Collection[Name]) -> dict[Name, tuple[Product, Any]]:
        """Scenes by their names, each with its footprint, as far as they are there."""
        found = {}
        for collection, ids in _in_batches(names):
            outlines = self.snapshot.outlines({"collections": [collection], "ids": ids}, None, None, "platform")
            for row in outlines.rows():
                ground = _ground(row)
                if row.value is not None and ground is not None:
                    times = moment_of(row.begins), moment_of(row.ends)
                    found[collection, row.id] = Product(Sensor(collection, row.value), row.id, *times), ground
        return found

    def _gathered(self, seen: Outlines) -> dict[Sensor, Scenes]:
        of: dict[tuple[str, str | None], list[int]] = defaultdict(list)
        for place, key in enumerate(zip(seen.collections, seen.values, strict=True)):
            of[key].append(place)
        found = {}
        for (collection, platform), places in of.items():
            if platform is None:
                self.skipped["names no platform"] += len(places)
            elif not naming.NAMEABLE.fullmatch(platform):
                self.skipped["has a platform that no collection can be called by"] += len(places)
            elif not naming.fits(Sensor(collection, platform)):
                self.skipped["has names that are too long"] += len(places)
            elif (sensor := Sensor(collection, platform)) in self.wanted:
                found[sensor] = self._scenes(sensor, seen.chosen(places))
        return found

    def _scenes(self, sensor: Sensor, seen: Outlines) -> Scenes:
        grounds = shapely.from_wkb(np.array(seen.footprints, object))
        plain = np.isin(shapely.get_type_id(grounds), _AREAL) & shapely.is_valid(grounds) & ~shapely.is_empty(grounds)
        for place in np.flatnonzero(~plain):
            grounds[place] = None if grounds[place] is None else footprint(grounds[place])
        has_area = ~shapely.is_missing(grounds)
        if not has_area.all():
            self.skipped["has no footprint with an area"] += int((~has_area).sum())
        start, stop = (np.array(column, "int64").view("datetime64[us]") for column in (seen.begins, seen.ends))
        return Scenes.of(
            sensor, np.array(seen.ids, object)[has_area], start[has_area], stop[has_area], grounds[has_area]
        )


def moment_of(microseconds: int) -> datetime:
    """A time, of microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=microseconds)


def within(collection: str, window: Stretch) -> dict[str, Any]:
    """A search for the items of a collection that overlap a window."""
    search: dict[str, Any] = {"collections": [collection]}
    if window != Stretch():
        search["datetime"] = str(window)
    return search


@contextmanager
def _no_collector() -> Iterator[None]:
    """Without the collector of garbage, which looks at all that is there again and again, and finds no cycles."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _in_batches(names: Collection[Name]) -> Iterator[tuple[str, list[str]]]:
    of: dict[str, list[str]] = defaultdict(list)
    for collection, identifier in sorted(names):
        of[collection].append(identifier)
    for collection, ids in of.items():
        for start in range(0, len(ids), _AT_ONCE):
            yield collection, ids[start : start + _AT_ONCE]


def _told(sensors: Sequence[Sensor]) -> str:
    return " and ".join(f"{sensor.platform!r} of {sensor.collection!r}" for sensor in sensors)


def _is_known_time(row: Outline) -> bool:
    return _KNOWN[0] <= row.begins and row.ends < _KNOWN[1]


def _ground(row: Outline) -> Any:
    return None if row.footprint is None else footprint(shapely.from_wkb(row.footprint))


def _name_of(one: tuple[Product, Any], other: tuple[Product, Any]) -> str | None:
    """What a matchup of two scenes is called; None where they have nothing in common."""
    first, second = sorted((one, other), key=lambda scene: scene[0].sensor)
    (overlap,) = only_areas(np.array([shapely.intersection(first[1], second[1])], object))
    if overlap.is_empty:
        return None
    return Matchup((first[0], second[0]), overlap, 0.0, 0.0).id
