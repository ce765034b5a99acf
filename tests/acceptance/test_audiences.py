"""Two audiences behind one door, as strangers, keys and neighbours meet it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import rasterio

from support import validator
from support.data import DATA
from support.stack import Stack

pytestmark = pytest.mark.xdist_group("site")

#: Another machine, as far as nginx can tell.
ELSEWHERE = "127.0.0.2"
COLLECTION: dict[str, Any] = {
    "type": "Collection",
    "stac_version": "1.1.0",
    "id": "made",
    "description": "Made by a test.",
    "license": "CC0-1.0",
    "links": [],
    "extent": {"spatial": {"bbox": [[0, 0, 1, 1]]}, "temporal": {"interval": [["2024-01-01T00:00:00Z", None]]}},
}


@pytest.fixture(scope="module")
def inside(site: Stack) -> Iterator[httpx.Client]:
    with site.client() as client:
        yield client


@pytest.fixture(scope="module")
def outside(site: Stack) -> Iterator[httpx.Client]:
    with site.client(transport=httpx.HTTPTransport(local_address=ELSEWHERE)) as client:
        yield client


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def item_of(client: httpx.Client, prefix: str) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"{prefix}/search?limit=1&sortby=id&collections=sample-msi-l1c").json()[
        "features"
    ][0]
    return found


# ---------------------------------------------------------------------------------------------------------------------
# Keys


def test_from_elsewhere_only_the_public_audience_is_open(site: Stack, outside: httpx.Client) -> None:
    key = bearer(
        site.run("keys", "create", "reader", "--scope", "catalogue:read", "--scope", "ops:read").stdout.strip()
    )
    for path in ("/", "/external/", "/external/search?limit=1", "/ops/health", "/api/docs"):
        assert outside.get(path).status_code == 200, path
    for path in ("/api/", "/api/search", "/api/tiles/colorMaps", "/ops/ready", "/ops/metrics"):
        refused = outside.get(path)
        assert refused.status_code == 401, path
        assert refused.headers["www-authenticate"].startswith("Bearer")
        assert refused.headers["content-type"] == "application/problem+json"
        assert outside.get(path, headers=key).status_code == 200, path


def test_a_key_opens_what_its_scopes_name_until_it_is_revoked_or_expires(site: Stack, inside: httpx.Client) -> None:
    reader = site.run("keys", "create", "reader", "--scope", "catalogue:read").stdout.strip()
    writer = site.run("keys", "create", "writer", "--scope", "catalogue:write").stdout.strip()
    assert inside.post("/api/collections", json=COLLECTION).status_code == 401
    assert inside.post("/api/collections", json=COLLECTION, headers=bearer(reader)).status_code == 403
    assert inside.post("/api/collections", json=COLLECTION, headers=bearer(writer)).status_code == 201
    assert inside.delete("/api/collections/made", headers=bearer(writer)).status_code == 204
    site.run("keys", "revoke", writer.split("_")[1])
    assert inside.post("/api/collections", json=COLLECTION, headers=bearer(writer)).status_code == 401

    end = datetime.now(UTC) + timedelta(seconds=4)
    soon = end.isoformat()
    brief = site.run("keys", "create", "brief", "--scope", "catalogue:write", "--expires", soon).stdout.strip()
    assert inside.delete("/api/collections/nothing", headers=bearer(brief)).status_code == 404
    time.sleep(max(0.0, (end - datetime.now(UTC)).total_seconds()) + 0.1)
    assert inside.delete("/api/collections/nothing", headers=bearer(brief)).status_code == 401


def test_pystac_client_reads_the_internal_catalogue_with_a_key(site: Stack) -> None:
    from pystac_client import Client

    catalogue = Client.open(f"{site.origin}/api/", headers=bearer(site.write_key))
    assert len(list(catalogue.search(max_items=3).items())) == 3


# ---------------------------------------------------------------------------------------------------------------------
# Assets


def test_gdal_reads_an_exposed_asset_over_http(site: Stack, outside: httpx.Client) -> None:
    scene = item_of(outside, "/external")
    href = scene["assets"]["visual"]["href"]
    assert href.startswith(f"{site.origin}/external/assets/")
    with rasterio.open(f"/vsicurl/{href}") as remote:
        assert remote.count >= 3
        assert remote.read(1, window=((0, 16), (0, 16))).shape == (16, 16)
    ranged = outside.get(href, headers={"Range": "bytes=0-3"})
    assert ranged.status_code == 206
    assert ranged.content in {b"II*\0", b"MM\0*", b"II+\0"}
    assert ranged.headers["access-control-allow-origin"] == "*"
    known = outside.get(href, headers={"If-None-Match": outside.head(href).headers["etag"]})
    assert known.status_code == 304
    assert "sandbox" in ranged.headers["content-security-policy"]


def test_hidden_and_internal_assets_are_not_there(site: Stack, inside: httpx.Client, outside: httpx.Client) -> None:
    scene = item_of(inside, "/api")
    hidden = {
        key: asset for key, asset in scene["assets"].items() if key not in item_of(outside, "/external")["assets"]
    }
    assert hidden, "the sample keeps something internal"
    place = f"assets/{scene['collection']}/{scene['id']}"
    for key, asset in hidden.items():
        assert asset["href"].startswith("file:///")
        assert outside.get(f"/external/{place}/{key}").status_code == 404
        assert inside.get(f"/api/{place}/{key}").status_code == 200
        assert outside.get(f"/api/{place}/{key}").status_code == 401
    assert outside.get("/_store/0/sample").status_code == 404


def test_a_picture_is_gone_at_once_when_its_asset_is_hidden(site: Stack, outside: httpx.Client) -> None:
    scene = item_of(outside, "/external")
    preview = next(link["href"] for link in scene["links"] if link["rel"] == "preview")
    assert outside.get(preview).status_code == 200
    which = (scene["collection"], "--item", scene["id"], "--key", "visual")
    site.run("assets", "hide", *which)
    assert outside.get(preview).status_code == 404
    assert outside.get(scene["assets"]["visual"]["href"]).status_code == 404
    assert "visual" not in item_of(outside, "/external")["assets"]
    assert "thumbnail" not in item_of(outside, "/external")["assets"]
    site.run("assets", "expose", *which, "--key", "thumbnail")
    assert outside.get(preview).status_code == 200


def test_an_internal_collection_is_nowhere_outside(site: Stack, inside: httpx.Client, outside: httpx.Client) -> None:
    scene = item_of(outside, "/external")
    collection = scene["collection"]
    site.run("audience", "set", "--internal", collection)
    try:
        for path in (
            f"/external/collections/{collection}",
            f"/external/collections/{collection}/items",
            f"/external/collections/{collection}/items/{scene['id']}",
            f"/external/collections/{collection}/queryables",
            f"/external/tiles/collections/{collection}/WebMercatorQuad/tilejson.json",
            f"/external/assets/{collection}/{scene['id']}/visual",
        ):
            assert outside.get(path).status_code == 404, path
        for path in ("/external/", "/external/collections", "/external/search?limit=100", "/external/queryables"):
            assert collection not in outside.get(path).text, path
        assert inside.get(f"/api/collections/{collection}").status_code == 200
        shown = json.loads(site.run("audience", "show", "--json").stdout)
        assert shown["existing"][collection] == "internal"
    finally:
        site.run("audience", "set", "--forget", collection)
    assert outside.get(f"/external/collections/{collection}").status_code == 200


def test_a_rule_for_nothing_that_is_there_yet_is_taken_with_a_word(site: Stack) -> None:
    told = site.run("audience", "set", "--internal", "draft-*")
    try:
        assert "No collection is called draft-* yet." in told.stderr
    finally:
        site.run("audience", "set", "--forget", "draft-*")


def test_a_sample_in_a_folder_that_the_services_cannot_read_is_refused(site: Stack, tmp_path: Path) -> None:
    done = site.run("sample", "load", str(tmp_path / "nothing"), check=False)
    assert done.returncode
    assert f"{tmp_path / 'nothing'} is not there, or closed to the user" in " ".join(done.stderr.split())


# ---------------------------------------------------------------------------------------------------------------------
# Browsers and operators


def test_a_browser_app_elsewhere_may_read(outside: httpx.Client) -> None:
    asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    preflight = outside.options("/external/search", headers=asked)
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-origin"] == "*"
    assert "POST" in preflight.headers["access-control-allow-methods"]
    assert outside.get("/external/search", headers=asked).headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-origin" not in outside.get("/api/docs", headers=asked).headers


def test_the_canary_and_the_metrics(site: Stack, inside: httpx.Client) -> None:
    assert site.run("audience", "canary").returncode == 0
    assert inside.get("/ops/ready").json()["status"] == "ready"
    metrics = inside.get("/ops/metrics").text
    assert "# TYPE" in metrics


def test_a_site_open_to_the_world_does_not_start(home: Path) -> None:
    closed = Stack(home, ALMAGEST_BIND="0.0.0.0")
    refused = closed.run("up", "--sample", "none", check=False)
    assert refused.returncode == 1
    assert "ALMAGEST_INTERNAL_NETWORKS" in refused.stderr + refused.stdout


# ---------------------------------------------------------------------------------------------------------------------
# Standards


@pytest.mark.skipif(not DATA.is_dir(), reason="the schema mirror (../shared/data/schemas) is not beside this checkout")
def test_stac_api_validator_finds_no_error_inside(site: Stack, inside: httpx.Client) -> None:
    scene = item_of(inside, "/api")
    said = validator.check(DATA / "schemas", f"{site.origin}/api/", scene["collection"], scene["geometry"])
    assert "Errors: none" in said, said[said.find("Errors:") :][:3000]
