"""Which scenes the sample has: from passes over places to footprints on pixel grids."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import shapely
from rasterio.warp import transform

from almagest.catalogue.sample import _catalog as catalog
from almagest.catalogue.sample._catalog import Place, Platform, Sensor
from almagest.catalogue.sample._orbits import Pass, off_nadir, passes, sun

#: The side of the world of a place, and the grid that its corners and those of all scenes lie on [m].
WORLD_M = 96_000.0
_SNAP_M = 240.0
#: Tiles with less data are left out.
_LEAST_SHARE = 0.15
#: Speed of the point below the satellite [km/s].
_GROUND_SPEED = 6.75
#: Edges are straight in the UTM zone; in longitude and latitude they may deviate by so much [m].
_STRAIGHT_M = 10.0


@dataclass(frozen=True)
class Scene:
    """One item to be.

    Attributes:
        tile: name of the tile in its place's grid; empty for sensors without one.
        time: when its middle was seen.
        origin: east and north of the upper left corner, in the place's UTM zone [m].
        width: of the finest bands [px].
        height: of the finest bands [px].
        footprint: corners of the data in the UTM zone, a convex polygon [m].
        ring: the same, closed, counterclockwise in longitude and latitude [degree].
        sun_elevation: at the middle [degree].
        sun_azimuth: at the middle [degree].
        off_nadir: of the middle [degree].
    """

    place: Place
    sensor: Sensor
    platform: Platform
    tile: str
    time: datetime
    orbit: Pass
    origin: tuple[float, float]
    width: int
    height: int
    footprint: tuple[tuple[float, float], ...]
    ring: tuple[tuple[float, float], ...]
    sun_elevation: float
    sun_azimuth: float
    off_nadir: float

    @property
    def id(self) -> str:
        """Of the item."""
        where = f"{self.place.name}-{self.tile}" if self.tile else self.place.name
        return f"{self.platform.name}_{self.time:%Y%m%dT%H%M%S}_R{self.orbit.relative_orbit:03d}_{where}"

    @property
    def start(self) -> datetime:
        """When its first line was seen."""
        return self.time - self._half

    @property
    def stop(self) -> datetime:
        """When its last line was seen."""
        return self.time + self._half

    @property
    def _half(self) -> timedelta:
        return timedelta(milliseconds=round(500 * self.sensor.frame_km / _GROUND_SPEED))

    @property
    def is_descending(self) -> bool:
        """Whether the satellite flies south."""
        return math.cos(math.radians(self.orbit.heading_deg)) < 0


def scenes(
    places: Sequence[Place] = catalog.PLACES,
    first: datetime = catalog.FIRST,
    last: datetime = catalog.LAST,
) -> list[Scene]:
    """All scenes of these places and days, in the order of place and time."""
    found: list[Scene] = []
    for place in places:
        taken = [scene for sensor in catalog.SENSORS for scene in _of_sensor(place, sensor, first, last)]
        found += sorted(taken, key=lambda scene: (scene.time, scene.id))
    return found


def world_origin(place: Place) -> tuple[float, float]:
    """East and north of the upper left corner of a place's world [m]."""
    east, north = _middle(place)
    return east - WORLD_M / 2, north + WORLD_M / 2


@functools.cache
def _middle(place: Place) -> tuple[float, float]:
    easts, norths = transform("EPSG:4326", f"EPSG:{place.epsg}", [place.longitude], [place.latitude])
    return round(easts[0] / _SNAP_M) * _SNAP_M, round(norths[0] / _SNAP_M) * _SNAP_M


def _of_sensor(place: Place, sensor: Sensor, first: datetime, last: datetime) -> Iterator[Scene]:
    for platform in sensor.platforms:
        for seen in passes(sensor.orbit, platform.start_day, place.longitude, place.latitude, first, last):
            day = (seen.time.date() - catalog.FIRST.date()).days
            descending = math.cos(math.radians(seen.heading_deg)) < 0
            taken = day % place.every_days == place.first_day
            if descending and taken and abs(seen.cross_track_km) <= sensor.max_cross_track_km:
                yield from _of_pass(place, sensor, platform, seen)


