"""What was made of what: keeping the edges, walking along them, and finding what is out of date."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import dict_row

from almagest.catalogue.versions import version_of

Document = dict[str, Any]

#: As many changes as `fold_lineage` folds at most.
FOLDED_AT_ONCE = 2000
_AT_ONCE = 500

#: What a database is asked, for whichever audience. Parameters: collection, item, version or None, whether upwards,
#: steps, nodes, origin of the site.
WALK = "SELECT l.lineage, l.is_gone FROM lineage($1, $2, $3, $4, $5, $6, $7) AS l"
#: Parameters: collection or None, collection and item to begin behind, how many, origin of the site.
STALE = "SELECT s.collection, s.item, s.version, s.sources::text FROM stale_products($1, $2, $3, $4, $5) AS s"


@dataclass(frozen=True)
class Source:
    """Something that a product was made of, and that is another by now.

    Attributes:
        collection: id of its collection.
        id: its own.
        version: the version that was used; None where nobody can tell.
        newest: the one that is there now; None: it was deleted.
        pinned: the product names the version. Otherwise it is the one that was there when the product was written.
    """

    collection: str
    id: str
    version: str | None
    newest: str | None
    pinned: bool


@dataclass(frozen=True)
class Stale:
    """An item whose sources have changed since.

    Attributes:
        collection: id of its collection.
        id: its own.
        version: its present version.
        sources: those that have changed.
    """

    collection: str
    id: str
    version: str
    sources: tuple[Source, ...]

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Stale:
        """As `stale_products` tells it."""
        import orjson

        sources = tuple(
            Source(
                source["collection"], source["id"], source.get("version"), source.get("newest"), bool(source["pinned"])
            )
            for source in orjson.loads(row["sources"])
        )
        return cls(row["collection"], row["item"], version_of(row["version"]), sources)

    @classmethod
    def from_json(cls, document: Document) -> Stale:
        """As the API tells it."""
        sources = tuple(Source(**source) for source in document["sources"])
        return cls(document["collection"], document["id"], document["version"], sources)


def stale(connection: psycopg.Connection[Any], origin: str, collection: str | None = None) -> Iterator[Stale]:
    """Items that are derived from what has a newer version, or is gone; by collection and id.

    Args:
        connection: one whose search_path is ours, of a role that may read.
        origin: scheme and authority of the site, by which links to its items are known.
        collection: only of this one.
    """
    last = ("", "")
    while True:
        with psycopg.RawCursor(connection, row_factory=dict_row) as cursor:
            found = cursor.execute(STALE.encode(), (collection, *last, _AT_ONCE, origin)).fetchall()
        yield from map(Stale.of, found)
        if len(found) < _AT_ONCE:
            return
        last = (found[-1]["collection"], found[-1]["item"])


def gather(connection: psycopg.Connection[Any], report: Callable[[str], None]) -> None:
    """Looks once through what was there before edges were kept; nobody waits, and it may be ended and done again."""
    if not _value(connection, "SELECT almagest.begin_lineage()"):
        return
    collections = connection.execute(
        "SELECT id FROM almagest.collection_head UNION SELECT almagest.port_collection_ids() ORDER BY 1"
    ).fetchall()
    for (collection,) in collections:
        report(f"noting what items of {collection} are derived from")
        connection.execute("SELECT almagest.gather_lineage(%s)", (collection,))
    connection.execute("SELECT almagest.finish_lineage()")


def fold(connection: psycopg.Connection[Any]) -> None:
    """Folds all changes that can be folded.

    Args:
        connection: in autocommit mode, of a role that may fold.
    """
    while _value(connection, "SELECT almagest.fold_lineage(%s)", FOLDED_AT_ONCE) >= FOLDED_AT_ONCE:
        pass


def forget(connection: psycopg.Connection[Any]) -> int:
    """Removes edges of states that are forgotten; answers how many.

    Args:
        connection: as the admin, in autocommit mode.
    """
    return int(_value(connection, "SELECT almagest.forget_lineage()"))


def _value(connection: psycopg.Connection[Any], statement: str, *values: object) -> Any:
    row = connection.execute(statement.encode(), values or None).fetchone()
    assert row is not None
    return row[0]
