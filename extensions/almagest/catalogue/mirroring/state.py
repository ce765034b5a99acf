"""How far a mirror has come, as the target database remembers it."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import psycopg

from almagest.catalogue.ingest.line import Line
from almagest.catalogue.mirroring.entries import Entry, Key
from almagest.core.errors import ConflictError


@dataclass(frozen=True)
class State:
    """How far it has come.

    Attributes:
        name: of the mirror.
        walk: number of the walk through all that the source has.
        cursor: behind what is applied; None: nothing of this walk is.
        is_walked: whether this walk has come to its end.
    """

    name: str
    walk: int
    cursor: str | None
    is_walked: bool


def begin(line: Line, name: str, source: str, selection: Sequence[str] | None, *, fresh: bool = False) -> State:
    """Goes on with a mirror, or begins it, or (fresh, or where it follows another source now) begins it anew.

    Raises:
        ConflictError: it follows other collections. Those that it has brought would go.
    """

    def work(connection: psycopg.Connection) -> State:
        row = connection.execute(
            "SELECT walk, cursor, walked_at IS NOT NULL, other_selection FROM begin_mirror(%s, %s, %s, %s)",
            (name, source, None if selection is None else sorted(set(selection)), fresh),
        ).fetchone()
        assert row is not None
        *reached, is_other = row
        if is_other:
            raise ConflictError(
                f"{name!r} follows other collections than these. Give this mirror another name with --state to keep"
                " both, or say --fresh to follow these instead: what it has brought of others goes."
            )
        return State(name, *reached)

    return line.run(work)


def move(connection: psycopg.Connection[Any], state: State, cursor: str, *, is_walked: bool = False) -> State:
    """Notes how far it has come, in the transaction that applies what it came by.

    Raises:
        ConflictError: somebody else has moved it.
    """
    row = connection.execute(
        "SELECT move_mirror(%s, %s, %s, %s, %s)", (state.name, state.walk, state.cursor, cursor, is_walked)
    ).fetchone()
    if row != (True,):
        raise ConflictError(f"Somebody else follows {state.name!r} at the same time: one is enough.")
    return replace(state, cursor=cursor, is_walked=state.is_walked or is_walked)


def note(connection: psycopg.Connection[Any], state: State, entries: Iterable[Entry], stored: Container[Key]) -> None:
    """Notes what the source has, each thing at most once; what was not stored only where it came from there before."""
    noted = [(entry.collection, entry.item or "", entry.moment, entry.key in stored) for entry in entries]
    if noted:
        columns = [list(column) for column in zip(*noted, strict=True)]
        connection.execute("SELECT note_mirrored(%s, %s, %s, %s, %s, %s)", (state.name, state.walk, *columns))
