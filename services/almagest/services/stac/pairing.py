"""Pair searches of one audience: two searches at once, for items that belong together. The paths, parameters and the
shape of the answer are those of EOX's pair-search extension."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field, ValidationError, create_model, field_validator, model_validator
from starlette.responses import Response

from almagest.catalogue.filters import parse
from almagest.catalogue.hydration import Document, base_item, hydrated
from almagest.catalogue.paging import Leaf, TokenKey
from almagest.core.errors import BadRequestError
from almagest.services.stac.as_of import NAME as AS_OF
from almagest.services.stac.client import answer, sent, turning
from almagest.services.stac.extensions import SearchBody
from almagest.services.stac.links import GEOJSON, JSON, Links
from almagest.services.stac.search import ItemSearch
from almagest.services.web.pool import Pool

DEFAULT_LIMIT = 10
MAX_LIMIT = 1000

#: Of EOX's extension, and of its functions in CQL2.
CONFORMANCE = (
    "https://api.stacspec.org/1.0.0/pair-search",
    "https://api.stacspec.org/1.0.0/pair-search#filter",
    *(
        f"https://spec.eox.at/ext/cql2/1.0/conf/{function}"
        for function in ("number-difference", "time-difference", "time-start", "time-end", "relative-geometry-overlap")
    ),
)

_SIDES = ("first", "second")
#: What a search of one side is made of.
_MEMBERS = ("collections", "ids", "bbox", "intersects", "datetime")
_LISTS = tuple(f"{side}-{name}" for side in _SIDES for name in ("collections", "ids", "bbox"))
#: Collections within collections keep GEOS busy for the square of their depth, and take the process along.
_PLAIN = re.compile(r"\s*(?:MULTI)?(?:POINT|LINESTRING|POLYGON)\b", re.IGNORECASE)
#: One statement, so that pairs and their items are of one moment.
_PAGE = """
    WITH found AS MATERIALIZED (
        SELECT *, row_number() OVER () AS place FROM pair_page($1::jsonb, $2::jsonb, $3, $4)
    )
    SELECT p.*, NULL AS item, NULL AS base FROM found AS p
    UNION ALL
    SELECT n.collection, n.id, NULL, NULL, NULL, NULL, NULL, NULL, NULL, r.item, r.base
    FROM (
        SELECT p.collection, p.id FROM found AS p WHERE p.place < $4
        UNION
        SELECT p.partner_collection, p.partner_id FROM found AS p WHERE p.place < $4 AND p.partner_id IS NOT NULL
    ) AS n
    CROSS JOIN LATERAL item_row(n.collection, n.id) AS r
