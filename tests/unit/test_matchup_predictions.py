"""Crossings as items, predictions that have come true, and what `predict-crossings` takes and refuses."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
import shapely
from shapely.geometry import shape

from almagest.catalogue.acceptance import Rules, accept_item
from almagest.catalogue.moments import parsed
from almagest.core.errors import InvalidDocumentError
from almagest.pipelines.matchups.crossings import Nearness
from almagest.pipelines.matchups.elements import parse
from almagest.pipelines.matchups.orbits import Orbit, OrbitError, lon_lat
from almagest.pipelines.matchups.predict_crossings import PROCESS
from almagest.pipelines.matchups.predictions import Happening, answered, crossing_items, sunlit
from almagest.pipelines.matchups.scenes import Sensor
from almagest.pipelines.matchups.stretches import Stretch
from support import orbiting

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
SENSORS = Sensor("l9", "landsat-9"), Sensor("s2", "S2A")


def items(lon: float, inclination: float = 60) -> list[dict[str, Any]]:
    """Of two satellites that are at a longitude at noon and three minutes later."""
    texts = (
        orbiting.over(1, NOON, lon),
        orbiting.over(2, NOON + timedelta(minutes=3), lon, height_km=500, inclination=inclination),
    )
    orbits = tuple(Orbit.of(sensor.platform, parse(text)) for sensor, text in zip(SENSORS, texts, strict=True))
    around = Stretch(NOON - timedelta(minutes=20), NOON + timedelta(minutes=20))
    return list(crossing_items(SENSORS, orbits, Nearness(600, 100, 300), around))  # type: ignore[arg-type]


@pytest.mark.parametrize("lon", [11, 180, -179.9, 179.9])
def test_a_crossing_is_a_valid_item_wherever_it_is(lon: float) -> None:
    (item,) = items(lon)
    accepted = accept_item(item, Rules("http://localhost"))
    assert accepted.document["geometry"] == item["geometry"], "nothing had to be mended"
    west, south, east, north = item["bbox"]
    ground = shape(item["geometry"])
    assert ground.is_valid
    if lon == 11:
        assert ground.geom_type == "Polygon"
        assert west < lon < east
    else:
        assert ground.geom_type == "MultiPolygon"
        assert -180 < east < -170 < 170 < west < 180
    assert 0.3 < ground.area / ((east - west) % 360 * (north - south)) <= 1
    middle = item["properties"]["collocation_centroid_lon"]
    assert (middle - lon + 180) % 360 - 180 == pytest.approx(0, abs=0.05)
    assert json.loads(json.dumps(item)) == item


def test_a_long_crossing_is_drawn_along_its_track() -> None:
    """One box around a satellite that follows another one for an hour would be half the Earth."""
    texts = [orbiting.lines(number, NOON) for number in (1, 2)]
    orbits = [Orbit.of(sensor.platform, parse(text)) for sensor, text in zip(SENSORS, texts, strict=True)]
    one, other = orbits
    around = Stretch(NOON, NOON + timedelta(hours=2))
    found = list(crossing_items(SENSORS, (one, other), Nearness(60, 50, 300, sunlit(0)), around))
    assert found
    for item in found:
        start, end = (parsed(item["properties"][name]).timestamp() for name in ("start_datetime", "end_datetime"))
        assert end - start > 1800
        ground = shape(item["geometry"])
        assert ground.is_valid
        accept_item(item, Rules("http://localhost"))
        assert ground.area < 0.1 * 360 * 180
        seconds = np.arange(int(start), int(end))
        lon, lat = lon_lat(one.ground(seconds))
        assert shapely.intersects_xy(ground.buffer(1e-6), lon, lat).all(), "the track is in it, without a gap"


def test_a_crossing_over_a_pole_is_all_around_it() -> None:
    texts = [orbiting.over(number, NOON, 0, inclination=90, height_km=700 + number) for number in (1, 2)]
    one, other = (Orbit.of(sensor.platform, parse(text)) for sensor, text in zip(SENSORS, texts, strict=True))
    around = Stretch(NOON - timedelta(hours=13), NOON + timedelta(hours=1))
    found = list(crossing_items(SENSORS, (one, other), Nearness(60, 50, 300), around))
    assert any(item["bbox"][3] == 90 and item["bbox"][::2] == [-180, 180] for item in found)
    for item in found:
        accept_item(item, Rules("http://localhost"))


def test_a_satellite_may_come_down_once_nothing_of_the_interval_needs_it() -> None:
    """Crossings are looked for by the day, from the day before to the one behind, to see where they begin and end."""
    texts = orbiting.falling(1, NOON), orbiting.lines(2, NOON, height_km=500, inclination=60)
    one, other = (Orbit.of(sensor.platform, parse(text)) for sensor, text in zip(SENSORS, texts, strict=True))

    def found(until: timedelta) -> list[dict[str, Any]]:
        interval = Stretch(NOON, NOON + until)
        return list(crossing_items(SENSORS, (one, other), Nearness(1800, 100, 300), interval))

    assert found(timedelta(hours=32))
    with pytest.raises(OrbitError, match="landsat-9, line 1: these elements lead nowhere at 2024-05-02T21:"):
        found(timedelta(hours=33))


def happening(name: str, minute: float, lon: float = 10, lat: float = 0) -> Happening:
    return Happening(name, NOON + timedelta(minutes=minute), [shapely.box(lon, lat, lon + 1, lat + 1)])


@pytest.mark.parametrize(
    ("found", "is_answered"),
    [
        (happening("f", 0), True),
        (happening("f", 35), True),
        (happening("f", 35.1), False),
        (happening("f", -35), True),
        (happening("f", -35.1), False),
        (happening("f", 0, lon=15), True),
        (happening("f", 0, lon=17), False),
        (happening("f", 0, lat=6), False),
        (happening("f", 0, lon=-170), False),
    ],
)
def test_a_prediction_is_answered_by_what_is_near_in_time_and_space(found: Happening, is_answered: bool) -> None:
    assert list(answered([happening("p", 0)], [found])) == (["p"] if is_answered else [])
    others = [happening(f"o{n}", 30 * n, lon=100) for n in range(-50, 50)]
    assert list(answered([happening("p", 0)], [*others, found])) == (["p"] if is_answered else []), "among many"


def test_beyond_the_antimeridian_and_beside_a_pole_it_is_near_as_well() -> None:
    assert list(answered([happening("p", 0, lon=179)], [happening("f", 0, lon=-180)])) == ["p"]
    assert list(answered([happening("p", 0, lat=88)], [happening("f", 0, lon=-100, lat=88)])) == ["p"]
    assert list(answered([happening("p", 0)], [])) == []


ASKED: dict[str, Any] = {
    "collections": ["l9", "s2"],
    "platforms": ["landsat-9", "S2A"],
    "elements": {"landsat-9": orbiting.lines(1, NOON), "S2A": orbiting.lines(2, NOON)},
    "datetime": "2024-05-01T00:00:00Z/2024-05-15T00:00:00Z",
}


def test_what_is_asked_for_is_understood() -> None:
    inputs = PROCESS.parse(ASKED)
    assert (inputs.max_time_difference, inputs.max_distance, inputs.event_gap) == (1800, 100, 300)
    PROCESS.parse({**ASKED, "collections": ["l9", "l9"]})
    PROCESS.parse({**ASKED, "bbox": [170, -10, -170, 10], "min_solar_elevation": 0})
    example = PROCESS.inputs.model_json_schema()["properties"]["elements"]["examples"][0]
    assert all(parse(text) for text in example.values())


def test_what_cannot_be_done_in_time_is_refused() -> None:
    names = [f"p{number}" for number in range(20)]
    many = {"collections": names, "platforms": names, "elements": {name: orbiting.lines(1, NOON) for name in names}}
    PROCESS.parse({**ASKED, **many, "datetime": "2024-05-01T00:00:00Z/2024-06-22T00:00:00Z"})
    with pytest.raises(InvalidDocumentError, match="10,070 days of a pair of sensors are more than can be looked at"):
        PROCESS.parse({**ASKED, **many, "datetime": "2024-05-01T00:00:00Z/2024-06-22T00:00:01Z"})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"platforms": ["landsat-9"]}, "at least 2 items"),
        ({"collections": ["l9", "s2", "s2"]}, "as many platforms as collections"),
        ({"collections": ["l9", "l9"], "platforms": ["S2A", "S2A"]}, "stands there twice"),
        ({"platforms": ["landsat-9", "S2/A"]}, "no collection can be called by"),
        ({"platforms": ["landsat-9", "S2B"]}, "there are no elements of S2B"),
        ({"elements": {**ASKED["elements"], "S2B": orbiting.lines(3, NOON)}}, "elements of S2B, which is none"),
        ({"elements": {**ASKED["elements"], "S2A": "S2A\n1 2"}}, "S2A, line 2: "),
        ({"elements": {**ASKED["elements"], "S2A": ""}}, "S2A, there are no elements"),
        ({"datetime": "2024-05-01T00:00:00Z/.."}, "from when and until when"),
        ({"datetime": "2024-05-01T00:00:00Z"}, "from when and until when"),
        ({"datetime": "2024-05-02T00:00:00Z/2024-05-01T00:00:00Z"}, "ends before it begins"),
        ({"datetime": "2024-05-01T00:00:00Z/2025-06-06T00:00:00Z"}, "400 days at most"),
        ({"datetime": "May/June"}, "RFC 3339"),
        ({"datetime": "2025-05-03T00:00:00Z/2025-05-15T00:00:00Z"}, "landsat-9: the elements are of more than a year"),
        ({"datetime": "9999-12-31T00:00:00Z/9999-12-31T23:59:59Z"}, "landsat-9: the elements are of more than a year"),
        ({"datetime": "0001-01-01T00:00:00Z/0001-01-02T00:00:00Z"}, "landsat-9: the elements are of more than a year"),
        ({"elements": {**ASKED["elements"], "S2A": orbiting.lines(2, NOON - timedelta(days=367))}}, "S2A: the"),
        ({"bbox": [0, 10, 5, -10]}, "write west, south, east and north"),
        ({"bbox": [0, 0, 190, 10]}, "write west, south, east and north"),
        ({"bbox": [0, 0, float("nan"), 10]}, "finite number"),
        ({"bbox": [0, 0, 1]}, "at least 4 items"),
        ({"max_distance": 0}, "greater than 0"),
        ({"max_time_difference": 21_601}, "less than or equal to 21600"),
        ({"hrefs": []}, "Extra inputs"),
    ],
)
def test_what_cannot_be_understood_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidDocumentError, match=said):
        PROCESS.parse({**ASKED, **change})
