"""Aggregations of one audience, under the paths of the STAC API aggregation extension."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import attr
import orjson
from fastapi import APIRouter, Query, Request
from pydantic import ConfigDict, Field
from stac_fastapi.api.models import CollectionUri, create_post_request_model, create_request_model
from stac_fastapi.api.routes import create_async_endpoint
from stac_fastapi.extensions import SearchFilterExtension
from stac_fastapi.extensions.aggregation.request import AggregationExtensionGetRequest
from stac_fastapi.pgstac.extensions import FreeTextExtension, QueryExtension
from stac_fastapi.types.search import APIRequest
from starlette.responses import Response

from almagest.catalogue import aggregations
from almagest.core.errors import BadRequestError, NotFoundError
from almagest.services.stac.as_of import NAME
from almagest.services.stac.client import CatalogueClient, answer
from almagest.services.stac.collections import CollectionReader
from almagest.services.stac.extensions import SearchBody
from almagest.services.stac.links import JSON, Link, Links
from almagest.services.web.pool import Pool

CONFORMANCE = tuple(f"https://api.stacspec.org/v0.3.0/aggregation{part}" for part in ("", "#query", "#filter"))

_COLLECTION = "/collections/{collection_id}"
_ASK = "SELECT place, key, frequency, value::text FROM aggregate($1::jsonb, $2::jsonb)"
#: What of a search means anything here.
_MEANT = ("collections", "ids", "bbox", "intersects", "datetime", "filter", "filter-lang", "query", "q")
_SUFFIXES = ("_interval", "_precision", "_ranges")

_EXTENSIONS = [QueryExtension(), SearchFilterExtension(), FreeTextExtension()]


def _parameter(description: str) -> Any:
    return attr.ib(default=None, type=Annotated[str | None, Query(description=description)])


#: How the aggregations are made that can be made in several ways.
_Choices = attr.make_class(
    "_Choices",
    {
        "datetime_frequency_interval": _parameter(f"One of {', '.join(aggregations.INTERVALS)}."),
        **{
            f"centroid_{grid}_grid_frequency_precision": _parameter(
                f"From {coarsest}, the coarsest, to {finest}." + (" One at once." if grid == "geohex" else "")
            )
            for grid, (coarsest, finest) in aggregations.GRIDS.items()
        },
        **{
            f"{name}_frequency_ranges": _parameter("Where ranges part: numbers that rise, with commas between them.")
            for name in aggregations.NUMBERS
        },
    },
    bases=(APIRequest,),
)


class AggregateBody(SearchBody):
    """Body of ``POST /aggregate``: a search, the names of aggregations, and how these are made."""

    model_config = ConfigDict(extra="allow")

    aggregations: list[str] | None = Field(default=None, description="Names, as `/aggregations` lists them.")


@dataclass(frozen=True)
class Aggregator:
    """Aggregates as one audience.

    Attributes:
        pool: reads as the audience's role.
        catalogue: knows the collections and their queryables.
        links: makes public links.
    """

    pool: Pool
    catalogue: CollectionReader
    links: Links

    async def offered(self, collection: str | None) -> list[dict[str, Any]]:
        """What may be asked for, of one collection or (None) of all.

        Raises:
            NotFoundError: there is no such collection.
        """
        schema = await self.catalogue.queryables(collection)
        if schema is None:
            raise NotFoundError(f"There is no collection {collection!r}.")
        queryables: dict[str, Any] = schema.get("properties") or {}
        async with self.pool.connection() as connection:
            rows = await connection.fetch("SELECT hidden_among($1)", [*aggregations.properties(), *queryables])
        return aggregations.offered(queryables, (row[0] for row in rows))

    async def aggregate(
        self, search: Mapping[str, Any], names: list[str], choices: Mapping[str, Any], collection: str | None
    ) -> list[dict[str, Any]]:
        """The answers to aggregations over the items that a search finds.

        Args:
            search: body of a STAC item search, CQL2 as JSON.
            names: of aggregations.
            choices: how these are made.
            collection: only of its items.

        Raises:
            BadRequestError: the search or an aggregation is not possible.
            NotFoundError: there is no such collection.
        """
        meant = {name: search[name] for name in _MEANT if search.get(name) is not None}
        if "filter" not in meant:
            meant.pop("filter-lang", None)
        if collection is not None:
            if await self.catalogue.queryables(collection) is None:
                raise NotFoundError(f"There is no collection {collection!r}.")
            meant["collections"] = [collection]
        elif meant.get("collections") == []:
            del meant["collections"]  # as in a search
        asked = aggregations.parse(names, choices)
        printed = orjson.dumps(aggregations.questions(asked)).decode()
        async with self.pool.connection() as connection:
            rows = await connection.fetch(_ASK, orjson.dumps(meant).decode(), printed)
        # Beside the loop, which others wait for.
        return await asyncio.to_thread(aggregations.answers, asked, [tuple(row) for row in rows])

    def document(self, found: list[dict[str, Any]], collection: str | None, name: str) -> dict[str, Any]:
        """The document that tells it."""
        of = ("collections", collection) if collection is not None else ()
        links: list[Link] = [
            {"rel": "self", "type": JSON, "href": self.links.href(*of, name)},
            {"rel": "root", "type": JSON, "href": self.links.base},
        ]
        if collection is not None:
            links.append({"rel": "collection", "type": JSON, "href": self.links.href(*of)})
        if name == "aggregations":
            links += self.links.aggregating(*of)[:-1]
        return {"type": "AggregationCollection", "aggregations": found, "links": links}


def router(aggregator: Aggregator, client: CatalogueClient) -> APIRouter:
    """Routes that aggregate, for one audience."""
    routes = APIRouter(tags=["Aggregations"])
    asked_by_get = [AggregationExtensionGetRequest, _Choices]
    by_root = create_request_model("AggregateGet", asked_by_get[0], _EXTENSIONS, asked_by_get[1:], "GET")
    by_collection = create_request_model("CollectionAggregateGet", CollectionUri, _EXTENSIONS, asked_by_get, "GET")
    body = create_post_request_model(_EXTENSIONS, base_model=AggregateBody)
    body.__name__ = "AggregateBody"

    async def get(request: Request, collection_id: str | None = None, **parameters: Any) -> Response:
        chosen = {name: parameters.get(name) for name in ("collections", "ids")}
        search = client.checked(parameters, **chosen)
        choices = {name: value for name, value in request.query_params.items() if name.endswith(_SUFFIXES)}
        found = await aggregator.aggregate(search, parameters.get("aggregations") or [], choices, collection_id)
        return answer(aggregator.document(found, collection_id, "aggregate"))

    async def post(asked: AggregateBody, request: Request) -> Response:
        if NAME in (asked.model_extra or {}):
            raise BadRequestError(f"{NAME} goes with items, collections and searches: what is counted is the present.")
        collection = request.path_params.get("collection_id")
        try:
            known = set(type(asked).model_fields)
            search = orjson.loads(asked.model_dump_json(include=known, exclude_none=True, by_alias=True))
        except orjson.JSONDecodeError as error:  # Python's own parser takes half a character, and numbers that are none
            raise BadRequestError("The search cannot be read as JSON.") from error
        choices = {name: value for name, value in (asked.model_extra or {}).items() if name.endswith(_SUFFIXES)}
        found = await aggregator.aggregate(search, asked.aggregations or [], choices, collection)
        return answer(aggregator.document(found, collection, "aggregate"))

    @routes.get("/aggregations")
    async def listed() -> Response:
        """List the aggregations that may be asked for."""
        return answer(aggregator.document(await aggregator.offered(None), None, "aggregations"))

    @routes.get(f"{_COLLECTION}/aggregations")
    async def listed_of(collection_id: str) -> Response:
        """List the aggregations of a collection."""
        return answer(aggregator.document(await aggregator.offered(collection_id), collection_id, "aggregations"))

    async def post_of(collection_id: str, asked: Any, request: Request) -> Response:  # noqa: ARG001 (it is described)
        """Aggregate the items of a collection that a search finds."""
        return await post(asked, request)

    post_of.__annotations__["asked"] = body
    routes.add_api_route("/aggregate", create_async_endpoint(get, by_root), methods=["GET"], summary=_SUMMARY)
    routes.add_api_route("/aggregate", create_async_endpoint(post, body), methods=["POST"], summary=_SUMMARY)
    path = f"{_COLLECTION}/aggregate"
    routes.add_api_route(path, create_async_endpoint(get, by_collection), methods=["GET"], summary=_SUMMARY_OF)
    routes.add_api_route(path, post_of, methods=["POST"], summary=_SUMMARY_OF)
    return routes


_SUMMARY = "Aggregate the items that a search finds"
_SUMMARY_OF = "Aggregate the items of a collection that a search finds"
