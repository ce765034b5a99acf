"""Our answers equal those of stock stac-fastapi.pgstac on the real items: documents and order.

Deliberate differences, each undone here before comparing:

* explicit nulls of a document survive; stock hydration in SQL drops them (STAC requires ``datetime: null`` by a range);
* links: ``prev`` instead of ``previous`` as the specifications name it, signed paging tokens, ids percent-encoded, the
  tiler's links, and queryables links to ourselves only (stock hands on those of a collection's former server);
* with ``fields``, stock's API-hydrate mode leaves out ``collection``, which its SQL mode always includes, as we do;
* queryables spell out what stock refers to on other sites;
* ``numberMatched`` is not guessed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from almagest.catalogue import versions
from almagest.catalogue.links import SERVER_LINKS
from almagest.core.settings import Settings
from support.stock import stock_client

SEARCHES: list[dict[str, Any]] = [
    {},
    {"limit": 3},
    {"collections": ["sentinel-2-l2a"], "limit": 20},
    {"collections": ["landsat-c2-l2", "sentinel-2-l2a"], "limit": 40},
    {"collections": ["naip"], "limit": 60},
    {"bbox": [-105.5, 39.5, -105.0, 40.0], "limit": 40},
    {"bbox": [-105.5, 39.5, -105.0, 40.0], "collections": ["naip"], "limit": 40},
    {"datetime": "2024-05-01T00:00:00Z/2024-06-01T00:00:00Z", "limit": 60},
    {"datetime": "../2020-01-01T00:00:00Z", "limit": 15},
    {"intersects": {"type": "Point", "coordinates": [-105.2, 39.7]}, "limit": 25},
    {"ids": ["LC08_L2SP_033032_20241127_02_T1"]},
    {"ids": ["nothing"]},
    {"sortby": [{"field": "properties.eo:cloud_cover", "direction": "asc"}], "limit": 33},
    {"sortby": [{"field": "id", "direction": "desc"}], "limit": 20},
    {"sortby": [{"field": "collection", "direction": "asc"}, {"field": "datetime", "direction": "desc"}], "limit": 20},
    {"query": {"eo:cloud_cover": {"lt": 5}}, "limit": 30},
    {"filter": {"op": "<", "args": [{"property": "eo:cloud_cover"}, 10]}, "filter-lang": "cql2-json", "limit": 30},
    {
        "filter": {
            "op": "and",
            "args": [
                {"op": "=", "args": [{"property": "platform"}, "landsat-9"]},
                {"op": "between", "args": [{"property": "eo:cloud_cover"}, 10, 60]},
            ],
        },
        "filter-lang": "cql2-json",
        "limit": 30,
    },
    {
        "filter": {
            "op": "s_intersects",
            "args": [
                {"property": "geometry"},
                {
                    "type": "Polygon",
                    "coordinates": [[[-105.6, 39.6], [-105.1, 39.6], [-105.1, 40.1], [-105.6, 40.1], [-105.6, 39.6]]],
                },
            ],
        },
        "filter-lang": "cql2-json",
        "limit": 25,
    },
    # Of items without such an asset stock makes one up (test_equals_stock_searches.py).
    {
        "collections": ["sentinel-2-l2a"],
        "fields": {"include": ["id", "properties.datetime", "assets.B04.href"], "exclude": []},
        "limit": 12,
    },
    {"fields": {"include": [], "exclude": ["assets", "links"]}, "limit": 12},
    {"fields": {"include": ["properties"], "exclude": ["properties.proj:bbox", "geometry"]}, "limit": 7},
]


@pytest.fixture(scope="module", params=["hydrated-by-sql", "hydrated-by-api"])
def stock(request: pytest.FixtureRequest, real_settings: Settings) -> Iterator[httpx.Client]:
    with stock_client(real_settings, api_hydrate=request.param == "hydrated-by-api") as client:
        client.headers["x-mode"] = request.param
        yield client


@pytest.mark.parametrize("search", SEARCHES, ids=lambda search: json.dumps(search)[:60])
def test_pages_of_a_search_equal_stock(search: dict[str, Any], real_api: httpx.Client, stock: httpx.Client) -> None:
    if "fields" in search and stock.headers["x-mode"] == "hydrated-by-api":
        pytest.skip("stock's two modes differ from each other here")
    ours, theirs = post(real_api, "/api/search", search), post(stock, "/search", search)
    for _ in range(3):
        assert canonical(ours["features"]) == canonical(theirs["features"])
        assert ours["numberReturned"] == theirs["numberReturned"]
        our_next, their_next = link(ours, "next"), link(theirs, "next")
        assert (our_next is None) == (their_next is None)
        if our_next is None or their_next is None:
            return
        ours = post(real_api, "/api/search", our_next["body"])
        theirs = post(stock, "/search", their_next["body"])


@pytest.mark.parametrize("collection", ["landsat-c2-l2", "sentinel-2-l2a", "naip"])
def test_items_and_collections_equal_stock(collection: str, real_api: httpx.Client, stock: httpx.Client) -> None:
    path = f"/collections/{collection}"
    assert canonical(real_api.get(f"/api{path}").json()) == canonical(stock.get(path).json())
    listed = real_api.get(f"/api{path}/items", params={"limit": 5}).json()["features"]
    assert canonical(listed) == canonical(stock.get(f"{path}/items", params={"limit": 5}).json()["features"])
    for item in listed:
        one = f"{path}/items/{item['id']}"
        assert canonical(real_api.get(f"/api{one}").json()) == canonical(stock.get(one).json())


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?limit=2",
        "?q=landsat",
        "?bbox=-105,39,-104,40",
        "?datetime=2023-01-01T00:00:00Z/..",
        "?sortby=-id",
        "?limit=1&offset=1",
    ],
)
def test_collection_search_equals_stock(query: str, real_api: httpx.Client, stock: httpx.Client) -> None:
    ours, theirs = real_api.get(f"/api/collections{query}").json(), stock.get(f"/collections{query}").json()
    assert canonical(ours["collections"]) == canonical(theirs["collections"])
    assert ours["numberMatched"] == theirs["numberMatched"]
    assert (link(ours, "next") is None) == (link(theirs, "next") is None)


def test_queryables_equal_stock(real_api: httpx.Client, stock: httpx.Client) -> None:
    for path in ("/queryables", "/collections/naip/queryables"):
        ours, theirs = real_api.get(f"/api{path}").json(), stock.get(path).json()
        assert {**ours, "$id": "", "properties": {}} == {**theirs, "$id": "", "properties": {}}
        assert ours["properties"].keys() == theirs["properties"].keys()
        assert "$ref" not in json.dumps(ours)
        assert ours["properties"]["datetime"] == theirs["properties"]["datetime"]


def post(client: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    response = client.post(path, json=body)
    assert response.status_code == 200, response.text
    return dict(response.json())


def link(document: dict[str, Any], rel: str) -> dict[str, Any] | None:
    return next((found for found in document["links"] if found["rel"] == rel), None)


#: Relation types of links that we make and stock does not, or that differ.
DIFFERENT = {"xyz", "tilejson", *SERVER_LINKS, *versions.RELS}


def canonical(value: Any) -> Any:
    """The value without what differs on purpose: nulls, and where and in which order links stand."""
    if isinstance(value, dict):
        kept = {key: canonical(part) for key, part in value.items() if part is not None}
        if "links" in kept:
            kept["links"] = sorted(
                (shape for shape in map(link_shape, value["links"]) if shape[0] not in DIFFERENT), key=repr
            )
        return kept
    return [canonical(part) for part in value] if isinstance(value, list) else value


def link_shape(found: dict[str, Any]) -> tuple[Any, ...]:
    href = str(found["href"]).replace("http://127.0.0.1:8080/api", "").replace("http://stock.test", "")
    return (found["rel"], found.get("type"), found.get("title"), href)
