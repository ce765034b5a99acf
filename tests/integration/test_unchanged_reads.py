"""An answer is sent again until something is committed that it depends on, and not a moment longer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import psycopg
import pytest

from almagest.catalogue import audience, database
from almagest.core.processes import Audience
from almagest.core.settings import Settings
from almagest.services.stac.app import PREFIXES, create_app
from almagest.services.web import unchanged
from conftest import stac_client
from support import ingests

NDJSON = b"application/x-ndjson"
PAGE = {"collections": ["scenes"], "limit": 5}


@pytest.fixture
def connection(settings: Settings) -> Iterator[psycopg.Connection[Any]]:
    with database.connect(settings, "postgres") as connection:
        audience.apply(settings, connection)
        audience.set_collections(connection, "*", "public")
        for name in ("scenes", "others"):
            document = {**ingests.collection(gsd=1), "id": name}
            connection.execute("SELECT almagest.put_collection(%s::jsonb)", (json.dumps(document),))
        put(connection, 1)
        yield connection


def put(connection: psycopg.Connection[Any], value: int, **changes: Any) -> None:
    document = {**ingests.item(), **changes}
    document["properties"]["seen"] = value
    connection.execute("SELECT almagest.put_item(%s::jsonb)", (json.dumps(document),))


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Paths that the app itself has answered."""
    paths: list[str] = []
    made = unchanged.Unchanged._made

    async def noted(self: Any, scope: Any, *rest: Any) -> None:
        paths.append(scope["path"])
        await made(self, scope, *rest)

    monkeypatch.setattr(unchanged.Unchanged, "_made", noted)
    return paths


@pytest.fixture
def clients(settings: Settings, connection: psycopg.Connection[Any]) -> Iterator[dict[Audience, httpx.Client]]:
    with ExitStack() as stack:
        yield {of: stack.enter_context(stac_client(settings, of)) for of in ("internal", "external")}


BOTH = pytest.mark.parametrize("of", ["internal", "external"])
ASKED = pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/search", PAGE),
        ("GET", "/search?collections=scenes", None),
        ("GET", "/search", None),
        ("GET", "/collections/scenes/items", None),
        ("GET", "/collections", None),
        ("GET", "/", None),
        ("GET", "/queryables", None),
    ],
)


@BOTH
@ASKED
def test_what_is_unchanged_is_made_twice_at_most(
    clients: dict[Audience, httpx.Client], of: Audience, method: str, path: str, body: Any, made: list[str]
) -> None:
    answers = [clients[of].request(method, PREFIXES[of] + path, json=body) for _ in range(5)]
    assert len({answer.content for answer in answers}) == len({answer.headers["etag"] for answer in answers}) == 1
    assert len(made) == 2  # with the second it is known that it will be asked again
    told = clients[of].request(
        method, PREFIXES[of] + path, json=body, headers={"If-None-Match": f"W/{answers[0].headers['etag']}"}
    )
    assert told.headers["etag"] == answers[0].headers["etag"]
    # To other methods no server says so.
    assert (told.status_code, told.content) == ((304, b"") if method == "GET" else (200, answers[0].content))
    assert {answer.headers["cache-control"] for answer in (*answers, told)} == {"no-cache"}


@BOTH
@pytest.mark.parametrize("path", ["/", "/search", "/collections/scenes/items", "/collections"])
def test_who_asks_for_the_head_alone_hears_the_same(
    clients: dict[Audience, httpx.Client], of: Audience, path: str
) -> None:
    for _ in range(3):
        whole, head = clients[of].get(PREFIXES[of] + path), clients[of].head(PREFIXES[of] + path)
        assert head.status_code == 200
        assert head.headers["ETag"] == whole.headers["ETag"]
    known = clients[of].head(PREFIXES[of] + path, headers={"If-None-Match": whole.headers["ETag"]})
    assert known.status_code == 304


@BOTH
@ASKED
def test_a_client_that_has_it_hears_so_the_first_time_it_asks_again(
    settings: Settings, clients: dict[Audience, httpx.Client], of: Audience, method: str, path: str, body: Any
) -> None:
    tag = clients[of].request(method, PREFIXES[of] + path, json=body).headers["etag"]
    with stac_client(settings, of) as another:  # another process
        told = another.request(method, PREFIXES[of] + path, json=body, headers={"If-None-Match": tag})
    assert told.status_code == (304 if method == "GET" else 200)


