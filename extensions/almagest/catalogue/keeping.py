"""Seeing to it that versions are kept, in a database that others use meanwhile.

What has to be made holds up writers while it is made, and who waits for a lock keeps all others waiting behind it. So
each step is a short transaction, begins with its locks, and gives up after half a second to try again later.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, LiteralString, TypeVar

import psycopg
from psycopg import sql

from almagest.core.errors import DatabaseUnavailableError

T = TypeVar("T")

_ATTEMPTS = 300
_PAUSE_S = 1.0
#: Of all locks of a step together: lock_timeout would count for each of them.
_WAITING = "SET LOCAL statement_timeout = '500ms'"


@dataclass(frozen=True)
class _Step:
    """Statements: whether there is anything to do, what is locked for it, and what does it."""

    needed: LiteralString
    lock: LiteralString
    run: LiteralString
    values: tuple[object, ...] = ()

    def take(self, connection: psycopg.Connection[Any], report: Callable[[str], None]) -> None:
        """Does it, where it is needed."""
        if _one(connection, self.needed, self.values):
            patiently(connection, self.lock, lambda: connection.execute(self.run, self.values), report, self.values)


_HISTORY = _Step(
    "SELECT EXISTS (SELECT FROM almagest.missing_quarters('2 years'))",
    "SELECT almagest.hold_history()",
    "SELECT almagest.extend_history('2 years')",
)
_CAPTURE = _Step(
    "SELECT EXISTS (SELECT FROM almagest.port_missing_triggers())",
    "SELECT almagest.port_hold_writers()",
    "SELECT almagest.keep_versions()",
)

#: Of one table, so that a long writer keeps nobody waiting who writes elsewhere.
_GUARD = (
    "SELECT EXISTS (SELECT FROM almagest.port_unguarded() AS u(relation) WHERE u.relation = %s::oid)",
    "SELECT almagest.port_hold_table(%s::oid)",
    "SELECT almagest.port_guard(%s::oid)",
)
#: Not in a set: it takes a superuser, and others do without.
_EVENT_TRIGGER = """
    CREATE EVENT TRIGGER almagest_guard ON ddl_command_end WHEN TAG IN ('CREATE TABLE')
    EXECUTE FUNCTION almagest.guard_partitions()
