"""Footprints across the antimeridian and over the poles, as producers write them, and where they lie."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

Place = tuple[float, float]

SPLIT = "The geometry crosses the antimeridian: it is split at 180 degrees."
NORTH = "The geometry encloses the north pole: it is closed along it."
SOUTH = "The geometry encloses the south pole: it is closed along it."
WRAPPED = "Longitudes are written from -180 to 180, on the side where the geometry lies."
UNTANGLED = "The rings of the geometry cross or overlap: the area that they enclose is kept."


@dataclass(frozen=True)
class Shape:
    """A footprint.

    Attributes:
        name: what is peculiar about it.
        geometry: as a producer writes it.
        inside: places within it, on both sides of 180 where it has both.
        outside: places near it that it does not reach.
        remarks: what must be said of the geometry, in any order; empty if it is to stay as it is.
        bbox: as the producer writes it; by default the least and the greatest of its coordinates.
    """

    name: str
    geometry: dict[str, Any]
    inside: tuple[Place, ...]
    outside: tuple[Place, ...]
    remarks: tuple[str, ...]
    bbox: tuple[float, ...] | None = None

    @property
    def item(self) -> dict[str, Any]:
        return {
            "type": "Feature",
            "stac_version": "1.1.0",
            "id": self.name.replace(" ", "-"),
            "collection": "shapes",
            "geometry": self.geometry,
            "bbox": list(self.bbox or naive_bbox(self.geometry)),
            "properties": {"datetime": "2024-01-01T00:00:00Z"},
            "links": [],
            "assets": {"data": {"href": "https://example.org/a.tif"}},
        }


def positions(coordinates: Any) -> list[list[float]]:
    """All positions of coordinates of any depth."""
    if isinstance(coordinates[0], list | tuple):
        return [position for part in coordinates for position in positions(part)]
    return [list(coordinates)]


def naive_bbox(geometry: dict[str, Any]) -> list[float]:
    """The bbox that most producers write, who do not think of 180 degrees."""
    longitudes, latitudes = zip(*(position[:2] for position in positions(geometry["coordinates"])), strict=True)
    return [min(longitudes), min(latitudes), max(longitudes), max(latitudes)]


def polygon(*rings: list[tuple[float, ...]]) -> dict[str, Any]:
    """A polygon of rings that need not be closed."""
    return {"type": "Polygon", "coordinates": [[list(point) for point in [*ring, ring[0]]] for ring in rings]}


def several(*polygons: dict[str, Any]) -> dict[str, Any]:
    return {"type": "MultiPolygon", "coordinates": [part["coordinates"] for part in polygons]}


def line(*points: tuple[float, ...]) -> dict[str, Any]:
    return {"type": "LineString", "coordinates": [list(point) for point in points]}


def box(west: float, south: float, east: float, north: float) -> list[tuple[float, ...]]:
    return [(west, south), (east, south), (east, north), (west, north)]


def cap(latitude: float, *longitudes: float) -> list[tuple[float, ...]]:
    return [(longitude, latitude) for longitude in longitudes]


def wave(longitudes: range) -> list[tuple[float, ...]]:
    """An orbit's ground track."""
    return [((x + 180) % 360 - 180, 50 * math.sin(math.radians(x))) for x in longitudes]


BOTH = ((175.0, 0.0), (-175.0, 0.0))
BESIDE = ((165.0, 0.0), (-165.0, 0.0), (0.0, 0.0))
HIGH = ((10.0, 88.0), (179.0, 88.0), (-179.0, 88.0), (-100.0, 89.9))
LOW = tuple((x, -y) for x, y in HIGH)
WIDE = ((0.0, 0.0), (178.0, 10.0), (-178.0, 10.0))
HOLE = [(176.0, -4.0), (176.0, 4.0), (-176.0, 4.0), (-176.0, -4.0)]
TRACK = wave(range(150, 220, 5))

