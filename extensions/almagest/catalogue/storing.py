"""Putting documents into the catalogue: many at once, within a transaction of the caller."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal, Self

import orjson
import psycopg

from almagest.catalogue.rows import Base, Document, Row, RowMaker
from almagest.core.errors import NotFoundError

#: ``create``: none may be there; ``replace``: all must be; ``upsert``: either.
Mode = Literal["create", "replace", "upsert"]

#: What one statement carries at most: the database holds it several times over while it compares.
_MAX_ROWS, _MAX_BYTES = 5000, 32 << 20
#: As many as this are locked one by one, as put_items does; more lock the collection.
FEW = 32

_PUT = (
    "SELECT created, updated, unchanged FROM almagest.put_items("
    "%(collection)s, %(base_key)s::bigint, %(base_item_id)s::int, %(ids)b, %(starts)b, %(ends)b, %(geometries)b,"
    " %(contents)b, %(mode)s)"
)
_ENSURE = "SELECT almagest.ensure_partitions(%(collection)s, %(starts)b, %(ends)b)"
_BASE = "SELECT key, item_id, item FROM almagest.port_current_base(%s)"


@dataclass(frozen=True)
class Outcome:
    """What became of documents."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0

    def __add__(self, other: Outcome) -> Self:
        return type(self)(self.created + other.created, self.updated + other.updated, self.unchanged + other.unchanged)

    @property
    def total(self) -> int:
        """How many there were, each counted once."""
        return self.created + self.updated + self.unchanged


@dataclass(frozen=True)
class Batch:
    """Items that are ready to be put.

    Attributes:
        documents: as they were given; read again where the rows have to be made anew.
        rows: one for each id, in order.
    """

    documents: Sequence[Document]
    rows: Sequence[Row]


class Store:
    """Puts documents into the catalogue over one connection.

    ``prepare`` outside a transaction, then ``put`` within one: so room for new times is made in a moment, and not kept
    locked while the items go in.
    """

    def __init__(self, connection: psycopg.Connection[Any], bases: dict[str, Base] | None = None) -> None:
        """`bases` of collections that another has left; they may have changed since."""
        self._connection = connection
        self._bases = {} if bases is None else bases
        #: Partitions that took items, for :meth:`refresh`.
        self.partitions: set[str] = set()

    def collections(self, documents: Iterable[Document]) -> Outcome:
        """Creates or replaces collections, in the transaction of the caller."""
        outcome = Outcome()
        for document in sorted(documents, key=lambda collection: str(collection["id"])):
            text = orjson.dumps(document).decode()
            (became,) = _one(self._connection.execute("SELECT almagest.put_collection(%s::jsonb)", (text,)))
            outcome += Outcome(**{became: 1})
            self._bases.pop(document["id"], None)
        return outcome

    def prepare(self, documents: Iterable[Document]) -> Batch:
        """Makes rows of accepted items and room for them.

        Raises:
            InvalidDocumentError: one cannot be stored.
            NotFoundError: there is no such collection.
        """
        batch = self.batch(documents)
        self.make_room(batch.rows)
        return batch

    def batch(self, documents: Iterable[Document]) -> Batch:
        """As :meth:`prepare`, where room has been made before."""
        documents = documents if isinstance(documents, Sequence) else tuple(documents)
        maker = RowMaker(self._bases)
        rows = {}
        for item in documents:
            if (collection := item["collection"]) not in self._bases:
                self._bases[collection] = self._base(collection)
            rows[collection, item["id"]] = maker.row(item)
        # In one order, so that two batches of the same ids do not wait for each other.
        return Batch(documents, tuple(rows[key] for key in sorted(rows)))

    def make_room(self, rows: Iterable[Row]) -> None:
        """Makes partitions for rows where they are missing; outside a transaction."""
        for part in parts(rows):
            with self._connection.transaction():
                (names,) = _one(self._connection.execute(_ENSURE, arguments(part)))
            self.partitions.update(names)

    def put(self, documents: Iterable[Document] | Batch, *, mode: Mode = "upsert") -> Outcome:
        """Stores items, all or none, in the transaction of the caller. Of one id twice, the last counts.

        What is stored already, in whichever partition, is compared; what is the same is not touched. What other writers
        did in between is met by trying again.

        Raises:
            NotFoundError: a collection was deleted.
            psycopg.Error: the database refuses: 23505 where an id is taken (``create``), P0002 where one is missing
                (``replace``).
        """
        batch = documents if isinstance(documents, Batch) else self.prepare(documents)
        for tries_left in (3, 2, 1, 0):
            try:
                with self._connection.transaction():  # a savepoint within the caller's
                    return self._put(batch.rows, mode)
            except psycopg.errors.CheckViolation:
                if not tries_left:
                    raise
                # Another process narrowed what a partition takes, after this was prepared.
                self.make_room(batch.rows)
            except psycopg.errors.ForeignKeyViolation as error:
                self._bases.clear()
                raise NotFoundError(f"{error.diag.message_primary} Create it first.") from None
            except (
                psycopg.errors.SerializationFailure,
                psycopg.errors.DeadlockDetected,
                psycopg.errors.UniqueViolation,
            ) as error:
                if not tries_left or (error.diag.message_primary or "").startswith("Item "):
                    raise
                # Collections may have changed since the rows were made.
                self._bases.clear()
                batch = self.batch(batch.documents)
        raise AssertionError("the last try returns or raises")

    def refresh(self) -> None:
        """Notes what times the partitions that were written to really hold; once at the end, outside a transaction."""
        for name in sorted(self.partitions):
            with self._connection.transaction():
                self._connection.execute("SELECT almagest.refresh_partition(%s)", (name,))
        self.partitions.clear()

    def _base(self, collection: str) -> Base:
        with self._connection.transaction():
            found = self._connection.execute(_BASE, (collection,)).fetchone()
        return Base.of(collection, found)

    def _put(self, rows: Sequence[Row], mode: Mode) -> Outcome:
        outcome = Outcome()
        for collection, group in groupby(rows, lambda row: row.collection):
            members = list(group)
            if len(members) > FEW:
                # At once: a part of few rows would share the lock that a larger one after it wants alone.
                self._connection.execute("SELECT almagest.lock_collection(%s)", (collection,))
            for part in parts(members):
                given = {**arguments(part), "mode": mode}
                outcome += Outcome(*_one(self._connection.execute(_PUT, given)))
        return outcome


def arguments(rows: list[Row]) -> Mapping[str, Any]:
    """What ``put_items`` and ``ensure_partitions`` take, of rows of one collection."""
    _, ids, starts, ends, geometries, contents, _, _ = map(list, zip(*rows, strict=True))
    first = rows[0]
    return {
        "collection": first.collection,
        "base_key": first.base_key,
        "base_item_id": first.base_item_id,
        "ids": ids,
        "starts": starts,
        "ends": ends,
        "geometries": geometries,
        "contents": contents,
    }


def parts(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Rows of one collection each, few enough for one statement."""
    for _, group in groupby(rows, lambda row: row.collection):
        part: list[Row] = []
        size = 0
        for row in group:
            if part and (len(part) >= _MAX_ROWS or size > _MAX_BYTES):
                yield part
                part, size = [], 0
            part.append(row)
            size += len(row.content)
        yield part


def _one(cursor: psycopg.Cursor[Any]) -> tuple[Any, ...]:
    row = cursor.fetchone()
    assert row is not None
    return tuple(row)
