"""Reading what was when, as tests need it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import psycopg
from psycopg.rows import dict_row

from almagest.catalogue.versions import Subject

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
    found = []
    subject = Subject(collection, item)
    for row in reversed(_rows(connection, subject.ask.states, *subject.ids, None, None)):
        document = at(connection, collection, item, row["valid_from"])
        assert (document is None) == row["deleted"]
        found.append(State(document, row["valid_from"], row["valid_to"], row["login"], row["actor"]))
    for one, other in pairwise(found):
        assert one.valid_to == other.valid_from, "states follow one another without a gap"
    return found


def documents(connection: psycopg.Connection[Any], collection: str, item: str) -> list[Document | None]:
    """What an item was, one after the other."""
    return [state.document for state in states(connection, collection, item)]


def at(connection: psycopg.Connection[Any], collection: str, item: str, moment: Any) -> Document | None:
    """An item as it was at a moment."""
    subject = Subject(collection, item)
    return subject.document(next(iter(_rows(connection, subject.ask.at, *subject.ids, moment)), None))


def _rows(connection: psycopg.Connection[Any], statement: str, *values: object) -> list[Document]:
    with psycopg.RawCursor(connection, row_factory=dict_row) as cursor:
        (before,) = connection.execute("SELECT current_setting('search_path')").fetchone() or ()
        cursor.execute("SET search_path = almagest, public")
        rows = cursor.execute(statement.encode(), values).fetchall()
        connection.execute("SELECT set_config('search_path', %s, false)", (before,))
    return rows
