"""Writes through the STAC API: what is stored, what is refused, and that concurrent writers lose nothing."""

from __future__ import annotations

import concurrent.futures
import copy
from typing import Any

import httpx
import pytest

from almagest.catalogue import canary, database
from almagest.core.settings import Settings

COLLECTION: dict[str, Any] = {
    "type": "Collection",
    "stac_version": "1.1.0",
    "id": "scenes",
    "description": "Scenes.",
    "license": "CC0-1.0",
    "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [["2020-01-01T00:00:00Z", None]]}},
    "links": [],
}
ITEM: dict[str, Any] = {
    "type": "Feature",
    "stac_version": "1.1.0",
    "id": "a",
    "geometry": {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]]},
    "bbox": [0, 0, 1, 1],
    "properties": {"datetime": "2024-05-01T12:00:00Z", "title": "A scene of the coast"},
    "links": [{"rel": "about", "href": "https://example.org/a"}],
    "assets": {"data": {"href": "https://example.org/a.tif", "roles": ["data"]}},
}


@pytest.fixture
def scenes(api: httpx.Client) -> httpx.Client:
    assert api.post("/api/collections", json=COLLECTION).status_code == 201
    return api


def item(**changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(ITEM), **changes}


def stored(api: httpx.Client, identifier: str = "a") -> dict[str, Any]:
    response = api.get(f"/api/collections/scenes/items/{identifier}")
    assert response.status_code == 200, response.text
    return dict(response.json())


def test_an_item_comes_back_as_it_was_written(scenes: httpx.Client) -> None:
    response = scenes.post("/api/collections/scenes/items", json=ITEM)
    assert response.status_code == 201
    assert response.headers["location"] == "http://127.0.0.1:8080/api/collections/scenes/items/a"
    document = stored(scenes)
    assert {link["rel"] for link in document["links"]} == {
        *("self", "parent", "collection", "root", "about", "latest-version", "version-history")
    }
    assert {**document, "links": ITEM["links"]} == {**ITEM, "collection": "scenes"}


def test_what_was_read_can_be_written_back(scenes: httpx.Client) -> None:
    scenes.post("/api/collections/scenes/items", json=ITEM)
    document = stored(scenes)
    assert scenes.put("/api/collections/scenes/items/a", json=document).status_code == 200
    assert stored(scenes) == document
    collection = scenes.get("/api/collections/scenes").json()
    assert scenes.put("/api/collections/scenes", json=collection).status_code == 200
    assert scenes.get("/api/collections/scenes").json() == collection


def test_a_null_datetime_beside_a_range_survives(scenes: httpx.Client) -> None:
    properties = {"datetime": None, "start_datetime": "2024-05-01T00:00:00Z", "end_datetime": "2024-05-02T00:00:00Z"}
    assert scenes.post("/api/collections/scenes/items", json=item(properties=properties)).status_code == 201
    assert stored(scenes)["properties"] == properties
    found = scenes.post("/api/search", json={"ids": ["a"]}).json()["features"][0]
    assert found["properties"] == properties


def test_moving_an_item_in_time_leaves_one_of_it(scenes: httpx.Client) -> None:
    """pgSTAC keeps ids unique within a partition only; a collection truncated by month would hold the item twice."""
    scenes.post("/api/collections/scenes/items", json=ITEM)
    moved = item(properties={"datetime": "2021-01-01T00:00:00Z"})
    assert scenes.put("/api/collections/scenes/items/a", json=moved).status_code == 200
    features = scenes.get("/api/collections/scenes/items").json()["features"]
    assert [feature["properties"]["datetime"] for feature in features] == ["2021-01-01T00:00:00Z"]


