"""Crossings: all that a comparison of every second with every other one finds, and how they are grouped."""

from __future__ import annotations

import itertools
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from almagest.pipelines.matchups.crossings import Crossing, Nearness, crossings
from almagest.pipelines.matchups.elements import parse
from almagest.pipelines.matchups.orbits import Orbit, distance_km, lon_lat
from almagest.pipelines.matchups.predictions import sunlit
from support import orbiting

#: A midnight, so that three hours from there lie in one day.
BEGIN = datetime(2025, 5, 1, tzinfo=UTC)
START = int(BEGIN.timestamp())
DAY = 86_400


#: Two that cross twice each orbit, a day long, and then for most of a day not at all.
CROSSING = (orbiting.lines(1, BEGIN), orbiting.lines(2, BEGIN, height_km=500, inclination=97, node=10))


def orbit(text: str) -> Orbit:
    return Orbit.of("ours", parse(text))


def some_orbits(chance: random.Random) -> tuple[str, str]:
    """Two that cross soon: their nodes, and their distances from there, are not far apart."""
    node, anomaly = chance.uniform(0, 360), chance.uniform(0, 360)
    heights = chance.choice(((700, 786), (400, 800), (700, 702)))
    one, other = (
        orbiting.lines(
            number,
            BEGIN,
            height_km=height,
            inclination=chance.choice((52, 82, 90, 97, 98.5)),
            node=node + chance.uniform(-8, 8),
            anomaly=anomaly + chance.uniform(-30, 30),
        )
        for number, height in enumerate(heights, 1)
    )
    return one, other


def rows(found: list[Crossing]) -> list[tuple[int, int, int, int]]:
    """Of each second: when, when both are there, and the latest of all pairs."""
    return [row for each in found for row in zip(each.begin, each.first, each.second, each.until, strict=True)]


def expected_rows(pairs: np.ndarray[Any, Any]) -> dict[int, tuple[float, int, int, int]]:
    best: dict[int, tuple[float, int, int, int]] = {}
    for first, second, km in pairs:
        begin, until = int(min(first, second)), int(max(first, second))
        known = best.get(begin, (np.inf, 0, 0, 0))
        closest = min(known[:3], (km, int(first), int(second)))
        best[begin] = (*closest, max(known[3], until))
    return best


@pytest.mark.parametrize("seed", range(8))
def test_every_pair_of_seconds_that_brute_force_finds_is_found_and_no_other(seed: int) -> None:
    chance = random.Random(seed)
    one, other = some_orbits(chance)
    limits = Nearness(chance.choice((0, 45, 300, 600)), chance.choice((20, 100, 400)), 300)
    times = START + np.arange(0, 3 * 3600 + 601)
    pairs = orbiting.near_pairs(
        *(orbiting.sub_satellite(text, times) for text in (one, other)),
        times,
        limits.max_time_difference_s,
        limits.max_distance_km,
    )
    expected = {begin: row for begin, row in expected_rows(pairs).items() if begin < START + 3 * 3600 - 300}
    found = list(crossings(orbit(one), orbit(other), limits, START - DAY, START + DAY))
    mine = {begin: row for begin, *row in rows(found) if START <= begin < START + 3 * 3600 - 300}
    # Both know places to a few metres: what is that near to a limit may be either way.
    doubtful = set(mine.keys() ^ expected.keys())
    for begin in doubtful:
        km = expected[begin][0] if begin in expected else _closest_km(found, begin)
        assert km == pytest.approx(limits.max_distance_km, abs=0.02), begin
    assert len(doubtful) <= 0.01 * len(expected) + 1
    same = mine.keys() & expected.keys()
    assert sum(mine[begin][2] == expected[begin][3] for begin in same) >= 0.98 * len(same)
    for begin in same:
        assert _closest_km(found, begin) == pytest.approx(expected[begin][0], abs=0.02)


