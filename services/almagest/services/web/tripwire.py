"""The last look at what goes outside. It should never find anything: hidden things are taken out in the database."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import structlog
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from almagest.core.settings import Settings
from almagest.services.web.problem import internal_problem

log = structlog.get_logger(__name__)

_TEXT = re.compile(
    r"(text/|application/([a-z.+-]+\+)?(json|(x-)?ndjson|xml|yaml|geojson|javascript)|application/json-seq)", re.I
)
_SPACES = 16


class HiddenHrefError(Exception):
    """Something hidden stood in an answer that had begun; the connection is cut."""


@dataclass(frozen=True)
class HiddenHref:
    """Finds, in a stream of text, a member ``href`` with an address that outsiders never see.

    Attributes:
        pattern: matches such a member as soon as enough of its value is there to tell.
        overlap: as much of the end of a chunk may be needed to tell.
    """

    pattern: re.Pattern[bytes]
    overlap: int

    @classmethod
    def of(cls, settings: Settings) -> HiddenHref:
        """What the settings of this catalogue hide: other schemes, other buckets, and our own internal addresses."""
        origin = _ourselves(settings.site.origin)
        shown = [
            # As the database compares them: schemes in any letters, and a bucket may stand alone.
            f"(?!{origin}/(?!external/))(?i:{'|'.join(settings.audience.visible_schemes) or '(?!)'})://",
            *(
                f'(?i:s3)://{re.escape(bucket)}[/?#"]'
                for bucket in settings.audience.visible_buckets
                if bucket != settings.s3.bucket
            ),
        ]
        # This much of a value tells it from all of these.
        enough = max(len(settings.site.origin) + len("s.:0000443/external/"), len("s3:///") + 63)
        # A backslash before it: the quote is part of a text, or of a longer name. Looked at last, so that the search
        # for the word can leap.
        member = f'"href"(?<=[^\\\\]"href")\\s{{0,{_SPACES}}}:\\s{{0,{_SPACES}}}"'
        pattern = f'{member}(?!{"|".join(shown)})(?=[^"]{{{enough}}}|[^"]{{1,{enough}}}")'
        return cls(re.compile(pattern.encode()), len(' "href":"') + 2 * _SPACES + enough)

    def found_in(self, text: bytes) -> bool:
        """Whether there is one."""
        return self.pattern.search(text) is not None


def _ourselves(origin: str) -> str:
    """A pattern for our own origin in the ways in which it can be written, as the database knows them."""
    address = urlsplit(origin)
    host = f"(?i:{re.escape(address.netloc.rpartition(':')[0] if address.port else address.netloc)})\\.?"
    if address.port not in {None, 80 if address.scheme == "http" else 443}:
        return f"(?i:https?)://{host}:0*{address.port}"
    return f"((?i:http)://{host}(:(0*80)?)?|(?i:https)://{host}(:(0*443)?)?)"


@dataclass
class Tripwire:
    """Turns an answer that holds something hidden into a 500; one that has begun already breaks off.

    No more than the end of the last chunk is kept.

    Attributes:
        app: the app behind it.
        hidden: what is looked for.
    """

    app: ASGIApp
    hidden: HiddenHref

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        watch = _Watch(self.hidden, scope, receive, send)
        await self.app(scope, receive, watch)


@dataclass
class _Watch:
    """What one answer goes through."""

    hidden: HiddenHref
    scope: Scope
    receive: Receive
    send: Send
    _start: Message | None = field(default=None, init=False)
    _tail: bytes = field(default=b"", init=False)
    _is_text: bool = field(default=False, init=False)
    _is_over: bool = field(default=False, init=False)

    async def __call__(self, message: Message) -> None:
        if self._is_over:
            return
        if message["type"] == "http.response.start":
            # Held back until the first bytes are known to be harmless: after it, no other answer can be given.
            self._start = message
            self._is_text = _TEXT.match(Headers(raw=message["headers"]).get("content-type", "")) is not None
            return
        if message["type"] == "http.response.body" and self._is_text:
            text = self._tail + message.get("body", b"")
            if self.hidden.found_in(text):
                await self._trip()
                return
            self._tail = text[-self.hidden.overlap :]
        if self._start is not None:
            start, self._start = self._start, None
            await self.send(start)
        await self.send(message)

    async def _trip(self) -> None:
        self._is_over = True
        log.critical("something hidden was about to leave", path=self.scope["path"], begun=self._start is None)
        if self._start is None:
            raise HiddenHrefError
        await internal_problem()(self.scope, self.receive, self.send)
