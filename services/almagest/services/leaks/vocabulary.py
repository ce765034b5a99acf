"""What requests speak of: names and values of two catalogues, hidden ones included, so that guesses are good ones."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import Any

import psycopg

from almagest.catalogue import assets, database
from almagest.catalogue.following import CursorKey, Nothing, Position, Seen
from almagest.catalogue.moments import printed
from almagest.catalogue.paging import TokenKey
from almagest.catalogue.versions import version_of
from almagest.core import secrets
from almagest.core.settings import Settings

Scalar = str | float | int | bool | None

#: Batches of items that are looked at in each collection of a large catalogue.
_BATCHES = 1
#: Items whose versions are known.
_HEADS = 2000
_WORD = re.compile(r"[A-Za-z]{4,}")
_FREE_TEXT = ("title", "description", "keywords")


@dataclass(frozen=True)
class Words:
    """Words by what they stand for, each list in order and without repetition, none empty.

    Attributes:
        collections: ids.
        items: collection and id.
        sources: of those, which others are derived from.
        versions: path of an item or a collection, and a version of it.
        assets: collection, item and key.
        properties: names of those of items, and of queryables.
        names: of members of items and collections, with dots where they are nested; some name nothing.
        values: scalars that stand in documents.
        by_name: of those, which stand under a name.
        texts: words of titles, descriptions and keywords.
        times: datetimes.
        moments: at which something changed, and others.
        boxes: west, south, east, north of items.
        searches: ids of registered searches.
        cursors: of those outside who follow changes: of the beginning of the log, and of what they could have seen.
    """

    collections: Sequence[str]
    items: Sequence[tuple[str, str]]
    sources: Sequence[tuple[str, str]]
    versions: Sequence[tuple[tuple[str, ...], str]]
    assets: Sequence[tuple[str, str, str]]
    properties: Sequence[str]
    names: Sequence[str]
    values: Sequence[Scalar]
    by_name: Mapping[str, Sequence[Scalar]]
    texts: Sequence[str]
    times: Sequence[str]
    moments: Sequence[str]
    boxes: Sequence[Sequence[float]]
    searches: Sequence[str]
    cursors: Sequence[str]


def gather(catalogues: Iterable[Settings]) -> Words:
    """The words of some catalogues together."""
    collection = _Collection()
    for settings in catalogues:
        with database.translated(), database.connect(settings, "almagest_reader") as connection:
            collection.read(connection)
        with database.translated(), database.connect(settings, "almagest_external") as connection:
            collection.follow(connection, settings)
    return collection.words()


class _Collection:
    def __init__(self) -> None:
        self.collections: set[str] = {"no-such-collection", "collections"}
        self.items: set[tuple[str, str]] = {("no-such-collection", "no-such-item")}
        self.sources = set(self.items)
        self.versions: set[tuple[tuple[str, ...], str]] = {
            (("collections", "no-such-collection"), "20240101T000000.000000Z")
        }
        self.assets: set[tuple[str, str, str]] = {("no-such-collection", "no-such-item", "no-such-key")}
        self.properties: set[str] = {"no_such_name"}
        self.by_name: dict[str, set[Scalar]] = {"no_such_name": {1}}
        self.texts: set[str] = {"nowhere"}
        self.times: set[str] = {"2024-01-01T00:00:00Z"}
        self.moments = {"1990-01-01T00:00:00Z", "2059-12-31T23:59:59Z", "2999-01-01T00:00:00Z"}
        self.boxes: set[tuple[float, ...]] = {(0.0, 0.0, 1.0, 1.0)}
        self.searches: set[str] = {"0" * 64}
        self.cursors: set[str] = set()

    def read(self, connection: psycopg.Connection) -> None:
        self.searches |= {found for (found,) in connection.execute("SELECT id FROM almagest.registered_search")}
        for name in self._one(connection, "SELECT queryables(NULL)").get("properties", {}):
            self.by_name.setdefault(name, set())
            self.properties.add(name)
        edges = "SELECT DISTINCT source_collection, source_item FROM lineage_edge ORDER BY 1, 2 LIMIT %s"
        self.sources |= {(collection, item) for collection, item in connection.execute(edges, (_HEADS,))}
        former = connection.execute("SELECT id FROM collection_head").fetchall()
        for (identifier,) in former:
            self.collections.add(identifier)
            self._versions(connection, b"SELECT valid_from FROM collection_states(%s)", identifier)
        heads = connection.execute("SELECT collection, id FROM item_head ORDER BY 1, 2 LIMIT %s", (_HEADS,)).fetchall()
        for collection, item in heads:
            self.items.add((collection, item))
            self._versions(connection, b"SELECT valid_from FROM item_states(%s, %s)", collection, item)
        for (identifier,) in connection.execute("SELECT collection_ids()").fetchall():
            document = connection.execute("SELECT collection_document(%s)", (identifier,)).fetchone()
            self._document(document[0] if document else {})
            for batch in islice(assets.batches(connection, identifier), _BATCHES):
                for item in batch:
                    self._item(identifier, item)

    def follow(self, connection: psycopg.Connection, settings: Settings) -> None:
        """Cursors as they were handed out when this was the last that could be seen."""
        key = CursorKey(TokenKey(secrets.ensure(settings.secrets, secrets.TOKEN_KEY).encode(), "external"))
        row = connection.execute("SELECT external.shown_rules(), f.* FROM external.change_floor() AS f").fetchone()
        rules, begun, dropped = row or ("", None, None)
        seen: list[Nothing | Seen] = [Nothing(dropped)]
        for collection, item in sorted(self.items):
            for (begin,) in connection.execute(
                "SELECT valid_from FROM external.item_states(%s, %s)", (collection, item)
            ):
                seen.append(Seen(collection, item, begin))
        self.cursors |= {
            key.print(Position(each, rules=rules, begun=since), None) for each in seen for since in {begun, None}
        }

    def _versions(self, connection: psycopg.Connection, statement: bytes, *names: str) -> None:
        path = tuple(part for pair in zip(("collections", "items"), names, strict=False) for part in pair)
        for (begin,) in connection.execute(statement, names).fetchall():
            self.versions.add((path, version_of(begin)))
            self.moments |= {printed(begin), printed(begin - timedelta(microseconds=1))}

    def words(self) -> Words:
        names = sorted(self.by_name)
        return Words(
            collections=sorted(self.collections),
            items=sorted(self.items),
            sources=sorted(self.sources),
            versions=sorted(self.versions),
            assets=sorted(self.assets),
            properties=sorted(self.properties),
            names=names,
            values=_ordered({value for values in self.by_name.values() for value in values} | {""}),
            by_name={name: _ordered(values) for name, values in self.by_name.items() if values},
            texts=sorted(self.texts),
            times=sorted(self.times),
            moments=sorted(self.moments),
            boxes=sorted(self.boxes),
            searches=sorted(self.searches),
            cursors=sorted(self.cursors),
        )

    @staticmethod
    def _one(connection: psycopg.Connection, statement: str) -> Mapping[str, Any]:
        row = connection.execute(statement.encode()).fetchone()
        return row[0] if row and row[0] else {}

    def _item(self, collection: str, item: Mapping[str, Any]) -> None:
        self.items.add((collection, item["id"]))
        self.assets |= {(collection, item["id"], key) for key, _ in assets.stored_assets(item)}
        box = item.get("bbox")
        if isinstance(box, list) and len(box) == 4:
            self.boxes.add(tuple(float(edge) for edge in box))
        self._document(item)

    def _document(self, document: Mapping[str, Any]) -> None:
        properties = document.get("properties")
        for key, value in properties.items() if isinstance(properties, Mapping) else ():
            self._member(key, value)
            self.properties.add(key)
            if key.endswith("datetime") and isinstance(value, str):
                self.times.add(value)
        for key, value in document.items():
            if key not in {"properties", "geometry", "bbox", "type", "stac_version"}:
                self._member(key, value)
        for source in (document, properties if isinstance(properties, Mapping) else {}):
            for text in (source.get(name) for name in _FREE_TEXT):
                self.texts |= set(_WORD.findall(json.dumps(text, ensure_ascii=False)))

    def _member(self, name: str, value: Any) -> None:
        # What holds others has a name as well.
        self.by_name.setdefault(name, set())
        for path, leaf in _leaves(name, value):
            self.by_name.setdefault(path, set()).add(leaf)


def _leaves(path: str, value: Any, depth: int = 0) -> Iterator[tuple[str, Scalar]]:
    if isinstance(value, Mapping) and depth < 4:
        for key, inner in value.items():
            yield from _leaves(f"{path}.{key}", inner, depth + 1)
    elif isinstance(value, list) and depth < 4:
        for inner in value:
            yield from _leaves(path, inner, depth + 1)
    elif isinstance(value, str | int | float | bool) or value is None:
        yield path, value


def _ordered(values: Iterable[Scalar]) -> list[Scalar]:
    # True is 1 to a set: what is left of the two may be either.
    return sorted(values, key=lambda value: (type(value).__name__, str(value)))
