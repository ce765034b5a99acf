"""An ocean coast in the west, wooded hills, a farmed valley with a river and two towns, high mountains in the east."""

from __future__ import annotations

import numpy as np

from almagest.catalogue.sample._noise import Field, blur, draw, hashed, noise, parcels, ridged, step, warp
from almagest.catalogue.sample.worlds._ground import (
    SIDE,
    World,
    away_from,
    cut,
    drainage,
    layered,
    ramp,
    slope,
    streams,
)


def build(seed: int) -> World:
    """The world for a seed."""
    bend, other = noise(SIDE, seed + 1, 420, 30, 1.1), noise(SIDE, seed + 2, 420, 30, 1.1)
    wavy = (9 * bend, 9 * other)
    shore = ramp(97) + 0.26 + 0.055 * noise(SIDE, seed + 3, 700, 60, 1.0) + 0.012 * bend
    rugged = warp(ridged(SIDE, seed + 10, 300, 7, 0.55), 25 * bend, 25 * other)
    # A gap in the hills lets the river through.
    gap = np.exp(-(((ramp(180) - 0.03 + 0.04 * bend) / 0.085) ** 2))
    coastal = step(0.01, 0.13, shore) * step(0.45, 0.24, shore) * (1 - gap)
    andes = step(0.70, 1.25, shore + 0.06 * noise(SIDE, seed + 4, 500, 80, 1.0))
    raw = np.where(shore > 0, 60 + 130 * shore, 700 * shore) + 560 * rugged * coastal + andes * (300 + 2700 * rugged)
    raw = raw + 5 * noise(SIDE, seed + 5, 80, 8, 0.9) + 6 * bend * step(0, 0.05, shore)
    raw = raw - 45 * gap * step(0, 0.1, shore) * step(0.9, 0.5, shore)
    water = drainage(raw)
    height = cut(raw, water, 14 * coastal + 60 * andes, 6 * coastal + 30 * andes)
    height = np.where(shore > 0, np.maximum(height, 3), height)
    streamed = draw(SIDE, streams(water, seed, 120, 0.75), 9)
    steep = slope(height)
    fields = parcels(wavy, seed, 62, 11, 7)
    blocks = parcels(wavy, seed + 20, 110, 26, 17)
    sea = step(0.0015, -0.0015, shore)
    # Distance from the water line, near it [px].
    gradient = np.hypot(*np.gradient(shore))
    strand = shore / (gradient + 2e-4)
    valley = step(0.22, 0.07, steep) * (1 - andes) * step(0.04, 0.10, shore) * (1 - sea)
    farmed = valley * step(-0.9, -0.2, noise(SIDE, seed + 6, 200, 20, 0.9) + 2.2 * step(0.34, 0.55, shore))
    # Plantations: felled blocks stand out from the woods.
    felled = step(0.78, 0.80, blocks.number) * (1 - farmed) * coastal
    town = np.minimum(_town(seed, -0.02, -0.05) + _town(seed + 30, 0.34, 0.36) + _town(seed + 60, -0.27, 0.16), 1)
    woods = noise(SIDE, seed + 7, 160, 4, 0.8)
    # The rivers proper widen where they meet the sea.
    river = draw(SIDE, streams(water, seed, 2200, 3.0), 9)
    flow = np.maximum(step(-0.7, 0.7, streamed), step(-0.7, 0.7, river + 5 * step(0.04, 0.0, shore)))
    mouth = step(0.0, 1.5, river + 5 * step(0.04, 0.0, shore)) * step(0.03, 0.0, np.abs(shore))
    plume = np.clip(warp(blur(mouth, 13), 14 * bend, 14 * other) * 9, 0, 1)
    surf = step(-4.5, -1.5, strand) * step(0.2, 0.9, noise(SIDE, seed + 8, 20, 2, 0.4) + 0.5 * bend) * sea
    bloom = step(0.2, 2.2, warp(noise(SIDE, seed + 13, 300, 10, 1.0), 30 * bend, 30 * other) + 0.8)
    shares = layered(
        ("grass", 1.0),
        ("soil", step(0.2, 1.6, noise(SIDE, seed + 9, 200, 4, 0.7)) * 0.45),
        ("forest", step(-0.4, 0.5, woods + 2.2 * coastal + 1.2 * andes - 0.2)),
        ("soil", felled * 0.75),
        ("crop", farmed * step(-0.1, 0.8, fields.edge)),
        ("pale_rock", step(1250, 1600, height + 90 * bend) * 0.9),
        ("urban", town * 0.85 * step(0.3, 0.15, steep)),
        ("forest", step(-3.0, -1.2, streamed + 0.5 * woods) * valley * 0.7),
        ("sand", step(4.5, 1.5, strand) * (1 - sea) * 0.8),
        ("turbid_water", flow * step(900, 700, height)),
        ("deep_water", sea),
        ("shallow_water", sea * np.maximum(0.5 * step(-0.045, 0.0, shore), 0.22 * bloom)),
        ("turbid_water", plume * sea * 0.9),
        ("snow", surf * 0.3),
    )
    shade = hashed((fields.number * 65536).astype(np.int32), 9) - 0.5
    texture = 1 + (0.05 * noise(SIDE, seed + 11, 24, 2, 0.3) + 0.22 * shade * farmed) * (1 - sea)
    texture = texture + town * (0.12 * noise(SIDE, seed + 12, 5, 2, 0.0) - 0.18 * _streets(wavy, seed))
    return World(np.maximum(height, 0), shares, texture, fields.number, other)


def _town(seed: int, x: float, y: float) -> Field:
    """How built up it is around a centre, given as shares of half the world."""
    return step(0.15, 0.75, 0.95 + 0.24 * noise(SIDE, seed + 50, 120, 6, 0.8) - 9.0 * away_from(x, y))


def _streets(wavy: tuple[Field, Field], seed: int) -> Field:
    return step(0.7, 0.1, parcels(wavy, seed + 40, 70, 5, 5).edge)
