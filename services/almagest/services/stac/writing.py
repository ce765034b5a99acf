"""Changing the catalogue: what is checked, and the statements that run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import orjson

from almagest.catalogue import acceptance
from almagest.catalogue.acceptance import Accepted
from almagest.catalogue.hydration import base_item, join
from almagest.catalogue.reserved import require_changeable
from almagest.catalogue.storing import Mode, Outcome
from almagest.core.errors import AlmagestError, BadRequestError, NotFoundError, TooLargeError
from almagest.core.settings import Settings
from almagest.services.stac.storing import Store
from almagest.services.web.pool import Pool

Document = dict[str, Any]
#: Parsed, they take ten times the memory of their text.
MAX_ITEMS = 5000
#: Turns a stored document into the changed one.
Change = Callable[[Document], Any]


@dataclass(frozen=True)
class Report:
    """What became of a bulk request.

    Attributes:
        received: items in the request.
        success: items stored, among them those that were stored already.
        created: items that are new.
        updated: items that replaced another.
        unchanged: items that were stored already.
        errors: id and reason of each item that was not.
        mended: id and remarks of each item that was stored in another way than it came.
    """

    received: int
    success: int
    created: int
    updated: int
    unchanged: int
    errors: list[dict[str, str]]
    mended: list[dict[str, Any]]


@dataclass(frozen=True)
class Writer:
    """Writes as ``almagest_writer``.

    Attributes:
        pool: connections of the writer.
        settings: what is validated, and by which address our own links are known.
    """

    pool: Pool
    settings: Settings

    @cached_property
    def _store(self) -> Store:
        return Store(self.pool)

    async def create_item(self, collection: str, document: Any, *, extensions: bool) -> Accepted:
        """Stores a new item.

        Raises:
            InvalidDocumentError: it is not valid STAC.
            ConflictError: the id is taken.
            NotFoundError: there is no such collection.
        """
        accepted = self._accept(collection, document, extensions=extensions)
        await self._put(collection, [accepted.document], "create")
        return accepted

    async def create_items(self, collection: str, documents: list[Any], *, extensions: bool) -> Report:
        """Stores new items, all or none; errors as for one.

        Raises:
            BadRequestError: two of them have the same id.
        """
        self._check_count(documents)

        def accept() -> list[Accepted]:
            return [self._accept(collection, document, extensions=extensions) for document in documents]

        accepted = await asyncio.to_thread(accept)
        _check_distinct(accepted)
        done = await self._put(collection, [each.document for each in accepted], "create")
        return Report(len(documents), len(accepted), done.created, 0, 0, [], _mended(accepted))

    async def bulk(self, collection: str, documents: Mapping[str, Any], *, upsert: bool, extensions: bool) -> Report:
        """Stores the valid ones of many items in one transaction and reports the others."""
        self._check_count(documents)
        accepted: list[Accepted] = []
        errors: list[dict[str, str]] = []

        def accept() -> None:
            for identifier, document in documents.items():
                try:
                    accepted.append(self._accept(collection, document, identifier, extensions=extensions))
                except AlmagestError as error:
                    errors.append({"id": identifier, "msg": str(error)})

        await asyncio.to_thread(accept)
        items = [each.document for each in accepted]
        done = await self._put(collection, items, "upsert" if upsert else "create")
        return Report(len(documents), len(items), done.created, done.updated, done.unchanged, errors, _mended(accepted))

    async def replace_item(self, collection: str, item_id: str, document: Any, *, extensions: bool) -> Accepted:
        """Replaces an item.

        Raises:
            NotFoundError: there is none of this id.
        """
        accepted = self._accept(collection, document, item_id, extensions=extensions)
        await self._put(collection, [accepted.document], "replace")
        return accepted

    async def change_item(self, collection: str, item_id: str, change: Change, *, extensions: bool) -> Accepted:
        """Reads, changes and writes an item while no other of our writers can touch it."""
        require_changeable(collection)

        async def work(connection: Any) -> Accepted:
            await connection.execute("SELECT lock_item($1, $2)", collection, item_id)
            row = await connection.fetchrow("SELECT item, base FROM item_row($1, $2)", collection, item_id)
            if row is None:
                raise NotFoundError(f"There is no item {item_id!r} in the collection {collection!r}.")
            changed = change(join(orjson.loads(row["item"]), base_item(row["base"])))
            accepted = self._accept(collection, changed, item_id, extensions=extensions)
            await self._store.put(connection, collection, [accepted.document], "replace")
            return accepted

        return await self._store.within(work)

    async def delete_item(self, collection: str, item_id: str) -> None:
        """Deletes an item.

        Raises:
            NotFoundError: there is none of this id.
        """
        require_changeable(collection)
        async with self.pool.connection() as connection:
            await connection.execute("SELECT delete_item($1, $2)", collection, item_id)

    async def create_collection(self, document: Any, *, extensions: bool) -> Accepted:
        """Stores a new collection; errors as for an item."""
        accepted = self._accept_collection(document, extensions=extensions)
        require_changeable(accepted.document["id"])
        async with self.pool.connection() as connection:
            await connection.execute("SELECT create_collection($1::jsonb)", _text(accepted.document))
        return accepted

    async def replace_collection(self, collection_id: str, document: Any, *, extensions: bool) -> Accepted:
        """Replaces a collection; its items stay."""
        require_changeable(collection_id)
        accepted = self._accept_collection(document, collection_id, extensions=extensions)
        async with self.pool.connection() as connection:
            await connection.execute("SELECT replace_collection($1::jsonb)", _text(accepted.document))
        return accepted

    async def change_collection(self, collection_id: str, change: Change, *, extensions: bool) -> Accepted:
        """Reads, changes and writes a collection while no other of our writers can touch it."""
        require_changeable(collection_id)
        async with self.pool.connection() as connection, connection.transaction():
            await connection.execute("SELECT lock_collection($1)", collection_id)
            text = await connection.fetchval("SELECT collection_document($1)::text", collection_id)
            if text is None:
                raise NotFoundError(f"There is no collection {collection_id!r}.")
            changed = change(orjson.loads(text))
            accepted = self._accept_collection(changed, collection_id, extensions=extensions)
            await connection.execute("SELECT replace_collection($1::jsonb)", _text(accepted.document))
        return accepted

    async def delete_collection(self, collection_id: str) -> None:
        """Deletes a collection and all its items."""
        require_changeable(collection_id)
        async with self.pool.connection() as connection:
            await connection.execute("SELECT delete_collection($1)", collection_id)

    def _accept(self, collection: str, document: Any, item_id: str | None = None, *, extensions: bool) -> Accepted:
        return acceptance.accept_item(document, self._rules(extensions), collection=collection, item_id=item_id)

    def _accept_collection(self, document: Any, collection_id: str | None = None, *, extensions: bool) -> Accepted:
        return acceptance.accept_collection(document, self._rules(extensions), collection_id=collection_id)

    def _rules(self, extensions: bool) -> acceptance.Rules:
        api = self.settings.api
        return acceptance.Rules(
            self.settings.site.origin, api.schema_mirror, extensions=extensions or api.validate_extensions
        )

    @staticmethod
    def _check_count(documents: Collection[Any]) -> None:
        if len(documents) > MAX_ITEMS:
            raise TooLargeError(f"{len(documents):,} items at once: send at most {MAX_ITEMS:,}, in several requests.")

    async def _put(self, collection: str, items: list[Document], mode: Mode) -> Outcome:
        require_changeable(collection)

        async def work(connection: Any) -> Outcome:
            if not items and not await connection.fetchval("SELECT port_collection_exists($1)", collection):
                raise NotFoundError(f"There is no collection {collection!r}: create it first.")
            return await self._store.put(connection, collection, items, mode)

        return await self._store.within(work)


def _text(value: Any) -> str:
    return orjson.dumps(value).decode()


def _check_distinct(accepted: list[Accepted]) -> None:
    seen: dict[str, int] = {}
    for index, each in enumerate(accepted):
        first = seen.setdefault(each.document["id"], index)
        if first != index:
            raise BadRequestError(f"/features/{index}/id: {each.document['id']!r} is the id of /features/{first} too.")


def _mended(accepted: list[Accepted]) -> list[dict[str, Any]]:
    return [{"id": each.document["id"], "remarks": list(each.remarks)} for each in accepted if each.remarks]
