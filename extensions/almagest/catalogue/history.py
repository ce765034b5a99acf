"""What was when: reading states over a connection to the database, comparing them, and making one of them new."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import jsonpatch
import psycopg
from psycopg.rows import dict_row

from almagest.catalogue.reserved import require_changeable
from almagest.catalogue.storing import Store
from almagest.catalogue.versions import Document, State, Subject, moment_of, unknown, version_of
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
    """The states of an item, or (without one) of a collection; over a connection whose search_path is ours."""

    def __init__(self, connection: psycopg.Connection[Any], collection: str, item: str | None = None) -> None:
        self._connection, self._subject = connection, Subject(collection, item)

    def states(self) -> list[State]:
        """All of them, the latest first.

        Raises:
            NotFoundError: there never was anything.
        """
        states = self._states()
        if not states:
            raise NotFoundError(f"There is no {self._subject}, and there never was.")
        return states

    def at(self, state: State) -> Document | None:
        """What it was in a state, None if there was nothing."""
        return self._document(self._subject.ask.at, state.valid_from)

    def restore(self, version: str) -> tuple[str, str]:
        """Makes a version new; answers what became of it (created, updated, unchanged) and its new name.

        Raises:
            NotFoundError: there is none that is called so, or the collection of the item is gone.
            ConflictError: it is not anybody's to change.
        """
        require_changeable(self._subject.collection)
        begin = moment_of(version)
        document = self._document(self._subject.ask.version, begin)
        if document is None:
            raise unknown(version)
        outcome = self._restore_item(document) if self._subject.item is not None else self._restore_collection(begin)
        return outcome, self._states(few=1)[0].version

    def _restore_item(self, document: Document) -> str:
        store = Store(self._connection)
        try:
            batch = store.prepare([document])
            with self._connection.transaction():
                outcome = store.put(batch)
        except NotFoundError:
            raise NotFoundError(
                f"There is no collection {self._subject.collection!r}. Restore the collection first."
            ) from None
        return next(name for name, count in asdict(outcome).items() if count)

    def _restore_collection(self, begin: datetime) -> str:
        try:
            row = self._row("SELECT restore_collection($1, $2) AS outcome", self._subject.collection, begin)
        except psycopg.errors.NoDataFound:
            raise unknown(version_of(begin)) from None
        assert row is not None
        return str(row["outcome"])

    def _states(self, few: int | None = None) -> list[State]:
        with psycopg.RawCursor(self._connection, row_factory=dict_row) as cursor:
            cursor.execute(self._subject.ask.states.encode(), (*self._subject.ids, None, few))
            return [State.of(row) for row in cursor]

    def _document(self, statement: str, moment: datetime) -> Document | None:
        return self._subject.document(self._row(statement, *self._subject.ids, moment))

    def _row(self, statement: str, *values: object) -> dict[str, Any] | None:
        with psycopg.RawCursor(self._connection, row_factory=dict_row) as cursor:
            return cursor.execute(statement.encode(), values).fetchone()


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
