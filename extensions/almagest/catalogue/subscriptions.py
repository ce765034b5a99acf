"""Servers that are told of changes, from Python: one function each for what its SQL set can do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from almagest.core.processes import Audience

Connection = psycopg.Connection[Any]


@dataclass(frozen=True)
class Follower:
    """Somebody who may have to be told something.

    Attributes:
        name: of the subscription.
        principal: on whose behalf.
        url: who is told.
        audience: what he may see.
        collections: changes of these; None: of all.
        cursor: how far he has been told; None: of nothing yet.
    """

    name: str
    principal: str
    url: str
    audience: Audience
    collections: list[str] | None
    cursor: str | None


@dataclass(frozen=True)
class Subscription(Follower):
    """One as it is listed.

    Attributes:
        created_at: when it was made.
        due_at: when it is looked at next; None: never.
        post: what is on its way to him; None: nothing.
        told_at: when he last took something.
        trouble: why he is not told; None: he is.
    """

    created_at: datetime
    due_at: datetime | None
    post: UUID | None
    told_at: datetime | None
    trouble: str | None


def subscribe(
    connection: Connection,
    name: str,
    principal: str,
    url: str,
    audience: Audience,
    collections: Sequence[str] | None = None,
    cursor: str | None = None,
) -> bool:
    """Has a server told of what changes behind a cursor; False where the name is taken."""
    values = (name, principal, url, audience, list(collections) if collections else None, cursor)
    return bool(_one(connection.execute("SELECT almagest.subscribe(%s, %s, %s, %s, %s, %s)", values)))


def unsubscribe(connection: Connection, name: str) -> bool:
    """Has a server told no more; False where there is none of this name."""
    return bool(_one(connection.execute("SELECT almagest.unsubscribe(%s)", (name,))))


def subscriptions(connection: Connection) -> list[Subscription]:
    """All of them, by name."""
    with connection.cursor(row_factory=class_row(Subscription)) as cursor:
        return cursor.execute("SELECT * FROM almagest.subscriptions()").fetchall()


def due(connection: Connection, lease: timedelta) -> Follower | None:
    """Takes up one who is due; if nothing comes of it in that time, he is due again."""
    with connection.cursor(row_factory=class_row(Follower)) as cursor:
        return cursor.execute("SELECT * FROM almagest.due_subscription(%s)", (lease,)).fetchone()


def tell(connection: Connection, follower: Follower, cursor: str, page: Any, again: timedelta) -> bool:
    """Sends a page on its way; None: up to that cursor there is nothing, and he is due again after a time."""
    values = (follower.name, follower.cursor, cursor, None if page is None else Jsonb(page), again)
    return bool(_one(connection.execute("SELECT almagest.tell_changes(%s, %s, %s, %s, %s)", values)))


def stop(connection: Connection, follower: Follower, why: str) -> bool:
    """He cannot be told what he has missed; False where he was told otherwise meanwhile."""
    values = (follower.name, follower.cursor, why)
    return bool(_one(connection.execute("SELECT almagest.stop_telling(%s, %s, %s)", values)))


def _one(cursor: psycopg.Cursor[Any]) -> Any:
    row = cursor.fetchone()
    return row[0] if row else None
