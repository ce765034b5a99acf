"""A closed loop of clients: each sends its next request when it has read the last answer whole."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import urlsplit

import orjson
import uvloop

_CONNECTION_BYTES = 1 << 24


@dataclass(frozen=True)
class Server:
    """A server under test.

    Attributes:
        port: it listens there, on loopback.
        prefix: path of its API, without a trailing slash.
        headers: go with each request.
    """

    port: int
    prefix: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


class Request(NamedTuple):
    """A request: with a body it is a POST.

    Attributes:
        path: below the server's prefix.
        body: JSON.
        follow: so many pages that come after the first are asked for, too.
    """

    path: str
    body: bytes = b""
    follow: int = 0


class Load(NamedTuple):
    """What was measured.

    Attributes:
        rate: answers in a second.
        latencies: of each request [s], in the order of the answers.
        bytes: of one answer's body, on average.
        wal: what one request made the database write [bytes].
    """

    rate: float
    latencies: tuple[float, ...]
    bytes: float
    wal: float = 0.0

    def percentile(self, share: float) -> float:
        """Such a share of all requests took at most so long [s]."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def run(server: Server, requests: Sequence[Request], clients: int, seconds: float) -> Load:
    """Asks for these in turns, for so long and at least once by each client.

    Raises:
        ExceptionGroup: an answer is not 200.
    """
    return uvloop.run(_run(server, requests, clients, seconds))


def answers(server: Server, requests: Sequence[Request]) -> list[bytes]:
    """The bodies of the answers, one after the other.

    Raises:
        RuntimeError: an answer is not 200.
    """

    async def each() -> list[bytes]:
        async with Connection(server) as connection:
            return [await connection.ask(request) for request in requests]

    return uvloop.run(each())


async def _run(server: Server, requests: Sequence[Request], clients: int, seconds: float) -> Load:
    remaining = itertools.cycle(requests)
    latencies: list[float] = []
    sizes: list[int] = []
    start = time.perf_counter()

    async def client() -> None:
        async with Connection(server) as connection:
            while True:
                request: Request | None = next(remaining)
                while request is not None:
                    begun = time.perf_counter()
                    body = await connection.ask(request)
                    latencies.append(time.perf_counter() - begun)
                    sizes.append(len(body))
                    request = _following(server, request, body) if request.follow else None
                if time.perf_counter() - start > seconds:
                    return

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(client())
    return Load(len(latencies) / (time.perf_counter() - start), tuple(latencies), sum(sizes) / len(sizes))


def _following(server: Server, request: Request, body: bytes) -> Request | None:
    link = next((link for link in orjson.loads(body)["links"] if link["rel"] == "next"), None)
    if link is None:
        return None
    # Some say with the link only what is to be added to the body.
    asked = {**(orjson.loads(request.body) if request.body else {}), **link.get("body", {})}
    path = urlsplit(link["href"])
    return Request(path.path.removeprefix(server.prefix), orjson.dumps(asked), request.follow - 1)


class Connection:
    """One connection that stays open."""

    def __init__(self, server: Server) -> None:
        self.server = server

    async def __aenter__(self) -> Connection:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.server.port, limit=_CONNECTION_BYTES)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()

    async def ask(self, request: Request) -> bytes:
        fields = {"Host": f"127.0.0.1:{self.server.port}", **self.server.headers}
        if request.body:
            fields |= {"Content-Type": "application/json", "Content-Length": str(len(request.body))}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        method = "POST" if request.body else "GET"
        path = f"{self.server.prefix}{request.path}"
        self.writer.write(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + request.body)
        status, body = await self._answer()
        if status != 200:
            raise RuntimeError(f"{self.server}: {request}: {status} {body[:500]!r}")
        return body

    async def _answer(self) -> tuple[int, bytes]:
        lines = (await self.reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
        status = int(lines[0].split(b" ", 2)[1])
        fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
        if b"content-length" in fields:
            return status, await self.reader.readexactly(int(fields[b"content-length"]))
        chunks = []
        while size := int((await self.reader.readuntil(b"\r\n")).split(b";")[0], 16):
            chunks.append(await self.reader.readexactly(size))
            await self.reader.readexactly(2)
        await self.reader.readexactly(2)
        return status, b"".join(chunks)
