"""Paging by keyset: every item once, in order, both ways, whatever is null, equal or deleted on the way."""

from __future__ import annotations

import itertools
import random
from typing import Any

import httpx
import pytest

from almagest.catalogue import database, loading
from almagest.core.settings import Settings
from conftest import stac_client

SORTS: list[list[dict[str, str]]] = [
    [],
    [{"field": "datetime", "direction": "asc"}],
    [{"field": "properties.cloud", "direction": "asc"}],
    [{"field": "properties.cloud", "direction": "desc"}],
    [{"field": "properties.cloud", "direction": "desc"}, {"field": "properties.name", "direction": "asc"}],
    [{"field": "id", "direction": "asc"}],
    [{"field": "collection", "direction": "desc"}, {"field": "properties.name", "direction": "desc"}],
]


def documents(count: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Two collections whose items share ids, times and values, and lack some of them."""
    dice = random.Random(5)
    collections, items = [], []
    for collection in ("a", "b"):
        collections.append(
            {
                "type": "Collection",
                "stac_version": "1.1.0",
                "id": collection,
                "description": "x",
                "license": "other",
                "links": [],
                "extent": {
                    "spatial": {"bbox": [[-180, -90, 180, 90]]},
                    "temporal": {"interval": [["2020-01-01T00:00:00Z", None]]},
                },
            }
        )
        for number in range(count):
            properties: dict[str, Any] = {"datetime": f"2024-01-{dice.randint(1, 6):02}T00:00:00Z"}
            if dice.random() < 0.7:
                properties["cloud"] = str(dice.randint(0, 4))
            if dice.random() < 0.5:
                properties["name"] = dice.choice(["x", "y", "É", "'\"\\"])
            items.append(
                {
                    "type": "Feature",
                    "stac_version": "1.1.0",
                    "id": f"item {number}'s",
                    "collection": collection,
                    "geometry": {"type": "Point", "coordinates": [number % 10, 1]},
                    "bbox": [number % 10, 1, number % 10, 1],
                    "properties": properties,
                    "links": [],
                    "assets": {},
                }
            )
    return collections, items


def walk(api: httpx.Client, body: dict[str, Any], rel: str) -> list[list[tuple[str, str]]]:
    pages = []
    for _ in range(200):
        page = api.post("/api/search", json=body).json()
        pages.append([(feature["collection"], feature["id"]) for feature in page["features"]])
        body = next((link["body"] for link in page["links"] if link["rel"] == rel), None)
        if body is None:
            return pages
    raise AssertionError("paging does not end")


@pytest.mark.parametrize("sortby", SORTS, ids=str)
def test_pages_are_the_whole_in_order_both_ways(sortby: list[dict[str, str]], settings: Settings) -> None:
    loading.load_documents(settings, *documents(40))
    with stac_client(settings) as api:
        search = {"sortby": sortby} if sortby else {}
        whole = walk(api, {**search, "limit": 1000}, "next")[0]
        assert len(set(whole)) == 80
        forward = walk(api, {**search, "limit": 7}, "next")
        assert list(itertools.chain(*forward)) == whole
        last = api.post("/api/search", json={**search, "limit": 7}).json()
        while following := next((link for link in last["links"] if link["rel"] == "next"), None):
            last = api.post("/api/search", json=following["body"]).json()
        back = next(link["body"] for link in last["links"] if link["rel"] == "prev")
        assert list(itertools.chain(*reversed(walk(api, back, "prev")))) == whole[: len(whole) - len(forward[-1])]


def test_a_page_survives_the_deletion_of_the_row_before_it(settings: Settings) -> None:
    loading.load_documents(settings, *documents(10))
    with stac_client(settings) as api:
        whole = walk(api, {"limit": 100}, "next")[0]
        first = api.get("/api/search", params={"limit": 5}).json()
        following = next(link["href"] for link in first["links"] if link["rel"] == "next")
        with database.connect(settings, "almagest_writer") as connection:
            connection.execute("SELECT delete_item(%s, %s)", whole[4])
        page = api.get(following).json()
        assert [(feature["collection"], feature["id"]) for feature in page["features"]] == whole[5:10]