def changes(connection: psycopg.Connection[Any]) -> dict[str, Any]:
    here = {"collection": "scenes", "id": "i000000"}
    return {
        "an item changes": lambda: put(connection, 2),
        "one comes": lambda: put(connection, 1, id="new"),
        "one goes by SQL": lambda: connection.execute("DELETE FROM pgstac.items WHERE id = 'i000000'"),
        "a number is another text by SQL": lambda: connection.execute(
            "UPDATE pgstac.items SET content = jsonb_set(content, '{properties,seen}', '1.0')"
        ),
        "and in its collection": lambda: connection.execute(
            "UPDATE pgstac.collections SET content = content || '{\"gsd\": 1.0}' WHERE id = 'scenes'"
        ),
        "its collection changes": lambda: connection.execute(
            "SELECT almagest.put_collection(%s::jsonb)", (json.dumps(ingests.collection(title="Other")),)
        ),
        "its collection goes": lambda: connection.execute("SELECT pgstac.delete_collection('scenes')"),
        "it becomes internal": lambda: audience.set_collections(connection, "scenes", "internal"),
        "a name is hidden": lambda: audience.set_hidden(connection, hide=("seen",)),
        "a queryable comes": lambda: connection.execute(
            """
            SET search_path = pgstac, public;
            INSERT INTO queryables (name, property_wrapper) VALUES ('seen', 'to_int');
            RESET search_path
            """
        ),
        "a setting of pgSTAC changes": lambda: connection.execute(
            "UPDATE pgstac.pgstac_settings SET value = 'false' WHERE name = 'additional_properties'"
        ),
        "former versions are forgotten": lambda: connection.execute(
            "SELECT almagest.forget_states('others', NULL, 'infinity', NULL, 'forget')"
        ),
        "nothing happens": lambda: connection.execute("SELECT %(id)s || %(collection)s", here),
    }


def test_after_each_kind_of_change_the_answer_is_that_of_a_process_that_knows_nothing(
    settings: Settings, connection: psycopg.Connection[Any], clients: dict[Audience, httpx.Client]
) -> None:
    asked = [("POST", "/search", PAGE), ("GET", "/search", None), ("GET", "/collections/scenes/items", None)]
    asked += [("GET", "/collections", None), ("GET", "/", None), ("GET", "/queryables", None)]
    asked += [("GET", "/collections/others", None)]
    for title in ("First", "Second"):
        changed = {**ingests.collection(title=title), "id": "others"}
        connection.execute("SELECT almagest.put_collection(%s::jsonb)", (json.dumps(changed),))
    for what, change in changes(connection).items():
        for of, client in clients.items():
            for method, path, body in asked * 3:
                client.request(method, PREFIXES[of] + path, json=body)
        change()
        for of, client in clients.items():
            with stac_client(settings, of) as fresh:
                for method, path, body in asked:
                    kept = client.request(method, PREFIXES[of] + path, json=body)
                    new = fresh.request(method, PREFIXES[of] + path, json=body)
                    assert kept.status_code == new.status_code, (what, of, path)
                    # Each refusal has a number of its own.
                    assert kept.status_code != 200 or kept.content == new.content, (what, of, path)


def epochs(connection: psycopg.Connection[Any]) -> tuple[int, ...]:
    row = connection.execute(
        "SELECT almagest.epoch(NULL), almagest.epoch('{scenes}'), almagest.epoch('{others}')"
    ).fetchone()
    assert row is not None
    return tuple(row)


def test_an_epoch_grows_when_something_is_committed_and_never_else(connection: psycopg.Connection[Any]) -> None:
    before = epochs(connection)
    with connection.transaction(force_rollback=True):
        put(connection, 2)
        assert epochs(connection)[1] == before[1] + 1
    put(connection, 1)  # as it is
    assert epochs(connection) == before
    with connection.transaction():
        for number in range(50):
            put(connection, number, id=f"n{number}")
        with connection.transaction(force_rollback=True):
            put(connection, 1, id="other")
    assert epochs(connection) == (before[0] + 1, before[1] + 1, before[2])
    # What was noted in a part that was rolled back is noted again.
    with connection.transaction():
        with connection.transaction(force_rollback=True):
            put(connection, 5)
        put(connection, 6)
    assert epochs(connection) == (before[0] + 2, before[1] + 2, before[2])
    audience.set_collections(connection, "others", "internal")
    after = epochs(connection)
    assert all(now > then for now, then in zip(after, before, strict=True))
    (folded,) = connection.execute("SELECT almagest.fold_commits()").fetchone() or ()
    assert folded > 0 == connection.execute("SELECT count(*) FROM almagest.commit").fetchone()[0]  # type: ignore[index]
    assert epochs(connection) == after


def test_whoever_reads_while_it_is_folded_sees_the_same_epoch(
    settings: Settings, connection: psycopg.Connection[Any]
) -> None:
    before = epochs(connection)
    with database.connect(settings, "postgres", autocommit=False) as folding:
        folding.execute("SELECT almagest.fold_commits()")
        assert epochs(connection) == before
        put(connection, 7)
        folding.commit()
    assert epochs(connection)[1] == before[1] + 1


def test_a_crowd_gets_one_answer(settings: Settings, connection: psycopg.Connection[Any], made: list[str]) -> None:
    """Requests that nobody asked before are made as they come; those who ask again wait for one another."""
    app = create_app(settings)
    headers = {"X-Scopes": "catalogue:read"}

    async def crowd() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url=settings.site.origin, headers=headers) as client:
            await client.post("/search", json=PAGE)
            return await asyncio.gather(*(client.post("/search", json=PAGE) for _ in range(50)))

    answers = asyncio.run(crowd())
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert len(made) == 2


