"""Joining stored items with what pgSTAC took out of them."""

from __future__ import annotations

from typing import Any

import orjson
from hydraters import hydrate

Document = dict[str, Any]


def join(item: Document, base: Document, *, whole: bool = True) -> Document:
    """A stored item joined with the base item it was stripped against.

    pgSTAC's own hydration drops nulls, and with them the ``datetime: null`` that STAC requires beside a range; here
    nulls survive. Where a writer lost that one before it was stored, it is put back in a whole document (in one cut
    down to some fields nobody can tell).
    """
    try:
        document: Document = hydrate(base, item, strip_unmatched_markers=True)
    except ValueError:  # a base that other writers made, of another shape: better an item without it than no answer
        document = item
    properties = document.get("properties")
    if whole and properties and "start_datetime" in properties and "end_datetime" in properties:
        properties.setdefault("datetime", None)
    return document


def base_item(text: str | None) -> Document:
    """The base item that rows of the search core bring along, or an empty one."""
    return {key: value for key, value in orjson.loads(text).items() if value is not None} if text else {}
