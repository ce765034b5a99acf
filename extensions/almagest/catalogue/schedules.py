"""The table of schedules, from Python, and what their times mean.

Connections are the caller's, and so are transactions.
"""

from __future__ import annotations

import zoneinfo
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from almagest.core.errors import BadRequestError, ConflictError, NotFoundError
from almagest.core.jobs import Process

Connection = psycopg.Connection[Any]


@dataclass(frozen=True)
class Schedule:
    """A schedule, as it is stored."""

    name: str
    process: str
    inputs: dict[str, Any]
    cron: str
    zone: str
    principal: str
    enabled: bool
    next_at: datetime
    last_at: datetime | None
    last_job: UUID | None
    last_error: str | None
    created_at: datetime

    @property
    def times(self) -> Times:
        """When it is due."""
        return Times(self.cron, self.zone)

    def coming(self, number: int) -> list[datetime]:
        """Its next moments, in its zone; none where it is paused. The first of them may be overdue."""
        if not self.enabled:
            return []
        try:
            behind = self.times.after(max(self.next_at, datetime.now(UTC)))
        except BadRequestError:  # a zone that only other machines know
            return [self.next_at]
        return [
            moment.astimezone(zoneinfo.ZoneInfo(self.zone)) for moment in (self.next_at, *islice(behind, number - 1))
        ]


@dataclass(frozen=True)
class Times:
    """The moments that a cron expression means in a time zone.

    What falls into the hour that is left out in spring is due when the clock goes on; what falls into the one that
    comes twice in autumn is due the first time, unless it is due every so many minutes or hours.

    Raises:
        BadRequestError: the expression, or the zone, means nothing.
    """

    cron: str
    zone: str

    def __post_init__(self) -> None:
        if len(self.cron.split()) != 5:
            raise BadRequestError(
                f"{self.cron!r} is no cron expression: minute, hour, day of month, month, day of week, as `30 2 * * *`."
            )
        if next(self.after(datetime.now(UTC)), None) is None:
            raise BadRequestError(f"{self.cron!r} never comes.")

    def after(self, moment: datetime) -> Iterator[datetime]:
        """All moments behind one, in UTC."""
        # Where the clock goes back, the library begins with those that have passed.
        return (found for found in self._from(moment, is_back=False) if found > moment)

    def latest(self, moment: datetime, earliest: datetime) -> datetime:
        """The last moment until then, but not before another, which is one of them."""
        found = next((each for each in self._from(moment, is_back=True) if each <= moment), earliest)
        return max(found, earliest)

    def _from(self, moment: datetime, *, is_back: bool) -> Iterator[datetime]:
        from cronsim import CronSim, CronSimError

        try:
            zone = zoneinfo.ZoneInfo(self.zone)
        except (KeyError, ValueError, OSError):  # a name that is none, of a folder, or of a file that is no zone
            raise BadRequestError(
                f"There is no time zone {self.zone!r}: write one as `Europe/Zurich` or `UTC`."
            ) from None
        begin = (moment + timedelta(seconds=1) if is_back else moment).astimezone(zone)
        try:
            found = CronSim(self.cron, begin, reverse=is_back)
        except CronSimError as error:
            raise BadRequestError(f"{self.cron!r} is no cron expression: {str(error).lower()}.") from None
        return (each.astimezone(UTC) for each in found)


def add(
    connection: Connection,
    name: str,
    process: Process[Any],
    inputs: Mapping[str, Any],
    times: Times,
    principal: str,
) -> None:
    """Adds a schedule.

    Raises:
        InvalidDocumentError: the inputs are not what the process takes.
        BadRequestError: it cannot be called so, or its inputs cannot be stored.
        ConflictError: another one is called so.
    """
    checked = process.parse(inputs).model_dump(mode="json", exclude_unset=True)
    first = next(times.after(now(connection)))
    try:
        row = connection.execute(
            "SELECT almagest.put_schedule(%s, %s, %s, %s, %s, %s, %s)",
            (name, process.id, Jsonb(checked), " ".join(times.cron.split()), times.zone, principal, first),
        ).fetchone()
    except psycopg.errors.CheckViolation:
        raise BadRequestError(f"A schedule is called by lower-case words with hyphens between, not {name!r}.") from None
    except psycopg.DataError:
        raise BadRequestError("The inputs hold a character that cannot be stored (U+0000).") from None
    if row is None or row[0] is None:
        raise ConflictError(f"There is a schedule {name!r} already: remove that one first.")


def listed(connection: Connection) -> list[Schedule]:
    """All schedules, in alphabetical order."""
    return _schedules(connection, "SELECT * FROM almagest.schedules()")


def find(connection: Connection, name: str) -> Schedule:
    """A schedule.

    Raises:
        NotFoundError: there is none.
    """
    found = next((schedule for schedule in listed(connection) if schedule.name == name), None)
    if found is None:
        raise NotFoundError(f"There is no schedule {name!r}.")
    return found


def enable(connection: Connection, name: str, *, is_to: bool) -> None:
    """Has a schedule go on at its next moment, or pauses it.

    Raises:
        NotFoundError: there is none.
    """
    moment = next(find(connection, name).times.after(now(connection)))
    connection.execute("SELECT almagest.enable_schedule(%s, %s, %s)", (name, is_to, moment))


def remove(connection: Connection, name: str) -> None:
    """Removes a schedule; its jobs stay.

    Raises:
        NotFoundError: there is none.
    """
    row = connection.execute("SELECT almagest.remove_schedule(%s)", (name,)).fetchone()
    if row is None or row[0] is None:
        raise NotFoundError(f"There is no schedule {name!r}.")


def due(connection: Connection, known: Iterable[str], patience: timedelta) -> Schedule | None:
    """A schedule that is due, until the transaction ends ours alone; of an unknown process only after a while."""
    found = _schedules(connection, "SELECT * FROM almagest.due_schedule(%s, %s)", list(known), patience)
    return next(iter(found), None)


def note(
    connection: Connection,
    name: str,
    moment: datetime,
    following: datetime | None,
    *,
    job: UUID | None = None,
    error: str | None = None,
) -> None:
    """What came of a moment of a schedule, and its next one; without one it is paused."""
    connection.execute("SELECT almagest.note_schedule(%s, %s, %s, %s, %s)", (name, moment, following, job, error))


def now(connection: Connection) -> datetime:
    """The time, as the database has it."""
    row = connection.execute("SELECT almagest.clock()").fetchone()
    assert row is not None
    found: datetime = row[0]
    return found.astimezone(UTC)


def _schedules(connection: Connection, statement: str, *values: object) -> list[Schedule]:
    with connection.cursor(row_factory=class_row(Schedule)) as cursor:
        return cursor.execute(statement, values).fetchall()