def test_a_crowd_that_has_it_already_gets_one_answer(
    settings: Settings, connection: psycopg.Connection[Any], made: list[str]
) -> None:
    """A collection's 304 comes of the answer that is kept for those who have nothing."""
    app = create_app(settings)
    headers = {"X-Scopes": "catalogue:read"}

    async def crowd() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url=settings.site.origin, headers=headers) as client:
            tag = (await client.get("/collections/scenes")).headers["etag"]
            known = {"If-None-Match": tag}
            return [await client.get("/collections/scenes", headers=known) for _ in range(20)]

    answers = asyncio.run(crowd())
    assert {(answer.status_code, answer.content) for answer in answers} == {(304, b"")}
    assert len(made) == 2


class Slow:
    """An app that streams, to the end only when somebody says so."""

    def __init__(self, asked_by: int) -> None:
        self.begun = asyncio.Barrier(asked_by + 1)
        self.go = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", NDJSON)]})
        await send({"type": "http.response.body", "body": b"{}", "more_body": True})
        await self.begun.wait()
        await self.go.wait()
        await send({"type": "http.response.body", "body": b""})


async def ask(layer: unchanged.Unchanged, got: list[Any]) -> None:
    scope = {"type": "http", "method": "GET", "path": "/search", "query_string": b"", "headers": [], "root_path": ""}

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        got.append(message)

    await layer(scope, receive, send)


async def one_epoch(_: Any) -> int:
    return 1


def test_nobody_waits_for_the_end_of_a_stream() -> None:
    """Whoever reads it slowly would hold up all who ask for the same."""

    async def three() -> None:
        app = Slow(3)
        layer = unchanged.Unchanged(app, one_epoch, most_bytes=1 << 20)
        asked = [asyncio.create_task(ask(layer, [])) for _ in range(3)]
        async with asyncio.timeout(5):
            await app.begun.wait()
        app.go.set()
        await asyncio.gather(*asked)
        assert not layer._flights

    asyncio.run(three())


def test_where_an_answer_came_to_nothing_they_try_one_after_the_other() -> None:
    most, now = 0, 0

    async def failing(scope: Any, receive: Any, send: Any) -> None:
        nonlocal most, now
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.001)
        now -= 1
        await send({"type": "http.response.start", "status": 503, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def crowd() -> None:
        layer = unchanged.Unchanged(failing, one_epoch, most_bytes=1 << 20)
        await ask(layer, [])
        await asyncio.gather(*(ask(layer, []) for _ in range(20)))

    asyncio.run(crowd())
    assert most == 1


def test_who_waits_for_an_answer_that_is_a_problem_gets_it_too() -> None:
    """One after the other they would wait ten seconds each for a search that takes too long."""
    tries = 0

    async def failing(scope: Any, receive: Any, send: Any) -> None:
        nonlocal tries
        tries += 1
        await asyncio.sleep(0.05)
        headers = [(b"content-type", b"application/problem+json")]
        await send({"type": "http.response.start", "status": 503, "headers": headers})
        await send({"type": "http.response.body", "body": b"{}"})

    async def crowd() -> list[list[Any]]:
        layer = unchanged.Unchanged(failing, one_epoch, most_bytes=1 << 20)
        await ask(layer, [])
        got: list[list[Any]] = [[] for _ in range(20)]
        await asyncio.gather(*(ask(layer, messages) for messages in got))
        assert not layer._kept
        await ask(layer, [])
        return got

    answers = asyncio.run(crowd())
    assert [[message.get("status", message.get("body")) for message in messages] for messages in answers] == [
        [503, b"{}"]
    ] * 20
    assert tries == 3, "the first, one for the crowd, and one more: nothing of it is kept"


def test_what_is_kept_stays_small(settings: Settings) -> None:
    async def nothing(*_: Any) -> None: ...

    layer = unchanged.Unchanged(nothing, one_epoch, most_bytes=40_000)
    for number in range(50):
        layer._keep(bytes([number]), 1, unchanged.Answer(200, (), b"x" * 2000, '"a"'))
        layer._keep(bytes([number]), 2, unchanged.Answer(200, (), b"x" * 2400, '"a"'))
    assert layer._found(bytes([49]), 2) is not None
    assert layer._found(bytes([49]), 1) is None
    layer._keep(b"large", 1, unchanged.Answer(200, (), b"x" * 9000, '"a"'))
    assert layer._found(b"large", 1) is None
    assert sum(map(unchanged._size, (answer for _, _, answer in layer._kept.values()))) == layer._bytes <= 40_000
    for number in range(1000):  # an empty answer takes something, too
        layer._keep(number.to_bytes(2), 1, unchanged.Answer(200, (), b"", '"a"'))
    assert len(layer._kept) < 20
