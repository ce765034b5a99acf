"""What ``as-of`` is answered with: links, tokens, tags, streams and refusals; and that what was answered stays so."""

from __future__ import annotations

import contextlib
import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import psycopg
import pytest

from almagest.catalogue import audience, database, pruning
from almagest.catalogue.moments import printed
from almagest.core.settings import Settings
from conftest import stac_client
from support import ingests, versions
from support.rasters import collection

Document = dict[str, Any]
Connection = psycopg.Connection[Any]

ITEM = "/api/collections/scenes/items/i000001"
LATER = "2999-01-01T00:00:00Z"
TEMPLATES = {"data": {"title": "New", "type": "text/plain"}}


@pytest.fixture
def connection(settings: Settings) -> Iterator[Connection]:
    with database.connect(settings, settings.database.admin_user) as connection:
        yield connection


def send(api: httpx.Client, method: str, path: str, body: Any = None) -> httpx.Response:
    kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
    answer = api.request(
        method, path, content=json.dumps(body) if body is not None else None, headers={"content-type": kind}
    )
    assert answer.is_success, answer.text
    return answer


def now(connection: Connection) -> str:
    row = connection.execute("SELECT almagest.clock()").fetchone()
    assert row is not None
    return printed(row[0])


@pytest.fixture
def past(api: httpx.Client, connection: Connection) -> dict[str, str]:
    """Moments: before, with three items, with one changed and one gone, without the collection, with it again."""
    moments = {"before": now(connection)}
    send(api, "POST", "/api/collections", collection("scenes", title="First"))
    for number in range(3):
        send(api, "POST", "/api/collections/scenes/items", ingests.item(number))
    moments["three"] = now(connection)
    send(api, "PATCH", ITEM, {"properties": {"number": 100}})
    send(api, "DELETE", "/api/collections/scenes/items/i000002")
    send(api, "PATCH", "/api/collections/scenes", {"title": "Second"})
    moments["two"] = now(connection)
    send(api, "DELETE", "/api/collections/scenes")
    moments["none"] = now(connection)
    send(api, "POST", "/api/collections", collection("scenes", title="Third", item_assets=TEMPLATES))
    send(api, "POST", "/api/collections/scenes/items", ingests.item(1))
    moments["again"] = now(connection)
    return moments


def numbers(answer: httpx.Response) -> dict[str, int]:
    assert answer.status_code == 200, answer.text
    return {item["id"]: item["properties"]["number"] for item in answer.json()["features"]}


def test_a_collection_that_was_deleted_and_made_again_is_what_it_was(api: httpx.Client, past: dict[str, str]) -> None:
    expected = {
        "before": None,
        "three": ("First", {"i000000": 0, "i000001": 1, "i000002": 2}),
        "two": ("Second", {"i000000": 0, "i000001": 100}),
        "none": None,
        "again": ("Third", {"i000001": 1}),
    }
    for name, there in expected.items():
        then = {"as-of": past[name]}
        document = api.get("/api/collections/scenes", params=then)
        items = api.get("/api/collections/scenes/items", params=then)
        listed = {one["id"] for one in api.get("/api/collections", params=then).json()["collections"]}
        found = numbers(api.post("/api/search", json={**then, "collections": ["scenes"]}))
        one = api.get(ITEM, params=then)
        if there is None:
            assert (document.status_code, items.status_code, one.status_code) == (404, 404, 404)
            assert "scenes" not in listed
            assert found == {}
        else:
            title, known = there
            assert document.json()["title"] == title
            assert "scenes" in listed
            assert found == numbers(items) == known
            assert one.json()["properties"]["number"] == known["i000001"]
            # What was stored without it does not take it from the collection of today.
            assert "title" not in one.json()["assets"]["data"]


def test_filters_see_what_was_then(api: httpx.Client, past: dict[str, str]) -> None:
    condition = {"filter": {"op": ">", "args": [{"property": "number"}, 50]}, "filter-lang": "cql2-json"}
    assert numbers(api.post("/api/search", json={**condition, "as-of": past["three"]})) == {}
    assert numbers(api.post("/api/search", json={**condition, "as-of": past["two"]})) == {"i000001": 100}
    assert numbers(api.post("/api/search", json=condition)) == {}
    by_id = {"ids": "i000002,i000000", "as-of": past["three"], "sortby": "-id"}
    assert [*numbers(api.get("/api/search", params=by_id))] == ["i000002", "i000000"]