"""


class PairBody(BaseModel):
    """Body of ``POST /pair-search``. Members it does not name are dropped."""

    first_collections: list[str] | None = Field(None, alias="first-collections", description="Of the first item.")
    second_collections: list[str] | None = Field(None, alias="second-collections", description="Of the second item.")
    first_ids: list[str] | None = Field(None, alias="first-ids")
    second_ids: list[str] | None = Field(None, alias="second-ids")
    first_bbox: list[float] | None = Field(None, alias="first-bbox", description="The first item touches it [degrees].")
    second_bbox: list[float] | None = Field(None, alias="second-bbox")
    first_intersects: dict[str, Any] | str | None = Field(
        None, alias="first-intersects", description="A place that the first item touches: GeoJSON, or WKT."
    )
    second_intersects: dict[str, Any] | str | None = Field(None, alias="second-intersects")
    first_datetime: str | None = Field(None, alias="first-datetime", description="As in a search.")
    second_datetime: str | None = Field(None, alias="second-datetime")
    filter: dict[str, Any] | str | None = Field(
        None,
        description="CQL2, as text or JSON, whose names begin with `first.` or `second.`. Beside what a search may ask"
        " of each, names of both may be compared, and T_DIFF (seconds), T_START, T_END, N_DIFF and S_RAOVERLAP be"
        " asked.",
        examples=["first.eo:cloud_cover < 20 AND second.eo:cloud_cover < 20 AND first.datetime < second.datetime"],
    )
    max_time_difference: float | None = Field(
        None,
        alias="max-time-difference",
        ge=0,
        le=1e9,
        allow_inf_nan=False,
        description="Most time between the end of one item and the start of the other [s].",
    )
    min_overlap_area: float | None = Field(
        None, alias="min-overlap-area", ge=0, allow_inf_nan=False, description="Least overlap [km²]; 0: any."
    )
    min_overlap_fraction: float | None = Field(
        None,
        alias="min-overlap-fraction",
        ge=0,
        le=1,
        description="Least overlap, as a share of the smaller of both footprints; 0: any.",
    )
    response_type: Literal["pair", "first-only", "second-only"] = Field(
        "pair", alias="response-type", description="Pairs; or each item of one side that has a partner, once."
    )
    limit: int = Field(DEFAULT_LIMIT, ge=1, description=f"Of pairs; at most {MAX_LIMIT:,} come at once.")
    token: str | None = Field(None, description="Where the page begins; links of a page have it.")

    @model_validator(mode="before")
    @classmethod
    def _present(cls, body: Any) -> Any:
        if not isinstance(body, dict):
            raise ValueError("a pair search is a JSON object")
        if AS_OF in body:
            raise BadRequestError(f"{AS_OF} goes with items, collections and searches: pairs are of the present.")
        return body

    @field_validator("first_intersects", "second_intersects")
    @classmethod
    def _geojson(cls, place: Any) -> Any:
        import shapely

        if not isinstance(place, str):
            return place
        try:
            if place.lstrip().startswith("{"):
                return orjson.loads(place)
            if not _PLAIN.match(place):
                raise ValueError("of WKT, points, lines and polygons are taken, and several of one kind")
            return orjson.loads(shapely.to_geojson(shapely.from_wkt(place)))
        except (shapely.errors.ShapelyError, orjson.JSONDecodeError) as error:
            raise ValueError(f"neither GeoJSON nor WKT: {error}") from None

    @property
    def asked(self) -> Document:
        """What the search core is asked.

        Raises:
            BadRequestError: it is malformed.
        """
        try:
            told = orjson.loads(self.model_dump_json(by_alias=True, exclude_none=True, exclude={"limit", "token"}))
        except (orjson.JSONDecodeError, ValueError) as error:  # half a character
            raise BadRequestError("The search cannot be read as JSON.") from error
        search: Document = {side: self._side(told, side) for side in _SIDES}
        for name in ("filter", "max-time-difference", "min-overlap-area", "min-overlap-fraction", "response-type"):
            if name in told:
                search[name] = told[name]
        if isinstance(search.get("filter"), str):
            search["filter"] = parse(search["filter"], "cql2-text")
        SearchBody.model_validate({"filter": search.get("filter")})  # which refuses what costs too much
        return search

    @staticmethod
    def _side(told: Mapping[str, Any], side: str) -> Document:
        given = {name: told[f"{side}-{name}"] for name in _MEMBERS if f"{side}-{name}" in told}
        try:
            model = SearchBody.model_validate(given)
        except ValidationError as error:
            wrong = error.errors()[0]
            raise BadRequestError(f"{side}-{'.'.join(map(str, wrong['loc']))}: {wrong['msg']}") from None
        side_of: Document = orjson.loads(model.model_dump_json(exclude_none=True, by_alias=True, exclude={"limit"}))
        if side_of.get("collections") == []:
            del side_of["collections"]  # as in a search
        return side_of


#: Parameters of ``GET /pair-search``: the members of a body as text, lists with commas in between.
PairQuery: Any = create_model(
    "PairQuery",
    **{
        name: (str | None, Field(None, alias=member.alias, description=member.description))
        for name, member in PairBody.model_fields.items()
    },
    filter_lang=(str | None, Field(None, alias="filter-lang", description="Of the filter: cql2-text or cql2-json.")),
)  # type: ignore[call-overload]


def body_of(query: BaseModel) -> PairBody:
    """Parameters as the body that asks the same.

    Raises:
        BadRequestError: the filter cannot be read.
    """
    given: dict[str, Any] = query.model_dump(by_alias=True, exclude_none=True)
    for name in _LISTS:
        if name in given:
            given[name] = [part for part in given[name].split(",") if part]
    language = given.pop("filter-lang", "cql2-text")
    if "filter" in given:
        given["filter"] = parse(given["filter"], language)
    return PairBody.model_validate(given)


@dataclass(frozen=True)
class PairPage:
    """One page of a pair search.

    Attributes:
        rows: of the pairs, in their order; or of the items of one side that have a partner.
        is_of_both: which of the two.
        features: the items that they are made of, each once, linked.
        leaf: the pages beside it.
    """

    rows: list[Any]
    is_of_both: bool
    features: list[Document]
    leaf: Leaf


@dataclass(frozen=True)
class PairSearch:
    """The pair search of one audience.

    Attributes:
        pool: reads as the audience's role.
        key: signs the audience's paging tokens.
        items: links items.
        links: makes public links.
    """

    pool: Pool
    key: TokenKey
    items: ItemSearch
    links: Links

    async def page(self, body: PairBody) -> PairPage:
        """Runs a pair search.

        Raises:
            BadRequestError: the search or its token is malformed.
        """
        asked = body.asked
        limit = min(body.limit, MAX_LIMIT)
        # Another kind of search: no token of the one is good for the other.
        anchor = self.key.read(body.token, {"pairs": asked}) if body.token else None
        backward = anchor is not None and anchor.backward
        begin = orjson.dumps(anchor.values).decode() if anchor else None
        async with self.pool.connection() as connection:
            told = await connection.fetch(_PAGE, orjson.dumps(asked).decode(), begin, backward, limit + 1)
        pairs = sorted((row for row in told if row["place"] is not None), key=lambda row: row["place"])
        items = {(row["collection"], row["id"]): row for row in told if row["place"] is None}
        leaf = self.key.leaf(pairs, limit, anchor, {"pairs": asked})
        pairs = pairs[:limit]
        if backward:
            pairs.reverse()
        named = [name for row in pairs for name in _names(row)]
        return PairPage(
            pairs,
            body.response_type == "pair",
            [self._linked(items[name]) for name in dict.fromkeys(named) if name in items],
            leaf,
        )

    def document(self, page: PairPage, url: str, body: dict[str, Any] | None) -> Document:
        """The answer that tells it."""
        links = [
            {"rel": "self", "type": GEOJSON, "href": self.links.href("pair-search")},
            {"rel": "root", "type": JSON, "href": self.links.base},
            *turning(page.leaf, url, body),
        ]
        document = {
            "type": "FeatureCollection",
            "features": page.features,
            "links": links,
            "numberReturned": len(page.features),
        }
        if page.is_of_both:
            document["featurePairs"] = [[row["id"], row["partner_id"]] for row in page.rows]
            document["pairs"] = [_pair(row) for row in page.rows]
        return document

    def _linked(self, row: Any) -> Document:
        return self.items.linked(hydrated(row["item"], base_item(row["base"])), self.links)


def _names(row: Any) -> list[tuple[str, str]]:
    names = [(row["collection"], row["id"])]
    return names if row["partner_id"] is None else [*names, (row["partner_collection"], row["partner_id"])]


def _pair(row: Any) -> Document:
    """What is known of a pair, in the words of matchups."""
    first, second = _names(row)
    return {
        "first": {"collection": first[0], "id": first[1]},
        "second": {"collection": second[0], "id": second[1]},
        "time_diff_s": row["time_difference"],
        "collocation_area_km2": row["overlap_km2"],
        "matchup:overlap_fraction": row["overlap_share"],
    }


def router(search: PairSearch) -> APIRouter:
    """Routes that search for pairs, for one audience."""
    routes = APIRouter(tags=["Pair search"])

    @routes.get("/pair-search")
    async def by_get(request: Request, asked: Annotated[PairQuery, Query()]) -> Response:
        """Search for pairs of items"""
        page = await search.page(body_of(asked))
        return answer(search.document(page, str(request.url), None), GEOJSON)

    @routes.post("/pair-search")
    async def by_post(request: Request, asked: PairBody) -> Response:
        """Search for pairs of items"""
        page = await search.page(asked)
        known = {field.alias or name for name, field in PairBody.model_fields.items()}
        return answer(search.document(page, str(request.url), await sent(request, known)), GEOJSON)

    return routes
