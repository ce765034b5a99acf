"""Satellites of our own, and where they pass, by other ways than those that are tested."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from math import degrees, pi, radians, sqrt
from typing import Any

import numpy as np
from sgp4.api import WGS72, Satrec, SatrecArray, jday
from sgp4.exporter import export_tle
from sgp4.propagation import gstime

from support import data

#: The real elements: Landsat 8 and 9 and Sentinel-2A and 2B in January and February of 2022.
REAL = data.DATA / "matchup"
FILES = {
    "landsat-8": "TLE_LS8_2022-001_2022-059.txt",
    "landsat-9": "TLE_LS9_2022-001_2022-059.txt",
    "sentinel-2a": "TLE_S2A_2022-001_2022-059.txt",
    "sentinel-2b": "TLE_S2B_2022-001_2022-059.txt",
}
_EARTH_KM3_S2, _EARTH_KM = 398_600.8, 6378.135
_SGP4_EPOCH = datetime(1949, 12, 31, tzinfo=UTC)
_RADIUS_KM = 6371.0088


def lines(
    number: int,
    epoch: datetime,
    *,
    height_km: float = 700,
    inclination: float = 98.2,
    node: float = 0,
    anomaly: float = 0,
    eccentricity: float = 1e-6,
) -> str:
    """Elements of an orbit, in degrees: where in space its node is, and how far from it the satellite is at first."""
    axis = _EARTH_KM + height_km
    motion = sqrt(_EARTH_KM3_S2 / axis**3) * 60
    model = Satrec()
    model.sgp4init(
        WGS72,
        "i",
        number,
        (epoch - _SGP4_EPOCH) / timedelta(days=1),
        0.0,
        0.0,
        0.0,
        eccentricity,
        0.0,
        radians(inclination),
        radians(anomaly % 360),
        motion,
        radians(node % 360),
    )
    model.classification, model.intldesg, model.ephtype, model.elnum, model.revnum = "U", "24001A", 0, 1, 1
    return "\n".join(export_tle(model))


def falling(number: int, epoch: datetime, height_km: float = 250, drag: str = "99999-2") -> str:
    """Elements of an orbit so low, and with so much drag, that it ends: a day and nine hours later."""
    first, second = lines(number, epoch, height_km=height_km).splitlines()
    first = f"{first[:53]} {drag}{first[61:-1]}"
    total = sum(int(sign) if sign.isdigit() else sign == "-" for sign in first) % 10
    return f"{first}{total}\n{second}"


def over(number: int, moment: datetime, lon: float, **more: Any) -> str:
    """Elements of a satellite that is above the equator at a longitude [degree] then, on its way north."""
    began = sum(jday(moment.year, moment.month, moment.day, moment.hour, moment.minute, moment.second))
    return lines(number, moment, node=lon + degrees(gstime(began)), **more)


def real(platform: str) -> str:
    """All elements of a platform."""
    return (REAL / FILES[platform]).read_text()


def sub_satellite(text: str, seconds: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Longitude and geodetic latitude [rad] below one set of elements at times since 1970: an array of shape (2, n).

    Latitude is found by iteration, sidereal time by what comes with SGP4.
    """
    one, two = [line for line in text.splitlines() if line[:2] in {"1 ", "2 "}][:2]
    begin = jday(1970, 1, 1, 0, 0, 0)
    whole, part = np.full(len(seconds), sum(begin)), seconds / 86400
    errors, positions, _ = SatrecArray([Satrec.twoline2rv(one, two)]).sgp4(whole, part)
    assert not errors.any()
    x, y, z = positions[0].T
    turned = np.array([gstime(moment) for moment in whole + part])
    lon = (np.arctan2(y, x) - turned + pi) % (2 * pi) - pi
    across = np.hypot(x, y)
    major, flat = 6378.137, 1 / 298.257223563
    squared = flat * (2 - flat)
    lat = np.arctan2(z, across)
    for _ in range(20):
        normal = major / np.sqrt(1 - squared * np.sin(lat) ** 2)
        lat = np.arctan2(z + squared * normal * np.sin(lat), across)
    return np.stack([lon, lat])


def haversine_km(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Great circles between longitudes and latitudes [rad]."""
    (lon, lat), (lon_2, lat_2) = one, other
    half = np.sin((lat_2 - lat) / 2) ** 2 + np.cos(lat) * np.cos(lat_2) * np.sin((lon_2 - lon) / 2) ** 2
    return np.asarray(2 * _RADIUS_KM * np.arcsin(np.sqrt(np.minimum(half, 1))))


def near_pairs(
    one: np.ndarray[Any, Any], other: np.ndarray[Any, Any], times: np.ndarray[Any, Any], within_s: float, km: float
) -> np.ndarray[Any, Any]:
    """All pairs of samples that are near each other: columns are the time of one, of the other, and the distance.

    Each sample of one is compared with each of the other that is near in time, and with nothing else in between.

    Args:
        one, other: longitudes and latitudes [rad], as arrays of shape (2, n).
        times: of both, evenly spaced [s].
        within_s: most time between both [s].
        km: most distance.
    """
    step = times[1] - times[0]
    found = []
    for later in range(-int(within_s // step), int(within_s // step) + 1):
        begin, end = max(0, -later), len(times) - max(0, later)
        if begin < end:
            distances = haversine_km(one[:, begin:end], other[:, begin + later : end + later])
            near = np.flatnonzero(distances <= km)
            found.append(np.stack([times[near + begin], times[near + begin + later], distances[near]]))
    return np.concatenate(found, axis=1).T
