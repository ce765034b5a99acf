"""Items as a mission writes them, always the same: a polygon, 17 assets, 5 KB."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

COLLECTION = "scenes"
BANDS = (
    "coastal",
    "blue",
    "green",
    "red",
    "rededge1",
    "rededge2",
    "rededge3",
    "nir",
    "nir08",
    "nir09",
    "swir16",
    "swir22",
)
OTHERS = ("visual", "aot", "wvp", "scl", "thumbnail")


def collections(count: int) -> list[str]:
    """Names of so many collections."""
    return [COLLECTION, *(f"{COLLECTION}-{number}" for number in range(1, count))]


def collection(name: str = COLLECTION) -> dict[str, Any]:
    """A collection of the items, with what their assets have in common."""
    return {
        "type": "Collection",
        "stac_version": "1.1.0",
        "id": name,
        "description": "Scenes of a mission that never flew.",
        "license": "other",
        "extent": {
            "spatial": {"bbox": [[-180, -90, 180, 90]]},
            "temporal": {"interval": [["2019-01-01T00:00:00Z", None]]},
        },
        "links": [],
        "item_assets": {
            name: {"type": "image/tiff; application=geotiff", "roles": ["data"], "title": f"The {name} raster"}
            for name in (*BANDS, *OTHERS)
        },
    }


def items(count: int, seed: int = 4, among: int = 1) -> Iterator[dict[str, Any]]:
    """The items, in the order of their times, dealt out to so many collections."""
    names = collections(among)
    chance = random.Random(seed)
    moment = datetime(2019, 1, 1, tzinfo=UTC)
    for number in range(count):
        moment += timedelta(seconds=chance.uniform(60, 1800))
        yield {**_item(number, moment, chance), "collection": names[number % among]}


def write(file: Path, count: int, among: int = 1) -> None:
    """Writes the items as ndjson."""
    with file.open("wb") as stream:
        for item in items(count, among=among):
            stream.write(orjson.dumps(item) + b"\n")


def _item(number: int, moment: datetime, chance: random.Random) -> dict[str, Any]:
    name = f"S9_{number:07d}_{moment:%Y%m%dT%H%M%S}"
    west, south = chance.uniform(-175, 170), chance.uniform(-80, 75)
    ring = [
        [west + x, south + y]
        for x, y in ((0, 0), (1, 0.1), (2, 0.2), (2.1, 1), (2.2, 2), (1.2, 1.9), (0.2, 1.8), (0, 0))
    ]
    folder = f"https://example.org/missions/s9/{moment:%Y/%m/%d}/{name}"
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": ["https://stac-extensions.github.io/projection/v2.0.0/schema.json"],
        "id": name,
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "bbox": [west, south, west + 2.2, south + 2],
        "properties": {
            "datetime": f"{moment:%Y-%m-%dT%H:%M:%S.%fZ}",
            "platform": chance.choice(["s9-a", "s9-b"]),
            "eo:cloud_cover": round(chance.uniform(0, 100), 2),
            "proj:code": f"EPSG:{32600 + chance.randint(1, 60)}",
            "view:off_nadir": round(chance.uniform(0, 10), 3),
            "note": None,
        },
        "assets": {
            band: {
                "href": f"{folder}/{band}.tif",
                "type": "image/tiff; application=geotiff",
                "roles": ["data"],
                "title": f"The {band} raster",
                "file:size": chance.randint(10**6, 10**8),
                "proj:transform": [10, 0, chance.randint(1, 10**6), 0, -10, chance.randint(1, 10**7)],
            }
            for band in (*BANDS, *OTHERS)
        },
        "links": [{"rel": "license", "href": "https://example.org/license"}],
    }
