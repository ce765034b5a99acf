"""Applying what a source tells: what a page holds, and the cursor behind it, in one transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import Any

import orjson
import psycopg

from almagest.catalogue.ingest.collecting import refused_by_database
from almagest.catalogue.ingest.line import Line
from almagest.catalogue.ingest.putting import prepared, put_good
from almagest.catalogue.mirroring.entries import Document, Entry, Key, Page, Source
from almagest.catalogue.mirroring.judging import Judging
from almagest.catalogue.mirroring.state import State, move, note
from almagest.catalogue.mirroring.tally import Tally
from almagest.catalogue.rows import Base
from almagest.catalogue.storing import Outcome, Store
from almagest.core.errors import AlmagestError, ConflictError

#: A collection may be told of after its first items: so often they are asked for and made here.
_TRIES = 3
#: How many go at once of what is gone, and how many are looked for at once where all has to be looked through.
_FEW, _MANY = 1000, 100_000


class _MissingError(Exception):
    """Collections are told of after items of theirs, were deleted here, or did not come from the source."""

    def __init__(self, collections: set[str]) -> None:
        super().__init__()
        self.collections = collections


@dataclass
class Applying:
    """Applies pages.

    Attributes:
        line: to the target.
        source: what they are from.
        tally: counts.
        judging: says what may come in.
        prune: whether what others put into mirrored collections goes with these, or when all was gone through.
        adopt: whether collections that are here, and did not come from there, are taken over.
        bases: of the collections that items went into.
        partitions: that took items, for :meth:`refresh`.
    """

    line: Line
    source: Source
    tally: Tally
    judging: Judging
    prune: bool = False
    adopt: bool = False
    bases: dict[str, Base] = field(default_factory=dict)
    partitions: set[str] = field(default_factory=set)
    _barred: set[str] = field(default_factory=set)  #: collections that were refused

    def apply(self, page: Page, state: State) -> State:
        """Applies a page; what is broken off is applied again.

        All of it in one transaction, unless collections come between: these go in before the items that follow them,
        and only the last part notes the cursor.
        """
        entries = self.judging.wanted(page.entries)
        *parts, last = [*_parts(entries)] or [[]]
        for part in parts:
            self._part(part, state, None)
        state = self._part(last, state, page.cursor)
        self.tally.told += len(page.entries)
        self.tally.see(self.tally)
        return state

    def refresh(self) -> None:
        """Notes what times the partitions that were written to hold."""

        def work(connection: psycopg.Connection) -> None:
            store = Store(connection)
            store.partitions.update(self.partitions)
            store.refresh()

        self.line.run(work)
        self.partitions.clear()

    def _part(self, part: list[Entry], state: State, cursor: str | None) -> State:
        if part and part[0].item is None:
            return self._whole(part[0], state, cursor)
        latest = {entry.key: entry for entry in part}
        documents = {key: found for key, entry in latest.items() if (found := self.judging.document(entry))}
        for tries_left in reversed(range(_TRIES)):
            try:
                return self._run(partial(self._items, latest, documents, state, cursor))
            except _MissingError as missing:
                if not tries_left:
                    names = ", ".join(sorted(missing.collections))
                    raise ConflictError(f"Somebody deletes collections here that are mirrored: {names}.") from None
                gone = {name for name in missing.collections if not self._fetched(name, state)}
                for collection, item in documents:
                    if collection in gone & self._barred:
                        self.tally.refuse(collection, item, "its collection was refused")
                # Nobody has it any more, nor its items: that it went is told later.
                documents = {key: found for key, found in documents.items() if key[0] not in gone}
                latest = {key: entry for key, entry in latest.items() if key[0] not in gone or entry.is_gone}
        raise AssertionError("the last try returns or raises")

    def _whole(self, entry: Entry, state: State, cursor: str | None) -> State:
        """Applies what is told of a collection itself."""
        document = self.judging.document(entry)
        self._barred.discard(entry.collection)
        if document is None and not entry.is_gone:
            self._barred.add(entry.collection)
        return self._run(partial(self._collection, entry, document, state, cursor))

    def _run(self, work: Any) -> State:
        state, outcome, deleted, refused = self.line.run(work)
        self.tally.add(outcome, deleted=deleted)
        for collection, item, reason in refused:
            self.tally.refuse(collection, item, reason)
        found: State = state
        return found

    def _fetched(self, name: str, state: State) -> bool:
        """Whether the source has a collection, which is here then."""
        if name not in self._barred:
            document = self.source.collection(name)
            if document is None:
                return False
            self._whole(Entry(name, None, document), state, None)
        return name not in self._barred

    def _require_ours(self, connection: psycopg.Connection, state: State, name: str) -> None:
        if not self.adopt and _answer(connection, "SELECT is_anothers(%s, %s)", (state.name, name)):
            raise ConflictError(
                f"There is a collection {name!r} here that did not come from {self.source.name}. Say --adopt to have"
                " it, and items of the same ids, overwritten by what is there; or choose others with --collections."
            )

    def _collection(
        self, entry: Entry, document: Document | None, state: State, cursor: str | None, connection: psycopg.Connection
    ) -> Any:
        outcome, deleted, refused, stored = Outcome(), 0, [], set[Key]()
        with connection.transaction():
            if entry.is_gone:
                deleted = self._without_collection(connection, state, entry)
                self.bases.pop(entry.collection, None)
            else:
                if document is not None:
                    self._require_ours(connection, state, entry.collection)
                    try:
                        with connection.transaction():
                            outcome = Store(connection, self.bases).collections([document])
                        stored.add(entry.key)
                    except (AlmagestError, psycopg.Error) as error:
                        if (reason := refused_by_database(error)) is None:
                            raise
                        refused.append((entry.collection, None, reason))
                        self._barred.add(entry.collection)
                note(connection, state, [entry], stored)
            if cursor is not None:
                state = move(connection, state, cursor)
        return state, outcome, deleted, refused

    def _items(
        self,
        latest: dict[Key, Entry],
        documents: dict[Key, Document],
        state: State,
        cursor: str | None,
        connection: psycopg.Connection,
    ) -> Any:
        ask = "SELECT collection_ids() INTERSECT SELECT collection FROM mirrored_collections(%s)"
        brought = {name for (name,) in _rows(ask, (state.name,), connection)} if documents else set()
        if missing := {collection for collection, _ in documents} - brought:
            raise _MissingError(missing)
        # In the order of all our writers, so that none waits for another that waits for it.
        keys = sorted(documents, key=lambda key: (key[0], str(key[1])))
        texts = [orjson.dumps(documents[key]) for key in keys]
        store = Store(connection, self.bases)
        store.partitions = self.partitions
        batch, places, reasons = prepared(store, texts, [None] * len(texts))
        deleted = 0
        with connection.transaction():
            outcome = put_good(connection, store, batch, places, reasons)
            for collection, ids in _by_collection(entry for entry in latest.values() if entry.is_gone):
                deleted += self._without_items(connection, state, collection, ids)
            stored = {key for place, key in enumerate(keys) if place not in reasons}
            note(connection, state, (entry for entry in latest.values() if not entry.is_gone), stored)
            if cursor is not None:
                state = move(connection, state, cursor)
        return state, outcome, deleted, [(*keys[place], reason) for place, reason in reasons.items()]

    def _without_items(self, connection: psycopg.Connection, state: State, collection: str, ids: list[str]) -> int:
        ask = "SELECT remove_mirrored(%s, %s, %s, %s)"
        return _answer(connection, ask, (state.name, collection, ids, self.prune))

    def _without_collection(self, connection: psycopg.Connection, state: State, entry: Entry) -> int:
        ((became,),) = _rows(
            "SELECT remove_mirrored_collection(%s, %s, %s, %s)",
            (state.name, entry.collection, entry.moment, self.prune),
            connection,
        )
        if became == "kept":
            self.tally.say(f"{entry.collection} is gone at the source, and stays here: others have put items into it")
        if became == "anothers":
            self.tally.say(f"{entry.collection} is gone at the source, and stays here: it did not come from there")
        return int(became == "deleted")

    def clear(self, state: State) -> State:
        """Ends a walk: what came from the source and is not there any more goes.

        Raises:
            ConflictError: nothing at all is there any more.
        """
        met = dict(self.line.run(partial(_rows, "SELECT * FROM mirrored_collections(%s)", (state.name,))))
        if met and state.walk not in met.values() and not self.prune:
            # More often it is broken, or another one.
            raise ConflictError(
                "The source has nothing any more, not even a collection. If that is right, --prune removes all that"
                " came from there."
            )
        last = ("", "")
        ask = "SELECT * FROM unmirrored(%s, %s, %s, %s, %s)"
        while gone := self.line.run(partial(_rows, ask, (state.name, state.walk, *last, _FEW))):
            last = gone[-1]
            for collection, group in groupby(gone, lambda row: row[0]):
                self._clear_items(state, collection, [item for _, item in group])
        for collection, walk in met.items():
            if walk < state.walk:
                self._remove(state, collection, None)
            elif self.prune:
                self._clear_strangers(state, collection)

        def end(connection: psycopg.Connection) -> State:
            with connection.transaction():
                return move(connection, state, state.cursor or "", is_walked=True)

        self.tally.walks += 1
        return self.line.run(end)

    def _clear_items(self, state: State, collection: str, ids: list[str]) -> None:
        is_followed = self.judging.is_selected(collection)
        found = [(item, self.source.still(collection, item) if is_followed else None) for item in ids]
        if still := [entry for _, entry in found if entry is not None]:
            self._part(still, state, None)
        self._remove(state, collection, [item for item, entry in found if entry is None])

    def _clear_strangers(self, state: State, collection: str) -> None:
        ask = partial(_rows, "SELECT * FROM strangers(%s, %s, %s)", (state.name, collection, _MANY))
        while strangers := self.line.run(ask):
            for first in range(0, len(strangers), _FEW):
                self._remove(state, collection, [item for (item,) in strangers[first : first + _FEW]])

    def _remove(self, state: State, collection: str, ids: list[str] | None) -> None:
        """Removes items, or (None) the collection."""

        def work(connection: psycopg.Connection) -> int:
            with connection.transaction():
                if ids is None:
                    return self._without_collection(connection, state, Entry(collection, None, None, is_gone=True))
                return self._without_items(connection, state, collection, ids)

        self.tally.add(Outcome(), deleted=self.line.run(work))
        self.tally.see(self.tally)


def _parts(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """Runs of items, and collections one by one, in their order."""
    for is_item, group in groupby(entries, lambda entry: entry.item is not None):
        if is_item:
            yield [*group]
        else:
            yield from ([entry] for entry in group)


def _by_collection(entries: Iterable[Entry]) -> list[tuple[str, list[str]]]:
    found: defaultdict[str, list[str]] = defaultdict(list)
    for entry in entries:
        found[entry.collection].append(entry.item or "")
    return sorted(found.items())


def _rows(statement: str, values: tuple[object, ...], connection: psycopg.Connection) -> list[tuple[Any, ...]]:
    return connection.execute(statement.encode(), values).fetchall()


def _answer(connection: psycopg.Connection, statement: str, values: tuple[object, ...]) -> int:
    row = connection.execute(statement.encode(), values).fetchone()
    assert row is not None
    return int(row[0])