def _closest_km(found: list[Crossing], begin: int) -> float:
    return next(float(each.km[each.begin == begin][0]) for each in found if begin in each.begin)


def test_brute_force_has_something_to_find() -> None:
    """Or the comparison above would be one of nothing with nothing."""
    several = 0
    for seed in range(8):
        chance = random.Random(seed)
        one, other = map(orbit, some_orbits(chance))
        limits = Nearness(chance.choice((0, 45, 300, 600)), chance.choice((20, 100, 400)), 300)
        several += any(True for _ in crossings(one, other, limits, START, START + 3 * 3600 - 300))
    assert several >= 4


def test_closest_is_where_both_come_closest() -> None:
    one, other = map(orbit, CROSSING)
    for each in crossings(one, other, Nearness(1800, 100, 300), START, START + 3 * DAY):
        at = each.closest
        here, there = one.ground(each.first[at : at + 1]), other.ground(each.second[at : at + 1])
        assert each.km[at] == each.km.min() == pytest.approx(float(distance_km(here, there)[0]))
        assert each.start == each.begin[0] <= min(each.first[at], each.second[at])
        assert each.stop >= max(each.first[at], each.second[at])
        assert (np.diff(each.begin) <= 300).all()


def test_a_pause_that_is_longer_than_the_gap_parts_them() -> None:
    one, other = map(orbit, CROSSING)

    def found(gap: float) -> list[Crossing]:
        return list(crossings(one, other, Nearness(2000, 100, gap), START, START + 2 * DAY))

    narrow, wide = found(300), found(2715)  # half an orbit, or a little less
    assert len(narrow) > len(wide) > 10
    first, last = wide[0].start, int(wide[-2].begin[-1])
    inside = [each for each in narrow if first <= each.start <= last]
    assert rows(inside) == rows(wide[:-1])
    pauses = [after.start - int(before.begin[-1]) for before, after in itertools.pairwise(inside)]
    assert min(pauses) > 300
    assert len(wide) - 1 == 1 + sum(pause > 2715 for pause in pauses)


