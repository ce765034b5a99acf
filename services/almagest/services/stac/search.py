"""From a search request to a page: the rows of the search core, hydrated, with links."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from almagest.catalogue.fields import cut
from almagest.catalogue.hydration import Document, documents
from almagest.catalogue.paging import Anchor, Leaf, TokenKey
from almagest.services.stac.as_of import NAME, moment_of
from almagest.services.stac.links import Links
from almagest.services.stac.tiles import TileLinks
from almagest.services.web.pool import Pool

DEFAULT_LIMIT = 10
#: Of a stream, in one statement.
_ROWS = 1000

_PAGE = "SELECT * FROM search_page($1::jsonb, $2::jsonb, $3, $4)"
_PAGE_AT = "SELECT * FROM search_page_at($1::jsonb, $2::jsonb, $3, $4, $5)"
#: Members of a search that say nothing of what is searched for.
_ASIDE = frozenset({"limit", "token", NAME})


@dataclass(frozen=True)
class Page:
    """One page of a search.

    Attributes:
        features: items, hydrated and linked.
        leaf: the pages beside it.
    """

    features: list[Document]
    leaf: Leaf


@dataclass(frozen=True)
class ItemSearch:
    """The search core for one audience.

    Attributes:
        pool: reads as the audience's role.
        key: signs the audience's paging tokens.
        tiles: makes the links to rendered pictures.
    """

    pool: Pool
    key: TokenKey
    tiles: TileLinks

    async def page(self, search: Mapping[str, Any], links: Links) -> Page:
        """Runs a search.

        Args:
            search: body of a STAC item search, CQL2 as JSON.
            links: makes the items' links.

        Raises:
            BadRequestError: the search or its token is malformed.
            UnsettledError: what was there at the moment that it asks for may still change.
            ForgottenError: it may have been forgotten.
        """
        limit = int(search.get("limit") or DEFAULT_LIMIT)
        search = _without_empty_fields(search)
        links = replace(links, as_of=search.get(NAME))
        token = search.get("token")
        anchor = self.key.read(token, search) if token else None
        backward = anchor is not None and anchor.backward
        rows = await self._rows(search, anchor, limit + 1)
        # Geometries go out as they come.
        features = self._documents(rows[:limit], search.get("fields") or {}, links, orjson.Fragment)
        if backward:
            features.reverse()
        return Page(features, self.key.leaf(rows, limit, anchor, search))

    async def stream(self, search: Mapping[str, Any], links: Links, limit: int) -> AsyncIterator[list[Document]]:
        """Runs a search to its end, a page at a time, and holds no connection in between.

        Args:
            search: body of a STAC item search, CQL2 as JSON; its own limit and token count for nothing.
            links: makes the items' links.
            limit: ends after so many items.

        Raises:
            BadRequestError: the search is malformed.
        """
        search = _without_empty_fields(search)
        links = replace(links, as_of=search.get(NAME))
        anchor = None
        while limit > 0:
            asked = min(limit, _ROWS)
            rows = await self._rows(search, anchor, asked)
            if not rows:
                return
            fields = search.get("fields") or {}
            # Beside the loop, which others wait for.
            yield await asyncio.to_thread(self._documents, rows, fields, links)
            if len(rows) < asked:
                return
            limit -= asked
            anchor = Anchor.at(rows[-1], backward=False)

    def linked(self, document: Document, links: Links) -> Document:
        """An item with its links."""
        made = links.item(document["collection"], document["id"], document.get("links"))
        return {**document, "links": made + self.tiles.item(document)}

    async def _rows(self, search: Mapping[str, Any], anchor: Anchor | None, limit: int) -> list[Any]:
        asked = (
            orjson.dumps({k: v for k, v in search.items() if k not in _ASIDE}).decode(),
            orjson.dumps(anchor.values).decode() if anchor else None,
            anchor is not None and anchor.backward,
            limit,
        )
        moment = moment_of(search.get(NAME))
        async with self.pool.connection() as connection:
            if moment is None:
                return list(await connection.fetch(_PAGE, *asked))
            return list(await connection.fetch(_PAGE_AT, *asked, moment))

    def _documents(
        self, rows: list[Any], fields: Mapping[str, Any], links: Links, geometry: Callable[[str], Any] = orjson.loads
    ) -> list[Document]:
        # To cut a geometry one has to look into it.
        found = [cut(document, fields) for document in documents(rows)] if fields else [*documents(rows, geometry)]
        if "links" in (fields.get("exclude") or ()):
            return found
        base_may_show = False
        for row, document in zip(rows, found, strict=True):
            if row["base"] is not None:  # stands only where it differs from the row before
                base_may_show = self.tiles.may_show(row["base"])
            document["links"] = links.item(row["collection"], row["id"], document.get("links"))
            if links.as_of is not None:
                continue  # pictures are of the present
            if base_may_show or self.tiles.may_show(row["item"]):
                document["links"] += self.tiles.item(document)
        return found


def _without_empty_fields(search: Mapping[str, Any]) -> Mapping[str, Any]:
    """Request models always bring ``fields`` along; only where it names some does the core cut documents down."""
    fields = search.get("fields") or {}
    if fields.get("include") or fields.get("exclude"):
        return search
    return {key: value for key, value in search.items() if key != "fields"}
