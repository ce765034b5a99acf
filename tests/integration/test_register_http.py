"""Results become assets over HTTP: files of the store, under keys that keep what they name."""

from __future__ import annotations

import concurrent.futures
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from almagest.catalogue import assets, database, loading
from almagest.catalogue.assets import Selection
from almagest.core.settings import Api, Settings, Store
from conftest import stac_client
from support import rasters, versions

ITEM = "/api/collections/pairs/items/one"
DAY = "2024-05-01"


@pytest.fixture
def own(settings: Settings, tmp_path: Path) -> Settings:
    folder = tmp_path / "store"
    folder.mkdir()
    own = replace(settings, store=Store(store=folder))
    loading.load_documents(own, [rasters.collection("pairs")], [rasters.item("one", "pairs", (0, 0, 1, 1), {})])
    return own


@pytest.fixture
def api(own: Settings) -> Iterator[httpx.Client]:
    with stac_client(own) as client:
        yield client


def put(own: Settings, name: str, content: bytes) -> Path:
    path = own.store_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def register(api: httpx.Client, href: str, headers: dict[str, str] | None = None, **more: Any) -> httpx.Response:
    return api.post(f"{ITEM}/assets", json={"href": href, "date": DAY, **more}, headers=headers)


def stored(api: httpx.Client) -> dict[str, Any]:
    return dict(api.get(ITEM).json()["assets"])


def test_a_file_of_the_store_becomes_an_asset(api: httpx.Client, own: Settings) -> None:
    path = put(own, "results/a b%41ü.nc", b"CDF\x01 and more")
    answer = register(api, "results/a b%41ü.nc", title="A comparison", software={"compare": "1.2"})
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"http://127.0.0.1:8080/api/assets/pairs/one/comparison:{DAY}"
    told = answer.json()
    assert {**told["asset"], "created": ""} == {
        "href": path.as_uri(),
        "type": "application/x-netcdf",
        "title": "A comparison",
        "roles": ["data"],
        "created": "",
        "file:checksum": "1220" + hashlib.sha256(b"CDF\x01 and more").hexdigest(),
        "file:size": 13,
        "processing:software": {"compare": "1.2"},
    }
    key = f"comparison:{DAY}"
    assert (told["key"], told["latest"], told["outcome"]) == (key, key, "created")
    assert stored(api) == {key: told["asset"], "comparison:latest": told["asset"]}
    handed = api.get(f"/api/assets/pairs/one/{key}")
    assert (handed.status_code, handed.headers["content-type"]) == (200, "application/x-netcdf")
    again = register(api, path.as_uri())
    assert (again.status_code, again.json()["outcome"]) == (200, "unchanged")
    assert again.headers["etag"] == answer.headers["etag"] == api.get(ITEM).headers["etag"]


def test_an_asset_may_be_said_whole_but_the_file_is_believed(api: httpx.Client, own: Settings) -> None:
    path = put(own, "a.bin", b"abc")
    said = {"href": path.as_uri(), "file:size": 7, "roles": ["metadata"], "x:y": {"z": [1.0]}}
    told = api.post(f"{ITEM}/assets", json={"asset": said, "prefix": "notes:l8"}).json()
    assert told["key"].startswith("notes:l8:2")
    assert {name: told["asset"][name] for name in said} == {**said, "file:size": 3}
    other = api.post(f"{ITEM}/assets", json={"asset": {**said, "file:checksum": "1220ab"}})
    assert (other.status_code, "is another one" in other.json()["detail"]) == (409, True)
    wrong = api.post(f"{ITEM}/assets", json={"asset": {**said, "roles": 3}})
    assert (wrong.status_code, wrong.json()["code"]) == (400, "invalid-document")


