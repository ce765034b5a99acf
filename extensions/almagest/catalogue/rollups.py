"""Keeps what is counted beforehand (`sql/rollups`): counts, folds what has changed since, and compares."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

import psycopg
from psycopg import IsolationLevel

from almagest.catalogue import cells
from almagest.core.errors import DatabaseUnavailableError

#: Rows fetched, or sent, at once.
_FEW = 20_000
#: Others may fold at the same moment; of two one is told to try again.
_TRIES = 5

T = TypeVar("T")
Row = tuple[str, str, str | None, int, object]

_KEPT = """
    SELECT collection, dimension, key, count, NULL FROM almagest.rollup
    UNION ALL
    SELECT collection, property, bin::text, count, total FROM almagest.rollup_number WHERE count <> 0 OR total <> 0
    UNION ALL
    SELECT collection, property, 'least of ' || bin, 1, least FROM almagest.rollup_number WHERE least IS NOT NULL
    UNION ALL
    SELECT collection, property, 'greatest of ' || bin, 1, greatest FROM almagest.rollup_number
    WHERE greatest IS NOT NULL
"""


def fold(connection: psycopg.Connection[Any], *, anew: bool = False) -> None:
    """Folds what is final in the log of changes, in one transaction; the first time, everything is counted.

    Args:
        connection: in autocommit mode, outside of a transaction, of a role that may fold.
        anew: count everything again.

    Raises:
        DatabaseUnavailableError: others fold all the time.
    """
    _in_one_snapshot(connection, lambda: _fold(connection, anew))


def refresh(connection: psycopg.Connection[Any]) -> None:
    """Looks for extremes where those that were known have gone, unless somebody did so within the last minutes.

    Args:
        connection: as for `fold`.

    Raises:
        DatabaseUnavailableError: others fold all the time.
    """
    _in_one_snapshot(connection, lambda: connection.execute("SELECT almagest.refresh_extremes()"))


def recount(connection: psycopg.Connection[Any], report: Callable[[str], None] = lambda _: None) -> list[str]:
    """Counts everything anew, and tells in sentences where what was kept was wrong.

    Args:
        connection: in autocommit mode, as the admin.
        report: called with a sentence before each step.

    Raises:
        DatabaseUnavailableError: others fold all the time.
    """
    report("folding what has changed")
    fold(connection)
    report("counting all items")

    def compared() -> list[str]:
        # Or somebody else who folds at this moment would keep us from it without a word.
        connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('almagest.rollup', 0))")
        # All in one snapshot: nobody changes anything between the two.
        _fold(connection, anew=False)
        before = _kept(connection)
        _fold(connection, anew=True)
        return _differences(before, _kept(connection))

    return _in_one_snapshot(connection, compared)


def _in_one_snapshot(connection: psycopg.Connection[Any], work: Callable[[], T]) -> T:
    connection.isolation_level = IsolationLevel.REPEATABLE_READ
    try:
        for _ in range(_TRIES):
            try:
                with connection.transaction():
                    return work()
            except psycopg.errors.SerializationFailure:
                continue
    finally:
        connection.isolation_level = None
    raise DatabaseUnavailableError("Others are folding rollups all the time.")


def _fold(connection: psycopg.Connection[Any], anew: bool) -> None:
    counts: Counter[tuple[str, str, str]] = Counter()
    with connection.cursor(name="places") as places:
        places.itersize = _FEW
        places.execute("SELECT collection, place, change FROM almagest.fold_rollups(%s)", (anew,))
        for collection, place, change in places:
            for resolution in cells.KEPT:
                counts[collection, f"geohex{resolution}", cells.of_place(place, resolution)] += change
    changed = [(*key, count) for key, count in counts.items() if count]
    for start in range(0, len(changed), _FEW):
        columns = zip(*changed[start : start + _FEW], strict=True)
        connection.execute(
            "SELECT almagest.add_to_rollups(%s::text[], %s::text[], %s::text[], %s::bigint[])",
            [list(column) for column in columns],
        )


def _kept(connection: psycopg.Connection[Any]) -> dict[tuple[str, str, str | None], tuple[int, object]]:
    rows: list[Row] = connection.execute(_KEPT).fetchall()
    return {(collection, dimension, key): (count, value) for collection, dimension, key, count, value in rows}


def _differences(
    before: dict[tuple[str, str, str | None], tuple[int, object]],
    after: dict[tuple[str, str, str | None], tuple[int, object]],
) -> list[str]:
    wrong = []
    for name in sorted(before.keys() | after.keys(), key=str):
        kept, right = before.get(name), after.get(name)
        is_extreme = name[2] is not None and " of " in name[2]
        # An extreme that is not known is not wrong.
        if kept != right and not (is_extreme and kept is None) and not (is_extreme and right is None):
            collection, dimension, key = name
            wrong.append(f"{collection}: {dimension} {key or ''}: {_told(kept)} was kept, and {_told(right)} is right")
    return wrong


def _told(value: tuple[int, object] | None) -> str:
    if value is None:
        return "nothing"
    count, more = value
    return str(count) if more is None else f"{count} ({more})"
