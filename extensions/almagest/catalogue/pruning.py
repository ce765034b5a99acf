"""Forgetting former states, in small transactions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, cast

import psycopg

from almagest.catalogue import keeping, lineage, rollups
from almagest.core.errors import ConfigurationError

#: Items of one transaction, ...
_FEW = 1000
#: ... and of one in which nearly all are only looked at.
_MANY = 10_000
#: Partitions say whether there was anything in a quarter, hidden or not: what is told says nothing of them.
_FLOOR_OF_LOG = "SELECT almagest.raise_floor(almagest.log_floor(%s), true)"


@dataclass(frozen=True)
class Pruned:
    """What was forgotten.

    Attributes:
        items: former states of items.
        collections: former states of collections.
        gone: items that were deleted, and of which nothing is left now.
        bases: base items that nothing needs any more.
    """

    items: int
    collections: int
    gone: int = 0
    bases: int = 0


def prune(
    connection: psycopg.Connection[Any],
    *,
    days: int | None = None,
    versions: int | None = None,
    collection: str | None = None,
    dry_run: bool = False,
    report: Callable[[str], None] = lambda _: None,
) -> Pruned:
    """Forgets what neither rule keeps. The present state of everything stays.

    Args:
        connection: in autocommit mode, as the admin.
        days: keep states that ended less than so many days ago.
        versions: keep so many versions of each item, the present one among them; where outsiders see the collection,
            such as they can tell apart.
        collection: only of this one.
        dry_run: only count.
        report: called with a sentence before each step.

    Raises:
        ConfigurationError: no rule is given.
        DatabaseUnavailableError: others never left a gap.
    """
    if days is None and versions is None:
        raise ConfigurationError("Say what is kept: --keep-days, --keep-versions, or both.")
    (now,) = _row(connection, "SELECT almagest.clock()")
    # Outsiders are told what was asked for. What can be forgotten by now depends on writers whom they must not notice.
    asked = ended_by = now - timedelta(days=days or 0)
    if not dry_run:
        ended_by = _counted(connection, ended_by, report)
        lineage.fold(connection)  # while nobody waits for it
    dropped = (0, 0)
    if not dry_run and versions is None:
        connection.execute("SELECT almagest.note_forgotten(%s, %s)", (collection or "", asked))
    if not dry_run and versions is None and collection is None:
        connection.execute(_FLOOR_OF_LOG, (asked,))
        if _old(connection, ended_by):
            report("noting since when outsiders see what is kept")
            _note(connection, ended_by)
            dropped = _drop(connection, ended_by, report, only_empty=False)
    report("counting" if dry_run else "forgetting")
    items, collections = _step("count" if dry_run else "forget", connection, collection, ended_by, versions)
    items, collections = items + dropped[0], collections + dropped[1]
    if dry_run:
        return Pruned(items, collections)
    _drop(connection, now, report, only_empty=True)
    lineage.forget(connection)
    if days is not None:
        # Who has not been told that items are gone never will be. Said whether or not any are: some may be hidden.
        connection.execute(
            "SELECT almagest.raise_floor(%s, false, %s::text IS NULL OR NOT almagest.is_internal(%s))",
            (asked, collection, collection),
        )
    gone, bases = _row(
        connection,
        "SELECT heads, bases FROM almagest.prune_leftovers(%s, %s)",
        (collection, ended_by if days is not None else None),
    )
    return Pruned(items, collections, gone, bases)


def _note(connection: psycopg.Connection[Any], ended_by: datetime) -> None:
    """Notes of all that have states which are to be dropped since when outsiders see the one after them."""
    last = ("", "")
    while True:
        found = _row(
            connection, "SELECT collection, id FROM almagest.note_edges(%s, %s, %s, %s)", (*last, _MANY, ended_by)
        )
        if found == (None, None):
            break
        last = found
    connection.execute(
        "SELECT almagest.forget_states(h.id, NULL, %s, NULL, 'note') FROM almagest.collection_head AS h", (ended_by,)
    )


def _counted(connection: psycopg.Connection[Any], ended_by: datetime, report: Callable[[str], None]) -> datetime:
    """The moment, or an earlier one: what ended later may not be folded into the rollups yet, and is needed."""
    (is_counted,) = _row(connection, "SELECT EXISTS (SELECT FROM almagest.rollup_state)")
    if not is_counted:
        return ended_by
    report("folding what has changed")
    rollups.fold(connection)
    (since,) = _row(connection, "SELECT almagest.needed_since()")
    return ended_by if since is None else min(ended_by, since - timedelta(microseconds=1))


def _step(
    name: Literal["count", "forget"],
    connection: psycopg.Connection[Any],
    collection: str | None,
    ended_by: datetime,
    versions: int | None,
) -> tuple[int, int]:
    """A step with all former states that no rule keeps; answers how many of items and of collections these are."""
    items = 0
    last = (collection or "", "")
    if name == "count" and versions is None:  # each of them, whosever they are
        (items,) = _row(
            connection,
            "SELECT count(*) FROM almagest.item_history WHERE valid_to <= %s AND (%s::text IS NULL OR collection = %s)",
            (ended_by, collection, collection),
        )
    else:
        while few := connection.execute(
            """
            WITH few AS MATERIALIZED (SELECT * FROM almagest.with_history(%s, %s, %s, %s, %s))
            SELECT f.collection, f.id, almagest.forget_states(f.collection, f.id, %s, %s, %s)
            FROM few AS f ORDER BY 1, 2
            """,
            (collection, *last, _FEW, ended_by, ended_by, versions, name),
        ).fetchall():
            items += sum(states for *_, states in few)
            last = few[-1][:2]
    (collections,) = _row(
        connection,
        """
        SELECT coalesce(sum(almagest.forget_states(h.id, NULL, %s, %s, %s)), 0)::int
        FROM almagest.collection_head AS h WHERE %s::text IS NULL OR h.id = %s
        """,
        (ended_by, versions, name, collection, collection),
    )
    return items, collections


def _drop(
    connection: psycopg.Connection[Any], ended_by: datetime, report: Callable[[str], None], *, only_empty: bool
) -> tuple[int, int]:
    """Whole partitions at once; answers how many states of items and of collections were in them."""
    old = _old(connection, ended_by)
    if not old:
        return 0, 0
    statement = "SELECT items, collections FROM almagest.drop_history(%s::oid[]::regclass[], %s)"

    def drop() -> tuple[Any, ...]:
        # Nobody writes to the log now: what nobody has folded yet is all there.
        connection.execute("SELECT almagest.fold_lineage_of(%s::oid[]::regclass[])", (old,))
        return _row(connection, statement, (old, only_empty))

    items, collections = keeping.patiently(connection, "SELECT almagest.hold_all_history()", drop, report)
    return items, collections


def _old(connection: psycopg.Connection[Any], ended_by: datetime) -> list[int] | None:
    (partitions,) = _row(
        connection, "SELECT array_agg(o.partition::oid) FROM almagest.old_history(%s) AS o", (ended_by,)
    )
    return cast("list[int] | None", partitions)


def _row(connection: psycopg.Connection[Any], statement: str, values: tuple[object, ...] = ()) -> tuple[Any, ...]:
    row = connection.execute(statement.encode(), values).fetchone()
    assert row is not None
    return tuple(row)
