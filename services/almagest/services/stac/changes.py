"""What changed, for whoever follows: pages, long polls and server-sent events."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from almagest.catalogue.changes import Change, Changes, Feed, Rows, Wanted
from almagest.catalogue.following import CursorKey
from almagest.catalogue.paging import TokenKey
from almagest.catalogue.versions import Document, Subject
from almagest.services.stac.client import answer
from almagest.services.stac.links import JSON, Links, with_parameters
from almagest.services.stac.waiting import Watch
from almagest.services.web.accept import preferred
from almagest.services.web.pool import Pool

EVENTS = "text/event-stream"
#: nginx hands on what comes as it comes.
_HEADERS = {"Vary": "Accept", "X-Accel-Buffering": "no", "Cache-Control": "no-cache"}
#: Nobody waits longer in one request [s]; nor than nginx waits for an answer, with some time to make it.
LONGEST_WAIT_S, _SPARE_S = 60, 5.0
#: A stream ends after that time, and its client goes on where it was [s].
_STREAM_S = 900.0
#: A stream is never silent for longer [s].
_HEARTBEAT_S = 15.0

Since = Annotated[
    str | None,
    Query(description="A cursor, as an answer gave it. None: what is there, then what changes. `now`: what comes."),
]
Limit = Annotated[int, Query(ge=1, le=1000, description="So many changes at most.")]
Collections = Annotated[str | None, Query(description="Only of these collections, with commas between them.")]
Documents = Annotated[bool, Query(description="With what each item or collection was then.")]
Wait = Annotated[float, Query(ge=0, le=LONGEST_WAIT_S, description="Wait so long for something to come [s].")]
LastEventId = Annotated[str | None, Header(description="As `since`, from a client of events that comes back.")]


@dataclass(frozen=True)
class Follower:
    """Tells the changes of one audience.

    Attributes:
        pool: reads as the audience's role.
        feed: makes the pages.
        watch: where requests wait.
        links: makes links under its base.
        patience_s: nginx waits so long for an answer, or for more of it.
    """

    pool: Pool
    feed: Feed
    watch: Watch
    links: Links
    patience_s: float

    @classmethod
    def of(cls, pool: Pool, key: TokenKey, links: Links, *, outside: bool, patience_s: float) -> Follower:
        """For an audience, by the role that its pool reads as and the key of its tokens."""

        def linked(subject: Subject, document: Document) -> Document:
            stored = document.get("links")
            if subject.item is None:
                return {**document, "links": links.collection(subject.collection, stored)}
            return {**document, "links": links.item(subject.collection, subject.item, stored)}

        feed = Feed(CursorKey(key), outside, linked)
        return cls(pool, feed, Watch(lambda: feed.latest(_asking(pool))), links, patience_s)

    async def page(self, since: str | None, wanted: Wanted, wait_s: float) -> Changes:
        """A page; where there is nothing yet, once there is, or the time is over.

        Raises:
            AlmagestError: the cursor is none, or too many wait already.
        """
        ask = _asking(self.pool)
        until = time.monotonic() + min(wait_s, max(0.0, self.patience_s - _SPARE_S))
        known = await self.watch.latest() if wait_s > 0 else None
        found = await self.feed.page(ask, since, wanted)
        if known is None or found.entries or not found.is_end:
            return found
        with self.watch.seat():
            while not found.entries and (left := until - time.monotonic()) > 0:
                known = await self.watch.changed(known, left)
                async with self.watch.turn:
                    found = await self.feed.page(ask, found.cursor, wanted)
        return found

    async def events(self, first: Changes, wanted: Wanted) -> AsyncIterator[bytes]:
        """Pages as server-sent events, until the time of a stream is over. Whoever calls it has a seat."""
        until = time.monotonic() + _STREAM_S
        beat = min(_HEARTBEAT_S, self.patience_s / 2)
        found = first
        yield b"retry: 2000\n\n"
        while True:
            for entry in found.entries:
                yield _event(entry)
            # Without data it is no event, and yet its id counts.
            yield f": \nid: {found.cursor}\n\n".encode()
            if time.monotonic() > until:
                return
            found = await self._following(found.cursor, wanted, beat)

    async def _following(self, cursor: str, wanted: Wanted, silent_s: float) -> Changes:
        """The next page that tells something, or that of the moment when it has been silent for long enough.

        What is hidden moves the log, too: by when one who waits looks again, nobody may be told that it did.
        """
        ask = _asking(self.pool)
        until = time.monotonic() + silent_s
        while True:
            known = await self.watch.latest()
            async with self.watch.turn:
                found = await self.feed.page(ask, cursor, wanted)
            left = until - time.monotonic()
            if found.entries or left <= 0:
                return found
            cursor = found.cursor
            if found.is_end:
                await self.watch.changed(known, left)

    def document(self, found: Changes, asked: dict[str, str | None]) -> Document:
        """A page as it is served."""
        here = self.links.href("changes")
        own, following = with_parameters(here, **asked), with_parameters(here, **{**asked, "since": found.cursor})
        return {
            "changes": [entry.as_json() for entry in found.entries],
            "cursor": found.cursor,
            "numberReturned": len(found.entries),
            "links": [
                {"rel": "self", "type": JSON, "href": own},
                {"rel": "root", "type": JSON, "href": self.links.base},
                {"rel": "next", "type": JSON, "href": following},
            ],
        }


class Stream(StreamingResponse):
    """Events for one who has a seat, which is free again once they were sent, or nobody took them."""

    def __init__(self, events: AsyncIterator[bytes], seat: ExitStack) -> None:
        """Args:
        events: as they are sent.
        seat: to be left. One that is never sent leaves it as it is thrown away.
        """
        super().__init__(events, media_type=EVENTS, headers=_HEADERS)
        self._seat = seat

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends them."""
        with self._seat:
            await super().__call__(scope, receive, send)


