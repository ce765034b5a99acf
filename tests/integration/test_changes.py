"""What changed, over HTTP: the walk through what is there, the log behind it, cursors, waiting, and both audiences."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psycopg
import pytest

from almagest.catalogue import audience, database, pruning
from almagest.catalogue.changes import Changes, Wanted
from almagest.catalogue.following import Place
from almagest.core.errors import OverloadedError
from almagest.core.settings import Settings
from almagest.services.leaks.sides import open_side
from almagest.services.stac import changes
from almagest.services.stac.changes import Follower
from almagest.services.stac.waiting import Watch
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


def test_a_cursor_is_bound_to_its_audience_and_what_was_asked_for(filled: httpx.Client, outside: httpx.Client) -> None:
    own = following.page(filled, "/api")["cursor"]
    foreign = following.page(outside, "/external")["cursor"]
    for client, prefix, cursor, more in (
        (outside, "/external", own, {}),
        (filled, "/api", foreign, {}),
        (filled, "/api", own[:-8] + ("A" if own[-8] != "A" else "B") + own[-7:], {}),
        (filled, "/api", own, {"collections": "scenes"}),
        (filled, "/api", "yesterday", {}),
    ):
        refused = client.get(f"{prefix}/changes", params={"since": cursor, **more})
        assert refused.status_code == 400, refused.text
        assert "without `since`" in refused.json()["detail"]


def test_of_some_collections_only_these_are_told(filled: httpx.Client, admin: psycopg.Connection[Any]) -> None:
    assert filled.post("/api/collections", json=ingests.collection("others")).status_code == 201
    following.settle(admin)
    found, cursor = following.rest(filled, "/api", None, collections="others")
    assert told({"changes": found}) == [("created", "others", None)]
    filled.delete("/api/collections/scenes/items/i000000").raise_for_status()
    filled.post("/api/collections/others/items", json={**item(7), "collection": "others"}).raise_for_status()
    following.settle(admin)
    page = following.page(filled, "/api", since=cursor, collections="others")
    assert told(page) == [("created", "others", "i000007")]
    link = next(link["href"] for link in page["links"] if link["rel"] == "next")
    assert told(filled.get(link).json()) == []


def test_what_was_forgotten_cannot_be_followed(
    filled: httpx.Client, outside: httpx.Client, admin: psycopg.Connection[Any]
) -> None:
    sides = ((filled, "/api"), (outside, "/external"))
    cursors = [following.rest(client, prefix, None)[1] for client, prefix in sides]
    filled.delete("/api/collections/scenes/items/i000000").raise_for_status()
    following.settle(admin)
    pruning.prune(admin, days=0)
    for (client, prefix), cursor in zip(sides, cursors, strict=True):
        gone = client.get(f"{prefix}/changes", params={"since": cursor})
        assert gone.status_code == 410, gone.text
        assert "without `since`" in gone.json()["detail"]
        changes, cursor = following.rest(client, prefix, None)
        assert ("scenes", "i000000") not in {(change["collection"], change.get("item")) for change in changes}
        assert following.rest(client, prefix, cursor) == ([], cursor)
        assert following.page(client, prefix, since="now")["changes"] == []


def test_rules_by_which_documents_are_shown_end_cursors_outside(
    filled: httpx.Client, outside: httpx.Client, admin: psycopg.Connection[Any]
) -> None:
    _, own = following.rest(filled, "/api", None)
    _, cursor = following.rest(outside, "/external", None)
    audience.set_hidden(admin, hide=("number",))
    assert outside.get("/external/changes", params={"since": cursor}).status_code == 410
    assert filled.get("/api/changes", params={"since": own}).status_code == 200
    audience.set_hidden(admin, show=("number",))
    assert outside.get("/external/changes", params={"since": cursor}).status_code == 200


def test_an_exposed_asset_is_announced(
    filled: httpx.Client, outside: httpx.Client, admin: psycopg.Connection[Any]
) -> None:
    stored = item(0)
    stored["assets"]["own"] = {"href": "file:///data/own.tif"}
    filled.put("/api/collections/scenes/items/i000000", json=stored).raise_for_status()
    following.settle(admin)
    _, cursor = following.rest(outside, "/external", None)
    admin.execute("SELECT almagest.expose_assets('scenes', '{i000000}', '{own}', '{file:///data/own.tif}')")
    following.settle(admin)
    changes, cursor = following.rest(outside, "/external", cursor, documents="true")
    # By what may be seen today, the change that brought it is one of theirs, too.
    assert told({"changes": changes}) == [("updated", "scenes", "i000000")] * 2
    assert set(changes[-1]["document"]["assets"]) == {"data", "own"}
    admin.execute("SELECT almagest.expose_assets('scenes', '{i000000}', '{other}', '{file:///data/other.tif}')")
    admin.execute("SELECT almagest.hide_assets('scenes', '{i000000}', '{other}')")
    following.settle(admin)
    assert following.rest(outside, "/external", cursor) == ([], cursor), "nothing that anybody could see"
    admin.execute("SELECT almagest.hide_assets('scenes', '{i000000}', '{own}')")
    following.settle(admin)
    assert following.rest(outside, "/external", cursor) == ([], cursor), "what was exposed once is hidden, too"


def test_who_waits_is_told_when_something_comes(filled: httpx.Client, admin: psycopg.Connection[Any]) -> None:
    _, cursor = following.rest(filled, "/api", None)
    begun = time.monotonic()
    assert following.page(filled, "/api", since=cursor, wait=1)["changes"] == []
    assert time.monotonic() - begun > 0.9
    with ThreadPoolExecutor(3) as threads:
        waiting = [threads.submit(following.page, filled, "/api", since=cursor, wait=30) for _ in range(3)]
        time.sleep(1)
        filled.delete("/api/collections/scenes/items/i000000").raise_for_status()
        for each in waiting:
            assert told(each.result(20)) == [("deleted", "scenes", "i000000")]
    assert time.monotonic() - begun < 25


@pytest.mark.parametrize("is_hasty", [False, True], ids=["as it is", "one that tells of every look"])
def test_streams_outside_are_as_silent_while_something_hidden_changes(
    settings: Settings, filled: httpx.Client, monkeypatch: pytest.MonkeyPatch, is_hasty: bool
) -> None:
    async def hasty(follower: Follower, cursor: str, wanted: Wanted, silent_s: float) -> Changes:
        await follower.watch.changed(await follower.watch.latest(), silent_s)
        return await follower.feed.page(changes._asking(follower.pool), cursor, wanted)

    monkeypatch.setattr(changes, "_HEARTBEAT_S", 3.0)
    if is_hasty:
        monkeypatch.setattr(Follower, "_following", hasty)
    with database.connect(settings, settings.database.admin_user) as connection:
        audience.set_collections(connection, "secret", "internal")
    filled.post("/api/collections", json={**ingests.collection(), "id": "secret"}).raise_for_status()
    stop = threading.Event()

    def write() -> None:
        for number in itertools.count():
            if stop.wait(0.2):
                return
            filled.post(
                "/api/collections/secret/items", json={**ingests.item(number), "collection": "secret"}
            ).raise_for_status()

    with ThreadPoolExecutor(1) as threads:
        writing = threads.submit(write)
        beats = asyncio.run(_beats(settings, 4))[1:]  # the first one may still be on its way through what is there
        stop.set()
        writing.result(30)
    assert len({text for _, text in beats}) == 1, "the cursor stays where it is"
    pauses = [later - earlier for (earlier, _), (later, _) in itertools.pairwise(beats)]
    assert (min(pauses) < 2.5) == is_hasty, pauses


async def _beats(settings: Settings, number: int) -> list[tuple[float, bytes]]:
    """When a stream outside says that it is still there, and by which words."""
    told: list[tuple[float, bytes]] = []
    enough = asyncio.Event()
    messages = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> dict[str, Any]:
        for message in messages:
            return message
        await enough.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message.get("body", b"").startswith(b": "):
            told.append((time.monotonic(), message["body"]))
            if len(told) == number:
                enough.set()

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
        "path": "/external/changes", "raw_path": b"/external/changes", "query_string": b"", "root_path": "",
        "headers": [(b"host", b"localhost"), (b"accept", b"text/event-stream")],
        "client": ("192.0.2.1", 1), "server": ("localhost", 80),
    }  # fmt: skip
    async with open_side(settings) as side:
        await side.apps["stac"](scope, receive, send)
    return told


def test_only_so_many_wait(settings: Settings) -> None:
    async def look() -> Place:
        return Place()

    watch = Watch(look, seats=1)
    with watch.seat(), pytest.raises(OverloadedError), watch.seat():
        pass


def test_events_go_on_where_their_client_was(filled: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "_STREAM_S", 0.0)

    def events(**headers: str) -> list[dict[str, str]]:
        answer = filled.get("/api/changes", headers={"accept": "text/event-stream", **headers})
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["x-accel-buffering"] == "no"
        blocks = [block.splitlines() for block in answer.text.split("\n\n") if block]
        return [dict(line.split(": ", 1) for line in block if not line.startswith(":")) for block in blocks]

    found = events()
    assert [event["event"] for event in found if "event" in event] == ["created"] * 4
    assert json.loads(found[2]["data"])["item"] == "i000000"
    again = events(**{"last-event-id": found[2]["id"]})
    assert [json.loads(event["data"])["item"] for event in again if "data" in event] == ["i000001", "i000002"]
    assert [event for event in events(**{"last-event-id": again[-1]["id"]}) if "data" in event] == []
    assert filled.get("/api/changes", headers={"accept": "text/event-stream", "last-event-id": "x"}).status_code == 400
