"""The table of jobs, from Python: one function each for what its SQL set can do.

Connections are the caller's, and so are transactions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from almagest.core.errors import BadRequestError, ConflictError, NotFoundError, TooManyRequestsError
from almagest.core.jobs import Child, Process, Status

_LONGEST_KEY = 255

Connection = psycopg.Connection[Any]


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A job, as it stands in a list: without what it was given and gave, which may be long."""

    id: UUID
    process: str
    process_version: str
    queue: str
    principal: str
    status: Status
    progress: int
    message: str | None
    published: list[dict[str, Any]] | None
    #: In a list, without what only operators should see (``internal``).
    error: dict[str, Any] | None
    is_dead: bool
    attempt: int
    max_attempts: int
    run_after: datetime
    parent: UUID | None
    pending_children: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    updated_at: datetime
    #: Who asked for it, for people; in a list alone.
    by: str | None = None


@dataclass(frozen=True, kw_only=True)
class Job(Listed):
    """A job, as it is stored."""

    inputs: dict[str, Any]
    request: dict[str, Any]
    idempotency_key: str | None
    request_sha256: bytes | None
    outputs: dict[str, Any] | None
    rung_at: datetime | None
    lease_owner: str | None
    lease_until: datetime | None
    checkpoint: Any
    #: Whatever comes later has a default: what was noted of a job before is read all the same.
    dismissal: str | None = None


@dataclass(frozen=True)
class Event:
    """A line of the log of a job; ``kind`` is ``state`` or ``log``."""

    id: int
    at: datetime
    kind: str
    message: str


def accept(
    connection: Connection,
    process: Process[Any],
    inputs: Mapping[str, Any],
    principal: str,
    *,
    request: Mapping[str, Any] | None = None,
    key: str | None = None,
    request_id: str = "",
) -> tuple[UUID, bool]:
    """Takes a job in, in the transaction of the caller; workers are to be told when it is committed.

    Args:
        connection: of a role that may.
        process: what is to be done.
        inputs: as they came; checked here.
        principal: whose job it is.
        request: outputs, response and subscriber, as they were asked for.
        key: an Idempotency-Key: the same request with the same key is the same job.
        request_id: of the request that it came with: stands in the logs of whoever does the job, and of its children.

    Returns:
        Its id, and whether it is new.

    Raises:
        InvalidDocumentError: the inputs are not what the process takes.
        BadRequestError: they, or the key, cannot be stored.
        ConflictError: the key was used for another request.
        TooManyRequestsError: too many jobs of his have not ended, or his quota of this class is used up.
    """
    if key is not None and not 0 < len(key) <= _LONGEST_KEY:
        raise BadRequestError(f"An Idempotency-Key has 1 to {_LONGEST_KEY} characters.")
    checked = process.parse(inputs).model_dump(mode="json", exclude_unset=True)
    request = request or {}
    digest = _digest(process.id, checked, request) if key is not None else None
    try:
        row = connection.execute(
            "SELECT id, is_new FROM almagest.accept_job(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (
                process.id,
                process.version,
                process.queue,
                principal,
                Jsonb(checked),
                Jsonb({**request, "request_id": request_id} if request_id else request),
                process.max_attempts,
                key,
                digest,
                process.quota,
            ),
        ).fetchone()
    except psycopg.errors.UniqueViolation as error:
        raise ConflictError(error.diag.message_primary) from None
    except psycopg.errors.ProgramLimitExceeded as error:
        raise TooManyRequestsError(error.diag.message_primary) from None
    except psycopg.errors.ConfigurationLimitExceeded as error:
        raise TooManyRequestsError(error.diag.message_primary, int(error.diag.message_detail or 0)) from None
    except psycopg.DataError:
        raise BadRequestError("The inputs hold a character that cannot be stored (U+0000).") from None
    assert row is not None
    return row[0], row[1]


def claim(connection: Connection, job: UUID, owner: str, lease: timedelta, known: Iterable[str]) -> Job | None:
    """Takes a job up, of one of the processes that are known; None where it is not to be had."""
    return _job(connection, "SELECT * FROM almagest.claim_job(%s, %s, %s, %s)", job, owner, lease, list(known))


