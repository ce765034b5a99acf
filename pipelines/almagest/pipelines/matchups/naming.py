"""What matchups, events and their collections are called: as eomatch calls them, where that is unambiguous."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from almagest.pipelines.matchups.scenes import Sensor

EVENTS_PREFIX = "matchup-events-"
#: An id has 1,024 bytes: those of both sensors, and what is written before, between and behind them.
_LONGEST_SENSOR = 440
#: What stands behind the combination in the name of an event.
_EVENT = re.compile(r"_\d{8}T\d{6}(_\d{1,9})?")
#: A platform that the ids of collections and items can be made of; in rules a `*` stands for anything.
NAMEABLE = re.compile(r"[^*/\\\x00-\x1f\x7f]{1,200}")


def combination(sensors: Iterable[Sensor]) -> str:
    """The collection of matchups of some sensors: `LANDSAT_C2L1-Landsat-9-vs-S2_MSI_L1C-S2A`.

    Sensors stand in the order of collection *and* platform: of two platforms of one collection, eomatch takes them as
    they are given, so that one combination may have two names.
    """
    return "-vs-".join(map(str, sorted(sensors)))


def events_collection(combination: str) -> str:
    """The collection of their events."""
    return f"{EVENTS_PREFIX}{combination}"


def event(combination: str, begin: datetime) -> str:
    """An event, by when it was first seen to begin. It keeps its name when it grows."""
    return f"{combination}_{begin:%Y%m%dT%H%M%S}"


def is_event(name: str, combination: str) -> bool:
    """Whether an event of a combination can be called so."""
    return name.startswith(combination) and _EVENT.fullmatch(name[len(combination) :]) is not None


def fits(sensor: Sensor | str) -> bool:
    """Whether what is called by a sensor, together with any other one, has a name that is short enough."""
    return len(str(sensor).encode()) <= _LONGEST_SENSOR


def sensors_said(collection: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Collection and platform of each sensor that a collection names; others may write anything."""
    summaries = collection.get("summaries")
    said = [
        summaries.get(f"matchup:{name}") if isinstance(summaries, Mapping) else None
        for name in ("collections", "platforms")
    ]
    if not all(isinstance(names, list) for names in said):
        return []
    return [(str(of), str(platform)) for of, platform in zip(*said, strict=False)]


def require_nameable(collections: list[str]) -> list[str]:
    """The ids of collections, as they are.

    Raises:
        ValueError: matchups cannot be called by one; says by which.
    """
    for collection in collections:
        if "*" in collection or len(collection.encode()) > _LONGEST_SENSOR:
            raise ValueError(
                f"no collection of matchups can be called by {collection[:100]!r}: it has a `*`, or is too long"
            )
    return collections


def matchup(
    combination: str, begins: Sequence[datetime], bounds: Sequence[float], products: Sequence[tuple[str, str]]
) -> str:
    """A matchup: times and place as eomatch has them, and its products, so that a reprocessed one makes another.

    Args:
        combination: of its sensors.
        begins: of its products, in the order of the combination.
        bounds: west, south, east, north of the overlap.
        products: collection and id of each, in the same order.
    """
    times = "_".join(f"{begin:%Y%m%dT%H%M%S}" for begin in begins)
    place = "_".join(f"{value:.2f}" for value in bounds)
    named = "|".join(f"{collection}/{identifier}" for collection, identifier in products)
    return f"{combination}_{times}_{place}_{hashlib.sha1(named.encode(), usedforsecurity=False).hexdigest()[:8]}"
