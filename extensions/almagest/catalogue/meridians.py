"""Lines and rings over longitudes that wrap: whether they cross 180 degrees, and how they run where they do."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

Position = Sequence[float]
Ring = list[Position]


class UnmendableError(ValueError):
    """Why there is no valid geometry that this one could mean."""


def is_round(ring: Ring, bbox: Sequence[float] | None = None) -> bool:
    """Whether steps of more than 180 degrees are meant as they are written: a footprint round the globe.

    It is, where all long steps lead from one side of the globe to the very same meridian; and where the other reading,
    across the antimeridian, is the less likely one: the bbox does not ask for it, and it makes a strip where this one
    makes a shape nearer to a square, or they are alike in that and the ring is wound for this one.
    """
    if not jumps(ring):
        return True
    if bbox is not None:
        west, east = bbox[0], bbox[len(bbox) // 2]
        if west > east or east - west < 180:
            return False
    import shapely

    polygon = shapely.Polygon([point[:2] for point in ring])
    if not polygon.is_valid:
        return False
    rolled_out = unrolled(ring)
    if pole_within(rolled_out):
        # A ring round a pole stays on its side of the equator.
        return bool(polygon.bounds[1] < 0 < polygon.bounds[3])
    written, crossing = _oblongness(ring), _oblongness(rolled_out)
    if max(written, crossing) > 4 * min(written, crossing):
        return written < crossing
    return bool(shapely.is_ccw(polygon.exterior))


def _oblongness(ring: Ring) -> float:
    longitudes, latitudes = zip(*(point[:2] for point in ring), strict=True)
    width, height = max(longitudes) - min(longitudes), max(latitudes) - min(latitudes)
    return float(max(width, height) / (min(width, height) or 1e-9))


def unrolled(ring: Ring) -> Ring:
    """The line on the endless map: every step goes the shorter way, none but those by a pole turns at a pole."""
    if any(abs(point[1]) == 90 for point in ring):
        ring = _with_meridians_at_poles(ring)
    laid_out = [ring[0]]
    turns = 0
    for before, point in pairwise(ring):
        step = point[0] - before[0]
        turns += (step < -180) - (step > 180)
        laid_out.append([point[0] + 360 * turns, *point[1:]] if turns else point)
    return laid_out


def _with_meridians_at_poles(line: Ring) -> Ring:
    """The line with each vertex on a pole, where longitude means nothing, on the meridians by which it is reached and
    left. A ring starts and ends there: how far it turned on the way is how far it turns back along the pole."""
    closed = line[0] == line[-1]
    if closed:
        start = next(i for i, point in enumerate(line) if abs(point[1]) == 90)
        line = [*line[start:-1], *line[: start + 1]]
    turned: Ring = []
    for before, point, after in zip([None, *line[:-1]], line, [*line[1:], None], strict=True):
        if abs(point[1]) != 90:
            turned.append(point)
            continue
        for neighbour in (before, after):
            if neighbour is not None:
                turned.append(point if abs(neighbour[1]) == 90 else [neighbour[0], *point[1:]])
    return turned


def pole_within(ring: Ring) -> int:
    """1 or -1 for the pole that an unrolled ring goes round, the nearer one; 0 if it does not.

    Raises:
        UnmendableError: it goes round more than once.
    """
    turns = round((ring[-1][0] - ring[0][0]) / 360)
    if turns == 0 or abs(ring[0][1]) == abs(ring[-1][1]) == 90:
        return 0
    if abs(turns) > 1:
        raise UnmendableError("winds round the globe more than once")
    mean = sum((b[0] - a[0]) * (a[1] + b[1]) for a, b in pairwise(ring)) * turns
    return 1 if mean > 0 else -1


def jumps(line: Ring) -> bool:
    """Whether a step is longer than half the globe; from -180 to 180 it stays on the same meridian."""
    return any(180 < abs(b[0] - a[0]) != 360 for a, b in pairwise(line))


def is_beyond(line: Ring) -> bool:
    """Whether a longitude is outside -180 to 180."""
    return any(not -180 <= point[0] <= 180 for point in line)
