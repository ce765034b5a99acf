"""Seeing to it that versions are kept, in a database that others use meanwhile.

What has to be made holds up writers while it is made, and who waits for a lock keeps all others waiting behind it. So
each step is a short transaction, begins with its locks, and gives up after half a second to try again later.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg

from almagest.core.errors import DatabaseUnavailableError

_ATTEMPTS = 300
_PAUSE_S = 1.0
#: Of all locks of a step together: lock_timeout would count for each of them.
_WAITING = "SET LOCAL statement_timeout = '500ms'"


@dataclass(frozen=True)
class _Step:
    """Statements: whether there is anything to do, what is locked for it, and what does it."""

    needed: str
    lock: str
    run: str


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


def keep(connection: psycopg.Connection[Any], report: Callable[[str], None]) -> None:
    """Makes what is missing.

    Raises:
        DatabaseUnavailableError: others never left a gap.
    """
    for step in (_HISTORY, _CAPTURE):
        _patiently(connection, step, report)


def _patiently(connection: psycopg.Connection[Any], step: _Step, report: Callable[[str], None]) -> None:
    for attempt in range(_ATTEMPTS):
        if not _is_needed(connection, step):
            return
        try:
            with connection.transaction():
                connection.execute("SET LOCAL ROLE almagest_admin")
                connection.execute(_WAITING)
                connection.execute(step.lock)
                connection.execute("SET LOCAL statement_timeout = 0")
                connection.execute(step.run)
            return
        except (psycopg.errors.QueryCanceled, psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
            if attempt == 0:
                report("waiting until nobody writes")
            time.sleep(_PAUSE_S)
    raise DatabaseUnavailableError(
        f"Somebody has been at it for {_ATTEMPTS} seconds without a gap: end long transactions and try again."
    )


def _is_needed(connection: psycopg.Connection[Any], step: _Step) -> bool:
    row = connection.execute(step.needed).fetchone()
    return bool(row and row[0])
