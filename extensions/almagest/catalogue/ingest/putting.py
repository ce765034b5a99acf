"""Storing a batch: its items and the note that it is stored, in one transaction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, overload

import orjson
import psycopg

from almagest.catalogue.ingest import manifest
from almagest.catalogue.ingest.checking import Checked, Finding
from almagest.catalogue.ingest.collecting import refused_by_database
from almagest.catalogue.ingest.line import Line
from almagest.catalogue.ingest.messages import Done, Verdict
from almagest.catalogue.rows import Base, Row
from almagest.catalogue.storing import Batch, Outcome, Store
from almagest.core.errors import AlmagestError

#: Why an item is not stored, by its place.
Refused = dict[int, str]


class _Documents(Sequence[dict[str, Any]]):
    """Documents that are parsed each time they are asked for: parsed, they take ten times the memory of their text."""

    def __init__(self, texts: Sequence[bytes]) -> None:
        self._texts = texts

    def __len__(self) -> int:
        return len(self._texts)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return map(orjson.loads, self._texts)

    @overload
    def __getitem__(self, place: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, place: slice) -> _Documents: ...
    def __getitem__(self, place: int | slice) -> dict[str, Any] | _Documents:
        if isinstance(place, slice):
            return _Documents(self._texts[place])
        document: dict[str, Any] = orjson.loads(self._texts[place])
        return document


def put_batch(
    line: Line, run: int, checked: Checked, verdict: Verdict, findings: list[Finding], bases: dict[str, Base]
) -> Done:
    """Stores what is good in a batch and was not met before.

    Args:
        line: to the database.
        run: under which the batch is remembered.
        checked: the batch.
        verdict: what of it was met before, and whether an earlier run has stored it.
        findings: what is known so far of those that stay out; taken over into the answer.
        bases: of the collections that rows were made for; those that had to be asked for come in.
    """
    # By name, as all our writers go, so that none waits for another that waits for it.
    kept = sorted(set(range(len(checked.names))) - verdict.repeated.keys(), key=checked.names.__getitem__)
    names = [checked.names[n] for n in kept]
    texts = [checked.texts[n] for n in kept]
    ready = [checked.rows[n] for n in kept]

    def work(connection: psycopg.Connection) -> tuple[Outcome | None, Refused, set[str]]:
        store = Store(connection, bases)
        batch, places, refused = prepared(store, texts, ready)
        if verdict.recorded and manifest.are_present(connection, names):
            return None, {}, store.partitions
        with connection.transaction():
            outcome = put_good(connection, store, batch, places, refused)
            manifest.record(connection, run, verdict.digest, outcome)
        return outcome, refused, store.partitions

    outcome, refused, partitions = line.run(work)
    found = [Finding(checked.positions[kept[n]], "refused", *names[n], reason) for n, reason in refused.items()]
    numbers = outcome or Outcome()
    return Done(
        numbers.created,
        numbers.updated,
        numbers.unchanged,
        sent=outcome is not None,
        findings=(*findings, *found),
        partitions=frozenset(partitions),
    )


def prepared(store: Store, texts: list[bytes], ready: list[Row | None]) -> tuple[Batch, list[int], Refused]:
    """Rows of the documents and room for them, the place of each, and the documents that none can be made of.

    Outside a transaction. `ready`: rows that were made before, or None.
    """
    rows: list[Row] = []
    places: list[int] = []
    refused: Refused = {}

    def add(first: int, last: int) -> None:
        made = [row for row in ready[first:last] if row]
        try:
            if len(made) == last - first:
                store.make_room(made)
            else:
                made = [*store.prepare(_Documents(texts[first:last])).rows]
        except (AlmagestError, psycopg.Error) as error:
            reason = refused_by_database(error)
            if reason is None:
                raise
            if last - first == 1:
                refused[first] = reason
                return
            # Halves find out which.
            middle = (first + last) // 2
            add(first, middle)
            add(middle, last)
        else:
            rows.extend(made)
            places.extend(range(first, last))

    if texts:
        add(0, len(texts))
    documents: Any = _Documents([texts[place] for place in places])
    return Batch(documents, tuple(rows)), places, refused


def put_good(
    connection: psycopg.Connection, store: Store, batch: Batch, places: list[int], refused: Refused
) -> Outcome:
    """Stores what the database takes, in the transaction of the caller; where it refuses some, halves find out which.

    Args:
        connection: to the database.
        store: of the same connection.
        batch: rows that are ready.
        places: of each.
        refused: takes up, by their places, why others are not stored.
    """
    if not batch.rows:
        return Outcome()
    try:
        with connection.transaction():
            return store.put(batch)
    except (AlmagestError, psycopg.Error) as error:
        reason = refused_by_database(error)
        if reason is None:
            raise
    if len(places) == 1:
        refused[places[0]] = reason
        return Outcome()
    middle = len(places) // 2
    halves = [slice(None, middle), slice(middle, None)]
    return sum(
        (
            put_good(connection, store, Batch(batch.documents[half], batch.rows[half]), places[half], refused)
            for half in halves
        ),
        start=Outcome(),
    )
