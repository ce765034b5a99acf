"""A tropical river that splits into tidal channels: mangroves, salt flats, savanna, and mud in a shallow sea."""

from __future__ import annotations

import math

import numpy as np

from almagest.catalogue.sample._noise import Field, Stroke, blur, draw, noise, rng, step, warp
from almagest.catalogue.sample.worlds._ground import SIDE, World, drainage, layered, ramp, streams


def build(seed: int) -> World:
    """The world for a seed."""
    bend, other = noise(SIDE, seed + 1, 420, 30, 1.1), noise(SIDE, seed + 2, 420, 30, 1.1)
    relief = noise(SIDE, seed + 4, 500, 12, 1.0)
    shore = 0.06 - ramp(6) + 0.035 * noise(SIDE, seed + 3, 500, 90, 1.0) + 0.008 * bend
    # The river has built its mouths out into the sea.
    shore = shore + 0.16 * np.exp(-((ramp(90) / 0.38) ** 2))
    channels = draw(SIDE, _distributaries(seed, shore), 18)
    creeks = draw(SIDE, _creeks(seed, shore, channels), 7)
    sea = step(0.003, -0.003, shore)
    wet = np.maximum(step(-0.6, 0.6, channels), step(-0.5, 0.5, creeks))
    height = np.maximum(1 + 40 * step(0.1, 1.3, shore) * (1 + 0.4 * relief), 0) * (1 - sea)
    gullies = draw(SIDE, streams(drainage(height + 3 * relief + 1), seed, 14, 0.8), 4)
    tidal = step(0.40, 0.16, shore + 0.045 * relief)
    fringe = np.maximum(step(-10, -2, channels + 3 * bend), step(-4.5, -0.8, creeks + other))
    fringe = np.maximum(fringe, step(0.035, 0.008, shore + 0.008 * other))
    mangrove = fringe * step(0.50, 0.24, shore + 0.03 * bend)
    gallery = np.maximum(step(-8, -2, channels + 3 * other), 0.8 * step(-2.5, 0, gullies + 0.6 * other)) * (1 - tidal)
    # Old bars: ridges that follow the river where it used to run.
    bars = np.sin(channels * 1.6 + 1.5 * bend) * step(-17, -5, channels) * (1 - tidal)
    salt = tidal * step(-0.9, 0.5, noise(SIDE, seed + 5, 90, 3, 0.8)) * (1 - mangrove)
    fires = noise(SIDE, seed + 6, 240, 3, 0.9, stretch=2.2, towards_deg=300) + 0.3 * relief
    burnt = step(1.35, 1.6, fires) * step(0.35, 0.55, shore) * (1 - gallery)
    pools = step(1.75, 1.95, noise(SIDE, seed + 7, 34, 4, 0.7) + 0.5 * bars) * step(0.05, 0.2, shore) * (1 - tidal)
    mud = blur(wet * step(0.10, 0.0, shore) + 0.22 * step(0.014, 0.0, np.abs(shore)), 17)
    swirl = warp(mud, 34 * bend + 8 * relief, 34 * other)
    plume = np.clip(swirl * (4.6 + 1.3 * noise(SIDE, seed + 8, 70, 5, 0.9)), 0, 1)
    banks = noise(SIDE, seed + 13, 260, 12, 0.9, stretch=2.5, towards_deg=80)
    fine, woods = noise(SIDE, seed + 12, 40, 2, 0.4), noise(SIDE, seed + 10, 130, 2.5, 0.7)
    shares = layered(
        ("savanna", 1.0),
        ("red_sand", step(-0.2, 1.9, noise(SIDE, seed + 9, 300, 6, 0.9)) * 0.4),
        ("forest", step(-0.3, 1.5, woods + 0.7 * relief) * 0.55 * step(0.2, 0.6, shore)),
        ("grass", np.clip(gallery * 0.5 + 0.35 * bars, 0, 1)),
        ("burnt", burnt * 0.75),
        ("soil", tidal * 0.7),
        ("salt", salt * 0.85),
        ("forest", gallery * step(-0.8, 0.6, fine) * 0.8),
        ("mangrove", mangrove * 0.95),
        ("mud", step(0.014, 0.002, shore + 0.003 * other) * 0.8),
        ("turbid_water", np.maximum(pools * 0.8, wet)),
        ("deep_water", sea),
        ("shallow_water", sea * step(-0.62, -0.02, shore + 0.07 * banks) * 0.8),
        ("turbid_water", plume * np.maximum(sea, wet) * 0.95),
        ("mud", wet * step(1.4, 0.2, channels) * step(-0.2, 0.7, bars) * 0.3),
    )
    texture = 1 + (0.07 * fine + 0.08 * bars) * (1 - sea) * (1 - wet)
    return World(height, shares, texture, 0 * bend, other)


