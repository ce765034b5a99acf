"""The transaction and bulk extensions over documents as they come: nothing is parsed into models and printed again."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from almagest.catalogue.versions import Subject
from almagest.core.errors import BadRequestError, UnsupportedMediaTypeError
from almagest.services.stac.client import answer
from almagest.services.stac.links import GEOJSON, Links
from almagest.services.stac.patches import Change, change_of
from almagest.services.stac.storing import Author
from almagest.services.stac.writing import Stored, Writer
from almagest.services.web.etags import Condition
from almagest.services.web.request_id import request_id

CONFORMANCE = (
    "https://api.stacspec.org/v1.0.0/ogcapi-features/extensions/transaction",
    "https://api.stacspec.org/v1.0.0/collections/extensions/transaction",
)

Extensions = Annotated[
    bool, Query(alias="validate-extensions", description="Validate by the schemas in `stac_extensions` too.")
]

_JSON_PATCH = "application/json-patch+json"
_DOCUMENTS = {"application/json", "application/geo+json"}
_KINDS = {_JSON_PATCH: list, "application/merge-patch+json": dict}
_PATCHES = _DOCUMENTS | set(_KINDS)

_BODY = {"requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}}
_PATCH_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/merge-patch+json": {"schema": {"type": "object"}},
            _JSON_PATCH: {"schema": {"type": "array", "items": {"type": "object"}}},
        },
    }
}


def router(writer: Writer, public: Links, *, require_if_match: bool = False) -> APIRouter:
    """Routes of the two extensions.

    Args:
        writer: checks and stores.
        public: makes the links of what is answered.
        require_if_match: whether a change must say what it changes.
    """
    routes = APIRouter(tags=["Transactions"])

    def condition(request: Request) -> Condition:
        return Condition(request, required=require_if_match)

    def of(request: Request) -> Writer:
        return writer.of(author_of(request))

    @routes.post("/collections", status_code=201, openapi_extra=_BODY)
    async def create_collection(request: Request, extensions: Extensions = False) -> Response:
        """Create a collection."""
        collection = await of(request).create_collection(await _json(request), extensions=extensions)
        return _collection(collection, public, status=201)

    @routes.put("/collections/{collection_id}", openapi_extra=_BODY)
    async def replace_collection(collection_id: str, request: Request, extensions: Extensions = False) -> Response:
        """Replace a collection; its items stay."""
        document = await _json(request)
        stored = await of(request).replace_collection(
            collection_id, document, condition(request), extensions=extensions
        )
        return _collection(stored, public)

    @routes.patch("/collections/{collection_id}", openapi_extra=_PATCH_BODY)
    async def change_collection(collection_id: str, request: Request, extensions: Extensions = False) -> Response:
        """Change a collection by JSON Merge Patch or JSON Patch."""
        change = await _change(request)
        stored = await of(request).change_collection(collection_id, change, condition(request), extensions=extensions)
        return _collection(stored, public)

    @routes.delete("/collections/{collection_id}", status_code=204)
    async def delete_collection(collection_id: str, request: Request) -> Response:
        """Delete a collection and all its items."""
        await of(request).delete_collection(collection_id, condition(request))
        return Response(status_code=204)

    @routes.post("/collections/{collection_id}/items", status_code=201, openapi_extra=_BODY)
    async def create_items(collection_id: str, request: Request, extensions: Extensions = False) -> Response:
        """Create an item, or all items of a feature collection or none."""
        document = await _json(request)
        if not isinstance(document, dict) or document.get("type") != "FeatureCollection":
            item = await of(request).create_item(collection_id, document, extensions=extensions)
            return _item(item, public, status=201)
        features = document.get("features")
        if not isinstance(features, list):
            raise BadRequestError("/features: a feature collection needs an array of items.")
        report = await of(request).create_items(collection_id, features, extensions=extensions)
        return answer({"created": report.success, "mended": report.mended}, status=201)

    @routes.put("/collections/{collection_id}/items/{item_id}", openapi_extra=_BODY)
    async def replace_item(
        collection_id: str, item_id: str, request: Request, extensions: Extensions = False
    ) -> Response:
        """Replace an item."""
        document = await _json(request)
        subject = Subject(collection_id, item_id)
        stored = await of(request).replace_item(subject, document, condition(request), extensions=extensions)
        return _item(stored, public)

    @routes.patch("/collections/{collection_id}/items/{item_id}", openapi_extra=_PATCH_BODY)
    async def change_item(
        collection_id: str, item_id: str, request: Request, extensions: Extensions = False
    ) -> Response:
        """Change an item by JSON Merge Patch or JSON Patch, atomically."""
        change = await _change(request)
        subject = Subject(collection_id, item_id)
        stored = await of(request).change_item(subject, change, condition(request), extensions=extensions)
        return _item(stored, public)

    @routes.delete("/collections/{collection_id}/items/{item_id}", status_code=204)
    async def delete_item(collection_id: str, item_id: str, request: Request) -> Response:
        """Delete an item."""
        await of(request).delete_item(Subject(collection_id, item_id), condition(request))
        return Response(status_code=204)

    @routes.post("/collections/{collection_id}/bulk_items", openapi_extra=_BODY)
    async def bulk_items(collection_id: str, request: Request, extensions: Extensions = False) -> Response:
        """Create (`method: insert`) or create and replace (`upsert`) many items; the valid ones are stored."""
        document = await _json(request)
        items = document.get("items") if isinstance(document, dict) else None
        method = document.get("method", "insert") if isinstance(document, dict) else None
        if not isinstance(items, dict) or method not in ("insert", "upsert"):  # no set: it may be anything
            raise BadRequestError("The body needs `items`, an object of items by id, and `method`: insert or upsert.")
        report = await of(request).bulk(
            collection_id, items, upsert=method == "upsert", unseen=not require_if_match, extensions=extensions
        )
        return answer({**asdict(report), "skipped": 0})

    @routes.post("/collections/{collection_id}/versions/{version}/restore")
    async def restore_collection(collection_id: str, version: str, request: Request) -> Response:
        """Make a collection again what it was; its items stay as they are."""
        stored = await of(request).restore(Subject(collection_id), version, condition(request))
        return _collection(stored, public)

    @routes.post("/collections/{collection_id}/items/{item_id}/versions/{version}/restore")
    async def restore_item(collection_id: str, item_id: str, version: str, request: Request) -> Response:
        """Make an item again what it was, deleted though it may be."""
        subject = Subject(collection_id, item_id)
        return _item(await of(request).restore(subject, version, condition(request)), public)

    return routes


def author_of(request: Request) -> Author:
    """Who asks, as nginx tells it."""
    given = request.headers
    return Author(given.get("x-principal") or None, given.get("x-key-id") or None, request_id() or None)


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "application/json").split(";")[0].strip().lower()


async def _json(request: Request, accepted: set[str] = _DOCUMENTS) -> Any:
    media_type = _media_type(request)
    if media_type not in accepted:
        raise UnsupportedMediaTypeError(f"The body is {media_type}; send one of: {', '.join(sorted(accepted))}.")
    try:
        return orjson.loads(await request.body())
    except orjson.JSONDecodeError as error:
        raise BadRequestError(f"The body is not JSON: {error}.") from None


async def _change(request: Request) -> Change:
    """The change that a body describes, of the kind that its media type says, if it says one."""
    patch = await _json(request, _PATCHES)
    kind = _KINDS.get(_media_type(request))
    if kind is not None and not isinstance(patch, kind):
        raise BadRequestError("A JSON Patch is an array of operations, and a JSON Merge Patch an object.")
    return change_of(patch)


def _item(stored: Stored, public: Links, status: int = 200) -> Response:
    item = stored.document
    links = public.item(item["collection"], item["id"], item.get("links"))
    response = answer({**item, "links": links}, GEOJSON, status)
    return _told(response, links[0]["href"], stored)


def _collection(stored: Stored, public: Links, status: int = 200) -> Response:
    collection = stored.document
    links = public.collection(collection["id"], collection.get("links"))
    response = answer({**collection, "links": links}, status=status)
    return _told(response, links[0]["href"], stored)


def _told(response: Response, location: str, stored: Stored) -> Response:
    """The answer with where the document lies, and what was mended in it."""
    response.headers["Location"] = location
    response.headers["ETag"] = stored.etag
    if stored.remarks:
        response.headers["Almagest-Mended"] = "; ".join(stored.remarks)
    return response
