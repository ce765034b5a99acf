"""Requests are counted by the route that answered, whatever strangers ask for, and at hardly any cost."""

from __future__ import annotations

import asyncio
import time
from itertools import accumulate
from typing import Any

import orjson
import pytest
from starlette.types import Message, Receive, Scope, Send

from almagest.services.web.gate import Gate
from almagest.services.web.inventory import Route
from almagest.services.web.inventory import Scope as Access
from almagest.services.web.measured import BUCKETS_S, Measured, Tally

ROUTES = (
    Route(("GET",), "/items/{item_id}", Access.PUBLIC),
    Route(("POST",), "/search", Access.WRITE),
)


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers, breaks, or is left alone, as the path says."""
    if scope["path"].endswith("broken"):
        raise RuntimeError
    if scope["path"].endswith("slow"):
        await asyncio.sleep(0.03)
    if scope["path"].endswith("left"):
        raise asyncio.CancelledError
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"x"})


class Server:
    """Asks an app without any network."""

    def __init__(self) -> None:
        self.app = Measured(Gate(app, ROUTES), facts=lambda: {"pools": {"reads": 1}})

    async def ask(self, path: str, method: str = "GET") -> bytes:
        body = b""

        async def send(message: Message) -> None:
            nonlocal body
            body += message.get("body", b"")

        async def receive() -> Message:
            raise AssertionError("nothing is sent")

        scope = {"type": "http", "path": path, "method": method, "headers": []}
        await self.app(scope, receive, send)
        return body

    def told(self) -> dict[str, Any]:
        return dict(orjson.loads(asyncio.run(self.ask("/counts"))))


@pytest.fixture
def server() -> Server:
    return Server()


def test_requests_are_counted_by_the_route_that_answered(server: Server) -> None:
    async def some() -> None:
        for path in ("/items/a", "/items/b", "/items/c"):
            await server.ask(path)
        await server.ask("/items/a", "HEAD")
        await server.ask("/search", "POST")

    asyncio.run(some())
    told = server.told()
    assert sorted(told["requests"]) == [
        ["GET", "/items/{item_id}", "2xx", 3],
        ["HEAD", "/items/{item_id}", "2xx", 1],
        ["POST", "/search", "4xx", 1],
    ]
    assert told["pools"] == {"reads": 1}


def test_what_strangers_make_up_is_one_name(server: Server) -> None:
    async def some() -> None:
        for number in range(50):
            await server.ask(f"/made-up/{number}", f"M{number}")
        await server.ask("/items/a/b")

    asyncio.run(some())
    assert sorted(server.told()["requests"]) == [["GET", "(none)", "4xx", 1], ["other", "(none)", "4xx", 50]]


def test_what_breaks_or_is_left_is_counted(server: Server) -> None:
    async def some() -> None:
        with pytest.raises(RuntimeError):
            await server.ask("/items/broken")
        with pytest.raises(asyncio.CancelledError):
            await server.ask("/items/left")

    asyncio.run(some())
    assert server.told()["requests"] == [["GET", "/items/{item_id}", "none", 2]]


def test_durations_are_sorted_into_buckets(server: Server) -> None:
    asyncio.run(server.ask("/items/slow"))
    ((method, route, counts, total_s),) = server.told()["durations"]
    assert (method, route, sum(counts)) == ("GET", "/items/{item_id}", 1)
    assert 0.03 <= total_s < 1
    # `le`: what took exactly so long is within.
    tally = Tally()
    for seconds in (*BUCKETS_S, 1000.0):
        tally.note("GET", "/", 200, seconds)
    assert [*accumulate(tally.told()["durations"][0][2])] == [*range(1, len(BUCKETS_S) + 2)]


def test_counting_costs_hardly_anything() -> None:
    """Less than 20 us a request: the best of some rounds, since machines are busy."""
    bare, measured = Gate(app, ROUTES), Server()

    async def nothing(_: Message) -> None:
        pass

    async def receive() -> Message:
        raise AssertionError("nothing is sent")

    async def took(asked: Any) -> float:
        began = time.perf_counter()
        for _ in range(2000):
            await asked({"type": "http", "path": "/items/a", "method": "GET", "headers": []}, receive, nothing)
        return (time.perf_counter() - began) / 2000

    async def cost() -> float:
        rounds = [(await took(measured.app), await took(bare)) for _ in range(7)]
        return min(with_it for with_it, _ in rounds) - min(without for _, without in rounds)

    assert asyncio.run(cost()) < 20e-6
