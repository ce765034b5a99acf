"""Geometries, bboxes, times and versions that are put right: judged on the sphere, where nothing is split."""

from __future__ import annotations

import copy
import math
from typing import Any

import antimeridian
import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from shapely.geometry import shape as shapely_shape

from almagest.catalogue import footprints, mending
from almagest.catalogue.meridians import UnmendableError
from almagest.core.errors import InvalidDocumentError
from support.shapes import SHAPES, Shape, box, naive_bbox, polygon, positions

CROSSING = [shape for shape in SHAPES if shape.remarks]


def covers(geometry: dict[str, Any], longitude: float, latitude: float) -> bool:
    return bool(shapely_shape(geometry).distance(shapely.Point(longitude, latitude)) < 0.3)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_a_footprint_lies_where_it_was_meant_to(shape: Shape) -> None:
    before = copy.deepcopy(shape.item)
    item, remarks = mending.mend_place(shape.item)
    geometry = item["geometry"]
    assert shape.item == before
    assert sorted(remark for remark in remarks if "bbox" not in remark) == sorted(shape.remarks)
    assert shapely_shape(geometry).is_valid
    assert all(-180 <= x <= 180 and -90 <= y <= 90 for x, y, *_ in positions(geometry["coordinates"]))
    assert [place for place in shape.inside if not covers(geometry, *place)] == []
    assert [place for place in shape.outside if covers(geometry, *place)] == []
    if not shape.remarks:
        assert geometry == shape.geometry
    again, more = mending.mend_place(item)
    assert again == item
    assert not more


@pytest.mark.parametrize("shape", CROSSING, ids=lambda shape: shape.name)
def test_mended_polygons_are_wound_by_the_right_hand(shape: Shape) -> None:
    geometry = shapely_shape(mending.mend_place(shape.item)[0]["geometry"])
    for part in getattr(geometry, "geoms", [geometry]):
        if part.geom_type == "Polygon":
            assert part.exterior.is_ccw
            assert not any(hole.is_ccw for hole in part.interiors)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_a_bbox_holds_the_footprint_and_no_more(shape: Shape) -> None:
    item, _ = mending.mend_place(shape.item)
    west, south, east, north = item["bbox"]
    across = west > east
    width = east - west + 360 * across
    assert all(
        0 <= (x - west) % 360 <= width + 1e-9 or x == east for x, *_ in positions(item["geometry"]["coordinates"])
    )
    assert all(south <= y <= north for _, y, *_ in positions(item["geometry"]["coordinates"]))
    reached = {x for x, *_ in positions(item["geometry"]["coordinates"])}
    assert {west, east} <= reached
    geometry = shapely_shape(item["geometry"])
    spans = [part.bounds[::2] for part in getattr(geometry, "geoms", [geometry])]
    assert across == ({-180, 180} <= reached and (-180, 180) not in spans)


AGREED = [
    "box", "box clockwise", "box in 0 to 360", "tile", "swath", "across and back", "hole across", "hole on one side",
    "north pole", "south pole", "ring about the north pole",
]  # fmt: skip


@pytest.mark.parametrize("name", AGREED)
def test_the_library_that_others_use_gives_the_same_where_it_can(name: str) -> None:
    geometry = next(shape.geometry for shape in SHAPES if shape.name == name)
    theirs = shapely_shape(antimeridian.fix_shape(geometry, great_circle=False, fix_winding=True))
    ours = shapely_shape(footprints.mend(geometry, None)[0])
    assert ours.symmetric_difference(theirs).area < 1e-5


def around(longitude: float, latitude: float) -> np.ndarray:
    """A rotation that brings the north pole to this place."""
    a, b = math.radians(longitude), math.radians(90 - latitude)
    about_z = np.array([[math.cos(a), -math.sin(a), 0], [math.sin(a), math.cos(a), 0], [0, 0, 1]])
    about_y = np.array([[math.cos(b), 0, math.sin(b)], [0, 1, 0], [-math.sin(b), 0, math.cos(b)]])
    return about_z @ about_y


def at(rotation: np.ndarray, bearing: float, distance: float) -> tuple[float, float]:
    """Longitude and latitude of a place by bearing and distance (degrees) from where a rotation leads."""
    b, d = math.radians(bearing), math.radians(distance)
    x, y, z = rotation @ np.array([math.sin(d) * math.cos(b), math.sin(d) * math.sin(b), math.cos(d)])
    return math.degrees(math.atan2(y, x)), math.degrees(math.asin(min(1.0, max(-1.0, z))))


