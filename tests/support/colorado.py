"""What Landsat and Sentinel-2 really saw of Colorado, and its matchups as anybody would find them.

Nothing of ours is called here but what reads the files: every scene is compared with every other one.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from datetime import datetime
from functools import cache
from typing import Any

import pytest
from shapely.geometry import shape

from support import data

Document = dict[str, Any]
#: Collection and id of both scenes, in no order.
Pair = frozenset[tuple[str, str]]

FOLDER = data.DATA / "stac" / "colorado"
COLLECTIONS = ("landsat-c2-l2", "sentinel-2-l2a")
#: The longest time between the two scenes of a pair [s].
SECONDS = (60, 300, 900, 3600, 86400)


def scenes() -> list[Document]:
    """All of them; the test is skipped where they are not there."""
    if not FOLDER.is_dir():
        pytest.skip("the real data (../shared/data) is not beside this checkout")
    return [item for name in COLLECTIONS for item in data.items(f"colorado/{name}")]


def pairs(seconds: float) -> set[Pair]:
    """Scenes of two sensors that were taken so close to one another in time, and share ground."""
    return {pair for pair, apart in _within_a_day().items() if apart <= seconds}


def told(matchups: Iterable[Document]) -> list[Pair]:
    """The scenes that matchups say that they are derived from."""
    links = [[link["href"] for link in item["links"] if link["rel"] == "derived_from"] for item in matchups]
    return [frozenset((href.split("/")[-3], href.split("/")[-1]) for href in each) for each in links]


@cache
def _within_a_day() -> dict[Pair, float]:
    known = [
        (
            (item["collection"], item["properties"]["platform"]),
            datetime.fromisoformat(item["properties"]["datetime"]),
            shape(item["geometry"]),
            (item["collection"], item["id"]),
        )
        for item in scenes()
    ]
    found = {}
    for (sensor, moment, ground, name), (other, later, elsewhere, partner) in itertools.combinations(known, 2):
        apart = abs((later - moment).total_seconds())
        if sensor != other and apart <= max(SECONDS) and ground.intersection(elsewhere).area > 0:
            found[frozenset({name, partner})] = apart
    return found
