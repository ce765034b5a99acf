"""Collections go in before their items."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import orjson
import psycopg

from almagest.catalogue import acceptance
from almagest.catalogue.exchange import Record, Unreadable
from almagest.catalogue.extents import Extent, bare_collection, is_bare
from almagest.catalogue.ingest.checking import Refusals, named, parsed
from almagest.catalogue.ingest.line import Line
from almagest.catalogue.ingest.seen import Seen, content_of, key_of
from almagest.catalogue.ingest.tally import Entry, Tally
from almagest.catalogue.reserved import CANARY, require_changeable
from almagest.core import sqlstate
from almagest.core.errors import AlmagestError, ConflictError

Document = dict[str, Any]
Change = Literal["created", "updated", "unchanged"]


@dataclass
class Collections:
    """The collections of the catalogue, and of an ingest.

    Attributes:
        line: to the database.
        known: ids of all that are there.
        settled: of those, the ones whose extent somebody has stated.
        covered: of the others, what the items of this ingest cover, as far as they were read.
    """

    line: Line
    known: set[str] = field(default_factory=set)
    settled: set[str] = field(default_factory=set)
    covered: dict[str, Extent] = field(default_factory=dict)

    def look(self) -> None:
        """Finds out which ones are there."""
        documents = self.line.run(
            lambda connection: connection.execute(
                "SELECT id, collection_document(id)::text FROM collection_ids() AS id WHERE id <> %s", (CANARY,)
            ).fetchall()
        )
        for identifier, text in documents:
            self.known.add(identifier)
            if not is_bare(orjson.loads(text)):
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
                require_changeable(accepted.document["id"])
                if _is_new(accepted.document, record.where, seen):
                    change = self.put(accepted.document, dry=dry)
                    tally.add(**{f"collections_{change}": 1})
                    # Somebody has described it, so its extent is not ours to widen.
                    self.known.add(accepted.document["id"])
                    self.settled.add(accepted.document["id"])
            except Refusals as error:
                tally.note([Entry("refused", record.where, identifier, identifier, str(error))])
                continue
            if accepted.remarks:
                tally.note([Entry("mended", record.where, identifier, identifier, "; ".join(accepted.remarks))])

    def put(self, document: Document, *, dry: bool = False) -> Change:
        """Creates or replaces a collection, or says which of it that would be.

        Raises:
            ConflictError: the database refuses it; says why.
        """
        try:
            return self.line.run(partial(_would if dry else _put, document))
        except psycopg.Error as error:
            reason = refused_by_database(error)
            if reason is None:
                raise
            raise ConflictError(reason) from error

    def cover(self, extents: dict[str, Extent]) -> int:
        """Makes the collections of items that come next, where they are not there; returns how many."""
        made = 0
        for identifier, extent in sorted(extents.items()):
            before = self.covered.get(identifier)
            self.covered[identifier] = before | extent if before else extent
            if identifier not in self.known:
                made += self.line.run(partial(_make, bare_collection(identifier, extent)))
                self.known.add(identifier)
        return made

    def settle(self) -> None:
        """Widens the collections that are made from their items by what came in now."""
        for identifier, extent in sorted(self.covered.items()):
            self.line.run(partial(_widen, identifier, extent))


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


def _put(document: Document, connection: psycopg.Connection) -> Change:
    row = connection.execute("SELECT put_collection(%s::jsonb)", (orjson.dumps(document).decode(),)).fetchone()
    assert row is not None
    change: Change = row[0]
    return change


def _would(document: Document, connection: psycopg.Connection) -> Change:
    """What putting it would do."""
    row = connection.execute(
        "SELECT document, document = %s::jsonb FROM collection_document(%s) AS document",
        (orjson.dumps(document).decode(), document["id"]),
    ).fetchone()
    if row is None or row[0] is None:
        return "created"
    return "unchanged" if row[1] else "updated"


def _make(document: Document, connection: psycopg.Connection) -> bool:
    """Whether a collection had to be made: another ingest may have made it, or somebody described it, meanwhile."""
    try:
        connection.execute("SELECT create_collection(%s::jsonb)", (orjson.dumps(document).decode(),))
    except psycopg.errors.UniqueViolation:
        return False
    return True


def _widen(identifier: str, extent: Extent, connection: psycopg.Connection) -> None:
    with connection.transaction():
        connection.execute("SELECT lock_collection(%s)", (identifier,))
        # As it is now: meanwhile others may have widened it, described it or deleted it.
        row = connection.execute("SELECT collection_document(%s)::text", (identifier,)).fetchone()
        document = orjson.loads(row[0]) if row and row[0] else None
        present = Extent.of_collection(document) if document and is_bare(document) else None
        if present:
            text = orjson.dumps(bare_collection(identifier, present | extent)).decode()
            connection.execute("SELECT replace_collection(%s::jsonb)", (text,))


def refused_by_database(error: psycopg.Error | AlmagestError) -> str | None:
    """Why the database does not take a document; None where the reason is not in the document."""
    if isinstance(error, AlmagestError):
        return str(error) if error.status < 500 else None
    sentence = (error.diag.message_primary or str(error)).splitlines()[0]
    meant = sqlstate.meaning(error.sqlstate or "", sentence)
    return f"The database refuses it: {sentence}" if meant is not None and meant.status < 500 else None
