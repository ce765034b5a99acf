"""GeoJSON geometries in the binary form that PostGIS and GEOS read."""

from __future__ import annotations

import struct
from itertools import chain
from typing import Any

_SHAPES = {
    "Point": 1,
    "LineString": 2,
    "Polygon": 3,
    "MultiPoint": 4,
    "MultiLineString": 5,
    "MultiPolygon": 6,
    "GeometryCollection": 7,
}
_PARTS = {"MultiPoint": "Point", "MultiLineString": "LineString", "MultiPolygon": "Polygon"}
_HAS_Z, _HAS_SRID, _SRID = 0x80000000, 0x20000000, 4326


def ewkb(geometry: dict[str, Any]) -> bytes:
    """A GeoJSON geometry as PostGIS reads it from GeoJSON: in degrees, heights kept, none is 0 beside others."""
    has_z = _has_z(geometry)
    code = _SHAPES[geometry["type"]] | _HAS_SRID | (_HAS_Z if has_z else 0)
    return struct.pack("<BII", 1, code, _SRID) + _body(geometry, 3 if has_z else 2)


def _body(geometry: dict[str, Any], width: int) -> bytes:
    kind = geometry["type"]
    if kind == "GeometryCollection":
        parts = geometry["geometries"]
    elif kind in _PARTS:
        parts = [{"type": _PARTS[kind], "coordinates": part} for part in geometry["coordinates"]]
    else:
        coordinates = geometry["coordinates"]
        if kind == "Point":
            return _positions([coordinates], width)
        if kind == "LineString":
            return _counted(coordinates, width)
        return struct.pack("<I", len(coordinates)) + b"".join(_counted(ring, width) for ring in coordinates)
    flags = _HAS_Z if width == 3 else 0
    return struct.pack("<I", len(parts)) + b"".join(
        struct.pack("<BI", 1, _SHAPES[part["type"]] | flags) + _body(part, width) for part in parts
    )


def _counted(positions: list[list[float]], width: int) -> bytes:
    return struct.pack("<I", len(positions)) + _positions(positions, width)


def _positions(positions: list[list[float]], width: int) -> bytes:
    if any(len(position) != width for position in positions):
        positions = [[*position, 0.0][:width] for position in positions]
    return struct.pack(f"<{len(positions) * width}d", *chain.from_iterable(positions))


def _has_z(geometry: dict[str, Any]) -> bool:
    if geometry["type"] == "GeometryCollection":
        return any(map(_has_z, geometry["geometries"]))

    def deep(coordinates: Any) -> bool:
        if coordinates and isinstance(coordinates[0], list):
            return any(map(deep, coordinates))
        return len(coordinates) > 2

    return deep(geometry["coordinates"])
