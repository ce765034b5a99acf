"""What is mended on the way in is found where it lies, by both audiences; what is broken is refused with its reason."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from conftest import stac_client
from support.shapes import SHAPES, Shape

COLLECTION: dict[str, Any] = {
    "type": "Collection",
    "stac_version": "1.1.0",
    "id": "shapes",
    "description": "Shapes.",
    "license": "CC0-1.0",
    "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [["2020-01-01T00:00:00Z", None]]}},
    "links": [],
}
ITEMS = "/api/collections/shapes/items"
BULK = "/api/collections/shapes/bulk_items"
IDS = [shape.item["id"] for shape in SHAPES]


@pytest.fixture(scope="module")
def shaped(cluster: Any) -> Iterator[dict[str, httpx.Client]]:
    """Clients of both audiences of a catalogue of all shapes, written one by one; their answers are kept."""
    from conftest import TEMPLATE

    with cluster.clone(TEMPLATE) as name:
        settings = cluster.settings(name)
        with stac_client(settings) as inside:
            assert inside.post("/api/collections", json=COLLECTION).status_code == 201
            for shape in SHAPES:
                response = inside.post(ITEMS, json=shape.item)
                assert response.status_code == 201, (shape.name, response.text)
                told = response.headers.get("almagest-mended", "").split("; ")
                assert set(shape.remarks) <= set(told), shape.name
            with stac_client(settings, "external") as outside:
                yield {"api": inside, "external": outside}


def ids(response: httpx.Response) -> list[str]:
    assert response.status_code == 200, response.text
    return [feature["id"] for feature in response.json()["features"]]


def around(longitude: float, latitude: float) -> list[float]:
    east = min(longitude + 0.2, 180)
    return [max(longitude - 0.2, -180), max(latitude - 0.2, -90), east, min(latitude + 0.2, 90)]


@pytest.mark.parametrize("audience", ["api", "external"])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_a_footprint_is_found_once_where_it_lies_and_nowhere_else(
    shape: Shape, audience: str, shaped: dict[str, httpx.Client]
) -> None:
    client, search, name = shaped[audience], f"/{audience}/search", shape.item["id"]
    for place in shape.inside:
        bbox = around(*place)
        found = ids(client.get(search, params={"bbox": ",".join(map(str, bbox)), "limit": 1000}))
        assert found.count(name) == 1, place
        found = ids(client.post(search, json={"intersects": {"type": "Point", "coordinates": place}, "limit": 1000}))
        # A thin line need not run through the very point.
        assert found.count(name) == 1 or shape.geometry["type"].endswith("LineString"), place
    for place in shape.outside:
        assert name not in ids(client.post(search, json={"bbox": around(*place), "limit": 1000})), place


@pytest.mark.parametrize("audience", ["api", "external"])
def test_a_search_across_180_finds_each_shape_there_once_and_no_other(
    audience: str, shaped: dict[str, httpx.Client]
) -> None:
    client, search = shaped[audience], f"/{audience}/search"
    across = ids(client.get(search, params={"bbox": "160,-90,-160,90", "limit": 1000}))
    west = ids(client.get(search, params={"bbox": "160,-90,180,90", "limit": 1000}))
    east = ids(client.get(search, params={"bbox": "-180,-90,-160,90", "limit": 1000}))
    assert len(set(across)) == len(across)
    assert set(across) == set(west) | set(east)
    assert len(across) >= 40
    narrow = {"bbox": [179.9, -1, -179.9, 1], "limit": 1000}
    assert set(ids(client.post(search, json=narrow))) < set(across)
    assert ids(client.post(search, json={"bbox": [179.9, -1, 0, -179.9, 1, 9], "limit": 1000})) == ids(
        client.post(search, json=narrow)
    )
    assert ids(client.get(f"/{audience}/collections/shapes/items", params={"bbox": "160,-90,-160,90", "limit": 1000}))
    for edge in ("180,-10,-170,10", "170,-10,-180,10"):
        assert "box" in ids(client.get(search, params={"bbox": edge, "limit": 1000}))


def test_what_was_mended_comes_back_as_it_is_stored(shaped: dict[str, httpx.Client]) -> None:
    box = shaped["api"].get(f"{ITEMS}/box").json()
    assert box["geometry"]["type"] == "MultiPolygon"
    assert box["bbox"] == [170, -10, -170, 10]
    for shape in SHAPES:
        stored = shaped["api"].get(f"{ITEMS}/{shape.item['id']}").json()
        again = shaped["api"].put(f"{ITEMS}/{shape.item['id']}", json=stored)
        assert again.status_code == 200
        assert "almagest-mended" not in again.headers
        if not shape.remarks:
            assert stored["geometry"] == shape.geometry


def item(**changes: Any) -> dict[str, Any]:
    place = {"geometry": {"type": "Point", "coordinates": [1.25, 2]}, "bbox": [1, 2, 1.5, 2]}
    return {**SHAPES[0].item, "id": "a", **place, **changes}


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def ring(*points: tuple[float, float]) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": [points]}


BROKEN = {
    "unclosed ring": (item(geometry=ring((0, 0), (1, 0), (1, 1), (0, 1))), "/geometry/coordinates/0: the ring is not"),
    "three-point ring": (item(geometry=ring((0, 0), (1, 0), (0, 0))), "has less than 4 items"),
    "no area": (item(geometry=ring((0, 0), (1, 1), (2, 2), (0, 0))), "/geometry: encloses no area"),
    "bad datetime": (item(properties={"datetime": "yesterday"}), "/properties/datetime"),
    "datetime without a zone": (item(properties={"datetime": "2024-01-01T00:00:00"}), "/properties/datetime"),
    "year 0": (item(properties={"datetime": "0000-01-01T00:00:00Z"}), "/properties/datetime: 0000"),
    "end before start": (
        item(properties={"datetime": "2024-01-01T00:00:00Z", "end_datetime": "2023-01-01T00:00:00Z"}),
        "/properties/end_datetime: 2023-01-01T00:00:00Z is before start_datetime",
    ),
    "missing id": ({name: value for name, value in item().items() if name != "id"}, ""),
    "wrong type": (item(type="Thing"), "/type"),
    "huge string": (item(foreign="x" * 2_000_000), "/foreign: has 2,000,000 characters"),
    "deep nesting": (item(deep=nested(300)), "The item nests too deeply"),
    "wrong collection": (item(collection="others"), "/collection: the item says 'others', the address 'shapes'"),
    "NUL": (item(properties={"datetime": "2024-01-01T00:00:00Z", "title": "a\0"}), "/properties/title: holds a NUL"),
    "marker": (item(foreign="𒍟※"), "/foreign: holds 𒍟※"),
}  # fmt: skip


@pytest.fixture
def shapes(api: httpx.Client) -> httpx.Client:
    assert api.post("/api/collections", json=COLLECTION).status_code == 201
    return api


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_item_is_refused_with_its_reason_alone_and_among_others(fault: str, shapes: httpx.Client) -> None:
    broken, reason = BROKEN[fault]
    for body in (broken, {"type": "FeatureCollection", "features": [item(id="b"), broken]}):
        response = shapes.post(ITEMS, json=body)
        assert response.status_code == 400, response.text
        assert reason in response.json()["detail"]
    body = {"items": {"b": item(id="b"), "a": broken}, "method": "upsert"}
    report = shapes.post(BULK, json=body).json()
    assert [error["id"] for error in report["errors"]] == ["a"]
    assert reason in report["errors"][0]["msg"]
    assert ids(shapes.get("/api/search")) == ["b"]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_numbers_that_are_none_are_refused(number: str, shapes: httpx.Client) -> None:
    text = json.dumps(item(), allow_nan=False).replace("1.25", number)
    assert number in text
    bodies = (text, f'{{"type": "FeatureCollection", "features": [{text}]}}', f'{{"items": {{"a": {text}}}}}')
    for path, body in zip((ITEMS, ITEMS, BULK), bodies, strict=True):
        response = shapes.post(path, content=body, headers={"Content-Type": "application/json"})
        assert response.status_code == 400
        assert response.json()["detail"].startswith("The body is not JSON")


def test_one_id_twice_in_a_body_is_refused(shapes: httpx.Client) -> None:
    features = [item(id="b"), item(), item()]
    response = shapes.post(ITEMS, json={"type": "FeatureCollection", "features": features})
    assert response.status_code == 400
    assert response.json()["detail"] == "/features/2/id: 'a' is the id of /features/1 too."


def test_answers_say_what_was_mended_in_many(shapes: httpx.Client) -> None:
    crossing = {**SHAPES[0].item, "id": "crossing"}
    features = [item(id="b"), crossing]
    answer = shapes.post(ITEMS, json={"type": "FeatureCollection", "features": features}).json()
    remarks = [*SHAPES[0].remarks, "The bbox did not fit the geometry: it is computed anew."]
    assert answer["mended"] == [{"id": "crossing", "remarks": remarks}]
    assert answer["created"] == 2
    body = {"items": {each["id"]: each for each in features}, "method": "upsert"}
    assert shapes.post(BULK, json=body).json()["mended"] == answer["mended"]


@pytest.mark.parametrize(
    "when",
    ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999Z", "2016-12-31T23:59:60Z", "2024-01-01t00:00:00+00:00",
     f"2024-01-01T00:00:00.{'123456789' * 4}Z"],
)  # fmt: skip
def test_times_that_are_accepted_are_stored(when: str, shapes: httpx.Client) -> None:
    response = shapes.post(ITEMS, json=item(properties={"datetime": when, "end_datetime": "9999-12-31T23:59:60Z"}))
    assert response.status_code == 201, response.text
    assert ids(shapes.get("/api/search")) == ["a"]
