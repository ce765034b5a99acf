"""A sand plain with dunes, dark hills and wadis, and farms under centre pivots of 0.8 km."""

from __future__ import annotations

import math

import numpy as np

from almagest.catalogue.sample._noise import Field, Stroke, draw, noise, ridged, rng, step, warp
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
    bend, other = noise(SIDE, seed + 1, 420, 40, 1.1), noise(SIDE, seed + 2, 420, 40, 1.1)
    plain = noise(SIDE, seed + 3, 1400, 300, 1.2)
    rugged = warp(ridged(SIDE, seed + 10, 420, 6, 0.55), 45 * bend, 45 * other)
    massif = noise(SIDE, seed + 14, 700, 120, 1.1)
    hills = step(0.35, 1.15, massif + 0.9 * rugged - 0.9 * step(0.55, 0.2, away_from(0.05, 0.05)))
    erg = step(0.1, 0.8, noise(SIDE, seed + 4, 1300, 380, 1.0) - 0.9 * ramp(70) - 0.2) * (1 - hills)
    crests = noise(SIDE, seed + 5, 44, 8, 0.5, stretch=6, towards_deg=352)
    barchans = noise(SIDE, seed + 15, 14, 4, 0.4, stretch=0.6, towards_deg=352)
    dunes = (np.maximum(crests + 0.3 * other, -0.4) + 0.35 * np.maximum(barchans, 0)) * erg
    raw = 300 + 60 * plain + 420 * hills * (0.35 + rugged) + 5 * bend
    water = drainage(raw)
    height = cut(raw, water, 9 * hills, 7) + 24 * dunes
    wadis = step(-1.4, 1.2, draw(SIDE, streams(water, seed, 60, 0.9), 3) + 0.5 * other) * (1 - erg)
    farmland = noise(SIDE, seed + 7, 420, 120, 0.8) + 1.0 - 2.3 * away_from(0.06, 0.02)
    farms = step(0.2, 0.5, farmland) * step(0.25, 0.08, hills) * step(0.5, 0.1, erg)
    crop, phase = _pivots(seed, farms)
    roads = step(-0.5, 0.5, draw(SIDE, _roads(seed), 1.0))
    blob = noise(SIDE, seed + 8, 40, 5, 0.6)
    town = step(0.2, 1.2, blob + 2.0 - 26 * away_from(-0.16, 0.12)) * step(0.3, 0.1, hills)
    fine = noise(SIDE, seed + 13, 50, 2, 0.5)
    shares = layered(
        ("sand", 1.0),
        ("red_sand", step(-1.0, 1.6, noise(SIDE, seed + 9, 700, 16, 1.0) + 0.5 * erg + 0.25 * fine) * 0.75),
        ("pale_rock", step(0.6, 2.0, noise(SIDE, seed + 12, 240, 4, 0.8)) * (1 - erg) * 0.5),
        ("salt", wadis * 0.4),
        ("dark_rock", hills * step(-1.6, 0.6, noise(SIDE, seed + 11, 120, 3, 0.7) + 2 * slope(height)) * 0.9),
        ("dark_rock", roads * 0.55),
        ("urban", town * 0.8),
        ("crop", crop),
    )
    texture = 1 + 0.04 * fine + 0.05 * dunes + 0.1 * town * noise(SIDE, seed + 16, 4, 2, 0.0)
    return World(height, shares, texture, phase, bend)


def _pivots(seed: int, farms: Field) -> tuple[Field, Field]:
    """Cover and phase of circular fields on a skewed grid, where farms are."""
    cover, phase = np.zeros((SIDE, SIDE), np.float32), np.zeros((SIDE, SIDE), np.float32)
    random = rng(seed, 77)
    pitch, tilt = 11.6, math.radians(8)
    reach = int(SIDE / pitch)
    for i in range(-reach, reach):
        for j in range(-reach, reach):
            u, v = (i + 0.5 * (j % 2)) * pitch, j * pitch * 0.87
            x = SIDE / 2 + u * math.cos(tilt) - v * math.sin(tilt)
            y = SIDE / 2 + u * math.sin(tilt) + v * math.cos(tilt)
            chance, radius, start, kind, turn = random.random(5)
            if not (8 < x < SIDE - 8 and 8 < y < SIDE - 8) or farms[int(y), int(x)] < 0.2 + 0.6 * chance:
                continue
            left, top = int(x) - 7, int(y) - 7
            yy, xx = np.ogrid[top : top + 15, left : left + 15]
            disc = np.clip(4.6 + 0.9 * radius - np.hypot(xx - x, yy - y) + 0.5, 0, 1)
            # A third of them carry two crops, split along a spoke.
            second = (kind < 0.33) & ((xx - x) * math.cos(turn * 6.3) + (yy - y) * math.sin(turn * 6.3) > 0)
            sown = phase[top : top + 15, left : left + 15]
            sown[...] = np.where(disc > 0, np.where(second, (start + 0.4) % 1, start), sown)
            spot = cover[top : top + 15, left : left + 15]
            spot[...] = np.maximum(spot, disc)
    return cover, phase


def _roads(seed: int) -> list[Stroke]:
    random = rng(seed, 78)
    lines: list[Stroke] = []
    for angle in (0.32, 1.75):
        x, y = SIDE / 2 - 720 * math.cos(angle), SIDE / 2 - 720 * math.sin(angle) + 40
        for _ in range(14):
            angle += 0.1 * float(random.standard_normal())
            nx, ny = x + 110 * math.cos(angle), y + 110 * math.sin(angle)
            lines.append((x, y, 0.9, nx, ny, 0.9))
            x, y = nx, ny
    return lines
