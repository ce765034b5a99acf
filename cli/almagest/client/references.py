"""Which further items those at hand point to, remembered on disk: a million need no memory."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

_FOLLOWED = frozenset({"related", "derived_from"})
_ITEM = re.compile(r"/collections/([^/]+)/items/([^/]+)/?$")

#: Collection (None: nobody says) and id.
Target = tuple[str | None, str]


def targets(item: Mapping[str, Any], root: str) -> Iterator[Target]:
    """What an item is derived from or related to, as far as it looks like an item of a STAC API.

    Items of other APIs are meant too: a mirror has them under the same names. Of files only the name counts, as eomatch
    writes them, and only below the API itself, which is where relative links come to lie once they are served.

    Args:
        item: as it is served.
        root: address of the API, with a slash.
    """
    for link in item.get("links") or ():
        href = link.get("href")
        if link.get("rel") not in _FOLLOWED or not isinstance(href, str):
            continue
        try:
            path = urlsplit(href).path
        except ValueError:  # no address at all
            continue
        if found := _ITEM.search(path):
            yield unquote(found[1]), unquote(found[2])
        elif path.endswith(".json") and (href.startswith(root) or "://" not in href):
            yield None, unquote(path.rsplit("/", 1)[-1].removesuffix(".json"))


class Memory:
    """Items that are there, and those that are pointed to."""

    def __init__(self) -> None:
        # An empty name: a temporary file without one, gone with the connection.
        self._database = sqlite3.connect("")
        self._database.executescript(
            """
            PRAGMA synchronous = off;
            PRAGMA journal_mode = off;
            CREATE TABLE present (id TEXT, collection TEXT, PRIMARY KEY (id, collection)) WITHOUT ROWID;
            CREATE TABLE wanted (
                id TEXT, collection TEXT, state TEXT DEFAULT 'new', PRIMARY KEY (collection, id)
            ) WITHOUT ROWID;
            CREATE INDEX waiting ON wanted (state, collection, id) WHERE state IN ('new', 'due');
            """
        )

    def add(self, collection: str, identifier: str) -> bool:
        """Notes that an item is there; whether it is new."""
        added = self._database.execute("INSERT OR IGNORE INTO present VALUES (?, ?)", (identifier, collection))
        return added.rowcount == 1

    def want(self, target: Target) -> None:
        """Notes that an item is pointed to."""
        collection, identifier = target
        self._database.execute(
            "INSERT OR IGNORE INTO wanted (id, collection) VALUES (?, ?)", (identifier, collection or "")
        )

    def missing(self, size: int) -> Iterator[tuple[str | None, list[str]]]:
        """Items that are pointed to, not there, and were not asked for before, by collection and so many at a time.

        What is wanted while these are fetched is left for the next time.
        """
        self._database.execute(
            """
            UPDATE wanted SET state = iif(EXISTS (
                SELECT 1 FROM present AS p
                WHERE p.id = wanted.id AND wanted.collection IN ('', p.collection)), 'there', 'due')
            WHERE state = 'new'
            """
        )
        while rows := self._database.execute(
            """
            SELECT collection, id FROM wanted
            WHERE state = 'due' AND collection = (SELECT min(collection) FROM wanted WHERE state = 'due')
            ORDER BY id LIMIT ?
            """,
            (size,),
        ).fetchall():
            self._database.executemany("UPDATE wanted SET state = 'asked' WHERE collection = ? AND id = ?", rows)
            yield rows[0][0] or None, [identifier for _, identifier in rows]

    def lost(self) -> int:
        """How many were asked for and are still not there."""
        row = self._database.execute(
            """
            SELECT count(*) FROM wanted WHERE state = 'asked' AND NOT EXISTS (
                SELECT 1 FROM present AS p
                WHERE p.id = wanted.id AND wanted.collection IN ('', p.collection))
            """
        ).fetchone()
        return int(row[0])

    def close(self) -> None:
        """Forgets everything."""
        self._database.close()
