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

from almagest.catalogue import meridians
from almagest.catalogue.geometry import ewkb
from almagest.catalogue.meridians import Position, Ring

Geometry = dict[str, Any]

SPLIT = "The geometry crosses the antimeridian: it is split at 180 degrees."
POLES = {
    1: "The geometry encloses the north pole: it is closed along it.",
    -1: "The geometry encloses the south pole: it is closed along it.",
}
WRAPPED = "Longitudes are written from -180 to 180, on the side where the geometry lies."
UNTANGLED = "The rings of the geometry cross or overlap: the area that they enclose is kept."

#: Pieces below this many square degrees (a square metre) are what rounding leaves on the far side of a cut.
_SLIVER = 1e-10
#: A hundredth of a millimetre: what is mended lies on this grid, or adding and taking 360 would leave gaps and knots.
_DIGITS = 10
_GRID = 1e-10


def mend(geometry: Geometry, bbox: Sequence[float] | None) -> tuple[Geometry, tuple[str, ...]]:
    """A geometry that the database can search, and what was mended; the same object if nothing had to be.

    Args:
        geometry: valid by the GeoJSON schema, rings closed, no GeometryCollection.
        bbox: what the producer says; tells a footprint across the antimeridian from one round the globe.

    Raises:
        meridians.UnmendableError: it has no area, or winds round the globe more than once.
    """
    kind, coordinates = geometry["type"], geometry["coordinates"]
    if kind in {"Polygon", "MultiPolygon"}:
        from shapely.errors import GEOSException

        try:
            return _mend_polygons(geometry, [coordinates] if kind == "Polygon" else coordinates, bbox)
        except GEOSException as error:
            raise meridians.UnmendableError(f"cannot be made valid: {error}") from None
    if kind in {"Point", "MultiPoint"}:
        return _mend_points(geometry, [coordinates] if kind == "Point" else coordinates)
    return _mend_lines(geometry, [coordinates] if kind == "LineString" else coordinates)


def _mend_points(geometry: Geometry, points: list[Position]) -> tuple[Geometry, tuple[str, ...]]:
    if all(-180 <= point[0] <= 180 for point in points):
        return geometry, ()
    wrapped = [[_wrap(point[0]), *point[1:]] for point in points]
    return {**geometry, "coordinates": wrapped[0] if geometry["type"] == "Point" else wrapped}, (WRAPPED,)


def _mend_lines(geometry: Geometry, lines: list[Ring]) -> tuple[Geometry, tuple[str, ...]]:
    if not any(meridians.jumps(line) or meridians.is_beyond(line) for line in lines):
        return geometry, ()
    parts = [part for line in lines for part in _cut_line(meridians.unrolled(line) if meridians.jumps(line) else line)]
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

    if all(_is_as_written(rings, bbox) for rings in polygons):
        shape = shapely.from_wkb(ewkb(geometry))  # sooner made of it than of lists
        if shape.is_valid:
            if not shape.area:
                raise meridians.UnmendableError("encloses no area")
            return geometry, ()
    parts: list[Any] = []
    remarks: list[str] = []
    for rings in polygons:
        if _is_as_written(rings, bbox):
            parts.append(_polygon(rings))
        else:
            parts.extend(_folded(rings, bbox, remarks))
    shape = shapely.MultiPolygon([part for piece in parts for part in _areas(piece)])
    if not shape.is_valid:
        shape = shapely.union_all([_valid(_rounded(part)) for part in parts], grid_size=_GRID)
        remarks.append(UNTANGLED)
    pieces = [piece for piece in _areas(shape) if piece.area > _SLIVER] or _areas(shape)
    if not sum(piece.area for piece in pieces):
        raise meridians.UnmendableError("encloses no area")
    return _written(geometry, pieces), tuple(dict.fromkeys(remarks))


def _is_as_written(rings: list[Ring], bbox: Sequence[float] | None) -> bool:
    """Whether a polygon lies on the globe in the way that its numbers say."""
    longitudes = [point[0] for ring in rings for point in ring]
    west, east = min(longitudes), max(longitudes)
    if west < -180 or east > 180:
        return False
    # Most lie on one half of the globe, where no step is a long one.
    return east - west <= 180 or all(map(meridians.is_round, rings, [bbox, *repeat(None, len(rings) - 1)]))


