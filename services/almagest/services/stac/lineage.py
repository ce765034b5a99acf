"""What items are derived from and what is derived from them, as one audience sees it; and what is out of date."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

import orjson
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from almagest.catalogue import provenance
from almagest.catalogue.lineage import STALE, WALK, Stale
from almagest.catalogue.versions import Subject, moment_of, unknown
from almagest.core.errors import BadRequestError
from almagest.services.stac.client import answer
from almagest.services.stac.history import missing
from almagest.services.stac.links import GEOJSON, JSON, Link, Links
from almagest.services.web import etags
from almagest.services.web.accept import preferred
from almagest.services.web.pool import Pool

Document = dict[str, Any]

Direction = Literal["up", "down"]
Steps = Annotated[int, Query(ge=1, le=100, description="So many steps away at most.")]
Nodes = Annotated[int, Query(ge=1, le=2000, description="So many versions and addresses at most, the nearest first.")]
Version = Annotated[str | None, Query(description="The version to begin with; the present one, if none is named.")]
Format = Annotated[
    Literal["json", "prov"] | None, Query(description="`prov`: W3C PROV-JSON; as `Accept: application/prov+json`.")
]


@dataclass(frozen=True)
class Walk:
    """What is asked for.

    Attributes:
        subject: an item.
        version: the version to begin with; None: the present one.
        direction: `up`, to what it is derived from, or `down`.
        depth: steps.
        limit: nodes.
    """

    subject: Subject
    version: str | None
    direction: Direction
    depth: int
    limit: int


@dataclass(frozen=True)
class Lineage:
    """Walks along links. What one answer says is read in one statement, so that it was true at one moment.

    Attributes:
        pool: reads as the audience's role.
        links: makes public links.
        origin: scheme and authority of the site, by which links to its items are known.
    """

    pool: Pool
    links: Links
    origin: str

    async def read(self, walk: Walk) -> Document:
        """Nodes and edges, as the database tells them.

        Raises:
            GoneError: the item was deleted, and no version is named.
            NotFoundError: it never was, or there is no such version.
        """
        version: datetime | None = moment_of(walk.version) if walk.version is not None else None
        async with self.pool.connection() as connection:
            row = await connection.fetchrow(
                WALK, *walk.subject.ids, version, walk.direction == "up", walk.depth, walk.limit, self.origin
            )
        assert row is not None
        if row["lineage"] is not None:
            return dict(orjson.loads(row["lineage"]))
        raise unknown(walk.version) if walk.version else missing(walk.subject, self.links, is_gone=bool(row["is_gone"]))

    def document(self, found: Mapping[str, Any], walk: Walk) -> Document:
        """A lineage as it is served."""
        return {
            "direction": walk.direction,
            "nodes": [
                {
                    "node": number,
                    **node,
                    **({} if "href" in node else {"known": "latest" in node}),
                    "links": self._of(node),
                }
                for number, node in enumerate(found["nodes"])
            ],
            "edges": found["edges"],
            "cut": found["cut"],
            "links": [
                {"rel": "self", "type": JSON, "href": self.here(walk)},
                {"rel": "alternate", "type": provenance.MEDIA_TYPE, "href": self.here(walk, f="prov")},
                {"rel": "root", "type": JSON, "href": self.links.base},
                {"rel": "parent", "type": GEOJSON, "href": self.links.href(*walk.subject.path)},
            ],
        }

    def here(self, walk: Walk, **more: str) -> str:
        """The address of a lineage."""
        asked = {"direction": walk.direction, "depth": walk.depth, "limit": walk.limit, "version": walk.version, **more}
        query = urlencode({name: value for name, value in asked.items() if value is not None})
        return f"{self.links.href(*walk.subject.path)}/lineage?{query}"

    async def stale(self, collection: str | None, after: str | None, limit: int) -> Document:
        """A page of items whose sources have changed since, as it is served.

        Raises:
            BadRequestError: `after` is none of ours.
        """
        behind = ("", "") if after is None else _place(after)
        async with self.pool.connection() as connection:
            rows = await connection.fetch(STALE, collection, *behind, limit, self.origin)
        found = [Stale.of(row) for row in rows]
        named = {"collection": collection, "limit": str(limit)}
        here = {name: value for name, value in named.items() if value is not None}
        links: list[Link] = [{"rel": "self", "type": JSON, "href": f"{self.links.base}stale?{urlencode(here)}"}]
        if len(found) == limit:
            last = orjson.dumps([found[-1].collection, found[-1].id]).decode()
            href = f"{self.links.base}stale?{urlencode({**here, 'after': last})}"
            links.append({"rel": "next", "type": JSON, "href": href})
        return {
            "products": [
                {
                    "collection": item.collection,
                    "id": item.id,
                    "version": item.version,
                    "sources": [vars(source) for source in item.sources],
                    "links": [{"rel": "item", "type": GEOJSON, "href": self._item(item.collection, item.id)}],
                }
                for item in found
            ],
            "links": links,
        }

    def _of(self, node: Document) -> list[Link]:
        if "latest" not in node:
            return []  # it lies elsewhere, or is not there any more
        here = self._item(node["collection"], node["id"])
        return [
            {"rel": "item", "type": GEOJSON, "href": f"{here}/versions/{node['version']}"},
            *([{"rel": "latest-version", "type": GEOJSON, "href": here}] if not node["deleted"] else []),
        ]

    def _item(self, collection: str, item: str) -> str:
        return self.links.href("collections", collection, "items", item)


def router(lineage: Lineage, jobs: str, *, tells_stale: bool) -> APIRouter:
    """Routes for one audience.

    Args:
        lineage: reads.
        jobs: public address of jobs, with a trailing slash.
        tells_stale: also of what is out of date.
    """
    routes = APIRouter(tags=["Lineage"])

    @routes.get("/collections/{collection_id}/items/{item_id}/lineage")
    async def item_lineage(
        request: Request,
        collection_id: str,
        item_id: str,
        direction: Annotated[Direction, Query(description="To what it is derived from, or to what is from it.")] = "up",
        depth: Steps = 10,
        limit: Nodes = 200,
        version: Version = None,
        f: Format = None,
    ) -> Response:
        """Tell what an item is derived from, or (down) what is derived from it: versions, and links between them.

        An edge is `pinned` where the derived one names the version; else it leads to the one that was there when the
        derived one was written. `cut` says whether something was left out: for its distance (`depth`), or for its
        number (`nodes`).
        """
        walk = Walk(Subject(collection_id, item_id), version, direction, depth, limit)
        found = await lineage.read(walk)
        accepted = preferred(request.headers.get("accept", ""), (JSON, provenance.MEDIA_TYPE))
        if f == "prov" or (f is None and accepted == provenance.MEDIA_TYPE):
            here = lineage.here(walk)
            body, media_type = provenance.document(found, lineage.links.base, jobs, here), provenance.MEDIA_TYPE
        else:
            body, media_type = lineage.document(found, walk), JSON
        tag = etags.etag(body)
        response = (
            etags.not_modified(tag) if etags.is_known(request, tag) else etags.tagged(answer(body, media_type), tag)
        )
        response.headers["Vary"] = "Accept"
        return response

    if tells_stale:

        @routes.get("/stale")
        async def stale(
            collection: Annotated[str | None, Query(description="Only of this one.")] = None,
            after: Annotated[str | None, Query(description="As in the `next` link.")] = None,
            limit: Annotated[int, Query(ge=1, le=1000, description="So many at most.")] = 100,
        ) -> Response:
            """List items that are derived from what has a newer version by now, or is gone."""
            return answer(await lineage.stale(collection, after, limit))

    return routes


def _place(after: str) -> tuple[str, str]:
    try:
        collection, item = orjson.loads(after)
    except (orjson.JSONDecodeError, TypeError, ValueError):
        collection = item = None
    if not isinstance(collection, str) or not isinstance(item, str):
        raise BadRequestError("after: it does not come from a `next` link.")
    return collection, item
