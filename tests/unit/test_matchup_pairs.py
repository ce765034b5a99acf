"""Areas, pairs and events against brute force, wherever on the globe."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Geod
from shapely.geometry import mapping, shape

from almagest.catalogue import footprints, meridians
from almagest.pipelines.matchups.areas import area_km2
from almagest.pipelines.matchups.pairing import Limits, Pairs, pairs
from almagest.pipelines.matchups.scenes import Scenes, Sensor, footprint

GEOD = Geod(ellps="WGS84")
ONE, OTHER = Sensor("landsat-c2-l2", "landsat-9"), Sensor("sentinel-2-l2a", "Sentinel-2A")
BEGIN = datetime(2024, 3, 1, tzinfo=UTC)


def surveyed_km2(geometry: Any) -> float:
    """Of geodesics between points so close that they follow the edges: by the poles these bend the most."""
    is_polar = max(map(abs, shapely.bounds(geometry)[[1, 3]])) > 75
    dense = shapely.segmentize(geometry, 0.002 if is_polar else 0.02)
    # Parts first: those of a collection, where two also touch, are left as they are wound.
    areas = [part for part in shapely.get_parts(dense) if part.geom_type == "Polygon"]
    return sum(GEOD.geometry_area_perimeter(shapely.orient_polygons(area))[0] for area in areas) / 1e6


@st.composite
def grounds(draw: st.DrawFn, wide: float = 6.0) -> Any:
    """A footprint somewhere: on the antimeridian, round a pole, as a quadrangle or with a hole."""
    where = draw(st.sampled_from(["anywhere", "antimeridian", "pole"]))
    lon = draw(st.floats(-180, 180)) if where != "antimeridian" else draw(st.sampled_from([-179.0, 179.5, 180.0]))
    lat = draw(st.floats(-75, 75)) if where != "pole" else draw(st.sampled_from([-84.0, 84.0]))
    half, tall = draw(st.floats(0.2, wide)), draw(st.floats(0.2, 4.0))
    slant = draw(st.floats(-1, 1))
    west, east, south, north = lon - half, lon + half, lat - tall, lat + tall
    ring = [[west, south], [east, south], [east + slant, north], [west + slant, north], [west, south]]
    ring = [[(x + 180) % 360 - 180, y] for x, y in ring]
    try:
        mended, _ = footprints.mend({"type": "Polygon", "coordinates": [ring]}, None)
    except meridians.UnmendableError:
        mended = mapping(shapely.box(0, 0, 1, 1))
    found = footprint(shape(mended))
    if draw(st.booleans()):
        hole = shapely.affinity.scale(found.envelope, 0.2, 0.2) if found.geom_type == "Polygon" else None
        found = footprint(found.difference(hole)) if hole is not None else found
    return found


@st.composite
def seen(draw: st.DrawFn, sensor: Sensor) -> Scenes:
    """Few scenes, close to one another in time, some of which took a while."""
    shapes = draw(st.lists(grounds(), max_size=9))
    starts = [BEGIN + timedelta(seconds=draw(st.integers(0, 7200))) for _ in shapes]
    stops = [start + timedelta(seconds=draw(st.sampled_from([0, 0, 25, 5000]))) for start in starts]
    ids = [f"{sensor.platform}-{number}" for number in range(len(shapes))]
    return Scenes.of(sensor, ids, [_naive(t) for t in starts], [_naive(t) for t in stops], shapes)


def _naive(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)


def found(batches: list[Pairs], one: Scenes, other: Scenes) -> dict[tuple[str, str], tuple[float, float]]:
    """What a sweep found, by ids; no pair twice."""
    told: dict[tuple[str, str], tuple[float, float]] = {}
    for batch in batches:
        for i, j, area, fraction in zip(batch.first, batch.second, batch.area_km2, batch.fraction, strict=True):
            key = (str(one.ids[i]), str(other.ids[j]))
            assert key not in told
            told[key] = float(area), float(fraction)
    return told


def brute_force(one: Scenes, other: Scenes, seconds: float) -> dict[tuple[str, str], Any]:
    """Every scene with every other one, as a person would write it down."""
    kept = {}
    for i, j in itertools.product(range(len(one)), range(len(other))):
        first_then_second = (other.start[j] - one.stop[i]) / np.timedelta64(1, "s")
        second_then_first = (one.start[i] - other.stop[j]) / np.timedelta64(1, "s")
        if max(first_then_second, second_then_first) > seconds:
            continue
        overlap = one.footprints[i].intersection(other.footprints[j])
        if overlap.area > 0:
            kept[str(one.ids[i]), str(other.ids[j])] = overlap
    return kept


@settings(max_examples=150, deadline=None)
@given(grounds(wide=40.0))
def test_an_area_is_that_of_a_survey(ground: Any) -> None:
    (area,) = area_km2(np.array([ground], object))
    assert area == pytest.approx(surveyed_km2(ground), rel=1e-4)


def test_the_globe_has_its_known_area_and_nothing_has_none() -> None:
    world, empty = shapely.box(-180, -90, 180, 90), shapely.Polygon()
    half = shapely.MultiPolygon([shapely.box(-180, -90, 0, 0), shapely.box(0, 0, 180, 90)])
    assert area_km2(np.array([world, empty, half], object)) == pytest.approx(
        [510065621.724, 0, 255032810.862], rel=1e-9
    )
    assert area_km2(np.array([], object)).shape == (0,)


@settings(max_examples=200, deadline=None)
@given(seen(ONE), seen(OTHER), st.sampled_from([0, 60, 300, 900, 3600, 86400]))
def test_pairs_are_those_of_brute_force(one: Scenes, other: Scenes, seconds: int) -> None:
    told = found(list(pairs(one, other, Limits(seconds))), one, other)
    kept = brute_force(one, other, seconds)
    assert told.keys() == kept.keys()
    for key, (area, fraction) in told.items():
        assert area == pytest.approx(surveyed_km2(kept[key]), rel=1e-4, abs=1e-9)
        assert 0 < fraction <= 1
    # Whoever goes first, the same are found.
    turned = found(list(pairs(other, one, Limits(seconds))), other, one)
    assert {(b, a) for a, b in turned} == told.keys()


@settings(max_examples=60, deadline=None)
@given(seen(ONE), seen(OTHER), st.floats(0, 200_000), st.floats(0, 1))
def test_small_overlaps_are_left_out(one: Scenes, other: Scenes, area: float, fraction: float) -> None:
    every = found(list(pairs(one, other, Limits(3600))), one, other)
    enough = found(list(pairs(one, other, Limits(3600, area, fraction))), one, other)
    assert enough.keys() == {key for key, (km2, share) in every.items() if km2 >= area and share >= fraction}


def test_footprints_that_only_touch_are_no_pair() -> None:
    boxes = [shapely.box(0, 0, 1, 1), shapely.box(1, 0, 2, 1), shapely.box(2, 1, 3, 2)]
    moment = np.datetime64("2024-03-01", "us")
    one, other = (
        Scenes.of(sensor, ["a"], [moment], [moment], [ground])
        for sensor, ground in ((ONE, boxes[0]), (OTHER, shapely.MultiPolygon([boxes[1], boxes[2]])))
    )
    assert list(pairs(one, other, Limits(60))) == []
    # They touch along an edge, and overlap elsewhere: what is kept is where they overlap.
    wider = Scenes.of(OTHER, ["b"], [moment], [moment], [shapely.union_all([boxes[1], shapely.box(0.5, 0.9, 0.6, 2)])])
    (batch,) = pairs(one, wider, Limits(60))
    assert batch.overlap[0].equals(shapely.box(0.5, 0.9, 0.6, 1))


def test_the_limit_of_time_is_still_within() -> None:
    moment = np.datetime64("2024-03-01T10:00:00", "us")
    ground = shapely.box(-1, -1, 1, 1)
    one = Scenes.of(ONE, ["a"], [moment], [moment + np.timedelta64(30, "s")], [ground])
    for after_s, is_pair in ((0, True), (90, True), (91, False)):
        then = moment + np.timedelta64(after_s, "s")
        other = Scenes.of(OTHER, ["b"], [then], [then], [ground])
        assert bool(list(pairs(one, other, Limits(60)))) is is_pair
        assert bool(list(pairs(other, one, Limits(60)))) is is_pair


def test_bounds_at_zero_are_bounds() -> None:
    """eomatch takes a bound of 0 for none; a limit of no time at all is one, too."""
    moment = np.datetime64("2024-03-01T10:00:00", "us")
    ground = shapely.box(-1, -1, 1, 1)
    one = Scenes.of(ONE, ["a"], [moment], [moment], [ground])
    other = Scenes.of(OTHER, ["b"], [moment + np.timedelta64(1, "us")], [moment + np.timedelta64(1, "us")], [ground])
    assert list(pairs(one, other, Limits(0))) == []


def test_a_scene_that_ends_before_it_starts_is_refused() -> None:
    moment = np.datetime64("2024-03-01T10:00:00", "us")
    with pytest.raises(ValueError, match="Scene a ends before it starts"):
        Scenes.of(ONE, ["a"], [moment], [moment - np.timedelta64(1, "s")], [shapely.box(0, 0, 1, 1)])