@pytest.mark.parametrize("seed", range(3))
def test_who_looks_at_parts_of_an_interval_finds_the_same(seed: int) -> None:
    chance = random.Random(seed)
    one, other = map(orbit, CROSSING)
    limits = Nearness(1500, 100, 300)
    begin, end = START + chance.randrange(DAY), START + 2 * DAY + chance.randrange(DAY)
    whole = list(crossings(one, other, limits, begin, end))
    middle = [each.start + len(each) // 2 for each in whole]  # cuts that lie in the middle of a crossing
    cuts = [begin, *sorted(chance.sample(middle, min(5, len(middle)))), START + DAY, START + 2 * DAY, end]
    parts = [list(crossings(one, other, limits, *cut)) for cut in itertools.pairwise(sorted(set(cuts)))]
    assert len(whole) > 2
    assert [rows([each]) for part in parts for each in part] == [rows([each]) for each in whole]


def test_who_waits_is_told_of_each_day() -> None:
    told: list[float] = []
    one, other = map(orbit, CROSSING)
    list(crossings(one, other, Nearness(60, 50, 300), START, START + 3 * DAY, told.append))
    assert told == [number / 6 for number in range(6)], "three days, one before and two behind"


def test_two_that_fly_one_behind_the_other_cross_all_day_long() -> None:
    """As in the tandem phase of two Sentinel-3, half a minute apart: one event without end would be of no use."""
    one, other = (orbit(orbiting.lines(number, BEGIN, anomaly=-2 * number)) for number in (1, 2))
    begin, end = START + 40_000, START + 2 * DAY + 40_000
    found = list(crossings(one, other, Nearness(60, 50, 300), begin, end))
    assert [(each.start, len(each)) for each in found] == [(START + DAY, DAY), (START + 2 * DAY, DAY)]
    assert {int(abs(a - b)) for a, b in zip(found[0].first, found[0].second, strict=True)} < set(range(25, 40))


def test_only_when_it_is_wanted() -> None:
    one, other = map(orbit, CROSSING)

    def found(sun: float | None = None) -> list[Crossing]:
        limits = Nearness(1800, 100, 300, sunlit(sun))
        return list(crossings(one, other, limits, START, START + 2 * DAY))

    everything = found()
    by_day, by_night = found(sun=0), found(sun=-90)
    assert rows(by_night) == rows(everything)
    assert 0 < sum(map(len, by_day)) < sum(map(len, everything))
    assert found(sun=89.9) == []


@pytest.mark.parametrize("later", range(0, 27, 10))
def test_where_elements_change_nothing_is_left_out(later: int) -> None:
    """The place jumps there, and what is left out early is what no satellite can reach by flying.

    Half an hour before their epoch, new elements put it from the other side of the globe to right behind the other one.
    """
    epoch = BEGIN + timedelta(seconds=7200 + 2 * later)
    angle = 360 * (epoch - BEGIN).total_seconds() / 5926
    elsewhere, behind = orbiting.lines(1, BEGIN, anomaly=180), orbiting.lines(1, epoch, anomaly=angle - 1)
    one, other = orbit(f"{elsewhere}\n{behind}"), orbit(orbiting.lines(2, BEGIN))
    found = {row[0] for row in rows(list(crossings(one, other, Nearness(60, 50, 300), START, START + DAY)))}
    times = START + np.arange(7200)
    here, there = (np.radians(lon_lat(each.ground(times))) for each in (one, other))
    pairs = orbiting.near_pairs(here, there, times, 60, 49.9)
    begins = set(pairs[:, :2].min(axis=1).astype(int).tolist())
    assert abs(min(begins) - START - 3600 - later) < 30
    assert begins <= found
    assert min(found) == min(begins)


@pytest.mark.skipif(not orbiting.REAL.is_dir(), reason="the real elements are not there")
def test_crossings_of_real_satellites_are_those_of_brute_force() -> None:
    """Landsat 8 and 9, Sentinel-2A and 2B on a day of 2022, every tenth second with every other one."""
    begin = int(datetime(2022, 1, 12, tzinfo=UTC).timestamp())
    times = begin + np.arange(-3600, DAY + 7200, 10)
    orbits = {platform: Orbit.of(platform, parse(orbiting.real(platform))) for platform in orbiting.FILES}
    texts = {platform: _nearest(platform, begin + DAY // 2) for platform in orbits}
    places = {platform: orbiting.sub_satellite(text, times) for platform, text in texts.items()}
    total = 0
    for one, other in itertools.combinations(orbits, 2):
        around = list(crossings(orbits[one], orbits[other], Nearness(1800, 100, 300), begin - DAY, begin + DAY))
        found = [each for each in around if each.start >= begin]
        total += len(found)
        # By one set of elements instead of many, a day old at most, places differ by up to a few kilometres.
        pairs = orbiting.near_pairs(places[one], places[other], times, 1800, 95)
        begins = pairs[:, :2].min(axis=1)
        inside = pairs[(begins >= begin + 60) & (begins < begin + DAY - 60)]
        spans = [(each.start, each.stop) for each in around]
        for first, second, _ in inside:
            assert any(start <= min(first, second) and max(first, second) <= stop for start, stop in spans)
        # And each that is found is confirmed: from one tenth second to the next both fly less than 80 km.
        wider = orbiting.near_pairs(places[one], places[other], times, 1810, 100 + 80)
        begins = np.sort(wider[:, :2].min(axis=1))
        for each in found:
            assert len(each) > 0
            assert np.searchsorted(begins, each.stop + 10) > np.searchsorted(begins, each.start - 10)
    assert total > 30


def _nearest(platform: str, moment: int) -> str:
    sets = parse(orbiting.real(platform))
    best = min(sets, key=lambda each: abs(each.epoch.timestamp() - moment))
    return f"{best.first}\n{best.second}"