SHAPES = [
    Shape("box", polygon(box(170, -10, -170, 10)), BOTH, BESIDE, (SPLIT,)),
    Shape("box clockwise", polygon(box(170, -10, -170, 10)[::-1]), BOTH, BESIDE, (SPLIT,)),
    Shape("box with a bbox across", polygon(box(170, -10, -170, 10)), BOTH, BESIDE, (SPLIT,), (170, -10, -170, 10)),
    Shape("box with a bbox beyond", polygon(box(170, -10, -170, 10)), BOTH, BESIDE, (SPLIT,), (170, -10, 190, 10)),
    Shape("box in 0 to 360", polygon(box(170, -10, 190, 10)), BOTH, BESIDE, (SPLIT,)),
    Shape("box west of -180", polygon(box(-190, -10, -170, 10)), BOTH, BESIDE, (SPLIT,)),
    Shape("box in 0 to 360 on one side", polygon(box(190.1, -10, 200, 10)), ((-165, 0),), BOTH, (WRAPPED,)),
    Shape(
        "rectangle of 358 degrees with a bbox across", polygon(box(-179, -10, 179, 10)),
        ((179.5, 0), (-179.5, 0)), ((178, 0), (-178, 0), (0, 0)), (SPLIT,), (179, -10, -179, 10),
    ),
    Shape("tile", polygon(box(179.4, 50, -179.6, 51)), ((179.7, 50.5), (-179.8, 50.5)), ((0, 50.5),), (SPLIT,)),
    Shape(
        "swath", polygon([(172, -20), (-178, -18), (-170, 12), (178, 10)]),
        ((179, 0), (-179, 0)), ((165, 0), (-165, 0), (0, 0)), (SPLIT,),
    ),
    Shape(
        "across and back", polygon([(170, 0), (-170, 0), (-170, 8), (175, 14), (-170, 20), (-170, 30), (170, 30)]),
        ((175, 5), (-175, 5), (-175, 25), (174, 15)), ((-172, 14), (0, 5)), (SPLIT,),
    ),
    Shape("hole across", polygon(box(170, -10, -170, 10), HOLE), ((172, 0), (-172, 0)), ((178, 0), (0, 0)), (SPLIT,)),
    Shape(
        "hole across wound as the shell", polygon(box(170, -10, -170, 10), HOLE[::-1]),
        ((172, 0), (-172, 0)), ((178, 0), (-178, 0)), (SPLIT,),
    ),
    Shape(
        "hole on one side", polygon(box(170, -10, -170, 10), [(172, -4), (172, 4), (176, 4), (176, -4)]),
        ((178, 0), (-172, 0)), ((174, 0), (0, 0)), (SPLIT,),
    ),
    Shape(
        "two polygons of which one crosses", several(polygon(box(170, -10, -170, 10)), polygon(box(10, 0, 20, 10))),
        (*BOTH, (15, 5)), ((165, 0), (30, 5)), (SPLIT,),
    ),
    Shape(
        "split already", several(polygon(box(170, -10, 180, 10)), polygon(box(-180, -10, -170, 10))),
        BOTH, BESIDE, (), (170, -10, -170, 10),
    ),
    Shape(
        "split already with a bbox round the globe",
        several(polygon(box(170, -10, 180, 10)), polygon(box(-180, -10, -170, 10))), BOTH, BESIDE, (),
    ),
    Shape("touching 180", polygon(box(170, -10, 180, 10)), ((175, 0),), ((-175, 0), (165, 0)), ()),
    Shape("touching 180 under both names", polygon([(170, -10), (180, -10), (-180, 10), (170, 10)]),
          ((175, 0),), ((-175, 0), (165, 0)), (WRAPPED,)),
    Shape("with heights", polygon([(*point, 100.0) for point in box(170, -10, -170, 10)]), BOTH, BESIDE, (SPLIT,)),
    Shape(
        "bow tie across", polygon([(170, -10), (-170, 10), (-170, -10), (170, 10)]),
        ((172, 0), (-172, 0)), ((180, 5), (0, 0)), (SPLIT, UNTANGLED),
    ),
    Shape("north pole", polygon(cap(80, 0, 90, 180, -90)), HIGH, ((0, 79), (179, 79), (-179, 79)), (NORTH,)),
    Shape("north pole clockwise", polygon(cap(80, -90, 180, 90, 0)), HIGH, ((0, 79), (0, -80)), (NORTH,)),
    Shape("north pole in 0 to 360", polygon(cap(80, 0, 90, 180, 270)), HIGH, ((0, 79), (0, -80)), (NORTH,)),
    Shape("south pole", polygon(cap(-80, 0, -90, 180, 90)), LOW, ((0, -79), (0, 80)), (SOUTH,)),
    Shape("south pole clockwise", polygon(cap(-80, 90, 180, -90, 0)), LOW, ((0, -79), (0, 80)), (SOUTH,)),
    Shape(
        "scene over the north pole", polygon([(-30, 84), (60, 86), (130, 83), (-140, 85.5)]),
        ((0, 89), (179, 88), (-179, 88)), ((0, 80), (179, 80)), (NORTH,),
    ),
    Shape(
        "pole with a vertex on it", polygon([(170, 85), (-170, 85), (0, 90)]),
        ((175, 87), (-175, 87)), ((160, 87), (0, 87)), (SPLIT,),
    ),
    Shape(
        "south pole with a vertex on it", polygon([(-170, -85), (170, -85), (0, -90)]),
        ((175, -87), (-175, -87)), ((160, -87), (0, -87)), (SPLIT,),
    ),
    Shape(
        "ring about the north pole", polygon(cap(80, 0, 90, 180, -90), cap(88, 0, -90, 180, 90)),
        ((0, 84), (179, 84), (-179, 84)), ((0, 89), (179, 89), (0, 79)), (NORTH,),
    ),
    Shape("globe", polygon(box(-180, -90, 180, 90)), WIDE, (), ()),
    Shape("globe in 0 to 360", polygon(box(0, -90, 360, 90)), WIDE, (), (WRAPPED,)),
    Shape("globe of cell centres", polygon(box(-179.5, -60, 179.5, 85)), WIDE, ((0, 88),), ()),
    Shape("globe of cell centres clockwise", polygon(box(-179.5, -60, 179.5, 85)[::-1]), WIDE, ((0, 88),), ()),
    Shape("tropics", polygon(box(-179, -10, 179, 12)), WIDE, ((0, 20),), ()),
    Shape("all but the pole", polygon([(-180, -90), (180, -90), (180, 70), (0, 85), (-180, 70)]), WIDE, ((0, 88),), ()),
    Shape("track", line(*TRACK), (TRACK[3], TRACK[-3]), ((0, 0),), (SPLIT,)),
    Shape("line in 0 to 360", line((170, 0), (200, 0)), BOTH, ((0, 0), (165, 0)), (SPLIT,)),
    Shape("line with heights", line((170, 0, 1), (-170, 0, 3)), BOTH, ((0, 0), (165, 0)), (SPLIT,)),
    Shape(
        "two lines", {"type": "MultiLineString", "coordinates": [[[170, 0], [-170, 0]], [[10, 0], [20, 0]]]},
        (*BOTH, (15, 0)), ((0, 0), (165, 0)), (SPLIT,),
    ),
    Shape("point on 180", {"type": "Point", "coordinates": [180, 5]}, ((180, 5),), ((170, 5), (-170, 5)), ()),
    Shape("point on -180", {"type": "Point", "coordinates": [-180, 5]}, ((-180, 5),), ((170, 5), (-170, 5)), ()),
    Shape("point in 0 to 360", {"type": "Point", "coordinates": [190.5, 5]}, ((-169.5, 5),), ((169.5, 5),), (WRAPPED,)),
    Shape(
        "points", {"type": "MultiPoint", "coordinates": [[170, 0], [190, 0, 5]]},
        ((170, 0), (-170, 0)), ((0, 0),), (WRAPPED,),
    ),
]  # fmt: skip
