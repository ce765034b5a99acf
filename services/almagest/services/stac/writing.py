"""Changing the catalogue: what is checked, and the statements that run."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from almagest.catalogue import rendering, validation
from almagest.catalogue.audience import CANARY
from almagest.core.errors import AlmagestError, BadRequestError, ConflictError, NotFoundError, TooLargeError
from almagest.core.settings import Settings
from almagest.services.stac.links import OGC_QUERYABLES
from almagest.services.web.pool import Pool

Document = dict[str, Any]
#: Each takes a lock until the transaction ends, and a few milliseconds.
MAX_ITEMS = 5000
#: Turns a stored document into the changed one.
Change = Callable[[Document], Any]

#: Links that the API adds to what it serves, beside those that every STAC server makes. Sent back, they are not stored.
_MADE_HERE = rendering.RELS | {"queryables", OGC_QUERYABLES}


@dataclass(frozen=True)
class Report:
    """What became of a bulk request.

    Attributes:
        received: items in the request.
        success: items stored.
        errors: id and reason of each item that was not.
    """

    received: int
    success: int
    errors: list[dict[str, str]]


@dataclass(frozen=True)
class Writer:
    """Writes as ``almagest_writer``.

    Attributes:
        pool: connections of the writer.
        settings: what is validated, and by which address our own links are known.
    """

    pool: Pool
    settings: Settings

    async def create_item(self, collection: str, document: Any, *, extensions: bool) -> Document:
        """Stores a new item.

        Raises:
            InvalidDocumentError: it is not valid STAC.
            ConflictError: the id is taken.
            NotFoundError: there is no such collection.
        """
        item = self.accepted(collection, document, extensions=extensions)
        await self._create(collection, [item])
        return item

    async def create_items(self, collection: str, documents: list[Any], *, extensions: bool) -> int:
        """Stores new items, all or none; errors as for one."""
        self._check_count(documents)
        items = [self.accepted(collection, document, extensions=extensions) for document in documents]
        await self._create(collection, items)
        return len(items)

    async def bulk(self, collection: str, documents: Mapping[str, Any], *, upsert: bool, extensions: bool) -> Report:
        """Stores the valid ones of many items in one transaction and reports the others."""
        self._check_count(documents)
        items, errors = [], []
        for identifier, document in documents.items():
            try:
                items.append(self.accepted(collection, document, identifier, extensions=extensions))
            except AlmagestError as error:
                errors.append({"id": identifier, "msg": str(error)})
        if upsert:
            async with self.pool.connection() as connection:
                await self._require_collection(connection, collection)
                await connection.execute("SELECT upsert_items($1::jsonb)", _text(items))
        else:
            await self._create(collection, items)
        return Report(len(documents), len(items), errors)

    async def replace_item(self, collection: str, item_id: str, document: Any, *, extensions: bool) -> Document:
        """Replaces an item.

        Raises:
            NotFoundError: there is none of this id.
        """
        item = self.accepted(collection, document, item_id, extensions=extensions)
        async with self.pool.connection() as connection:
            await connection.execute("SELECT replace_item($1::jsonb)", _text(item))
        return item

    async def change_item(self, collection: str, item_id: str, change: Change, *, extensions: bool) -> Document:
        """Reads, changes and writes an item while no other of our writers can touch it."""
        async with self.pool.connection() as connection, connection.transaction():
            await connection.execute("SELECT lock_item($1, $2)", collection, item_id)
            text = await connection.fetchval("SELECT item_document($1, $2)::text", collection, item_id)
            if text is None:
                raise NotFoundError(f"There is no item {item_id!r} in the collection {collection!r}.")
            item = self.accepted(collection, change(orjson.loads(text)), item_id, extensions=extensions)
            await connection.execute("SELECT replace_item($1::jsonb)", _text(item))
        return item

    async def delete_item(self, collection: str, item_id: str) -> None:
        """Deletes an item.

        Raises:
            NotFoundError: there is none of this id.
        """
        async with self.pool.connection() as connection:
            await connection.execute("SELECT delete_item($1, $2)", collection, item_id)

    async def create_collection(self, document: Any, *, extensions: bool) -> Document:
        """Stores a new collection; errors as for an item."""
        collection = self.accepted_collection(document, extensions=extensions)
        async with self.pool.connection() as connection:
            await connection.execute("SELECT create_collection($1::jsonb)", _text(collection))
        return collection

    async def replace_collection(self, collection_id: str, document: Any, *, extensions: bool) -> Document:
        """Replaces a collection; its items stay."""
        _check_changeable(collection_id)
        collection = self.accepted_collection(document, collection_id, extensions=extensions)
        async with self.pool.connection() as connection:
            await connection.execute("SELECT replace_collection($1::jsonb)", _text(collection))
        return collection

    async def change_collection(self, collection_id: str, change: Change, *, extensions: bool) -> Document:
        """Reads, changes and writes a collection while no other of our writers can touch it."""
        _check_changeable(collection_id)
        async with self.pool.connection() as connection, connection.transaction():
            await connection.execute("SELECT lock_item($1, '')", collection_id)
            text = await connection.fetchval("SELECT collection_document($1)::text", collection_id)
            if text is None:
                raise NotFoundError(f"There is no collection {collection_id!r}.")
            changed = change(orjson.loads(text))
            collection = self.accepted_collection(changed, collection_id, extensions=extensions)
            await connection.execute("SELECT replace_collection($1::jsonb)", _text(collection))
        return collection

    async def delete_collection(self, collection_id: str) -> None:
        """Deletes a collection and all its items."""
        _check_changeable(collection_id)
        async with self.pool.connection() as connection:
            await connection.execute("SELECT delete_collection($1)", collection_id)

    def accepted(self, collection: str, document: Any, item_id: str | None = None, *, extensions: bool) -> Document:
        """An item as it will be stored: in its collection, valid, without the links that are made on the way out.

        Raises:
            BadRequestError: it names another collection or id than the address.
            InvalidDocumentError: it is not valid STAC.
        """
        item = document
        if not _is_printable(document):
            raise BadRequestError("The item nests too deeply.")
        if isinstance(document, dict):
            if document.get("collection", collection) != collection:
                raise BadRequestError(
                    f"/collection: the item says {document['collection']!r}, the address {collection!r}."
                )
            item = {**document, "collection": collection}
            item.pop("pgstac:base_item", None)  # pgSTAC's own bookkeeping, never a client's
        validation.check_item(item, mirror=self.settings.api.schema_mirror, extensions=self._judge(extensions))
        self._same_id(item, item_id)
        return self._without_own_links(item)

    def accepted_collection(self, document: Any, collection_id: str | None = None, *, extensions: bool) -> Document:
        """A collection as it will be stored; errors as for an item."""
        if not _is_printable(document):
            raise BadRequestError("The collection nests too deeply.")
        validation.check_collection(
            document, mirror=self.settings.api.schema_mirror, extensions=self._judge(extensions)
        )
        self._same_id(document, collection_id)
        return self._without_own_links({"links": [], **document})

    @staticmethod
    def _check_count(documents: Collection[Any]) -> None:
        if len(documents) > MAX_ITEMS:
            raise TooLargeError(f"{len(documents):,} items at once: send at most {MAX_ITEMS:,}, in several requests.")

    async def _create(self, collection: str, items: list[Document]) -> None:
        async with self.pool.connection() as connection:
            await self._require_collection(connection, collection)
            if items:
                await connection.execute("SELECT create_items($1::jsonb)", _text(items))

    @staticmethod
    async def _require_collection(connection: Any, collection: str) -> None:
        if not await connection.fetchval("SELECT port_collection_exists($1)", collection):
            raise NotFoundError(f"There is no collection {collection!r}: create it first.")

    def _judge(self, extensions: bool) -> bool:
        return extensions or self.settings.api.validate_extensions

    @staticmethod
    def _same_id(document: Document, expected: str | None) -> None:
        if expected is not None and document["id"] != expected:
            raise BadRequestError(f"/id: the document says {document['id']!r}, the address {expected!r}.")

    def _without_own_links(self, document: Document) -> Document:
        own = f"{self.settings.site.origin}/"

        def is_made_here(link: Document) -> bool:
            return link["rel"] in validation.INFERRED_LINKS or (
                link["rel"] in _MADE_HERE and str(link["href"]).startswith(own)
            )

        return {**document, "links": [link for link in document["links"] if not is_made_here(link)]}


def _check_changeable(collection_id: str) -> None:
    if collection_id == CANARY:
        raise ConflictError(f"{CANARY} is not anybody's to change: outsiders are served only while it is there.")


def _text(value: Any) -> str:
    return orjson.dumps(value).decode()


def _is_printable(document: Any) -> bool:
    """orjson reads deeper documents than it writes, and a document stands in a page, which stands in others."""
    try:
        orjson.dumps([[[[[[[[document]]]]]]]])
    except TypeError:
        return False
    return True
