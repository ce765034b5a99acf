"""Reading what was when, as tests need it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import orjson
import psycopg

from almagest.catalogue.hydration import base_item, join

Document = dict[str, Any]


class State(NamedTuple):
    """A state of an item: its document (None: there was none), since when and until when it held, who made it so."""

    document: Document | None
    valid_from: Any
    valid_to: Any
    login: str | None
    actor: str | None


def states(connection: psycopg.Connection[Any], collection: str, item: str) -> list[State]:
    """All states of an item, the oldest first."""
    rows = connection.execute(
        "SELECT valid_from, valid_to, deleted, login, actor FROM almagest.item_states(%s, %s)", (collection, item)
    ).fetchall()
    found = []
    for valid_from, valid_to, deleted, login, actor in reversed(rows):
        document = at(connection, collection, item, valid_from)
        assert (document is None) == deleted
        found.append(State(document, valid_from, valid_to, login, actor))
    for one, other in pairwise(found):
        assert one.valid_to == other.valid_from, "states follow one another without a gap"
    return found


def documents(connection: psycopg.Connection[Any], collection: str, item: str) -> list[Document | None]:
    """What an item was, one after the other."""
    return [state.document for state in states(connection, collection, item)]


def at(connection: psycopg.Connection[Any], collection: str, item: str, moment: Any) -> Document | None:
    """An item as it was at a moment."""
    row = connection.execute(
        "SELECT item, base FROM almagest.item_row_at(%s, %s, %s)", (collection, item, moment)
    ).fetchone()
    return join(orjson.loads(row[0]), base_item(row[1])) if row else None
