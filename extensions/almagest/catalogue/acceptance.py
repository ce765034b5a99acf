"""The one door for documents: what is checked, what is mended and what is refused, whoever brings them.

What is accepted is stored: nothing in it makes the database or a later answer fail.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import orjson

from almagest.catalogue import mending, rendering, validation, versions
from almagest.catalogue.links import INFERRED_LINKS, SERVER_LINKS
from almagest.core.errors import BadRequestError, InvalidDocumentError, TooLargeError, Violation, pointer_step

Document = dict[str, Any]

MAX_DOCUMENT = 16 * 1024 * 1024
MAX_STRING = 1024 * 1024

#: By which pgSTAC marks, in what it stores, that an item lacks what its base item has.
MARKER = "𒍟※"
_MARKER_BYTES = MARKER.encode()

#: Links that the API adds to what it serves, beside those that every STAC server makes. Sent back, they are not stored.
_MADE_HERE = rendering.RELS | versions.RELS | SERVER_LINKS
#: Links by which a document says where it was taken from; our own copies have `via`.
_SOURCES = frozenset({"self", "canonical", "via"})
#: Of what is valid, but would replace the original by what is shown of it.
_FAULT = "is the copy that outsiders see"
#: What is mended in a document that comes in and may stay in a copy: the database takes and finds it as it is.
_HARMLESS = frozenset({mending.BBOX_ANEW, mending.START_MADE, mending.END_MADE, mending.DATETIME_NULL})
#: Stands for a bbox that is still to be made, so that the schema judges the rest.
_ANY_BBOX = [0, 0, 0, 0]


@dataclass(frozen=True)
class Accepted:
    """A document as it will be stored.

    Attributes:
        document: valid, in its collection, without the links that are made on the way out.
        remarks: what was mended, a sentence each; none if it came as it should.
    """

    document: Document
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rules:
    """What documents are judged by.

    Attributes:
        origin: public address of this catalogue, by which its own links are known.
        mirror: folder of mirrored schemas, for extensions.
        extensions: also judge by the schemas of ``stac_extensions``.
    """

    origin: str
    mirror: Path | None = None
    extensions: bool = False


def accept_item(
    document: Any,
    rules: Rules,
    *,
    collection: str | None = None,
    item_id: str | None = None,
    is_finite: bool = False,
) -> Accepted:
    """An item as it will be stored.

    Args:
        document: as parsed from JSON; not changed.
        rules: what it is judged by.
        collection: where it goes; where nobody says, the item itself must.
        item_id: the id that it must have.
        is_finite: whether all its numbers are known to be finite, as they are in what orjson has parsed.

    Raises:
        BadRequestError: it names another collection or id than it should.
        InvalidDocumentError: it is not valid STAC, or holds what cannot be stored.
        TooLargeError: it is larger than any document has reason to be.
    """
    _check_values(document, "item", is_finite=is_finite)
    remarks: tuple[str, ...] = ()
    item = document
    if isinstance(document, dict):
        item = _in_collection(document, collection)
        item, of_version = mending.mend_version(item, "item")
        item, of_times = mending.mend_times(item)
        remarks = (*of_version, *of_times)
        boxless = item.get("bbox") is None and isinstance(item.get("geometry"), dict)
        judged = {**item, "bbox": _ANY_BBOX} if boxless else item
    else:
        boxless, judged = False, document
    validation.check_item(judged, mirror=rules.mirror, extensions=rules.extensions)
    _check_id(item, item_id)
    if violations := list(mending.time_violations(item["properties"])):
        raise InvalidDocumentError(violations, f"The item {item['id']!r}")
    if violations := list(_circular_assets(item, rules.origin)):
        raise InvalidDocumentError(violations, f"The item {item['id']!r}", _FAULT)
    item, of_place = mending.mend_place(item)
    return Accepted(_without_own_links(item, rules.origin), (*remarks, *of_place))


def accept_collection(document: Any, rules: Rules, *, collection_id: str | None = None) -> Accepted:
    """A collection as it will be stored; arguments and errors as for :func:`accept_item`."""
    _check_values(document, "collection")
    collection = document
    remarks: tuple[str, ...] = ()
    if isinstance(document, dict):
        collection, remarks = mending.mend_version({"links": [], **document}, "collection")
    validation.check_collection(collection, mirror=rules.mirror, extensions=rules.extensions)
    _check_id(collection, collection_id)
    if violations := list(_interval_violations(collection["extent"]["temporal"]["interval"])):
        raise InvalidDocumentError(violations, f"The collection {collection['id']!r}")
    if violations := list(_outsiders_copy(collection, rules.origin)):
        raise InvalidDocumentError(violations, f"The collection {collection['id']!r}", _FAULT)
    return Accepted(_without_own_links(collection, rules.origin), remarks)


def accept_copy(document: Any, rules: Rules, origin: str) -> Document:
    """A document of another Almagest, judged as any: as it is stored there, so that both stay equal.

    Where it would be mended, and what is wrong does no harm, it stays as it is: stock writers store such things there.

    Args:
        document: an item or a collection, as parsed from JSON; not changed.
        rules: what it is judged by.
        origin: public address of that other one, by which the links that it adds are known.

    Raises:
        BadRequestError, InvalidDocumentError, TooLargeError: as for :func:`accept_item`.
    """
    if not isinstance(document, dict) or not _has_links(document := {"links": [], **document}):
        raise BadRequestError("This is no document of a catalogue.")
    copy = _without_own_links(document, origin)
    if copy.get("type") != "Feature":
        return accept_collection(copy, rules).document
    accepted = accept_item(copy, rules)
    if _HARMLESS.issuperset(accepted.remarks) and _is_on_the_globe(copy["bbox"]):
        return _without_own_links(copy, rules.origin)
    return accepted.document


def _has_links(document: Document) -> bool:
    links = document["links"]
    return isinstance(links, list) and all(
        isinstance(link, dict) and {str} == {type(link.get(member)) for member in ("rel", "href")} for link in links
    )


def _is_on_the_globe(bbox: list[float]) -> bool:
    half = len(bbox) // 2
    return max(abs(bbox[0]), abs(bbox[half])) <= 180 and -90 <= bbox[1] <= bbox[half + 1] <= 90


def check_asset(asset: Any) -> None:
    """Refuses an asset that no item should hold: judged alone, for its item was judged before.

    Raises:
        InvalidDocumentError: it is not valid STAC, or holds what cannot be stored.
        TooLargeError: it is larger than any document has reason to be.
    """
    _check_values(asset, "asset")
    validation.check_asset(asset)


def _in_collection(document: Document, collection: str | None) -> Document:
    named = document.get("collection", collection)
    if collection is None and not isinstance(named, str):
        raise BadRequestError("/collection: the item does not say in which collection it is.")
    if collection is not None and named != collection:
        raise BadRequestError(f"/collection: the item says {named!r}, the address {collection!r}.")
    item = {**document, "collection": named}
    item.pop("pgstac:base_item", None)  # pgSTAC's own bookkeeping, never a client's
    return item


def _circular_assets(item: Document, origin: str) -> Iterator[Violation]:
    """Where an item as outsiders see it is sent back, its assets would lead to themselves, and nowhere else."""
    public = f"{origin}/external/assets/"
    for key, asset in item["assets"].items():
        href = asset["href"]
        if href.startswith(public) and unquote(href.removeprefix(public)) == f"{item['collection']}/{item['id']}/{key}":
            yield Violation(
                f"/assets/{pointer_step(key)}/href", "is where this catalogue serves the asset: say where it lies"
            )


def _outsiders_copy(collection: Document, origin: str) -> Iterator[Violation]:
    """Where a collection says that it is what outsiders see: what they do not see would be lost."""
    for index, link in enumerate(collection["links"]):
        if link["rel"] in _SOURCES and _leads_to(link, f"{origin}/external/collections/", collection["id"]):
            yield Violation(
                f"/links/{index}/href", "is where this catalogue shows outsiders the collection: take it from /api"
            )


def _leads_to(link: Document, folder: str, identifier: str) -> bool:
    href: str = link["href"]
    return href.startswith(folder) and unquote(href.removeprefix(folder)).rstrip("/") == identifier


def _check_id(document: Document, expected: str | None) -> None:
    if expected is not None and document["id"] != expected:
        raise BadRequestError(f"/id: the document says {document['id']!r}, the address {expected!r}.")


def _without_own_links(document: Document, origin: str) -> Document:
    own = f"{origin}/"

    def is_made_here(link: Document) -> bool:
        rel = link["rel"]
        return rel in INFERRED_LINKS or (rel in _MADE_HERE and link["href"].startswith(own))

    return {**document, "links": [link for link in document["links"] if not is_made_here(link)]}


def _interval_violations(intervals: list[list[str | None]]) -> Iterator[Violation]:
    for index, (start, end) in enumerate(intervals):
        where = f"/extent/temporal/interval/{index}"
        for side, text in enumerate((start, end)):
            yield from mending.year_violations(f"{where}/{side}", text)
        if start is not None and end is not None and not mending.is_in_order(start, end):
            yield Violation(where, f"ends, {end}, before it starts, {start}")


def _check_values(document: Any, kind: str, *, is_finite: bool = False) -> None:
    """Refuses what no JSON text, no page of answers or no row of the database can hold.

    The text of the document tells nearly all of it at the speed of C; only where it raises a doubt is every value seen.
    """
    try:
        # orjson reads deeper documents than it writes, and a document stands in a page, which stands in others.
        text = orjson.dumps(page := [[[[[[[[document]]]]]]]])
    except TypeError as error:
        if "ecursion" in str(error):
            raise BadRequestError(f"The {kind} nests too deeply.") from None
        _refuse_values(document, kind)
        raise BadRequestError(f"The {kind} cannot be written as JSON: {error}.") from None
    if len(text) > MAX_DOCUMENT:
        raise TooLargeError(
            f"The {kind} has {len(text):,} bytes; at most {MAX_DOCUMENT:,} are taken. Put large things into assets."
        )
    # A number that is not finite is written as null, and so comes back as another value.
    if (
        len(text) > MAX_STRING
        or b"\\u0000" in text
        or _MARKER_BYTES in text
        or (not is_finite and b"null" in text and orjson.loads(text) != page)
    ):
        _refuse_values(document, kind)


def _refuse_values(document: Any, kind: str) -> None:
    if violations := list(_value_violations(document, "")):
        raise InvalidDocumentError(violations[:20], f"The {kind}")


def _value_violations(value: Any, pointer: str) -> Iterator[Violation]:
    if isinstance(value, dict):
        for key, member in value.items():
            if isinstance(key, str):
                if fault := _text_fault(key):
                    yield Violation(pointer, f"has a key that {fault}")
                    continue
                if type(member) in _PLAIN:
                    continue
                key = pointer_step(key)
            yield from _value_violations(member, f"{pointer}/{key}")
    elif isinstance(value, list | tuple):
        for index, member in enumerate(value):
            yield from _value_violations(member, f"{pointer}/{index}")
    elif isinstance(value, str):
        if fault := _text_fault(value):
            yield Violation(pointer, fault)
    elif isinstance(value, float):
        if not math.isfinite(value):
            yield Violation(pointer, f"{value} is not a number that JSON can hold")
    elif isinstance(value, int) and not -(2**63) <= value < 2**64:
        yield Violation(pointer, "is an integer of more than 64 bits")


_PLAIN = frozenset({bool, type(None)})


def _text_fault(text: str) -> str | None:
    if len(text) > MAX_STRING:
        return f"has {len(text):,} characters; at most {MAX_STRING:,} are taken in one text"
    if "\0" in text:
        return "holds a NUL character, which the database cannot store"
    if MARKER in text:
        return f"holds {MARKER}, by which the database marks what is missing"
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        return "holds half a character (a lone surrogate)"
    return None
