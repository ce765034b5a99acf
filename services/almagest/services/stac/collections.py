"""Collections and queryables of one audience."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import orjson

from almagest.catalogue.hydration import documents
from almagest.catalogue.moments import printed
from almagest.core.errors import BadRequestError
from almagest.services.stac.links import Links
from almagest.services.stac.tiles import TileLinks
from almagest.services.web.pool import Pool

Document = dict[str, Any]

#: The latest item of each of these collections, as it is stored.
_LATEST = """
    SELECT r.item, r.base, r.sort_values, r.collection, r.id, r.geometry
    FROM unnest($1::text[]) AS c(id),
         LATERAL search_page(jsonb_build_object('collections', jsonb_build_array(c.id)), NULL, false, 1) AS r
"""
#: What stands behind the references in pgSTAC's own queryables, in the terms of OGC API Features, part 3.
_REFERENCED: dict[str, Document] = {
    "https://schemas.stacspec.org/v1.0.0/item-spec/json-schema/item.json#/definitions/core/allOf/2/properties/id": {
        "type": "string",
        "minLength": 1,
    },
    "https://geojson.org/schema/Feature.json#/properties/geometry": {
        "format": "geometry-any",
        "x-ogc-role": "primary-geometry",
    },
}
_IS_COLLECTION = {"op": "=", "args": [{"property": "type"}, "Collection"]}


@dataclass(frozen=True)
class CollectionPage:
    """One page of a collection search.

    Attributes:
        collections: linked documents.
        matched: how many there are on all pages.
        next: offset of the next page, None on the last.
        prev: offset of the previous page, None on the first.
    """

    collections: list[Document]
    matched: int
    next: int | None
    prev: int | None


@dataclass(frozen=True)
class CollectionReader:
    """Reads collections as one audience.

    Attributes:
        pool: reads as the audience's role.
        tiles: makes the links to rendered pictures.
    """

    pool: Pool
    tiles: TileLinks

    async def page(self, search: Mapping[str, Any], links: Links, moment: datetime | None = None) -> CollectionPage:
        """Runs a collection search.

        Args:
            search: as pgSTAC takes it.
            links: makes the collections' links.
            moment: of those that were there then; None: now.

        Raises:
            BadRequestError: pgSTAC refuses the search.
            UnsettledError: what was there then may still change.
            ForgottenError: it may have been forgotten.
        """
        found = await self._page({**search, **_collections_only(search)}, moment)
        if moment is not None:
            links = replace(links, as_of=printed(moment))
        wants_links = "links" not in ((search.get("fields") or {}).get("exclude") or ())
        collections = found["collections"]
        if wants_links:
            await self._link(collections, links)
        offsets = {link["rel"]: link["body"]["offset"] for link in found.get("links", [])}
        return CollectionPage(collections, found["numberMatched"], offsets.get("next"), offsets.get("prev"))

    async def titles(self, limit: int = 1000) -> list[tuple[str, str]]:
        """Ids and titles of the first collections by id, for the landing page."""
        found = await self._page(
            {
                **_collections_only({}),
                "fields": {"include": ["id", "title"]},
                "sortby": [{"field": "id", "direction": "asc"}],
                "limit": limit,
            }
        )
        return [(c["id"], c.get("title") or c["id"]) for c in found["collections"]]

    async def named(self, pattern: str, limit: int = 10_000) -> list[Document]:
        """Ids, titles and summaries of collections whose id is like a pattern of SQL, by id."""
        is_like = {"op": "like", "args": [{"property": "id"}, pattern]}
        found = await self._page(
            {
                **_collections_only({"filter": is_like}),
                "fields": {"include": ["id", "title", "summaries"]},
                "sortby": [{"field": "id", "direction": "asc"}],
                "limit": limit,
            }
        )
        return list(found["collections"])

    async def linked(self, document: Document, links: Links) -> Document:
        """A collection with its links."""
        await self._link([document], links)
        return document

    async def exists(self, collection: str, moment: datetime | None = None) -> bool:
        """Whether there is such a collection, or (at a moment) was."""
        async with self.pool.connection() as connection:
            if moment is not None:
                return await connection.fetchval("SELECT collection_at($1, $2)", collection, moment) is not None
            return await connection.fetchval("SELECT collection_document($1)::text", collection) is not None

    async def queryables(self, collection: str | None) -> Document | None:
        """Queryables of one collection or (None) of all; None where there is no such collection."""
        async with self.pool.connection() as connection:
            ids = None if collection is None else [collection]
            text = await connection.fetchval("SELECT queryables($1::text[])::text", ids)
        return None if text is None else _self_contained(orjson.loads(text))

    async def _page(self, search: Mapping[str, Any], moment: datetime | None = None) -> Document:
        try:
            asked = orjson.dumps(search).decode()
        except TypeError:  # orjson reads deeper documents than it writes
            raise BadRequestError("The search nests too deeply, or holds a number that is too large.") from None
        async with self.pool.connection() as connection:
            if moment is None:
                text = await connection.fetchval("SELECT collection_page($1::jsonb)::text", asked)
            else:
                text = await connection.fetchval("SELECT collection_page_at($1::jsonb, $2)::text", asked, moment)
        return dict(orjson.loads(text))

    async def _link(self, collections: list[Document], links: Links) -> None:
        named = [collection for collection in collections if "id" in collection]
        if links.as_of is not None:  # pictures are of the present
            for collection in named:
                collection["links"] = links.collection(collection["id"], collection.get("links"))
            return
        async with self.pool.connection() as connection:
            rows = await connection.fetch(_LATEST, [collection["id"] for collection in named])
        latest = {document["collection"]: document for document in documents(rows)}
        for collection in named:
            identifier = collection["id"]
            collection["links"] = links.collection(identifier, collection.get("links"))
            collection["links"] += self.tiles.collection(collection, latest.get(identifier))


def _self_contained(schema: Document) -> Document:
    """The schema without pgSTAC's references to other sites, which browsers would follow, or fail to."""
    properties = {
        name: {**{key: value for key, value in definition.items() if key != "$ref"}, **_REFERENCED[definition["$ref"]]}
        if definition.get("$ref") in _REFERENCED
        else definition
        for name, definition in schema["properties"].items()
    }
    return {**schema, "properties": properties}


def _collections_only(search: Mapping[str, Any]) -> Document:
    """pgSTAC keeps catalogs in the same table; the condition joins whichever parameter the client used."""
    if "query" in search:
        return {"query": {**search["query"], "type": {"eq": "Collection"}}}
    if "filter" in search:
        return {"filter": {"op": "and", "args": [search["filter"], _IS_COLLECTION]}}
    return {"filter": _IS_COLLECTION}