def test_patches(scenes: httpx.Client) -> None:
    scenes.post("/api/collections/scenes/items", json=ITEM)
    path = "/api/collections/scenes/items/a"
    merged = scenes.patch(path, json={"properties": {"title": None, "gsd": 10}})
    assert merged.status_code == 200, merged.text
    assert stored(scenes)["properties"]["gsd"] == 10
    assert "title" not in stored(scenes)["properties"]
    operations = [
        {"op": "test", "path": "/properties/gsd", "value": 10},
        {"op": "add", "path": "/properties/x", "value": 1},
    ]
    patched = scenes.patch(path, json=operations, headers={"Content-Type": "application/json-patch+json"})
    assert patched.status_code == 200, patched.text
    assert stored(scenes)["properties"]["x"] == 1
    for kind, patch in (("json-patch", {"properties": {"x": 2}}), ("merge-patch", operations[1:])):
        refused = scenes.patch(path, json=patch, headers={"Content-Type": f"application/{kind}+json"})
        assert refused.status_code == 400, kind
    assert stored(scenes)["properties"]["x"] == 1
    assert scenes.patch(path, json=[{"op": "remove", "path": "/nothing"}]).status_code == 400
    assert scenes.patch(path, json={"id": "b"}).status_code == 400
    assert scenes.patch("/api/collections/scenes/items/zz", json={}).status_code == 404
    assert scenes.patch("/api/collections/scenes", json={"title": "T"}).json()["title"] == "T"


@pytest.mark.parametrize("depth", [300, 900, 1015])
def test_patches_that_nest_too_deeply_are_refused(depth: int, scenes: httpx.Client) -> None:
    scenes.post("/api/collections/scenes/items", json=ITEM)
    value = '{"a":' * depth + "1" + "}" * depth
    for patch in (f'{{"properties":{value}}}', f'[{{"op":"add","path":"/properties/a","value":{value}}}]'):
        answer = scenes.patch(
            "/api/collections/scenes/items/a", content=patch, headers={"Content-Type": "application/json"}
        )
        assert answer.status_code == 400, answer.text


def test_copies_of_copies_are_refused_before_they_fill_the_memory(scenes: httpx.Client) -> None:
    scenes.post("/api/collections/scenes/items", json=ITEM)
    bomb = [{"op": "copy", "from": "/properties", "path": f"/properties/c{number}"} for number in range(60)]
    assert scenes.patch("/api/collections/scenes/items/a", json=bomb).status_code == 413


def test_deleting(scenes: httpx.Client) -> None:
    scenes.post("/api/collections/scenes/items", json=ITEM)
    assert scenes.delete("/api/collections/scenes/items/a").status_code == 204
    assert scenes.get("/api/collections/scenes/items/a").status_code == 410
    for method in ("PUT", "PATCH", "DELETE"):
        gone = scenes.request(method, "/api/collections/scenes/items/a", json=ITEM)
        assert gone.status_code == 410, method
        assert gone.json()["links"][0]["href"].endswith("/items/a/versions")
        assert "restored" in gone.json()["detail"]
    assert scenes.delete("/api/collections/scenes").status_code == 204
    assert scenes.get("/api/collections/scenes").status_code == 410
    assert scenes.delete("/api/collections/scenes").status_code == 410


def test_the_canary_is_nobodys_to_change(api: httpx.Client, settings: Settings) -> None:
    path = "/api/collections/almagest-canary"
    planted = {**ITEM, "collection": "almagest-canary"}
    writes: list[tuple[str, str, Any]] = [
        ("POST", "/api/collections", {**COLLECTION, "id": "almagest-canary"}),
        ("PUT", path, {**COLLECTION, "id": "almagest-canary"}),
        ("PATCH", path, {"title": "T"}),
        ("DELETE", path, None),
        ("POST", f"{path}/items", planted),
        ("POST", f"{path}/items", {"type": "FeatureCollection", "features": [planted]}),
        ("POST", f"{path}/bulk_items", {"items": {"a": planted}, "method": "upsert"}),
        ("PUT", f"{path}/items/canary", {**planted, "id": "canary"}),
        ("PATCH", f"{path}/items/canary", {"properties": {"title": "T"}}),
        ("DELETE", f"{path}/items/canary", None),
    ]
    with database.connect(settings, "postgres") as connection:
        for _ in range(2):  # before it is there, and when it is
            for method, address, body in writes:
                answer = api.request(method, address, json=body)
                assert answer.status_code == 409, (method, address, answer.text)
                assert "not anybody's to change" in answer.json()["detail"]
            assert canary.run(connection) == []


