"""The sample as STAC 1.1: items and collections from what is planned and what was measured.

The pixels are described twice, by STAC 1.1's ``bands`` and by ``raster:bands``: version 1.1 of the raster extension is
the one that today's libraries know, and has no place for scale and offset but there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from almagest.catalogue.sample import _catalog as catalog
from almagest.catalogue.sample._catalog import Band, Sensor

Document = dict[str, Any]

COG_TYPE = "image/tiff; application=geotiff; profile=cloud-optimized"
_EXTENSIONS = "https://stac-extensions.github.io"
SCALE = 0.0001

#: Classes of the quality asset: value, name, title, colour.
CLASSES = (
    (0, "nodata", "Nothing seen", "000000"),
    (1, "land", "Clear land", "8B7D5B"),
    (2, "water", "Clear water", "1F4E79"),
    (3, "snow", "Snow and ice", "9FD8E6"),
    (4, "shadow", "Shadow of a cloud", "4A4A4A"),
    (5, "cloud", "Cloud", "FFFFFF"),
)

_DESCRIPTIONS = {
    "sample-msi-l1c": (
        "Sample MSI, level 1C",
        "Top-of-atmosphere reflectance in seven bands from a **made-up** multispectral imager on two satellites in one "
        "sun-synchronous orbit of 10 days, cut into tiles. Swaths and tiles are a quarter of the size of real ones, "
        "and pixels 80 m (160 m in the red edge and the short-wave infrared).",
    ),
    "sample-oli-l1": (
        "Sample OLI, level 1",
        "Top-of-atmosphere reflectance in six bands from a **made-up** land imager on two satellites in one "
        "sun-synchronous orbit of 16 days, in scenes that follow the ground track. Scenes are a quarter of the size "
        "of real ones, and pixels 120 m.",
    ),
}
_ABOUT = (
    "\n\nEverything here is synthetic: Almagest renders it from a small world that it invents for each place, so that "
    "a fresh installation has something to look at, and later something to compare. Both sample sensors see the same "
    "ground under the same sun and drifting clouds; several passes are minutes apart. Orbits, times, sun angles, "
    "footprints and cloud cover are those of the simulation, and hold together. Reflectances are normalised for the "
    "sun's elevation; each platform has a calibration error of up to 1 %."
)


def relative_item(scene: Any, record: Mapping[str, Any]) -> Document:
    """The item of a :class:`~almagest.catalogue.sample._plan.Scene`; hrefs are file names.

    Args:
        scene: as planned.
        record: as measured: ``files`` (name to size, checksum and statistics), ``percent`` (class to percent).
    """
    sensor, files = scene.sensor, record["files"]
    longitudes, latitudes = [x for x, _ in scene.ring], [y for _, y in scene.ring]
    percent = record["percent"]
    properties = {
        "title": f"{scene.platform.name}, {scene.place.title}, {scene.time:%Y-%m-%d}",
        "datetime": _written(scene.time),
        "start_datetime": _written(scene.start),
        "end_datetime": _written(scene.stop),
        "created": catalog.CREATED,
        "updated": catalog.CREATED,
        "platform": scene.platform.name,
        "constellation": sensor.constellation,
        "instruments": [sensor.instrument],
        "gsd": sensor.pixel_m,
        "eo:cloud_cover": percent["cloud"],
        "eo:snow_cover": percent["snow"],
        "view:off_nadir": scene.off_nadir,
        "view:sun_elevation": scene.sun_elevation,
        "view:sun_azimuth": scene.sun_azimuth,
        "sat:orbit_state": "descending" if scene.is_descending else "ascending",
        "sat:relative_orbit": scene.orbit.relative_orbit,
        "sat:absolute_orbit": scene.orbit.absolute_orbit,
        "proj:code": f"EPSG:{scene.place.epsg}",
        "processing:level": sensor.level,
        "processing:lineage": "Rendered from a synthetic world; no satellite took this picture.",
        "processing:software": {"almagest-sample": catalog.RECIPE},
    }
    if scene.tile:
        properties["grid:code"] = f"SAMPLE-{scene.place.name}.{scene.tile}"
    assets = {}
    for key, template in assets_of(sensor).items():
        name = file_name(sensor, key)
        known = files[name]
        asset = {"href": name, **template, "file:size": known["size"], "file:checksum": known["checksum"]}
        if "shape" in known:
            step = sensor.pixel_m * (2 if known["shape"][0] < scene.height else 1)
            asset["proj:shape"] = known["shape"]
            asset["proj:transform"] = [step, 0.0, scene.origin[0], 0.0, -step, scene.origin[1]]
        if "statistics" in known:
            asset["bands"] = [{**asset["bands"][0], "statistics": known["statistics"]}]
        assets[key] = asset
    names = ["eo/v2.0.0", "view/v1.0.0", "sat/v1.0.0", "projection/v2.0.0", "raster/v1.1.0", "file/v2.1.0"]
    names += ["classification/v2.0.0", "processing/v1.1.0", *(["grid/v1.1.0"] if scene.tile else [])]
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [f"{_EXTENSIONS}/{name}/schema.json" for name in names],
        "id": scene.id,
        "collection": sensor.collection,
        "geometry": {"type": "Polygon", "coordinates": [[list(point) for point in scene.ring]]},
        "bbox": [min(longitudes), min(latitudes), max(longitudes), max(latitudes)],
        "properties": properties,
        "links": [{"rel": "collection", "href": "../collection.json", "type": "application/json"}],
        "assets": assets,
    }


def file_name(sensor: Sensor, key: str) -> str:
    """Of an asset's file."""
    names = {band.key: f"{band.name}.tif" for band in sensor.bands}
    return names.get(key) or {"thumbnail": "thumbnail.webp", "metadata": "scene.json"}.get(key, f"{key}.tif")


