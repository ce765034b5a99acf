"""Clouds: one sky for each place and day, which drifts with the wind, so that each acquisition meets another one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt

from almagest.catalogue.sample._noise import Field, noise, rng, step, warp
from almagest.catalogue.sample.worlds._ground import PIXEL_M, SIDE

Index = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Sky:
    """What hangs over a window of the world.

    Attributes:
        opacity: of clouds, 0 to 1: how much of the ground they hide.
        shade: brightness of the clouds, around 1.
        shadow: how much of the direct light they keep from the ground, 0 to 1.
    """

    opacity: Field
    shade: Field
    shadow: Field


#: Regimes: name, how often among days that are not clear, how high the clouds are [m].
_REGIMES = (("cumulus", 0.38, 1600.0), ("streets", 0.2, 1400.0), ("broken", 0.27, 2200.0), ("cirrus", 0.15, 9000.0))


class Weather:
    """The weather of a place."""

    def __init__(self, seed: int, clear: float) -> None:
        self._seed, self._clear = seed, clear
        self._broad = noise(SIDE, seed + 901, 900, 180, 1.0)
        self._puffs = noise(SIDE, seed + 902, 75, 2.2, 0.95)
        bend, other = (30 * noise(SIDE, seed + number, 320, 30, 1.1) for number in (906, 907))
        self._sheets = warp(noise(SIDE, seed + 903, 420, 2.5, 1.0), bend, other)
        self._wisps = noise(SIDE, seed + 904, 260, 3, 0.9, stretch=9, towards_deg=70)

    def over(self, time: datetime, window: tuple[int, int, int, int], sun_elevation: float, sun_azimuth: float) -> Sky:
        """The sky over a window of the world.

        Args:
            time: when.
            window: first row, last row, first column, last column, the last ones exclusive [px].
            sun_elevation: where the sun stands [degree].
            sun_azimuth: where the sun stands, clockwise from the grid's north [degree].
        """
        random = rng(self._seed, 905, time.toordinal())
        luck, kind, amount, east, south, bearing, speed = random.random(7)
        heading, pace = bearing * math.tau, (3 + 9 * speed) * 60 / PIXEL_M
        minutes = time.hour * 60 + time.minute + time.second / 60
        shift = (
            int(south * SIDE - pace * minutes * math.cos(heading)),
            int(east * SIDE + pace * minutes * math.sin(heading)),
        )
        regime, height = "clear", 1500.0
        if luck > self._clear:
            edges = np.cumsum([share for _, share, _ in _REGIMES])
            regime, _, height = _REGIMES[min(int(np.searchsorted(edges, kind)), len(_REGIMES) - 1)]

        def density(ahead_m: float) -> Field:
            """Of the clouds seen so far towards the sun from each pixel [m]; above 0 there are some."""
            dy = -ahead_m / PIXEL_M * math.cos(math.radians(sun_azimuth))
            dx = ahead_m / PIXEL_M * math.sin(math.radians(sun_azimuth))
            rows = (np.arange(window[0], window[1]) + shift[0] + round(dy)) % SIDE
            columns = (np.arange(window[2], window[3]) + shift[1] + round(dx)) % SIDE
            return self._density(regime, float(amount), rows[:, None], columns[None, :])

        here = density(0)
        opacity = _opacity(regime, here)
        lit = here - density(3 * PIXEL_M)
        shade = np.clip(0.90 + 0.28 * lit, 0.55, 1.06)
        shadow = _opacity(regime, density(height / math.tan(math.radians(max(sun_elevation, 5)))))
        return Sky(opacity, shade, shadow * (0.25 if regime == "cirrus" else 0.85))

    def _density(self, regime: str, amount: float, rows: Index, columns: Index) -> Field:
        broad, puffs, wisps = (field[rows, columns] for field in (self._broad, self._puffs, self._wisps))
        density: Field
        if regime == "cumulus":
            density = puffs + 0.55 * broad - (1.7 - 0.8 * amount)
        elif regime == "streets":
            density = 0.9 * puffs + 0.5 * wisps + 0.5 * broad - 1.5 + 0.7 * amount
        elif regime == "broken":
            density = 0.85 * self._sheets[rows, columns] + 0.3 * puffs + 0.5 * broad - 1.0 + 1.3 * amount
        elif regime == "cirrus":
            density = 0.8 * wisps + 0.7 * broad - 0.6 + 0.8 * amount
        else:
            density = puffs + 0.6 * broad - 3.6
        return density


def _opacity(regime: str, density: Field) -> Field:
    if regime == "cirrus":
        return 0.55 * step(0.0, 2.4, density)
    return step(-0.05, 0.75, density)