def test_pages_stay_in_the_moment(api: httpx.Client, past: dict[str, str]) -> None:
    for method in ("GET", "POST"):
        search = {
            "as-of": past["three"],
            "limit": 1,
            "sortby": "id" if method == "GET" else [{"field": "id", "direction": "asc"}],
        }
        answer = api.get("/api/search", params=search) if method == "GET" else api.post("/api/search", json=search)
        seen = []
        while True:
            seen += [*numbers(answer)]
            following = next((link for link in answer.json()["links"] if link["rel"] == "next"), None)
            if following is None:
                break
            token = following
            answer = api.request(following["method"], following["href"], json=following.get("body"))
        assert seen == ["i000000", "i000001", "i000002"]
        # A token is of this moment alone.
        if method == "POST":
            for other in ({}, {"as-of": past["two"]}):
                body = {**{name: value for name, value in token["body"].items() if name != "as-of"}, **other}
                assert api.post("/api/search", json=body).status_code == 400
            same = {**token["body"], "as-of": past["three"].replace("Z", "+00:00")}
            assert api.post("/api/search", json=same).status_code == 200, "it is the same moment"


def test_links_stay_in_the_moment_but_for_those_to_the_present(api: httpx.Client, past: dict[str, str]) -> None:
    for path in (ITEM, "/api/collections/scenes"):
        links = {link["rel"]: link["href"] for link in api.get(path, params={"as-of": past["two"]}).json()["links"]}
        followed = api.get(links["self"])
        assert followed.json()["links"][0]["href"] == links["self"]
        assert past["two"] in links["self"]
        assert links["latest-version"] == f"http://127.0.0.1:8080{path}"
        assert api.get(links["version-history"]).status_code == 200
    found = api.get("/api/search", params={"as-of": past["two"], "ids": "i000001"}).json()["features"][0]
    links = {link["rel"]: link["href"] for link in found["links"]}
    assert api.get(links["self"]).json()["properties"]["number"] == 100
    assert api.get(links["collection"]).json()["title"] == "Second"
    assert "root" in links


def test_streams_too(api: httpx.Client, past: dict[str, str]) -> None:
    accept = {"Accept": "application/x-ndjson"}
    for path in ("/api/search", "/api/collections/scenes/items"):
        lines = api.get(path, params={"as-of": past["two"]}, headers=accept).text.splitlines()
        assert {json.loads(line)["id"] for line in lines} == {"i000000", "i000001"}
    assert api.get("/api/collections/scenes/items", params={"as-of": past["none"]}, headers=accept).status_code == 404
    table = api.get("/api/search", params={"as-of": past["two"]}, headers={"Accept": "application/vnd.apache.parquet"})
    assert table.content.startswith(b"PAR1")
    assert api.get("/api/search", params={"as-of": LATER}, headers=accept).status_code == 409


def test_the_tag_is_that_of_the_document_then(api: httpx.Client, past: dict[str, str]) -> None:
    before = api.get(ITEM, params={"as-of": past["three"]})
    assert api.get(ITEM, params={"as-of": past["two"]}).headers["etag"] != before.headers["etag"]
    known = {"If-None-Match": before.headers["etag"]}
    assert api.get(ITEM, params={"as-of": past["three"]}, headers=known).status_code == 304


@pytest.mark.parametrize(
    "moment",
    ["", "now", "2024", "2024-01-01", "2024-01-01T00:00:00", "2024-01-01 00:00:00Z", "2024-13-01T00:00:00Z",
     "2024-01-01T25:00:00Z", "2024-01-01T00:00:00+0000", "0001-01-01T00:00:00+23:59", "2024-01-01T00:00:00Z/..",
     "٢٠٢٤-01-01T00:00:00Z", "\x00"],
)  # fmt: skip
def test_what_is_no_moment_is_refused(api: httpx.Client, moment: str) -> None:
    for path in ("/api/search", "/api/collections", "/api/collections/scenes", "/api/collections/scenes/items", ITEM):
        answer = api.get(path, params={"as-of": moment})
        assert answer.status_code == 400, path
        assert "as-of" in answer.text
    assert api.post("/api/search", json={"as-of": moment}).status_code == 400
    assert api.post("/api/search", json={"as-of": 7}).status_code == 400


