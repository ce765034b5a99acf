"""What is to be told to somebody else's server, from Python: one function each for what its SQL set can do."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import class_row

Connection = psycopg.Connection[Any]


@dataclass(frozen=True)
class Post:
    """One thing to tell, as it was taken up.

    Attributes:
        id: the same each time that it is tried.
        kind: how its body is made of the payload.
        about: what it tells of, as `job:<id>`.
        principal: on whose behalf.
        url: who is told.
        payload: what.
        tries: the number of this try, from 1.
        created_at: when there was something to tell.
    """

    id: UUID
    kind: str
    about: str
    principal: str
    url: str
    payload: Any
    tries: int
    created_at: datetime


@dataclass(frozen=True)
class Entry:
    """What became of one; what has neither been delivered nor given up is tried at ``next_at``."""

    id: UUID
    kind: str
    about: str
    principal: str
    url: str
    created_at: datetime
    next_at: datetime | None
    tries: int
    delivered_at: datetime | None
    given_up_at: datetime | None
    last_error: str | None


def claim(connection: Connection, lease: timedelta, at_most: int) -> list[Post]:
    """Takes up some of what is due; what is not reported on within that time is due again."""
    with connection.cursor(row_factory=class_row(Post)) as cursor:
        return cursor.execute("SELECT * FROM almagest.claim_posts(%s, %s)", (lease, at_most)).fetchall()


def told(connection: Connection, post: Post) -> None:
    """It was told."""
    connection.execute("SELECT almagest.report_post(%s, %s)", (post.id, post.tries))


def failed(connection: Connection, post: Post, why: str, retry_after: timedelta | None) -> None:
    """It was not told: it is tried again after a time, or given up (None)."""
    connection.execute("SELECT almagest.report_post(%s, %s, %s, %s)", (post.id, post.tries, why, retry_after))


def expire(connection: Connection, age: timedelta) -> int:
    """Forgets what was told or given up so long ago; answers how many."""
    row = connection.execute("SELECT almagest.expire_posts(%s)", (age,)).fetchone()
    return row[0] if row else 0


def entries(connection: Connection, about: str | None = None, limit: int = 100) -> list[Entry]:
    """What there is, or was, to tell of something, or of all; the newest first."""
    with connection.cursor(row_factory=class_row(Entry)) as cursor:
        return cursor.execute("SELECT * FROM almagest.posts(%s, %s)", (about, limit)).fetchall()
