"""Events of many sensors against what a person would write down; the real scenes of Colorado among them."""

from __future__ import annotations

import gzip
import itertools
import json
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import shape

from almagest.pipelines.matchups.documents import Matchup
from almagest.pipelines.matchups.finding import find
from almagest.pipelines.matchups.pairing import Limits
from almagest.pipelines.matchups.scenes import Scenes, Sensor, footprint
from support.data import DATA

SENSORS = [Sensor("landsat", "landsat-8"), Sensor("s2", "S2A"), Sensor("s2", "S2B")]
BEGIN = np.datetime64("2024-03-01", "us")


@st.composite
def skies(draw: st.DrawFn) -> dict[Sensor, Scenes]:
    """Some sensors over a small place, now and then."""
    made = {}
    for sensor in draw(st.permutations(SENSORS))[: draw(st.integers(1, 3))]:
        count = draw(st.integers(0, 12))
        starts = [BEGIN + np.timedelta64(draw(st.integers(0, 30_000)), "s") for _ in range(count)]
        stops = [start + np.timedelta64(draw(st.sampled_from([0, 0, 30, 9000])), "s") for start in starts]
        west = [draw(st.integers(0, 4)) for _ in range(count)]
        grounds = [shapely.box(x, 0, x + 2, 2) for x in west]
        ids = [f"{sensor}-{number}" for number in range(count)]
        made[sensor] = Scenes.of(sensor, ids, starts, stops, grounds)
    return made


@settings(max_examples=200, deadline=None)
@given(skies(), st.sampled_from([60, 600, 7200]), st.sampled_from([300.0, 3600.0]))
def test_events_are_runs_of_pairs(sky: dict[Sensor, Scenes], seconds: int, gap_s: float) -> None:
    told = list(find(sky, Limits(seconds), gap_s))
    expected = set()
    for one, other in itertools.combinations(sorted(sky), 2):
        expected |= brute_force(sky[one], sky[other], seconds)
    assert sorted(names(m) for event in told for m in event) == sorted(expected)
    by_combination: dict[str, list[list[Matchup]]] = {}
    for event in told:
        assert len({m.combination for m in event}) == 1
        assert [m.start for m in event] == sorted(m.start for m in event)
        by_combination.setdefault(event[0].combination, []).append(event)
    for events in by_combination.values():
        for event in events:
            for before, after in itertools.pairwise(event):
                assert (after.start - before.start).total_seconds() <= gap_s
        for former, latter in itertools.pairwise(events):
            assert (latter[0].start - former[-1].start).total_seconds() > gap_s


def test_over_colorado_all_pairs_are_found() -> None:
    folder = DATA / "stac" / "colorado"
    if not folder.is_dir():
        pytest.skip("the real data is not there")
    sky = real(folder)
    assert {str(sensor) for sensor in sky} >= {"landsat-c2-l2-landsat-8", "sentinel-2-l2a-Sentinel-2A"}
    counts = []
    for seconds in (60, 300, 900, 3600, 86400):
        told = {names(m) for event in find(sky, Limits(seconds)) for m in event}
        expected: set[tuple[str, str]] = set()
        for one, other in itertools.combinations(sorted(sky), 2):
            expected |= brute_force(sky[one], sky[other], seconds)
        assert told == expected, seconds
        counts.append(len(told))
    assert counts == sorted(counts)
    assert counts[0] > 0


def real(folder: Any) -> dict[Sensor, Scenes]:
    """What really passed over the Front Range."""
    columns: dict[Sensor, list[tuple[Any, ...]]] = {}
    for file in sorted(folder.glob("*.ndjson.gz")):
        with gzip.open(file, "rt") as lines:
            for item in map(json.loads, lines):
                if "platform" not in item["properties"]:  # pictures from an aircraft
                    continue
                moment = datetime.fromisoformat(item["properties"]["datetime"]).astimezone(UTC).replace(tzinfo=None)
                sensor = Sensor(item["collection"], item["properties"]["platform"])
                columns.setdefault(sensor, []).append((item["id"], moment, moment, footprint(shape(item["geometry"]))))
    return {sensor: Scenes.of(sensor, *zip(*rows, strict=True)) for sensor, rows in columns.items()}


def names(matchup: Matchup) -> tuple[str, str]:
    return matchup.products[0].id, matchup.products[1].id


def brute_force(one: Scenes, other: Scenes, seconds: int) -> set[tuple[str, str]]:
    """Every scene with every other one; where two are near in time, by what they have in common."""
    first_ends = other.start[None, :] - one.stop[:, None]
    second_ends = one.start[:, None] - other.stop[None, :]
    near = np.argwhere(np.maximum(first_ends, second_ends) <= np.timedelta64(seconds, "s"))
    return {
        (str(one.ids[i]), str(other.ids[j]))
        for i, j in near
        if one.footprints[i].intersection(other.footprints[j]).area > 0
    }
