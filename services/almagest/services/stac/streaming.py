"""The whole result of a search in one answer: lines of JSON as they are read, or a stac-geoparquet file.

Items are those of the pages in JSON, word for word. They are read a page at a time, each in a moment of its own and
without a connection in between: what somebody moves in the order of the search meanwhile may come twice or not at all.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import anyio
import orjson
from anyio import CapacityLimiter, from_thread, to_thread
from fastapi import FastAPI, Request
from pydantic import PositiveInt, TypeAdapter
from starlette.requests import ClientDisconnect
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from almagest.catalogue.hydration import Document
from almagest.core.errors import BadRequestError, OverloadedError, TooLargeError
from almagest.services.stac.links import GEOJSON, JSON, Links
from almagest.services.stac.search import ItemSearch
from almagest.services.web.accept import preferred
from almagest.services.web.tripwire import HiddenHref, HiddenHrefError

NDJSON = "application/x-ndjson"
PARQUET = "application/vnd.apache.parquet"
#: What else these two are called.
_MEANT = {"application/ndjson": NDJSON, "application/jsonl": NDJSON, "application/x-parquet": PARQUET}
_OFFERED = (GEOJSON, JSON, NDJSON, PARQUET, *_MEANT)

#: nginx hands on what comes as it comes, rather than gather a gigabyte on its disk.
_HEADERS = {"Vary": "Accept", "X-Accel-Buffering": "no"}
#: Files that one process writes at the same time, that wait for that, and that lie there to be sent.
_WRITING, _WAITING, _LYING = 2, 8, 16
_MAX_FILE_BYTES = 4 << 30
_CHUNK_BYTES = 1 << 20
#: Of the time that a request has; the rest is for putting the file together.
_SHARE_FOR_READING = 0.6
_PATHS = (("/search", "get"), ("/search", "post"), ("/collections/{collection_id}/items", "get"))


def wanted(request: Request) -> str | None:
    """The media type of the stream that is asked for, None for a page of GeoJSON."""
    best = preferred(",".join(request.headers.getlist("accept")), _OFFERED)
    best = _MEANT.get(best, best)
    return best if best in {NDJSON, PARQUET} else None


@dataclass
class Streams:
    """Streams of one audience.

    Attributes:
        search: the search core of this audience.
        most: items in one stream.
        timeout_s: nginx waits so long for the first bytes.
        hidden: what may not leave, for files, which nobody else can look into on their way out; None: anything may.
    """

    search: ItemSearch
    most: int
    timeout_s: float
    hidden: HiddenHref | None = None
    _writing: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(_WRITING), init=False)
    _lying: int = field(default=0, init=False)

    async def open(
        self, media_type: str, search: Mapping[str, Any], links: Links, asked: object
    ) -> tuple[list[Document], AsyncIterator[list[Document]]]:
        """The first page of a search, empty where nothing is found, and those behind it.

        Args:
            media_type: what :func:`wanted` said.
            search: body of a STAC item search.
            links: makes the items' links.
            asked: the limit as the client wrote it; None: everything.

        Raises:
            AlmagestError: the search is malformed, or it finds too much to begin with.
        """
        if search.get("token"):
            raise BadRequestError("token: a stream holds the whole result and has no pages. Leave the token away.")
        fields = search.get("fields") or {}
        if media_type == PARQUET and (fields.get("include") or fields.get("exclude")):
            raise BadRequestError("fields: the rows of a file are whole items. Leave `fields` away, or ask for ndjson.")
        limit = None if asked is None else TypeAdapter(PositiveInt).validate_python(asked)
        if limit is not None and limit > self.most:
            raise BadRequestError(f"limit: a stream has at most {self.most:,} items. Ask for pages of GeoJSON.")
        pages = self._pages(search, links, limit)
        return await anext(pages, []), pages

    async def answer(
        self,
        media_type: str,
        request: Request,
        first: list[Document],
        pages: AsyncIterator[list[Document]],
    ) -> Response:
        """All pages as one answer of this media type.

        Raises:
            AlmagestError: a file of all this cannot be made now.
        """
        if request.scope.get("almagest.method") == "HEAD":
            return StreamingResponse(_nothing(), media_type=media_type, headers=_HEADERS)
        if media_type == NDJSON:
            return StreamingResponse(_lines(first, pages), media_type=NDJSON, headers=_HEADERS)
        return await self._file(request, first, pages)

    async def _pages(self, search: Mapping[str, Any], links: Links, limit: int | None) -> AsyncIterator[list[Document]]:
        count = 0
        async for page in self.search.stream(search, links, limit or self.most + 1):
            count += len(page)
            if count > self.most:
                # Where something is sent already, the connection breaks off: half a result must not look like a whole.
                raise TooLargeError(
                    f"More than {self.most:,} items are found, too many for one stream. Narrow the search down, set a"
                    " limit, or ask for pages of GeoJSON."
                )
            yield page

    async def _file(self, request: Request, first: list[Document], pages: AsyncIterator[list[Document]]) -> Response:
        if self._writing.statistics().tasks_waiting >= _WAITING or self._lying >= _LYING:
            raise OverloadedError("Too many files are being made. Try again in a moment, or ask for ndjson.")
        deadline = time.monotonic() + self.timeout_s * _SHARE_FOR_READING

        async def following() -> list[Document] | None:
            if time.monotonic() > deadline:
                raise OverloadedError("A file of all this takes too long to make. Narrow it down, or ask for ndjson.")
            if await request.is_disconnected():
                raise ClientDisconnect
            return self._harmless(await anext(pages, None))

        self._lying += 1
        try:
            file = await to_thread.run_sync(_write, self._harmless(first), following, limiter=self._writing)
        except BaseException:
            self._gone()
            raise
        return FileAnswer(file, self._gone)

    def _gone(self) -> None:
        self._lying -= 1

    def _harmless(self, page: list[Document] | None) -> list[Document] | None:
        if page and self.hidden is not None and self.hidden.found_in(orjson.dumps(page)):
            raise HiddenHrefError
        return page


class FileAnswer(StreamingResponse):
    """A file, which is let go when it is sent, or when nobody is there any more to send it to.

    The generator of its chunks could not see to that: where the client has left already, it is never begun.
    """

    def __init__(self, file: IO[bytes], gone: Callable[[], None]) -> None:
        size = file.seek(0, 2)
        disposition = {"Content-Disposition": 'attachment; filename="items.parquet"', "Content-Length": str(size)}
        super().__init__(_chunks(file), media_type=PARQUET, headers={**_HEADERS, **disposition})
        self._file, self._gone = file, gone

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._file.close()
            self._gone()


async def _chunks(file: IO[bytes]) -> AsyncIterator[bytes]:
    file.seek(0)
    while chunk := await to_thread.run_sync(file.read, _CHUNK_BYTES):
        yield chunk


def _write(first: list[Document] | None, following: Any) -> IO[bytes]:
    """Writes pages into a file without a name: it is gone as soon as it is closed, whoever does that."""
    from almagest.catalogue import exchange

    with tempfile.TemporaryDirectory(prefix="almagest-parquet-") as folder:
        target = Path(folder) / "items.parquet"
        with exchange.writer("geoparquet", target) as writer:
            page = first
            while page is not None:
                for document in page:
                    writer.write(document)
                if sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file()) > _MAX_FILE_BYTES:
                    raise TooLargeError("The file would be too large. Narrow the search down, or ask for ndjson.")
                page = from_thread.run(following)
        return target.open("rb")


async def _lines(first: list[Document], pages: AsyncIterator[list[Document]]) -> AsyncIterator[bytes]:
    yield _printed(first)
    async for page in pages:
        yield _printed(page)


def _printed(page: list[Document]) -> bytes:
    return b"".join(orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE) for document in page)


async def _nothing() -> AsyncIterator[bytes]:
    await anyio.lowlevel.checkpoint()
    return
    yield b""


def describe(app: FastAPI) -> None:
    """Say in the app's OpenAPI description which further media types its searches have."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = plain()
            for path, method in _PATHS:
                content = app.openapi_schema["paths"][path][method]["responses"]["200"]["content"]
                content[NDJSON] = {
                    "schema": {"type": "string", "description": "The whole result, an item in each line; no paging."}
                }
                content[PARQUET] = {
                    "schema": {
                        "type": "string",
                        "format": "binary",
                        "description": "The whole result as stac-geoparquet, an item in each row; no paging.",
                    }
                }
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's own way
