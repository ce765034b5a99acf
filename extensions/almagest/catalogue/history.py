"""What was when: reading states over a connection to the database, comparing them, and making one of them new."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jsonpatch
import orjson
import psycopg
from psycopg.rows import dict_row

from almagest.catalogue.hydration import base_item, join
from almagest.catalogue.reserved import require_changeable
from almagest.catalogue.versions import Document, Place, State, version_of
from almagest.core.errors import NotFoundError

_ABSENT = object()


@dataclass(frozen=True)
class Step:
    """One operation of a JSON Patch, with what it takes away.

    Attributes:
        operation: as RFC 6902 writes it.
        old: what was there; None where it is not known, or nothing was.
    """

    operation: Document
    old: Any = None


class History:
    """The states of an item, or (without one) of a collection."""

    def __init__(self, connection: psycopg.Connection[Any], collection: str, item: str | None = None) -> None:
        self._connection, self._collection, self._item = connection, collection, item

    def states(self) -> list[State]:
        """All of them, the latest first.

        Raises:
            NotFoundError: there never was anything.
        """
        statement, values = (
            ("SELECT * FROM almagest.collection_states(%s)", (self._collection,))
            if self._item is None
            else ("SELECT * FROM almagest.item_states(%s, %s)", (self._collection, self._item))
        )
        with self._connection.cursor(row_factory=dict_row) as cursor:
            states = [State.of(row) for row in cursor.execute(statement.encode(), values)]
        if not states:
            what = f"item {self._item!r} in the collection" if self._item is not None else "collection"
            raise NotFoundError(f"There is no {what} {self._collection!r}, and there never was.")
        return states

    def at(self, state: State) -> Document | None:
        """What it was in a state, None if there was nothing."""
        if self._item is None:
            row = self._connection.execute(
                "SELECT almagest.collection_document_at(%s, %s)::text", (self._collection, state.valid_from)
            ).fetchone()
            return dict(orjson.loads(row[0])) if row and row[0] else None
        row = self._connection.execute(
            "SELECT item, base FROM almagest.item_row_at(%s, %s, %s)", (self._collection, self._item, state.valid_from)
        ).fetchone()
        return join(orjson.loads(row[0]), base_item(row[1])) if row else None

    def version(self, version: str) -> tuple[Place, Document]:
        """A version with its document.

        Raises:
            NotFoundError: there is none that is called so.
        """
        place = Place.find(self.states(), version)
        document = self.at(place.state)
        if document is None:
            raise NotFoundError(f"There is no version {version!r}.")
        return place, document

    def restore(self, version: str) -> tuple[str, str]:
        """Makes a version new; answers what became of it (created, updated, unchanged) and its new name.

        Raises:
            NotFoundError: there is none that is called so, or the collection of the item is gone.
            ConflictError: it is not anybody's to change.
        """
        require_changeable(self._collection)
        place = Place.find(self.states(), version)
        moment = place.state.valid_from
        try:
            with self._connection.transaction():
                row = (
                    self._connection.execute(
                        "SELECT outcome, version FROM almagest.restore_collection(%s, %s)", (self._collection, moment)
                    )
                    if self._item is None
                    else self._connection.execute(
                        "SELECT outcome, version FROM almagest.restore_item(%s, %s, %s)",
                        (self._collection, self._item, moment),
                    )
                ).fetchone()
        except (psycopg.errors.ForeignKeyViolation, psycopg.errors.NoDataFound) as error:
            raise NotFoundError(f"{error.diag.message_primary} Restore the collection first.") from None
        assert row is not None
        return row[0], version_of(row[1])


def difference(one: Document, another: Document) -> list[Step]:
    """What turns one into the other, in the order in which it is applied."""
    return list(steps(one, list(jsonpatch.make_patch(one, another))))


def steps(document: Document, operations: list[Document]) -> Iterator[Step]:
    """Operations of a patch, each with what it takes away from the document that it comes to."""
    for operation in operations:
        old = None
        if operation["op"] in {"replace", "remove"}:
            old = jsonpatch.JsonPointer(operation["path"]).resolve(document, None)
        yield Step(operation, old)
        document = jsonpatch.JsonPatch([operation]).apply(document)


def changed(one: Document | None, another: Document | None) -> list[str]:
    """What differs, as people write it: ``assets.red.href``; with a sign where it was added or removed."""
    return list(_changed(one or {}, another or {}, ""))


def _changed(one: Any, another: Any, path: str) -> Iterator[str]:
    if isinstance(one, dict) and isinstance(another, dict) and path not in {"geometry"}:
        for key in dict.fromkeys((*one, *another)):
            below = f"{path}.{key}" if path else str(key)
            yield from _changed(one.get(key, _ABSENT), another.get(key, _ABSENT), below)
    elif one is _ABSENT:
        yield f"+{path}"
    elif another is _ABSENT:
        yield f"-{path}"
    elif one != another:
        yield path