@pytest.mark.parametrize(
    "href",
    [
        *("", ".", "missing.nc", "../outside.nc", "a/../../outside.nc", "/etc/passwd", "file:///etc/passwd", "link.nc"),
        *("https://a.org/b.nc", "s3://bucket/b.nc", "file:outside.nc", "file:///x%2f..%2fy", "pipe", "\0", "\ud800"),
    ],
)
def test_nothing_outside_of_the_store_is_read(api: httpx.Client, own: Settings, href: str) -> None:
    outside = own.store_path.parent / "outside.nc"
    outside.write_bytes(b"secret")
    (own.store_path / "link.nc").symlink_to(outside)
    os.mkfifo(own.store_path / "pipe")
    content = '{"href": "\\ud800"}' if href == "\ud800" else httpx.Request("POST", "/", json={"href": href}).content
    answer = api.post(f"{ITEM}/assets", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400, answer.text
    assert str(own.store_path) not in answer.text
    assert stored(api) == {}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"href": "a.bin", "asset": {"href": "a.bin"}},
        {"href": "a.bin", "prefix": "a/b"},
        {"href": "a.bin", "date": "2024-02-30"},
        {"href": "a.bin", "date": "yesterday"},
        {"href": "a.bin", "date": "２０２４-05-01"},
        {"href": "a.bin", "date": "2024-5-1"},
        {"href": "a.bin", "title": "\0"},
        {"href": "a.bin", "colour": "red"},
        {"href": "a.bin", "prefix": "z", "others": {"z:2024-07-01.999999999": {"file:checksum": "12ab34"}}},
        {"href": "a.bin", "prefix": "z", "others": {"z:2024-07-01.10000": {}}},
        {"href": "a.bin", "prefix": "z", "others": {"y:2024-07-01": {}}},
        {"href": "a.bin", "prefix": "z", "others": {"z:2024-07-01": {"file:checksum": "12ab"}}},
        {"href": "a.bin", "prefix": "z", "others": {f"z:2024-07-01.{number}": {} for number in range(2, 10_002)}},
    ],
)
def test_a_wrong_request_is_told_so(api: httpx.Client, own: Settings, body: dict[str, Any]) -> None:
    put(own, "a.bin", b"abc")
    answer = api.post(f"{ITEM}/assets", json=body)
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json"), answer.text
    assert stored(api) == {}


def test_the_key_fits_another_catalogue_whose_names_are_dated_ones(api: httpx.Client, own: Settings) -> None:
    put(own, "a.bin", b"abc")
    others: dict[str, Any] = {f"comparison:{DAY}": {"file:checksum": None}, f"comparison:{DAY}.3": {}}
    assert register(api, "a.bin", others=others).json()["key"] == f"comparison:{DAY}.4"
    taken = register(api, "a.bin", prefix="p", others={f"p:{DAY}.9999": {}})
    assert (taken.status_code, "no day has more names" in taken.json()["detail"]) == (400, True)
    for odd in ("\0", f"comparison:{DAY}\0", f"comparison:{DAY}.01"):
        assert register(api, "a.bin", others={odd: {}}).status_code == 400
    for checksum in ("\0", 7, "\ud800"):
        body = {"href": "a.bin", "prefix": "q", "others": {f"q:{DAY}": {"file:checksum": checksum}}}
        headers = {"Content-Type": "application/json"}
        assert api.post(f"{ITEM}/assets", content=json.dumps(body), headers=headers).status_code == 400
    assert set(stored(api)) == {f"comparison:{DAY}.4", "comparison:latest"}


def test_the_first_and_the_last_day_are_days(api: httpx.Client, own: Settings) -> None:
    put(own, "a.bin", b"abc")
    for day in ("0001-01-01", "9999-12-31"):
        told = register(api, "a.bin", date=day).json()
        assert (told["key"], told["latest"]) == (f"comparison:{day}", f"comparison:{day}")


def test_it_asks_for_its_item_and_for_a_key(api: httpx.Client, own: Settings) -> None:
    put(own, "a.bin", b"abc")
    assert api.post("/api/collections/pairs/items/two/assets", json={"href": "a.bin"}).status_code == 404
    assert api.delete(f"{ITEM}/assets/missing").status_code == 404
    assert api.delete("/api/collections/no/items/two/assets/missing").status_code == 404
    for method, path in (("POST", f"{ITEM}/assets"), ("DELETE", f"{ITEM}/assets/a")):
        assert api.request(
            method, path, json={"href": "a.bin"}, headers={"X-Scopes": "catalogue:read"}
        ).status_code in {401, 403}
    with stac_client(own, "external") as external:
        path = f"{ITEM.replace('/api', '/external')}/assets"
        assert external.post(path, json={"href": "a.bin"}).status_code in {404, 405}