def router(follower: Follower) -> APIRouter:
    """The route that tells changes, for one audience."""
    routes = APIRouter(tags=["Changes"])

    @routes.get("/changes")
    async def changes(
        request: Request,
        since: Since = None,
        limit: Limit = 100,
        collections: Collections = None,
        documents: Documents = False,
        wait: Wait = 0,
        last_event_id: LastEventId = None,
    ) -> Response:
        """Tell what changed since, in an order that can be followed.

        Apply the entries one after the other, the later one over the earlier one, and go on with `cursor`: in the end
        you have what the catalogue has. Nothing is missed, however others write meanwhile; something may come twice.
        """
        names = tuple(dict.fromkeys(name for name in (collections or "").split(",") if name)) or None
        wanted = Wanted(names, documents, limit)
        if preferred(",".join(request.headers.getlist("accept")), (JSON, EVENTS)) == EVENTS:
            with ExitStack() as seat:
                # Once an answer has begun nobody can be sent away.
                seat.enter_context(follower.watch.seat())
                first = await follower.page(last_event_id or since, replace(wanted, limit=min(limit, 100)), 0)
                is_head = request.scope.get("almagest.method") == "HEAD"
                events = _nothing() if is_head else follower.events(first, wanted)
                return Stream(events, seat.pop_all())
        found = await follower.page(since, wanted, wait)
        asked = {
            "since": since,
            "limit": str(limit) if limit != 100 else None,
            "collections": ",".join(names) if names else None,
            "documents": "true" if documents else None,
            "wait": f"{wait:g}" if wait else None,
        }
        response = answer(follower.document(found, asked))
        response.headers.update({"Vary": "Accept"})
        return response

    return routes


def _asking(pool: Pool) -> Any:
    async def ask(statement: str, /, *values: object) -> Rows:
        # None is held between two statements, nor while anybody waits.
        async with pool.connection() as connection:
            return await connection.fetch(statement, *values)

    return ask


def _event(entry: Change) -> bytes:
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (
        entry.cursor.encode(),
        entry.kind.encode(),
        orjson.dumps(entry.as_json()),
    )


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""
