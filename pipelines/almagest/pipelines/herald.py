"""Tells subscribed servers of changes: page after page into the outbox, one on its way to each at a time.

Pages are read as the role of the audience that a subscription is for, so that the database decides what stands in them,
as it does for `/changes`.
"""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from typing import Any

import psycopg
import structlog
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool

from almagest.catalogue import database, subscriptions
from almagest.catalogue.changes import Changes, Feed, Rows, Wanted
from almagest.catalogue.following import CursorKey
from almagest.catalogue.paging import TokenKey
from almagest.catalogue.subscriptions import Follower
from almagest.core import secrets
from almagest.core.errors import AlmagestError
from almagest.core.processes import Audience
from almagest.core.settings import Settings

log = structlog.get_logger(__name__)

#: As they log in, and where their functions stand.
_ROLES: dict[Audience, tuple[str, str]] = {
    "internal": ("almagest_reader", "almagest"),
    "external": ("almagest_external", "external"),
}
#: Changes of one page. Documents are not among them: who is told asks for what he needs.
_PAGE = 500
#: Longer than it takes to make a page.
_LEASE = timedelta(minutes=5)


class Herald:
    """Runs in a thread of a worker until it is stopped."""

    def __init__(self, pool: ConnectionPool[psycopg.Connection], settings: Settings) -> None:
        """Args:
        pool: connections of the workers' role.
        settings: of the stack.
        """
        self._pool, self._settings = pool, settings
        self._interval = timedelta(seconds=settings.work.poll_s)
        self._feeds: dict[Audience, Feed] = {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="herald", daemon=True)

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def stop(self) -> None:
        """Looks at nobody more."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.wait(self._interval.total_seconds()):
            try:
                while not self._stopped.is_set() and self.look():
                    pass
            except (psycopg.Error, AlmagestError) as error:
                log.warning("nobody is told of changes", reason=str(error))
            except Exception:
                log.exception("nobody is told of changes")

    def look(self) -> bool:
        """Sees to one who is due; answers whether there was one.

        Raises:
            psycopg.Error: the database is away.
            AlmagestError: a secret is missing.
        """
        if not secrets.read(self._settings.secrets, secrets.TOKEN_KEY):  # other workers may have it
            return False
        with self._pool.connection() as connection:
            follower = subscriptions.due(connection, _LEASE)
        if follower is None:
            return False
        try:
            found = asyncio.run(self._page(follower))
        except AlmagestError as error:
            if error.status not in {400, 410}:
                raise
            with self._pool.connection() as connection:
                if subscriptions.stop(connection, follower, str(error)):
                    log.warning("cannot be told of changes any more", subscription=follower.name, reason=str(error))
            return True
        with self._pool.connection() as connection:
            page = self._body(follower, found) if found.entries else None
            subscriptions.tell(connection, follower, found.cursor, page, self._interval)
        return True

    async def _page(self, follower: Follower) -> Changes:
        role, schema = _ROLES[follower.audience]
        # What is only read may be asked of any server; here it is the one that is written to.
        connection = await psycopg.AsyncConnection.connect(
            **database.parameters(self._settings, role),
            autocommit=True,
            row_factory=dict_row,
            cursor_factory=psycopg.AsyncRawCursor,
        )
        async with connection:

            async def ask(statement: str, /, *values: object) -> Rows:
                return await (await connection.execute(statement.encode(), values)).fetchall()

            await connection.execute("SELECT set_config('search_path', $1, false)", (f"{schema}, public",))
            wanted = Wanted(tuple(follower.collections) if follower.collections else None, limit=_PAGE)
            return await self._feed(follower.audience).page(ask, follower.cursor, wanted)

    def _feed(self, audience: Audience) -> Feed:
        if audience not in self._feeds:
            key = TokenKey(
                secrets.require(self._settings.secrets, secrets.TOKEN_KEY).encode(),
                audience,
                (secrets.read(self._settings.secrets, secrets.PREVIOUS_TOKEN_KEY) or "").encode(),
            )
            self._feeds[audience] = Feed(CursorKey(key), audience == "external")
        return self._feeds[audience]

    @staticmethod
    def _body(follower: Follower, found: Changes) -> dict[str, Any]:
        return {
            "subscription": follower.name,
            "changes": [entry.as_json() for entry in found.entries],
            "cursor": found.cursor,
            "numberReturned": len(found.entries),
        }
