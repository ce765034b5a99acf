"""Aggregations over whatever hypothesis asks for are a count over what a search for the same finds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples

from almagest.catalogue import aggregations
from conftest import stac_client
from support.aggregating import brute, plain
from support.cluster import Cluster
from support.searches import Search, searches
from support.walking import Api

MEANT = ("collections", "ids", "bbox", "intersects", "datetime", "filter", "filter-lang", "query", "q")
#: Grids are compared elsewhere: here are footprints on both sides of the antimeridian.
NAMES = [
    "datetime_min", "datetime_max", "datetime_frequency", "collection_frequency", "platform_frequency", "cloud_sum",
    "gsd_frequency", "level_min", "grade_max", "title_frequency",
]  # fmt: skip
few = examples(
    max_examples=60, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)  # fmt: skip


@pytest.fixture(scope="module")
def outside(cluster: Cluster, mixed: str) -> Iterator[Api]:
    with stac_client(cluster.settings(mixed), "external") as client:
        yield Api(client, "/external")


def compare(api: Api, search: Search) -> None:
    meant: dict[str, Any] = {name: search[name] for name in MEANT if name in search}
    found = api.client.post(f"{api.prefix}/search", json={**meant, "limit": 1000})
    told = api.client.post(f"{api.prefix}/aggregate", json={**meant, "aggregations": NAMES})
    assert told.status_code == found.status_code, (search, told.text, found.text)
    if found.status_code == 200:
        right = brute(aggregations.parse(NAMES, {}), found.json()["features"])
        assert plain(told.json()["aggregations"]) == plain(right), search


@few
@given(search=searches())
def test_they_are_a_count_over_what_a_search_finds(inside: Api, search: Search) -> None:
    compare(inside, search)


@few
@given(search=searches())
def test_so_are_those_of_outsiders(outside: Api, search: Search) -> None:
    compare(outside, search)


@pytest.mark.soak
@pytest.mark.parametrize("audience", ["inside", "outside"])
def test_so_do_many_more(audience: str, request: pytest.FixtureRequest) -> None:
    api: Api = request.getfixturevalue(audience)

    @examples(few, max_examples=20 * few.max_examples, derandomize=False)
    @given(search=searches())
    def run(search: Search) -> None:
        compare(api, search)

    run()
