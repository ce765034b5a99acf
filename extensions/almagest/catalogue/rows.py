"""Making rows of pgSTAC's table of items out of documents, here rather than in the database.

What an item shares with its collection's base item is not stored with it. pgSTAC's own writers lose nulls and empty
arrays where the base item has something else; what is made here, :func:`almagest.catalogue.hydration.join` gives back
as it was.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson
from hydraters import DO_NOT_MERGE_MARKER

from almagest.catalogue.geometry import ewkb
from almagest.catalogue.hydration import base_item
from almagest.core.errors import InvalidDocumentError, NotFoundError, Violation

Document = dict[str, Any]

#: Where a stored item says which of its collection's base items it was stripped against.
TAG = "pgstac:base_item"
#: Members with a column of their own, and the one that only stored items have.
_NOT_CONTENT = ("id", "collection", "geometry", TAG)


class Base(NamedTuple):
    """What items of a collection are stripped against at present.

    Attributes:
        key: of the collection: another one after it was deleted and made again.
        item_id: the tag of items stripped against it; None as long as the collection never changed.
        item: the base item itself.
    """

    key: int
    item_id: int | None
    item: Document

    @classmethod
    def of(cls, collection: str, told: Sequence[Any] | None) -> Base:
        """As ``port_current_base`` tells it.

        Raises:
            NotFoundError: it tells nothing: there is no such collection.
        """
        if told is None:
            raise NotFoundError(f"There is no collection {collection!r}: create it first.")
        key, item_id, text = told
        return cls(key, item_id, base_item(text))


class Row(NamedTuple):
    """An item as it is stored.

    Attributes:
        start: begin of its time, as written in the document: PostgreSQL reads it.
        end: end of its time.
        geometry: as EWKB.
        content: the rest, stripped, as JSON text.
        base_key: see :class:`Base`.
        base_item_id: see :class:`Base`.
    """

    collection: str
    id: str
    start: str
    end: str
    geometry: bytes
    content: str
    base_key: int
    base_item_id: int | None


class RowMaker:
    """Makes rows of items whose collections are known."""

    def __init__(self, bases: Mapping[str, Base]) -> None:
        self._bases = bases

    def row(self, document: Document) -> Row:
        """The row of an accepted item, which is not changed.

        Raises:
            InvalidDocumentError: it has no time or geometry that can be stored.
            NotFoundError: its collection is not known.
        """
        base = self._bases.get(document["collection"])
        if base is None:
            raise NotFoundError(f"There is no collection {document['collection']!r}: create it first.")
        start, end = times(document)
        content = stripped(base.item, document)
        for member in _NOT_CONTENT:
            content.pop(member, None)
        if base.item_id is not None:
            content[TAG] = base.item_id
        return Row(
            document["collection"],
            document["id"],
            start,
            end,
            _geometry(document),
            orjson.dumps(content).decode(),
            base.key,
            base.item_id,
        )


def times(document: Mapping[str, Any]) -> tuple[str, str]:
    """Begin and end of an item's time, as pgSTAC chooses them.

    Raises:
        InvalidDocumentError: it has none.
    """
    properties = document["properties"]
    start, end = properties.get("start_datetime"), properties.get("end_datetime")
    if start is None or end is None:
        start = end = properties.get("datetime")
    if start is None:
        raise InvalidDocumentError([Violation("/properties/datetime", "is missing")], f"The item {document['id']!r}")
    return start, end


def stripped(base: Document, item: Document) -> Document:
    """An item, or a part of one, without what its base has as well.

    What the base has and the item has not is marked, so that it is not put back.
    """
    rest = item.copy()
    for key, there in base.items():
        if key not in item:
            rest[key] = DO_NOT_MERGE_MARKER
        elif there == (value := item[key]) and (type(value) is str or _written(there) == _written(value)):
            del rest[key]
        else:
            rest[key] = _rest(there, value)
    return rest


def _rest(base: Any, value: Any) -> Any:
    if isinstance(base, dict) and isinstance(value, dict):
        return stripped(base, value)
    # Arrays of equal length are put together place by place, so they are taken apart in the same way.
    if isinstance(base, list) and isinstance(value, list) and len(base) == len(value):
        return [_rest(there, here) for there, here in zip(base, value, strict=True)]
    return value


def _written(value: Any) -> bytes:
    """As JSON: to Python 1, 1.0 and True are one; in a document they are not."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _geometry(document: Document) -> bytes:
    try:
        return ewkb(document["geometry"])
    except (KeyError, TypeError, IndexError, ValueError, OverflowError, struct.error) as error:
        subject = f"The item {document['id']!r}"
        raise InvalidDocumentError([Violation("/geometry", "cannot be stored")], subject) from error
