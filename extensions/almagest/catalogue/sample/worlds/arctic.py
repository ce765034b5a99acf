"""Ice caps between fjords: glaciers, bare rock, a little tundra, sea ice that opens as the summer goes on."""

from __future__ import annotations

import numpy as np

from almagest.catalogue.sample._noise import blur, draw, noise, ridged, step, warp
from almagest.catalogue.sample.worlds._ground import SIDE, World, cut, drainage, layered, slope, streams


def build(seed: int) -> World:
    """The world for a seed."""
    bend, other = noise(SIDE, seed + 1, 500, 40, 1.2), noise(SIDE, seed + 2, 500, 40, 1.2)
    ranges = warp(ridged(SIDE, seed + 10, 560, 7, 0.55), 40 * bend, 40 * other)
    broad = noise(SIDE, seed + 3, 1400, 260, 1.0)
    # Fjords: deep troughs along the zero lines of a slow noise.
    trough = np.abs(warp(noise(SIDE, seed + 5, 1200, 300, 1.1), 26 * bend, 26 * other))
    raw = 150 + 330 * broad + 1750 * ranges + 40 * noise(SIDE, seed + 4, 120, 2, 0.9)
    raw = raw - 1250 * step(0.30, 0.02, trough)
    water = drainage(raw)
    height = cut(raw, water, 44, 30)
    smooth = blur(height, 16)
    steep = slope(height)
    cap = step(760, 940, smooth + 60 * bend)
    # Glaciers: ice that fills the larger valleys below the caps.
    valley = draw(SIDE, streams(water, seed, 60, 3.4), 5)
    tongue = step(-3, 1.5, valley + 0.6 * other) * step(420, 700, smooth)
    ice = np.maximum(cap * step(0.75, 0.45, steep), tongue)
    filled = np.maximum(blur(height, 4), height - 90)
    surface = height + ice * 0.85 * (filled - height)
    sea = step(4, -4, surface)
    low = step(420, 120, height + 50 * other) * step(0.5, 0.22, steep)
    fans = step(-4.5, 0, valley) * step(300, 40, height)
    detail = noise(SIDE, seed + 8, 36, 2, 0.4)
    shares = layered(
        ("pale_rock", 1.0),
        ("dark_rock", step(-0.6, 1.0, noise(SIDE, seed + 6, 260, 6, 0.9) + 0.5 * detail)),
        ("tundra", low * step(-1.2, 0.8, noise(SIDE, seed + 7, 160, 3, 0.7)) * 0.9),
        ("mud", fans * 0.6),
        ("ice", ice),
        ("turbid_water", step(-0.4, 0.6, valley - 1.4) * step(330, 250, smooth)),
        ("sea", sea),
        ("shallow_water", sea * step(-40, 0, height) * 0.5),
    )
    texture = 1 + 0.05 * detail * (1 - 0.8 * ice) * (1 - sea)
    chill = noise(SIDE, seed + 9, 260, 3, 0.8)
    return World(np.maximum(surface, 0), shares, texture, 0 * chill, chill)
