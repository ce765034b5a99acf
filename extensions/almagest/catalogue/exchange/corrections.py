"""What a table could not hold of a document, as a short list of changes.

A change is `[path, value]`, or `[path]` where something is to be taken away; a path is a list of keys, an empty one
stands for the whole document. Arrays are replaced as a whole.
"""

from __future__ import annotations

from typing import Any

Change = list[Any]

_ABSENT = object()


def changes(wanted: Any, got: Any) -> list[Change]:
    """What to do to `got` to make it `wanted`."""
    found: list[Change] = []
    _compare(wanted, got, [], found)
    return found


def apply(document: Any, found: list[Change]) -> Any:
    """A document with the changes made; the one that was given is changed, unless it is replaced as a whole."""
    for path, *value in found:
        if not path:
            return value[0]
        place = document
        for key in path[:-1]:
            place = place[key]
        if value:
            place[path[-1]] = value[0]
        else:
            del place[path[-1]]
    return document


def _compare(wanted: Any, got: Any, path: list[str], found: list[Change]) -> None:
    # Python holds true and 1 for the same, but no column has a number for a truth value.
    if wanted == got:
        return
    if not isinstance(wanted, dict) or not isinstance(got, dict):
        found.append([path, wanted])
        return
    for key, value in wanted.items():
        other = got.get(key, _ABSENT)
        if other is _ABSENT:
            found.append([[*path, key], value])
        else:
            _compare(value, other, [*path, key], found)
    found.extend([[*path, key]] for key in got.keys() - wanted.keys())
