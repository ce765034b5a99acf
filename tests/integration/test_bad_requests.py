"""Whatever a client sends, the answer is its own fault or an answer: never ours."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

NAMES = [
    "bbox",
    "datetime",
    "limit",
    "ids",
    "collections",
    "intersects",
    "query",
    "fields",
    "sortby",
    "filter",
    "q",
    "token",
]
# fmt: off
NASTY = [
    "", ",", ",,", "-", "+", "--", "1", "-1", "0", "null", "true", "[]", "{}", "[1]", '"x"', "x,y", "..", "../..",
    "nan", "0,0,nan,1", "1,2,3,4,5", "inf,0,0,0", "10,10,0,0", "next:", "prev:AAAA", "'; DROP TABLE x; --", '{"a":1}',
    '{"eo:cloud_cover":{"xx":1}}', '{"eo:cloud_cover":{"eq":{"a":1}}}', '{"type":"Point"}', "a=b", "a = 'b'",
    "a LIKE", "T_AFTER(datetime, 1)", "S_INTERSECTS(geometry, POINT(1))", "id IN ()", "NOT NOT id", "\u0000",
    "\ud7ff", "é", "a" * 3000, "2020-01-01T00:00:00Z/2019-01-01T00:00:00Z", "2020", "properties.", "assets.x.href",
    "id;", "%00", "(((((((((1=1)))))))))",
]
# fmt: on


@pytest.mark.parametrize("path", ["/api/search", "/api/collections", "/api/collections/naip/items"])
@pytest.mark.parametrize("name", NAMES)
def test_no_value_of_a_parameter_is_our_fault(path: str, name: str, real_api: httpx.Client) -> None:
    for value in NASTY:
        response = real_api.get(path, params={name: value, **({} if name == "limit" else {"limit": 1})})
        assert response.status_code < 500, (name, value, response.text)
        if response.status_code >= 400:
            assert response.headers["content-type"] == "application/problem+json"
            assert response.json()["detail"]


BODIES = st.dictionaries(
    st.sampled_from([*NAMES, "conf", "filter-lang"]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(NASTY),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(["op", "args", "property", "type", "coordinates", "field", "eq", "x"]), inner
            )
        ),
        max_leaves=12,
    ),
    max_size=3,
)


@given(BODIES)
@examples(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
def test_no_body_of_a_search_is_our_fault(real_api: httpx.Client, body: dict[str, Any]) -> None:
    content = json.dumps({"limit": 1, **body})
    response = real_api.post("/api/search", content=content, headers={"Content-Type": "application/json"})
    assert response.status_code < 500, (content, response.text)


HEAVY: list[dict[str, Any]] = [
    {"sortby": [{"field": f"f{n}", "direction": "asc"} for n in range(300)]},
    {"sortby": [{"field": "id", "direction": "asc"}] * 500},
    {"fields": {"include": [f"a{n}" for n in range(3000)]}},
    {"filter": {"op": "or", "args": [{"op": "=", "args": [{"property": "platform"}, n]} for n in range(5000)]}},
    {"query": {f"a{n}": {"eq": 1} for n in range(10000)}},
    {"datetime": "9999-12-31T23:59:59-23:00"},
    {"datetime": "0001-01-01T00:00:00+23:00"},
]


@pytest.mark.parametrize("body", HEAVY, ids=lambda body: json.dumps(body)[:40])
def test_what_would_cost_too_much_is_refused(body: dict[str, Any], real_api: httpx.Client) -> None:
    assert real_api.post("/api/search", json=body).status_code == 400


@pytest.mark.parametrize("text", ["(" * 1900 + "1=1" + ")" * 1900, "(" * 1900, "(" * 22 + "1=" + ")" * 22, ")("])
def test_parentheses_cannot_stop_the_parser(text: str, real_api: httpx.Client) -> None:
    """cql2 parses what does not fit in exponential time; at 1,900 levels its stack overflows and kills the process."""
    response = real_api.get("/api/search", params={"filter": text, "limit": 1})
    assert response.status_code == 400
    assert "parentheses" in response.json()["detail"]


@pytest.mark.parametrize("path", ["/api/search", "/api/collections"])
@pytest.mark.parametrize("text", ["a=a=a=a=a=a", "a=1" + "+1" * 1000, "NOT " * 100 + "a=1", "a=" + "-" * 9000 + "1"])
def test_a_short_filter_takes_no_long_time(text: str, path: str, real_api: httpx.Client) -> None:
    """cql2 validates operators within operators in exponential time, and keeps the process busy meanwhile."""
    started = time.monotonic()
    assert real_api.get(path, params={"filter": text, "limit": 1}).status_code in {200, 400}
    assert time.monotonic() - started < 5


def test_a_deep_body_is_refused(real_api: httpx.Client) -> None:
    deep = '{"op":"not","args":[' * 2000 + "true" + "]}" * 2000
    response = real_api.post(
        "/api/search", content=f'{{"filter": {deep}}}', headers={"Content-Type": "application/json"}
    )
    assert response.status_code == 400


def test_half_a_character_is_a_bad_request(real_api: httpx.Client) -> None:
    for body in (b'{"conf": "\\ud800", "limit": 1}', b'{"q": ["\\ud800"]}'):
        answer = real_api.post("/api/search", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 400, answer.text


def test_a_next_link_repeats_no_more_than_the_search(real_api: httpx.Client) -> None:
    body = {"limit": 1, "sortby": [{"field": "id", "direction": "asc"}], "href": "file:///x", "conf": {"a": 1}}
    links = real_api.post("/api/search", json=body).json()["links"]
    (following,) = [link["body"] for link in links if link["rel"] == "next"]
    assert following.keys() == {"limit", "sortby", "token"}


def test_a_filter_has_so_many_operators(real_api: httpx.Client) -> None:
    one = {"op": "=", "args": [{"property": "platform"}, "x"]}
    for count, status in ((150, 200), (250, 400)):
        answer = real_api.post("/api/search", json={"filter": {"op": "or", "args": [one] * count}, "limit": 1})
        assert answer.status_code == status, answer.text
    many = {"op": "in", "args": [{"property": "id"}, [str(n) for n in range(1000)]]}
    assert real_api.post("/api/search", json={"filter": many}).status_code == 200


@pytest.mark.parametrize("given", ["yesterday", "2025-06-20", "2025-06-20/2025-06-25", "../..", "a/b/c"])
def test_what_is_no_time_is_told_how_to_write_one(real_api: httpx.Client, given: str) -> None:
    for path in ("/api/search", "/api/collections", "/api/collections/nothing/items"):
        answer = real_api.get(path, params={"datetime": given})
        assert answer.status_code == 400
        assert answer.json()["detail"].startswith("datetime: write a time as `2025-06-20T00:00:00Z`"), answer.text
    answer = real_api.post("/api/search", json={"datetime": given})
    assert (answer.status_code, answer.json()["detail"][:10]) == (400, "datetime: ")


def test_a_time_that_ends_before_it_starts_is_told_so(real_api: httpx.Client) -> None:
    given = "2025-06-25T00:00:00Z/2025-06-20T00:00:00Z"
    assert (
        real_api.get("/api/search", params={"datetime": given}).json()["detail"]
        == "datetime: it ends before it starts."
    )


def test_of_many_faults_the_first_are_told(real_api: httpx.Client) -> None:
    """All of them made an answer of 258 MB."""
    answer = real_api.post("/api/search", json={"ids": [1] * 9_000})
    assert answer.status_code == 400
    assert len(answer.json()["errors"]) == 20


@pytest.mark.filterwarnings("ignore:GeometryCollection should not:UserWarning")
def test_a_geometry_that_nests_too_deeply_is_refused(real_api: httpx.Client) -> None:
    """PostGIS says so of GeoJSON by the code of its own faults, which are ours otherwise."""
    nested: dict[str, Any] = {"type": "Point", "coordinates": [1, 2]}
    for _ in range(20):
        nested = {"type": "GeometryCollection", "geometries": [nested]}
    refused = real_api.post("/api/search", json={"intersects": nested})
    assert refused.status_code == 400, refused.text
    assert refused.json()["detail"] == "A geometry in this request nests too deeply."
