"""What all worlds are made of."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from almagest.catalogue.sample._noise import Drainage, Field, Stroke, drain, incision, rivers

#: Side of a pixel [m] and of a world [px].
PIXEL_M = 80.0
SIDE = 1200
#: Side of the cells on which water runs [px].
CELL = 5


@dataclass(frozen=True)
class World:
    """The ground of a place; arrays are (SIDE, SIDE), from north to south.

    Attributes:
        height: of what one sees; the surface of the sea is at 0 [m].
        shares: of materials that stay, and of ``crop`` (which has seasons) and ``sea`` (which may freeze); sum 1.
        texture: brightness around 1, of detail that has no material of its own.
        phase: of a crop, 0 to 1: when in the year it is green.
        chill: noise of deviation 1 that makes snow lines and ice edges irregular.
    """

    height: Field
    shares: dict[str, Field]
    texture: Field
    phase: Field
    chill: Field


def layered(*layers: tuple[str, Field | float]) -> dict[str, Field]:
    """Shares of materials that lie one over the other: from the bottom up, each with how much of the rest it hides."""
    shares: dict[str, Field] = {}
    for name, cover in layers:
        opaque = np.clip(cover, 0, 1) if isinstance(cover, np.ndarray) else np.full((SIDE, SIDE), cover, np.float32)
        clear = 1 - opaque
        for other in shares.values():
            other *= clear
        shares[name] = shares[name] + opaque if name in shares else opaque
    return shares


def ramp(towards_deg: float) -> Field:
    """From -1 to 1 across the world, rising in a direction clockwise from north."""
    axis = np.linspace(-1, 1, SIDE, dtype=np.float32)
    angle = math.radians(towards_deg)
    rising: Field = axis[None, :] * math.sin(angle) - axis[:, None] * math.cos(angle)
    return rising


def away_from(x: float, y: float) -> Field:
    """Distance from a point, both as shares of half the world, east and south of its middle."""
    axis = np.linspace(-1, 1, SIDE, dtype=np.float32)
    distance: Field = np.hypot(axis[None, :] - x, axis[:, None] - y)
    return distance


def slope(height: Field) -> Field:
    """Tangent of the steepest slope."""
    gy, gx = np.gradient(height, PIXEL_M)
    steepness: Field = np.hypot(gx, gy)
    return steepness


def drainage(height: Field) -> Drainage:
    """Of a terrain, on cells of :data:`CELL` pixels."""
    return drain(height.reshape(SIDE // CELL, CELL, SIDE // CELL, CELL).mean((1, 3)))


def cut(height: Field, water: Drainage, rills_m: Field | float, valleys_m: Field | float) -> Field:
    """The terrain with valleys: metres of depth for each doubling of the area that runs through."""
    fine, broad = incision(water, SIDE)
    return height - rills_m * fine - valleys_m * broad


def streams(water: Drainage, seed: int, least: float, width: float) -> list[Stroke]:
    """Of all that drain at least so many cells; width in pixels at that size."""
    return rivers(water, SIDE // CELL, CELL, least, width, seed)
