"""Boxes around places, also across the antimeridian and over the poles."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as some

from almagest.pipelines.matchups.boxes import Box
from almagest.pipelines.matchups.documents import bbox
from support.orbiting import haversine_km

LON = some.floats(-180, 180).map(lambda degrees: round(degrees, 6))
LAT = some.floats(-88.9, 88.9).map(lambda degrees: round(degrees, 6))


def around(*places: tuple[float, float]) -> Box:
    lon, lat = np.array(places).T
    return Box.around(lon, lat)


def holds(box: Box, lon: Any, lat: Any) -> Any:
    """Which of some places are in it, its edges included."""
    return (box.south <= lat) & (lat <= box.north) & ((lon - box.west) % 360 <= box.width)


def test_a_box_is_the_smallest_one_whichever_way_round() -> None:
    assert around((10.001, -3), (12, 4.555)) == Box(10, -3, 12, 4.56)
    assert around((175, 1), (-175, 2)) == Box(175, 1, -175, 2)
    assert around((-90, 1), (80, 2)) == Box(-90, 1, 80, 2)
    assert around((-95, 1), (90, 2)) == Box(90, 1, -95, 2)
    assert around((-180, 1), (180, 2), (175, 1)) == Box(175, 1, 180, 2)
    assert around(*((lon, 0) for lon in range(-180, 180))).width == 360


def test_there_is_always_an_area() -> None:
    assert around((10, 5)) == Box(10, 5, 10.01, 5.01)
    for place in ((180, 0), (-180, 0), (179.999, 0), (0, -88.9)):
        assert around(place).shape.area > 0


def test_beside_a_pole_it_goes_round_it() -> None:
    assert around((10, 80), (12, 89.5)) == Box(-180, 80, 180, 90)
    assert around((10, -80), (12, -89.5)) == Box(-180, -90, 180, -80)


def test_its_shape_is_parted_at_the_antimeridian_and_its_bbox_is_not() -> None:
    shape = Box(175, 1, -175, 2).shape
    assert shape.geom_type == "MultiPolygon"
    assert shape.is_valid
    assert shape.area == pytest.approx(10)
    assert bbox(shape) == [175, 1, -175, 2]
    assert Box.of(bbox(shape)) == Box(175, 1, -175, 2) == Box.of([175, 1, 0, -175, 2, 9])


@given(some.lists(some.tuples(LON, LAT), min_size=1, max_size=8))
def test_it_holds_what_it_is_around(places: list[tuple[float, float]]) -> None:
    box = around(*places)
    assert holds(box, *np.array(places).T).all()
    assert box.overlaps(box)
    assert all(shapely.intersects_xy(box.shape, *place) for place in places if abs(place[0]) < 180)
    for place in places:
        assert box.overlaps(around(place))
        assert around(place).overlaps(box)


@given(some.tuples(LON, LAT), some.tuples(LON, LAT), some.floats(1, 3000))
def test_what_is_near_is_in_the_wider_one(here: tuple[float, float], there: tuple[float, float], km: float) -> None:
    apart = float(haversine_km(np.radians(here), np.radians(there)))
    wider = around(here).wider(km)
    if apart <= km:
        assert holds(wider, *np.array([there]).T).all()
        assert wider.overlaps(around(there))
    assert wider.width <= 360


@given(*(some.tuples(LON, some.floats(0, 359), LAT, LAT) for _ in range(2)))
def test_boxes_overlap_where_their_shapes_do(
    one: tuple[float, float, float, float], other: tuple[float, float, float, float]
) -> None:
    first, second = (
        Box(west, min(a, b), (west + width + 180) % 360 - 180, max(a, b)) for west, width, a, b in (one, other)
    )
    area = shapely.intersection(first.shape, second.shape).area
    if area > 1e-9:
        assert first.overlaps(second)
        assert second.overlaps(first)
    if not first.overlaps(second):
        assert area == 0


def test_what_is_elsewhere_is_not_in_it() -> None:
    box = Box(170, -10, -170, 10)
    assert not box.overlaps(Box(-160, -10, 160, 10))
    assert not box.overlaps(Box(175, 11, -175, 20))
    assert box.overlaps(Box(-175, 0, 0, 5))
