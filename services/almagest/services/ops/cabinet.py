"""Where files of callers are kept, on behalf of the web: the table and the store, by threads of their own."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import ParamSpec, TypeVar
from uuid import UUID

import structlog

from almagest.catalogue import own_files, uploads
from almagest.catalogue.own_files import Added, Connection, OwnFile, Room
from almagest.catalogue.uploads import Incoming
from almagest.core.errors import AlmagestError, DatabaseUnavailableError
from almagest.core.settings import Settings
from almagest.services.ops.records import Records

P = ParamSpec("P")
T = TypeVar("T")

log = structlog.get_logger(__name__)

#: Writes to a slow disk at the same time; whoever checks keys waits for none of them.
_THREADS = 8
#: An upload takes less long: what is older and belongs to no file never will.
_ORPHAN_AGE = timedelta(days=1)


class Cabinet:
    """Files, for the requests of one process of ours."""

    def __init__(self, settings: Settings, records: Records) -> None:
        self._settings = settings
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="files")
        self._ask = records.ask

    async def work(self, work: Callable[P, T], *args: P.args, **more: P.kwargs) -> T:
        """Does what may wait for a disk or a network."""
        task = functools.partial(work, *args, **more)
        return await asyncio.get_running_loop().run_in_executor(self._threads, task)

    async def room(self, subject: str) -> Room:
        """What somebody may keep, and keeps."""
        return await self._ask(lambda connection: own_files.room(connection, subject))

    async def find(self, subject: str, name: str) -> OwnFile:
        """A file of somebody.

        Raises:
            NotFoundError: he has none of this name.
        """
        return await self._ask(lambda connection: own_files.find(connection, subject, name))

    async def listed(self, subject: str, before: tuple[datetime, UUID] | None, limit: int) -> list[OwnFile]:
        """Files of somebody, the newest first, behind one of them."""
        return await self._ask(lambda connection: own_files.listed(connection, subject, before, limit))

    async def add(
        self, incoming: Incoming, subject: str, name: str, *, may_replace: bool, in_place_of: bytes | None
    ) -> Added:
        """Keeps a file that is there whole: its bytes, then the row that names them.

        Raises:
            AlmagestError: as of :func:`almagest.catalogue.own_files.add`; nothing of it is kept.
        """
        kept = await self.work(incoming.keep, subject, name)

        def work(connection: Connection) -> Added:
            return own_files.add(connection, subject, name, kept, may_replace=may_replace, in_place_of=in_place_of)

        try:
            added = await self._ask(work)
        except DatabaseUnavailableError:
            raise  # nobody knows whether a row names these bytes by now: they stay, to be collected if none does
        except AlmagestError:
            await self._discard(kept.key)
            raise
        if added.displaced is not None:
            await self._discard(added.displaced)
        return added

    async def remove(self, subject: str, name: str, of_content: bytes | None) -> None:
        """Removes a file: the row, then its bytes.

        Raises:
            NotFoundError: he has none of this name.
            PreconditionFailedError: it has not the content that it is removed for.
        """
        key = await self._ask(lambda connection: own_files.remove(connection, subject, name, of_content))
        await self._discard(key)

    async def collect(self, age: timedelta = _ORPHAN_AGE) -> int:
        """Removes bytes that are so old, and that no row names; answers of how many places.

        Raises:
            AlmagestError: the database or the bucket does not answer.
        """
        removed = 0
        batches = uploads.older_than(self._settings, age)
        while keys := await self.work(next, batches, None):
            for key in await self._ask(functools.partial(own_files.without_file, keys=keys)):
                await self.work(uploads.discard, self._settings, key)
                removed += 1
        return removed

    async def close(self) -> None:
        """Closes what is open."""
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)

    async def _discard(self, key: str) -> None:
        """No row names these bytes: should they not go now, they are collected later."""
        try:
            await self.work(uploads.discard, self._settings, key)
        except (AlmagestError, OSError) as error:
            log.warning("bytes of a file are still there", key=key, reason=str(error))