@examples(max_examples=300, deadline=None)
@given(
    centre=st.one_of(
        st.tuples(st.floats(172, 188), st.floats(-65, 65)),
        # The pole well inside: near the edge, lines straight in degrees and straight on the sphere part ways.
        st.tuples(
            st.floats(-180, 180),
            st.sampled_from([-1, 1]).flatmap(lambda side: st.floats(87, 90).map(lambda y: side * y)),
        ),
    ),
    radius=st.floats(8, 14),
    wobble=st.lists(st.floats(0.9, 1.1), min_size=6, max_size=6),
    backwards=st.booleans(),
    to_360=st.booleans(),
    bearings=st.lists(st.floats(0, 360), min_size=8, max_size=8),
)
def test_what_is_inside_on_the_sphere_is_inside_once_mended(
    centre: tuple[float, float],
    radius: float,
    wobble: list[float],
    backwards: bool,
    to_360: bool,
    bearings: list[float],
) -> None:
    rotation = around(*centre)
    ring = [at(rotation, 5 * i, radius * wobble[i // 12]) for i in range(72)]
    if to_360:
        ring = [(longitude % 360, latitude) for longitude, latitude in ring]
    geometry = polygon([*ring[::-1]] if backwards else [*ring])
    mended = shapely_shape(footprints.mend(geometry, naive_bbox(geometry))[0])
    assert mended.is_valid
    for bearing in bearings:
        assert mended.covers(shapely.Point(at(rotation, bearing, radius * 0.8)))
        assert not mended.covers(shapely.Point(at(rotation, bearing, radius * 1.25)))


def any_ring(least: int) -> st.SearchStrategy[list[tuple[float, float]]]:
    longitudes = st.one_of(st.integers(-360, 360), st.floats(-360, 360), st.sampled_from([-180, 180]))
    latitudes = st.one_of(st.integers(-90, 90), st.floats(-90, 90), st.sampled_from([-90, 90]))
    return st.lists(st.tuples(longitudes.map(float), latitudes.map(float)), min_size=least, max_size=9)


@examples(max_examples=600, deadline=None)
@given(rings=st.lists(any_ring(3), min_size=1, max_size=3), bbox=st.none() | st.sampled_from([(170, -9, -170, 9)]))
def test_any_polygon_is_mended_for_good_or_refused(rings: list[Any], bbox: Any) -> None:
    try:
        once, _ = footprints.mend(polygon(*rings), bbox)
    except UnmendableError:
        return
    assert shapely_shape(once).is_valid
    assert all(-180 <= x <= 180 and -90 <= y <= 90 for x, y, *_ in positions(once["coordinates"]))
    box = mending.bounds(once)
    assert footprints.mend(once, box) == (once, ())


@examples(max_examples=300, deadline=None)
@given(line=any_ring(2))
def test_any_line_is_cut_for_good(line: list[Any]) -> None:
    once, _ = footprints.mend({"type": "LineString", "coordinates": [list(point) for point in line]}, None)
    assert all(-180 <= x <= 180 for x, *_ in positions(once["coordinates"]))
    assert footprints.mend(once, None) == (once, ())


def test_heights_are_kept_and_interpolated_where_it_is_cut() -> None:
    low_and_high = polygon([(170, 0, 0), (-170, 0, 200), (-170, 5, 200), (170, 5, 0)])
    points = positions(footprints.mend(low_and_high, None)[0]["coordinates"])
    assert {(x, z) for x, _, z in points} == {(170, 0), (180, 100), (-180, 100), (-170, 200)}
    line = {"type": "LineString", "coordinates": [[170, 0, 1], [-170, 10, 3]]}
    assert footprints.mend(line, None)[0]["coordinates"] == [
        [[170, 0, 1], [180, 5, 2]],
        [[-180, 5, 2], [-170, 10, 3]],
    ]


def test_a_polygon_without_area_is_refused() -> None:
    flat = {**SHAPES[0].item, "geometry": polygon([(0, 0), (1, 1), (2, 2)])}
    with pytest.raises(InvalidDocumentError, match="/geometry: encloses no area"):
        mending.mend_place(flat)


def test_a_bow_tie_keeps_its_two_halves() -> None:
    item, remarks = mending.mend_place({**SHAPES[0].item, "geometry": polygon([(0, 0), (1, 1), (1, 0), (0, 1)])})
    assert shapely_shape(item["geometry"]).area == 0.5
    assert remarks[0].startswith("The rings of the geometry cross")


def test_a_missing_bbox_is_made_and_heights_of_one_that_is_there_are_kept() -> None:
    item = SHAPES[0].item
    without = {name: value for name, value in item.items() if name != "bbox"}
    made, remarks = mending.mend_place(without)
    assert made["bbox"] == [170, -10, -170, 10]
    assert remarks[-1] == mending.BBOX_MADE
    deep, _ = mending.mend_place({**item, "bbox": [-170, -10, 5, 170, 10, 9]})
    assert deep["bbox"] == [170, -10, 5, -170, 10, 9]


@pytest.mark.parametrize("bbox", [[10, 5, 20, 0], [10, 5, 0, 20, 0, 9]])
def test_a_bbox_upside_down_is_computed_anew(bbox: list[float]) -> None:
    """Who looks for rows by it would find none."""
    mended, remarks = mending.mend_place({"geometry": polygon(box(10, 0, 20, 5)), "bbox": bbox})
    assert (mended["bbox"][0], mended["bbox"][1], remarks) == (10, 0, (mending.BBOX_ANEW,))


def test_a_bbox_the_wrong_way_round_is_computed_anew() -> None:
    item = {**SHAPES[0].item, "geometry": polygon(box(10, 0, 20, 5)), "bbox": [20, 0, 10, 5]}
    mended, remarks = mending.mend_place(item)
    assert (mended["bbox"], remarks) == ([10, 0, 20, 5], (mending.BBOX_ANEW,))


NOON, NIGHT = "2024-01-01T12:00:00Z", "2024-01-01T23:00:00Z"


@pytest.mark.parametrize(
    ("given", "mended", "remark"),
    [
        ({"datetime": NOON, "end_datetime": NIGHT}, {"start_datetime": NOON}, mending.START_MADE),
        ({"datetime": NIGHT, "start_datetime": NOON}, {"end_datetime": NIGHT}, mending.END_MADE),
        ({"start_datetime": NOON, "end_datetime": NIGHT}, {"datetime": None}, mending.DATETIME_NULL),
    ],
)
def test_half_a_range_is_completed(given: dict[str, str], mended: dict[str, Any], remark: str) -> None:
    item, remarks = mending.mend_times({"properties": given})
    assert item == {"properties": {**given, **mended}}
    assert remarks == (remark,)
    assert mending.mend_times(item) == (item, ())


@pytest.mark.parametrize(
    ("start", "end", "in_order"),
    [
        (NOON, NOON, True),
        (NIGHT, NOON, False),
        ("2024-01-01T12:00:00.5Z", NOON, False),
        (NOON, "2024-01-01t12:00:00.000001+00:00", True),
        ("2024-01-01T12:00:00.0000001Z", NOON, True),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z", True),
        ("2017-01-01T00:00:01Z", "2016-12-31T23:59:60Z", False),
        ("2024-01-01T11:59:59.9999999Z", NOON, True),
        (NOON, "9999-12-31T23:59:59.999999999Z", True),
        ("9999-12-31T23:59:60Z", NOON, False),
    ],
)
def test_times_are_compared_as_postgresql_does(start: str, end: str, in_order: bool) -> None:
    assert mending.is_in_order(start, end) is in_order


@pytest.mark.parametrize("version", ["0.8.1", "0.9.0", "1.0.0-beta.2", "1.0.0-rc.1", "1.1.0-beta.1"])
def test_older_versions_are_migrated(version: str) -> None:
    item, remarks = mending.mend_version({**SHAPES[0].item, "stac_version": version}, "item")
    assert item["stac_version"] == "1.1.0"
    assert remarks == (f"It is migrated from STAC {version} to 1.1.0.",)
    assert mending.mend_version(item, "item") == (item, ())


@pytest.mark.parametrize("version", ["0.7.0", "2.0.0", 1, None, "1.0.0"])
def test_other_versions_are_left_alone(version: Any) -> None:
    item = {**SHAPES[0].item, "stac_version": version}
    assert mending.mend_version(item, "item") == (item, ())


@pytest.mark.parametrize("version", ["1.0.0-β", "1.0.0-a\rb", "1.0.0-a+b", "0.٩.0", f"1.0.0-{'x' * 21}"])
def test_a_version_that_no_header_could_quote_is_no_old_one(version: str) -> None:
    # The remark of a migration becomes a header, after the item is stored: too late to fail.
    item = {**SHAPES[0].item, "stac_version": version}
    assert mending.mend_version(item, "item") == (item, ())
