"""Whether a document is valid STAC: the core schemas as pystac carries them, without a network.

STAC 1.0 documents are judged by the 1.1 schemas, which only add to what 1.0 allowed. The API supplies the links that
follow from where a document is stored, so a missing ``collection`` link is none of the writer's faults.
"""

from __future__ import annotations

import contextlib
import functools
import json
import re
from collections.abc import Iterator, Mapping
from importlib import resources
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import jsonschema_rs

from almagest.catalogue.links import INFERRED_LINKS, rel
from almagest.core.errors import InvalidDocumentError, Violation, pointer_step

Kind = Literal["item", "collection"]

_BASE = "https://schemas.stacspec.org/v1.1.0"
_SUPPORTED = re.compile(r"1\.[01]\.\d+")
#: Ids become path segments. A slash or a dot segment would lead elsewhere, control characters nowhere.
_FORBIDDEN_ID = re.compile(r"[/\\\x00-\x1f\x7f]")
_ANY_LINK = {"rel": "related", "href": "."}
_MAX_ID = 1024
_MAX_VIOLATIONS = 20


def check_item(document: Any, *, mirror: Path | None = None, extensions: bool = False) -> None:
    """Checks a STAC item.

    Args:
        document: as parsed from JSON; not changed.
        mirror: folder of mirrored schemas (``host/path``), for extensions.
        extensions: also judge by the schemas of ``stac_extensions``.

    Raises:
        InvalidDocumentError: with the JSON Pointer and the reason of each fault.
    """
    _check("item", document, mirror=mirror, extensions=extensions)


def check_collection(document: Any, *, mirror: Path | None = None, extensions: bool = False) -> None:
    """Checks a STAC collection; arguments and errors as for :func:`check_item`."""
    _check("collection", document, mirror=mirror, extensions=extensions)


def check_asset(asset: Any) -> None:
    """Checks an asset of an item, alone; errors as for :func:`check_item`, with pointers into the asset."""
    faults = [fault for error in _validator("asset").iter_errors(asset) for fault in _explain(error)]
    if faults:
        raise InvalidDocumentError(faults[:_MAX_VIOLATIONS], "The asset")


def _check(kind: Kind, document: Any, *, mirror: Path | None, extensions: bool) -> None:
    name = document.get("id") if isinstance(document, dict) else None
    subject = f"The {kind} {name!r}" if isinstance(name, str) and len(name) < 200 else f"The {kind}"
    violations = list(_violations(kind, document))
    if not violations and extensions:
        violations = list(_extension_violations(document, mirror))
    if violations:
        raise InvalidDocumentError(violations[:_MAX_VIOLATIONS], subject)


def _violations(kind: Kind, document: Any) -> Iterator[Violation]:
    if not isinstance(document, dict):
        yield Violation("", f"is a {type(document).__name__}, not a JSON object")
        return
    version = document.get("stac_version")
    if not isinstance(version, str) or not _SUPPORTED.fullmatch(version):
        yield Violation(
            "/stac_version", f"{version!r} is not supported: write STAC 1.0 or 1.1 (from 0.8 on it is migrated)"
        )
        return
    yield from _id_violations(document)
    geometry = document.get("geometry")
    if kind == "item" and isinstance(geometry, dict) and geometry.get("type") == "GeometryCollection":
        yield Violation("/geometry", "is a GeometryCollection, which STAC does not allow: write a multi-geometry")
        return
    judged = _as_1_1(kind, document)
    validator = _validator(kind)
    # Nearly all are valid, and that is sooner said than what is wrong.
    if not validator.is_valid(judged):
        faults = (fault for error in validator.iter_errors(judged) for fault in _explain(error))
        # The same place fails several branches of the GeoJSON schema: one sentence each is enough.
        yield from dict.fromkeys(faults)
    elif kind == "item":
        yield from _geometry_violations(geometry)
    if kind == "collection":
        yield from _item_assets_violations(document.get("item_assets", {}))


def _as_1_1(kind: Kind, document: Mapping[str, Any]) -> dict[str, Any]:
    """The document as the 1.1 schemas may judge it: without the links that the API makes itself, and for STAC 1.0
    without the rule that came later (several bboxes are an overall one and its parts)."""
    judged: dict[str, Any] = {**document, "stac_version": "1.1.0"}
    links = document.get("links", [] if kind == "collection" else None)
    if isinstance(links, list):
        # Replaced, not removed: the position of the others is part of what a violation says.
        judged["links"] = [_ANY_LINK if rel(link) in INFERRED_LINKS else link for link in links]
        if kind == "item" and "collection" in document:
            judged["links"].append({**_ANY_LINK, "rel": "collection"})
    if kind == "collection" and str(document["stac_version"]).startswith("1.0"):
        with contextlib.suppress(KeyError, TypeError, AttributeError):
            extent = document["extent"]
            bboxes = extent["spatial"]["bbox"]
            if len(bboxes) == 2:
                judged["extent"] = {**extent, "spatial": {**extent["spatial"], "bbox": [bboxes[0], *bboxes]}}
    return judged


def _id_violations(document: Mapping[str, Any]) -> Iterator[Violation]:
    identifier = document.get("id")
    if isinstance(identifier, str):
        if _FORBIDDEN_ID.search(identifier) or identifier in {".", ".."}:
            yield Violation("/id", "must not hold slashes or control characters: it becomes part of a path")
        elif len(identifier.encode()) > _MAX_ID:
            yield Violation("/id", f"is longer than {_MAX_ID} bytes")