def _of_pass(place: Place, sensor: Sensor, platform: Platform, seen: Pass) -> Iterator[Scene]:
    middle = _middle(place)
    along = _grid_direction(place, seen.heading_deg)
    right = (along[1], -along[0])
    # Everything is scaled down about the middle of the place: the distance of the track too.
    offset = -seen.cross_track_km * 1000 * catalog.SCALE
    center = (middle[0] + right[0] * offset, middle[1] + right[1] * offset)
    half = sensor.orbit.swath_km * 500 * catalog.SCALE
    reach = sensor.frame_km * 500 * catalog.SCALE if not sensor.tiled else WORLD_M
    swath = shapely.Polygon(
        [
            (
                center[0] + right[0] * half * i + along[0] * reach * j,
                center[1] + right[1] * half * i + along[1] * reach * j,
            )
            for i, j in ((-1, -1), (1, -1), (1, 1), (-1, 1))
        ]
    )
    for tile, frame in _tiles(middle, sensor) if sensor.tiled else [("", shapely.box(*_snapped(swath.bounds)))]:
        data = swath.intersection(frame)
        if data.area < _LEAST_SHARE * frame.area:
            continue
        left, bottom, right_edge, top = frame.bounds
        spot = data.centroid
        across = (spot.x - center[0]) * right[0] + (spot.y - center[1]) * right[1]
        ahead = (spot.x - middle[0]) * along[0] + (spot.y - middle[1]) * along[1]
        time = seen.time + timedelta(seconds=ahead / 1000 / catalog.SCALE / _GROUND_SPEED)
        time = time.replace(microsecond=time.microsecond // 1000 * 1000)
        (longitude,), (latitude,) = transform(f"EPSG:{place.epsg}", "EPSG:4326", [spot.x], [spot.y])[:2]
        elevation, azimuth = sun(time, longitude, latitude)
        corners = tuple((float(x), float(y)) for x, y in shapely.normalize(data).exterior.coords[:-1])
        yield Scene(
            place=place,
            sensor=sensor,
            platform=platform,
            tile=tile,
            time=time,
            orbit=seen,
            origin=(left, top),
            width=round((right_edge - left) / sensor.pixel_m),
            height=round((top - bottom) / sensor.pixel_m),
            footprint=corners,
            ring=_ring(corners, place.epsg),
            sun_elevation=round(elevation, 2),
            sun_azimuth=round(azimuth, 2),
            off_nadir=round(off_nadir(across / 1000 / catalog.SCALE, sensor.orbit.altitude_km), 2),
        )


def _grid_direction(place: Place, heading_deg: float) -> tuple[float, float]:
    """East and north components, in the place's UTM zone, of a direction over the ground."""
    angle = math.radians(heading_deg)
    step = 0.01
    longitudes = [place.longitude, place.longitude + step * math.sin(angle) / math.cos(math.radians(place.latitude))]
    latitudes = [place.latitude, place.latitude + step * math.cos(angle)]
    easts, norths = transform("EPSG:4326", f"EPSG:{place.epsg}", longitudes, latitudes)[:2]
    length = math.hypot(easts[1] - easts[0], norths[1] - norths[0])
    return (easts[1] - easts[0]) / length, (norths[1] - norths[0]) / length


def _tiles(middle: tuple[float, float], sensor: Sensor) -> Iterator[tuple[str, shapely.Polygon]]:
    """Two tiles side by side that overlap a little, as the tiles of such grids do."""
    side = sensor.frame_km * 1000 * catalog.SCALE
    for name, shift in (("w", -11_760.0), ("e", 11_760.0)):
        left, bottom = middle[0] + shift - side / 2, middle[1] - side / 2
        yield name, shapely.box(left, bottom, left + side, bottom + side)


def _snapped(bounds: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    left, bottom, right, top = (value / _SNAP_M for value in bounds)
    return (
        math.floor(left) * _SNAP_M,
        math.floor(bottom) * _SNAP_M,
        math.ceil(right) * _SNAP_M,
        math.ceil(top) * _SNAP_M,
    )


def _ring(corners: Sequence[tuple[float, float]], epsg: int) -> tuple[tuple[float, float], ...]:
    """The polygon in longitude and latitude, with as many points as its edges need, counterclockwise and closed."""
    points = list(corners) if shapely.LinearRing(corners).is_ccw else list(corners)[::-1]
    dense: list[tuple[float, float]] = []
    for start, end in zip(points, [*points[1:], points[0]], strict=True):
        count = _pieces(start, end, epsg)
        dense += [
            (start[0] + (end[0] - start[0]) * i / count, start[1] + (end[1] - start[1]) * i / count)
            for i in range(count)
        ]
    longitudes, latitudes = transform(f"EPSG:{epsg}", "EPSG:4326", [x for x, _ in dense], [y for _, y in dense])[:2]
    ring = [(round(x, 6), round(y, 6)) for x, y in zip(longitudes, latitudes, strict=True)]
    return (*ring, ring[0])


def _pieces(start: tuple[float, float], end: tuple[float, float], epsg: int) -> int:
    """Into how many pieces an edge must be cut; the deviation falls with the square of their number."""
    middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
    code = f"EPSG:{epsg}"
    longitudes, latitudes = transform(code, "EPSG:4326", [start[0], end[0]], [start[1], end[1]])[:2]
    straight = transform("EPSG:4326", code, [sum(longitudes) / 2], [sum(latitudes) / 2])
    deviation = math.hypot(straight[0][0] - middle[0], straight[1][0] - middle[1])
    return max(1, math.ceil(math.sqrt(deviation / _STRAIGHT_M)))
