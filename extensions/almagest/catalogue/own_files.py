"""Files that callers keep, as rows: one function each for what the SQL set `files` can do.

Connections are the caller's. The bytes are :mod:`almagest.catalogue.uploads`' matter.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import psycopg
from psycopg.rows import class_row, dict_row

from almagest.catalogue.uploads import Kept
from almagest.core.errors import ConflictError, NotFoundError, PreconditionFailedError, QuotaExceededError

Connection = psycopg.Connection[Any]
Outcome = Literal["created", "replaced", "unchanged"]


@dataclass(frozen=True)
class OwnFile:
    """A file of somebody.

    Attributes:
        key: where its bytes lie, below the folder of the store or in its bucket.
    """

    id: UUID
    subject: str
    name: str
    size: int
    sha256: bytes
    media_type: str
    key: str
    created_at: datetime


@dataclass(frozen=True)
class Room:
    """What somebody may keep, in bytes; None: nothing limits him.

    Attributes:
        most_of_one: of one file.
        most_of_all: of all together.
        used: by those that he has.
    """

    most_of_one: int | None
    most_of_all: int | None
    used: int


@dataclass(frozen=True)
class Added:
    """What became of a file that was brought.

    Attributes:
        displaced: the key of bytes that nobody needs now, if there are any.
    """

    file: OwnFile
    outcome: Outcome
    displaced: str | None


def room(connection: Connection, subject: str) -> Room:
    """What somebody may keep, and keeps."""
    with connection.cursor(row_factory=class_row(Room)) as cursor:
        found = cursor.execute("SELECT * FROM almagest.file_room(%s)", (subject,)).fetchone()
    assert found is not None
    return found


def add(
    connection: Connection,
    subject: str,
    name: str,
    kept: Kept,
    *,
    may_replace: bool,
    in_place_of: bytes | None = None,
) -> Added:
    """Adds a file whose bytes are kept.

    Args:
        connection: of a role that may.
        subject: whose it becomes.
        name: what he calls it.
        kept: its bytes.
        may_replace: whether it may take the place of another of this name.
        in_place_of: SHA-256 of what it is to replace, if it is to replace something certain.

    Raises:
        ConflictError: the name stands for other content.
        PreconditionFailedError: what it is to replace is not there.
        QuotaExceededError: all his files would have more bytes than they may.
    """
    given = (subject, name, kept.size, kept.sha256, kept.media_type, kept.key, may_replace, in_place_of)
    statement = "SELECT outcome, displaced, (file).* FROM almagest.add_file(%s, %s, %s, %s, %s, %s, %s, %s)"
    with _refusals(), connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(statement, given).fetchone()
    assert row is not None
    outcome, displaced = row.pop("outcome"), row.pop("displaced")
    return Added(OwnFile(**row), outcome, displaced)


def find(connection: Connection, subject: str, name: str) -> OwnFile:
    """A file of somebody.

    Raises:
        NotFoundError: he has none of this name.
    """
    with connection.cursor(row_factory=class_row(OwnFile)) as cursor:
        found = cursor.execute("SELECT * FROM almagest.find_file(%s, %s)", (subject, name)).fetchone()
    if found is None:
        raise NotFoundError(f"There is no file {name!r}.")
    return found


def listed(connection: Connection, subject: str, before: tuple[datetime, UUID] | None, limit: int) -> list[OwnFile]:
    """Files of somebody, the newest first, behind one of them."""
    with connection.cursor(row_factory=class_row(OwnFile)) as cursor:
        given = (subject, *(before or (None, None)), limit)
        return cursor.execute("SELECT * FROM almagest.list_files(%s, %s, %s, %s)", given).fetchall()


def remove(connection: Connection, subject: str, name: str, of_content: bytes | None = None) -> str:
    """Removes a file; answers the key of its bytes, which are to go now.

    Raises:
        NotFoundError: he has none of this name.
        PreconditionFailedError: it has not the content that it is removed for.
    """
    with _refusals():
        row = connection.execute("SELECT almagest.remove_file(%s, %s, %s)", (subject, name, of_content)).fetchone()
    if row is None or row[0] is None:
        raise NotFoundError(f"There is no file {name!r}.")
    return str(row[0])


def without_file(connection: Connection, keys: list[str]) -> list[str]:
    """Of these keys, those under which no file lies."""
    return [key for (key,) in connection.execute("SELECT * FROM almagest.keys_without_file(%s)", (keys,))]


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except psycopg.errors.UniqueViolation as error:
        raise ConflictError(error.diag.message_primary) from None
    except psycopg.Error as error:
        meant = {"AM412": PreconditionFailedError, "AM413": QuotaExceededError}.get(error.sqlstate or "")
        if meant is None:
            raise
        raise meant(error.diag.message_primary) from None