def _item_assets_violations(item_assets: Any) -> Iterator[Violation]:
    """Every item of the collection is joined with them: one that is no object would break all reads."""
    if not isinstance(item_assets, dict):
        yield Violation("/item_assets", "is not an object of assets by key")
        return
    for key, asset in item_assets.items():
        if not isinstance(asset, dict):
            yield Violation(f"/item_assets/{key}", "is not an object")


def _geometry_violations(geometry: Any) -> Iterator[Violation]:
    """What the GeoJSON schema cannot say: rings are closed, and pgSTAC needs a geometry."""
    if geometry is None:
        yield Violation("/geometry", "is null; the catalogue needs one (the polygon of the bbox, if nothing else)")
        return
    coordinates = geometry["coordinates"]
    if not coordinates or not all(part or part == 0 for part in coordinates):
        yield Violation("/geometry/coordinates", "is empty" if not coordinates else "has an empty part")
        return
    positions = coordinates if isinstance(coordinates[0], list) else [coordinates]
    while isinstance(positions[0][0], list):
        positions = list(chain.from_iterable(positions))
    for position in positions:
        if len(position) > 3 or abs(position[0]) > 360 or abs(position[1]) > 90:
            yield Violation("/geometry/coordinates", f"{position} is not a longitude and latitude in degrees")
            return
    polygons = {"Polygon": [coordinates], "MultiPolygon": coordinates}.get(geometry["type"], [])
    for p, rings in enumerate(polygons):
        for r, ring in enumerate(rings):
            if ring[0] != ring[-1]:
                where = (
                    f"/geometry/coordinates/{r}" if geometry["type"] == "Polygon" else f"/geometry/coordinates/{p}/{r}"
                )
                yield Violation(where, "the ring is not closed: its first and last position differ")


def _explain(error: jsonschema_rs.ValidationError) -> Iterator[Violation]:
    """The faults behind an error; of alternatives, those of the one that the document came nearest to."""
    branches = getattr(error.kind, "context", None)
    if branches and not all(map(_wrong_kind, branches)):
        nearest = min(branches, key=lambda branch: (_wrong_kind(branch), len(branch), -_depth(branch)))
        for cause in nearest:
            yield from _explain(cause)
        return
    pointer = "".join(f"/{pointer_step(part)}" for part in error.instance_path)
    message = error.message if len(error.message) <= 300 else f"{error.message[:120]} … {error.message[-120:]}"
    yield Violation(pointer, message)


def _wrong_kind(branch: list[jsonschema_rs.ValidationError]) -> bool:
    """Whether the branch is for another kind of thing: another geometry type, or null where there is something."""
    return any(
        (cause.kind.name == "enum" and cause.instance_path[-1:] == ["type"])
        or cause.kind.name == "not"
        or (cause.kind.name == "type" and cause.message.endswith('is not of type "null"'))
        for cause in branch
    )


def _depth(branch: list[jsonschema_rs.ValidationError]) -> int:
    return max((len(cause.instance_path) for cause in branch), default=0)


@functools.cache
def _validator(kind: Kind | Literal["asset"]) -> Any:
    documents = _core_schemas()
    of_items = f"{_BASE}/item-spec/json-schema/item.json"
    return jsonschema_rs.Draft7Validator(
        {"$ref": f"{of_items}#/definitions/asset"}
        if kind == "asset"
        else documents[f"{_BASE}/{kind}-spec/json-schema/{kind}.json"],
        registry=jsonschema_rs.Registry(list(documents.items()), draft=jsonschema_rs.Draft7),
        validate_formats=True,
    )


@functools.cache
def _core_schemas() -> dict[str, Any]:
    root = resources.files("pystac.validation.jsonschemas")
    documents = {}
    for file in (root / "stac-spec" / "v1.1.0").iterdir():
        stem = file.name.removesuffix(".json")
        folder = f"{stem}-spec" if stem in {"catalog", "collection"} else "item-spec"
        documents[f"{_BASE}/{folder}/json-schema/{file.name}"] = json.loads(file.read_text(encoding="utf-8"))
    for file in (root / "geojson").iterdir():
        documents[f"https://geojson.org/schema/{file.name}"] = json.loads(file.read_text(encoding="utf-8"))
    # Where it is found is its name: the $id inside one of them (common.json, pystac 1.15) is misspelt.
    return {url: {**schema, "$id": url} for url, schema in documents.items()}


def _extension_violations(document: Mapping[str, Any], mirror: Path | None) -> Iterator[Violation]:
    for index, url in enumerate(document.get("stac_extensions") or []):
        where = f"/stac_extensions/{index}"
        try:
            validator = _extension_validator(url, mirror)
        except LookupError:
            yield Violation(where, f"{url} cannot be checked: it is not in the schema mirror (ALMAGEST_SCHEMA_MIRROR)")
            continue
        except ValueError as error:
            yield Violation(where, f"{url} is not a usable schema: {error}")
            continue
        for fault in validator.iter_errors(dict(document)):
            yield from _explain(fault)


@functools.lru_cache(maxsize=128)
def _extension_validator(url: str, mirror: Path | None) -> Any:
    def retrieve(wanted: str) -> Any:
        core = _core_schemas().get(wanted.split("#")[0])
        return core if core is not None else _mirrored(wanted, mirror)

    return jsonschema_rs.validator_for(_mirrored(url, mirror), retriever=retrieve, validate_formats=True)


def _mirrored(url: str, mirror: Path | None) -> Any:
    """The schema of a URL from the mirror folder; the URL is a writer's, so it may not lead out of the folder."""
    match = re.fullmatch(r"https?://([\w.-]+/[\w./@+-]+?)#?", url)
    if mirror is None or match is None or ".." in url:
        raise LookupError(url)
    file = mirror / match[1]
    if not file.is_file():
        raise LookupError(url)
    return json.loads(file.read_text(encoding="utf-8"))
