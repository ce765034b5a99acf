"""What a raster file says about itself, in STAC's words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
import rasterio.features
import rasterio.transform
import rasterio.warp
import shapely
import shapely.affinity

from almagest.catalogue.sample._files import COG_TYPE

Document = dict[str, Any]

_TYPES = {
    "GTiff": "image/tiff; application=geotiff",
    "JP2OpenJPEG": "image/jp2",
    "JPEG": "image/jpeg",
    "PNG": "image/png",
}
_DATA_TYPES = {"complex64": "cfloat32", "complex128": "cfloat64", "complex_int16": "cint16"}
#: Edges of footprints may deviate from the true ones by so much of the raster's width.
_TOLERANCE = 1 / 2000
#: The mask is looked at this coarsely [px].
_MASK_PX = 256


@dataclass(frozen=True)
class Raster:
    """A georeferenced raster.

    Attributes:
        asset: fields for the asset of the file: type, proj:shape, proj:transform, data type, bands with statistics.
        properties: fields that its item may share: proj:code, and proj:wkt2 where there is no code.
        footprint: of the valid pixels; longitude and latitude, perhaps beyond 180 [degree].
    """

    asset: Document
    properties: Document
    footprint: shapely.Polygon


def describe(path: Path) -> Raster:
    """Reads all of a file, which should be small.

    Raises:
        FileNotFoundError: there is no such file.
        rasterio.errors.RasterioIOError: it is not a raster.
        ValueError: it has no coordinate reference system.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing")
    # Some say where they lie in a file beside them, which the environment may tell GDAL not to read.
    with rasterio.Env(GDAL_PAM_ENABLED="YES"), rasterio.open(path) as dataset:
        if dataset.crs is None:
            raise ValueError(f"{path} does not say where it lies")
        code = dataset.crs.to_epsg()
        properties: Document = {"proj:code": f"EPSG:{code}" if code else None}
        if not code:
            properties["proj:wkt2"] = dataset.crs.to_wkt(version="WKT2_2019")
        asset: Document = {
            "type": COG_TYPE if is_cog(dataset) else _TYPES[dataset.driver],
            "proj:shape": list(dataset.shape),
            "proj:transform": list(dataset.transform)[:6],
            "file:size": path.stat().st_size,
            "bands": [_band(dataset, index, values) for index, values in enumerate(dataset.read(masked=True), start=1)],
        }
        if any(scale != 1 for scale in dataset.scales):
            asset["raster:bands"] = [
                {"scale": scale, "offset": offset}
                for scale, offset in zip(dataset.scales, dataset.offsets, strict=True)
            ]
        return Raster(asset, properties, _footprint(dataset))


def is_cog(dataset: Any) -> bool:
    """Whether a GeoTIFF is laid out for reading over a network.

    It is if its pixels lie in tiles, there are overviews unless it is small (512 pixels), and the directories come
    first and in order, then the pixels, the smallest overview first.
    """
    if dataset.driver != "GTiff":
        return False
    overviews = dataset.overviews(1)
    rows, columns = dataset.block_shapes[0]
    small = max(dataset.shape) <= 512
    tiled = dataset.profile.get("tiled", False) and rows <= 1024 and columns <= 1024
    if not tiled or not (overviews or small):
        return False
    levels: list[int | None] = [None, *range(len(overviews))]
    directories = [_tag(dataset, "IFD_OFFSET", level) for level in levels]
    pixels = [_tag(dataset, "BLOCK_OFFSET_0_0", level) for level in levels]
    if None in directories:
        return False
    first = [offset for offset in directories if offset is not None]
    later = [offset for offset in pixels if offset]
    return first == sorted(first) and later == sorted(later, reverse=True) and max(first) < min(later, default=math.inf)


def _tag(dataset: Any, name: str, level: int | None) -> int | None:
    where = {} if level is None else {"ovr": level}
    value = dataset.get_tag_item(name, "TIFF", bidx=1, **where)
    return int(value) if value else None


def _band(dataset: Any, index: int, values: np.ma.MaskedArray[Any, Any]) -> Document:
    kind = dataset.dtypes[index - 1]
    band: Document = {"name": dataset.descriptions[index - 1] or f"b{index}", "data_type": _DATA_TYPES.get(kind, kind)}
    nodata = dataset.nodatavals[index - 1]
    if nodata is not None:
        band["nodata"] = "nan" if math.isnan(nodata) else int(nodata) if float(nodata).is_integer() else nodata
    statistics = _statistics(values)
    if statistics:
        band["statistics"] = statistics
    return band


