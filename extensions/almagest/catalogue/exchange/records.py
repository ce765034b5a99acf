"""What a source gives: documents as bytes, each with the place where it was found."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol

Document = dict[str, Any]
Kind = Literal["item", "collection", "catalog"]

#: Documents that are no items say so by these words.
SIGNS: dict[Kind, bytes] = {"collection": b'"Collection"', "catalog": b'"Catalog"'}
#: A longer document is none: what holds it would not fit into memory many times over.
MAX_DOCUMENT_BYTES = 64 * 1024 * 1024
#: But one that leads to others has a link for each, and there may be millions: half a gigabyte of memory for each.
MAX_HOLDER_BYTES = 1024 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Record:
    """One JSON document, as it came: whether it is JSON at all, whoever parses it finds out.

    Attributes:
        where: its place, in words for a report: `file.ndjson:17`, `dir/a.json`, `page 3 of https://…`.
    """

    where: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Unreadable:
    """What stands in the place of a document, or of all further ones of a file, that could not be read."""

    where: str
    reason: str


Reading = Record | Unreadable


class Source(Protocol):
    """Where documents come from. Memory stays flat whatever its size.

    Attributes:
        name: absolute path or URL; the same source has the same name.
    """

    name: str

    def collections(self) -> Iterator[Reading]:
        """The collections, if there are any; the whole source is looked through for them.

        What cannot be read is reported once, by :meth:`items`.
        """
        ...

    def items(self) -> Iterator[Reading]:
        """The items, from the start each time this is called."""
        ...

    def fraction(self) -> float | None:
        """How much of what :meth:`items` (or :meth:`collections`) last began has been read, 0 to 1; None if unknown."""
        ...


def printable(name: str) -> str:
    """A name as it can be shown and stored: file systems and hostile catalogues have any bytes in it."""
    if name.isprintable():
        return name
    return "".join(part if part.isprintable() else part.encode("unicode_escape").decode() for part in name)


def kind(data: bytes) -> Kind:
    """What a document says it is. Whatever does not call itself otherwise is taken for an item, good or bad."""
    # Looking for the word spares parsing nearly every item.
    if SIGNS["collection"] not in data and SIGNS["catalog"] not in data:
        return "item"
    try:
        said = json.loads(data).get("type")
    except (ValueError, AttributeError, RecursionError):
        return "item"
    return "collection" if said == "Collection" else "catalog" if said == "Catalog" else "item"


def dump(document: Document) -> bytes:
    """A document as one line of JSON, without the end of the line."""
    try:
        return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:  # half a surrogate pair, which only an escape can spell
        return json.dumps(document, separators=(",", ":")).encode()
