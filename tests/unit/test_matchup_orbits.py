"""Where satellites are: by what everybody knows of orbits, by other formulas, and by where real scenes lie."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from sgp4.api import jday
from sgp4.propagation import gstime
from shapely.geometry import shape

from almagest.pipelines.matchups.elements import Elements, parse
from almagest.pipelines.matchups.orbits import Orbit, OrbitError, distance_km, lon_lat, sidereal
from almagest.pipelines.matchups.stretches import Stretch
from support import data, orbiting

NOON = datetime(2025, 5, 1, 12, tzinfo=UTC)
BEGIN = int(NOON.timestamp())


def orbit(*texts: str) -> Orbit:
    return Orbit.of("ours", [each for text in texts for each in parse(text)])


@pytest.mark.parametrize("year", [1970, 2000, 2022, 2055])
def test_sidereal_time_is_that_of_sgp4(year: int) -> None:
    seconds = np.array([datetime(year, month, 7, 5, 4, 3, tzinfo=UTC).timestamp() for month in range(1, 13)])
    expected = [gstime(sum(jday(year, month, 7, 5, 4, 3))) for month in range(1, 13)]
    assert np.abs((sidereal(seconds) - expected + np.pi) % (2 * np.pi) - np.pi).max() < 1e-6


def test_above_the_equator_it_is_as_far_east_as_its_node_is_from_greenwich() -> None:
    text = orbiting.lines(1, NOON, inclination=0, node=100, anomaly=30)
    lon, lat = lon_lat(orbit(text).ground(np.array([BEGIN])))
    expected = 130 - np.degrees(gstime(sum(jday(2025, 5, 1, 12, 0, 0))))
    assert (lon[0] - expected + 180) % 360 - 180 == pytest.approx(0, abs=0.01)
    assert lat[0] == pytest.approx(0, abs=0.01)


def test_latitude_is_geodetic() -> None:
    """Geocentric latitude would be less by up to 0.19 degrees: 21 km."""
    seconds = BEGIN + np.arange(6000)
    _, lat = lon_lat(orbit(orbiting.lines(1, NOON, inclination=45)).ground(seconds))
    assert lat.max() == pytest.approx(45 + 0.19 * 6378 / 7078, abs=0.02)


@pytest.mark.parametrize("height_km", [200, 700, 1400, 20_000, 35_786])
def test_it_is_where_an_iteration_finds_it(height_km: float) -> None:
    text = orbiting.lines(1, NOON, height_km=height_km, inclination=83, node=7, anomaly=3, eccentricity=0.005)
    seconds = BEGIN + np.arange(0, 43_200, 17)
    found = np.radians(lon_lat(orbit(text).ground(seconds)))
    assert orbiting.haversine_km(found, orbiting.sub_satellite(text, seconds)).max() < 0.01


@pytest.mark.parametrize(("height_km", "eccentricity"), [(200, 1e-6), (700, 0.001), (2000, 0.2), (26_000 - 6378, 0.72)])
@pytest.mark.parametrize("inclination", [5, 98, 175])
def test_nothing_below_it_is_faster_than_said(height_km: float, eccentricity: float, inclination: float) -> None:
    text = orbiting.lines(1, NOON, height_km=height_km, eccentricity=eccentricity, inclination=inclination)
    here = orbit(text)
    ground = here.ground(BEGIN + np.arange(86_400))
    fastest = float(distance_km(ground[1:], ground[:-1]).max())
    assert fastest <= here.speed_km_s < 1.2 * fastest


def test_the_elements_nearest_in_epoch_count_in_whatever_order_they_come() -> None:
    texts = [orbiting.lines(1, NOON + timedelta(days=days), anomaly=40 * days) for days in (0, 2, 5)]
    together = orbit(texts[2], texts[0], texts[1])
    seconds = BEGIN + np.arange(-86_400, 7 * 86_400, 1800)
    days = (seconds - BEGIN) / 86_400
    for number, (text, begin, end) in enumerate(zip(texts, (-9, 1, 3.5), (1, 3.5, 9), strict=True)):
        mine = seconds[(days > begin + 0.01) & (days < end - 0.01)]
        assert np.array_equal(together.ground(mine), orbit(text).ground(mine))
        assert together.used(mine) == [NOON + timedelta(days=(0, 2, 5)[number])]
    # Between two steps of 27 s nothing jumps: what is left out early counts on that.
    apart = distance_km(*(together.ground(BEGIN + 86_400 + np.arange(-60, 60) + by) for by in (0, 1)))
    (jump,) = np.flatnonzero(apart > 100)
    assert (BEGIN + 86_400 - 60 + int(jump) + 14) % 27 == 0


def test_how_old_the_elements_are() -> None:
    texts = [orbiting.lines(1, NOON + timedelta(days=days)) for days in (0, 20)]

    def age(begin: float, end: float) -> float:
        stretch = Stretch(NOON + timedelta(days=begin), NOON + timedelta(days=end))
        return orbit(*texts).age(stretch) / timedelta(days=1)

    assert age(-1, 3) == pytest.approx(3)
    assert age(2, 18) == pytest.approx(10), "in the middle"
    assert age(11, 18) == pytest.approx(9)
    assert age(19, 36) == pytest.approx(16)


def test_what_has_come_down_is_nowhere() -> None:
    here = orbit(orbiting.falling(1, NOON, 150, "99999-1"))
    with pytest.raises(OrbitError, match=r"^ours, line 1: .* 20\d\d-.*: .*"):
        here.ground(BEGIN + np.arange(0, 60 * 86_400, 600))


def test_where_it_need_not_be_it_may_be_nowhere() -> None:
    seconds = BEGIN + np.arange(0, 48) * 3600
    here = replace(orbit(orbiting.falling(1, NOON)), needed=(BEGIN, BEGIN + 33 * 3600))
    assert np.isfinite(here.ground(seconds)).all(axis=1).tolist() == [hour < 34 for hour in range(48)]
    with pytest.raises(OrbitError, match="nowhere at 2025-05-02T22:00:00Z"):
        replace(here, needed=(BEGIN, BEGIN + 34 * 3600)).ground(seconds)


def test_a_place_that_is_not_a_number_is_none() -> None:
    """SGP4 says nothing of it: it counts columns in bytes, and a letter of two of them moves all that stand behind."""
    first, second = orbiting.lines(1, NOON).splitlines()
    moved = Orbit.of("ours", [Elements(first.replace("24001A", "24é01A"), second, 1)])
    with pytest.raises(OrbitError, match=r"^ours, line 1: .*its place is not a number"):
        moved.ground(np.array([BEGIN]))


def test_real_satellites_pass_over_the_middle_of_their_scenes() -> None:
    """Landsat repeats its track every 16 days: so the scenes of later years tell where it was in 2022."""
    if not orbiting.REAL.is_dir() or not (data.DATA / "stac" / "colorado").is_dir():
        pytest.skip("the real data is not there")
    compared = 0
    for platform in ("landsat-8", "landsat-9"):
        here = Orbit.of(platform, parse(orbiting.real(platform)))
        for item in data.items("colorado/landsat-c2-l2"):
            if item["properties"]["platform"] != platform:
                continue
            compared += 1
            assert _off_track_km(here, item) < 15, item["id"]
    assert compared > 20


def _off_track_km(here: Orbit, item: dict[str, Any]) -> float:
    moment = datetime.fromisoformat(item["properties"]["datetime"])
    while moment > datetime(2022, 2, 25, tzinfo=UTC):
        moment -= timedelta(days=16)
    middle = shape(item["geometry"]).centroid
    ground = np.radians(lon_lat(here.ground(int(moment.timestamp()) + np.arange(-120, 120))))
    return float(orbiting.haversine_km(ground, np.radians([[middle.x], [middle.y]])).min())