def _written(geometry: Geometry, pieces: list[Any]) -> Geometry:
    """The pieces as GeoJSON, wound as RFC 7946 wants them; members besides the coordinates stay."""
    import numpy as np
    import shapely

    shape = pieces[0] if len(pieces) == 1 else shapely.MultiPolygon(pieces)
    if shape.has_z and np.isnan(shapely.get_coordinates(shape, include_z=True)).any():
        shape = shapely.force_2d(shape)
    if (rounded := _rounded(shape)).is_valid:
        shape = rounded
    shape = _with_short_steps(shapely.orient_polygons(shape))
    made = shapely.geometry.mapping(shape)
    kept = {name: value for name, value in geometry.items() if name != "bbox"}
    return {**kept, "type": made["type"], "coordinates": _lists(made["coordinates"])}


def _with_short_steps(shape: Any) -> Any:
    """The same area without a step of more than 180 degrees, which others, and we, might take the other way round."""
    import shapely

    def shortened(ring: Any) -> Ring:
        points = list(ring.coords)
        halves = [[tuple((x + y) / 2 for x, y in zip(a, b, strict=True))] if meridians.jumps([a, b]) else []
                  for a, b in pairwise(points)]  # fmt: skip
        return [place for point, half in zip(points, [*halves, []], strict=True) for place in (point, *half)]

    if not any(meridians.jumps(ring.coords) for part in _areas(shape) for ring in (part.exterior, *part.interiors)):
        return shape
    return shapely.MultiPolygon(
        [(shortened(part.exterior), [*map(shortened, part.interiors)]) for part in _areas(shape)]
    )


def _lists(value: Any) -> Any:
    return [_lists(part) for part in value] if isinstance(value, list | tuple) else value


def _folded(rings: list[Ring], bbox: Sequence[float] | None, remarks: list[str]) -> list[Any]:
    """The areas of a polygon on the globe; says what was done to it."""
    import shapely

    as_written = meridians.is_round(rings[0], bbox)
    areas = []
    poles = set()
    for ring in rings:
        laid_out = ring if as_written and meridians.is_round(ring) else meridians.unrolled(ring)
        laid_out = [[round(point[0], _DIGITS), round(point[1], _DIGITS), *point[2:]] for point in laid_out]
        if pole := meridians.pole_within(laid_out):
            poles.add(pole)
            laid_out = [*laid_out, *([laid_out[i][0], 90.0 * pole, *laid_out[i][2:]] for i in (-1, 0)), laid_out[0]]
        area = _valid(_polygon([laid_out]), remarks)
        if not area.is_empty:
            areas.append(_on_one_globe(area))
        elif ring is rings[0]:
            raise meridians.UnmendableError("encloses no area")
    shell, *holes = areas
    area = shapely.difference(shell, shapely.union_all(holes, grid_size=_GRID), grid_size=_GRID) if holes else shell
    pieces = [piece for piece in _areas(area) if piece.area > _SLIVER]
    if not pieces:
        raise meridians.UnmendableError("encloses no area")
    spans = [(piece.bounds[0], piece.bounds[2]) for piece in pieces]
    if poles:
        remarks.extend(POLES[pole] for pole in sorted(poles, reverse=True))
    elif (
        min(west for west, _ in spans) == -180
        and max(east for _, east in spans) == 180
        and ((-180, 180) not in spans or not any(map(meridians.is_beyond, rings)))
    ):
        remarks.append(SPLIT)
    else:
        remarks.append(WRAPPED)
    return pieces


def _on_one_globe(area: Any) -> Any:
    """An area of the endless map, folded onto the one globe from -180 to 180."""
    import shapely

    west, _, east, _ = area.bounds
    folded = []
    for globe in range(math.ceil((west - 180) / 360), math.floor((east + 180) / 360) + 1):
        strip = shapely.box(360 * globe - 180, -90, 360 * globe + 180, 90)
        part = area if strip.contains(area) else shapely.intersection(area, strip, grid_size=_GRID)
        folded.append(_valid(_rounded(part, shift=360.0 * globe)))
    pieces = [piece for part in folded for piece in _areas(part)]
    return pieces[0] if len(pieces) == 1 else shapely.union_all(pieces, grid_size=_GRID)


def _rounded(shape: Any, shift: float = 0.0) -> Any:
    """The shape on the grid, moved so far to the west."""
    import numpy as np
    import shapely

    by = [shift, 0.0, 0.0][: 3 if shape.has_z else 2]
    return shapely.transform(shape, lambda xyz: np.round(xyz - by, _DIGITS), include_z=bool(shape.has_z))


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


def _wrap(longitude: float) -> float:
    return round(math.remainder(longitude, 360), _DIGITS)
