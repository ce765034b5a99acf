"""What stac-fastapi's own description of the API leaves out or has wrong: documents that ours answer, and problems."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI

from almagest.catalogue.provenance import MEDIA_TYPE as PROV_JSON
from almagest.services.stac.changes import EVENTS
from almagest.services.stac.links import GEOJSON, JSON, JSON_SCHEMA
from almagest.services.stac.versions import JSON_PATCH
from almagest.services.web.docs import problem_answers

Schema = dict[str, Any]

_COLLECTION = "/collections/{collection_id}"
_ITEM = f"{_COLLECTION}/items/{{item_id}}"


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _many(schema: Schema) -> Schema:
    return {"type": "array", "items": schema}


_OBJECT: Schema = {"type": "object"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_TEXT: Schema = {"type": "string"}


def _of(optional: Mapping[str, Schema] | None = None, **required: Schema) -> Schema:
    return {"type": "object", "required": list(required), "properties": {**required, **(optional or {})}}


#: Documents of ours, and one of the library's that is true of whole items and collections alone.
_SCHEMAS: Mapping[str, Schema] = {
    "AggregationCollection": _of(
        type={"enum": ["AggregationCollection"]},
        aggregations=_many(
            _of(
                {
                    "value": {"description": "Of one that is a single value; null where there is none."},
                    "buckets": _many(
                        _of(
                            {"from": {"type": "number"}, "to": {"type": "number"}},
                            key=_TEXT,
                            data_type=_TEXT,
                            frequency=_COUNT,
                        )
                    ),
                    "overflow": {"type": "integer", "description": "Items that are in none of the buckets."},
                },
                name=_TEXT,
                data_type=_TEXT,
            )
        ),
        links=_many(_OBJECT),
    ),
    "BulkReport": _of(
        received=_COUNT,
        success=_COUNT,
        created=_COUNT,
        updated=_COUNT,
        unchanged=_COUNT,
        skipped=_COUNT,
        errors=_many(_OBJECT),
        mended=_many(_OBJECT),
    ),
    "Change": _of(
        {
            "item": {**_TEXT, "description": "Id of the item; none: the collection itself."},
            "document": {"description": "What it was then: with `documents`, and unless it was deleted."},
        },
        type={"enum": ["created", "updated", "deleted", "restored"]},
        collection=_TEXT,
        version={**_TEXT, "description": "Name of the version that began; of a deletion, as if there were one."},
        datetime={**_TEXT, "format": "date-time"},
    ),
    "Changes": _of(
        changes=_many(_ref("Change")),
        cursor={**_TEXT, "description": "Goes on behind these: send it as `since`."},
        numberReturned=_COUNT,
        links=_many(_OBJECT),
    ),
    "CreatedItems": _of(created=_COUNT, mended=_many(_OBJECT)),
    "JsonPatch": _many(_of(op=_TEXT, path=_TEXT)),
    "Lineage": _of(
        direction={"enum": ["up", "down"]},
        nodes=_many(_ref("LineageNode")),
        edges=_many(_of(derived=_COUNT, source=_COUNT, pinned={"type": "boolean"})),
        cut=_many({"enum": ["depth", "nodes"]}),
        links=_many(_OBJECT),
    ),
    "Pairs": _of(
        {
            "featurePairs": _many({**_many(_TEXT), "minItems": 2, "maxItems": 2, "description": "Ids: first, second."}),
            "pairs": _many(
                _of(
                    {"matchup:overlap_fraction": {"type": "number"}},
                    first=_ref("PairMember"),
                    second=_ref("PairMember"),
                    time_diff_s={"type": "number", "description": "From the start of the first to that of the second."},
                    collocation_area_km2={"type": "number"},
                )
            ),
        },
        type={"enum": ["FeatureCollection"]},
        features=_many(_ref("Item")),
        links=_many(_OBJECT),
        numberReturned=_COUNT,
    ),
    "PairMember": _of(collection=_TEXT, id=_TEXT),
    "LineageNode": _of(
        {
            **dict.fromkeys(("collection", "id", "title", "job", "actor", "login", "key_id"), _TEXT),
            "version": {**_TEXT, "description": "The version that was used; none where nobody can tell."},
            "latest": {"type": "boolean", "description": "Nothing came after this version."},
            "deleted": {"type": "boolean", "description": "There is no such item any more."},
            "known": {"type": "boolean", "description": "Whether the version is there to be read."},
            "software": {"description": "As the processing extension has it."},
            "href": {**_TEXT, "description": "Of what lies elsewhere; it has no id."},
        },
        node=_COUNT,
        links=_many(_OBJECT),
    ),
    "PartialItem": {**_of(id=_TEXT), "description": "As `fields` leaves it."},
    "PartialCollection": {**_of(id=_TEXT), "description": "As `fields` leaves it."},
    "Registered": _of({"latest": {}}, outcome=_TEXT, key=_TEXT, asset=_OBJECT),
    "RemovedAsset": _of(latest={"description": "The key that is the latest now, if there is one."}),
    "Stale": _of(
        products=_many(
            _of(
                collection=_TEXT,
                id=_TEXT,
                version=_TEXT,
                sources=_many(
                    _of(
                        collection=_TEXT,
                        id=_TEXT,
                        version={"type": ["string", "null"]},
                        newest={"type": ["string", "null"], "description": "null: it was deleted."},
                        pinned={"type": "boolean"},
                    )
                ),
                links=_many(_OBJECT),
            )
        ),
        links=_many(_OBJECT),
    ),
    "Version": _of(
        {
            "version": {**_TEXT, "description": "Its name; what says that it was deleted has none."},
            "valid_to": {"type": ["string", "null"], "format": "date-time"},
            **dict.fromkeys(("actor", "login", "key_id", "request_id", "job"), _TEXT),
        },
        valid_from={**_TEXT, "format": "date-time"},
        deleted={"type": "boolean"},
        links=_many(_OBJECT),
    ),
    "Versions": _of(versions=_many(_ref("Version")), links=_many(_OBJECT)),
}

_AN_ITEM, _A_COLLECTION = {GEOJSON: _ref("Item")}, {JSON: _ref("Collection")}
#: What good answers hold, by method, path and status, where the library does not know.
_CONTENT: Mapping[tuple[str, str, str], Mapping[str, Schema]] = {
    ("get", "/pair-search", "200"): {GEOJSON: _ref("Pairs")},
    ("post", "/pair-search", "200"): {GEOJSON: _ref("Pairs")},
    ("get", "/queryables", "200"): {JSON_SCHEMA: _OBJECT},
    ("get", f"{_COLLECTION}/queryables", "200"): {JSON_SCHEMA: _OBJECT},
    ("get", "/changes", "200"): {
        JSON: _ref("Changes"),
        EVENTS: {
            "type": "string",
            "description": "Server-sent events, without end: `event` is the type, `id` a cursor, `data` a Change.",
        },
    },
    **{
        (method, f"{of}/{name}", "200"): {JSON: _ref("AggregationCollection")}
        for of in ("", _COLLECTION)
        for method, name in (("get", "aggregations"), ("get", "aggregate"), ("post", "aggregate"))
    },
    ("get", f"{_COLLECTION}/versions", "200"): {JSON: _ref("Versions")},
    ("get", f"{_ITEM}/versions", "200"): {JSON: _ref("Versions")},
    ("get", f"{_COLLECTION}/versions/{{version}}", "200"): _A_COLLECTION,
    ("get", f"{_ITEM}/versions/{{version}}", "200"): _AN_ITEM,
    ("get", f"{_COLLECTION}/versions/{{version}}/diff", "200"): {JSON_PATCH: _ref("JsonPatch")},
    ("get", f"{_ITEM}/versions/{{version}}/diff", "200"): {JSON_PATCH: _ref("JsonPatch")},
    ("get", f"{_ITEM}/lineage", "200"): {JSON: _ref("Lineage"), PROV_JSON: _OBJECT},
    ("get", "/stale", "200"): {JSON: _ref("Stale")},
    ("post", "/collections", "201"): _A_COLLECTION,
    ("put", _COLLECTION, "200"): _A_COLLECTION,
    ("patch", _COLLECTION, "200"): _A_COLLECTION,
    ("post", f"{_COLLECTION}/items", "201"): {**_AN_ITEM, JSON: _ref("CreatedItems")},
    ("put", _ITEM, "200"): _AN_ITEM,
    ("patch", _ITEM, "200"): _AN_ITEM,
    ("post", f"{_COLLECTION}/bulk_items", "200"): {JSON: _ref("BulkReport")},
    ("post", f"{_COLLECTION}/versions/{{version}}/restore", "200"): _A_COLLECTION,
    ("post", f"{_ITEM}/versions/{{version}}/restore", "200"): _AN_ITEM,
    ("post", f"{_ITEM}/assets", "200"): {JSON: _ref("Registered")},
    ("post", f"{_ITEM}/assets", "201"): {JSON: _ref("Registered")},
    ("delete", f"{_ITEM}/assets/{{key}}", "200"): {JSON: _ref("RemovedAsset")},
}
#: What is sent, where the library does not know.
_SENT: Mapping[tuple[str, str], Mapping[str, Schema]] = {
    ("post", "/collections"): _A_COLLECTION,
    ("put", _COLLECTION): _A_COLLECTION,
    ("post", f"{_COLLECTION}/items"): {
        kind: {"anyOf": [_ref("Item"), _of(type={"enum": ["FeatureCollection"]}, features=_many(_ref("Item")))]}
        for kind in (GEOJSON, JSON)
    },
    ("put", _ITEM): dict.fromkeys((GEOJSON, JSON), _ref("Item")),
    ("post", f"{_COLLECTION}/bulk_items"): {
        JSON: _of(
            {"method": {"enum": ["insert", "upsert"], "default": "insert"}},
            items={"type": "object", "additionalProperties": _ref("Item")},
        )
    },
}
#: What is answered as of a moment, which may be too late or too early.
_AS_OF = frozenset({"/search", "/collections", _COLLECTION, f"{_COLLECTION}/items", _ITEM})
_FOUND = {"description": "Successful Response"}
_UNCHANGED = {"description": "It is still what the ETag in `If-None-Match` belongs to."}


def describe(app: FastAPI) -> None:
    """Mend the app's OpenAPI description, when it is first asked for."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _mended(plain())
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's own way