def test_what_may_still_change_is_refused_and_that_is_not_kept(api: httpx.Client, past: dict[str, str]) -> None:
    del past
    for path in ("/api/search", "/api/collections", "/api/collections/scenes", "/api/collections/scenes/items", ITEM):
        answer = api.get(path, params={"as-of": LATER})
        assert answer.status_code == 409
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["content-type"] == "application/problem+json"
        latest = answer.json()["latest"]
        assert latest in answer.json()["detail"]
        assert api.get(path, params={"as-of": latest}).status_code == 200
    soon = printed(datetime.fromtimestamp(time.time() + 1.5, UTC))
    asked = [api.get("/api/search", params={"as-of": soon}).status_code for _ in range(3)]
    time.sleep(2)
    assert [*asked, api.get("/api/search", params={"as-of": soon}).status_code] == [409, 409, 409, 200]


def test_who_writes_or_asks_for_what_has_no_past_is_told_so(api: httpx.Client, past: dict[str, str]) -> None:
    then = {"as-of": past["three"]}
    for method, path in (
        ("PUT", ITEM), ("PATCH", ITEM), ("DELETE", ITEM), ("POST", "/api/collections/scenes/items"),
        ("POST", "/api/collections"), ("DELETE", "/api/collections/scenes"), ("GET", f"{ITEM}/versions"),
    ):  # fmt: skip
        answer = api.request(method, path, params=then, json={} if method != "GET" else None)
        assert answer.status_code == 400, path
    assert api.get(ITEM).status_code == 200, "nothing has happened"


def test_what_was_before_versions_were_kept_or_is_forgotten_is_gone(
    api: httpx.Client, connection: Connection, past: dict[str, str]
) -> None:
    paths = ("/api/search", "/api/collections", "/api/collections/scenes", "/api/collections/scenes/items", ITEM)
    for path in paths:
        answer = api.get(path, params={"as-of": "2001-01-01T00:00:00Z"})
        assert answer.status_code == 410
        assert answer.json()["earliest"] < past["before"]
    for _ in range(3):  # so that it is kept by those who keep answers
        assert len(numbers(api.get("/api/search", params={"as-of": past["three"]}))) == 3
    pruning.prune(connection, days=0)
    for path in paths:
        answer = api.get(path, params={"as-of": past["three"]})
        assert answer.status_code == 410, path
        assert answer.json()["earliest"] > past["again"]
        # Of what is still there, and since when, everything is known.
    assert api.get(ITEM, params={"as-of": past["again"]}).status_code == 200
    assert api.get("/api/search", params={"as-of": past["again"]}).status_code == 410


def test_what_was_there_before_versions_were_kept_was_there_since(
    api: httpx.Client, connection: Connection, past: dict[str, str]
) -> None:
    """An item without a head."""
    connection.execute("DELETE FROM almagest.item_head WHERE id = 'i000001'")
    connection.execute("DELETE FROM almagest.item_history WHERE id = 'i000001'")
    for moment in past.values():
        assert numbers(api.get("/api/search", params={"as-of": moment, "ids": "i000001"})) == {"i000001": 1}


def test_outsiders_see_the_past_by_todays_rules_to_the_minute(
    settings: Settings, api: httpx.Client, connection: Connection, past: dict[str, str]
) -> None:
    send(api, "POST", "/api/collections", collection("drafts"))
    send(api, "POST", "/api/collections/drafts/items", {**ingests.item(7), "collection": "drafts"})
    moment = now(connection)
    with stac_client(settings, "external") as outside:
        answer = outside.get("/external/search", params={"as-of": LATER})
        assert answer.status_code == 409
        assert answer.json()["latest"].endswith(":00.000000Z")
        connection.execute(
            "CREATE OR REPLACE FUNCTION almagest.clock() RETURNS timestamptz LANGUAGE sql"
            " AS 'SELECT pg_catalog.clock_timestamp() + interval ''2 minutes'''"
        )
        assert len(numbers(outside.get("/external/search", params={"as-of": past["three"]}))) == 3
        assert "i000007" in numbers(outside.get("/external/search", params={"as-of": moment}))
        audience.set_collections(connection, "drafts", "internal")
        assert "i000007" not in numbers(outside.get("/external/search", params={"as-of": moment}))
        assert "i000007" in numbers(api.get("/api/search", params={"as-of": moment}))
        for path in ("", "/items", "/items/i000007"):
            assert outside.get(f"/external/collections/drafts{path}", params={"as-of": moment}).status_code == 404
        # What outsiders may not name they may not name of the past.
        audience.set_hidden(connection, hide=("number",))
        asked = {"as-of": past["three"], "filter": "number = 1"}
        assert outside.get("/external/search", params=asked).status_code == 400
        found = outside.get("/external/search", params={"as-of": past["three"]}).json()["features"]
        assert not [item for item in found if "number" in item["properties"]]


