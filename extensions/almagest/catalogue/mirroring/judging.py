"""What of that which a source tells may come in: it was asked for, and its document is one that is stored here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from almagest.catalogue.ingest.checking import Refusals
from almagest.catalogue.mirroring.entries import Document, Entry, Source
from almagest.catalogue.mirroring.tally import Tally
from almagest.catalogue.reserved import CANARY
from almagest.core.errors import ConflictError


@dataclass
class Judging:
    """Judges entries; what it refuses is counted and named.

    Attributes:
        source: what they are from.
        tally: counts.
        selected: collections that it was asked for; None: all.
    """

    source: Source
    tally: Tally
    selected: frozenset[str] | None = None

    def wanted(self, entries: Iterable[Entry]) -> list[Entry]:
        """Those that were asked for: a source may tell of others all the same."""
        found = []
        for entry in entries:
            if entry.collection == CANARY:
                continue
            if not self.is_selected(entry.collection):
                self.tally.refuse(*entry.key, "the source was not asked for this collection (--collections)")
            elif any(name == "" or "\0" in name for name in entry.key if name is not None):
                self.tally.refuse(*entry.key, "nothing has such an id: it is empty, or holds a NUL character")
            else:
                found.append(entry)
        return found

    def is_selected(self, collection: str) -> bool:
        """Whether a collection is followed."""
        return self.selected is None or collection in self.selected

    def document(self, entry: Entry) -> Document | None:
        """The document to be stored, if there is one."""
        if entry.document is None:
            if not entry.is_gone:
                self.tally.refuse(*entry.key, "the source cannot say what it is")
            return None
        try:
            document = self.source.judge(entry.document)
            _check_is_of(document, entry)
        except Refusals as error:
            self.tally.refuse(*entry.key, str(error))
            return None
        return document


def _check_is_of(document: Document, entry: Entry) -> None:
    """Checks that a document is that of the thing that it was told of."""
    if (document.get("type") == "Feature") != (entry.item is not None):
        raise ConflictError(f"its document is a {document.get('type')}")
    named = (document.get("collection"), document.get("id"))
    if entry.item is not None and named != entry.key:
        raise ConflictError(f"its document is that of {named[0]}/{named[1]}")
    if entry.item is None and document.get("id") != entry.collection:
        raise ConflictError(f"its document is that of {document.get('id')}")
