"""Pair searches over HTTP: what they find is what the sweep finds, and what a loop over both sides finds."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import numpy as np
import pytest
import shapely
from shapely.geometry import mapping, shape

from almagest.catalogue import audience, database, footprints, loading, rollups
from almagest.core.settings import Settings
from almagest.pipelines.matchups.areas import area_km2
from almagest.pipelines.matchups.gathering import Gathering, Wanted, time_of
from almagest.pipelines.matchups.pairing import Limits, pairs
from almagest.pipelines.matchups.scenes import footprint, only_areas
from conftest import stac_client
from support import adopted
from support.cluster import Cluster

Document = dict[str, Any]
Pair = tuple[str, str]

#: Collections, each with one platform; outsiders do not see the last one.
EAST, WEST, HUSH = "east", "west", "hush"


def scene(chance: random.Random, of: str, number: int) -> Document:
    """Somewhere near two others, within a few hours of them, and odd now and then."""
    lon, lat = chance.choice([(12, 45), (179.4, -16), (-60, 84)])
    x, y = lon + chance.uniform(-2, 2), lat + chance.uniform(-2, 2)
    wide, tall = chance.uniform(0.3, 3), chance.uniform(0.3, 2)
    ring = [[x, y], [x + wide, y - 0.1], [x + wide, y + tall], [x - 0.2, y + tall], [x, y]]
    if chance.random() < 0.08:
        ring[1], ring[2] = ring[2], ring[1]  # crosses itself
    wrapped = [[(a + 180) % 360 - 180, b] for a, b in ring]
    geometry, _ = footprints.mend({"type": "Polygon", "coordinates": [wrapped]}, None)
    if chance.random() < 0.05:
        geometry = {"type": "Point", "coordinates": wrapped[0]}
    start = f"2024-03-01T{chance.randint(0, 5):02}:{chance.randint(0, 59):02}:{chance.randint(0, 59):02}Z"
    properties: Document = {"datetime": start, "platform": f"{of}-1", "eo:cloud_cover": chance.randint(0, 100)}
    if chance.random() < 0.2:
        end = f"2024-03-0{chance.choice([1, 2])}T{chance.randint(6, 9):02}:00:00Z"
        properties |= {"datetime": None, "start_datetime": start, "end_datetime": end}
    for name, values in (
        ("sat:orbit_state", ["ascending", "descending", "é'%"]),
        ("grade", [1, 2, 9, 10, 2.5, None, "10"]),
        ("secret", [1, 2]),
    ):
        if chance.random() < 0.8:
            properties[name] = chance.choice(values)
    document = adopted.item(of, number)
    return {**document, "id": f"{of}-{number:02}", "geometry": geometry, "bbox": list(shape(geometry).bounds)} | {
        "properties": properties
    }


@pytest.fixture(scope="module")
def scenes() -> list[Document]:
    chance = random.Random(9)
    return [scene(chance, of, number) for of in (EAST, WEST, HUSH) for number in range(40)]


@pytest.fixture(scope="module")
def filled(cluster: Cluster, scenes: list[Document]) -> Iterator[Settings]:
    from conftest import TEMPLATE

    with cluster.clone(TEMPLATE) as name:
        settings = cluster.settings(name)
        loading.load_documents(settings, [adopted.collection(of) for of in (EAST, WEST, HUSH)], scenes)
        with database.connect(settings, "postgres") as connection:
            audience.set_collections(connection, HUSH, "internal")
            audience.set_hidden(connection, hide=["secret"])
        yield settings


@pytest.fixture(scope="module")
def inside(filled: Settings) -> Iterator[httpx.Client]:
    with stac_client(filled) as client:
        yield client


@pytest.fixture(scope="module")
def outside(filled: Settings) -> Iterator[httpx.Client]:
    with stac_client(filled, "external") as client:
        yield client


def ask(client: httpx.Client, prefix: str = "/api", **body: Any) -> Document:
    answer = client.post(f"{prefix}/pair-search", json={name.replace("_", "-"): value for name, value in body.items()})
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]


def found(client: httpx.Client, prefix: str = "/api", **body: Any) -> list[Pair]:
    told = [(one, other) for one, other in ask(client, prefix, limit=1000, **body)["featurePairs"]]
    assert len(told) == len(set(told)) < 1000 or not told
    return told


BOTH = {"first_collections": [EAST], "second_collections": [WEST]}


def span(item: Document) -> tuple[Any, Any]:
    properties = item["properties"]
    return (
        time_of(properties.get("start_datetime") or properties["datetime"]),
        time_of(properties.get("end_datetime") or properties["datetime"]),
    )


@pytest.mark.parametrize("seconds", [0, 60, 900, 3600, 86400])
@pytest.mark.parametrize(("area", "fraction"), [(0, 0), (4000, 0), (0, 0.4)])
def test_pairs_are_those_of_the_sweep(
    inside: httpx.Client, scenes: list[Document], seconds: int, area: float, fraction: float
) -> None:
    gathering = Gathering(Wanted((EAST, WEST)))
    for item in scenes:
        gathering.add(item)
    one, other = (gathering.scenes()[sensor] for sensor in sorted(gathering.scenes()))
    swept: dict[Pair, tuple[float, float]] = {}
    for batch in pairs(one, other, Limits(seconds, area, fraction)):
        for i, j, km2, share in zip(batch.first, batch.second, batch.area_km2, batch.fraction, strict=True):
            swept[str(one.ids[i]), str(other.ids[j])] = float(km2), float(share)
    told = ask(
        inside, limit=1000, max_time_difference=seconds, min_overlap_area=area, min_overlap_fraction=fraction, **BOTH
    )
    assert {(p["first"]["id"], p["second"]["id"]) for p in told["pairs"]} == swept.keys()
    assert swept or seconds == 0
    begins = {item["id"]: span(item)[0] for item in scenes}
    for pair in told["pairs"]:
        names = pair["first"]["id"], pair["second"]["id"]
        assert (pair["collocation_area_km2"], pair["matchup:overlap_fraction"]) == pytest.approx(swept[names], rel=1e-6)
        assert pair["time_diff_s"] == (begins[names[1]] - begins[names[0]]).astype(int) / 1e6


Judge = Callable[[Document, Document], Any]


def number(item: Document, name: str) -> float | None:
    value = item["properties"].get(name)
    return value if isinstance(value, int | float) else None


def text(item: Document, name: str) -> str | None:
    return item["properties"].get(name)


def _of(compare: Callable[[Any, Any], Any], read: Callable[[Document, str], Any], name: str) -> Judge:
    def judged(first: Document, second: Document) -> Any:
        one, other = read(first, name), read(second, name)
        return one is not None and other is not None and compare(one, other)

    return judged


def _share(first: Document, second: Document) -> float:
    one, other = (footprint(shape(item["geometry"])) for item in (first, second))
    if one is None or other is None or not one.intersects(other):
        return 0
    common, of_one, of_other = area_km2(only_areas(np.array([one.intersection(other), one, other], object)))
    return float(common / min(of_one, of_other))


FILTERS: list[tuple[str, Judge]] = [
    ("first.datetime < second.datetime", lambda f, s: span(f)[0] < span(s)[0]),
    ("first.end_datetime >= second.datetime", lambda f, s: span(f)[1] >= span(s)[0]),
    ("T_BEFORE(first.datetime, second.datetime)", lambda f, s: span(f)[1] < span(s)[0]),
    ("T_INTERSECTS(first.datetime, second.datetime)",
     lambda f, s: span(f)[0] <= span(s)[1] and span(f)[1] >= span(s)[0]),
    ("T_DIFF(second.datetime, first.datetime) BETWEEN -600 AND 1200",
     lambda f, s: -600 <= (span(s)[0] - span(f)[0]).astype(int) / 1e6 <= 1200),
    ("T_DIFF(T_START(second.datetime), T_END(first.datetime)) > DURATION('PT1H')",
     lambda f, s: (span(s)[0] - span(f)[1]).astype(int) / 1e6 > 3600),
    ("first.sat:orbit_state = second.sat:orbit_state", _of(lambda a, b: a == b, text, "sat:orbit_state")),
    ("NOT first.sat:orbit_state = second.sat:orbit_state", _of(lambda a, b: a != b, text, "sat:orbit_state")),
    ("first.eo:cloud_cover < second.eo:cloud_cover", _of(lambda a, b: a < b, number, "eo:cloud_cover")),
    ("first.eo:cloud_cover - second.eo:cloud_cover > 30.5", _of(lambda a, b: a - b > 30.5, number, "eo:cloud_cover")),
    ("N_DIFF(first.eo:cloud_cover, second.eo:cloud_cover) BETWEEN -5 AND 5",
     _of(lambda a, b: -5 <= a - b <= 5, number, "eo:cloud_cover")),
    ("first.eo:cloud_cover < 50 AND second.eo:cloud_cover >= 50",
     lambda f, s: f["properties"]["eo:cloud_cover"] < 50 <= s["properties"]["eo:cloud_cover"]),
    ("first.eo:cloud_cover < 10 OR second.id = 'west-03'",
     lambda f, s: f["properties"]["eo:cloud_cover"] < 10 or s["id"] == "west-03"),
    ("NOT (first.eo:cloud_cover < 50 OR first.datetime < second.datetime)",
     lambda f, s: not (f["properties"]["eo:cloud_cover"] < 50 or span(f)[0] < span(s)[0])),
    ("S_RAOVERLAP(first.geometry, second.geometry, 'min') > 0.55", lambda f, s: _share(f, s) > 0.55),
    ("S_DISJOINT(first.geometry, second.geometry)",
     lambda f, s: shapely.disjoint(shape(f["geometry"]), shape(s["geometry"]))),
    ("first.datetime < second.datetime AND TRUE", lambda f, s: span(f)[0] < span(s)[0]),
    ("first.platform = 'east-1' AND second.sat:orbit_state = 'é''%'",
     lambda _, s: text(s, "sat:orbit_state") == "é'%"),
]  # fmt: skip


@pytest.mark.parametrize(("expression", "judge"), FILTERS, ids=[expression for expression, _ in FILTERS])
def test_filters_are_asked_of_both(inside: httpx.Client, scenes: list[Document], expression: str, judge: Judge) -> None:
    sides = ([item for item in scenes if item["collection"] == of] for of in (EAST, WEST))
    right = {(f["id"], s["id"]) for f, s in itertools.product(*sides) if judge(f, s)}
    assert 0 < len(right) < 1600
    told: set[Pair] = set()
    answer = inside.get(
        "/api/pair-search",
        params={"first-collections": EAST, "second-collections": WEST, "filter": expression, "limit": 700},
    )
    while True:
        assert answer.status_code == 200, answer.text
        told |= {tuple(pair) for pair in answer.json()["featurePairs"]}  # type: ignore[misc]
        following = [link["href"] for link in answer.json()["links"] if link["rel"] == "next"]
        if not following:
            break
        answer = inside.get(following[0])
    assert told == right


def test_times_are_in_the_zone_that_they_name(inside: httpx.Client, scenes: list[Document]) -> None:
    begin = {"op": "T_START", "args": [{"property": "first.datetime"}]}
    for text in ("2024-03-01T05:00:00+02:00", "2024-03-01T03:00:00Z", "2024-03-01T03:00:00"):
        for literal in ({"timestamp": text}, text):
            told = found(inside, filter={"op": ">", "args": [begin, literal]}, second_ids=["west-01"], **BOTH)
            right = [
                i["id"] for i in scenes if i["collection"] == EAST and span(i)[0] > time_of("2024-03-01T03:00:00Z")
            ]
            assert sorted(told) == [(identifier, "west-01") for identifier in right]


def test_a_text_is_no_member(inside: httpx.Client) -> None:
    """To jsonb a text has itself as a member, as an object has its keys."""
    names = [{"property": "first.sat:orbit_state"}, {"property": "second.sat:orbit_state"}]
    for text in ("date", "timestamp", "property", "coordinates"):
        ask(inside, filter={"op": "between", "args": [*names, text]}, **BOTH)


def test_what_no_queryable_tells_the_kind_of_is_compared_as_what_it_is(
    inside: httpx.Client, scenes: list[Document]
) -> None:
    """As text, ten is less than nine."""
    sides = ([item for item in scenes if item["collection"] == of] for of in (EAST, WEST))
    told = found(inside, filter="first.grade < second.grade", **BOTH)
    numbers = {
        (f["id"], s["id"])
        for f, s in itertools.product(*sides)
        if (one := number(f, "grade")) is not None and (two := number(s, "grade")) is not None and one < two
    }
    by_id = {item["id"]: item for item in scenes}
    of_numbers = {p for p in told if all(number(by_id[name], "grade") is not None for name in p)}
    assert of_numbers == numbers
    assert not any(by_id[name]["properties"].get("grade") is None for pair in told for name in pair)


def test_each_side_is_a_search(inside: httpx.Client, scenes: list[Document]) -> None:
    told = ask(
        inside,
        limit=1000,
        first_ids=["east-01", "east-02", "west-01"],
        second_bbox=[10, 43, 15, 48],
        second_datetime="2024-03-01T03:00:00Z/..",
        second_collections=[WEST],
        first_intersects="POLYGON((-180 -90, 180 -90, 180 90, -180 90, -180 -90))",
    )
    west = [i for i in scenes if i["collection"] == WEST and span(i)[1] >= time_of("2024-03-01T03:00:00Z")]
    there = {i["id"] for i in west if shape(i["geometry"]).intersects(shapely.box(10, 43, 15, 48))}
    right = {(f, s) for f in ("east-01", "east-02", "west-01") for s in there if f != s}
    assert {tuple(pair) for pair in told["featurePairs"]} == right
    assert {feature["id"] for feature in told["features"]} == {name for pair in right for name in pair}
    assert all(feature["links"] and feature["assets"]["red"]["href"] for feature in told["features"])
    assert told["numberReturned"] == len(told["features"])


def test_an_item_is_no_pair_with_itself_and_each_two_are_one_in_both_orders(inside: httpx.Client) -> None:
    ids = ["east-01", "east-02", "east-03"]
    told = found(inside, first_ids=ids, second_ids=ids)
    assert set(told) == set(itertools.permutations(ids, 2))


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("response_type", ["pair", "first-only", "second-only"])
def test_pages_follow_one_another_and_lead_back(inside: httpx.Client, method: str, response_type: str) -> None:
    asked: Document = {
        "first-collections": [EAST], "second-collections": [WEST], "max-time-difference": 3600, "min-overlap-area": 0,
        "response-type": response_type,
    }  # fmt: skip

    def first(limit: int) -> httpx.Response:
        if method == "POST":
            return inside.post("/api/pair-search", json={**asked, "limit": limit})
        spelt = {k: ",".join(v) if isinstance(v, list) else v for k, v in asked.items()}
        return inside.get("/api/pair-search", params={**spelt, "limit": limit})

    def told(page: Document) -> list[Any]:
        return page["featurePairs"] if response_type == "pair" else [item["id"] for item in page["features"]]

    whole = told(first(1000).json())
    assert len(whole) > 20
    assert ("featurePairs" in first(1000).json()) == (response_type == "pair")
    pages = [first(7).json()]
    for rel in ("next", "prev"):
        while link := next((link for link in pages[-1]["links"] if link["rel"] == rel), None):
            answer = inside.request(link["method"], link["href"], json=link.get("body"))
            assert answer.status_code == 200, answer.text
            pages.append(answer.json())
        if rel == "next":
            assert [one for page in pages for one in told(page)] == whole
            there = len(pages)
    assert [told(page) for page in pages[there:]] == [told(page) for page in reversed(pages[: there - 1])]


def test_of_one_side_each_is_told_once(inside: httpx.Client) -> None:
    asked = {**BOTH, "max_time_difference": 3600, "min_overlap_area": 0}
    both = found(inside, **asked)
    for place, response_type in enumerate(("first-only", "second-only")):
        page = ask(inside, limit=1000, response_type=response_type, **asked)
        ids = [item["id"] for item in page["features"]]
        assert sorted(ids) == sorted({pair[place] for pair in both})
        assert "pairs" not in page
        nothing = ask(inside, response_type=response_type, **{**asked, "first_ids": ["nobody"]})
        assert ("pairs" in nothing, nothing["features"]) == (False, [])


def test_a_token_is_good_for_its_search_and_its_audience_alone(inside: httpx.Client, outside: httpx.Client) -> None:
    token = next(link["body"]["token"] for link in ask(inside, limit=2, **BOTH)["links"] if link["rel"] == "next")
    refused = [
        inside.post("/api/pair-search", json={"first-collections": [WEST], "token": token}),
        inside.post("/api/search", json={"collections": [EAST], "token": token}),
        outside.post(
            "/external/pair-search", json={"first-collections": [EAST], "second-collections": [WEST], "token": token}
        ),
    ]
    assert [answer.status_code for answer in refused] == [400] * 3


def test_outside_neither_side_is_hidden(inside: httpx.Client, outside: httpx.Client) -> None:
    asked = {"max_time_difference": 1800, "min_overlap_area": 0}
    every = found(inside, **asked)
    hidden = {pair for pair in every if any(name.startswith(HUSH) for name in pair)}
    assert {pair[0].startswith(HUSH) for pair in hidden} == {True, False}
    assert found(outside, "/external", **asked) == [pair for pair in every if pair not in hidden]
    for side in ("first", "second"):
        assert found(outside, "/external", **{f"{side}_collections": [HUSH]}) == []
        assert found(inside, **{f"{side}_collections": [HUSH]}, **asked)
    page = ask(outside, "/external", limit=1000, **asked)
    assert "secret" not in json.dumps(page)


@pytest.mark.parametrize(
    "expression",
    [
        "first.secret = 1",
        "second.secret = 1",
        "first.secret < second.secret",
        "first.secret = second.eo:cloud_cover",
        "first.datetime < second.datetime OR second.properties.secret = 1",
        "N_DIFF(first.eo:cloud_cover, second.secret) > 0",
    ],
)
def test_outside_hidden_properties_of_neither_are_asked_for(
    inside: httpx.Client, outside: httpx.Client, expression: str
) -> None:
    asked = {"first-collections": [EAST], "second-collections": [WEST], "filter": expression}
    assert inside.post("/api/pair-search", json=asked).status_code == 200
    refused = outside.post("/external/pair-search", json=asked)
    assert refused.status_code == 400
    assert "cannot be asked for here" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"filter": "eo:cloud_cover < 5"}, "`first.eo:cloud_cover` or `second.eo:cloud_cover`"),
        ({"filter": "first.datetime < 5 AND first.a LIKE second.b"}, "cannot be asked of two items"),
        ({"filter": "first.datetime < second.geometry"}, "not compared as a time"),
        ({"filter": "first.eo:cloud_cover - second.id < 5"}, "not compared as a number"),
        ({"filter": "S_RAOVERLAP(first.geometry, second.geometry, 'x') > 1"}, "min, max, first or second"),
        ({"filter": "S_CONTAINS(second.geometry, first.geometry)"}, "first.geometry to second.geometry"),
        (
            {
                "filter": {
                    "op": "and",
                    "args": [None, {"op": "<", "args": [{"property": "first.a"}, {"property": "second.a"}]}],
                }
            },
            "no condition",
        ),
        ({"first-intersects": "GEOMETRYCOLLECTION(" * 50_000 + "POINT(0 0)" + ")" * 50_000}, "of WKT, points"),
        ({"second-intersects": "CIRCULARSTRING(0 0,1 1,2 0)"}, "of WKT, points"),
        ({"filter": {"op": "=", "args": [{"property": ["first.a"]}, {"property": {"x": "second.a"}}]}}, "neither"),
        ({"filter": {"op": "=", "args": "first"}}, ""),
        ({"filter": "first.a <"}, "filter"),
        ({"max-time-difference": -1}, "max-time-difference"),
        ({"max-time-difference": "soon"}, "max-time-difference"),
        ({"min-overlap-fraction": 1.5}, "min-overlap-fraction"),
        ({"response-type": "third-only"}, "response-type"),
        ({"first-bbox": [1, 2, 3]}, "first-bbox"),
        ({"second-datetime": "yesterday"}, "second-datetime"),
        ({"first-intersects": "POLYGON"}, "neither GeoJSON nor WKT"),
        ({"limit": 0}, "limit"),
        ({"token": "next:abc"}, "token"),
        ({"as-of": "2024-01-01T00:00:00Z"}, "as-of"),
        ({"first-collections": "east"}, "first-collections"),
    ],
)
@pytest.mark.parametrize("prefix", ["/api", "/external"])
def test_what_is_wrong_is_said(
    inside: httpx.Client, outside: httpx.Client, prefix: str, asked: Document, said: str
) -> None:
    client = inside if prefix == "/api" else outside
    answer = client.post(f"{prefix}/pair-search", json=asked)
    assert answer.status_code == 400, answer.text
    assert said in json.dumps(answer.json(), ensure_ascii=False)


def test_long_items_are_found_whatever_is_known_of_how_long_they_take(cluster: Cluster, settings: Settings) -> None:
    """How long the longest takes bounds what an index is asked for; rollups tell it, and what follows them."""
    of, ground = adopted.collection, mapping(shapely.box(0, 0, 1, 1))

    def timed(identifier: str, start: str, end: str, collection: str) -> Document:
        times = {"datetime": None, "start_datetime": start, "end_datetime": end}
        document = adopted.item(collection, 1, **times)
        return {**document, "id": identifier, "geometry": ground, "bbox": [0, 0, 1, 1]}

    short = timed("short", "2024-06-01T00:00:00Z", "2024-06-01T00:00:10Z", EAST)
    long_ = timed("long", "2023-01-01T00:00:00Z", "2024-05-31T23:59:30Z", WEST)
    loading.load_documents(settings, [of(EAST), of(WEST)], [short])
    asked = {**BOTH, "max_time_difference": 60, "min_overlap_area": 0}
    turned = {"first_collections": [WEST], "second_collections": [EAST], "max_time_difference": 60}
    with stac_client(settings) as client, database.connect(settings, "postgres") as connection:
        assert found(client, **asked) == []
        rollups.fold(connection)
        for _ in ("not folded yet", "folded"):
            loading.load_documents(settings, [], [long_])
            assert found(client, **asked) == [("short", "long")]
            assert found(client, **turned) == [("long", "short")]
            assert found(client, first_ids=["short"], max_time_difference=60) == [("short", "long")]
            rollups.fold(connection)
        connection.execute("UPDATE almagest.rollup_state SET scheme = 0")
        assert found(client, **asked) == [("short", "long")]


def test_what_stock_writers_leave_spoils_no_page(settings: Settings) -> None:
    """Areas that lie on each other in one footprint, and a time without an end."""
    west, east = shapely.box(0, 0, 2, 2), shapely.box(1, 1, 3, 3)
    items = [{**adopted.item(EAST, number), "id": f"e{number}"} for number in (1, 2, 3)]
    endless = {"datetime": None, "start_datetime": "2020-01-01T00:00:00Z", "end_datetime": "infinity"}
    items[2]["properties"] = endless
    with database.connect(settings, "postgres") as connection:
        connection.execute("SET search_path = pgstac, public")
        connection.execute("SELECT create_collection(%s::jsonb)", (json.dumps(adopted.collection(EAST)),))
        for item in items:
            connection.execute("SELECT create_item(%s::jsonb)", (json.dumps(item),))
        connection.execute(
            "UPDATE pgstac.items SET geometry = ST_SetSRID(ST_GeomFromText(%s), 4326) WHERE id = 'e1'",
            (shapely.GeometryCollection([west, east]).wkt,),
        )
        connection.execute("UPDATE pgstac.items SET geometry = ST_MakeEnvelope(0, 0, 3, 3, 4326) WHERE id = 'e2'")
    with stac_client(settings) as client:
        (pair,) = ask(client, first_ids=["e1"], second_ids=["e2"], min_overlap_area=0)["pairs"]
        (expected,) = area_km2(np.array([shapely.union(west, east)], object))
        assert pair["collocation_area_km2"] == pytest.approx(expected, rel=1e-6)
        later = "T_DIFF(T_END(first.datetime), second.datetime) > 0"
        assert {one for one, _ in found(client, filter=later)} >= {"e3"}


def test_outside_a_list_is_read_as_outsiders_see_it_whatever_is_indexed(settings: Settings) -> None:
    """An index of numbers of one collection says nothing of what stands under that name in another."""
    inner = [{"href": "file:///srv/internal.tif", "title": "raw"}, {"title": "two"}]
    items = [{**adopted.item(EAST, 1, many=3), "id": "e"}, {**adopted.item(WEST, 2, many=inner), "id": "w"}]
    loading.load_documents(settings, [adopted.collection(of) for of in (EAST, WEST)], items)
    with database.connect(settings, "postgres") as connection:
        audience.set_collections(connection, "*", "public")
        connection.execute("SET search_path = pgstac, public")
        connection.execute(
            "INSERT INTO pgstac.queryables (name, definition, collection_ids, property_wrapper, property_index_type)"
            " VALUES ('many', '{\"type\": \"number\"}', '{east}', 'to_float', 'BTREE')"
        )
    like = {"op": "like", "args": [{"property": "many"}, "%internal%"]}
    with stac_client(settings, "external") as client, stac_client(settings) as within:
        for api, prefix, seen in ((client, "/external", 0), (within, "/api", 1)):
            asked = {"collections": [WEST], "filter": like, "filter-lang": "cql2-json"}
            assert len(api.post(f"{prefix}/search", json=asked).json()["features"]) == seen
            pair = {"op": "like", "args": [{"property": "second.many"}, "%internal%"]}
            assert len(found(api, prefix, first_collections=[EAST], second_collections=[WEST], filter=pair)) == seen