SECONDS = 4.0
IDS = tuple(f"i{number:06d}" for number in range(6))


def test_what_was_answered_stays_so_while_others_write(
    settings: Settings, api: httpx.Client, connection: Connection
) -> None:
    """Writers whose transactions begin early, write late and end later still, or come to nothing."""
    for name in ("scenes", "others"):
        send(api, "POST", "/api/collections", collection(name))
        for number in range(len(IDS)):
            send(api, "POST", f"/api/collections/{name}/items", {**ingests.item(number), "collection": name})
    ended = threading.Event()
    committed = [0] * 4
    with contextlib.ExitStack() as stack:
        threads = [threading.Thread(target=write, args=(settings, ended, seed, committed)) for seed in range(4)]
        stack.callback(lambda: [thread.join() for thread in threads])
        stack.callback(ended.set)
        for thread in threads:
            thread.start()
        seen: list[tuple[str, dict[Any, Document]]] = []
        states: set[str] = set()
        begun = time.monotonic()
        # On a busy machine little is written in that time, and the latest moment stands still while anyone
        # else of the cluster writes: it goes on until there was something to see.
        while (passed := time.monotonic() - begun) < SECONDS or (len(states) <= 5 and passed < 60):
            if len(seen) % 5 == 0:
                connection.execute("SELECT almagest.keep_time()")
            latest = api.get("/api/search", params={"as-of": LATER}).json()["latest"]
            found = everything(api, latest)
            seen.append((latest, found))
            states.add(json.dumps([*found.values()]))
    assert len(states) > 5, "there was something to see"
    assert sum(committed) > 10
    for moment, found in seen:
        assert everything(api, moment) == found
        then = datetime.fromisoformat(moment)
        for name in ("scenes", "others"):
            for item in IDS:
                state = versions.at(connection, name, item, then)
                assert (state or {}).get("properties") == found.get((name, item))


def everything(api: httpx.Client, moment: str) -> dict[Any, Document]:
    until = time.monotonic() + 10
    while True:
        answer = api.get("/api/search", params={"as-of": moment, "limit": 100})
        # Who began before that moment and writes only now holds it up until he has ended.
        if answer.status_code != 409 or time.monotonic() > until:
            break
        time.sleep(0.01)
    assert answer.status_code == 200, answer.text
    return {(item["collection"], item["id"]): item["properties"] for item in answer.json()["features"]}


def write(settings: Settings, ended: threading.Event, seed: int, committed: list[int]) -> None:
    dice = random.Random(seed)
    steps: tuple[Callable[[Connection, str, str], object], ...] = (change, change, remove, put)
    with database.connect(settings, settings.database.admin_user) as connection:
        while not ended.is_set():
            with contextlib.suppress(psycopg.errors.DeadlockDetected, psycopg.errors.UniqueViolation):
                with connection.transaction(force_rollback=dice.random() < 0.2):
                    time.sleep(dice.choice([0, 0, 0.03]))
                    for _ in range(dice.randint(1, 3)):
                        dice.choice(steps)(connection, dice.choice(["scenes", "others"]), dice.choice(IDS))
                        time.sleep(dice.choice([0, 0.01, 0.05]))
                committed[seed] += 1


def change(connection: Connection, name: str, item: str) -> None:
    connection.execute(
        "UPDATE pgstac.items SET content = jsonb_set(content, '{properties,number}',"
        " to_jsonb((content->'properties'->>'number')::int + 1)) WHERE (collection, id) = (%s, %s)",
        (name, item),
    )


def remove(connection: Connection, name: str, item: str) -> None:
    connection.execute("DELETE FROM pgstac.items WHERE (collection, id) = (%s, %s)", (name, item))


def put(connection: Connection, name: str, item: str) -> None:
    document = {**ingests.item(int(item[1:])), "collection": name}
    connection.execute("SET LOCAL search_path = pgstac, public")
    connection.execute("SELECT upsert_item(%s::jsonb)", (json.dumps(document),))
