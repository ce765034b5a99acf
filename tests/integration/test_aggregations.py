"""Aggregations over HTTP, for both audiences: they equal a count over what a search finds."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from almagest.catalogue import aggregations, audience, database, loading, rollups
from almagest.core.settings import Settings
from conftest import stac_client
from support import adopted
from support.aggregating import NAMES, brute, chosen, item, plain

Document = dict[str, Any]

CHOICES = {
    "datetime_frequency_interval": "month",
    "centroid_geohash_grid_frequency_precision": 3,
    "centroid_geohex_grid_frequency_precision": 3,
    "centroid_geotile_grid_frequency_precision": 6,
    "cloud_cover_frequency_ranges": "10,50",
}
SEARCHES: list[Document] = [
    {},
    {"collections": ["open"]},
    {"collections": ["open", "hush"]},
    {"collections": ["hush"]},
    {"bbox": [0, -60, 150, 60]},
    {"datetime": "2020-01-01T00:00:00Z/2020-12-31T00:00:00Z"},
    {"ids": ["i1", "i2", "i3"]},
    {"intersects": {"type": "Point", "coordinates": [0, 0]}},
    {"query": {"eo:cloud_cover": {"lt": 50}}},
    {"filter-lang": "cql2-json", "filter": {"op": ">", "args": [{"property": "gsd"}, 1]}},
    {
        "filter-lang": "cql2-json",
        "filter": {"op": "=", "args": [{"property": "platform"}, "s-a"]},
        "collections": ["open"],
    },
]


@pytest.fixture(scope="module")
def filled(cluster: Any) -> Iterator[Settings]:
    from conftest import TEMPLATE

    with cluster.clone(TEMPLATE) as name:
        settings = cluster.settings(name)
        chance = random.Random(11)
        items = [item(chance, number, of) for of in ("open", "hush") for number in range(60)]
        loading.load_documents(settings, [adopted.collection(of) for of in ("open", "hush")], items)
        with database.connect(settings, "postgres") as connection:
            audience.set_collections(connection, "hush", "internal")
        yield settings


@pytest.fixture(scope="module", params=["internal", "external"])
def client(filled: Settings, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    with stac_client(filled, request.param) as client:
        client.base_url = client.base_url.join("/api" if request.param == "internal" else "/external")
        yield client


def found(client: httpx.Client, search: Document) -> list[Document]:
    answer = client.post("/search", json={**search, "limit": 1000})
    assert answer.status_code == 200, answer.text
    return list(answer.json()["features"])


@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize("search", SEARCHES, ids=json.dumps)
def test_they_equal_a_count_over_what_a_search_finds(
    filled: Settings, client: httpx.Client, search: Document, folded: bool
) -> None:
    if folded:
        with database.connect(filled, "almagest_ops") as connection:
            rollups.fold(connection)
    asked = aggregations.parse(NAMES, CHOICES)
    answer = client.post("/aggregate", json={**search, **CHOICES, "aggregations": NAMES})
    assert answer.status_code == 200, answer.text
    assert plain(answer.json()["aggregations"]) == plain(brute(asked, found(client, search)))


def test_by_get_they_are_the_same(client: httpx.Client) -> None:
    parameters = {"aggregations": ",".join(NAMES), **CHOICES, "bbox": "0,-60,150,60", "filter": "gsd > 1"}
    by_get = client.get("/aggregate", params=parameters)
    assert by_get.status_code == 200, by_get.text
    body = {**SEARCHES[4], **SEARCHES[9], **CHOICES, "aggregations": NAMES}
    assert by_get.json() == client.post("/aggregate", json=body).json()
    of_one = client.get("/collections/open/aggregate", params={"aggregations": "total_count,platform_frequency"})
    assert of_one.json()["aggregations"][0]["value"] == 60
    posted = client.post("/collections/open/aggregate", json={"aggregations": ["total_count"], "collections": ["hush"]})
    assert posted.json()["aggregations"][0]["value"] == 60


def test_links_and_classes_tell_of_them(client: httpx.Client) -> None:
    here = client.get("/").json()
    assert "https://api.stacspec.org/v0.3.0/aggregation" in here["conformsTo"]
    for document in (here, client.get("/collections/open").json()):
        links = {(link["rel"], link.get("method", "GET")): link["href"] for link in document["links"]}
        listed = httpx.URL(links["aggregations", "GET"])
        assert links["aggregate", "GET"] == links["aggregate", "POST"]
        told = client.get(str(listed)).json()
        assert told["type"] == "AggregationCollection"
        names = [one["name"] for one in told["aggregations"]]
        assert {"total_count", "cloud_cover_frequency", "centroid_geohex_grid_frequency"} <= set(names)
        answer = client.get(links["aggregate", "GET"], params={"aggregations": ",".join(names[:40])})
        assert answer.status_code == 200, answer.text
        assert [one["name"] for one in answer.json()["aggregations"]] == names[:40]


@pytest.mark.parametrize(
    ("path", "parameters", "status"),
    [
        ("/aggregate", {"aggregations": "nothing"}, 400),
        ("/aggregate", {"aggregations": "total_count,total_count"}, 200),
        ("/aggregate", {}, 200),
        ("/aggregate", {"aggregations": "x_frequency"}, 200),
        ("/collections/open/aggregate", {"aggregations": "x_frequency"}, 200),
        ("/collections/open/aggregate", {"aggregations": "nothing"}, 400),
        (
            "/aggregate",
            {
                "aggregations": "grid_geohex_frequency,centroid_geohex_grid_frequency",
                "grid_geohex_frequency_precision": "1",
            },
            400,
        ),
        ("/aggregate", {"aggregations": "total_count", "as-of": "2020-01-01T00:00:00Z"}, 400),
        ("/collections/none/aggregate", {"aggregations": "total_count"}, 404),
        ("/collections/none/aggregations", {}, 404),
        ("/aggregate", {"aggregations": "datetime_frequency", "datetime_frequency_interval": "age"}, 400),
        ("/aggregate", {"aggregations": "gsd_frequency", "gsd_frequency_ranges": "5,1"}, 400),
        ("/aggregate", {"aggregations": "gsd_frequency", "gsd_frequency_ranges": "nan"}, 400),
        (
            "/aggregate",
            {"aggregations": "centroid_geohash_grid_frequency", "centroid_geohash_grid_frequency_precision": "13"},
            400,
        ),
        ("/aggregate", {"aggregations": ",".join(["total_count"] * 41)}, 400),
        ("/aggregate", {"aggregations": "total_count", "filter": "nonsense("}, 400),
    ],
)
def test_what_is_not_possible_is_refused(
    client: httpx.Client, path: str, parameters: dict[str, str], status: int
) -> None:
    assert client.get(path, params=parameters).status_code == status


def test_members_that_are_none_of_ours_mean_nothing(client: httpx.Client) -> None:
    many = 10**400
    odd = {"aggregations": ["total_count", "gsd_frequency"], "more": many, "other": [{"deep": many}]}
    answer = client.post("/aggregate", json=odd)
    assert answer.status_code == 200, answer.text
    assert answer.json() == client.post("/aggregate", json={"aggregations": odd["aggregations"]}).json()
    for refused in (
        {"gsd_frequency_ranges": [many]},
        {"query": {"gsd": {"lt": many}}},
        {"as-of": "2020-01-01T00:00:00Z"},
        {"as-of": None},
    ):
        answer = client.post("/aggregate", json={**odd, **refused})
        assert answer.status_code == 400, (refused, answer.text)
    assert client.post("/collections/open/aggregate", json=odd).status_code == 200


def test_what_is_asked_for_twice_is_made_once(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aggregations, "MOST_PLACES", 130)
    names = ["centroid_geohex_grid_frequency", "grid_geohex_frequency"]
    fine = {f"{name}_precision": "9" for name in names}
    answer = client.get("/aggregate", params={"aggregations": ",".join(names * 20), **fine})
    assert answer.status_code == 200, answer.text
    one, other = answer.json()["aggregations"]
    assert [one["name"], other["name"]] == names
    assert one["buckets"] == other["buckets"]
    # Asked for under two names, the database is asked once.
    assert len(aggregations.questions(aggregations.parse(names * 20, fine))) == 2


def test_outsiders_aggregate_nothing_that_is_hidden(filled: Settings) -> None:
    with database.connect(filled, "postgres") as connection:
        connection.execute("UPDATE almagest.audience_policy SET hidden_properties = hidden_properties || '{gsd}'")
        try:
            with stac_client(filled, "external") as outside, stac_client(filled) as inside:
                for name in ("gsd_frequency", "gsd_min", "odd.href_frequency", "href_frequency"):
                    refused = outside.get("/external/aggregate", params={"aggregations": name})
                    assert refused.status_code == (200 if name == "odd.href_frequency" else 400), name
                    assert inside.get("/api/aggregate", params={"aggregations": name}).status_code == 200
                told = outside.get("/external/aggregations").text
                assert "gsd" not in told
                assert outside.get("/external/collections/hush/aggregate").status_code == 404
        finally:
            connection.execute(
                "UPDATE almagest.audience_policy SET hidden_properties = array_remove(hidden_properties, 'gsd')"
            )


def test_many_buckets_are_cut_and_it_is_told(filled: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aggregations, "MOST_PLACES", 5)
    with stac_client(filled) as inside:
        few = {"centroid_geohex_grid_frequency_precision": "9", "aggregations": "centroid_geohex_grid_frequency"}
        assert inside.get("/api/aggregate", params=few).status_code == 400
        with database.connect(filled, "postgres") as connection, connection.transaction(force_rollback=False):
            source = connection.execute("SELECT pg_get_functiondef('almagest.most_buckets'::regproc)").fetchone()
            assert source is not None
            connection.execute(source[0].replace("10000", "3").encode())
        try:
            asked = "centroid_geohash_grid_frequency,datetime_frequency"
            parameters = {
                "aggregations": asked,
                "centroid_geohash_grid_frequency_precision": "5",
                "datetime_frequency_interval": "hour",
            }
            for one in inside.get("/api/aggregate", params=parameters).json()["aggregations"]:
                assert len(one["buckets"]) == 3
                assert one["overflow"] + sum(bucket["frequency"] for bucket in one["buckets"]) == 120
        finally:
            with database.connect(filled, "postgres") as connection:
                connection.execute(source[0].encode())


def test_both_ways_agree_for_any_search(filled: Settings) -> None:
    """The finer ones are always scanned."""
    with stac_client(filled) as inside:
        asked = chosen(coarse=False)
        body = {
            "aggregations": NAMES,
            "datetime_frequency_interval": "hour",
            "cloud_cover_frequency_ranges": [0.5, 20.25, 90],
            "centroid_geohash_grid_frequency_precision": 6,
            "centroid_geohex_grid_frequency_precision": 7,
            "centroid_geotile_grid_frequency_precision": 12,
        }
        answer = inside.post("/api/aggregate", json=body)
        assert answer.status_code == 200, answer.text
        every = inside.post("/api/search", json={"limit": 1000}).json()["features"]
        assert plain(answer.json()["aggregations"]) == plain(brute(asked, every))
