"""Through nginx: clients work unchanged, links stay at home, and writes need the key."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from pystac_client import Client

from support import validator
from support.data import DATA
from support.stack import Stack

pytestmark = pytest.mark.xdist_group("stack")

AUDIENCES = pytest.mark.parametrize("prefix", ["/api", "/external"])

COLLECTION: dict[str, Any] = {
    "type": "Collection",
    "stac_version": "1.1.0",
    "id": "acceptance",
    "description": "Made by a test.",
    "license": "CC0-1.0",
    "links": [],
    "extent": {"spatial": {"bbox": [[0, 0, 1, 1]]}, "temporal": {"interval": [["2024-01-01T00:00:00Z", None]]}},
}


@AUDIENCES
def test_pystac_client_works_unchanged_and_stays_at_home(running: Stack, prefix: str) -> None:
    asked: list[str] = []
    catalogue = Client.open(f"{running.origin}{prefix}/")
    assert catalogue.title == "Almagest"
    session = catalogue._stac_io.session  # type: ignore[union-attr]
    session.hooks["response"].append(lambda response, *_, **__: asked.append(response.url))
    collections = list(catalogue.get_collections())
    assert collections
    # Sorted: the client warns, and warnings are errors here, where a server does not declare what it is asked for.
    items = list(catalogue.search(max_items=25, limit=10, sortby="-properties.datetime").items())
    assert len(items) == len({(item.collection_id, item.id) for item in items}) == 25
    post = list(catalogue.search(method="GET", max_items=15, limit=5, collections=[items[0].collection_id]).items())
    assert {item.collection_id for item in post} == {items[0].collection_id}
    one = catalogue.get_collection(items[0].collection_id).get_item(items[0].id)  # type: ignore[union-attr]
    assert one is not None
    assert one.id == items[0].id
    assert catalogue.get_collection(items[0].collection_id).get_queryables()["properties"]  # type: ignore[union-attr]
    assert asked
    assert all(url.startswith(f"{running.origin}{prefix}/") for url in asked)


@AUDIENCES
def test_links_of_the_api_stay_on_the_public_origin_whatever_headers_say(running: Stack, prefix: str) -> None:
    forged = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example;proto=https"}
    with running.client(headers=forged) as client:
        for path in ("/", "/collections", "/search?limit=2", "/queryables"):
            response = client.get(prefix + path)
            assert response.status_code == 200
            assert "evil.example" not in response.text
            rels = {"self", "root", "parent", "next", "search", "data", "items", "collection", "xyz", "tilejson"}
            for link in response.json().get("links", []):
                if link["rel"] in rels:
                    assert link["href"].startswith(f"{running.origin}{prefix}/"), link


def test_every_printed_address_opens(running: Stack) -> None:
    printed = running.status()["addresses"]
    opened = {name: address for name, address in printed.items() if address.startswith("http")}
    assert {"site", "external", "api", "tiles"} <= set(opened)
    with running.client() as client:
        answers = {name: client.get(address, follow_redirects=True) for name, address in opened.items()}
        assert {name: answer.status_code for name, answer in answers.items()} == dict.fromkeys(opened, 200)
        assert "Log in" in answers["pages"].text
    password = Path(printed["database_password"]).read_text().strip()
    with psycopg.connect(printed["database"], password=password) as connection:
        assert connection.execute("SELECT count(*) > 0 FROM collection_ids()").fetchone() == (True,)


def test_writes_need_the_key(running: Stack) -> None:
    key = {"Authorization": f"Bearer {running.write_key}"}
    with running.client() as client:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {running.write_key}"}):
            response = client.post("/api/collections", json=COLLECTION, headers=headers)
            assert response.status_code == 401
            assert response.headers["content-type"] == "application/problem+json"
            assert response.headers["www-authenticate"].startswith("Bearer")
        for path in ("/api/search/", "/api/search/x", "/api/./search/..", "/API/search", "/api/%73earch/y"):
            # 308: to its own canonical path, where the same is asked.
            assert client.post(path, json={}).status_code in {308, 401, 404, 405}
        assert client.post("/api/search", json={"limit": 1}).status_code == 200
        for method in ("PUT", "PATCH", "DELETE"):
            assert client.request(method, "/api/collections/acceptance", json={}).status_code == 401
        assert client.get("/api/collections", headers={"X-HTTP-Method-Override": "DELETE"}).status_code == 200

        made = client.post("/api/collections", json=COLLECTION, headers=key)
        assert made.status_code == 201, made.text
        bad = client.post("/api/collections/acceptance/items", json={"type": "Feature"}, headers=key)
        assert bad.status_code == 400
        assert bad.headers["content-type"] == "application/problem+json"
        assert client.delete("/api/collections/acceptance", headers=key).status_code == 204


def test_errors_of_the_door_itself_are_problems_with_an_id(running: Stack) -> None:
    with running.client() as client:
        response = client.request("BREW", "/api/search")
        assert response.status_code in {401, 405}
        assert response.json()["status"] == response.status_code
        missing = client.get("/api/nothing/here")
        assert missing.status_code == 404
        assert missing.json()["instance"].replace("-", "").endswith(missing.headers["x-request-id"].replace("-", ""))
        sent = client.get("/api/", headers={"X-Request-ID": "0" * 32})
        assert sent.headers["x-request-id"] != "0" * 32


def test_security_headers_and_compression(running: Stack) -> None:
    with running.client() as client:
        page = client.get("/")
        assert page.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert "server" not in page.headers or "/" not in page.headers["server"]
        search = client.get("/api/search?limit=10", headers={"Accept-Encoding": "gzip"})
        assert search.headers["content-encoding"] == "gzip"
        assert search.headers["content-type"].startswith("application/geo+json")


def varying(answer: httpx.Response) -> set[str]:
    return set(answer.headers["vary"].split(", "))


def test_a_tag_that_compression_has_weakened_works_in_both_headers(running: Stack) -> None:
    key = {"Authorization": f"Bearer {running.write_key}", "Accept-Encoding": "gzip"}
    path = "/api/collections/tagged"
    with running.client(headers=key) as client:
        assert client.post("/api/collections", json={**COLLECTION, "id": "tagged"}).status_code == 201
        try:
            item = {
                "type": "Feature",
                "stac_version": "1.1.0",
                "id": "a",
                "geometry": {"type": "Point", "coordinates": [0.5, 0.5]},
                "bbox": [0.5, 0.5, 0.5, 0.5],
                "properties": {
                    "datetime": "2024-05-01T00:00:00Z",
                    "description": "long enough to be compressed " * 200,
                },
                "links": [],
                "assets": {},
            }
            assert client.post(f"{path}/items", json=item).status_code == 201
            client.patch(path, json={"description": item["properties"]["description"]})
            page = client.get(f"{path}/items")
            same = client.get(f"{path}/items", headers={"If-None-Match": page.headers["etag"]})
            assert (same.status_code, varying(same)) == (304, varying(page))
            for at in (path, f"{path}/items/a"):
                found = client.get(at)
                tag = found.headers["etag"]
                assert found.headers["content-encoding"] == "gzip"
                assert tag.startswith('W/"')
                same = client.get(at, headers={"If-None-Match": tag})
                assert (same.status_code, same.content) == (304, b"")
                assert varying(same) == varying(found)
                outside = client.get(at.replace("/api", "/external"))
                asked = {"If-None-Match": outside.headers["etag"]}
                assert client.get(at.replace("/api", "/external"), headers=asked).status_code == 304
                changed = client.patch(at, json={"stac_extensions": []}, headers={"If-Match": tag})
                assert changed.status_code == 200, changed.text
                assert client.patch(at, json={"stac_extensions": None}, headers={"If-Match": tag}).status_code == 412
                assert client.get(at, headers={"If-None-Match": tag}).status_code == 200
        finally:
            assert client.delete(path).status_code == 204


@pytest.mark.parametrize(
    "line",
    [
        "GET /api/../../../etc/passwd HTTP/1.1",
        "GET /api/%2e%2e/%2e%2e/etc/passwd HTTP/1.1",
        "GET /secrets/write.key HTTP/1.1",
        "GET /../secrets/write.key HTTP/1.1",
        "GET /%2e%2e/secrets/write.key HTTP/1.0",
        "GET http://evil.example/secrets/write.key HTTP/1.1",
    ],
)
def test_no_spelling_of_a_path_reads_a_file(line: str, running: Stack) -> None:
    with socket.create_connection(("127.0.0.1", running.port), timeout=10) as connection:
        connection.sendall(f"{line}\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    assert running.write_key.encode() not in answer
    assert b"root:" not in answer


def test_the_key_is_in_no_log(running: Stack) -> None:
    with running.client(headers={"Authorization": f"Bearer {running.write_key}"}) as client:
        client.post("/api/collections?key=none", content=b"{}", headers={"Content-Type": "application/json"})
    for log in running.home.glob("logs/*"):
        assert running.write_key not in log.read_text(errors="ignore"), log
    lines = [json.loads(line) for line in (running.home / "logs" / "nginx-access.log").read_text().splitlines()]
    assert lines
    assert all("rid" in line or "request_id" in line for line in lines)


@AUDIENCES
def test_tiles_of_the_first_item_that_has_some(running: Stack, prefix: str) -> None:
    with running.client() as client:
        items = _items_with_tiles(client, prefix)
        tilejson = next(link for link in items[0]["links"] if link["rel"] == "tilejson")
        described = client.get(tilejson["href"]).json()
        assert described["tiles"][0].startswith(f"{running.origin}{prefix}/tiles/")
        preview = next(link for link in items[0]["links"] if link["rel"] == "preview")
        picture = client.get(preview["href"])
        assert picture.status_code == 200
        assert picture.headers["content-type"] == "image/png"
        assert len(picture.content) > 1000


def _items_with_tiles(client: httpx.Client, prefix: str) -> list[dict[str, Any]]:
    for collection in client.get(f"{prefix}/collections?limit=100").json()["collections"]:
        features = client.get(f"{prefix}/collections/{collection['id']}/items?limit=3").json()["features"]
        rendered = [item for item in features if any(link["rel"] == "xyz" for link in item["links"])]
        if rendered:
            return rendered
    raise AssertionError("no item of the catalogue can be rendered")


@pytest.mark.skipif(not DATA.is_dir(), reason="the schema mirror (../shared/data/schemas) is not beside this checkout")
def test_stac_api_validator_finds_no_error_outside(running: Stack) -> None:
    """Inside, `test_audiences` lets it look at fewer items, in a stack that another worker has."""
    ring = [[-105.5, 39.5], [-105, 39.5], [-105, 40], [-105.5, 40], [-105.5, 39.5]]
    geometry = {"type": "Polygon", "coordinates": [ring]}
    said = validator.check(DATA / "schemas", f"{running.origin}/external/", "sentinel-2-l2a", geometry)
    assert "Errors: none" in said, said[said.find("Errors:") :][:3000]