def _distributaries(seed: int, shore: Field) -> list[Stroke]:
    """A meandering river from the south that splits on the tidal plain, its mouths like funnels."""
    random = rng(seed, 79)
    strokes: list[Stroke] = []
    # x, y, general direction (0 = north), width, how often it may still split, phase of the meanders
    heads = [(SIDE * 0.53, SIDE - 1.0, -0.05, 9.0, 4, 0.0)]
    while heads:
        x, y, course, width, splits, phase = heads.pop()
        length, wander = 0.0, 0.0
        until = 150 + 130 * random.random() if splits < 4 else 560.0
        size = 0.8 + 0.5 * random.random()
        while 2 < x < SIDE - 2 and 2 < y < SIDE + 1 and length < 2400:
            level = float(shore[min(int(y), SIDE - 1), int(x)])
            if level < -0.02:
                break
            wander = 0.97 * wander + 0.06 * float(random.standard_normal())
            funnel = 1 + 3.2 * max(0.0, 0.07 - level) / 0.09
            size += 0.02 * float(random.standard_normal())
            phase += 5.0 / (7.0 + 3.6 * width) / max(size, 0.5)
            heading = course * min(1.0, 0.35 + 2 * level) + wander + min(1.15, 0.35 + 3 * level) * math.sin(phase)
            nx, ny = x + 5 * math.sin(heading), y - 5 * math.cos(heading)
            strokes.append((x, y, width * funnel, nx, ny, width * funnel))
            x, y, length = nx, ny, length + 5
            if splits and length > until:
                share, spread = 0.35 + 0.3 * random.random(), 0.35 + 0.35 * random.random()
                for sign, part in ((-1, share), (1, 1 - share)):
                    heads.append((x, y, course + sign * spread, max(width * part**0.4, 2.4), splits - 1, phase * sign))
                break
    return strokes


def _creeks(seed: int, shore: Field, channels: Field) -> list[Stroke]:
    """Tidal creeks that branch into the flats from the channels and from the sea."""
    random = rng(seed, 80)
    strokes: list[Stroke] = []
    slopes: list[Field] = list(np.gradient(blur(channels, 3)))
    gy, gx = slopes
    rows, columns = np.nonzero(((channels > -1) & (channels < 0.5) & (shore < 0.26)) | (np.abs(shore) < 0.0035))
    chosen = random.choice(len(rows), size=min(420, len(rows)), replace=False)
    # Creeks do not cross: whose water is in each cell of 3 × 3 pixels.
    taken = np.zeros((SIDE // 3 + 1, SIDE // 3 + 1), np.int32)
    heads: list[tuple[float, float, float, float, float, int]] = []
    for row, column in zip(rows[chosen].tolist(), columns[chosen].tolist(), strict=True):
        # Downhill of the distance field: straight away from the channel; from the open coast, inland.
        near = channels[row, column] > -2
        away = math.atan2(-float(gy[row, column]), -float(gx[row, column])) if near else math.pi / 2
        course = away + 0.6 * float(random.standard_normal())
        heads.append((float(column), float(row), course, 1.0 + 1.6 * float(random.random()), 90.0, len(heads) + 1))
    while heads:
        x, y, course, width, left, name = heads.pop()
        while left > 0 and width > 0.35:
            course += 0.42 * float(random.standard_normal())
            nx, ny = x + 4 * math.cos(course), y + 4 * math.sin(course)
            if not (4 < nx < SIDE - 4 and 4 < ny < SIDE - 4) or not 0 < shore[int(ny), int(nx)] < 0.32:
                break
            cell = int(ny) // 3, int(nx) // 3
            if taken[cell] not in {0, name} or (channels[int(ny), int(nx)] > -1.5 and left < 78):
                break
            taken[cell] = name
            strokes.append((x, y, width, nx, ny, width * 0.97))
            x, y, width, left = nx, ny, width * 0.97, left - 4
            if random.random() < 0.16:
                turned = course + (0.9 if random.random() < 0.5 else -0.9)
                heads.append((x, y, turned, width * 0.75, left * 0.7, name))
    return strokes
