"""What PostgreSQL's error codes mean to a client, whichever driver reports them."""

from __future__ import annotations

import re

from almagest.core.errors import (
    AlmagestError,
    BadRequestError,
    ConflictError,
    DatabaseUnavailableError,
    ForgottenError,
    NotFoundError,
    OverloadedError,
    PreconditionFailedError,
    StorageFullError,
    UnsettledError,
)

#: What PostgreSQL says when an operator or function meets types that it is not for, or an expression nests too deep.
_NOT_SQL = frozenset({"42601", "42703", "42704", "42725", "42804", "42846", "42883", "42P18"})

_OF_GEOMETRY = re.compile(r"geom|geojson|coordinate|polygon|ring|srid|invalid|parse error", re.IGNORECASE)
_OF_PARTITIONS = re.compile("no partition of relation|violates partition constraint")


def meaning(state: str, sentence: str) -> AlmagestError | None:
    """The error of ours that a code stands for; None where it is a bug of ours.

    pgSTAC raises its refusals as plain exceptions (P0001) with a sentence made for people, and PostgreSQL and PostGIS
    refuse malformed values by class 22 and XX000: all of them are the request's fault, not the server's.

    Args:
        state: SQLSTATE, five characters.
        sentence: the primary message.
    """
    match state:
        case "23505":
            return ConflictError(sentence if sentence.startswith("Item ") else "This id is taken already.")
        case "AM412":
            return PreconditionFailedError(sentence)
        case "AM409":
            return UnsettledError(sentence)
        case "AM410":
            return ForgottenError(sentence)
        case "AM503":
            return DatabaseUnavailableError(sentence)
        case "23503":
            return NotFoundError("The collection does not exist: create it first.")
        case "P0002":
            return NotFoundError(sentence if sentence.endswith(".") else "There is nothing of this id to change.")
        case "23514" if _OF_PARTITIONS.search(sentence):
            # The collection was deleted, made again or divided anew under this request, each time that it was tried.
            return DatabaseUnavailableError("Others are changing the same thing at this moment. Try again.")
        case "P0001" | "23502" | "23514":
            return BadRequestError(sentence)
        case "XX000" if "nesting too deep" in sentence:  # GeoJSON, as PostGIS reads it
            return BadRequestError("A geometry in this request nests too deeply.")
        case "57014":
            return OverloadedError()
        case "53100":
            return StorageFullError()
        case "25006":
            return DatabaseUnavailableError("The catalogue takes no changes at the moment.")
        case "42P01":  # a collection was deleted under this search
            return DatabaseUnavailableError("The catalogue is changing at this moment. Try again.")
        case "55P03" | "40P01" | "40001":
            return DatabaseUnavailableError("Others are changing the same thing at this moment. Try again.")
    # XX000 is PostGIS refusing a geometry, and also PostgreSQL in trouble: only the first speaks to the client.
    if state.startswith("22") or (state == "XX000" and _OF_GEOMETRY.search(sentence)):
        return BadRequestError(f"A value in this request cannot be used: {sentence}")
    if state in _NOT_SQL or state.startswith("54"):  # 54: one of PostgreSQL's own limits
        # The sentence would be about SQL that the client never wrote.
        return BadRequestError("This search cannot be answered: an operator in it does not fit its operands.")
    return DatabaseUnavailableError() if state[:2] in {"08", "28", "53", "57"} else None
