"""What changed, a page at a time: first what is there, then the log of changes. Over any connection, for any audience.

Whoever applies the entries in their order, the later one over the earlier one, has in the end what the catalogue has.
The order is that of the log, not of time: what one transaction wrote stands together, once all that could stand before
it has ended.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol

import orjson

from almagest.catalogue.following import CursorGoneError, CursorKey, Nothing, Place, Position, Seen, Walk
from almagest.catalogue.hydration import documents
from almagest.catalogue.moments import printed
from almagest.catalogue.reserved import CANARY
from almagest.catalogue.versions import Document, Subject, version_of
from almagest.core.errors import UnreadableError

#: Of the log, in one statement: what is passed by counts one, what outsiders are asked about a hundred.
STEPS = 50_000
#: Positions of outsiders of which is remembered how far nothing is to be seen behind them.
_REMEMBERED = 1000

_PAGE = """
    SELECT era, xact::text, sequence, collection, item, at, moment, kind, is_end
    FROM changes_page($1, $2::text::xid8, $3, $4, $5, $6)
"""
_LATEST = "SELECT era, xact::text, sequence FROM latest_change()"
_HORIZON = "SELECT era, xact::text FROM change_horizon()"
_LAST = """
    SELECT era, xact::text, sequence, collection, item, at, is_end FROM last_change($1, $2::text::xid8, $3, $4)
"""
_PLACE = "SELECT era, xact::text, sequence FROM place_of_change($1, $2, $3, $4)"
_KEPT = "SELECT place_kept($1, $2::text::xid8, $3) AS kept"
_FLOOR = "SELECT at, dropped FROM change_floor()"
_RULES = "SELECT shown_rules() AS rules, epoch(ARRAY[]::text[]) AS epoch"
_COLLECTIONS = "SELECT id FROM collection_ids() AS c(id)"
_COLLECTION = """
    SELECT collection_document($1)::text AS document,
           (SELECT s.valid_from FROM collection_states($1, NULL, 1) AS s) AS moment
"""
_ITEMS = """
    SELECT r.item, r.base, r.sort_values, r.collection, r.id, r.geometry,
           (SELECT s.valid_from FROM item_states(r.collection, r.id, NULL, 1) AS s) AS moment
    FROM search_page($1::text::jsonb, $2::text::jsonb, false, $3) AS r
"""
_ITEM_DOCUMENTS = """
    SELECT e.n, r.item, r.base
    FROM unnest($1::text[], $2::text[], $3::timestamptz[]) WITH ORDINALITY AS e(collection, item, at, n),
         LATERAL item_row_at(e.collection, e.item, e.at) AS r
"""
_COLLECTION_DOCUMENTS = """
    SELECT e.n, collection_document_at(e.collection, e.at)::text AS document
    FROM unnest($1::text[], $2::timestamptz[]) WITH ORDINALITY AS e(collection, at, n)
