"""The read endpoints: stac-fastapi parses and routes, the search core answers, and bytes go out as they are."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

import attr
import orjson
from fastapi import Request
from stac_fastapi.extensions.filter.client import AsyncBaseFiltersClient
from stac_fastapi.pgstac.core import clean_search_args
from stac_fastapi.types.core import AsyncBaseCoreClient
from starlette.responses import Response

from almagest.catalogue.boxes import require_finite
from almagest.catalogue.filters import parse
from almagest.catalogue.paging import Leaf
from almagest.catalogue.versions import Subject
from almagest.core.errors import BadRequestError, NotFoundError
from almagest.services.stac.as_of import NAME, moment_of
from almagest.services.stac.collections import CollectionReader
from almagest.services.stac.history import History, media_type
from almagest.services.stac.limits import check_search
from almagest.services.stac.links import GEOJSON, JSON, JSON_SCHEMA, OGC_QUERYABLES, Links, with_parameters
from almagest.services.stac.search import ItemSearch, Page
from almagest.services.stac.streaming import Streams, wanted
from almagest.services.web.etags import etag, is_known, not_modified, tagged


def answer(body: Any, media_type: str = JSON, status: int = 200) -> Response:
    """A response that FastAPI passes on untouched."""
    return Response(orjson.dumps(body), media_type=media_type, status_code=status)


@attr.s(auto_attribs=True, kw_only=True)
class CatalogueClient(AsyncBaseCoreClient):
    """What the routes of STAC API core, features, collections and item search answer.

    The base class returns documents for FastAPI to validate and print. Here responses leave as the bytes they are, as
    stac-fastapi advises for speed, and so each method overrides with another return type.

    Attributes:
        search: the search core of this audience.
        streams: whole results of searches in one answer.
        catalogue: collections and queryables of this audience.
        history: versions, as this audience sees them.
        public: makes public links.
        search_model: pydantic model of a ``POST /search`` body, to check ``GET`` parameters by the same rules.
    """

    search: ItemSearch
    streams: Streams
    catalogue: CollectionReader
    history: History
    public: Links
    search_model: Any

    async def landing_page(self, **kwargs: Any) -> Response:  # type: ignore[override]
        """``GET /``."""
        page: dict[str, Any] = dict(await super().landing_page(**kwargs))
        base = self.public.base
        page["links"] = [link for link in page["links"] if link["rel"] != "queryables"]
        page["links"] += [
            {"rel": rel, "type": JSON_SCHEMA, "title": "Queryables of every collection", "href": f"{base}queryables"}
            for rel in ("queryables", OGC_QUERYABLES)
        ]
        page["links"].append({"rel": "changes", "type": JSON, "title": "What changes here", "href": f"{base}changes"})
        page["links"] += self.public.aggregating()
        for identifier, title in await self.catalogue.titles():
            page["links"].append(
                {"rel": "child", "type": JSON, "title": title, "href": self.public.href("collections", identifier)}
            )
        return answer(page)

    async def all_collections(self, request: Request, **parameters: Any) -> Response:  # type: ignore[override]
        """``GET /collections``."""
        search = _parse(parameters, limit=parameters.get("limit"), offset=parameters.get("offset"))
        check_search(search)
        self.search_model.model_validate({"bbox": search.get("bbox")})  # as that of a search for items
        if isinstance(search.get("q"), list):
            search["q"] = " OR ".join(search["q"])
        found = await self.catalogue.page(search, self.public, moment_of(parameters.get("as_of")))
        here = str(request.url)
        links = [
            {"rel": "self", "type": JSON, "href": here},
            {"rel": "root", "type": JSON, "href": self.public.base},
            {"rel": "parent", "type": JSON, "href": self.public.base},
        ]
        for rel, offset in (("next", found.next), ("prev", found.prev)):
            if offset is not None:
                href = with_parameters(here, offset=str(offset) if offset else None)
                links.append({"rel": rel, "type": JSON, "method": "GET", "href": href})
        return answer(
            {
                "collections": found.collections,
                "links": links,
                "numberMatched": found.matched,
                "numberReturned": len(found.collections),
            }
        )

    async def get_collection(  # type: ignore[override]
        self, collection_id: str, request: Request, as_of: str | None = None, **_: Any
    ) -> Response:
        """``GET /collections/{collection_id}``."""
        if (moment := moment_of(as_of)) is not None:
            return await self._at(Subject(collection_id), moment, request)
        collection, past = await self.history.present(Subject(collection_id))
        tag = etag(collection)
        if is_known(request, tag):
            return not_modified(tag)
        linked = await self.catalogue.linked(collection, self.public)
        linked["links"] += past
        return tagged(answer(linked), tag)

    async def get_item(  # type: ignore[override]
        self, item_id: str, collection_id: str, request: Request, as_of: str | None = None, **_: Any
    ) -> Response:
        """``GET /collections/{collection_id}/items/{item_id}``."""
        if (moment := moment_of(as_of)) is not None:
            return await self._at(Subject(collection_id, item_id), moment, request)
        item, past = await self.history.present(Subject(collection_id, item_id))
        tag = etag(item)
        if is_known(request, tag):
            return not_modified(tag)
        linked = self.search.linked(item, self.public)
        linked["links"] += past
        return tagged(answer(linked, GEOJSON), tag)

    async def item_collection(self, collection_id: str, request: Request, **parameters: Any) -> Response:  # type: ignore[override]
        """``GET /collections/{collection_id}/items``."""
        search = self._checked(
            _parse(
                parameters,
                collections=[collection_id],
                limit=parameters.get("limit"),
                token=parameters.get("token"),
                **{NAME: parameters.get("as_of")},
            )
        )
        if kind := wanted(request):
            first, pages = await self.streams.open(kind, search, self.public, request.query_params.get("limit"))
            if not first:
                await self._require(collection_id, search)
            return await self.streams.answer(kind, request, first, pages)
        page = await self.search.page(search, self.public)
        # An empty page is the one case in which the collection may not exist; a full one proves that it does.
        if not page.features:
            await self._require(collection_id, search)
        of = self.public.href("collections", collection_id)
        links = [
            {"rel": "self", "type": GEOJSON, "href": f"{of}/items"},
            {"rel": "parent", "type": JSON, "href": of},
            {"rel": "collection", "type": JSON, "href": of},
            {"rel": "root", "type": JSON, "href": self.public.base},
        ]
        return _feature_collection(page, links + turning(page.leaf, str(request.url)))

    async def get_search(self, request: Request, **parameters: Any) -> Response:  # type: ignore[override]
        """``GET /search``."""
        chosen = {name: parameters.get(name) for name in ("collections", "ids", "limit", "token")}
        search = self._checked(_parse(parameters, **chosen, **{NAME: parameters.get("as_of")}))
        if kind := wanted(request):
            opened = await self.streams.open(kind, search, self.public, request.query_params.get("limit"))
            return await self.streams.answer(kind, request, *opened)
        page = await self.search.page(search, self.public)
        return _feature_collection(page, self._search_links() + turning(page.leaf, str(request.url)))

    async def post_search(self, search_request: Any, request: Request, **_: Any) -> Response:  # type: ignore[override]
        """``POST /search``."""
        search = orjson.loads(search_request.model_dump_json(exclude_none=True, by_alias=True))
        # As it came, since a link that printed defaults would not be the client's own search; but no more than is one.
        known = set(search)
        asked = await sent(request, known)
        if kind := wanted(request):
            opened = await self.streams.open(kind, search, self.public, asked.get("limit"))
            return await self.streams.answer(kind, request, *opened)
        page = await self.search.page(search, self.public)
        return _feature_collection(page, self._search_links() + turning(page.leaf, str(request.url), asked))

    async def _at(self, subject: Subject, moment: datetime, request: Request) -> Response:
        found = await self.history.at(subject, moment)
        if is_known(request, found.etag):
            return not_modified(found.etag)
        return tagged(answer(found.document, media_type(subject)), found.etag)

    async def _require(self, collection_id: str, search: dict[str, Any]) -> None:
        moment = moment_of(search.get(NAME))
        if not await self.catalogue.exists(collection_id, moment):
            raise NotFoundError(f"There {'is' if moment is None else 'was'} no collection {collection_id!r}.")

    def checked(self, parameters: dict[str, Any], **base: Any) -> dict[str, Any]:
        """GET parameters as the body of a search, by the same rules as one that was sent as such.

        Raises:
            BadRequestError: it is malformed.
        """
        return self._checked(_parse(parameters, **base))

    def _checked(self, search: dict[str, Any]) -> dict[str, Any]:
        model = self.search_model.model_validate(search)
        return dict(orjson.loads(model.model_dump_json(exclude_none=True, by_alias=True)))

    def _search_links(self) -> list[dict[str, Any]]:
        return [
            {"rel": "self", "type": GEOJSON, "href": self.public.href("search")},
            {"rel": "root", "type": JSON, "href": self.public.base},
        ]


@attr.s(auto_attribs=True, kw_only=True)
class QueryablesClient(AsyncBaseFiltersClient):
    """``GET /queryables`` and ``GET /collections/{collection_id}/queryables``."""

    catalogue: CollectionReader

    async def get_queryables(self, collection_id: str | None = None, **kwargs: Any) -> Response:  # type: ignore[override]
        """The queryables as a JSON schema."""
        schema = await self.catalogue.queryables(collection_id)
        if schema is None:
            raise NotFoundError(f"There is no collection {collection_id!r}.")
        request: Request = kwargs["request"]
        return answer({**schema, "$id": str(request.url)}, JSON_SCHEMA)


def _parse(parameters: dict[str, Any], **base: Any) -> dict[str, Any]:
    """GET parameters as the body of a search."""
    query = parameters.get("query")
    bbox = parameters.get("bbox")
    try:
        require_finite(bbox)
    except ValueError as error:
        raise BadRequestError(f"bbox: {error}.") from None
    base = {**base, "bbox": bbox}
    names = ("intersects", "datetime", "fields", "sortby", "q")
    given: dict[str, Any] = {name: parameters.get(name) for name in names}
    for name in ("fields", "sortby"):
        listed: list[str] | None = given[name]
        given[name] = None if listed is None else [entry for entry in listed if entry.strip("+- ")]
    if expression := parameters.get("filter_expr"):
        base["filter"] = parse(expression, parameters.get("filter_lang") or "cql2-text")
        base["filter-lang"] = "cql2-json"
    try:
        base["query"] = orjson.loads(query) if query else None
        if not isinstance(base["query"], dict | None):
            raise BadRequestError("query: is not a JSON object.")
        search: dict[str, Any] = clean_search_args(base, **given)
    except orjson.JSONDecodeError as error:
        raise BadRequestError(f"`query` and `intersects` take JSON: {error}.") from None
    return search


async def sent(request: Request, known: Collection[str]) -> dict[str, Any]:
    """Those of some members of a body that the client has sent, as it sent them.

    Raises:
        BadRequestError: it is not JSON.
    """
    try:
        return {name: value for name, value in orjson.loads(await request.body()).items() if name in known}
    except orjson.JSONDecodeError as error:  # Python's own parser takes half a character, and numbers that are none
        raise BadRequestError(f"The body is not JSON: {error}.") from None


def turning(leaf: Leaf, url: str, body: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """Links to the pages beside one.

    Args:
        leaf: their tokens.
        url: by which it was asked for.
        body: what was sent, where it was a search by POST.
    """
    links: list[dict[str, Any]] = []
    for rel, token in (("next", leaf.next), ("prev", leaf.prev)):
        if token is None:
            continue
        if body is None:
            links.append({"rel": rel, "type": GEOJSON, "method": "GET", "href": with_parameters(url, token=token)})
        else:
            link = {"rel": rel, "type": GEOJSON, "method": "POST", "href": url, "body": {**body, "token": token}}
            links.append(link)
    return links


def _feature_collection(page: Page, links: list[dict[str, Any]]) -> Response:
    body = {
        "type": "FeatureCollection",
        "features": page.features,
        "links": links,
        "numberReturned": len(page.features),
    }
    response = answer(body, GEOJSON)
    response.headers["Vary"] = "Accept"
    return response
