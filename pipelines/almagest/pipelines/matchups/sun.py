"""Where the sun stands."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from almagest.pipelines.matchups.earth import sidereal_deg

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

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
    return float(_elevation_deg((moment - _J2000).total_seconds() / 86400, lon, lat, math))


def elevations_deg(
    seconds: npt.NDArray[np.int64], lon: npt.NDArray[np.float64], lat: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """The same of many moments, in seconds since 1970, each with a place."""
    import numpy as np

    found: npt.NDArray[np.float64] = _elevation_deg((seconds - _J2000.timestamp()) / 86400, lon, lat, np)
    return found


def _elevation_deg(days: Any, lon: Any, lat: Any, maths: Any) -> Any:
    """Of numbers by `math` or of arrays by `numpy`, which call it all the same."""
    radians, sin, cos = maths.radians, maths.sin, maths.cos
    anomaly = radians(357.529 + 0.98560028 * days)
    ecliptic = radians(280.459 + 0.98564736 * days + 1.915 * sin(anomaly) + 0.020 * sin(2 * anomaly))
    obliquity = radians(23.439 - 0.00000036 * days)
    ascension = maths.atan2(cos(obliquity) * sin(ecliptic), cos(ecliptic))
    declination = maths.asin(sin(obliquity) * sin(ecliptic))
    hour_angle = radians(sidereal_deg(days) + lon) - ascension
    here = radians(lat)
    return maths.degrees(maths.asin(sin(here) * sin(declination) + cos(here) * cos(declination) * cos(hour_angle)))
