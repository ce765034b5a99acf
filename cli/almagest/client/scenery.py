"""Where scenes are: files, or a STAC API."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Protocol

import cql2
import orjson

from almagest.catalogue.exchange import Source, Unreadable
from almagest.client.api import Document, StacApi

#: Collection and id.
Name = tuple[str, str]

#: Ids in one request: in a body, and in an address, which must not become too long.
_IN_BODY, _IN_ADDRESS = 200, 50


class Scenery(Protocol):
    """Items that may be scenes.

    Attributes:
        origin: public address of the API that they come from; empty: of none.
    """

    origin: str

    def items(self) -> Iterator[Document]:
        """All of them."""
        ...

    def named(self, names: Collection[Name]) -> Iterator[Document]:
        """Some of them once more."""
        ...

    def collections(self, identifiers: Collection[str]) -> Iterator[Document]:
        """Documents of some collections, as far as there are any."""
        ...


class Files:
    """Items in files, such as a static catalogue.

    Attributes:
        unreadable: how many documents could not be read.
    """

    origin = ""

    def __init__(self, source: Source, condition: Mapping[str, Any] | None = None) -> None:
        """Args:
        source: of documents.
        condition: CQL2 as JSON; items for which it does not hold are passed by.
        """
        self.unreadable = 0
        self._source = source
        self._condition = None if condition is None else cql2.Expr(dict(condition))

    def items(self) -> Iterator[Document]:
        """All of them, as far as they can be read."""
        self.unreadable = 0
        for reading in self._source.items():
            document = None if isinstance(reading, Unreadable) else _parsed(reading.data)
            if document is None:
                self.unreadable += 1
            elif self._condition is None or self._holds(document):
                yield document

    def named(self, names: Collection[Name]) -> Iterator[Document]:
        """Some of them once more."""
        left = set(names)
        for document in self.items():
            name = str(document.get("collection")), str(document.get("id"))
            if name in left:
                left.remove(name)
                yield document

    def collections(self, identifiers: Collection[str]) -> Iterator[Document]:
        """Documents of some collections, as far as there are any."""
        left = set(identifiers)
        for reading in self._source.collections():
            document = None if isinstance(reading, Unreadable) else _parsed(reading.data)
            if document is not None and document.get("id") in left:
                left.remove(document["id"])
                yield document

    def _holds(self, document: Document) -> bool:
        try:
            return bool(self._condition.matches(document))  # type: ignore[union-attr]  # asked before
        except Exception:  # cql2 knows no narrower one: what a condition cannot be asked of does not meet it
            return False


class Api:
    """Items that a search of a STAC API finds."""

    def __init__(self, api: StacApi, search: Mapping[str, Any]) -> None:
        """Args:
        api: where to search.
        search: body of a STAC item search.
        """
        self.origin = api.root
        self._api = api
        self._search = search

    def items(self) -> Iterator[Document]:
        """All of them."""
        return self._api.search(self._search)

    def named(self, names: Collection[Name]) -> Iterator[Document]:
        """Some of them once more."""
        by_collection: dict[str, list[str]] = {}
        for collection, identifier in sorted(names):
            by_collection.setdefault(collection, []).append(identifier)
        for collection, identifiers in by_collection.items():
            size = _IN_BODY if self._api.takes_posts else _IN_ADDRESS
            for start in range(0, len(identifiers), size):
                yield from self._api.search({"collections": [collection], "ids": identifiers[start : start + size]})

    def collections(self, identifiers: Collection[str]) -> Iterator[Document]:
        """Documents of some collections, as far as there are any."""
        return (document for name in sorted(identifiers) if (document := self._api.collection(name)) is not None)


def _parsed(data: bytes) -> Document | None:
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    return document if isinstance(document, dict) else None
