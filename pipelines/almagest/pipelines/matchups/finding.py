"""From scenes to events: the pairs of every two sensors, in the order of time, grouped as they come."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any, TypeVar

import numpy as np

from almagest.pipelines.matchups import land
from almagest.pipelines.matchups.documents import Matchup, Product, Seen
from almagest.pipelines.matchups.pairing import Limits, Pairs, pairs
from almagest.pipelines.matchups.scenes import Scenes, Sensor

Event = list[Matchup]

#: Without a pair for so long, another event begins [s]. As orbitx has it: ten times its propagation interval.
GAP_S = 300.0
#: Of a share of land: coasts are not known better.
_DIGITS = 3

SeenT = TypeVar("SeenT", bound=Seen)


def find(scenes: Mapping[Sensor, Scenes], limits: Limits, gap_s: float = GAP_S) -> Iterator[Event]:
    """The events of every two of some sensors, one combination after the other, each in the order of time.

    Args:
        scenes: of each sensor.
        limits: which two scenes are a pair.
        gap_s: without a pair for longer than this, another event begins.
    """
    for one, other in itertools.combinations(sorted(scenes), 2):
        yield from grouped(matchups(scenes[one], scenes[other], limits), gap_s)


def matchups(first: Scenes, second: Scenes, limits: Limits) -> Iterator[Matchup]:
    """All matchups of two sensors, in the order in which they began.

    Args:
        first: of the sensor that comes first in names.
        second: of the other one.
        limits: which two scenes are a matchup.
    """
    swapped = len(first) > len(second)
    batches = pairs(second, first, limits) if swapped else pairs(first, second, limits)
    waiting: list[Matchup] = []
    reach = np.timedelta64(round(limits.max_time_difference_s * 1e6), "us")
    swept, other = (second, first) if swapped else (first, second)
    for batch in batches:
        # What the other sensor saw before may begin by so much earlier than the scene that is its partner.
        settled = _moment(swept.start[batch.first.min()] - reach - other.longest)
        waiting.sort(key=_in_time)
        done = bisect.bisect_left(waiting, settled, key=attrgetter("start"))
        yield from waiting[:done]
        waiting = [*waiting[done:], *_made(batch, swept, other, swapped=swapped)]
    yield from sorted(waiting, key=_in_time)


def grouped(found: Iterable[SeenT], gap_s: float = GAP_S) -> Iterator[list[SeenT]]:
    """Matchups of one combination, in the order in which they began, in the events that they make."""
    event: list[SeenT] = []
    for matchup in found:
        if event and (matchup.start - event[-1].start).total_seconds() > gap_s:
            yield event
            event = []
        event.append(matchup)
    if event:
        yield event


def _made(batch: Pairs, swept: Scenes, other: Scenes, *, swapped: bool) -> Iterator[Matchup]:
    shares = land.fractions(batch.overlap).round(_DIGITS)
    for i, j, overlap, area, fraction, share in zip(
        batch.first, batch.second, batch.overlap, batch.area_km2, batch.fraction, shares, strict=True
    ):
        one, two = _product(swept, int(i)), _product(other, int(j))
        products = (two, one) if swapped else (one, two)
        yield Matchup(products, overlap, float(area), float(fraction), {"land_fraction": float(share)})


def _product(scenes: Scenes, at: int) -> Product:
    return Product(scenes.sensor, str(scenes.ids[at]), _moment(scenes.start[at]), _moment(scenes.stop[at]))


def _moment(time: np.datetime64) -> datetime:
    moment: Any = time.astype("datetime64[us]").item()
    return moment.replace(tzinfo=UTC)  # type: ignore[no-any-return]


def _in_time(matchup: Matchup) -> tuple[datetime, str, str]:
    return matchup.start, matchup.products[0].id, matchup.products[1].id