def claim_due(
    connection: Connection, queues: Iterable[str], owner: str, lease: timedelta, known: Iterable[str]
) -> Job | None:
    """As :func:`claim`, some job of these queues that waits for a worker."""
    statement = "SELECT * FROM almagest.claim_due_job(%s, %s, %s, %s)"
    return _job(connection, statement, list(queues), owner, lease, list(known))


def keep(
    connection: Connection,
    job: UUID,
    owner: str,
    lease: timedelta,
    progress: int | None = None,
    message: str | None = None,
    lines: Sequence[str] = (),
) -> bool | None:
    """Says that a job is being worked on; False where it is another's by now, None where nothing could be noted."""
    found: bool | None = _value(
        connection,
        "SELECT almagest.keep_job(%s, %s, %s, %s::smallint, %s, %s)",
        job,
        owner,
        lease,
        progress,
        message,
        list(lines),
    )
    return found


def hold(connection: Connection, job: UUID, owner: str) -> bool:
    """Whether a job is this owner's, and stays so until the transaction ends."""
    return _truth(connection, "SELECT almagest.hold_job(%s, %s)", job, owner)


def overtaken(connection: Connection, job: UUID, collections: Iterable[str], mark: str) -> str | None:
    """What others have changed in some collections since somebody looked.

    Args:
        connection: where each statement sees what has ended before it (READ COMMITTED).
        job: changes made by it, and by other children of the same one, do not count.
        collections: ids.
        mark: as :meth:`almagest.catalogue.exporting.Snapshot.mark` has told it.

    Returns:
        An item, as `collection/id`; None: nothing.
    """
    found: str | None = _value(connection, "SELECT almagest.overtaken(%s, %s, %s)", job, list(collections), mark)
    return found


def release(connection: Connection, job: UUID, owner: str) -> bool:
    """Gives a job back that somebody else may take up at once; False where it is no longer this owner's."""
    return _truth(connection, "SELECT almagest.release_job(%s, %s)", job, owner)


def finish(
    connection: Connection,
    job: UUID,
    owner: str,
    outputs: Mapping[str, Any],
    published: Sequence[Mapping[str, Any]] = (),
) -> bool:
    """Ends a job well, in the transaction that publishes its results; False where it is no longer this owner's.

    ``published`` says what of the catalogue it wrote: collection, item, and keys of assets that it added.
    """
    told = Jsonb(published) if published else None
    return _truth(connection, "SELECT almagest.finish_job(%s, %s, %s, %s)", job, owner, Jsonb(outputs), told)


def fail(
    connection: Connection, job: UUID, owner: str, error: Mapping[str, Any], retry_after: timedelta | None = None
) -> Status | None:
    """A job failed; it is tried again where that may help. Answers its status, None where it is another's by now."""
    statement = "SELECT almagest.fail_job(%s, %s, %s, %s)"
    became: Status | None = _value(connection, statement, job, owner, Jsonb(error), retry_after)
    return became


def postpone(
    connection: Connection, job: UUID, owner: str, error: Mapping[str, Any], retry_after: timedelta
) -> Status | None:
    """As :func:`fail`, where others were faster: it does not count against the job, as long as it is not a day old."""
    statement = "SELECT almagest.postpone_job(%s, %s, %s, %s)"
    became: Status | None = _value(connection, statement, job, owner, Jsonb(error), retry_after)
    return became


def suspend(
    connection: Connection,
    job: UUID,
    owner: str,
    children: Iterable[tuple[Process[Any], Mapping[str, Any]]],
    checkpoint: Any = None,
) -> list[UUID]:
    """Gives others a part to do; the job goes on when all have ended.

    Answers their ids, in the order in which they are given; none where it is no longer this owner's.
    """
    wanted = [
        {
            "process": process.id,
            "version": process.version,
            "queue": process.queue,
            "inputs": process.parse(inputs).model_dump(mode="json", exclude_unset=True),
            "max_attempts": process.max_attempts,
        }
        for process, inputs in children
    ]
    rows = connection.execute(
        "SELECT almagest.suspend_job(%s, %s, %s, %s)", (job, owner, Jsonb(checkpoint), Jsonb(wanted))
    )
    return [identifier for (identifier,) in rows]


def to_ring(connection: Connection, age: timedelta, at_most: int = 1000) -> list[tuple[UUID, str]]:
    """Jobs, with their queues, of which workers were not told lately."""
    return connection.execute("SELECT id, queue FROM almagest.jobs_to_ring(%s, %s)", (age, at_most)).fetchall()


