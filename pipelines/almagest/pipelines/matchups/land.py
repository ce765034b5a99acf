"""How much of what was seen is land (Natural Earth, 1:50 million, in the public domain).

Coasts are right to a few kilometres, islands of a few square kilometres are there, and lakes count as land.
"""

from __future__ import annotations

import lzma
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from almagest.pipelines.matchups.areas import area_km2
from almagest.pipelines.matchups.scenes import only_areas

#: Land is cut along meridians and parallels, so that no coast of a continent is gone through for a scene [degrees].
_CELL = 5


def fractions(shapes: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """The share of land in each polygon or multipolygon, 0 to 1.

    Args:
        shapes: valid, with an area, in degrees, longitudes from -180 to 180.
    """
    pieces, tree = _land()
    of, piece = tree.query(shapes)
    common = shapely.intersection(shapes[of], pieces[piece])
    areal = shapely.area(common) > 0  # others touch a coast
    land = np.zeros(len(shapes))
    np.add.at(land, of[areal], area_km2(only_areas(common[areal])))
    return np.minimum(land / area_km2(shapes), 1.0)


@cache
def _land() -> tuple[npt.NDArray[Any], shapely.STRtree]:
    """Land in pieces none of which is wider than a cell, and a tree of them."""
    packed = (resources.files("almagest.pipelines.matchups") / "land.wkb.xz").read_bytes()
    whole = shapely.get_parts(shapely.from_wkb(lzma.decompress(packed)))
    west, south = (grid.ravel() for grid in np.meshgrid(np.arange(-180, 180, _CELL), np.arange(-90, 90, _CELL)))
    cells = shapely.box(west, south, west + _CELL, south + _CELL)
    cell, part = shapely.STRtree(whole).query(cells, predicate="intersects")
    pieces = shapely.intersection(cells[cell], whole[part])
    pieces = only_areas(pieces[shapely.area(pieces) > 0])
    return pieces, shapely.STRtree(pieces)
