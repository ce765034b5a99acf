"""Mirrors in tests: two catalogues, what is stored in each, and sources that are made up."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg

from almagest.catalogue import database
from almagest.catalogue.acceptance import Rules, accept_copy
from almagest.catalogue.ingest.line import Access, Line
from almagest.catalogue.mirroring import BeginAnewError, Entry, Options, Page, Source, Tally, follow
from almagest.catalogue.reserved import CANARY
from almagest.catalogue.storing import Outcome, Store
from almagest.client.http import Http
from almagest.client.mirroring import open_feed
from almagest.core.settings import Settings

Document = dict[str, Any]
Stored = dict[tuple[str, str | None], Document]


class EndedError(Exception):
    """The test has seen enough."""


def stored(settings: Settings) -> Stored:
    """All documents, as they are stored: byte for byte what any answer is made of, but for its links."""
    with database.connect(settings, "postgres") as admin:
        admin.execute("SET search_path = almagest, public")
        found: Stored = {
            (name, None): document
            for name, document in admin.execute(
                "SELECT id, collection_document(id) FROM collection_ids() AS id WHERE id <> %s", (CANARY,)
            ).fetchall()
        }
        for collection, item, document in admin.execute(
            "SELECT k.collection, k.id, item_document(k.collection, k.id) FROM port_item_keys() AS k"
        ).fetchall():
            found[collection, item] = document
    return found


@contextlib.contextmanager
def writing(settings: Settings) -> Iterator[psycopg.Connection[Any]]:
    """A connection as our own writers have it."""
    with Access.of(settings, "almagest_writer").connect() as connection:
        yield connection


def put(connection: psycopg.Connection[Any], *documents: Document) -> Outcome:
    """Stores collections and then items."""
    store = Store(connection)
    items = [document for document in documents if document["type"] == "Feature"]
    with connection.transaction():
        outcome = store.collections(document for document in documents if document["type"] != "Feature")
    batch = store.prepare(items)
    with connection.transaction():
        return outcome + store.put(batch)


def rules(settings: Settings) -> Rules:
    """By which the target judges what is no copy."""
    return Rules(settings.site.origin)


def mirror(
    source: Source | str,
    target: Settings,
    *,
    rest: Callable[[float], None] = time.sleep,
    key: str | None = None,
    **options: Any,
) -> Tally:
    """Follows a source, or what is at an address; returns the numbers, and `said`."""
    said: list[str] = []
    tally = Tally(said.append)
    chosen = Options(**{"name": "test", **options})
    line = Line(Access.of(target, "almagest_writer"), said.append)
    if isinstance(source, str):
        with Http(source, key, patience_s=1, is_bound=True) as http:
            follow(open_feed(http, source, rules(target), chosen.collections), line, chosen, tally, rest)
    else:
        follow(source, line, chosen, tally, rest)
    tally.said = said  # type: ignore[attr-defined]
    return tally


@dataclass
class MadeUp:
    """A source that tells what a test wants.

    Attributes:
        pages: of entries, one after the other; the cursor is the number of the next one.
        now: collections as they are now.
        gone: cursors behind which nothing is known any more.
    """

    pages: list[list[Entry]]
    now: dict[str, Document] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    name: str = "https://made.up/api"
    waits: bool = True

    def page(self, cursor: str | None, *, wait: bool) -> Page:
        if cursor in self.gone:
            raise BeginAnewError("This cursor is too old.")
        number = int(cursor or 0)
        if number >= len(self.pages):
            if wait:
                raise EndedError
            return Page((), str(number), is_end=True)
        return Page(tuple(self.pages[number]), str(number + 1), is_end=False)

    def collection(self, identifier: str) -> Document | None:
        return self.now.get(identifier)

    def still(self, collection: str, item: str) -> Entry | None:
        return None

    def judge(self, document: Document) -> Document:
        return accept_copy(document, Rules("https://here"), "https://made.up")


def there(document: Document, moment: Any = None) -> Entry:
    """Tells of a document."""
    if document["type"] == "Feature":
        return Entry(document["collection"], document["id"], document, moment=moment)
    return Entry(document["id"], None, document, moment=moment)


def gone(collection: str, item: str | None = None, moment: Any = None) -> Entry:
    """Tells that something went."""
    return Entry(collection, item, None, is_gone=True, moment=moment)


def plain(documents: Iterable[Document]) -> Stored:
    """Documents by their names, as `stored` has them."""
    return {(d["collection"], d["id"]) if d["type"] == "Feature" else (d["id"], None): d for d in documents}
