"""Which item lies in which file: in a temporary database, since there may be millions."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from almagest.catalogue.exchange.naming import file_names

_SCHEMA = """
CREATE TABLE item (
  number INTEGER PRIMARY KEY,
  collection TEXT NOT NULL,
  id TEXT NOT NULL,
  path TEXT NOT NULL,
  folded TEXT NOT NULL UNIQUE,
  has_references INTEGER NOT NULL DEFAULT 0,
  UNIQUE (collection, id)
)
"""


class Register:
    """Files of items; the collection of an item that has none is called by an empty text."""

    def __init__(self) -> None:
        # Without a name it is SQLite's own temporary file.
        self._database = sqlite3.connect("", isolation_level=None)
        for line in ("PRAGMA journal_mode = OFF", "PRAGMA synchronous = OFF", _SCHEMA, "BEGIN"):
            self._database.execute(line)

    def place(self, collection: str, identifier: str, folder: str) -> str:
        """The path of an item: where it is already, or a free one in a folder, whatever its case."""
        key = (_text(collection), _text(identifier))
        found = self._database.execute("SELECT path FROM item WHERE collection = ? AND id = ?", key).fetchone()
        if found:
            return str(found[0])
        for name in file_names(identifier):
            path = f"{folder}/{name}.json"
            if self._insert(key, path):
                return path
        raise AssertionError("ids with the same digest")

    def remember(self, collection: str, identifier: str, path: str) -> None:
        """Takes note of an item that is there already."""
        self._insert((_text(collection), _text(identifier)), path)

    def _insert(self, key: tuple[str, str], path: str) -> bool:
        added = self._database.execute(
            "INSERT OR IGNORE INTO item (collection, id, path, folded) VALUES (?, ?, ?, ?)",
            (*key, path, path.casefold()),
        )
        return added.rowcount == 1

    def mark(self, path: str) -> None:
        """Takes note that an item may refer to others."""
        self._database.execute("UPDATE item SET has_references = 1 WHERE folded = ?", (path.casefold(),))

    def path(self, collection: str, identifier: str) -> str | None:
        """Where an item lies, if it does."""
        key = (_text(collection), _text(identifier))
        found = self._database.execute("SELECT path FROM item WHERE collection = ? AND id = ?", key).fetchone()
        return found[0] if found else None

    def paths(self, collection: str) -> Iterator[str]:
        """All items of a collection, in the order in which they came."""
        wanted = "SELECT path FROM item WHERE collection = ? ORDER BY number"
        return (path for (path,) in self._database.execute(wanted, (_text(collection),)))

    def marked(self) -> Iterator[str]:
        """All items that may refer to others."""
        wanted = "SELECT path FROM item WHERE has_references ORDER BY number"
        return (path for (path,) in self._database.execute(wanted))

    def close(self) -> None:
        """Forgets everything."""
        self._database.close()


def _text(identifier: str) -> str:
    """An id as SQLite can hold it: half a surrogate pair is none of its texts."""
    return identifier.encode(errors="backslashreplace").decode()