"""

Rows = Sequence[Mapping[str, Any]]
#: Makes of a stored document one that is sent.
Linked = Callable[[Subject, Document], Document]


class Ask(Protocol):
    """Asks the database one statement, with numbered parameters, as the role of the audience."""

    def __call__(self, statement: str, /, *values: object) -> Awaitable[Rows]:
        """All rows, by the names of their columns."""


@dataclass(frozen=True)
class Change:
    """One entry of the feed.

    Attributes:
        kind: created, updated, deleted or restored.
        subject: the item, or the collection.
        moment: since when the state holds.
        cursor: goes on behind this entry.
        document: what it was then, where it was asked for; None also for what was deleted or cannot be read.
    """

    kind: str
    subject: Subject
    moment: datetime
    cursor: str
    document: Document | None = None

    def as_json(self) -> Document:
        """As it is sent."""
        item = {} if self.subject.item is None else {"item": self.subject.item}
        return {
            "type": self.kind,
            "collection": self.subject.collection,
            **item,
            "version": version_of(self.moment),
            "datetime": printed(self.moment),
            **({} if self.document is None else {"document": self.document}),
        }


@dataclass(frozen=True)
class Changes:
    """A page of the feed.

    Attributes:
        entries: in their order.
        cursor: goes on behind them.
        is_end: nothing more is there for now.
    """

    entries: list[Change]
    cursor: str
    is_end: bool


@dataclass(frozen=True)
class Wanted:
    """What somebody follows.

    Attributes:
        collections: changes of these; None: of all.
        documents: with what they were then.
        limit: so many entries at most.
    """

    collections: tuple[str, ...] | None = None
    documents: bool = False
    limit: int = 100


@dataclass
class Feed:
    """The feed of one audience.

    Attributes:
        key: signs its cursors.
        outside: it is that of outsiders.
        linked: makes of a stored document one that is sent.
    """

    key: CursorKey
    outside: bool
    linked: Linked = field(default=lambda _, document: document)
    #: Behind these nothing is to be seen up to there. Where nothing is remembered, it is looked for once more.
    _passed: OrderedDict[tuple[Any, ...], Place] = field(default_factory=OrderedDict, init=False)
    #: By which rules, the place up to which it is known, and the last change that outsiders are told of up to there.
    _last: tuple[Any, Place, Seen | None] | None = field(default=None, init=False)
    #: By which rules, from where, and how far back it was looked for by one who has not come to an end.
    _reached: tuple[Any, Place, Place] | None = field(default=None, init=False)
    _walking: asyncio.Task[None] | None = field(default=None, init=False)

    async def page(self, ask: Ask, since: str | None, wanted: Wanted) -> Changes:
        """What comes behind a cursor; without one, what is there from the beginning; behind `now`, nothing yet.

        Raises:
            BadRequestError: the cursor is none of ours.
            CursorGoneError: what came behind it cannot be told any more.
        """
        rules, epoch = await self._rules(ask)
        if since is None or since == "now":
            position = await self._beginning(ask, rules, epoch)
            if since is not None:
                return Changes([], self.key.print(position, wanted.collections), is_end=True)
            position = replace(position, walk=Walk(""))
        else:
            position = self.key.read(since, wanted.collections, rules)
        place = await self._place(ask, position)
        if position.walk is not None:
            entries, position = await self._walk(ask, position, wanted)
            if entries:
                return Changes(entries, entries[-1].cursor, is_end=False)
        return await self._log(ask, position, place, wanted, epoch)

    # What is there.

    async def _walk(self, ask: Ask, position: Position, wanted: Wanted) -> tuple[list[Change], Position]:
        walk, entries = position.walk, list[Change]()
        assert walk is not None
        known = sorted(row["id"] for row in await ask(_COLLECTIONS))
        names = [
            name for name in known if name != CANARY and (wanted.collections is None or name in wanted.collections)
        ]
        while len(entries) < wanted.limit:
            if walk.collection in names:
                few = wanted.limit - len(entries)
                found, walk, read = await self._items(ask, position, walk, wanted, few)
                entries += found
                if read == few:  # of which some may have gone meanwhile
                    continue
            following = next((name for name in names if name > walk.collection), None)
            if following is None:
                return entries, position.after(position.log)
            walk = Walk(following)
            row = (await ask(_COLLECTION, following))[0]
            if row["document"] is not None and row["moment"] is not None:
                subject = Subject(following)
                document = self._shown(subject, row) if wanted.documents else None
                cursor = self.key.print(replace(position, walk=walk), wanted.collections)
                entries.append(Change("created", subject, row["moment"], cursor, document))
        return entries, position

    async def _items(
        self, ask: Ask, position: Position, walk: Walk, wanted: Wanted, few: int
    ) -> tuple[list[Change], Walk, int]:
        """Entries of the next few items, how far the walk has come with them, and how many items it has passed."""
        search = {"collections": [walk.collection], "sortby": [{"field": "id", "direction": "asc"}]}
        anchor = None if walk.anchor is None else orjson.dumps(walk.anchor).decode()
        rows = await ask(_ITEMS, orjson.dumps(search).decode(), anchor, few)
        # Rows as sequences, as they were selected.
        whole = [*documents([tuple(row.values()) for row in rows])] if wanted.documents else [None] * len(rows)
        entries = []
        for row, document in zip(rows, whole, strict=True):
            walk = Walk(walk.collection, tuple(orjson.loads(row["sort_values"])))
            subject = Subject(row["collection"], row["id"])
            cursor = self.key.print(replace(position, walk=walk), wanted.collections)
            shown = None if document is None else self.linked(subject, document)
            if row["moment"] is not None:
                entries.append(Change("created", subject, row["moment"], cursor, shown))
        return entries, walk, len(rows)

    # The log.

    async def _log(self, ask: Ask, position: Position, place: Place, wanted: Wanted, epoch: int) -> Changes:
        memory = (epoch, position.log, wanted.collections)
        place = self._passed.get(memory, place) if self.outside else place
        entries: list[Change] = []
        names = None if wanted.collections is None else list(wanted.collections)
        is_end = False
        while not is_end and len(entries) < wanted.limit:
            few = wanted.limit - len(entries)
            rows = await ask(_PAGE, place.era, str(place.xact), place.sequence, names, few, STEPS)
            *told, last = rows
            # That one is nobody's.
            entries += [self._entry(position, row, wanted) for row in told if row["collection"] != CANARY]
            place, is_end = _place(last), last["is_end"]
            if self.outside and not entries:
                self._remember(memory, place)
        if wanted.documents:
            entries = await self._with_documents(ask, entries)
        if not self.outside:
            cursor = self.key.print(position.after(place), wanted.collections)
        elif entries:
            cursor = entries[-1].cursor
        else:
            cursor = self.key.print(position.after(position.log), wanted.collections)
        return Changes(entries, cursor, is_end)

    def _entry(self, position: Position, row: Mapping[str, Any], wanted: Wanted) -> Change:
        subject = Subject(row["collection"], row["item"])
        log = Seen(row["collection"], row["item"], row["at"]) if self.outside else _place(row)
        cursor = self.key.print(position.after(log), wanted.collections)
        return Change(row["kind"], subject, row["moment"], cursor)

    def _remember(self, memory: tuple[Any, ...], place: Place) -> None:
        self._passed[memory] = place
        self._passed.move_to_end(memory)
        if len(self._passed) > _REMEMBERED:
            self._passed.popitem(last=False)

    async def _with_documents(self, ask: Ask, entries: list[Change]) -> list[Change]:
        there = [number for number, entry in enumerate(entries) if entry.kind != "deleted"]
        rows: dict[int, Mapping[str, Any]] = {}
        for numbers, statement in (
            ([n for n in there if entries[n].subject.item is not None], _ITEM_DOCUMENTS),
            ([n for n in there if entries[n].subject.item is None], _COLLECTION_DOCUMENTS),
        ):
            chosen = [entries[n] for n in numbers]
            values: list[Any] = [[entry.subject.collection for entry in chosen]]
            if statement is _ITEM_DOCUMENTS:
                values.append([entry.subject.item for entry in chosen])
            values.append([entry.moment for entry in chosen])
            for row in await ask(statement, *values) if chosen else ():
                rows[numbers[row["n"] - 1]] = row
        # What was forgotten meanwhile was followed by something that comes later.
        return [
            entry if entry.kind == "deleted" else replace(entry, document=self._shown(entry.subject, rows[number]))
            for number, entry in enumerate(entries)
            if entry.kind == "deleted" or number in rows
        ]

    def _shown(self, subject: Subject, row: Mapping[str, Any]) -> Document | None:
        try:
            document = subject.document(row)
        except UnreadableError:
            return None
        return None if document is None else self.linked(subject, document)

    # Places.

    async def latest(self, ask: Ask) -> Place:
        """The place of the last change that is final. Who waits for changes looks for them when it is another."""
        return _place((await ask(_LATEST))[0])

    async def _rules(self, ask: Ask) -> tuple[str, int]:
        row = (await ask(_RULES))[0]
        return row["rules"], row["epoch"]

    async def _beginning(self, ask: Ask, rules: str, epoch: int) -> Position:
        """Where the log stands now."""
        if not self.outside:
            row = (await ask(_HORIZON))[0]
            return Position(Place(row["era"], int(row["xact"])), rules=rules)
        # Looked up before what is there: of what is forgotten meanwhile nothing is known.
        floor = (await ask(_FLOOR))[0]
        seen = await self._last_seen(ask, (epoch, floor["at"], floor["dropped"]))
        return Position(seen or Nothing(floor["dropped"]), rules=rules, begun=floor["at"])

    async def _last_seen(self, ask: Ask, known_by: tuple[Any, ...]) -> Seen | None:
        """The last change that outsiders are told of. Behind the last one that was found nothing is walked anew."""
        while True:
            begun = await self.latest(ask)
            reached, found = await self._step_back(ask, known_by, begun, None)
            if reached is None:
                return found
            # Nothing but what is hidden, for long: one goes on for all, and from where another had to stop.
            if self._walking is None or self._walking.done():
                self._walking = asyncio.create_task(self._walk_back(ask, known_by, begun, reached))
            await asyncio.shield(self._walking)

    async def _walk_back(self, ask: Ask, known_by: tuple[Any, ...], begun: Place, reached: Place | None) -> None:
        if self._reached is not None and self._reached[0] == known_by:
            _, begun, reached = self._reached
        while reached is not None:
            self._reached = (known_by, begun, reached)
            reached, _ = await self._step_back(ask, known_by, begun, reached)
        self._reached = None

    async def _step_back(
        self, ask: Ask, known_by: tuple[Any, ...], begun: Place, before: Place | None
    ) -> tuple[Place | None, Seen | None]:
        """Where the next step goes on; None: it is over, and this is the last change up to the place where it began."""
        start = (None, None, None) if before is None else (before.era, str(before.xact), before.sequence)
        row = (await ask(_LAST, *start, STEPS))[0]
        here, found = _place(row), None
        if row["collection"] is not None:
            found = Seen(row["collection"], row["item"], row["at"])
        elif not row["is_end"]:
            known = self._last if self._last is not None and self._last[0] == known_by else None
            if known is None or here > known[1]:
                return here, None
            found = known[2]
        self._last = (known_by, begun, found)
        return None, found

    async def _place(self, ask: Ask, position: Position) -> Place:
        """Where the log goes on.

        Raises:
            CursorGoneError: not all that came after it is there.
        """
        log = position.log
        if isinstance(log, Place):
            if not (await ask(_KEPT, log.era, str(log.xact), log.sequence))[0]["kept"]:
                raise CursorGoneError
            return log
        if isinstance(log, Nothing):
            if (await ask(_FLOOR))[0]["dropped"] != log.dropped:
                raise CursorGoneError
            row = (await ask(_PLACE, None, None, None, position.begun))[0]
        else:
            row = (await ask(_PLACE, log.collection, log.item, log.at, position.begun))[0]
        if row["era"] is None:
            raise CursorGoneError
        return _place(row)


def _place(row: Mapping[str, Any]) -> Place:
    return Place(row["era"] or 0, int(row["xact"] or 0), row["sequence"] or 0)