"""
_HAS_EVENT_TRIGGER = (
    "SELECT count(*) FROM pg_event_trigger WHERE evtname = 'almagest_guard' AND evtenabled IN ('O', 'A')"
)
_NAMED = 3
_AT_ONCE = 5_000


def keep(connection: psycopg.Connection[Any], report: Callable[[str], None]) -> None:
    """Makes what is missing.

    Raises:
        DatabaseUnavailableError: others never left a gap.
    """
    for step in (_HISTORY, _CAPTURE):
        step.take(connection, report)
    # Before what is there is looked at: between the two nothing new slips by.
    _watch_new_tables(connection, report)
    for (relation,) in connection.execute(
        "SELECT relation::oid FROM almagest.port_unguarded() AS u(relation)"
    ).fetchall():
        _Step(*_GUARD, (relation,)).take(connection, report)


def adopt(connection: psycopg.Connection[Any], report: Callable[[str], None]) -> None:
    """Notes which items were there before versions were kept, in short transactions; nobody waits, and it may be ended.

    Nothing depends on it but speed: until then each new item of such a collection is looked for in all its partitions.
    """
    for (collection,) in connection.execute("SELECT id FROM almagest.adopted_collection ORDER BY id").fetchall():
        report(f"noting the items of {collection} that were there before versions were kept")
        last: str | None = ""
        try:
            while last is not None:
                note = partial(
                    _one, connection, "SELECT almagest.adopt_items(%s, %s, %s)", (collection, last, _AT_ONCE)
                )
                # Who changes one of them at the moment is waited for, not long.
                last = patiently(connection, "SET LOCAL lock_timeout = '500ms'", note, attempts=10)
        except DatabaseUnavailableError:
            report(f"somebody holds items of {collection}: the next `almagest db migrate` notes the rest")
            continue
        _one(connection, "SELECT almagest.finish_adoption(%s)", (collection,))


def problems(connection: psycopg.Connection[Any]) -> list[str]:
    """What keeps versions from being kept, or has kept them, in sentences."""
    found = [
        f"{where} {'lacks' if count == 1 else f'and {count - 1} partitions lack'} the trigger {name}, or it is switched"
        " off, so that changes leave no version: run `almagest db migrate`"
        for name, count, where in connection.execute(
            """
            SELECT m.name, count(*), min(m.relation)::regclass::text
            FROM almagest.port_missing_triggers() AS m GROUP BY m.name ORDER BY m.name
            """
        ).fetchall()
    ]
    truncatable = connection.execute("SELECT almagest.port_unguarded()::text").fetchall()
    if truncatable:
        found.append(f"{_some(truncatable)} may be truncated, which leaves no version: run `almagest db migrate`")
    if not _one(connection, _HAS_EVENT_TRIGGER):
        found.append(
            "new partitions of items may be truncated, which leaves no version: run `almagest db migrate` as a"
            " superuser, who may create the event trigger almagest_guard; where there is none, after each load"
        )
    for function, what in (("gone_unseen", "went"), ("come_unseen", "came")):
        statement = sql.SQL("SELECT concat_ws('/', collection, id) FROM {}() ORDER BY 1").format(
            sql.Identifier("almagest", function)
        )
        if names := connection.execute(statement).fetchall():
            found.append(f"{_some(names)} {what} without leaving a version: run `almagest db verify --mend`")
    missing = _one(
        connection,
        """
        SELECT count(*) FROM almagest.port_list_base_items() AS b
        WHERE NOT EXISTS (
            SELECT FROM almagest.base_item AS o WHERE (o.collection_key, o.tag) = (b.collection_key, b.tag))
        """,
    )
    if missing:
        found.append(f"{missing} base items came without leaving a copy: run `almagest db verify --mend`")
    late = _one(
        connection,
        """
        SELECT (SELECT count(*) FROM almagest.item_history_rest)
             + (SELECT count(*) FROM almagest.collection_history_rest)
        """,
    )
    if late:
        found.append(f"{late} former states have no partition for their time: run `almagest db migrate`")
    if _one(connection, "SELECT count(*) FROM almagest.missing_quarters('3 months')"):
        found.append("history runs out of partitions within three months: run `almagest db migrate`")
    return found


def mend(connection: psycopg.Connection[Any]) -> tuple[int, int]:
    """Makes versions agree with what is there; returns how many items and collections had gone and had come unseen."""
    row = patiently(
        connection,
        "SELECT almagest.port_hold_writers()",
        lambda: connection.execute("SELECT gone, come FROM almagest.mend_versions()").fetchone(),
    )
    assert row is not None
    return row[0], row[1]


def _watch_new_tables(connection: psycopg.Connection[Any], report: Callable[[str], None]) -> None:
    if _one(connection, _HAS_EVENT_TRIGGER):
        return
    try:
        with connection.transaction():
            connection.execute("DROP EVENT TRIGGER IF EXISTS almagest_guard")
            connection.execute(_EVENT_TRIGGER)
    except psycopg.errors.InsufficientPrivilege:
        report("only a superuser may see to it that new partitions are not truncated: `almagest db verify` tells more")


def patiently(
    connection: psycopg.Connection[Any],
    lock: LiteralString,
    act: Callable[[], T],
    report: Callable[[str], None] = lambda _: None,
    values: tuple[object, ...] = (),
    attempts: int = _ATTEMPTS,
) -> T:
    """Does something in a transaction of the admin that begins with a lock, without standing in the way of others.

    Args:
        connection: in autocommit mode, as a superuser or the admin.
        lock: the statement that waits for it.
        act: does it; what it answers is answered.
        report: is told that others are waited for.
        values: of the statement.
        attempts: one a second.

    Raises:
        DatabaseUnavailableError: others never left a gap.
    """
    for attempt in range(attempts):
        try:
            with connection.transaction():
                connection.execute("SET LOCAL ROLE almagest_admin")
                connection.execute(_WAITING)
                connection.execute(lock, values or None)
                connection.execute("SET LOCAL statement_timeout = 0")
                return act()
        except (psycopg.errors.QueryCanceled, psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
            if attempt == 0:
                report("waiting until nobody else is at it")
            time.sleep(_PAUSE_S)
    raise DatabaseUnavailableError(
        f"Somebody has been at it for {attempts} seconds without a gap: end long transactions and try again."
    )


def _one(connection: psycopg.Connection[Any], statement: LiteralString, values: tuple[object, ...] = ()) -> Any:
    row = connection.execute(statement, values).fetchone()
    assert row is not None
    return row[0]


def _some(names: list[tuple[Any, ...]]) -> str:
    first = ", ".join(str(name) for (name,) in names[:_NAMED])
    return first if len(names) <= _NAMED else f"{first} and {len(names) - _NAMED} more"
