"""What changed, over HTTP: the walk through what is there, the log behind it, cursors, waiting, and both audiences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest

from almagest.catalogue import audience, database
from almagest.core.settings import Settings
from conftest import stac_client
from support import following, ingests

Document = dict[str, Any]


@pytest.fixture
def outside(settings: Settings, api: httpx.Client) -> Iterator[httpx.Client]:
    with stac_client(settings, "external") as client:
        yield client


@pytest.fixture
def admin(settings: Settings) -> Iterator[psycopg.Connection[Any]]:
    with database.connect(settings, settings.database.admin_user) as connection:
        yield connection


@pytest.fixture
def filled(api: httpx.Client, admin: psycopg.Connection[Any]) -> httpx.Client:
    assert api.post("/api/collections", json=ingests.collection()).status_code == 201
    for number in range(3):
        assert api.post("/api/collections/scenes/items", json=ingests.item(number)).status_code == 201
    following.settle(admin)
    return api


def item(number: int, **properties: Any) -> Document:
    document = ingests.item(number)
    document["properties"] |= properties
    return document


def told(page: Document) -> list[tuple[str, str, str | None]]:
    return [(entry["type"], entry["collection"], entry.get("item")) for entry in page["changes"]]


def test_what_is_there_comes_first_and_then_what_changes(filled: httpx.Client, admin: psycopg.Connection[Any]) -> None:
    page = following.page(filled, "/api", limit=2)
    assert told(page) == [("created", "scenes", None), ("created", "scenes", "i000000")]
    assert page["numberReturned"] == 2
    following.settle(admin)
    page = following.page(filled, "/api", since=page["cursor"])
    assert told(page) == [("created", "scenes", "i000001"), ("created", "scenes", "i000002")]
    following.settle(admin)
    page = following.page(filled, "/api", since=page["cursor"])
    assert told(page) == []
    filled.delete("/api/collections/scenes/items/i000001").raise_for_status()
    filled.put("/api/collections/scenes/items/i000000", json=item(0, **{"eo:cloud_cover": 3})).raise_for_status()
    following.settle(admin)
    later = following.page(filled, "/api", since=page["cursor"], documents="true")
    assert told(later) == [("deleted", "scenes", "i000001"), ("updated", "scenes", "i000000")]
    assert "document" not in later["changes"][0]
    assert later["changes"][1]["document"]["properties"]["eo:cloud_cover"] == 3
    versions = filled.get("/api/collections/scenes/items/i000000/versions").json()["versions"]
    assert later["changes"][1]["version"] == versions[0]["version"]
    assert later["changes"][1]["datetime"] == versions[0]["valid_from"]
    assert told(following.page(filled, "/api", since=later["cursor"])) == []
    assert told(following.page(filled, "/api", since="now")) == []
    filled.post("/api/collections/scenes/items", json=ingests.item(1)).raise_for_status()
    following.settle(admin)
    assert told(following.page(filled, "/api", since=later["cursor"])) == [("restored", "scenes", "i000001")]


def test_outsiders_are_told_what_changed_for_them(
    filled: httpx.Client, outside: httpx.Client, admin: psycopg.Connection[Any]
) -> None:
    page = following.page(outside, "/external")
    assert told(page) == [("created", "scenes", None), *(("created", "scenes", f"i00000{n}") for n in range(3))]
    following.settle(admin)
    page = following.page(outside, "/external", since=page["cursor"])
    hidden = item(0, **{"almagest:secret": 1})
    filled.put("/api/collections/scenes/items/i000000", json=hidden).raise_for_status()
    following.settle(admin)
    again = following.page(outside, "/external", since=page["cursor"])
    assert told(again) == []
    assert again["cursor"] == page["cursor"]
    filled.put("/api/collections/scenes/items/i000000", json=item(0, **{"eo:cloud_cover": 3})).raise_for_status()
    following.settle(admin)
    page = following.page(outside, "/external", since=page["cursor"], documents="true")
    assert told(page) == [("updated", "scenes", "i000000")]
    audience.set_collections(admin, "scenes", "internal")
    filled.delete("/api/collections/scenes/items/i000002").raise_for_status()
    assert following.page(outside, "/external", since=page["cursor"])["cursor"] == page["cursor"]
    audience.set_collections(admin, "scenes", "public")
    following.settle(admin)
    found = told(following.page(outside, "/external", since=page["cursor"], documents="true"))
    assert found == [
        ("deleted", "scenes", "i000002"),
        ("created", "scenes", None),
        ("created", "scenes", "i000000"),
        ("created", "scenes", "i000001"),
        ("deleted", "scenes", "i000002"),
    ]
