"""Areas on the WGS 84 ellipsoid, of shapes whose edges are straight in longitude and latitude (RFC 7946)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from almagest.pipelines.matchups.earth import ECCENTRICITY_2, SEMI_MAJOR_KM

_E = np.sqrt(ECCENTRICITY_2)

#: Of Gauss and Legendre, on [0, 1]: along an edge of 90 degrees they leave an error below 1e-9 of it.
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(6)
_NODES, _WEIGHTS = (_NODES + 1) / 2, _WEIGHTS / 2


def area_km2(shapes: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """The area of each polygon or multipolygon [km²].

    By Green's theorem an area is a sum over edges: of the area between the equator and each parallel that the edge
    crosses, for each degree of longitude that it runs. The former is a closed expression on an ellipsoid (Snyder, *Map
    Projections*, 1987, 3-12), and is integrated along the edge by quadrature; nothing is densified or projected.

    Args:
        shapes: valid, in degrees, longitudes from -180 to 180.
    """
    rings, owners, holes = _rings(shapes)
    positions, ring_of = shapely.get_coordinates(rings, return_index=True)
    begin = np.flatnonzero(ring_of[1:] == ring_of[:-1])  # the last position of a ring begins no edge
    lon, lat = np.radians(positions[:, 0]), np.radians(positions[:, 1])
    step = lon[begin + 1] - lon[begin]
    along = lat[begin, None] + (lat[begin + 1] - lat[begin])[:, None] * _NODES
    swept = step * (_below(along) @ _WEIGHTS)
    # Whichever way a ring is wound.
    within = np.abs(_sums(ring_of[begin], swept, len(rings)))
    return _sums(owners, np.where(holes, -within, within), len(shapes))


def _below(lat: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Area between the equator and a parallel, for each radian of longitude [km²]."""
    sine = np.sin(lat)
    swept: npt.NDArray[np.float64] = sine / (1 - ECCENTRICITY_2 * sine**2) + np.arctanh(_E * sine) / _E
    return SEMI_MAJOR_KM**2 * (1 - ECCENTRICITY_2) / 2 * swept


def _sums(places: npt.NDArray[np.int64], values: npt.NDArray[np.float64], number: int) -> npt.NDArray[np.float64]:
    return np.bincount(places, values, number).astype(float)  # of no values at all it makes integers


def _rings(shapes: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """What shapes are bounded by, which shape each is of, and whether it is a hole in it.

    A polygon stands for its ring where none has a hole, as is mostly so: to take it apart is what would take longest.
    """
    polygons, owners = shapes, np.arange(len(shapes))
    if not (shapely.get_type_id(shapes) == shapely.GeometryType.POLYGON).all():
        polygons, owners = shapely.get_parts(shapes, return_index=True)
    if not shapely.get_num_interior_rings(polygons).any():
        return polygons, owners, np.zeros(len(polygons), bool)
    rings, of_polygon = shapely.get_rings(polygons, return_index=True)
    return rings, owners[of_polygon], np.diff(of_polygon, prepend=-1) == 0
