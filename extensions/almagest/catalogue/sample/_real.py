"""The real data beside the checkout, as a sample.

``raster/hotosm_sites`` is left out: its tiles are plain pictures that say neither where they lie nor when they were
taken; only their names do, to those who know the scheme. Of ``raster/noaa_eri_nashville``, a collection of Maxar's
without items is left out.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from almagest.catalogue.extents import around, bare_collection
from almagest.catalogue.sample import Progress, Sample
from almagest.catalogue.sample._rasters import Raster, describe, geometry
from almagest.catalogue.sample._sources import SOURCES, File, Source, Thing

Document = dict[str, Any]

_COLORADO = ("landsat-c2-l2", "sentinel-2-l2a", "naip")
_EXTENSIONS = "https://stac-extensions.github.io"
_LABEL = "reading real data"
#: The set's own STAC item says no more than this day.
_BANEPA_TIME = "2024-01-01T00:00:00Z"


class _Items:
    """Items that are read again each time: ten thousand need not stay in memory."""

    def __init__(self, documents: list[Document], files: list[Path]) -> None:
        self._documents, self._files = documents, files

    def __iter__(self) -> Iterator[Document]:
        yield from self._documents
        for file in self._files:
            yield from _lines(file)


def load(data: Path, thumbnails: Path | None, progress: Progress | None) -> Sample:
    """See :func:`almagest.catalogue.sample.real`."""
    tell = progress or (lambda *_: None)
    parts: list[Callable[[], tuple[Document, list[Document]]]] = [
        *(lambda source=source: _source(source, data / "raster", thumbnails) for source in SOURCES),
        lambda: _banepa(data / "raster" / "oam_banepa", thumbnails),
        lambda: _nashville(data / "raster" / "noaa_eri_nashville"),
    ]
    total = len(parts) + len(_COLORADO)
    known = _known_collections(data)
    files = [data / "stac" / "colorado" / f"{name}.ndjson.gz" for name in _COLORADO]
    collections = []
    for name, file in zip(_COLORADO, files, strict=True):
        collections.append(known[name] if name in known else bare_collection(name, around(_lines(file))))
        tell(_LABEL, len(collections), total)
    documents: list[Document] = []
    for part in parts:
        collection, items = part()
        collections.append(collection)
        documents += items
        tell(_LABEL, len(collections), total)
    return Sample(collections, _Items(documents, files))


def _lines(file: Path) -> Iterator[Document]:
    with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as lines:
        for line in lines:
            if line.strip():
                yield json.loads(line)


def _known_collections(data: Path) -> dict[str, Document]:
    """Published documents by id; of several, the one that describes the most assets."""
    found: dict[str, Document] = {}
    for document in _lines(data / "stac" / "collections" / "collections.ndjson.gz"):
        name = document.get("id")
        if isinstance(name, str) and document.get("type") == "Collection" and "extent" in document:
            richest = found.get(name, {}).get("item_assets") or {}
            if name not in found or len(document.get("item_assets") or {}) > len(richest):
                found[name] = document
    return found


def _source(source: Source, rasters: Path, thumbnails: Path | None) -> tuple[Document, list[Document]]:
    items = [_item(source.id, thing, rasters, thumbnails) for thing in source.things]
    collection = {
        "type": "Collection",
        "stac_version": "1.1.0",
        "id": source.id,
        "title": source.title,
        "description": source.description,
        "keywords": list(source.keywords),
        "license": source.license,
        "providers": [dict(provider) for provider in source.providers],
        "extent": around(items).as_json(),
        "links": [dict(link) for link in source.links],
    }
    return collection, items


def _item(collection: str, thing: Thing, folder: Path, thumbnails: Path | None) -> Document:
    assets: dict[str, Document] = {}
    rasters: dict[str, Raster] = {}
    for key, file in thing.files.items():
        path = folder / file.path
        asset: Document = {"href": path.as_uri(), "title": file.title, "roles": list(file.roles)}
        if file.media_type:
            asset |= {"type": file.media_type, "file:size": path.stat().st_size}
        else:
            rasters[key] = describe(path)
            asset |= _with_knowledge(rasters[key].asset, file)
        assets[key] = asset
    projections = [raster.properties for raster in rasters.values()]
    same = all(projection == projections[0] for projection in projections)
    for key, raster in rasters.items():
        assets[key] |= {} if same else raster.properties
    shape, bbox = geometry([raster.footprint for raster in rasters.values()])
    moment = {"datetime": thing.when} if isinstance(thing.when, str) else _range(*thing.when)
    names = {"projection/v2.0.0", "file/v2.1.0", *thing.extensions}
    names |= {"raster/v1.1.0"} if any("raster:bands" in asset for asset in assets.values()) else set()
    names |= {"eo/v2.0.0"} if any(file.colours for file in thing.files.values()) else set()
    item: Document = {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [f"{_EXTENSIONS}/{name}/schema.json" for name in sorted(names)],
        "id": thing.id,
        "collection": collection,
        "geometry": shape,
        "bbox": bbox,
        "properties": {"title": thing.title, **moment, **thing.properties, **(projections[0] if same else {})},
        "links": [{"rel": "collection", "href": f"../{collection}", "type": "application/json"}],
        "assets": assets,
    }
    _add_thumbnail(item, thumbnails)
    return item


def _range(first: str, last: str) -> Document:
    return {"datetime": None, "start_datetime": first, "end_datetime": last}


def _with_knowledge(asset: Document, file: File) -> Document:
    """What the raster says of itself, and what we know beyond that."""
    bands = [dict(band) for band in asset["bands"]]
    for band, colour in zip(bands, file.colours, strict=False):
        band |= {"name": colour if len(bands) > 1 else band["name"], "eo:common_name": colour}
    known = {**asset, "bands": bands}
    if file.scale is not None:
        known["raster:bands"] = [{"scale": file.scale, "offset": file.offset} for _ in bands]
    return known


def _add_thumbnail(item: Document, thumbnails: Path | None) -> None:
    from almagest.catalogue.sample import _thumbnails

    if thumbnails is None:
        return
    picture = _thumbnails.make(item, thumbnails / item["collection"] / f"{item['id']}.webp")
    if picture is not None:
        item["assets"]["thumbnail"] = picture


def _banepa(folder: Path, thumbnails: Path | None) -> tuple[Document, list[Document]]:
    """Chips of a drone picture: JPEGs by content, called tif, with their place in a file beside them."""
    labels = next(iter(sorted((folder / "train" / "osm").glob("*.geojson"))), None)
    oam = {"name": "OpenAerialMap", "roles": ["host", "licensor"], "url": "https://openaerialmap.org"}
    hot = {"name": "HOTOSM", "roles": ["processor"], "url": "https://www.hotosm.org"}
    source = Source(
        "oam-banepa",
        "OpenAerialMap, chips of Banepa",
        "Chips of 70 m at 0.13 m of a drone picture of Banepa, Nepal, and the outlines of buildings in OpenStreetMap. "
        "The pictures are CC-BY-4.0, the outlines ODbL-1.0. The time is the one that the data set's own item gives.",
        "other",
        (oam, hot),
        ("openaerialmap", "drone", "buildings", "nepal"),
        tuple(
            Thing(
                path.stem,
                f"Banepa, {path.stem}",
                _BANEPA_TIME,
                {"image": File(f"train/oam/{path.name}", "Chip", ("red", "green", "blue"), roles=("data", "visual"))},
                {"gsd": 0.13, "license": "CC-BY-4.0"},
            )
            for path in sorted((folder / "train" / "oam").glob("*.tif"))
        ),
        (
            {"rel": "license", "href": "https://creativecommons.org/licenses/by/4.0/"},
            {"rel": "license", "href": "https://opendatacommons.org/licenses/odbl/1-0/"},
        ),
    )
    collection, items = _source(source, folder, thumbnails)
    if labels is not None:
        collection["assets"] = {
            "labels": {
                "href": labels.as_uri(),
                "type": "application/geo+json",
                "title": "Buildings (ODbL-1.0)",
                "roles": ["labels"],
            }
        }
    return collection, items


def _nashville(folder: Path) -> tuple[Document, list[Document]]:
    """NOAA's own items; the one whose picture lies in the folder points to it."""
    collection = json.loads((folder / "noaa-emergency-response.json").read_text(encoding="utf-8"))
    items = [_at_home(item, folder) for item in _lines(folder / "noaa-eri-nashville2020.json")]
    return collection, items


def _at_home(item: Document, folder: Path) -> Document:
    assets: dict[str, Document] = {}
    for key, asset in item["assets"].items():
        path = folder / Path(asset["href"]).name
        assets[key] = {**asset, "href": path.as_uri()} if path.is_file() else asset
    return {**item, "assets": assets}


def counts(sample: Sample) -> Mapping[str, int]:
    """How many items each collection has."""
    found = {collection["id"]: 0 for collection in sample.collections}
    for item in sample.items:
        found[item["collection"]] += 1
    return found
