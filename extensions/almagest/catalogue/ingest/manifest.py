"""Which batches of an ingest are stored, as the database remembers it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import psycopg

from almagest.catalogue.ingest.batches import digest
from almagest.catalogue.ingest.checking import Terms
from almagest.catalogue.ingest.line import Line
from almagest.catalogue.storing import Outcome, Store


@dataclass(frozen=True)
class Run:
    """An ingest that is not finished.

    Attributes:
        id: its number in the database.
        digests: of the batches that are stored.
    """

    id: int
    digests: frozenset[bytes]


def begin(line: Line, source: str, terms: Terms, *, fresh: bool) -> Run:
    """Goes on with the run of these sources under these terms that was broken off, or begins one.

    Args:
        line: to the database.
        source: name of the sources.
        terms: how documents are judged; under other terms it is another run.
        fresh: begin one in any case.
    """
    key = digest([source.encode()], *terms.context()).hex()

    def start(connection: psycopg.Connection) -> Run:
        with connection.transaction():
            if fresh:
                _finish(connection, _begin(connection, key, source, terms))
            run = _begin(connection, key, source, terms)
            rows = connection.execute("SELECT ingest_batches(%s)", (run,)).fetchall()
        return Run(run, frozenset(found for (found,) in rows))

    return line.run(start)


def _begin(connection: psycopg.Connection, key: str, source: str, terms: Terms) -> int:
    options = json.dumps({"collection": terms.collection, "create_collections": terms.create})
    row = connection.execute("SELECT begin_ingest(%s, %s, %s::jsonb)", (key, source, options)).fetchone()
    assert row is not None
    return int(row[0])


def record(connection: psycopg.Connection, run: int, batch: bytes, outcome: Outcome) -> None:
    """Notes a batch as stored, in the transaction that stores it."""
    numbers = (outcome.total, outcome.created, outcome.updated, outcome.unchanged)
    connection.execute("SELECT record_batch(%s, %s, %s, %s, %s, %s)", (run, batch, *numbers))


def are_present(connection: psycopg.Connection, names: Iterable[tuple[str, str]]) -> bool:
    """Whether all of these items (collection and id) are stored."""
    by_collection = defaultdict(list)
    for collection, identifier in names:
        by_collection[collection].append(identifier)
    for collection, identifiers in by_collection.items():
        row = connection.execute("SELECT count_present(%s, %s)", (collection, identifiers)).fetchone()
        if row is None or row[0] != len(identifiers):
            return False
    return True


def finish(line: Line, run: Run, partitions: Iterable[str]) -> None:
    """Ends a run: of its batches only the totals stay, and partitions note what times they hold."""

    def end(connection: psycopg.Connection) -> None:
        store = Store(connection)
        store.partitions.update(partitions)
        store.refresh()
        _finish(connection, run.id)

    line.run(end)


def _finish(connection: psycopg.Connection, run: int) -> None:
    connection.execute("SELECT finish_ingest(%s)", (run,))
