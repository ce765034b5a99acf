"""The fields extension: documents cut down to what a client asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Document = dict[str, Any]

#: What every item has, so that it can be told from others; it can be excluded all the same.
_ALWAYS = ("id", "collection")
_NOTHING = object()


def cut(document: Document, fields: Mapping[str, Any]) -> Document:
    """A document with the chosen fields alone.

    Names are paths with dots. What a document does not have is not made up. The document stays as it is; the result
    shares what is left of it.

    Args:
        document: an item, whole.
        fields: ``include`` (empty: everything) and ``exclude``, which wins.
    """
    if include := fields.get("include"):
        document = _included(document, [*include, *_ALWAYS])
    for path in fields.get("exclude") or ():
        document = _without(document, path.split("."))
    return document


def _included(document: Document, paths: Sequence[str]) -> Document:
    chosen: Document = {}
    for steps in (path.split(".") for path in paths):
        parts: list[Any] = [document]
        for step in steps:
            part = parts[-1].get(step, _NOTHING) if isinstance(parts[-1], dict) else _NOTHING
            if part is _NOTHING:
                break
            parts.append(part)
        else:
            _put(chosen, steps, parts[1:])
    return chosen


def _put(chosen: Document, steps: Sequence[str], parts: Sequence[Any]) -> None:
    for step, part in zip(steps[:-1], parts, strict=False):
        if chosen.get(step) is part:
            return  # all of it is there already
        chosen = chosen.setdefault(step, {})
    chosen[steps[-1]] = parts[-1]


def _without(document: Document, path: Sequence[str]) -> Document:
    step, *rest = path
    if step not in document:
        return document
    if not rest:
        return {name: value for name, value in document.items() if name != step}
    inner = document[step]
    return {**document, step: _without(inner, rest)} if isinstance(inner, dict) else document
