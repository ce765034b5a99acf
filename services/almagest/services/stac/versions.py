"""Versions of items and collections, under the paths of the STAC API version extension."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from almagest.catalogue.versions import Subject
from almagest.services.stac.client import answer
from almagest.services.stac.history import History, Version, media_type
from almagest.services.web import etags

JSON_PATCH = "application/json-patch+json"

Limit = Annotated[int, Query(ge=1, le=1000, description="So many at most.")]
Before = Annotated[str | None, Query(description="Only what is older than this version, as in the `next` link.")]
Stored = Annotated[bool, Query(description="As it was stored: without the fields and links of versions.")]
To = Annotated[str | None, Query(description="The version to end with; what is there now, if none is named.")]


def router(history: History) -> APIRouter:
    """Routes that read versions, for one audience."""
    routes = APIRouter(tags=["Versions"])
    collection, item = "/collections/{collection_id}", "/collections/{collection_id}/items/{item_id}"

    async def listed(subject: Subject, limit: int, before: str | None) -> Response:
        return answer(await history.listed(subject, limit, before))

    async def one(request: Request, subject: Subject, version: str, stored: bool) -> Response:
        if stored:
            document = await history.stored(subject, version)
            found = Version(document, etags.etag(document))
        else:
            found = await history.version(subject, version)
        if etags.is_known(request, found.etag):
            return etags.not_modified(found.etag)
        return etags.tagged(answer(found.document, media_type(subject)), found.etag)

    async def difference(subject: Subject, version: str, to: str | None) -> Response:
        return answer(await history.difference(subject, version, to), JSON_PATCH)

    @routes.get(f"{collection}/versions")
    async def collection_versions(collection_id: str, limit: Limit = 100, before: Before = None) -> Response:
        """List the versions of a collection, the latest first."""
        return await listed(Subject(collection_id), limit, before)

    @routes.get(f"{collection}/versions/{{version}}")
    async def collection_version(
        request: Request, collection_id: str, version: str, stored: Stored = False
    ) -> Response:
        """Read a collection as it was."""
        return await one(request, Subject(collection_id), version, stored)

    @routes.get(f"{collection}/versions/{{version}}/diff")
    async def collection_difference(collection_id: str, version: str, to: To = None) -> Response:
        """Tell what has changed since, as a JSON Patch."""
        return await difference(Subject(collection_id), version, to)

    @routes.get(f"{item}/versions")
    async def item_versions(collection_id: str, item_id: str, limit: Limit = 100, before: Before = None) -> Response:
        """List the versions of an item, the latest first."""
        return await listed(Subject(collection_id, item_id), limit, before)

    @routes.get(f"{item}/versions/{{version}}")
    async def item_version(
        request: Request, collection_id: str, item_id: str, version: str, stored: Stored = False
    ) -> Response:
        """Read an item as it was."""
        return await one(request, Subject(collection_id, item_id), version, stored)

    @routes.get(f"{item}/versions/{{version}}/diff")
    async def item_difference(collection_id: str, item_id: str, version: str, to: To = None) -> Response:
        """Tell what has changed since, as a JSON Patch."""
        return await difference(Subject(collection_id, item_id), version, to)

    return routes
