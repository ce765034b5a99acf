"""Areas on the WGS 84 ellipsoid, of shapes whose edges are straight in longitude and latitude (RFC 7946)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

#: WGS 84: semi-major axis [km], flattening.
_A_KM = 6378.137
_F = 1 / 298.257223563
_E2 = _F * (2 - _F)
_E = np.sqrt(_E2)

#: Of Gauss and Legendre, on [0, 1]: along an edge of 90 degrees they leave an error below 1e-9 of it.
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(6)
_NODES, _WEIGHTS = (_NODES + 1) / 2, _WEIGHTS / 2
_NOTHING = shapely.MultiPolygon()


def area_km2(shapes: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """The area of each polygon or multipolygon [km²].

    By Green's theorem an area is a sum over edges: of the area between the equator and each parallel that the edge
    crosses, for each degree of longitude that it runs. The former is a closed expression on an ellipsoid (Snyder, *Map
    Projections*, 1987, 3-12), and is integrated along the edge by quadrature; nothing is densified or projected.

    Args:
        shapes: valid, in degrees, longitudes from -180 to 180.
    """
    areas = np.zeros(len(shapes))
    if not len(shapes):
        return areas
    kind, positions, offsets = shapely.to_ragged_array(shapely.orient_polygons(_multi(shapes)), include_z=False)
    assert kind == shapely.GeometryType.MULTIPOLYGON
    in_ring, in_polygon, in_shape = offsets
    starts = np.ones(len(positions), bool)
    starts[in_ring[1:] - 1] = False  # the last position of a ring begins no edge
    begin = np.flatnonzero(starts)
    lon, lat = np.radians(positions[:, 0]), np.radians(positions[:, 1])
    step = lon[begin + 1] - lon[begin]
    along = lat[begin, None] + (lat[begin + 1] - lat[begin])[:, None] * _NODES
    swept = -step * (_below(along) @ _WEIGHTS)
    shape_of_ring = np.repeat(np.arange(len(shapes)), np.diff(in_polygon[in_shape]))
    shape_of_position = np.repeat(shape_of_ring, np.diff(in_ring))
    np.add.at(areas, shape_of_position[begin], swept)
    return areas


def _below(lat: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Area between the equator and a parallel, for each radian of longitude [km²]."""
    sine = np.sin(lat)
    swept: npt.NDArray[np.float64] = sine / (1 - _E2 * sine**2) + np.arctanh(_E * sine) / _E
    return _A_KM**2 * (1 - _E2) / 2 * swept


def _multi(shapes: npt.NDArray[Any]) -> npt.NDArray[Any]:
    parts, owners = shapely.get_parts(shapes, return_index=True)
    return np.asarray(shapely.multipolygons(parts, indices=owners, out=np.full(len(shapes), _NOTHING, object)))
