"""The feed of changes and its streams, without a database: what is waited for, walked and remembered."""

from __future__ import annotations

import asyncio
import gc
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import orjson
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from almagest.catalogue import changes as feeds
from almagest.catalogue.changes import Change, Changes, Feed, Rows, Wanted
from almagest.catalogue.following import CursorKey, Place, Position, Seen, Walk
from almagest.catalogue.paging import TokenKey
from almagest.catalogue.versions import Subject
from almagest.core.errors import OverloadedError
from almagest.services.stac import changes
from almagest.services.stac.changes import Follower, Stream
from almagest.services.stac.waiting import Watch

MOMENT = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
KEY = CursorKey(TokenKey(b"secret", "external"))


@dataclass
class Hidden:
    """A feed in which nothing is to be seen, over a log that hidden changes move, or that is quiet."""

    moved: bool
    pages: int = 0
    places: int = 0

    async def latest(self) -> Place:
        self.places += self.moved
        return Place(1, self.places)

    async def page(self, *_: object) -> Changes:
        self.pages += 1
        return Changes([], "cursor", is_end=True)

    def follower(self, seats: int = 1) -> Follower:
        watch = Watch(self.latest, seats=seats, interval_s=0.02)
        return Follower(None, self, watch, None, patience_s=0.6)  # type: ignore[arg-type]


def test_streams_say_nothing_of_hidden_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """They wake up who waits; a comment whenever one is woken would count them."""
    monkeypatch.setattr(changes, "_STREAM_S", 1.0)

    async def told(feed: Hidden) -> tuple[list[bytes], list[float]]:
        blocks, times = [], []
        async for block in feed.follower().events(Changes([], "cursor", is_end=True), Wanted()):
            blocks.append(block)
            times.append(time.monotonic())
        return blocks, times

    quiet, moved = Hidden(moved=False), Hidden(moved=True)
    (before, _), (after, times) = asyncio.run(told(quiet)), asyncio.run(told(moved))
    assert moved.pages > 2 * quiet.pages, "it was woken again and again: this is what is tested"
    assert after == before
    gaps = [later - earlier for earlier, later in itertools.pairwise(times[1:])]
    assert min(gaps) >= 0.3, "the silence that a beat ends"


def test_a_stream_has_its_seat_before_it_begins_and_gives_it_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "_STREAM_S", 0.0)
    follower = Hidden(moved=False).follower()
    app = FastAPI()
    app.include_router(changes.router(follower))
    events = {"accept": "text/event-stream"}
    with TestClient(app) as client:
        with follower.watch.seat(), pytest.raises(OverloadedError):  # no answer has begun
            client.get("/changes", headers=events)
        for _ in range(3):
            assert client.get("/changes", headers=events).status_code == 200

    async def nothing() -> AsyncIterator[bytes]:
        yield b""

    with ExitStack() as seat:
        seat.enter_context(follower.watch.seat())
        never_sent = Stream(nothing(), seat.pop_all())
    with pytest.raises(OverloadedError), follower.watch.seat():
        pass
    del never_sent
    gc.collect()
    with follower.watch.seat():
        pass


class Tail:
    """A log of so many steps of hidden changes behind the last one that is seen."""

    def __init__(self, steps: int) -> None:
        self.steps, self.asked, self.broken = steps, list[int](), False

    async def __call__(self, statement: str, /, *values: object) -> Rows:
        await asyncio.sleep(0)
        if statement == feeds._LATEST:
            return [{"era": 1, "xact": str(self.steps + 10), "sequence": 1}]
        assert statement == feeds._LAST
        number = self.steps + 9 if values[1] is None else int(str(values[1])) - 1
        self.asked.append(number)
        if self.broken and len(self.asked) > 5:
            raise TimeoutError
        row = {"era": 1, "xact": str(number), "sequence": 1, "at": MOMENT, "is_end": False}
        return [{**row, "collection": "c" if number == 10 else None, "item": "i" if number == 10 else None}]


def test_a_long_hidden_tail_is_walked_once_and_by_one_for_all() -> None:
    """Who is cut off has made way for the next; otherwise nobody would ever come to its end."""
    tail, feed = Tail(20), Feed(KEY, outside=True)
    seen = Seen("c", "i", MOMENT)

    async def ask() -> Seen | None:
        return await feed._last_seen(tail, ("rules",))

    async def twice() -> list[Any]:
        return await asyncio.gather(*(ask() for _ in range(5)), return_exceptions=True)

    tail.broken = True
    assert {type(error) for error in asyncio.run(twice())} == {TimeoutError}
    reached = min(tail.asked[:-1])
    tail.broken = False
    tail.asked.clear()
    assert asyncio.run(twice()) == [seen] * 5
    deep = [number for number in tail.asked if number < tail.steps + 9]
    assert len(deep) == len(set(deep)), "by one for all"
    assert max(deep) <= reached, "from where another had to stop"
    assert deep[-1] == 10
    tail.asked.clear()
    assert asyncio.run(ask()) == seen
    assert tail.asked == [tail.steps + 9]


def test_a_collection_ends_where_no_rows_are_left_and_not_where_some_have_gone() -> None:
    """Of an item that goes while its page is made there is a row, and nothing to tell."""
    gone, there = {"i1", "i3"}, [f"i{number}" for number in range(6)]

    async def ask(statement: str, /, *values: Any) -> Rows:
        if statement == feeds._COLLECTIONS:
            return [{"id": "c"}]
        if statement == feeds._COLLECTION:
            return [{"document": "{}", "moment": MOMENT}]
        _, anchor, few = values
        last = "" if anchor is None else orjson.loads(anchor)[0]
        return [
            {
                "sort_values": orjson.dumps([name]),
                "collection": "c",
                "id": name,
                "moment": None if name in gone else MOMENT,
            }
            for name in [name for name in there if name > last][:few]
        ]

    feed = Feed(KEY, outside=False)
    for limit in (2, 3, 4, 100):
        position, told = Position(Place(), Walk("")), list[str | None]()
        while position.walk is not None:
            found, after = asyncio.run(feed._walk(ask, position, Wanted(limit=limit)))
            told += [entry.subject.item for entry in found]
            position = KEY.read(found[-1].cursor, None, "") if len(found) == limit else after
        assert told == [None, "i0", "i2", "i4", "i5"], f"pages of {limit}"


def test_cursors_of_the_longest_ids_are_taken_back() -> None:
    collection, item = '"' * 1024, "\\" * 1024
    position = Position(Seen(collection, item, MOMENT), Walk(collection, (item, collection)), "rules", MOMENT)
    cursor = KEY.print(position, None)
    assert KEY.read(cursor, None, "rules") == position
    assert len(cursor) < 16_000


def test_moments_are_told_in_utc_wherever_the_database_thinks_it_is() -> None:
    elsewhere = MOMENT.astimezone(timezone(timedelta(hours=5)))
    told = Change("created", Subject("c"), elsewhere, "cursor").as_json()
    assert told["datetime"] == "2026-01-02T03:04:05.000006Z"
