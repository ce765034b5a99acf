"""Where a sun-synchronous satellite passes, and where the sun stands: enough of both to date the sample truthfully.

The orbits are circular and repeat exactly: ``revs`` revolutions in ``cycle_days`` days, the descending node always at
the same mean local solar time. Angles are degrees, distances kilometres on a sphere of 6371 km.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

EARTH_RADIUS_KM = 6371.0
#: A day on which every orbit begins a cycle; all counting starts here.
EPOCH = datetime(2025, 1, 1, tzinfo=UTC)
_J2000 = datetime(2000, 1, 1, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Orbit:
    """A repeating sun-synchronous orbit.

    Attributes:
        cycle_days: days after which the ground tracks repeat [d].
        revs: revolutions in a cycle.
        inclination_deg: above 90, as sun-synchronous orbits are [degree].
        altitude_km: above the sphere [km].
        local_time_h: mean local solar time of the descending node [h].
        swath_km: full width of what the instrument sees [km].
        first_node_h: time of the first descending node after a cycle begins [h].
    """

    cycle_days: int
    revs: int
    inclination_deg: float
    altitude_km: float
    local_time_h: float
    swath_km: float
    first_node_h: float

    @property
    def period_s(self) -> float:
        """Time between two descending nodes [s]."""
        return self.cycle_days * 86400.0 / self.revs


@dataclass(frozen=True)
class Pass:
    """The moment at which a satellite is nearest to a place.

    Attributes:
        time: of the closest approach.
        relative_orbit: 1 to ``revs``.
        absolute_orbit: counted from the first cycle after the platform's start.
        cross_track_km: of the place from the ground track, positive to the right of the flight [km].
        heading_deg: direction of flight over the ground, clockwise from north [degree].
    """

    time: datetime
    relative_orbit: int
    absolute_orbit: int
    cross_track_km: float
    heading_deg: float


def passes(
    orbit: Orbit, start_day: int, longitude: float, latitude: float, first: datetime, last: datetime
) -> Iterator[Pass]:
    """All descending passes that have a place inside the swath, in the order of time.

    Args:
        orbit: the platform's orbit.
        start_day: by how many days the platform is behind the first one on the same orbit [d].
        longitude: of the place [degree].
        latitude: of the place; beyond the orbit's reach there are no passes [degree].
        first: from when.
        last: until when, exclusive.
    """
    start = EPOCH + timedelta(days=start_day, hours=orbit.first_node_h)
    period = timedelta(seconds=orbit.period_s)
    number = math.floor((first - start) / period) - 1
    while (node := start + number * period) < last + period:
        near = _closest(orbit, node, longitude, latitude)
        if near is not None:
            seconds, cross, heading = near
            time = node + timedelta(seconds=seconds)
            if abs(cross) <= orbit.swath_km / 2 and first <= time < last:
                yield Pass(time, number % orbit.revs + 1, number + 10 * orbit.revs, cross, heading)
        number += 1


def _closest(orbit: Orbit, node: datetime, longitude: float, latitude: float) -> tuple[float, float, float] | None:
    """Seconds from the node to the closest approach, cross-track distance [km], heading [degree]; None if far off."""
    inclination = math.radians(orbit.inclination_deg)
    reach = math.sin(math.radians(latitude)) / math.sin(inclination)
    if abs(reach) >= 1:
        return None
    hour = node.hour + node.minute / 60 + node.second / 3600 + node.microsecond / 3.6e9
    node_longitude = 15 * (orbit.local_time_h - hour)
    angle = -math.asin(reach)
    here = _vector(longitude, latitude)
    for _ in range(4):
        at = _sub_satellite(orbit, inclination, node_longitude, angle)
        ahead = _sub_satellite(orbit, inclination, node_longitude, angle + 1e-4)
        position, direction = _vector(*at), _tangent(_vector(*at), _vector(*ahead))
        along = math.atan2(_dot(here, direction), _dot(here, position))
        if abs(along) > 0.3:
            return None
        angle += along
    right = _cross(direction, position)
    cross = math.asin(max(-1.0, min(1.0, _dot(here, right)))) * EARTH_RADIUS_KM
    return angle / math.tau * orbit.period_s, cross, bearing(at, ahead)


def _sub_satellite(orbit: Orbit, inclination: float, node_longitude: float, angle: float) -> tuple[float, float]:
    """Longitude and latitude below the satellite, ``angle`` radians after the descending node."""
    latitude = math.asin(-math.sin(inclination) * math.sin(angle))
    east = math.atan2(math.cos(inclination) * math.sin(angle), math.cos(angle))
    # The plane of a sun-synchronous orbit turns with the mean sun: the earth turns below it once in 24 h.
    turned = 2 * math.pi * (angle / math.tau * orbit.period_s) / 86400
    return (node_longitude + math.degrees(east - turned)), math.degrees(latitude)


def bearing(here: tuple[float, float], there: tuple[float, float]) -> float:
    """Direction from one (longitude, latitude) to another, clockwise from north, 0 to 360 [degree]."""
    lon1, lat1, lon2, lat2 = (math.radians(value) for value in (*here, *there))
    y = math.sin(lon2 - lon1) * math.cos(lat2)
    x = math.cos(lat1) * math.sin(lat2) - math.sin(lat1) * math.cos(lat2) * math.cos(lon2 - lon1)
    return math.degrees(math.atan2(y, x)) % 360


def sun(time: datetime, longitude: float, latitude: float) -> tuple[float, float]:
    """Elevation and azimuth of the sun, without refraction, good to 0.02 degree in this century [degree].

    After the low-precision formulae of the Astronomical Almanac (page C5).
    """
    days = (time - _J2000) / timedelta(days=1)
    mean = math.radians((280.460 + 0.9856474 * days) % 360)
    anomaly = math.radians((357.528 + 0.9856003 * days) % 360)
    ecliptic = mean + math.radians(1.915 * math.sin(anomaly) + 0.020 * math.sin(2 * anomaly))
    tilt = math.radians(23.439 - 4e-7 * days)
    declination = math.asin(math.sin(tilt) * math.sin(ecliptic))
    ascension = math.atan2(math.cos(tilt) * math.sin(ecliptic), math.cos(ecliptic))
    sidereal = math.radians((280.46062 + 360.98564737 * days + longitude) % 360)
    hour_angle = sidereal - ascension
    phi = math.radians(latitude)
    up = math.sin(phi) * math.sin(declination) + math.cos(phi) * math.cos(declination) * math.cos(hour_angle)
    azimuth = math.atan2(
        -math.cos(declination) * math.sin(hour_angle),
        math.sin(declination) * math.cos(phi) - math.cos(declination) * math.cos(hour_angle) * math.sin(phi),
    )
    return math.degrees(math.asin(up)), math.degrees(azimuth) % 360


def off_nadir(cross_track_km: float, altitude_km: float) -> float:
    """Angle at the satellite between the nadir and a point so far from the ground track [degree]."""
    arc = abs(cross_track_km) / EARTH_RADIUS_KM
    reach = EARTH_RADIUS_KM + altitude_km
    return math.degrees(math.atan2(EARTH_RADIUS_KM * math.sin(arc), reach - EARTH_RADIUS_KM * math.cos(arc)))


_Vector = tuple[float, float, float]


def _vector(longitude: float, latitude: float) -> _Vector:
    lam, phi = math.radians(longitude), math.radians(latitude)
    return math.cos(phi) * math.cos(lam), math.cos(phi) * math.sin(lam), math.sin(phi)


def _dot(a: _Vector, b: _Vector) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _cross(a: _Vector, b: _Vector) -> _Vector:
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


def _tangent(a: _Vector, b: _Vector) -> _Vector:
    """Unit vector at ``a`` towards ``b``."""
    part = _dot(a, b)
    raw = (b[0] - part * a[0], b[1] - part * a[1], b[2] - part * a[2])
    length = math.sqrt(_dot(raw, raw))
    return raw[0] / length, raw[1] / length, raw[2] / length
