"""Collections go in before their items."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson
import psycopg

from almagest.catalogue import acceptance
from almagest.catalogue.exchange import Record, Unreadable
from almagest.catalogue.ingest.checking import Refusals, named, parsed
from almagest.catalogue.ingest.extents import Extent, bare_collection, is_bare
from almagest.catalogue.ingest.line import Line
from almagest.catalogue.ingest.seen import Seen, content_of, key_of
from almagest.catalogue.ingest.tally import Entry, Tally
from almagest.catalogue.reserved import CANARY
from almagest.core import sqlstate
from almagest.core.errors import AlmagestError, ConflictError

Document = dict[str, Any]
Change = Literal["created", "updated", "unchanged"]


@dataclass
class Collections:
    """The collections of the catalogue, and of an ingest.

    Attributes:
        line: to the database; None where nothing is stored.
        known: ids of all that are there.
        settled: of those, the ones whose extent somebody has stated.
        extents: of the others, what their items cover, as far as they were read.
    """

    line: Line | None
    known: set[str] = field(default_factory=set)
    settled: set[str] = field(default_factory=set)
    extents: dict[str, Extent] = field(default_factory=dict)

    def look(self) -> None:
        """Finds out which ones are there."""
        if self.line is None:
            return
        documents = self.line.run(
            lambda connection: connection.execute(
                "SELECT id, collection_document(id)::text FROM collection_ids() AS id WHERE id <> %s", (CANARY,)
            ).fetchall()
        )
        for identifier, text in documents:
            document = orjson.loads(text)
            self.known.add(identifier)
            if is_bare(document):
                extent = Extent.of_collection(document)
                assert extent is not None
                self.extents[identifier] = extent
            else:
                self.settled.add(identifier)

    def take(
        self, records: Iterable[Record | Unreadable], rules: acceptance.Rules, seen: Seen, tally: Tally, *, dry: bool
    ) -> None:
        """Stores collections that are new or other than those that are there."""
        for record in records:
            identifier = None
            try:
                if isinstance(record, Unreadable):
                    raise ConflictError(record.reason)
                document = parsed(record.data)
                identifier = named(document)[1]
                accepted = acceptance.accept_collection(document, rules)
                if _is_new(accepted.document, record.where, seen):
                    change = "created" if dry else self.put(accepted.document)
                    tally.add(**{f"collections_{change}": 1})
                    self._state(accepted.document["id"])
            except (*Refusals, ConflictError) as error:
                tally.note([Entry("refused", record.where, identifier, identifier, str(error))])
                continue
            if accepted.remarks:
                tally.note([Entry("mended", record.where, identifier, identifier, "; ".join(accepted.remarks))])

    def _state(self, identifier: str) -> None:
        """Somebody has described this collection, so its extent is not ours to widen."""
        self.known.add(identifier)
        self.settled.add(identifier)
        self.extents.pop(identifier, None)

    def put(self, document: Document) -> Change:
        """Creates or replaces a collection.

        Raises:
            ConflictError: it is not anybody's to change, or the database refuses it; says why.
        """
        if document["id"] == CANARY:
            raise ConflictError(f"{CANARY} is not anybody's to change: outsiders are served only while it is there.")
        if self.line is None:
            return "created"
        try:
            return self.line.run(lambda connection: _put(connection, document))
        except psycopg.Error as error:
            reason = refused_by_database(error)
            if reason is None:
                raise
            raise ConflictError(reason) from error

    def cover(self, extents: dict[str, Extent]) -> int:
        """Makes the collections of items that come next, where they are not there; returns how many."""
        new = extents.keys() - self.known
        for identifier in sorted(extents):
            present = self.extents.get(identifier)
            self.extents[identifier] = present | extents[identifier] if present else extents[identifier]
            if identifier in new:
                self.put(bare_collection(identifier, self.extents[identifier]))
                self.known.add(identifier)
        return len(new)

    def settle(self) -> None:
        """States what the collections that were made from their items cover."""
        for identifier, extent in sorted(self.extents.items()):
            self.put(bare_collection(identifier, extent))


def _is_new(document: Document, where: str, seen: Seen) -> bool:
    """Whether a collection was not met before.

    Raises:
        ConflictError: it was, as another document.
    """
    content = content_of(orjson.dumps(document, option=orjson.OPT_SORT_KEYS))
    met = seen.meet(key_of(document["id"], ""), content, where)
    if met is not None and not met[0]:
        raise ConflictError(f"another document of this collection stands at {met[1]}")
    return met is None


def _put(connection: psycopg.Connection, document: Document) -> Change:
    text = orjson.dumps(document).decode()
    with connection.transaction():
        connection.execute("SELECT lock_item(%s, '')", (document["id"],))
        row = connection.execute("SELECT collection_document(%s)::text", (document["id"],)).fetchone()
        present = orjson.loads(row[0]) if row and row[0] else None
        if present == document:
            return "unchanged"
        if present is None:
            connection.execute("SELECT create_collection(%s::jsonb)", (text,))
            return "created"
        connection.execute("SELECT replace_collection(%s::jsonb)", (text,))
        return "updated"


def refused_by_database(error: psycopg.Error | AlmagestError) -> str | None:
    """Why the database does not take a document; None where the reason is not in the document."""
    if isinstance(error, AlmagestError):
        return str(error) if error.status < 500 else None
    sentence = (error.diag.message_primary or str(error)).splitlines()[0]
    meant = sqlstate.meaning(error.sqlstate or "", sentence)
    return f"The database refuses it: {sentence}" if meant is not None and meant.status < 500 else None
