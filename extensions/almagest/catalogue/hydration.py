"""Joining stored items with what pgSTAC took out of them."""

from __future__ import annotations

import copy
from typing import Any

import orjson
from hydraters import DO_NOT_MERGE_MARKER, hydrate

Document = dict[str, Any]


def join(item: Document, base: Document, *, whole: bool = True) -> Document:
    """A stored item joined with the base item it was stripped against.

    pgSTAC's own hydration drops nulls, and with them the ``datetime: null`` that STAC requires beside a range; here
    nulls survive. Where a writer lost that one before it was stored, it is put back in a whole document (in one cut
    down to some fields nobody can tell).
    """
    try:
        document: Document = hydrate(base, item, strip_unmatched_markers=True)
    except ValueError:  # somewhere the base has another shape than the item, which is half joined now
        document = item
        _finish(item, base, reached=False)
    properties = document.get("properties")
    if whole and properties and "start_datetime" in properties and "end_datetime" in properties:
        properties.setdefault("datetime", None)
    return document


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
