"""The external API as a whole: shut until the canary has passed, read-only, and silent about what is hidden."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest

from almagest.catalogue import audience, database, loading
from almagest.core.settings import Settings
from conftest import stac_client, tiles_client
from support import rasters


@pytest.fixture
def outside(settings: Settings) -> Iterator[httpx.Client]:
    hidden = {"href": "file:///hush/data.tif", "type": rasters.COG}
    shown = {"href": "https://example.org/data.tif", "type": rasters.COG}
    items = [
        rasters.item("both", "open", (0, 0, 1, 1), {"hidden": hidden, "shown": shown}),
        rasters.item("within", "hush", (0, 0, 1, 1), {"shown": shown}),
    ]
    items[0]["links"] = [
        {"rel": "derived_from", "href": f"{settings.site.origin}/api/collections/hush/items/within"},
        {"rel": "derived_from", "href": f"{settings.site.origin}/api/collections/open/items/both"},
    ]
    loading.load_documents(settings, [rasters.collection("open"), rasters.collection("hush")], items)
    with database.connect(settings, "postgres") as connection:
        audience.set_collections(connection, "hush", "internal")
    with stac_client(settings, "external") as client:
        yield client


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/collections",
        "/collections/open",
        "/collections/open/items",
        "/collections/open/items/both",
        "/search",
        "/search?fields=id,assets,links",
        "/queryables",
        "/openapi.json",
        "/docs",
    ],
)
def test_no_route_says_what_is_hidden(outside: httpx.Client, path: str) -> None:
    answer = outside.get(f"/external{path or '/'}")
    assert answer.status_code == 200
    assert "hush" not in answer.text


def test_links_lead_to_what_outsiders_see(outside: httpx.Client) -> None:
    item = outside.get("/external/collections/open/items/both").json()
    assert list(item["assets"]) == ["shown"]
    sources = [link["href"] for link in item["links"] if link["rel"] == "derived_from"]
    assert sources == [str(outside.base_url.join("/external/collections/open/items/both"))]


def test_a_hidden_thing_is_as_absent_as_a_missing_one(outside: httpx.Client) -> None:
    for path in ("collections/{}", "collections/{}/items", "collections/{}/items/within", "collections/{}/queryables"):
        hidden, missing = (outside.get(f"/external/{path.format(name)}") for name in ("hush", "none"))
        assert hidden.status_code == missing.status_code == 404
        assert hidden.json()["detail"] == missing.json()["detail"].replace("none", "hush")


def test_nothing_can_be_written(outside: httpx.Client) -> None:
    for method, path in (
        ("POST", "collections"),
        ("PUT", "collections/open"),
        ("DELETE", "collections/open/items/both"),
    ):
        assert outside.request(method, f"/external/{path}", json={}).status_code == 405
    conformance = outside.get("/external/conformance").json()["conformsTo"]
    assert not [name for name in conformance if "transaction" in name]


def test_a_token_of_one_audience_says_nothing_to_the_other(settings: Settings, outside: httpx.Client) -> None:
    more = [rasters.item(f"m{n}", "open", (0, 0, 1, 1), {}) for n in range(3)]
    loading.load_documents(settings, [], more)
    with stac_client(settings) as inside:
        page = inside.get("/api/search?limit=1").json()
    token = next(link["href"] for link in page["links"] if link["rel"] == "next").partition("?")[2]
    refused = outside.get(f"/external/search?{token}")
    assert refused.status_code == 400
    assert "token" in refused.json()["detail"]


@pytest.mark.parametrize("make", [stac_client, tiles_client])
def test_nobody_is_served_before_the_canary_has_passed(settings: Settings, make: object) -> None:
    with database.connect(settings, "postgres") as connection:
        connection.execute("DELETE FROM almagest.canary")
        with make(settings, "external") as client:  # type: ignore[operator]
            for path in ("/external/", "/external/tiles/colorMaps", "/external/search"):
                refused = client.get(path)
                assert refused.status_code == 503
                assert refused.headers["retry-after"]
            assert client.get("/readyz").status_code == 503
            connection.execute("SELECT almagest.note_canary()")
            assert client.get("/readyz").status_code == 200


def test_what_slips_through_the_database_does_not_leave(settings: Settings, outside: httpx.Client) -> None:
    """Should the projection fail, the tripwire turns the whole answer into a 500."""
    with database.connect(settings, "postgres") as connection:
        connection.execute(
            """
            CREATE OR REPLACE FUNCTION almagest.public_href(href text, policy almagest.audience_policy) RETURNS text
            LANGUAGE sql STABLE AS 'SELECT href'
            """
        )
    answer = outside.get("/external/search")
    assert answer.status_code == 500
    assert "hush" not in answer.text
    assert json.loads(answer.text)["instance"].startswith("urn:uuid:")