def _statistics(values: np.ma.MaskedArray[Any, Any]) -> Document:
    if np.iscomplexobj(values):
        return {}
    known = values.compressed()
    known = known[np.isfinite(known)]
    if known.size == 0:
        return {"valid_percent": 0.0}
    return {
        "minimum": round(known.min().item(), 4),
        "maximum": round(known.max().item(), 4),
        "mean": round(float(known.mean(dtype=np.float64)), 4),
        "stddev": round(float(known.std(dtype=np.float64)), 4),
        "valid_percent": round(100 * known.size / values.size, 4),
    }


def _footprint(dataset: Any) -> shapely.Polygon:
    """The convex hull of the valid pixels; the outline of all where none is invalid."""
    height, width = dataset.shape
    step = max(1, math.ceil(max(height, width) / _MASK_PX))
    mask = dataset.dataset_mask()[::step, ::step] > 0
    outline = shapely.box(0, 0, width, height)
    if mask.any() and not mask.all():
        # Centres of the valid pixels, grown by half of what lies between those looked at.
        rows, columns = np.nonzero(mask)
        points = shapely.MultiPoint(np.column_stack([columns * step + 0.5, rows * step + 0.5]))
        outline = points.convex_hull.buffer(step / 2, join_style="mitre").intersection(outline).simplify(step / 2)
    return _to_lonlat(outline, dataset)


def _to_lonlat(outline: shapely.Polygon, dataset: Any) -> shapely.Polygon:
    """A polygon of columns and rows in longitude and latitude, dense enough, not broken at 180 degrees."""
    height, width = dataset.shape
    dense = shapely.segmentize(outline, max(height, width) / 24)
    columns, rows = (np.asarray(values) for values in dense.exterior.xy)
    a, b, c, d, e, f = list(dataset.transform)[:6]
    x, y = a * columns + b * rows + c, d * columns + e * rows + f
    longitudes, latitudes = _project(dataset.crs, x, y)
    polygon = shapely.Polygon(np.column_stack([np.unwrap(longitudes, period=360), latitudes]))
    size = max(polygon.bounds[2] - polygon.bounds[0], polygon.bounds[3] - polygon.bounds[1])
    simple = shapely.simplify(polygon, size * _TOLERANCE)
    return shapely.transform(shapely.orient_polygons(simple), lambda coordinates: coordinates.round(7))


def _project(crs: Any, x: npt.NDArray[Any], y: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    longitudes, latitudes = rasterio.warp.transform(crs, "EPSG:4326", x.tolist(), y.tolist())[:2]
    return np.array(longitudes), np.array(latitudes)


def geometry(footprints: Sequence[shapely.Polygon]) -> tuple[Document, list[float]]:
    """GeoJSON of the hull of some footprints near each other, and its bbox.

    Where they cross 180 degrees, the geometry is cut there into two parts, and the bbox's west is greater than its
    east, as RFC 7946 asks.
    """
    first = footprints[0].centroid.x
    near = [shapely.affinity.translate(part, 360 * round((first - part.centroid.x) / 360)) for part in footprints]
    whole = near[0] if len(near) == 1 else shapely.union_all(near).convex_hull
    whole = shapely.affinity.translate(whole, -360 * math.floor((whole.centroid.x + 180) / 360))
    west, south, east, north = whole.bounds
    if west >= -180 and east <= 180:
        return _geojson(whole), [west, south, east, north]
    parts = []
    for shift in (-360, 0, 360):
        part = shapely.affinity.translate(whole, shift).intersection(shapely.box(-180, -90, 180, 90))
        if part.area > 0:
            parts.append(shapely.orient_polygons(part))
    around = [west + 360 if west < -180 else west, south, east - 360 if east > 180 else east, north]
    return _geojson(shapely.MultiPolygon(parts)), around


def _geojson(shape: Any) -> Document:
    def lists(value: Any) -> Any:
        return [lists(part) for part in value] if isinstance(value, tuple | list) else round(value, 7)

    mapping = shapely.geometry.mapping(shapely.orient_polygons(shape))
    return {"type": mapping["type"], "coordinates": lists(mapping["coordinates"])}
