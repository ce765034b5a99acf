"""Paging over HTTP: what a token is good for, and clients that follow the links."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest
from pystac_client import Client

from almagest.core.addresses import segment
from conftest import stac_client
from support import mixture
from support.cluster import Cluster
from support.searches import Search, as_parameters
from support.serving import served
from support.stock import StockSearch
from support.walking import Api, expected_link, key, token_of


def test_a_token_of_stock_dies_with_its_item_and_one_of_ours_does_not(cluster: Cluster, mixed: str) -> None:
    search = {"sortby": [{"field": "cloud", "direction": "desc"}], "limit": 20}
    with cluster.clone(mixture.TEMPLATE) as name, StockSearch.over(cluster, name) as stock:
        whole = [*map(key, stock.whole(search))]
        token = next(link for link in stock.page(search)["links"] if link["rel"] == "next")["href"].split("token=")[1]
        with stac_client(cluster.settings(name)) as client:
            api = Api(client, "/api")
            first = api.ask(search, "POST").json()
            second = api.follow(expected_link(first, "next")).json()
            for deleted in (whole[19], whole[20]):
                path = "/".join(map(segment, ("collections", deleted[0], "items", deleted[1])))
                assert client.delete(f"/api/{path}").status_code == 204
            after = [*map(key, api.follow(expected_link(first, "next")).json()["features"])]
            before = [*map(key, api.follow(expected_link(second, "prev")).json()["features"])]
        with pytest.raises(psycopg.Error, match="Could not find item using token"):
            stock.page({**search, "token": token})
    assert (before, after) == (whole[:19], whole[21:41])


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_a_token_is_good_for_its_search_alone_in_pages_of_any_size_and_fields(
    method: str, inside: Api, cluster: Cluster, mixed: str, stock: StockSearch
) -> None:
    search: Search = {"sortby": [{"field": "platform", "direction": "asc"}], "bbox": [-90, -90, 90, 90], "limit": 10}
    whole = [*map(key, stock.whole(search))]
    first = inside.ask(search, method).json()
    follows = inside.follow(expected_link(inside.follow(expected_link(first, "next")).json(), "next")).json()
    tokens = {rel: token_of(expected_link(follows, rel)) for rel in ("next", "prev")}

    def page(rel: str, client: httpx.Client = inside.client, **changed: Any) -> httpx.Response:
        changed = {name: value for name, value in {**search, **changed}.items() if value is not None}
        if method == "POST":
            return client.post("/api/search", json={**changed, "token": tokens[rel]})
        return client.get("/api/search", params={**as_parameters(changed, text=True), "token": tokens[rel]})

    for size in (1, 7, 200):
        ahead = page("next", limit=size, fields={"include": ["id", "collection"]}).json()
        assert [*map(key, ahead["features"])] == whole[30 : 30 + size]
        behind = page("prev", limit=size, fields={"exclude": ["properties"]}).json()
        assert [*map(key, behind["features"])] == whole[max(20 - size, 0) : 20]
    for change in (
        {"bbox": [-90, -90, 90, 89]},
        {"bbox": None},
        {"sortby": [{"field": "platform", "direction": "desc"}]},
        {"sortby": None},
        {"collections": [mixture.PLAIN]},
        {"filter": {"op": ">", "args": [{"property": "cloud"}, 1]}, "filter-lang": "cql2-json"},
        {"datetime": "../2023-01-01T00:00:00Z"},
        {"q": ["forest"]},
    ):
        assert page("next", **change).status_code == page("prev", **change).status_code == 400
    # In another process it is as good.
    with stac_client(cluster.settings(mixed)) as client:
        assert page("next", client).json()["features"] == page("next").json()["features"]


@pytest.fixture(scope="module")
def served_mixed(cluster: Cluster, mixed: str) -> Iterator[str]:
    """Address of the API on a real port."""
    with served(cluster.settings(mixed)) as settings:
        yield f"{settings.site.origin}/api/"


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize(
    "search",
    [
        {"sortby": [{"field": "properties.cloud", "direction": "asc"}, {"field": "id", "direction": "desc"}]},
        {"filter": {"op": "<>", "args": [{"property": "platform"}, "it's"]}, "filter-lang": "cql2-json"},
        {"bbox": [0, -90, 180, 90], "datetime": "2022-01-01T00:00:00Z/..", "query": {"gsd": {"gte": 10}}},
        {"ids": [*mixture.NAMES], "collections": [mixture.MONTHS, mixture.STOCK]},
    ],
    ids="+".join,
)
def test_pystac_client_walks_all_pages(search: Search, method: str, served_mixed: str, stock: StockSearch) -> None:
    arguments = {name.replace("-", "_"): value for name, value in search.items()}
    asked = Client.open(served_mixed).search(method=method, limit=7, **arguments)
    pages = [page["features"] for page in asked.pages_as_dicts()]
    whole = stock.whole(search)
    assert len(pages) == math.ceil(len(whole) / 7) > 2
    assert [*map(key, itertools.chain(*pages))] == [*map(key, whole)]


@pytest.mark.parametrize("path", ["search", "aggregate"])
def test_a_filter_in_a_body_may_be_text(cluster: Cluster, mixed: str, served_mixed: str, path: str) -> None:
    """eomatch-query sends it so, by pystac-client, which turns nothing into JSON where somebody says what it is."""
    text = {"filter": "platform <> 'it''s'", "filter-lang": "cql2-text"}
    wanted = {"aggregations": ["total_count"]} if path == "aggregate" else {"limit": 200}
    document = {"filter": {"op": "<>", "args": [{"property": "platform"}, "it's"]}, "filter-lang": "cql2-json"}
    with stac_client(cluster.settings(mixed)) as client:

        def ask(search: Search) -> Any:
            answer = client.post(f"/api/{path}", json={**search, **wanted})
            return answer.status_code, answer.json().get("features") or answer.json().get("aggregations")

        assert ask(text) == ask(document)
        assert ask(text)[1]
        assert ask({**text, "filter": "platform <> "})[0] == 400
        assert ask({**text, "filter": " AND ".join(["gsd > 1"] * 5000)})[0] == 400
        assert ask({**text, "filter-lang": "cql2-json"})[0] == 400, "text is no JSON"
        if path == "search":
            search = Client.open(served_mixed).search(limit=7, filter=text["filter"], filter_lang="cql2-text")
            pages = [page["features"] for page in search.pages_as_dicts()]
            assert len(pages) > 2
            assert [*map(key, itertools.chain(*pages))][:200] == [*map(key, ask(text)[1])]
