"""Patches of documents: what is applied, and what would cost too much."""

from __future__ import annotations

from typing import Any

import pytest

from almagest.core.errors import BadRequestError, TooLargeError
from almagest.services.stac import patches


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"a": value}
    return value


def test_copies_that_double_the_document_each_time_are_stopped() -> None:
    change = patches.change_of([{"op": "copy", "from": "/a", "path": f"/a/{number}"} for number in range(60)])
    with pytest.raises(TooLargeError, match="copies more"):
        change({"a": {"b": "c" * 1000}})


def test_a_few_copies_are_made() -> None:
    change = patches.change_of([{"op": "copy", "from": "/a", "path": f"/{name}"} for name in "bc"])
    assert change({"a": [1]}) == {"a": [1], "b": [1], "c": [1]}


@pytest.mark.parametrize(
    "operation", [{"op": "copy", "path": "/a"}, {"op": "copy", "from": 5, "path": "/b"}, 5, "copy"]
)
def test_what_is_no_operation_is_refused(operation: Any) -> None:
    with pytest.raises(BadRequestError, match="cannot be applied"):
        patches.change_of([operation])({"a": 1})


def test_more_operations_than_anybody_needs_are_refused() -> None:
    with pytest.raises(TooLargeError):
        patches.change_of([{"op": "test", "path": "/a", "value": 1}] * (patches.MAX_OPERATIONS + 1))


@pytest.mark.parametrize("depth", [300, 900, 5000])
def test_what_nests_too_deeply_is_refused_wherever_it_stands(depth: int) -> None:
    operation = {"op": "add", "path": "/properties", "value": nested(depth)}
    copying = [operation, {"op": "copy", "from": "/properties", "path": "/more"}]
    for patch in (copying, nested(depth)):
        change = patches.change_of(patch)
        if depth > 300 or patch is copying:
            with pytest.raises(BadRequestError):
                change({"properties": {}})


def test_a_change_that_is_repeated_makes_the_same() -> None:
    change = patches.change_of([{"op": "add", "path": "/a", "value": []}, {"op": "add", "path": "/a/-", "value": 1}])
    assert change({}) == change({}) == {"a": [1]}