def _mended(description: dict[str, Any]) -> dict[str, Any]:
    schemas = description["components"]["schemas"]
    # FastAPI's own refusals, which nobody gets here: ours are problem documents with 400.
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas.update(_SCHEMAS)
    # `fields` may leave an id of what is found.
    for page, member, whole in (("ItemCollection", "features", "Item"), ("Collections", "collections", "Collection")):
        schemas[page]["properties"][member]["items"] = {"anyOf": [_ref(whole), _ref(f"Partial{whole}")]}
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            operation["responses"].pop("422", None)
            operation["responses"] |= problem_answers(_problems(method, path))
            if method == "get":
                operation["responses"]["304"] = _UNCHANGED
    for (method, path, status), content in _CONTENT.items():
        # An API that cannot be written to has fewer.
        if operation := description["paths"].get(path, {}).get(method):
            answer = operation["responses"].setdefault(status, dict(_FOUND))
            answer["content"] = {media_type: {"schema": schema} for media_type, schema in content.items()}
    for (method, path), sent in _SENT.items():
        if operation := description["paths"].get(path, {}).get(method):
            operation["requestBody"]["content"] = {kind: {"schema": schema} for kind, schema in sent.items()}
    return description


def _problems(method: str, path: str) -> tuple[int, ...]:
    """What may be wrong with a request, and with what it is about."""
    named = (404, 410) if "{" in path else ()
    if path == "/changes":
        return (400, 410)
    if method == "get" or path in {"/search", "/pair-search"} or path.endswith("/aggregate"):
        if path in _AS_OF:
            named = tuple(sorted({*named, 409, 410}))
        # A whole result in one answer may be too large.
        return (400, *named, *((413,) if path in {"/search", f"{_COLLECTION}/items"} else ()))
    return (400, *named, 409, 412, 413, 415, 428, 507)
