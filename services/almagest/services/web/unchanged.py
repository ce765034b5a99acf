"""Sends an answer again as long as nothing was committed that it depends on, and makes one for many who ask at once.

What is kept is keyed by an epoch (`sql/versions/functions/05_epochs.sql`), which is looked up before an answer is made
and before it is sent again: no answer is older than the look-up. What was never asked before costs none.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import orjson
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from almagest.core.errors import AlmagestError
from almagest.services.web.etags import is_known, not_modified
from almagest.services.web.problem import MEDIA_TYPE as PROBLEM_JSON

#: Looks up the epoch of some collections, or (None) of all.
Epoch = Callable[[Sequence[str] | None], Awaitable[int]]

_PATHS = re.compile(
    r"/|/search|/pair-search|/(?:queryables|aggregations|aggregate|coverage)|/collections"
    r"|/collections/(?P<collection>[^/]+)(/items|/queryables|/aggregations|/aggregate)?"
)
_MEDIA_TYPES = frozenset({"application/json", "application/geo+json", "application/schema+json", "text/html"})
#: Bodies of searches that are longer are not kept.
_MAX_BODY_BYTES = 64 << 10
#: What an answer takes beside its body: its headers, and where it is noted.
_OVERHEAD_BYTES = 2 << 10
#: Requests that are known to have been asked.
_MAX_KNOWN = 20_000
#: Longest time that an answer is kept: what no epoch tells of changes it after that time.
_LIFE_S = 60.0


@dataclass(frozen=True)
class Answer:
    """An answer, whole: a document, or a problem.

    Attributes:
        status: 200 of a document.
        headers: as the app sets them, a document's with an ETag.
        body: all of it.
        etag: the document's tag, in quotes.
    """

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    etag: str | None

    async def send(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request, with 304 where the client has it already and asks by GET (RFC 9110, section 13.1.2)."""
        if scope["method"] == "GET" and self.etag is not None and is_known(Request(scope), self.etag):
            response = not_modified(self.etag)
            response.headers.update(dict(self._of_both()))
            await response(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": self.status, "headers": [*self.headers]})
        await send({"type": "http.response.body", "body": self.body})

    @property
    def may_be_kept(self) -> bool:
        """Whether it is a document, and the app does not say that it is of this moment alone."""
        return self.etag is not None and "no-store" not in Headers(raw=[*self.headers]).get("cache-control", "")

    def _of_both(self) -> list[tuple[str, str]]:
        given = Headers(raw=[*self.headers])
        return [(name, given[name]) for name in ("vary", "cache-control") if name in given]


@dataclass
class Unchanged:
    """Stands directly in front of an app, behind the gate: who comes as far as this may read what others read.

    Attributes:
        app: the app.
        epoch: looks up an epoch.
        most_bytes: of all answers that are kept; 0: none is.
    """

    app: ASGIApp
    epoch: Epoch
    most_bytes: int
    _known: OrderedDict[bytes, None] = field(default_factory=OrderedDict, init=False)
    _kept: OrderedDict[bytes, tuple[int, float, Answer]] = field(default_factory=OrderedDict, init=False)
    _flights: dict[tuple[bytes, int], asyncio.Future[Answer | None]] = field(default_factory=dict, init=False)
    _bytes: int = field(default=0, init=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        path = _PATHS.fullmatch(_below(scope)) if scope["type"] == "http" else None
        is_search = path is not None and path[0] == "/search"
        if path is None or not (scope["method"] == "GET" or is_search):
            await self.app(scope, receive, send)
            return
        body = b""
        if scope["method"] == "POST":
            body, receive = await _read(receive)
        key = _key(scope, body)
        if len(body) > _MAX_BODY_BYTES or not (self.most_bytes and self._is_known(key)):
            await self._made(scope, receive, send)
            return
        try:
            epoch = await self.epoch(_collections(scope, path, body))
        except AlmagestError:
            await self.app(scope, receive, send)  # which says what is wrong
            return
        answer = self._found(key, epoch)
        while answer is None and (flight := self._flights.get((key, epoch))):
            answer = await asyncio.shield(flight)  # None: it came to nothing, and one of those who waited tries again
        if answer is not None:
            await answer.send(scope, receive, send)
        else:
            await self._fly(key, epoch, scope, receive, send)

    async def _fly(self, key: bytes, epoch: int, scope: Scope, receive: Receive, send: Send) -> None:
        """Makes an answer that all get who ask for it meanwhile."""
        flight: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        self._flights[key, epoch] = flight

        def landed(answer: Answer | None) -> None:
            if answer is not None and answer.may_be_kept:
                self._keep(key, epoch, answer)
            if self._flights.get((key, epoch)) is flight:
                del self._flights[key, epoch]
            if not flight.done():
                flight.set_result(answer)

        try:
            await self._made(scope, receive, send, landed)
        finally:
            landed(None)

    async def _made(
        self, scope: Scope, receive: Receive, send: Send, landed: Callable[[Answer | None], None] = lambda _: None
    ) -> None:
        # What a client has already is for us to say: the app's 304 could not be kept for others.
        asked = [(name, value) for name, value in scope["headers"] if name != b"if-none-match"]
        capture = _Capture(scope, receive, send, landed)
        await self.app({**scope, "headers": asked}, receive, capture)

    def _is_known(self, key: bytes) -> bool:
        """Whether it was asked before; from now on it was."""
        if key in self._known:
            self._known.move_to_end(key)
            return True
        self._known[key] = None
        if len(self._known) > _MAX_KNOWN:
            self._known.popitem(last=False)
        return False

    def _found(self, key: bytes, epoch: int) -> Answer | None:
        then, until, answer = self._kept.get(key, (None, 0.0, None))
        if then != epoch or time.monotonic() > until:
            return None
        self._kept.move_to_end(key)
        return answer

    def _keep(self, key: bytes, epoch: int, answer: Answer) -> None:
        if (former := self._kept.pop(key, None)) is not None:
            self._bytes -= _size(former[2])
        # One page must not push out all others.
        if _size(answer) > self.most_bytes / 4:
            return
        self._kept[key] = (epoch, time.monotonic() + _LIFE_S, answer)
        self._bytes += _size(answer)
        while self._bytes > self.most_bytes:
            _, (_, _, oldest) = self._kept.popitem(last=False)
            self._bytes -= _size(oldest)


@dataclass
class _Capture:
    """Takes a document or a problem that comes in one piece, and gives a document a tag; hands on whatever else it is.

    Attributes:
        landed: is told the answer, or None as soon as it is none for others: a stream may take a client hours.
    """

    scope: Scope
    receive: Receive
    send: Send
    landed: Callable[[Answer | None], None]
    _start: Message | None = field(default=None, init=False)

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and (_is_document(message) or _is_problem(message)):
            self._start = message
            return
        start, self._start = self._start, None
        if start is None:
            self.landed(None)
            await self.send(message)
        elif message["type"] != "http.response.body" or message.get("more_body"):
            self.landed(None)
            await self.send(start)
            await self.send(message)
        else:
            answer = _whole(start, message.get("body", b""))
            self.landed(answer)
            await answer.send(self.scope, self.receive, self.send)


def _size(answer: Answer) -> int:
    """What it takes, about; without its body, which may be short, a kilobyte or two [bytes]."""
    return len(answer.body) + _OVERHEAD_BYTES


def _is_document(start: Message) -> bool:
    return start["status"] == 200 and _media_type(start) in _MEDIA_TYPES


def _is_problem(start: Message) -> bool:
    return start["status"] >= 400 and _media_type(start) == PROBLEM_JSON


def _media_type(start: Message) -> str:
    return Headers(raw=start["headers"]).get("content-type", "").partition(";")[0].strip()


def _whole(start: Message, body: bytes) -> Answer:
    headers = MutableHeaders(raw=[*start["headers"]])
    tag = None
    if _is_document(start):
        # Documents bring the tag of what is stored; that of a page is the hash of what is sent.
        tag = headers.setdefault("ETag", f'"{hashlib.sha256(body).hexdigest()[:32]}"')
    return Answer(start["status"], tuple(headers.raw), body, tag)


def _below(scope: Scope) -> str:
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", "")) or "/"


def _key(scope: Scope, body: bytes) -> bytes:
    named = (b",".join(value for name, value in scope["headers"] if name == of) for of in (b"accept", b"content-type"))
    parts = (scope["method"].encode(), scope["path"].encode(), scope["query_string"], *named, body)
    return hashlib.sha256(b"\0".join(hashlib.sha256(part).digest() for part in parts)).digest()


def _collections(scope: Scope, path: re.Match[str], body: bytes) -> list[str] | None:
    """The collections that an answer is about; None: it may be about any."""
    if path["collection"] is not None:
        return [path["collection"]]
    if path[0] != "/search":
        return None
    given: Any = None
    if scope["method"] == "GET":
        listed = parse_qs(scope["query_string"].decode("latin-1")).get("collections", [])
        given = [name for text in listed for name in text.split(",")]
    else:
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError:
            return None
        given = document.get("collections") if isinstance(document, dict) else None
    is_list = isinstance(given, list) and given and all(isinstance(name, str) and "\0" not in name for name in given)
    return given if is_list else None


async def _read(receive: Receive) -> tuple[bytes, Receive]:
    """The body of a request, as far as it may be kept, and what gives it to the app again."""
    messages: list[Message] = []
    size = 0
    while size <= _MAX_BODY_BYTES:
        message = await receive()
        messages.append(message)
        size += len(message.get("body", b""))
        if not message.get("more_body"):
            break
    body = b"".join(message.get("body", b"") for message in messages)
    remaining = iter(messages)

    async def again() -> Message:
        message = next(remaining, None)
        return await receive() if message is None else message

    return body, again