def test_feature_collections_are_stored_whole_or_not_at_all(scenes: httpx.Client) -> None:
    path = "/api/collections/scenes/items"
    good = {"type": "FeatureCollection", "features": [item(id="b"), item(id="c")]}
    assert scenes.post(path, json=good).status_code == 201
    taken = {"type": "FeatureCollection", "features": [item(id="d"), item(id="c")]}
    response = scenes.post(path, json=taken)
    assert response.status_code == 409
    assert response.json()["detail"] == "Item c already exists in collection scenes."
    assert scenes.get(f"{path}/d").status_code == 404


def test_bulk_stores_the_good_and_reports_the_bad(scenes: httpx.Client) -> None:
    bad = item(id="bad", properties={"datetime": "yesterday"})
    body = {"items": {"a": ITEM, "b": item(id="b"), "bad": bad}, "method": "upsert"}
    report = scenes.post("/api/collections/scenes/bulk_items", json=body).json()
    assert (report["received"], report["success"]) == (3, 2)
    assert report["errors"][0]["id"] == "bad"
    assert "/properties/datetime" in report["errors"][0]["msg"]
    assert scenes.post("/api/collections/scenes/bulk_items", json=body).json()["success"] == 2


@pytest.mark.parametrize(
    ("document", "pointer"),
    [
        (item(properties={"datetime": "yesterday"}), "/properties/datetime"),
        (item(properties={}), "/properties"),
        (item(stac_version="0.7.0"), "/stac_version"),
        (item(geometry=None, bbox=[0, 0, 1, 1]), "/geometry"),
        (item(geometry={"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1]]]}), "/geometry/coordinates/0"),
        (
            item(geometry={"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 1]]]}),
            "/geometry/coordinates/0",
        ),
        (item(geometry={"type": "Polygon", "coordinates": []}, bbox=[0, 0, 1, 1]), "/geometry/coordinates"),
        (item(geometry={"type": "Point", "coordinates": [1e308, 0]}), "/geometry/coordinates"),
        (item(geometry={"type": "Point", "coordinates": [1, 2, 3, 4]}), "/geometry/coordinates"),
        (item(assets={"data": {"title": "no href"}}), "/assets/data"),
        (item(links=[{"rel": "x"}]), "/links/0"),
        (item(id="a/b"), "/id"),
        (item(id=5), "/id"),
        (item(type="Thing"), "/type"),
        ([1, 2], ""),
        ("text", ""),
        ({}, "/stac_version"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_an_invalid_item_is_refused_with_the_path_of_the_fault(
    document: Any, pointer: str, scenes: httpx.Client
) -> None:
    response = scenes.post("/api/collections/scenes/items", json=document)
    assert response.status_code == 400, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert pointer in {error["pointer"] for error in response.json()["errors"]}


def test_an_invalid_collection_is_refused_with_the_path_of_the_fault(api: httpx.Client) -> None:
    response = api.post("/api/collections", json={**COLLECTION, "extent": {"spatial": {"bbox": [[0, 0]]}}})
    assert response.status_code == 400
    assert {"/extent", "/extent/spatial/bbox/0"} <= {error["pointer"] for error in response.json()["errors"]}


@pytest.mark.parametrize("item_assets", [1, [], {"data": 1}])
def test_item_assets_that_would_break_every_read_are_refused(item_assets: Any, api: httpx.Client) -> None:
    """Items are joined with them on the way out; one number among them once answered every search with 500."""
    response = api.post("/api/collections", json={**COLLECTION, "item_assets": item_assets})
    assert response.status_code == 400
    assert "/item_assets" in response.json()["errors"][0]["pointer"]


@pytest.mark.parametrize("depth", range(240, 256))
def test_what_was_accepted_can_be_read_in_a_page(depth: int, scenes: httpx.Client) -> None:
    deep: Any = 1
    for _ in range(depth):
        deep = [deep]
    if scenes.post("/api/collections/scenes/items", json=item(id="deep", foreign=deep)).status_code == 201:
        assert scenes.get("/api/search", params={"ids": "deep"}).status_code == 200
        assert scenes.delete("/api/collections/scenes/items/deep").status_code == 204


def test_documents_that_nest_too_deeply_are_refused(scenes: httpx.Client) -> None:
    deep: Any = 1
    for _ in range(300):
        deep = {"a": deep}
    response = scenes.post("/api/collections/scenes/items", json=item(foreign=deep))
    assert response.status_code == 400
    assert "deeply" in response.json()["detail"]


def test_more_items_than_one_transaction_should_lock_are_refused(scenes: httpx.Client) -> None:
    many = {"type": "FeatureCollection", "features": [{}] * 5001}
    response = scenes.post("/api/collections/scenes/items", json=many)
    assert response.status_code == 413
    assert "at most 5,000" in response.json()["detail"]


def test_requests_that_do_not_fit_their_address(scenes: httpx.Client) -> None:
    scenes.post("/api/collections/scenes/items", json=ITEM)
    items = "/api/collections/scenes/items"
    assert scenes.post(items, json=ITEM).status_code == 409
    assert scenes.post(items, json=item(id="b", collection="other")).status_code == 400
    assert scenes.put(f"{items}/b", json=ITEM).status_code == 400
    assert scenes.put(f"{items}/b", json=item(id="b")).status_code == 404
    assert scenes.post("/api/collections/none/items", json=ITEM).status_code == 404
    assert scenes.put("/api/collections/none", json={**COLLECTION, "id": "none"}).status_code == 404
    assert scenes.post("/api/collections", json=COLLECTION).status_code == 409
    assert scenes.post(items, content=b"{", headers={"Content-Type": "application/json"}).status_code == 400
    assert scenes.post(items, data={"a": "b"}).status_code == 415
    assert (
        scenes.post(items, content=b'{"id": "\\u0000"}', headers={"Content-Type": "application/json"}).status_code
        == 400
    )


def test_free_text_finds_items_without_a_description(scenes: httpx.Client) -> None:
    """Stock pgSTAC adds the text vectors of title and description; without a description the sum is NULL."""
    scenes.post("/api/collections/scenes/items", json=ITEM)
    assert [f["id"] for f in scenes.get("/api/search", params={"q": "coast"}).json()["features"]] == ["a"]
    assert scenes.post("/api/search", json={"q": ["coast", "sea"]}).json()["numberReturned"] == 1
    assert scenes.get("/api/search", params={"q": "desert"}).json()["numberReturned"] == 0


def test_sixteen_patches_at_once_are_all_kept(scenes: httpx.Client) -> None:
    """Stock reads on one connection and writes on another, so that the last one wins. Here each waits for the other."""
    scenes.post("/api/collections/scenes/items", json=ITEM)

    def add(number: int) -> int:
        patch = {"assets": {f"result-{number}": {"href": f"https://example.org/{number}.nc"}}}
        return scenes.patch("/api/collections/scenes/items/a", json=patch).status_code

    with concurrent.futures.ThreadPoolExecutor(16) as threads:
        assert set(threads.map(add, range(16))) == {200}
    assert len(stored(scenes)["assets"]) == 17


@pytest.mark.parametrize("method", [{}, [], None, 7, "delete"])
def test_a_bulk_request_whose_method_is_none_is_refused_in_words(scenes: httpx.Client, method: object) -> None:
    answer = scenes.post("/api/collections/scenes/bulk_items", json={"items": {}, "method": method})
    assert answer.status_code == 400
    assert "insert or upsert" in answer.json()["detail"]
