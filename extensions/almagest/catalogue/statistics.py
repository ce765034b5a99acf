"""How jobs fare: counts and times by process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import class_row

Connection = psycopg.Connection[Any]
#: Half, 90 % and 99 % of the jobs took no longer [s]; None where none got so far.
Percentiles = tuple[float | None, float | None, float | None]


@dataclass(frozen=True)
class Fared:
    """How the jobs of a process fared.

    Attributes:
        process: its id.
        statuses: how many jobs there are of each status.
        dead: how many of those that failed were given up after several tries.
        waited: from when they were accepted until they were taken up.
        ran: from then until they were successful or failed.
    """

    process: str
    statuses: Mapping[str, int]
    dead: int
    waited: Percentiles
    ran: Percentiles

    def __post_init__(self) -> None:
        for name in ("waited", "ran"):
            object.__setattr__(self, name, tuple(getattr(self, name) or (None, None, None)))

    @property
    def total(self) -> int:
        """How many jobs there are."""
        return sum(self.statuses.values())

    @property
    def failures(self) -> float | None:
        """Of those that were done, the part that failed; None where none was."""
        failed = self.statuses.get("failed", 0)
        done = failed + self.statuses.get("successful", 0)
        return failed / done if done else None


def by_process(
    connection: Connection, principal: str | None, begin: datetime | None = None, end: datetime | None = None
) -> list[Fared]:
    """How the jobs of somebody, or of all (None), fared that were accepted in a time; by process."""
    with connection.cursor(row_factory=class_row(Fared)) as cursor:
        statement = "SELECT * FROM almagest.job_statistics(%s, %s, %s)"
        return cursor.execute(statement, (principal, begin, end)).fetchall()
