"""Joining stored items with what pgSTAC took out of them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import orjson
from hydraters import DO_NOT_MERGE_MARKER, hydrate

Document = dict[str, Any]


def documents(rows: Iterable[Sequence[Any]], geometry: Callable[[str], Any] = orjson.loads) -> Iterator[Document]:
    """Items from rows of the search core: item, base, sort_values, collection, id, geometry, whatever follows.

    What a base item gives is shared by all of them: nothing below the top may be changed.

    Args:
        rows: of one page, in their order.
        geometry: what becomes of the text of a geometry; a page that is only printed needs no look into it.
    """
    base: Document = {}
    for row in rows:
        if row[1] is not None:  # stands only where it differs from the row before
            base = base_item(row[1])
        content = hydrated(row[0], base)
        content.pop("pgstac:base_item", None)
        yield {"type": "Feature", "id": row[4], "collection": row[3], "geometry": geometry(row[5]), **content}


def hydrated(text: str, base: Document) -> Document:
    """A stored item, given as JSON text, joined with its base item, much of which it then shares."""
    item: Document = orjson.loads(text)
    if DO_NOT_MERGE_MARKER in text:
        return join(item, base)
    _fill(item, base)
    return _with_datetime(item)


def join(item: Document, base: Document) -> Document:
    """A stored item joined with the base item it was stripped against.

    pgSTAC's own hydration drops nulls, and with them the ``datetime: null`` that STAC requires beside a range; here
    nulls survive. Where a writer lost that one before it was stored, it is put back.
    """
    try:
        document: Document = hydrate(base, item, strip_unmatched_markers=True)
    except ValueError:  # somewhere the base has another shape than the item, which is half joined now
        document = item
        _finish(item, base, reached=False)
    return _with_datetime(document)


def _with_datetime(document: Document) -> Document:
    properties = document.get("properties")
    if properties and "start_datetime" in properties and "end_datetime" in properties and "datetime" not in properties:
        document["properties"] = {**properties, "datetime": None}  # a base item may share what it was
    return document


def _fill(item: Document, base: Document) -> None:
    """Puts what is missing into an item that marks nothing as missing: several times as fast as `hydraters` is, which
    takes it out of Python and brings it back."""
    if item.keys().isdisjoint(base):  # as most assets are: what they share with the base item was taken out of them
        item.update(base)
        return
    for key, there in base.items():
        if key not in item:
            item[key] = there
        elif isinstance(there, dict | list):
            _fill_value(item[key], there)


def _fill_value(here: Any, there: Any) -> None:
    if isinstance(here, dict) and isinstance(there, dict):
        _fill(here, there)
    elif isinstance(here, list) and isinstance(there, list) and len(here) == len(there):
        for one, other in zip(here, there, strict=True):
            _fill_value(one, other)


def _finish(item: Document, base: Document, *, reached: bool) -> bool:
    """Joins the rest of an item, from the first place where shapes differ. There the item holds.

    Args:
        item: changed in place.
        base: read in the order in which it was joined so far.
        reached: whether that place lies behind: before it, what is missing was marked as missing.

    Returns:
        Whether it does now.
    """
    for key, there in base.items():
        if key not in item:
            if reached:
                item[key] = copy.deepcopy(there)
        elif reached and item[key] == DO_NOT_MERGE_MARKER:
            del item[key]
        else:
            reached = _finish_value(item[key], there, reached=reached)
    return reached


def _finish_value(here: Any, there: Any, *, reached: bool) -> bool:
    if isinstance(here, dict) and isinstance(there, dict):
        return _finish(here, there, reached=reached)
    if isinstance(here, list) and isinstance(there, list):
        for one, other in zip(here, there, strict=True) if len(here) == len(there) else ():
            reached = _finish_value(one, other, reached=reached)
        return reached
    return reached or (isinstance(here, dict | list) and there is not None)


def base_item(text: str | None) -> Document:
    """The base item that rows of the search core bring along, or an empty one."""
    return {key: value for key, value in orjson.loads(text).items() if value is not None} if text else {}