def assets_of(sensor: Sensor) -> dict[str, Document]:
    """What is common to the assets of all its scenes: those of an item, without what differs; ``item_assets``."""
    assets = {band.key: _band_asset(sensor, band) for band in sensor.bands}
    colours = {band.common_name: band for band in sensor.bands}
    assets["visual"] = {
        "type": COG_TYPE,
        "title": "True colour",
        "roles": ["visual"],
        "gsd": sensor.pixel_m,
        "bands": [
            {"name": colours[name].name, "data_type": "uint8", **_eo(colours[name])}
            for name in ("red", "green", "blue")
        ],
    }
    assets["quality"] = {
        "type": COG_TYPE,
        "title": "Clear, cloud, shadow, snow, water",
        "roles": ["data-mask"],
        "gsd": sensor.pixel_m,
        "bands": [{"name": "quality", "data_type": "uint8", "nodata": 0}],
        "raster:bands": [{"data_type": "uint8", "nodata": 0, "spatial_resolution": sensor.pixel_m}],
        "classification:classes": [
            {"value": value, "name": name, "title": title, "color_hint": colour, **({} if value else {"nodata": True})}
            for value, name, title, colour in CLASSES
        ],
    }
    assets["thumbnail"] = {"type": "image/webp", "title": "Thumbnail", "roles": ["thumbnail"]}
    assets["metadata"] = {"type": "application/json", "title": "Scene record", "roles": ["metadata"]}
    return assets


def _band_asset(sensor: Sensor, band: Band) -> Document:
    pixel = sensor.pixel_m * (2 if band.coarse else 1)
    counts = {"data_type": "uint16", "nodata": 0}
    return {
        "type": COG_TYPE,
        "title": f"{band.name}, {band.center_um * 1000:.0f} nm",
        "roles": ["data", "reflectance"],
        "gsd": pixel,
        "bands": [{"name": band.name, **counts, **_eo(band), "raster:scale": SCALE, "raster:offset": 0.0}],
        "raster:bands": [{**counts, "scale": SCALE, "offset": 0.0, "spatial_resolution": pixel}],
    }


def _eo(band: Band) -> Document:
    return {
        "eo:common_name": band.common_name,
        "eo:center_wavelength": band.center_um,
        "eo:full_width_half_max": band.width_um,
    }


