"""Geometries as the database can search them: RFC 7946, split at 180 degrees and closed over the poles.

A ring is laid out on an endless map, each step the shorter way round the globe; a ring that does not come back to where
it began encloses a pole and is closed along it. The map is then cut into globes and these are laid upon each other.
Edges are straight in degrees, as RFC 7946 has them and PostGIS draws them. Heights are kept, and interpolated at cuts.

Our own, for `antimeridian` (0.4.9) gives the rest of the globe for a clockwise polar cap, an invalid polygon for a
vertex on a pole, splits global footprints that end short of 180, and takes no heights; elsewhere tests compare with it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise, repeat
from typing import Any

Geometry = dict[str, Any]
Position = Sequence[float]
Ring = list[Position]

SPLIT = "The geometry crosses the antimeridian: it is split at 180 degrees."
POLES = {
    1: "The geometry encloses the north pole: it is closed along it.",
    -1: "The geometry encloses the south pole: it is closed along it.",
}
WRAPPED = "Longitudes beyond 180 degrees are written from -180 to 180."
UNTANGLED = "The rings of the geometry cross or overlap: the area that they enclose is kept."

#: Pieces below this many square degrees (a square metre) are what rounding leaves on the far side of a cut.
_SLIVER = 1e-10
#: Undoes what adding and taking 360 does to the last digits.
_DIGITS = 12


class UnmendableError(ValueError):
    """Why there is no valid geometry that this one could mean."""


def mend(geometry: Geometry, bbox: Sequence[float] | None) -> tuple[Geometry, tuple[str, ...]]:
    """A geometry that the database can search, and what was mended; the same object if nothing had to be.

    Args:
        geometry: valid by the GeoJSON schema, rings closed, no GeometryCollection.
        bbox: what the producer says; tells a footprint across the antimeridian from one round the globe.

    Raises:
        UnmendableError: it has no area, or winds round the globe more than once.
    """
    kind, coordinates = geometry["type"], geometry["coordinates"]
    if kind in {"Polygon", "MultiPolygon"}:
        return _mend_polygons(geometry, [coordinates] if kind == "Polygon" else coordinates, bbox)
    if kind in {"Point", "MultiPoint"}:
        return _mend_points(geometry, [coordinates] if kind == "Point" else coordinates)
    return _mend_lines(geometry, [coordinates] if kind == "LineString" else coordinates)


def _mend_points(geometry: Geometry, points: list[Position]) -> tuple[Geometry, tuple[str, ...]]:
    if all(-180 <= point[0] <= 180 for point in points):
        return geometry, ()
    wrapped = [[_wrap(point[0]), *point[1:]] for point in points]
    return {**geometry, "coordinates": wrapped[0] if geometry["type"] == "Point" else wrapped}, (WRAPPED,)


def _mend_lines(geometry: Geometry, lines: list[Ring]) -> tuple[Geometry, tuple[str, ...]]:
    if not any(_jumps(line) or _is_beyond(line) for line in lines):
        return geometry, ()
    parts = [part for line in lines for part in _cut_line(_unrolled(line) if _jumps(line) else line)]
    remark = SPLIT if len(parts) > len(lines) else WRAPPED
    if len(parts) == 1:
        return {**geometry, "type": "LineString", "coordinates": parts[0]}, (remark,)
    return {**geometry, "type": "MultiLineString", "coordinates": parts}, (remark,)


def _cut_line(line: Ring) -> Iterator[Ring]:
    """The parts of a line of the endless map between one antimeridian and the next, each on the globe."""
    depth = min(map(len, line))
    globes = [math.ceil((min(a[0], b[0]) - 180) / 360) for a, b in pairwise(line)]
    part: Ring = []
    at = None
    for (start, end), first in zip(pairwise(line), globes, strict=True):
        last = math.floor((max(start[0], end[0]) + 180) / 360)
        # A step along the antimeridian itself belongs to the globe where the line is.
        path = range(first, last + 1) if end[0] >= start[0] else range(last, first - 1, -1)
        if first > last or (at is not None and start[0] == end[0]):
            path = range(at, at + 1) if at is not None else range(first, first + 1)
        for globe in path:
            west, east = 360 * globe - 180, 360 * globe + 180
            a, b = _clip(start, end, west, east, depth)
            if a == b and start[0] != end[0]:
                continue
            if globe != at or not part:
                if len(part) > 1:
                    yield part
                part, at = [_on_globe(a, globe)], globe
            part.append(_on_globe(b, globe))
    if len(part) > 1:
        yield part


def _clip(start: Position, end: Position, west: float, east: float, depth: int) -> tuple[list[float], list[float]]:
    def at(x: float) -> list[float]:
        share = (x - start[0]) / (end[0] - start[0])
        return [x, *(a + share * (b - a) for a, b in zip(start[1:depth], end[1:depth], strict=True))]

    def inside(point: Position) -> list[float]:
        return list(point[:depth]) if west <= point[0] <= east else at(min(max(point[0], west), east))

    return inside(start), inside(end)


def _on_globe(point: Position, globe: int) -> list[float]:
    return list(point) if globe == 0 else [round(point[0] - 360 * globe, _DIGITS), *point[1:]]


def _mend_polygons(
    geometry: Geometry, polygons: list[list[Ring]], bbox: Sequence[float] | None
) -> tuple[Geometry, tuple[str, ...]]:
    import shapely

    parts: list[Any] = []
    remarks: list[str] = []
    for rings in polygons:
        if any(map(_is_beyond, rings)) or not all(map(_is_round, rings, [bbox, *repeat(None, len(rings) - 1)])):
            parts.extend(_folded(rings, bbox, remarks))
        else:
            parts.append(_polygon(rings))
    if not remarks:
        shape = parts[0] if geometry["type"] == "Polygon" else shapely.MultiPolygon(parts)
        if shape.is_valid:
            if not shape.area:
                raise UnmendableError("encloses no area")
            return geometry, ()
    shape = shapely.MultiPolygon([part for piece in parts for part in _areas(piece)])
    if not shape.is_valid:
        shape = shapely.union_all([_valid(part) for part in parts])
        remarks.append(UNTANGLED)
    pieces = [piece for piece in _areas(shape) if piece.area > _SLIVER] or _areas(shape)
    if not sum(piece.area for piece in pieces):
        raise UnmendableError("encloses no area")
    return _written(geometry, pieces), tuple(dict.fromkeys(remarks))


def _written(geometry: Geometry, pieces: list[Any]) -> Geometry:
    """The pieces as GeoJSON, wound as RFC 7946 wants them; members besides the coordinates stay."""
    import numpy as np
    import shapely

    shape = pieces[0] if len(pieces) == 1 else shapely.MultiPolygon(pieces)
    if shape.has_z and np.isnan(shapely.get_coordinates(shape, include_z=True)).any():
        shape = shapely.force_2d(shape)
    rounded = shapely.transform(shape, lambda xyz: np.round(xyz, _DIGITS), include_z=bool(shape.has_z))
    if rounded.is_valid:
        shape = rounded
    shape = shapely.orient_polygons(shape)
    made = shapely.geometry.mapping(shape)
    kept = {name: value for name, value in geometry.items() if name != "bbox"}
    return {**kept, "type": made["type"], "coordinates": _lists(made["coordinates"])}


def _lists(value: Any) -> Any:
    return [_lists(part) for part in value] if isinstance(value, list | tuple) else value


def _folded(rings: list[Ring], bbox: Sequence[float] | None, remarks: list[str]) -> list[Any]:
    """The areas of a polygon on the globe; says what was done to it."""
    import shapely

    as_written = _is_round(rings[0], bbox)
    areas = []
    poles = set()
    for ring in rings:
        laid_out = ring if as_written and _is_round(ring) else _unrolled(ring)
        if pole := _pole_within(laid_out):
            poles.add(pole)
            laid_out = [*laid_out, *([laid_out[i][0], 90.0 * pole, *laid_out[i][2:]] for i in (-1, 0)), laid_out[0]]
        area = _valid(_polygon([laid_out]), remarks)
        if not area.is_empty:
            areas.append(_on_one_globe(area))
        elif ring is rings[0]:
            raise UnmendableError("encloses no area")
    shell, *holes = areas
    area = shapely.difference(shell, shapely.union_all(holes)) if holes else shell
    pieces = [piece for piece in _areas(area) if piece.area > _SLIVER]
    if not pieces:
        raise UnmendableError("encloses no area")
    bounds = [piece.bounds for piece in pieces]
    if poles:
        remarks.extend(POLES[pole] for pole in sorted(poles, reverse=True))
    elif any(west == -180 for west, *_ in bounds) and any(east == 180 for _, _, east, _ in bounds) and not as_written:
        remarks.append(SPLIT)
    else:
        remarks.append(WRAPPED)
    return pieces


def _is_round(ring: Ring, bbox: Sequence[float] | None = None) -> bool:
    """Whether steps of more than 180 degrees are meant as they are written: a footprint round the globe.

    It is, where all long steps lead from one side of the globe to the very same meridian; and where the other reading,
    across the antimeridian, is the less likely one: the bbox does not ask for it, and it makes a strip where this one
    makes a shape nearer to a square, or they are alike in that and the ring is wound for this one.
    """
    if not _jumps(ring):
        return True
    if bbox is not None:
        west, east = bbox[0], bbox[len(bbox) // 2]
        if west > east or east - west < 180:
            return False
    import shapely

    polygon = shapely.Polygon([point[:2] for point in ring])
    if not polygon.is_valid:
        return False
    rolled_out = _unrolled(ring)
    if _pole_within(rolled_out):
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


def _unrolled(ring: Ring) -> Ring:
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


def _pole_within(ring: Ring) -> int:
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


def _on_one_globe(area: Any) -> Any:
    """An area of the endless map, folded onto the one globe from -180 to 180."""
    import numpy as np
    import shapely

    west, _, east, _ = area.bounds
    folded = []
    for globe in range(math.ceil((west - 180) / 360), math.floor((east + 180) / 360) + 1):
        strip = shapely.box(360 * globe - 180, -90, 360 * globe + 180, 90)
        part = area if strip.contains(area) else shapely.intersection(area, strip)
        shift = np.array([360.0 * globe, 0, 0][: 3 if part.has_z else 2])
        folded.append(shapely.transform(part, lambda xyz, by=shift: xyz - by, include_z=bool(part.has_z)))
    pieces = [piece for part in folded for piece in _areas(part)]
    return shapely.union_all(pieces) if len(pieces) > 1 else pieces[0]


def _polygon(rings: Iterable[Ring]) -> Any:
    import shapely

    rings = list(rings)
    depth = min(len(point) for ring in rings for point in ring)
    if any(len(point) != depth for ring in rings for point in ring):
        rings = [[point[:2] for point in ring] for ring in rings]
    ends = ([*ring, ring[0]] if ring[0] != ring[-1] else ring for ring in rings)
    shell, *holes = ends
    return shapely.Polygon(shell, holes)


def _valid(area: Any, remarks: list[str] | None = None) -> Any:
    import shapely

    if area.is_valid:
        return area
    if remarks is not None:
        remarks.append(UNTANGLED)
    return shapely.MultiPolygon(_areas(shapely.make_valid(area)))


def _areas(shape: Any) -> list[Any]:
    """The polygons of a shape that is or holds some; lines and points that fell off on the way are dropped."""
    if shape.geom_type == "Polygon":
        return [] if shape.is_empty else [shape]
    return [area for part in getattr(shape, "geoms", ()) for area in _areas(part)]


def _jumps(line: Ring) -> bool:
    """Whether a step is longer than half the globe; from -180 to 180 it stays on the same meridian."""
    return any(180 < abs(b[0] - a[0]) != 360 for a, b in pairwise(line))


def _is_beyond(line: Ring) -> bool:
    return any(not -180 <= point[0] <= 180 for point in line)


def _wrap(longitude: float) -> float:
    return round(math.remainder(longitude, 360), _DIGITS)
