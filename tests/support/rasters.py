"""Small rasters with a place on Earth, and items around them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy
import rasterio
from rasterio.transform import from_origin
from rasterio.warp import transform_bounds

COG = "image/tiff; application=geotiff; profile=cloud-optimized"


def write(
    path: Path, pixels: numpy.ndarray, *, crs: str, west: float, north: float, size: float, **options: Any
) -> Path:
    """A tiled GeoTIFF with overviews. pixels: (bands, rows, columns); size: edge of a pixel in units of the CRS."""
    bands, rows, columns = pixels.shape
    transform = from_origin(west, north, size, size)
    profile = {"driver": "GTiff", "tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate", **options}
    with rasterio.open(
        path, "w", width=columns, height=rows, count=bands, dtype=pixels.dtype, crs=crs, transform=transform, **profile
    ) as dataset:
        dataset.write(pixels)
        dataset.build_overviews([2, 4])
    return path


def gradient(bands: int, edge: int = 256, dtype: str = "uint8") -> numpy.ndarray:
    """Pixels that all differ from their neighbours, so that a shift is seen."""
    rows, columns = numpy.mgrid[0:edge, 0:edge]
    layers = [(rows * (band + 1) + columns * 3 + band * 40) % 251 + 1 for band in range(bands)]
    return numpy.stack(layers).astype(dtype)


def bounds(path: Path) -> tuple[float, float, float, float]:
    """In degrees."""
    with rasterio.open(path) as dataset:
        return transform_bounds(dataset.crs, "EPSG:4326", *dataset.bounds)  # type: ignore[no-any-return]


def item(
    identifier: str,
    collection: str,
    box: tuple[float, float, float, float],
    assets: dict[str, Any],
    when: str = "2024-01-01T00:00:00Z",
    **properties: Any,
) -> dict[str, Any]:
    west, south, east, north = box
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": identifier,
        "collection": collection,
        "bbox": list(box),
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"datetime": when, **properties},
        "links": [],
        "assets": assets,
    }


def collection(identifier: str, **more: Any) -> dict[str, Any]:
    return {
        "type": "Collection",
        "stac_version": "1.1.0",
        "id": identifier,
        "description": identifier,
        "license": "other",
        "links": [],
        "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}},
        **more,
    }


def asset(path: Path, **more: Any) -> dict[str, Any]:
    return {"href": path.as_uri(), "type": COG, **more}
