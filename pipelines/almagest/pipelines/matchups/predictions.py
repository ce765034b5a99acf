"""Events to come: crossings as items, and which of them have come true."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import pairwise
from math import ceil
from typing import Any

import numpy as np
import shapely

from almagest.pipelines.matchups import documents, naming
from almagest.pipelines.matchups.boxes import Box
from almagest.pipelines.matchups.crossings import Condition, Crossing, Nearness, crossings
from almagest.pipelines.matchups.documents import Document
from almagest.pipelines.matchups.orbits import Floats, Orbit, Seconds, distance_km, lon_lat
from almagest.pipelines.matchups.scenes import Sensor
from almagest.pipelines.matchups.stretches import Stretch
from almagest.pipelines.matchups.sun import elevation_deg, elevations_deg

#: So far from the ground below satellites may lie what both saw: half a wide swath, and some of a scene [km].
_NEAR_KM = 500.0
#: A crossing that takes longer is drawn in pieces [s].
_PIECE_S = 120
#: So far apart what is one event may begin, as it was predicted and as it was found: less than half an orbit, after
#: which satellites cross again, and the same for whoever compares them, whatever he was asked for.
REACH = timedelta(minutes=35)


@dataclass(frozen=True)
class Happening:
    """When an event begins and where it is, found or predicted.

    Attributes:
        id: of its item.
        begin: when the earlier satellite is there; the later one may come, and its scene end, whenever it likes.
        grounds: shapes that it is made of, longitudes from -180 to 180.
    """

    id: str
    begin: datetime
    grounds: Sequence[Any]

    @cached_property
    def box(self) -> Box:
        """Around all of it."""
        return Box.of(documents.bbox(shapely.union_all(self.grounds)))


def around(happenings: Sequence[Happening]) -> Stretch:
    """When what they answer, or are answered by, begins; of at least one."""
    begins = [each.begin for each in happenings]
    return Stretch(min(begins) - REACH, max(begins) + REACH)


def answered(predicted: Sequence[Happening], found: Sequence[Happening]) -> Iterator[str]:
    """Ids of the predictions in whose place something was found: that begins at nearly the same time, and lies there.

    Args:
        predicted: of one combination.
        found: of the same one.
    """
    in_time = sorted(found, key=lambda each: each.begin)
    begins = [each.begin for each in in_time]
    for each in predicted:
        near = in_time[bisect_left(begins, each.begin - REACH) : bisect_right(begins, each.begin + REACH)]
        ground = each.box.wider(_NEAR_KM)
        if any(ground.overlaps(other.box) for other in near):
            yield each.id


def crossing_items(
    sensors: tuple[Sensor, Sensor],
    orbits: tuple[Orbit, Orbit],
    limits: Nearness,
    interval: Stretch,
    seen: Callable[[float], None] | None = None,
) -> Iterator[Document]:
    """The crossings of two sensors as items.

    Args:
        sensors: in the order of names.
        orbits: in the same order.
        limits: what a crossing is.
        interval: with both ends, in which they begin.
        seen: is told again and again which share of it has been looked at, from 0 to 1.

    Raises:
        OrbitError: an orbit leads nowhere while a satellite may be the earlier or the later one of a crossing. What is
            looked at beyond that only tells where crossings begin and end.
    """
    assert interval.begin is not None
    assert interval.end is not None
    begin, end = (ceil(moment.timestamp()) for moment in (interval.begin, interval.end))
    reach = ceil(limits.max_time_difference_s)
    one, other = (replace(orbit, needed=(begin - reach, end + reach)) for orbit in orbits)
    for crossing in crossings(one, other, limits, begin, end, seen):
        identifier = naming.event(naming.combination(sensors), datetime.fromtimestamp(crossing.start, UTC))
        yield crossing_item(identifier, sensors, orbits, crossing)


def crossing_item(identifier: str, sensors: Sequence[Sensor], orbits: Sequence[Orbit], crossing: Crossing) -> Document:
    """A crossing as the item of an event: as :func:`documents.event_item` has it, but without matchups.

    Numbers are rounded: they come from arithmetic whose last digits differ between machines.

    Args:
        identifier: its id.
        sensors: of the combination, in the order of names.
        orbits: of these, in the same order.
        crossing: of these orbits.
    """
    first, second = (orbit.ground(column) for orbit, column in zip(orbits, _columns(crossing), strict=True))
    at = crossing.closest
    lon, lat = (float(np.round(value, 3)) for value in lon_lat(_between(first[at], second[at])))
    moments = [_moment(column[at]) for column in _columns(crossing)]
    ground = _along(crossing.begin, first, second)
    start, seconds = _moment(crossing.start), (moments[1] - moments[0]).total_seconds()
    events = naming.events_collection(naming.combination(sensors))
    return {
        **documents.feature(identifier, events, ground, []),
        "properties": {
            "title": f"{documents.title(start, sensors)} (predicted)",
            **documents.times(start, _moment(crossing.stop)),
            "matchup:collections": [sensor.collection for sensor in sensors],
            "matchup:platforms": [sensor.platform for sensor in sensors],
            "matchup:n_matchups": 0,
            documents.PREDICTED: True,
            "matchup:min_distance_km": round(float(distance_km(first[at], second[at])), 3),
            "matchup:time_diff_abs": abs(seconds),
            "matchup:element_epochs": {
                orbit.platform: [documents.written(epoch) for epoch in orbit.used(column)]
                for orbit, column in zip(orbits, _columns(crossing), strict=True)
            },
            "time_diff_s": seconds,
            "collocation_centroid_lon": lon,
            "collocation_centroid_lat": lat,
            "solar_elevation_deg": round(elevation_deg(min(moments), lon, lat), 2),
        },
    }


def sunlit(min_solar_elevation: float | None) -> Condition | None:
    """Where and when the sun stands high enough; None: anywhere at any time.

    Args:
        min_solar_elevation: how high [degree].
    """
    if min_solar_elevation is None:
        return None

    def is_sunlit(seconds: Seconds, ground: Floats) -> Any:
        lon, lat = lon_lat(ground)
        return elevations_deg(seconds, lon, lat) >= min_solar_elevation

    return is_sunlit


def _along(begin: Seconds, first: Floats, second: Floats) -> Any:
    """Boxes around the ground below both, one after the other: one box around a whole revolution is half the Earth."""
    ends = [0, *np.flatnonzero(np.diff(begin // _PIECE_S)) + 1, len(begin)]
    # Each as far as to where the next one begins.
    pieces = [np.concatenate([first[a : b + 1], second[a : b + 1]]) for a, b in pairwise(ends)]
    return shapely.union_all([Box.around(*lon_lat(piece)).shape for piece in pieces])


def _columns(crossing: Crossing) -> tuple[Seconds, Seconds]:
    return crossing.first, crossing.second


def _between(one: Any, other: Any) -> Any:
    """The place in the middle of two."""
    middle = one + other
    return middle / np.linalg.norm(middle)


def _moment(second: Any) -> datetime:
    return datetime.fromtimestamp(int(second), UTC)
