"""Judging a batch: what goes in, as what, and what stays out and why. Runs without a database."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import orjson

from almagest.catalogue import acceptance
from almagest.catalogue.extents import Extent, bare_collection
from almagest.catalogue.ingest.batches import digest
from almagest.catalogue.ingest.seen import content_of, key_of
from almagest.catalogue.reserved import require_changeable
from almagest.catalogue.rows import Base, Document, Row, RowMaker
from almagest.core.errors import AlmagestError, BadRequestError, ConflictError, InvalidDocumentError, TooLargeError

#: What a document can be refused for.
Refusals = (BadRequestError, ConflictError, InvalidDocumentError, TooLargeError)


class Finding(NamedTuple):
    """What is to be said of the document at a position of a batch."""

    position: int
    kind: Literal["refused", "mended"]
    collection: str | None
    id: str | None
    reason: str


@dataclass(frozen=True)
class Terms:
    """How the documents of an ingest are judged.

    Attributes:
        rules: what every door of the catalogue asks for.
        collection: where items go that name no collection.
        create: whether collections that are not there are made from their items.
        known: the collections that are there.
        settled: of those, the ones whose extent somebody has stated.
    """

    rules: acceptance.Rules
    collection: str | None = None
    create: bool = False
    known: frozenset[str] = frozenset()
    settled: frozenset[str] = frozenset()

    def context(self) -> tuple[str, ...]:
        """What else than its bytes decides what becomes of a batch."""
        return (repr(self.rules), repr(self.collection))


@dataclass
class Checked:
    """A batch as it may be stored.

    Attributes:
        digest: what only an equal batch has.
        positions: of the good ones, in the batch.
        names: collection and id of each good one.
        texts: each good one, as it will be stored.
        rows: each good one as a row, while it is at hand; None where that has to wait for its collection.
        keys, contents: what stands for names and texts, one after the other.
        extents: of collections that are made from their items.
        findings: about the others, and what was mended.
    """

    digest: bytes
    positions: list[int] = field(default_factory=list)
    names: list[tuple[str, str]] = field(default_factory=list)
    texts: list[bytes] = field(default_factory=list)
    rows: list[Row | None] = field(default_factory=list)
    keys: list[bytes] = field(default_factory=list)
    contents: list[bytes] = field(default_factory=list)
    extents: dict[str, Extent] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


def check(data: Sequence[bytes], terms: Terms, bases: Mapping[str, Base] | None = None) -> Checked:
    """Judges the documents of a batch; empty ones, which could not be read, are passed over.

    Args:
        data: the documents as they came.
        terms: how they are judged.
        bases: of collections, as far as they are known: the items of these are made into rows.
    """
    checked = Checked(digest(data, *terms.context()))
    maker = RowMaker(bases or {})
    for position, text in enumerate(data):
        if text:
            _check_one(checked, position, text, terms, maker)
    return checked


def _check_one(checked: Checked, position: int, text: bytes, terms: Terms, maker: RowMaker) -> None:
    collection = identifier = None
    try:
        document = parsed(text)
        collection, identifier = named(document)
        accepted = acceptance.accept_item(_at_home(document, terms), terms.rules, is_finite=True)
        item, remarks = accepted.document, accepted.remarks
        collection = item["collection"]
        _require_collection(collection, terms)
    except Refusals as error:
        checked.findings.append(Finding(position, "refused", collection, identifier, str(error)))
        return
    if item.get("collection") != document.get("collection"):
        remarks = (*remarks, f"it named no collection and went to {collection}")
    if remarks:
        checked.findings.append(Finding(position, "mended", collection, identifier, "; ".join(remarks)))
    checked.positions.append(position)
    checked.names.append((collection, item["id"]))
    # In the order of its keys, which the database does not keep: equal documents have equal texts.
    ordered = orjson.dumps(item, option=orjson.OPT_SORT_KEYS)
    checked.texts.append(ordered)
    checked.rows.append(_row(maker, item))
    checked.keys.append(key_of(collection, item["id"]))
    checked.contents.append(content_of(ordered))
    if terms.create and collection not in terms.settled:
        extent = Extent.of(item)
        present = checked.extents.get(collection)
        checked.extents[collection] = present | extent if present else extent


def _row(maker: RowMaker, item: Document) -> Row | None:
    try:
        return maker.row(item)
    except AlmagestError:
        return None  # tried again where it is stored, which says why


def parsed(text: bytes) -> Any:
    """The document that a text spells.

    Raises:
        BadRequestError: it is not JSON.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadRequestError(f"This is not JSON: {error}.") from None


def named(document: Any) -> tuple[str | None, str | None]:
    """Collection and id that a document gives itself, as far as they are names at all."""
    if not isinstance(document, dict):
        return None, None
    collection, identifier = document.get("collection"), document.get("id")
    return (
        collection if isinstance(collection, str) else None,
        identifier[:200] if isinstance(identifier, str) else None,
    )


def _at_home(document: Any, terms: Terms) -> Any:
    """A document with the collection it belongs to.

    Raises:
        BadRequestError: nobody says which one that is.
    """
    if not isinstance(document, dict) or document.get("collection") is not None:
        return document
    if terms.collection is None:
        raise BadRequestError("/collection: the item names none; `--collection ID` says where such items go.")
    return {**document, "collection": terms.collection}


def _require_collection(collection: str, terms: Terms) -> None:
    """Refuses an item of a collection that is not there and will not be made.

    Raises:
        BadRequestError: with the remedy.
        ConflictError: it is nobody's to change.
    """
    if collection in terms.known:
        return
    require_changeable(collection)
    if not terms.create:
        raise BadRequestError(
            f"There is no collection {collection!r}: give its document too, or `--create-collections`."
        )
    _require_name(collection, terms.rules)


@functools.cache
def _require_name(collection: str, rules: acceptance.Rules) -> None:
    """Refuses a name that no collection can have."""
    anything = Extent(0, 0, 0, 0, "2000-01-01T00:00:00Z", "2000-01-01T00:00:00Z")
    acceptance.accept_collection(bare_collection(collection, anything), rules)


#: Says of each good document of a batch, by its place among them, why it is not stored: it was read before, as an
#: equal document (True) or another one (False), and where.
Verdicts = dict[int, tuple[bool, str]]


def judged(checked: Checked, verdicts: Verdicts) -> list[Finding]:
    """What is to be said of a batch when it is known what of it was read before: of such nothing goes in."""
    passed_over = {checked.positions[n] for n in verdicts}
    return [finding for finding in checked.findings if finding.position not in passed_over] + [
        Finding(checked.positions[n], "refused", *checked.names[n], f"another item of this id stands at {where}")
        for n, (equal, where) in verdicts.items()
        if not equal
    ]