def test_if_match_is_honoured(api: httpx.Client, own: Settings) -> None:
    put(own, "a.bin", b"a")
    put(own, "b.bin", b"b")
    before = api.get(ITEM).headers["etag"]
    first = register(api, "a.bin", {"If-Match": before})
    assert first.status_code == 201
    assert register(api, "b.bin", {"If-Match": before}).status_code == 412
    assert api.delete(f"{ITEM}/assets/comparison:{DAY}", headers={"If-Match": before}).status_code == 412
    removed = api.delete(f"{ITEM}/assets/comparison:{DAY}", headers={"If-Match": first.headers["etag"]})
    assert (removed.status_code, removed.headers["etag"]) == (200, api.get(ITEM).headers["etag"])


def test_a_site_that_asks_for_if_match_does_not_ask_for_it_here(own: Settings) -> None:
    """Neither undoes what another one wrote: both name the asset, and the rest stays."""
    put(own, "a.bin", b"a")
    with stac_client(replace(own, api=Api(require_if_match=True))) as api:
        before = api.get(ITEM)
        assert api.put(ITEM, json=before.json()).status_code == 428
        assert register(api, "a.bin").status_code == 201
        old = {"If-Match": before.headers["etag"]}
        assert api.delete(f"{ITEM}/assets/comparison:{DAY}", headers=old).status_code == 412
        assert api.delete(f"{ITEM}/assets/comparison:{DAY}").status_code == 200


def test_removing_tells_what_is_the_latest_now(api: httpx.Client, own: Settings) -> None:
    for name in ("a", "b"):
        put(own, name, name.encode())
        register(api, name)
    assert api.delete(f"{ITEM}/assets/comparison:latest").status_code == 400
    assert api.delete(f"{ITEM}/assets/comparison:{DAY}.2").json() == {"latest": f"comparison:{DAY}"}
    assert stored(api)["comparison:latest"]["title"] == "a"
    assert api.delete(f"{ITEM}/assets/comparison:{DAY}").json() == {"latest": None}
    assert stored(api) == {}
    assert (own.store_path / "a").is_file()


def test_a_version_says_who_registered(api: httpx.Client, own: Settings) -> None:
    put(own, "a", b"a")
    register(api, "a", {"X-Principal": "ada", "X-Key-Id": "k1"})
    with database.connect(own, "almagest_reader") as reader:
        assert versions.states(reader, "pairs", "one")[-1].actor == "ada"


def test_outsiders_see_it_once_it_is_exposed_and_no_longer_once_latest_moves(api: httpx.Client, own: Settings) -> None:
    for name in ("a", "b"):
        put(own, name, name.encode())
    register(api, "a")

    def seen() -> set[str]:
        with stac_client(own, "external") as external:
            return set(external.get(ITEM.replace("/api", "/external")).json()["assets"])

    assert seen() == set()
    assets.expose(own, Selection("pairs"))
    assert seen() == {f"comparison:{DAY}", "comparison:latest"}
    register(api, "b")
    assert seen() == {f"comparison:{DAY}"}
    api.delete(f"{ITEM}/assets/comparison:{DAY}.2")
    assert seen() == {f"comparison:{DAY}", "comparison:latest"}


def test_sixty_four_at_once_lose_nothing(api: httpx.Client, own: Settings) -> None:
    for number in range(64):
        put(own, f"n{number}", str(number).encode())
    with concurrent.futures.ThreadPoolExecutor(64) as pool:
        answers = list(pool.map(lambda number: register(api, f"n{number}"), range(64)))
    assert {answer.status_code for answer in answers} == {201}
    found = stored(api)
    assert set(found) == {*(answer.json()["key"] for answer in answers), "comparison:latest"}
    assert len(found) == 65
    assert found["comparison:latest"] == found[f"comparison:{DAY}.64"]
    with database.connect(own, "almagest_reader") as reader:
        assert len(versions.states(reader, "pairs", "one")) == 65
