"""What a search may ask for is known before anything is made of it."""

from __future__ import annotations

import math
from typing import Any

import pytest

from almagest.core.errors import BadRequestError
from almagest.services.stac.limits import check_search

CROSSING = {"type": "LineString", "coordinates": [[0, 0], [10, 10], [10, 0], [0, 10]]}
ROUND = {
    "type": "Polygon",
    "coordinates": [[[math.cos(n / 500 * math.tau), math.sin(n / 500 * math.tau)] for n in [*range(500), 0]]],
}
BOWTIE = {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]]}
POINT = {"type": "Point", "coordinates": [0, 0]}


def relation(operator: str, geometry: dict[str, Any]) -> dict[str, Any]:
    return {"filter": {"op": operator, "args": [{"property": "geometry"}, geometry]}}


@pytest.mark.parametrize(
    ("search", "reason"),
    [
        ({"sortby": [{"field": "id"}] * 17}, "sortby: at most 16"),
        ({"collections": ["a"] * 1001}, "collections: at most 1,000"),
        ({"ids": ["a"] * 10_001}, "ids: at most 10,000"),
        ({"fields": {"include": ["a"] * 60, "exclude": ["b"] * 60}}, "fields: at most 100"),
        ({"filter": {"op": "in", "args": [{"property": "id"}, ["a"] * 10_000]}}, "filter: at most 10,000"),
        ({"filter": {"op": "and", "args": [{"op": "isNull", "args": []}] * 200}}, "at most 200 operators"),
        (
            {"intersects": {"type": "MultiPoint", "coordinates": [[1, 2]] * 10_001}},
            "intersects: at most 10,000 positions",
        ),
        ({"intersects": {"type": "MultiPoint", "coordinates": [[]] * 10_001}}, "intersects: at most 10,000 positions"),
        ({"intersects": {"type": "Polygon", "coordinates": [[1] * 7]}}, "intersects: a position is"),
        ({"intersects": {"type": "Polygon", "coordinates": [["1", "2"]]}}, "intersects: a position is"),
        ({"sortby": [{"field": "id", "href": "file:///x"}]}, "sortby: `href`"),
        ({"fields": {"include": ["id"], "href": "file:///x"}}, "fields: `href`"),
        ({"filter": {"op": "=", "args": [{"property": "id"}, "x"], "href": "file:///x"}}, "filter: `href`"),
        ({"intersects": {**POINT, "href": "file:///x"}}, "intersects: `href`"),
        ({"query": {"id": {"eq": "x", "href": "file:///x"}}}, "query: `href`"),
        (relation("s_crosses", CROSSING), "`s_crosses` crosses itself"),
        ({"filter": {"op": "not", "args": [relation("s_touches", BOWTIE)["filter"]]}}, "`s_touches` crosses itself"),
        ({"filter": {"touches": [{"property": "geometry"}, CROSSING]}}, "`touches` crosses itself"),
    ],
)
def test_what_is_too_much_is_refused(search: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadRequestError, match=reason):
        check_search(search)


@pytest.mark.parametrize(
    "search",
    [
        {},
        {"sortby": "id", "fields": ["a"], "collections": "a", "ids": 5, "filter": 1, "query": [], "intersects": None},
        {"query": {"href": {"eq": "x"}}},
        {"intersects": CROSSING},
        {"intersects": {"type": "GeometryCollection", "geometries": [{**POINT, "bbox": [0, 0, 0, 0, 0, 0]}]}},
        {"intersects": {"type": "MultiPoint", "coordinates": [[1, 2]] * 10_000}},
        relation("s_intersects", CROSSING),
        relation("s_within", ROUND),
        relation("s_touches", POINT),
        relation("s_within", {"type": "Polygon", "coordinates": "nonsense"}),
        relation("s_within", {"type": "Polygon", "coordinates": [[[0, 0], [1]]]}),
    ],
)
def test_what_is_no_more_than_a_search_passes(search: dict[str, Any]) -> None:
    check_search(search)
