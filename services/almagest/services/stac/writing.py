"""Changing the catalogue: what is checked, and the statements that run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from almagest.catalogue import acceptance
from almagest.catalogue.acceptance import Accepted
from almagest.catalogue.reserved import require_changeable
from almagest.catalogue.storing import Mode, Outcome
from almagest.catalogue.versions import Subject, moment_of, unknown
from almagest.core.errors import (
    AlmagestError,
    BadRequestError,
    NotFoundError,
    PreconditionRequiredError,
    TooLargeError,
    UnreadableError,
)
from almagest.core.settings import Settings
from almagest.services.stac import returned
from almagest.services.stac.history import missing
from almagest.services.stac.links import Links
from almagest.services.stac.patches import Change
from almagest.services.stac.storing import NOBODY, Author, Store
from almagest.services.web.etags import Condition, etag

Document = dict[str, Any]
#: Parsed, they take ten times the memory of their text.
MAX_ITEMS = 5000


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
class Stored:
    """A document as it is stored now, and as it will be read.

    Attributes:
        document: without the links that are made on the way out.
        remarks: what was mended in what came.
    """

    document: Document
    remarks: tuple[str, ...] = ()

    @property
    def etag(self) -> str:
        """Its entity tag."""
        return etag(self.document)


@dataclass(frozen=True)
class Writer:
    """Writes as ``almagest_writer``.

    Attributes:
        store: stores items.
        settings: what is validated, and by which address our own links are known.
        public: makes the links of what is answered.
        author: on whose behalf.
    """

    store: Store
    settings: Settings
    public: Links
    author: Author = NOBODY

    def of(self, author: Author) -> Writer:
        """The same, on behalf of somebody."""
        return replace(self, author=author)

    async def create_item(self, collection: str, document: Any, *, extensions: bool) -> Stored:
        """Stores a new item.

        Raises:
            InvalidDocumentError: it is not valid STAC.
            ConflictError: the id is taken.
            NotFoundError: there is no such collection.
        """
        accepted = self._accept(collection, document, extensions=extensions)
        require_changeable(collection)

        subject = Subject(collection, accepted.document["id"])

        async def work(connection: Any) -> Stored:
            new = await self._own(connection, subject, document, accepted)
            await self.store.put(connection, collection, [new.document], "create")
            return await _stored(connection, subject, new.remarks)

        return await self.store.within(work, self.author)

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

    async def bulk(
        self, collection: str, documents: Mapping[str, Any], *, upsert: bool, unseen: bool, extensions: bool
    ) -> Report:
        """Stores the valid ones of many items in one transaction and reports the others.

        Args:
            collection: theirs.
            documents: by id.
            upsert: whether some may be there already.
            unseen: whether these may be changed, though no such request can say what it changes.
            extensions: whether to validate by the schemas of extensions too.

        Raises:
            PreconditionRequiredError: one would be changed that must not be so; nothing is stored.
        """
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
        done = await self._put(collection, items, "upsert" if upsert else "create", unseen=unseen)
        return Report(len(documents), len(items), done.created, done.updated, done.unchanged, errors, _mended(accepted))

    async def replace_item(self, subject: Subject, document: Any, condition: Condition, *, extensions: bool) -> Stored:
        """Replaces an item; errors as for :meth:`change_item`."""
        # Looked at beforehand: nobody waits for a lock while a large document is judged.
        accepted = self._accept_for(subject, document, extensions=extensions)
        return await self._change(subject, condition, lambda _: accepted, document)

    async def change_item(self, subject: Subject, change: Change, condition: Condition, *, extensions: bool) -> Stored:
        """Reads, changes and writes an item while nobody else can touch it.

        Raises:
            NotFoundError: there is none of this id.
            GoneError: there is none any more.
            PreconditionFailedError: it is not as the request believes.
        """

        def changed(present: Document) -> Accepted:
            if not present:
                raise UnreadableError
            return self._accept_for(subject, change(present), extensions=extensions)

        return await self._change(subject, condition, changed)

    async def delete_item(self, subject: Subject, condition: Condition) -> None:
        """Deletes an item; errors as for :meth:`change_item`."""
        require_changeable(subject.collection)

        async def work(connection: Any) -> None:
            await self._held_as_told(connection, subject, condition)
            await connection.execute("SELECT delete_item($1, $2)", subject.collection, subject.item)

        await self.store.within(work, self.author)

    async def restore(self, subject: Subject, version: str, condition: Condition) -> Stored:
        """Makes an item, or a collection without its items, again what it was, deleted though it may be.

        Raises:
            NotFoundError: there is no such version, or no longer a collection.
            PreconditionFailedError: it is not as the request believes.
        """
        require_changeable(subject.collection)
        begin = moment_of(version)

        async def work(connection: Any) -> Stored:
            condition.check(await _held(connection, subject))
            former = subject.document(await connection.fetchrow(subject.ask.version, *subject.ids, begin))
            if former is None:
                raise unknown(version)
            if subject.item is not None and not isinstance(former.get("properties"), dict):
                raise UnreadableError(f"What was stored as the version {version} is no STAC document.")
            if subject.item is None:
                await connection.execute("SELECT restore_collection($1, $2)", subject.collection, begin)
            elif not await connection.fetchval("SELECT port_collection_exists($1)", subject.collection):
                raise NotFoundError(f"There is no collection {subject.collection!r}. Restore the collection first.")
            else:
                await self.store.put(connection, subject.collection, [former], "upsert")
            return await _stored(connection, subject)

        return await self.store.within(work, self.author)

    async def apply(
        self, subject: Subject, condition: Condition, statement: str, *arguments: Any
    ) -> tuple[Any, Stored]:
        """Lets a function of the database change an item; its row, and the item then. Errors as for `change_item`.

        Args:
            subject: the item; its collection and id are the first two arguments.
            condition: what the request says of it.
            statement: that calls the function.
            arguments: the others.
        """
        require_changeable(subject.collection)

        async def work(connection: Any) -> tuple[Any, Stored]:
            await self._held_as_told(connection, subject, condition)
            row = await connection.fetchrow(statement, subject.collection, subject.item, *arguments)
            return row, await _stored(connection, subject)

        return await self.store.within(work, self.author)

    async def _change(
        self, subject: Subject, condition: Condition, change: Callable[[Document], Accepted], sent: Any = None
    ) -> Stored:
        require_changeable(subject.collection)

        async def work(connection: Any) -> Stored:
            # Beside the loop: a patch may take its time, and others are served.
            accepted = await asyncio.to_thread(change, await self._held_as_told(connection, subject, condition))
            accepted = await self._own(connection, subject, sent, accepted)
            await self.store.put(connection, subject.collection, [accepted.document], "replace")
            return await _stored(connection, subject, accepted.remarks)

        return await self.store.within(work, self.author)

    async def create_collection(self, document: Any, *, extensions: bool) -> Stored:
        """Stores a new collection; errors as for an item."""
        accepted = self._accept_collection(document, extensions=extensions)
        subject = Subject(accepted.document["id"])
        require_changeable(subject.collection)

        async def work(connection: Any) -> Stored:
            new = await self._own(connection, subject, document, accepted)
            await connection.execute("SELECT create_collection($1::jsonb)", _text(new.document))
            return await _stored(connection, subject, new.remarks)

        return await self.store.within(work, self.author)

    async def replace_collection(
        self, collection_id: str, document: Any, condition: Condition, *, extensions: bool
    ) -> Stored:
        """Replaces a collection; its items stay."""
        accepted = self._accept_collection(document, collection_id, extensions=extensions)
        return await self._change_collection(collection_id, condition, lambda _: accepted, document)

    async def change_collection(
        self, collection_id: str, change: Change, condition: Condition, *, extensions: bool
    ) -> Stored:
        """Reads, changes and writes a collection while nobody else can touch it."""

        def changed(present: Document) -> Accepted:
            return self._accept_collection(change(present), collection_id, extensions=extensions)

        return await self._change_collection(collection_id, condition, changed)

    async def delete_collection(self, collection_id: str, condition: Condition) -> None:
        """Deletes a collection and all its items."""
        require_changeable(collection_id)

        async def work(connection: Any) -> None:
            await self._held_as_told(connection, Subject(collection_id), condition)
            await connection.execute("SELECT delete_collection($1)", collection_id)

        await self.store.within(work, self.author)

    async def _change_collection(
        self, collection_id: str, condition: Condition, change: Callable[[Document], Accepted], sent: Any = None
    ) -> Stored:
        require_changeable(collection_id)
        subject = Subject(collection_id)

        async def work(connection: Any) -> Stored:
            # Beside the loop: a patch may take its time, and others are served.
            accepted = await asyncio.to_thread(change, await self._held_as_told(connection, subject, condition))
            accepted = await self._own(connection, subject, sent, accepted)
            await connection.execute("SELECT replace_collection($1::jsonb)", _text(accepted.document))
            return await _stored(connection, subject, accepted.remarks)

        return await self.store.within(work, self.author)

    async def _held_as_told(self, connection: Any, subject: Subject, condition: Condition) -> Document:
        present = await _held(connection, subject)
        condition.check(present)
        if present is None:
            row = await connection.fetchrow(subject.ask.present, *subject.ids)
            raise missing(subject, self.public, is_gone=row is not None and row["is_gone"])
        return present

    async def _own(self, connection: Any, subject: Subject, sent: Any, accepted: Accepted) -> Accepted:
        """What is stored of a document: of a version that was read here and is sent back, what it was."""
        begin = returned.version_of(sent, subject, self.settings.site.origin)
        row = await connection.fetchrow(subject.ask.version, *subject.ids, begin) if begin is not None else None
        former = subject.document(row)
        if former is None:
            return accepted
        return replace(accepted, document=returned.without_version(accepted.document, former, subject))

    def _accept_for(self, subject: Subject, document: Any, *, extensions: bool) -> Accepted:
        return self._accept(subject.collection, document, subject.item, extensions=extensions)

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

    async def _put(self, collection: str, items: list[Document], mode: Mode, *, unseen: bool = True) -> Outcome:
        require_changeable(collection)

        async def work(connection: Any) -> Outcome:
            if not items and not await connection.fetchval("SELECT port_collection_exists($1)", collection):
                raise NotFoundError(f"There is no collection {collection!r}: create it first.")
            done = await self.store.put(connection, collection, items, mode)
            if done.updated and not unseen:
                raise PreconditionRequiredError(
                    f"{done.updated:,} of these items are there already, and are other ones: change each by PUT or"
                    " PATCH, with `If-Match` and the ETag that you read. Nothing was stored."
                )
            return done

        return await self.store.within(work, self.author)


async def _present(connection: Any, subject: Subject) -> Document | None:
    return subject.document(await connection.fetchrow(subject.ask.present, *subject.ids))


async def _held(connection: Any, subject: Subject) -> Document | None:
    await connection.execute(subject.ask.hold, *subject.ids)
    try:
        return await _present(connection, subject)
    except UnreadableError:
        # It is there, and nothing can be said of it: no tag is its own, but it can be replaced and deleted.
        return {}


async def _stored(connection: Any, subject: Subject, remarks: Sequence[str] = ()) -> Stored:
    document = await _present(connection, subject)
    assert document is not None
    return Stored(document, tuple(remarks))


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
