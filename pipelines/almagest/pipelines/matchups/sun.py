"""Where the sun stands."""

from __future__ import annotations

from datetime import UTC, datetime
from math import asin, atan2, cos, degrees, radians, sin

_J2000 = datetime(2000, 1, 1, 12, tzinfo=UTC)


def elevation_deg(moment: datetime, lon: float, lat: float) -> float:
    """How high the sun stands above the horizon, without refraction [degree]; below it, less than 0.

    To about a hundredth of a degree between 1800 and 2200: *Approximate Solar Coordinates* of the US Naval Observatory
    (as in the Astronomical Almanac), and the mean sidereal time of the IAU (1982).

    Args:
        moment: with a time zone.
        lon: longitude [degree].
        lat: geodetic latitude [degree].
    """
    days = (moment - _J2000).total_seconds() / 86400
    anomaly = radians(357.529 + 0.98560028 * days)
    ecliptic = radians(280.459 + 0.98564736 * days + 1.915 * sin(anomaly) + 0.020 * sin(2 * anomaly))
    obliquity = radians(23.439 - 0.00000036 * days)
    ascension = atan2(cos(obliquity) * sin(ecliptic), cos(ecliptic))
    declination = asin(sin(obliquity) * sin(ecliptic))
    hour_angle = radians((280.46061837 + 360.98564736629 * days + lon) % 360) - ascension
    here = radians(lat)
    return degrees(asin(sin(here) * sin(declination) + cos(here) * cos(declination) * cos(hour_angle)))
