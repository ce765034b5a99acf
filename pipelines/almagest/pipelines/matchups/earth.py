"""The Earth, as all of this takes it: its figure, and how it turns."""

from __future__ import annotations

from typing import Any

#: WGS 84: semi-major axis [km], flattening.
SEMI_MAJOR_KM = 6378.137
FLATTENING = 1 / 298.257223563
#: Square of the eccentricity.
ECCENTRICITY_2 = FLATTENING * (2 - FLATTENING)
#: How fast it turns against the stars [degree/day].
RATE_DEG = 360.98564736629


def sidereal_deg(days: Any) -> Any:
    """Mean sidereal time of Greenwich (IAU 1982) [degree], of a number or an array.

    Args:
        days: since the noon with which 2000 began (J2000), UT1.
    """
    return (280.46061837 + RATE_DEG * days + 0.000387933 * (days / 36525) ** 2) % 360
