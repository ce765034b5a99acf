"""One catalogue with the applications of its external audience, called in process.

nginx is left out: it knows nothing of what is in the catalogue.
"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from fastapi import FastAPI

from almagest.core.settings import Settings
from almagest.services.leaks.requests import PREFIXES, Request
from almagest.services.stac.app import PREFIXES as STAC_PREFIXES
from almagest.services.stac.app import create_app as stac
from almagest.services.stac.changes import EVENTS
from almagest.services.tiles.app import create_app as tiles

#: The same for every request of both sides, so that it makes no difference.
REQUEST_ID = b"0" * 32
#: In a stream of events: what there was to tell is told, and from here on only time passes.
_TOLD = b": \nid: "
#: Answers that a busy machine gives; the promise is not about time.
_BUSY = frozenset({503, 504})


@dataclass(frozen=True)
class Answer:
    """What came back.

    Attributes:
        status: of HTTP; 0 where the application broke off.
        headers: in the order in which they were sent.
        body: all of it.
    """

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes

    def header(self, name: bytes) -> str | None:
        """The first header of a name."""
        return next((value.decode("latin-1") for key, value in self.headers if key == name), None)


@dataclass(frozen=True)
class Side:
    """One of two catalogues.

    Attributes:
        settings: whose catalogue.
        apps: by name; `internal` is the STAC API inside, which is asked for its paging tokens.
    """

    settings: Settings
    apps: dict[Literal["stac", "tiles", "internal"], FastAPI]

    async def ask(self, request: Request, *, inside: bool = False) -> Answer:
        """The answer to a request; a busy machine is asked once more.

        Args:
            request: what is asked.
            inside: ask the internal STAC API instead, with a key that may read.
        """
        answer = await self._ask(request, inside=inside)
        if answer.status in _BUSY:
            await asyncio.sleep(1)
            answer = await self._ask(request, inside=inside)
        return answer

    async def _ask(self, request: Request, *, inside: bool) -> Answer:
        prefix = STAC_PREFIXES["internal"] if inside else PREFIXES[request.app]
        headers = [(b"host", b"localhost"), (b"x-request-id", REQUEST_ID)]
        headers += [(b"x-scopes", b"catalogue:read")] if inside else []
        headers += [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in request.headers]
        if request.body is not None:
            if not any(name == b"content-type" for name, _ in headers):
                headers.append((b"content-type", b"application/json"))
            headers.append((b"content-length", str(len(request.body)).encode()))
        path, _, query = request.target.partition("?")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": "http",
            # nginx leaves the prefix in, and the server decodes.
            "path": unquote(prefix + path),
            "raw_path": (prefix + path).encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": headers,
            "client": ("192.0.2.1", 1),
            "server": ("localhost", 80),
        }
        return await _call(self.apps["internal" if inside else request.app], scope, request.body or b"")


@asynccontextmanager
async def open_side(settings: Settings) -> AsyncIterator[Side]:
    """A side whose applications are up. All of it belongs to one event loop."""
    assert urlsplit(settings.site.origin).netloc, "links are built from it"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        side = Side(
            settings,
            {
                "stac": stac(settings, "external"),
                "tiles": tiles(settings, "external"),
                "internal": stac(settings, "internal"),
            },
        )
    async with AsyncExitStack() as stack:
        for app in side.apps.values():
            await stack.enter_async_context(app.router.lifespan_context(app))
        yield side


async def _call(app: FastAPI, scope: dict[str, Any], body: bytes) -> Answer:
    status = 0
    headers: tuple[tuple[bytes, bytes], ...] = ()
    parts: list[bytes] = []
    received = False
    left = asyncio.Event()

    async def receive() -> dict[str, Any]:
        nonlocal received
        if received:
            await left.wait()  # nobody hangs up before the answer has come
            return {"type": "http.disconnect"}
        received = True
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        nonlocal status, headers
        if left.is_set():
            return
        if message["type"] == "http.response.start":
            status, headers = message["status"], tuple((bytes(n), bytes(v)) for n, v in message["headers"])
        elif message["type"] == "http.response.body":
            parts.append(message.get("body", b""))
            if parts[-1].startswith(_TOLD) and any(value.startswith(EVENTS.encode()) for _, value in headers):
                left.set()

    try:
        await app(scope, receive, send)
    except Exception as error:  # what a server would answer by breaking off
        return Answer(0, (), f"{type(error).__name__}: {error}".encode())
    return Answer(status, headers, b"".join(parts))
