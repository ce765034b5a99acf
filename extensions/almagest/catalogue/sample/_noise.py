"""Textures on a square, periodic grid: noise, ridges, parcels, rivers. All deterministic, all float32.

Lengths are pixels, ``n`` the side of the square; arrays are (n, n), rows from north to south.
"""

from __future__ import annotations

import functools
import heapq
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.floating[Any]]

#: Ends of a stroke and its widths there: x0, y0, width0, x1, y1, width1, in pixels.
Stroke = tuple[float, float, float, float, float, float]


def rng(*seed: int) -> np.random.Generator:
    """A generator that depends on the seeds alone."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))


def noise(
    n: int,
    seed: int,
    longest: float,
    shortest: float = 2.0,
    slope: float = 1.0,
    *,
    stretch: float = 1.0,
    towards_deg: float = 0.0,
) -> Field:
    """Gaussian noise of mean 0 and deviation 1 with wavelengths between two bounds.

    Args:
        n: side of the square [px].
        seed: any integer.
        longest: wavelength above which there is nothing [px].
        shortest: wavelength below which there is nothing [px].
        slope: how fast the amplitude of a band falls with its frequency; 1 looks like terrain, 0 like gravel.
        stretch: how much longer features are along one direction than across it.
        towards_deg: that direction, clockwise from north [degree].
    """
    random = rng(seed)
    spectrum = np.empty((n, n // 2 + 1), np.complex64)
    spectrum.real = random.standard_normal(spectrum.shape, np.float32)
    spectrum.imag = random.standard_normal(spectrum.shape, np.float32)
    fy, fx = _frequencies(n)
    if stretch != 1:
        sin, cos = math.sin(math.radians(towards_deg)), math.cos(math.radians(towards_deg))
        squared = ((fx * sin - fy * cos) * stretch) ** 2 + (fx * cos + fy * sin) ** 2
    else:
        squared = fx**2 + fy**2
    squared[0, 0] = 1
    # Soft ends: a sharp one would ring.
    ends = (1 + (1 / (longest * longest * squared)) ** 3) * (1 + (squared * (shortest * shortest)) ** 3)
    spectrum *= squared ** (-(1 + slope) / 2) / ends
    spectrum[0, 0] = 0
    field: Field = np.fft.irfft2(spectrum, s=(n, n))
    field /= field.std()
    return field


@functools.cache
def _frequencies(n: int) -> tuple[Field, Field]:
    """Of rows and columns of a real transform [1/px]."""
    return np.fft.fftfreq(n).astype(np.float32)[:, None], np.fft.rfftfreq(n).astype(np.float32)[None, :]


def ridged(n: int, seed: int, longest: float, octaves: int, gain: float = 0.5) -> Field:
    """Mountain ranges between 0 and about 1: sharp crests, with detail where the ground is high already."""
    total, weight, amplitude = np.zeros((n, n), np.float32), np.ones((n, n), np.float32), 1.0
    for octave in range(octaves):
        wavelength = longest / 2**octave
        crest = 1 - np.minimum(np.abs(noise(n, seed + octave, wavelength * 1.4, wavelength * 0.7, 0) * 0.7), 1)
        crest = crest * crest * weight
        total += amplitude * crest
        weight = np.clip(0.25 + 1.3 * crest, 0, 1)
        amplitude *= gain
    return total * ((1 - gain) / (1 - gain**octaves))


def blur(field: Field, sigma: float) -> Field:
    """Gaussian blur with a standard deviation in pixels."""
    fy, fx = _frequencies(field.shape[0])
    scale = -2 * (math.pi * sigma) ** 2
    blurred: Field = np.fft.irfft2(np.fft.rfft2(field) * (np.exp(scale * fy**2) * np.exp(scale * fx**2)), s=field.shape)
    return blurred


def warp(field: Field, dx: Field, dy: Field) -> Field:
    """The field read at displaced places [px], bilinear, around the edges."""
    n = field.shape[0]
    x, y = np.arange(n, dtype=np.float32)[None, :] + dx, np.arange(n, dtype=np.float32)[:, None] + dy
    x0, y0 = np.floor(x).astype(np.int32), np.floor(y).astype(np.int32)
    fx, fy = x - x0, y - y0
    x0, y0, x1, y1 = x0 % n, y0 % n, (x0 + 1) % n, (y0 + 1) % n
    flat = field.ravel()
    y0 *= n
    y1 *= n
    upper, lower = flat[y0 + x0], flat[y1 + x0]
    upper += (flat[y0 + x1] - upper) * fx
    lower += (flat[y1 + x1] - lower) * fx
    warped: Field = upper + (lower - upper) * fy
    return warped


def step(low: float, high: float, field: Field) -> Field:
    """0 below ``low``, 1 above ``high``, smooth between; falling where ``low`` exceeds ``high``."""
    t: Field = np.clip((field - low) * (1 / (high - low)), 0, 1)
    return t * t * (3 - 2 * t)


def hashed(key: npt.NDArray[np.int32], seed: int) -> Field:
    """A number from 0 to 1 for each integer."""
    state = key.astype(np.uint32) ^ np.uint32((seed * 0x9E3779B1) & 0xFFFFFFFF)
    for factor in (0x85EBCA6B, 0xC2B2AE35):
        state ^= state >> np.uint32(15)
        state *= np.uint32(factor)
    state ^= state >> np.uint32(16)
    return state.astype(np.float32) * np.float32(2.0**-32)


@dataclass(frozen=True)
class Parcels:
    """Farmland: a number from 0 to 1 for each parcel, the same all over it, and how near its edge is [px]."""

    number: Field
    edge: Field


def parcels(wavy: tuple[Field, Field], seed: int, block: float, length: float, width: float) -> Parcels:
    """Oblong parcels in blocks of common direction.

    Args:
        wavy: by how much the edges of the blocks are displaced to the east and the south [px].
        seed: any integer.
        block: mean side of a block [px].
        length: mean length of a parcel [px].
        width: its mean width [px].
    """
    n = wavy[0].shape[0]
    y, x = np.arange(n, dtype=np.float32)[:, None], np.arange(n, dtype=np.float32)[None, :]
    columns = np.floor((x + wavy[0]) / block).astype(np.int32)
    # Every other column of blocks is shifted by half a block.
    rows = np.floor((y + wavy[1]) / block + 0.5 * (columns & 1)).astype(np.int32)
    owner = rows * 4096 + columns
    angle, scale = hashed(owner, seed) * 3.14159, 0.7 + 0.8 * hashed(owner, seed + 3)
    cos, sin = np.cos(angle), np.sin(angle)
    u, v = (x * cos + y * sin) / (length * scale), (y * cos - x * sin) / (width * scale)
    iu = np.floor(u)
    row = owner * 977 + iu.astype(np.int32)
    # Each row is shifted, and some parcels are split: no chessboards.
    v = v + hashed(row, seed) * 7
    iv = np.floor(v)
    parcel = row * 977 + iv.astype(np.int32)
    u, v = u - iu, v - iv
    split = hashed(parcel, seed + 1) < 0.35
    second = split & (u > 0.5)
    inside_u = np.where(split, 0.25 - np.abs(u - np.where(second, 0.75, 0.25)), 0.5 - np.abs(u - 0.5))
    edge = np.minimum(inside_u * length, (0.5 - np.abs(v - 0.5)) * width) * scale
    return Parcels(hashed(parcel * 2 + second, seed + 2), edge)


def draw(n: int, strokes: Iterable[Stroke], reach: float = 2.0) -> Field:
    """Distance from the banks of rivers or the edges of roads [px]: positive inside, down to ``-reach`` outside."""
    field = np.full((n, n), -reach, np.float32)
    axis = np.arange(n, dtype=np.float32)
    for x0, y0, w0, x1, y1, w1 in strokes:
        margin = max(w0, w1) / 2 + reach + 1
        left, right = max(int(min(x0, x1) - margin), 0), min(int(max(x0, x1) + margin) + 1, n)
        top, bottom = max(int(min(y0, y1) - margin), 0), min(int(max(y0, y1) + margin) + 1, n)
        if left >= right or top >= bottom:
            continue
        x, y = axis[left:right] - x0, axis[top:bottom, None] - y0
        dx, dy = x1 - x0, y1 - y0
        length = max(dx * dx + dy * dy, 1e-6)
        t = np.minimum(np.maximum(x * (dx / length) + y * (dy / length), 0), 1)
        near = (w0 / 2 + t * ((w1 - w0) / 2)) - np.sqrt((x - t * dx) ** 2 + (y - t * dy) ** 2)
        part = field[top:bottom, left:right]
        np.maximum(part, near, out=part)
    return field


@dataclass(frozen=True)
class Drainage:
    """Where water runs off a coarse terrain of m × m cells: cells from the outlets up, their receivers, their areas."""

    order: npt.NDArray[np.int32]
    receiver: npt.NDArray[np.int32]
    area: npt.NDArray[np.float64]


def drain(height: Field, sea: float = 0.0) -> Drainage:
    """Lets rain run down a small terrain (seconds beyond 500 × 500 cells); hollows fill and spill over.

    Returns:
        Flat arrays; ``area`` counts the cells upstream, the cell included.
    """
    rows, columns = height.shape
    flat = height.ravel().tolist()
    receiver = np.full(rows * columns, -1, np.int32)
    seen = bytearray(rows * columns)
    heap = []
    for cell in range(rows * columns):
        row, column = divmod(cell, columns)
        if flat[cell] <= sea or row in {0, rows - 1} or column in {0, columns - 1}:
            heap.append((flat[cell], cell))
            seen[cell] = 1
    heapq.heapify(heap)
    order = []
    while heap:
        level, cell = heapq.heappop(heap)
        order.append(cell)
        row, column = divmod(cell, columns)
        for dr, dc in ((-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1)):
            r, c = row + dr, column + dc
            if 0 <= r < rows and 0 <= c < columns and not seen[other := r * columns + c]:
                seen[other] = 1
                receiver[other] = cell
                heapq.heappush(heap, (max(flat[other], level + 1e-4), other))
    area = [1.0] * (rows * columns)
    receivers = receiver.tolist()
    for cell in reversed(order):
        if receivers[cell] >= 0:
            area[receivers[cell]] += area[cell]
    return Drainage(np.array(order, np.int32), receiver, np.array(area))


def incision(drainage: Drainage, n: int) -> tuple[Field, Field]:
    """How deep water has cut: every rill, and rivers alone; both grow with the logarithm of the area."""
    m = math.isqrt(drainage.area.size)
    depth = np.log2(drainage.area).astype(np.float32).reshape(m, m)
    fine = np.repeat(np.repeat(depth, n // m, axis=0), n // m, axis=1)
    return blur(np.minimum(fine, 9), 0.55 * n / m), blur(np.maximum(fine - 6, 0), 2.2 * n / m)


def rivers(drainage: Drainage, columns: int, cell: float, least: float, width: float, seed: int) -> list[Stroke]:
    """Strokes along the streams that drain at least so many cells.

    Args:
        drainage: of a terrain with so many columns.
        columns: of the terrain.
        cell: side of one of its cells [px].
        least: smallest area drained [cells].
        width: of a stream that drains ``least``; it grows with the square root of the area [px].
        seed: of the bends.
    """
    wet = np.flatnonzero((drainage.area >= least) & (drainage.receiver >= 0))
    jitter = (rng(seed).random((drainage.area.size, 2)) - 0.5) * 0.9
    at = np.stack(np.divmod(np.arange(drainage.area.size), columns), axis=1)[:, ::-1] + 0.5 + jitter
    # Each point moves towards its neighbours along the stream: bends instead of stairs.
    for _ in range(3):
        total, count = at.copy(), np.ones(len(at))
        np.add.at(total, drainage.receiver[wet], at[wet])
        np.add.at(count, drainage.receiver[wet], 1)
        total[wet] += at[drainage.receiver[wet]]
        count[wet] += 1
        at[wet] = (total / count[:, None])[wet]
    widths = width * np.sqrt(np.minimum(drainage.area / least, 60.0))
    to = drainage.receiver[wet]
    lines = np.column_stack([at[wet] * cell, widths[wet], at[to] * cell, widths[to]])
    return [(a, b, c, d, e, f) for a, b, c, d, e, f in lines.tolist()]
