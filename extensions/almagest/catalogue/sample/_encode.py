"""The files of a scene, and what is known of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from almagest.catalogue.sample import _files
from almagest.catalogue.sample._documents import CLASSES, SCALE
from almagest.catalogue.sample._files import Grid
from almagest.catalogue.sample._plan import Scene
from almagest.catalogue.sample._render import Picture, Quality

_COUNTS = {"COMPRESS": "DEFLATE", "LEVEL": 6, "PREDICTOR": "YES", "OVERVIEW_RESAMPLING": "AVERAGE"}
_CLASSES = {"COMPRESS": "DEFLATE", "LEVEL": 6, "OVERVIEW_RESAMPLING": "MODE"}
_VISUAL = {"COMPRESS": "JPEG", "QUALITY": 84, "OVERVIEW_RESAMPLING": "AVERAGE"}
_THUMBNAIL_PX = 256


def files(scene: Scene, picture: Picture) -> tuple[dict[str, bytes], dict[str, dict[str, Any]]]:
    """Contents of the files by name; shape and statistics of the rasters among them."""
    contents: dict[str, bytes] = {}
    facts: dict[str, dict[str, Any]] = {}
    fine = Grid(scene.place.epsg, *scene.origin, scene.sensor.pixel_m)
    coarse = Grid(scene.place.epsg, *scene.origin, 2 * scene.sensor.pixel_m)
    for band in scene.sensor.bands:
        counts = picture.counts[band.name]
        grid = coarse if band.coarse else fine
        name = f"{band.name}.tif"
        contents[name] = _files.cog(counts[None], grid, _COUNTS, nodata=0, scale=SCALE, descriptions=[band.name])
        facts[name] = {"shape": list(counts.shape), "statistics": statistics(counts)}
    contents["visual.tif"] = _files.cog(picture.visual, fine, _VISUAL)
    colours = {value: (*bytes.fromhex(colour), 255 if value else 0) for value, _, _, colour in CLASSES}
    contents["quality.tif"] = _files.cog(picture.quality[None], fine, _CLASSES, nodata=0, colormap=colours)
    facts["visual.tif"] = facts["quality.tif"] = {"shape": [scene.height, scene.width]}
    contents["thumbnail.webp"] = _files.thumbnail(picture.visual, _THUMBNAIL_PX)
    return contents, facts


def statistics(counts: npt.NDArray[Any]) -> dict[str, float]:
    """Of the counts that are not nodata."""
    valid = counts[counts > 0]
    if valid.size == 0:
        return {"valid_percent": 0.0}
    return {
        "minimum": int(valid.min()),
        "maximum": int(valid.max()),
        "mean": round(float(valid.mean(dtype=np.float64)), 2),
        "stddev": round(float(valid.std(dtype=np.float64)), 2),
        "valid_percent": round(100 * valid.size / counts.size, 2),
    }


def percent(picture: Picture) -> dict[str, float]:
    """How much of what was seen is cloud, shadow, snow and water."""
    kinds = (Quality.CLOUD, Quality.SHADOW, Quality.SNOW, Quality.WATER)
    return {kind.name.lower(): round(picture.share(kind), 2) for kind in kinds}


def acquisition(scene: Scene) -> dict[str, Any]:
    """For readers of the record: how the scene was taken."""
    return {
        "id": scene.id,
        "note": "Rendered by Almagest from a synthetic world; no satellite took this picture.",
        "time": scene.time.isoformat(timespec="milliseconds"),
        "platform": scene.platform.name,
        "gain": scene.platform.gain,
        "relative_orbit": scene.orbit.relative_orbit,
        "heading_deg": round(scene.orbit.heading_deg, 3),
        "cross_track_km": round(scene.orbit.cross_track_km, 3),
        "footprint_m": [list(corner) for corner in scene.footprint],
    }
