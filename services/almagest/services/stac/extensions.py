"""Which STAC API extensions are served, and on which of the three searches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import field_validator, model_validator
from stac_fastapi.api.models import (
    ItemCollectionUri,
    create_get_request_model,
    create_post_request_model,
    create_request_model,
)
from stac_fastapi.extensions import (
    CollectionSearchExtension,
    CollectionSearchFilterExtension,
    FieldsExtension,
    ItemCollectionFilterExtension,
    OffsetPaginationExtension,
    SearchFilterExtension,
    TokenPaginationExtension,
)
from stac_fastapi.extensions.fields import FieldsConformanceClasses
from stac_fastapi.extensions.free_text import FreeTextConformanceClasses
from stac_fastapi.extensions.query import QueryConformanceClasses
from stac_fastapi.extensions.sort import (
    CollectionSearchSortExtension,
    ItemCollectionSortExtension,
    SearchSortExtension,
)
from stac_fastapi.pgstac.extensions import FreeTextExtension, QueryExtension
from stac_fastapi.types.search import BaseSearchPostRequest

from almagest.catalogue import filters
from almagest.catalogue.boxes import require_finite
from almagest.services.stac.as_of import AsOfExtension
from almagest.services.stac.client import QueryablesClient
from almagest.services.stac.limits import check_search

#: stac-fastapi names version 1.1 of the sort extension alone; pystac-client asks for 1.0, which is served as well.
SORT_1_0 = (
    "https://api.stacspec.org/v1.0.0/item-search#sort",
    "https://api.stacspec.org/v1.0.0/ogcapi-features#sort",
)


class SearchBody(BaseSearchPostRequest):
    """Body of ``POST /search``. Members it does not name are dropped, ``conf`` among them: it would reach pgSTAC.

    A filter may be text, as in an address, where ``filter-lang`` says so.
    """

    @model_validator(mode="before")
    @classmethod
    def _object(cls, body: Any) -> Any:
        if not isinstance(body, dict):
            raise ValueError("a search is a JSON object")
        if isinstance(body.get("filter"), str) and body.get("filter-lang") == "cql2-text":
            body = {**body, "filter": filters.parse(body["filter"], "cql2-text"), "filter-lang": "cql2-json"}
        check_search(body)
        return body

    @field_validator("bbox")
    @classmethod
    def _finite(cls, bbox: Any) -> Any:
        require_finite(bbox)
        return bbox


@dataclass(frozen=True)
class Extensions:
    """The extensions and the request models that follow from them.

    Attributes:
        all: every extension, for registration and conformance.
        search_get: parameters of ``GET /search``.
        search_post: body of ``POST /search``.
        items_get: parameters of ``GET /collections/{id}/items``.
        collections_get: parameters of ``GET /collections``.
    """

    all: list[Any]
    search_get: Any
    search_post: Any
    items_get: Any
    collections_get: Any


def extensions(queryables: QueryablesClient) -> Extensions:
    """Query, sort, fields, filter, free text and paging on items, and the same on collections."""
    search = [
        QueryExtension(conformance_classes=[QueryConformanceClasses.SEARCH]),
        SearchSortExtension(),
        FieldsExtension(conformance_classes=[FieldsConformanceClasses.SEARCH]),
        SearchFilterExtension(client=queryables),
        FreeTextExtension(conformance_classes=[FreeTextConformanceClasses.SEARCH]),
        AsOfExtension(),
        TokenPaginationExtension(),
    ]
    items = [
        QueryExtension(conformance_classes=[QueryConformanceClasses.ITEMS]),
        ItemCollectionSortExtension(),
        FieldsExtension(conformance_classes=[FieldsConformanceClasses.ITEMS]),
        ItemCollectionFilterExtension(client=queryables),
        FreeTextExtension(conformance_classes=[FreeTextConformanceClasses.ITEMS]),
        AsOfExtension(),
        TokenPaginationExtension(),
    ]
    collections = CollectionSearchExtension.from_extensions(
        [
            QueryExtension(conformance_classes=[QueryConformanceClasses.COLLECTIONS]),
            CollectionSearchSortExtension(),
            FieldsExtension(conformance_classes=[FieldsConformanceClasses.COLLECTIONS]),
            CollectionSearchFilterExtension(client=queryables),
            FreeTextExtension(conformance_classes=[FreeTextConformanceClasses.COLLECTIONS]),
            AsOfExtension(),
            OffsetPaginationExtension(),
        ]
    )
    return Extensions(
        all=[*search, *items, collections],
        search_get=create_get_request_model(search),
        search_post=create_post_request_model(search, base_model=SearchBody),
        items_get=create_request_model("ItemCollectionUri", ItemCollectionUri, extensions=items, request_type="GET"),
        collections_get=collections.GET,
    )
