"""Patches: JSON Patch (RFC 6902) and JSON Merge Patch (RFC 7396), applied to a document at a cost that has bounds."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import jsonpatch
import orjson
from json_merge_patch import merge

from almagest.catalogue.acceptance import MAX_DOCUMENT
from almagest.core.errors import BadRequestError, TooLargeError

Document = dict[str, Any]
#: Turns a stored document into the changed one.
Change = Callable[[Document], Any]

MAX_OPERATIONS = 10_000

_FAULTS = (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException, TypeError, KeyError, ValueError)


def change_of(patch: Any) -> Change:
    """The change that a patch describes: an array is a JSON Patch, an object a merge patch.

    Raises:
        BadRequestError: it is neither.
        TooLargeError: it has too many operations.
    """
    if isinstance(patch, dict):
        return lambda document: _bounded(_merged, document, patch)
    if not isinstance(patch, list):
        raise BadRequestError("A patch is an object (JSON Merge Patch) or an array of operations (JSON Patch).")
    if len(patch) > MAX_OPERATIONS:
        raise TooLargeError(f"{len(patch):,} operations at once: send at most {MAX_OPERATIONS:,}.")
    return lambda document: _bounded(_patched, document, patch)


def _bounded(apply: Callable[[Document, Any], Any], document: Document, patch: Any) -> Any:
    try:
        # A copy, since what is added becomes part of the document, and the work may be repeated.
        return apply(document, copy.deepcopy(patch))
    except RecursionError:
        raise BadRequestError("The patch nests too deeply.") from None


def _merged(document: Document, patch: Document) -> Any:
    return merge(document, patch)


def _patched(document: Any, operations: list[Any]) -> Any:
    copied = 0
    try:
        for operation in operations:
            if isinstance(operation, dict) and operation.get("op") == "copy":
                # The only one that makes more out of what is there: a few of them would make any amount.
                copied += _size(jsonpatch.JsonPointer(str(operation.get("from"))).resolve(document))
                if copied > MAX_DOCUMENT:
                    raise TooLargeError(f"The patch copies more than {MAX_DOCUMENT:,} bytes.")
            document = jsonpatch.JsonPatch([operation]).apply(document, in_place=True)
    except _FAULTS as error:
        raise BadRequestError(f"The patch cannot be applied: {error}") from None
    return document


def _size(value: Any) -> int:
    return len(orjson.dumps(value))