def collection(sensor: Sensor, items: Iterable[Mapping[str, Any]], picture: Mapping[str, Any]) -> Document:
    """The collection of a sensor's items.

    Args:
        sensor: with at least one item.
        items: all of them.
        picture: the file of the thumbnail: ``href``, ``file:size``, ``file:checksum``.
    """
    items = list(items)
    title, description = _DESCRIPTIONS[sensor.collection]
    first = min(item["properties"]["start_datetime"] for item in items)
    last = max(item["properties"]["end_datetime"] for item in items)
    parts: dict[str, list[list[float]]] = {}
    for item in items:
        parts.setdefault(item["properties"]["proj:code"], []).append(item["bbox"])
    boxes = [_union(bboxes) for bboxes in parts.values()]
    names = ["eo/v2.0.0", "raster/v1.1.0", "classification/v2.0.0", "file/v2.1.0", "render/v2.0.0"]
    return {
        "type": "Collection",
        "stac_version": "1.1.0",
        "stac_extensions": [f"{_EXTENSIONS}/{name}/schema.json" for name in names],
        "id": sensor.collection,
        "title": title,
        "description": description + _ABOUT,
        "keywords": ["sample", "synthetic", "multispectral", "reflectance", "top of atmosphere"],
        "license": "CC0-1.0",
        "providers": [
            {
                "name": "Almagest sample generator",
                "description": "Renders these scenes; there is no satellite.",
                "roles": ["producer", "processor", "licensor"],
            }
        ],
        "extent": {
            "spatial": {"bbox": [_union(boxes), *boxes] if len(boxes) > 1 else boxes},
            "temporal": {"interval": [[first, last]]},
        },
        "summaries": _summaries(items),
        "item_assets": assets_of(sensor),
        "renders": _renders(sensor),
        "assets": {"thumbnail": {"type": "image/webp", "title": "Thumbnail", "roles": ["thumbnail"], **picture}},
        "links": [],
    }


def _union(boxes: Iterable[list[float]]) -> list[float]:
    west, south, east, north = zip(*boxes, strict=True)
    return [min(west), min(south), max(east), max(north)]


def _summaries(items: list[Mapping[str, Any]]) -> Document:
    found = [item["properties"] for item in items]

    def values(key: str) -> list[Any]:
        return sorted({properties[key] for properties in found})

    def spread(key: str) -> Document:
        numbers = [properties[key] for properties in found]
        return {"minimum": min(numbers), "maximum": max(numbers)}

    return {
        "platform": values("platform"),
        "constellation": values("constellation"),
        "instruments": sorted({name for properties in found for name in properties["instruments"]}),
        "gsd": values("gsd"),
        "proj:code": values("proj:code"),
        "sat:orbit_state": values("sat:orbit_state"),
        "processing:level": values("processing:level"),
        "eo:cloud_cover": spread("eo:cloud_cover"),
        "eo:snow_cover": spread("eo:snow_cover"),
        "view:off_nadir": spread("view:off_nadir"),
        "view:sun_elevation": spread("view:sun_elevation"),
    }


def _renders(sensor: Sensor) -> Document:
    """Ways to look at a scene, the first one by default."""
    nir = next(band.key for band in sensor.bands if band.common_name.startswith("nir"))

    def composite(title: str, *assets: str, high: int) -> Document:
        return {"title": title, "assets": list(assets), "rescale": [[0, high]], "minmax_zoom": [6, 13]}

    return {
        "visual": {"title": "True colour", "assets": ["visual"], "minmax_zoom": [6, 13]},
        "false-colour": composite("Near infrared, red, green", nir, "red", "green", high=5000),
        "snow-and-water": composite("Short-wave infrared, near infrared, red", "swir16", nir, "red", high=6000),
        "ndvi": {
            "title": "Vegetation index (NDVI)",
            "assets": [nir, "red"],
            "expression": f"({nir}-red)/({nir}+red)",
            "rescale": [[-0.2, 0.9]],
            "colormap_name": "rdylgn",
            "minmax_zoom": [6, 13],
        },
    }


def _written(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
