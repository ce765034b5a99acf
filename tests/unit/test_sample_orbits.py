"""The sample's orbits and sun, against definitions and brute force."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from itertools import combinations

import pytest
import shapely

from almagest.catalogue.sample import _catalog as catalog
from almagest.catalogue.sample import _orbits, _plan

FIRST, LAST = datetime(2025, 6, 8, tzinfo=UTC), datetime(2025, 6, 24, tzinfo=UTC)


@pytest.mark.parametrize(
    ("time", "longitude", "latitude", "elevation", "azimuth"),
    [
        # The sun stands above the tropic at local noon of the solstice; the equation of time is -1 min 50 s.
        (datetime(2025, 6, 21, 12, 1, 50, tzinfo=UTC), 0.0, 23.437, 90.0, None),
        # Equinox: on the equator it rises in the east and passes the zenith.
        (datetime(2025, 3, 20, 12, 7, 30, tzinfo=UTC), 0.0, 0.0, 90.0, None),
        (datetime(2025, 3, 20, 6, 7, 30, tzinfo=UTC), 0.0, 0.0, 0.0, 90.0),
        # Midnight sun: at the solstice it stands 90 - 80 = 10 degrees less than its declination below the pole.
        (datetime(2025, 6, 21, 0, 1, 50, tzinfo=UTC), 0.0, 80.0, 23.44 - 10.0, 0.0),
    ],
)
def test_sun(time: datetime, longitude: float, latitude: float, elevation: float, azimuth: float | None) -> None:
    up, around = _orbits.sun(time, longitude, latitude)
    assert up == pytest.approx(elevation, abs=0.15)
    if azimuth is not None:
        assert (around - azimuth + 180) % 360 - 180 == pytest.approx(0, abs=0.3)


@pytest.mark.parametrize("sensor", catalog.SENSORS, ids=lambda sensor: sensor.instrument)
def test_the_equator_is_crossed_at_the_local_time(sensor: catalog.Sensor) -> None:
    for seen in _orbits.passes(sensor.orbit, 0, 30.0, 0.0, FIRST, LAST):
        solar_h = (seen.time - seen.time.replace(hour=0, minute=0, second=0, microsecond=0)).total_seconds() / 3600 + 2
        # A place beside the track has another local time than the point below the satellite: 1 degree is 4 minutes.
        beside_h = seen.cross_track_km / 111.2 / 15
        assert solar_h == pytest.approx(sensor.orbit.local_time_h - beside_h, abs=0.02)


@pytest.mark.parametrize("sensor", catalog.SENSORS, ids=lambda sensor: sensor.instrument)
def test_tracks_repeat_and_cover_the_earth(sensor: catalog.Sensor) -> None:
    cycle = timedelta(days=sensor.orbit.cycle_days)
    for longitude, latitude in ((-170.0, 10.0), (-72.0, -36.0), (12.5, 55.0), (100.0, 0.0)):
        once = list(_orbits.passes(sensor.orbit, 0, longitude, latitude, FIRST, FIRST + cycle))
        again = list(_orbits.passes(sensor.orbit, 0, longitude, latitude, FIRST + cycle, FIRST + 2 * cycle))
        assert once
        assert [seen.relative_orbit for seen in again] == [seen.relative_orbit for seen in once]
        for a, b in zip(once, again, strict=True):
            assert b.time - a.time == pytest.approx(cycle, abs=timedelta(milliseconds=5))
            assert b.cross_track_km == pytest.approx(a.cross_track_km, abs=0.05)
            assert b.absolute_orbit - a.absolute_orbit == sensor.orbit.revs


def test_closest_approach_is_the_closest() -> None:
    orbit, place = catalog.MSI.orbit, (-72.65, -36.7)
    seen = next(_orbits.passes(orbit, 0, *place, FIRST, LAST))
    start = _orbits.EPOCH + timedelta(hours=orbit.first_node_h)
    since = (seen.time - start).total_seconds()
    distances = {}
    for tenth in range(-600, 600):
        at_s = since + tenth / 10
        number = math.floor(at_s / orbit.period_s + 0.5)
        node = start + number * timedelta(seconds=orbit.period_s)
        hour = (node - node.replace(hour=0, minute=0, second=0, microsecond=0)).total_seconds() / 3600
        angle = (at_s - number * orbit.period_s) / orbit.period_s * math.tau
        below = _orbits._sub_satellite(
            orbit, math.radians(orbit.inclination_deg), 15 * (orbit.local_time_h - hour), angle
        )
        cosine = _orbits._dot(_orbits._vector(*below), _orbits._vector(*place))
        distances[tenth / 10] = math.acos(cosine) * _orbits.EARTH_RADIUS_KM
    assert min(distances, key=lambda at: distances[at]) == pytest.approx(0, abs=0.6)
    # Crossing a track that the earth turns away from costs a little of the distance.
    assert min(distances.values()) == pytest.approx(abs(seen.cross_track_km), rel=0.005)


def test_each_place_has_pairs_within_minutes_and_days() -> None:
    scenes = _plan.scenes()
    assert 60 <= len(scenes) <= 120
    assert len({scene.id for scene in scenes}) == len(scenes)
    gaps_s: dict[str, list[float]] = {place.name: [] for place in catalog.PLACES}
    for a, b in combinations(scenes, 2):
        if a.place is b.place and a.sensor is not b.sensor:
            overlap = shapely.Polygon(a.footprint).intersection(shapely.Polygon(b.footprint)).area
            if overlap > 0.1 * shapely.Polygon(a.footprint).area:
                gaps_s[a.place.name].append(abs((a.time - b.time).total_seconds()))
    for name, gaps in gaps_s.items():
        assert any(120 <= gap <= 1300 for gap in gaps), name
        assert any(86_400 <= gap <= 8 * 86_400 for gap in gaps), name
    assert any(3600 <= gap <= 12 * 3600 for gap in gaps_s["arctic"])


def test_scenes_look_like_an_orbit() -> None:
    for scene in _plan.scenes():
        assert scene.is_descending
        assert 20 < scene.sun_elevation < 75
        assert scene.off_nadir < 11
        ring = shapely.LinearRing(scene.ring)
        assert ring.is_ccw
        assert ring.is_valid
        origin = _plan.world_origin(scene.place)
        for east, north in scene.footprint:
            assert 0 <= east - origin[0] <= _plan.WORLD_M
            assert 0 <= origin[1] - north <= _plan.WORLD_M
    # Where tracks run 13 degrees off the meridian, so do the edges of scenes.
    scene = next(scene for scene in _plan.scenes() if scene.id.endswith("_desert") and not scene.tile)
    (x0, y0), (x1, y1) = scene.footprint[0], scene.footprint[1]
    tilt = math.degrees(math.atan2(x1 - x0, y1 - y0)) % 90
    assert min(tilt, 90 - tilt) == pytest.approx(13, abs=2)
