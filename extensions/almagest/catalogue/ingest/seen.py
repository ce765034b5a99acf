"""Which documents an ingest has met, on the disk: memory stays flat however many there are."""

from __future__ import annotations

import hashlib
import sqlite3
from types import TracebackType

#: Bytes that stand for a key or a document. Two of a billion are taken for one another once in 10^20 ingests.
WIDTH = 16


def key_of(collection: str, identifier: str) -> bytes:
    """What stands for an item's name."""
    return hashlib.blake2b(f"{collection}\0{identifier}".encode(), digest_size=WIDTH).digest()


def content_of(text: bytes) -> bytes:
    """What stands for an item's document, its keys in order."""
    return hashlib.sha256(text).digest()[:WIDTH]


class Seen:
    """Remembers the first document of each name and where it stood."""

    def __init__(self) -> None:
        # What does not fit into the cache goes to a file without a name: whatever ends us, nothing of it stays.
        self._store = sqlite3.connect("", isolation_level=None)
        self._store.execute("PRAGMA journal_mode = OFF")
        self._store.execute("PRAGMA cache_size = -32768")
        self._store.execute("CREATE TABLE seen (key BLOB PRIMARY KEY, content BLOB, place TEXT) WITHOUT ROWID")
        self._store.execute("BEGIN")

    def meet(self, key: bytes, content: bytes, place: str) -> tuple[bool, str] | None:
        """None where the name is new; else whether the document is equal to the first one, and where that stood."""
        added = self._store.execute("INSERT OR IGNORE INTO seen VALUES (?, ?, ?)", (key, content, place))
        if added.rowcount:
            return None
        first, where = self._store.execute("SELECT content, place FROM seen WHERE key = ?", (key,)).fetchone()
        return first == content, where

    def __enter__(self) -> Seen:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._store.close()