def bury(connection: Connection) -> int:
    """Ends what killed its workers too often, and what nobody waits for any more; answers how many."""
    return int(_value(connection, "SELECT almagest.bury_jobs()"))


def counts(connection: Connection) -> dict[str, dict[Status, int]]:
    """How many jobs there are of each process and status."""
    found: dict[str, dict[Status, int]] = {}
    for process, status, number in connection.execute("SELECT process, status, number FROM almagest.job_counts()"):
        found.setdefault(process, {})[status] = number
    return found


def expire(connection: Connection, age: timedelta) -> int:
    """Forgets jobs that ended so long ago; answers how many."""
    return int(_value(connection, "SELECT almagest.expire_jobs(%s)", age))


def expire_memory(connection: Connection, age: timedelta) -> int:
    """Forgets what processes have noted so long ago, and a year ago at least; answers how many."""
    return int(_value(connection, "SELECT almagest.expire_memory(%s)", age))


def dismiss(
    connection: Connection, job: UUID, *, may_remove: bool = True, request: str | None = None
) -> Status | Literal["removed"]:
    """Ends a job, or removes one that has ended; answers what became of it.

    Args:
        connection: of a role that may.
        job: its id.
        may_remove: whether one that has ended may go.
        request: what asks, where it may come twice: it removes nothing that it has not found ended the first time.

    Raises:
        NotFoundError: there is no such job.
    """
    status: Status | Literal["removed"] | None = _value(
        connection, "SELECT almagest.dismiss_job(%s, %s, %s)", job, may_remove, request
    )
    if status is None:
        raise NotFoundError(f"There is no job {job}.")
    return status


def retry(connection: Connection, job: UUID) -> bool:
    """Does a job anew that failed or was dismissed; False where it did not, or is a part of another."""
    return _truth(connection, "SELECT almagest.retry_job(%s)", job)


def find(connection: Connection, job: UUID) -> Job:
    """A job.

    Raises:
        NotFoundError: there is none.
    """
    found = _job(connection, "SELECT * FROM almagest.job_document(%s)", job)
    if found is None:
        raise NotFoundError(f"There is no job {job}.")
    return found


def listed(
    connection: Connection,
    principal: str | None = None,
    filters: Mapping[str, Any] | None = None,
    before: tuple[datetime, UUID] | None = None,
    limit: int = 100,
) -> list[Listed]:
    """Jobs of somebody, or of all, the newest first, behind one of them; filters as ``almagest.list_jobs`` has them."""
    values = (principal, Jsonb(filters or {}), *(before or (None, None)), limit)
    with connection.cursor(row_factory=class_row(Listed)) as cursor:
        return cursor.execute("SELECT * FROM almagest.list_jobs(%s, %s, %s, %s, %s)", values).fetchall()


def children(connection: Connection, job: UUID) -> list[Child]:
    """What a job gave others to do, and what became of it."""
    return [
        Child(child.process, child.inputs, child.status, child.outputs, child.error)
        for child in _jobs(connection, "SELECT * FROM almagest.job_children(%s)", job)
    ]


def events(connection: Connection, job: UUID, behind: int = 0, limit: int = 1000) -> Iterator[Event]:
    """The log of a job, behind an event."""
    with connection.cursor(row_factory=class_row(Event)) as cursor:
        yield from cursor.execute("SELECT * FROM almagest.job_events(%s, %s, %s)", (job, behind, limit))


def _digest(process: str, inputs: Mapping[str, Any], request: Mapping[str, Any]) -> bytes:
    import orjson

    return hashlib.sha256(orjson.dumps([process, inputs, request], option=orjson.OPT_SORT_KEYS)).digest()


def _job(connection: Connection, statement: str, *values: object) -> Job | None:
    return next(iter(_jobs(connection, statement, *values)), None)


def _jobs(connection: Connection, statement: str, *values: object) -> list[Job]:
    with connection.cursor(row_factory=class_row(Job)) as cursor:
        return cursor.execute(statement, values).fetchall()


def _truth(connection: Connection, statement: str, *values: object) -> bool:
    return bool(_value(connection, statement, *values))


def _value(connection: Connection, statement: str, *values: object) -> Any:
    row = connection.execute(statement, values).fetchone()
    return row[0] if row else None
