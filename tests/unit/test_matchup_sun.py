"""Where the sun stands: by what everybody knows of it, and by what the makers of real scenes say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from shapely.geometry import shape

from almagest.pipelines.matchups.sun import elevation_deg, elevations_deg
from support import data


@pytest.mark.parametrize(
    ("moment", "lon", "lat", "elevation"),
    [
        # Equinoxes and solstices of the almanac; the equation of time is taken from there, too.
        ("2024-03-20T12:07:24", 0, 0.15, 90),
        ("2024-06-20T12:01:48", 0, 23.44, 90),
        ("2024-12-21T11:58:00", 0, -23.44, 90),
        ("2024-06-20T20:51:00", 0, 90, 23.44),
        ("2024-03-20T03:06:00", 100, 90, 0),
    ],
)
def test_at_known_times_it_stands_where_it_stands(moment: str, lon: float, lat: float, elevation: float) -> None:
    found = elevation_deg(datetime.fromisoformat(moment).replace(tzinfo=UTC), lon, lat)
    assert found == pytest.approx(elevation, abs=0.15)


def test_the_makers_of_real_scenes_say_the_same() -> None:
    if not (data.DATA / "stac" / "colorado").is_dir():
        pytest.skip("the real data is not there")
    compared = 0
    for item in data.items("colorado/landsat-c2-l2"):
        said = item["properties"].get("view:sun_elevation")
        if said is None:
            continue
        middle = shape(item["geometry"]).centroid
        found = elevation_deg(datetime.fromisoformat(item["properties"]["datetime"]), middle.x, middle.y)
        # They say it of the middle of the scene, which is not quite that of its footprint.
        assert found == pytest.approx(said, abs=0.2), item["id"]
        compared += 1
    assert compared > 10


def test_of_many_at_once_it_is_the_same() -> None:
    moments = [datetime(2022, month, 7, hour, tzinfo=UTC) for month in range(1, 13) for hour in (3, 9, 15)]
    lon, lat = np.linspace(-180, 180, len(moments)), np.linspace(-90, 90, len(moments))
    seconds = np.array([int(moment.timestamp()) for moment in moments])
    expected = [elevation_deg(*each) for each in zip(moments, lon, lat, strict=True)]
    assert elevations_deg(seconds, lon, lat) == pytest.approx(np.array(expected), abs=1e-9)


@given(
    some.floats(-20_000, 36_000).map(lambda days: datetime(2000, 1, 1, tzinfo=UTC) + timedelta(days=days)),
    some.floats(-180, 180),
    some.floats(-90, 90),
)
def test_on_the_other_side_of_the_globe_it_is_as_far_below(moment: datetime, lon: float, lat: float) -> None:
    here, there = elevation_deg(moment, lon, lat), elevation_deg(moment, lon + 180, -lat)
    assert here == pytest.approx(-there, abs=1e-6)
    later = elevation_deg(moment + timedelta(minutes=1), lon, lat)
    assert abs(later - here) < 0.26
