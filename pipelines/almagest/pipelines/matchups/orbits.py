"""Where satellites are: above which ground, by the elements of their orbits (SGP4).

Ground is a unit vector: the normal of the ellipsoid (WGS 84) below the satellite, in a frame that turns with the Earth,
so that its latitude is the geodetic one. Time is seconds since 1970, UTC, which is taken for UT1: these differ by less
than a second, in which the ground at the equator moves by 0.46 km.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import inf, radians, sqrt
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from almagest.core.jobs import ProcessFailedError
from almagest.pipelines.matchups.earth import ECCENTRICITY_2, FLATTENING, RATE_DEG, SEMI_MAJOR_KM, sidereal_deg
from almagest.pipelines.matchups.elements import Elements
from almagest.pipelines.matchups.stretches import Stretch

Floats = npt.NDArray[np.float64]
Seconds = npt.NDArray[np.int64]

#: Mean radius of the Earth [km]: of the sphere on which distances are great circles.
RADIUS_KM = 6371.0088
DAY_S = 86400

#: One set of elements counts from so long before a multiple of this as behind it [s], so that where elements change the
#: ground below jumps from one such step to another.
STEP_S = 27

_B_KM = SEMI_MAJOR_KM * (1 - FLATTENING)
_J2000_S = 946_728_000
_JULIAN_1970 = 2_440_587.5
_EARTH_RATE = radians(RATE_DEG) / DAY_S
#: What geodetic latitude, and an orbit that is no ellipse, may add to the speed of an ellipse over a sphere.
_FASTER = 1.02


class OrbitError(ProcessFailedError):
    """Elements from which no place follows; says whose, which, and why."""


@dataclass(frozen=True, eq=False)
class Orbit:
    """The orbit of one platform, by one set of elements or many: at each moment by the one nearest in epoch.

    Attributes:
        platform: whose it is.
        elements: in the order of epochs, each epoch once.
        models: of SGP4, one for each.
        epochs: of each [s].
        needed: from when to when it has to be somewhere [s].
    """

    platform: str
    elements: Sequence[Elements]
    models: Sequence[Any]
    epochs: Floats
    needed: tuple[float, float] = (-inf, inf)

    @classmethod
    def of(cls, platform: str, elements: Sequence[Elements]) -> Self:
        """An orbit of at least one set of elements, in any order; of two with one epoch the latter counts.

        Raises:
            OrbitError: there is no such orbit.
        """
        from sgp4.api import SGP4_ERRORS, WGS72, Satrec

        by_epoch = {each.epoch: each for each in elements}
        in_time = [by_epoch[epoch] for epoch in sorted(by_epoch)]
        models = []
        for each in in_time:
            model = Satrec.twoline2rv(each.first, each.second, WGS72)
            if model.error:
                raise OrbitError(f"{platform}, line {each.line}: {SGP4_ERRORS[model.error]}")
            models.append(model)
        return cls(platform, in_time, models, np.array([each.epoch.timestamp() for each in in_time]))

    @property
    def satellite(self) -> str:
        """Its number in the catalogue of satellites."""
        return self.elements[0].satellite

    @property
    def speed_km_s(self) -> float:
        """A bound of how fast the ground below it changes: at the perigee, against the Earth that turns."""
        return _FASTER * RADIUS_KM * max(map(_rate, self.models))

    def ground(self, seconds: Seconds) -> Floats:
        """What is below it, as an array of shape (number of seconds, 3); not a number where it is nowhere.

        Raises:
            OrbitError: it is nowhere when it is needed: it has come down, or its elements are too far away in time.
        """
        from sgp4.api import SGP4_ERRORS

        positions = np.empty((len(seconds), 3))
        days, rest = np.divmod(seconds, DAY_S)
        begin, end = self.needed
        which = self._nearest(seconds)
        for number in np.unique(which):
            chosen = which == number
            errors, places, _ = self.models[number].sgp4_array(_JULIAN_1970 + days[chosen], rest[chosen] / DAY_S)
            lost = (errors != 0) | ~np.isfinite(places).all(axis=1)
            missed = lost & (begin <= seconds[chosen]) & (seconds[chosen] <= end)
            if missed.any():
                at = int(np.flatnonzero(missed)[0])
                moment = datetime.fromtimestamp(int(seconds[chosen][at]), UTC)
                where = f"{self.platform}, line {self.elements[number].line}"
                reason = SGP4_ERRORS.get(int(errors[at]), "its place is not a number")
                raise OrbitError(f"{where}: these elements lead nowhere at {moment:%Y-%m-%dT%H:%M:%SZ}: {reason}")
            positions[chosen] = np.where(lost[:, None], np.nan, places)
        return _normals(_turned(positions, seconds))

    def used(self, seconds: Seconds) -> list[datetime]:
        """Epochs of the elements that tell where it is at some moments."""
        return [self.elements[number].epoch for number in np.unique(self._nearest(seconds))]

    def age(self, interval: Stretch) -> timedelta:
        """The most time between a moment of an interval with both ends and the epoch of the elements used for it."""
        assert interval.begin is not None
        assert interval.end is not None
        begin, end = interval.begin.timestamp(), interval.end.timestamp()
        middles = (self.epochs[1:] + self.epochs[:-1]) / 2
        moments = np.array([begin, end, *middles[(begin < middles) & (middles < end)]])
        return timedelta(seconds=float(np.abs(moments - self.epochs[self._nearest(moments)]).max()))

    def _nearest(self, seconds: Seconds | Floats) -> npt.NDArray[np.int64]:
        steps = (seconds + STEP_S // 2) // STEP_S * STEP_S
        return np.searchsorted((self.epochs[1:] + self.epochs[:-1]) / 2, steps)


def lon_lat(ground: Floats) -> tuple[Floats, Floats]:
    """Longitude from -180 to 180, and geodetic latitude [degree]."""
    return (
        np.degrees(np.arctan2(ground[..., 1], ground[..., 0])),
        np.degrees(np.arcsin(np.clip(ground[..., 2], -1.0, 1.0))),
    )


def distance_km(one: Floats, other: Floats) -> Floats:
    """Great circles between places, each by its geodetic longitude and latitude on a sphere of the mean radius [km]."""
    chords = np.sqrt(((one - other) ** 2).sum(-1))
    found: Floats = 2 * RADIUS_KM * np.arcsin(np.minimum(chords / 2, 1.0))
    return found


def sidereal(seconds: Seconds | Floats) -> Floats:
    """Mean sidereal time of Greenwich, which the frame of SGP4 goes by [rad]."""
    angle: Floats = np.radians(sidereal_deg((seconds - _J2000_S) / DAY_S))
    return angle


def _rate(model: Any) -> float:
    """How fast the direction to a satellite turns at most, seen from the ground [rad/s]."""
    mean, eccentricity = float(model.no_kozai) / 60, float(model.ecco)
    return mean * sqrt(1 - eccentricity**2) / (1 - eccentricity) ** 2 + _EARTH_RATE


def _turned(positions: Floats, seconds: Seconds) -> Floats:
    """From the frame of SGP4 (TEME) into that of the Earth, but for the motion of its poles, which is metres."""
    angle = sidereal(seconds)
    cos, sin = np.cos(angle), np.sin(angle)
    x, y, z = positions.T
    return np.stack([cos * x + sin * y, cos * y - sin * x, z], axis=-1)


def _normals(positions: Floats) -> Floats:
    """The normals of the ellipsoid below some places [km], by Bowring's formula, which leaves less than a metre."""
    x, y, z = positions.T
    across = np.hypot(x, y)
    reduced = np.arctan2(SEMI_MAJOR_KM * z, _B_KM * across)
    lat = np.arctan2(
        z + ECCENTRICITY_2 / (1 - ECCENTRICITY_2) * _B_KM * np.sin(reduced) ** 3,
        across - ECCENTRICITY_2 * SEMI_MAJOR_KM * np.cos(reduced) ** 3,
    )
    lon = np.arctan2(y, x)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)
