"""Reading the catalogue out of its database: everything that a search finds, as it was at one moment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import orjson
import psycopg
from stac_pydantic.shared import validate_bbox

from almagest.catalogue import database
from almagest.catalogue.boxes import require_finite
from almagest.catalogue.following import Place
from almagest.catalogue.hydration import Document, documents
from almagest.catalogue.reserved import CANARY
from almagest.catalogue.versions import version_of
from almagest.core.errors import BadRequestError, NotFoundError
from almagest.core.settings import Settings

_ROWS = 1000
_MONTHS = """
    SELECT a.key, a.frequency FROM aggregate(%s::jsonb, '[{"kind": "datetime", "interval": "month"}]') AS a
    ORDER BY a.key
"""
#: The order of members that people are used to; those of the same document are in the same order in every database.
_MEMBERS = (
    "type", "stac_version", "stac_extensions", "id", "collection", "title", "description", "geometry", "bbox",
    "properties",
)  # fmt: skip


class Outline(NamedTuple):
    """When and where an item is.

    Attributes:
        collection: id of its collection.
        id: its id.
        begins: its `datetime`, or its `start_datetime` where it has one [us since 1970].
        ends: its `end_datetime` where it has one, or its `datetime` [us since 1970].
        value: one of its properties, as text.
        footprint: as WKB, in degrees; None: nobody knows.
    """

    collection: str
    id: str
    begins: int
    ends: int
    value: str | None
    footprint: bytes | None


@dataclass(frozen=True)
class Outlines:
    """Outlines in columns of equal length: a hundred thousand tuples would keep the collector of garbage busy."""

    collections: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    begins: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    values: list[str | None] = field(default_factory=list)
    footprints: list[bytes | None] = field(default_factory=list)

    @property
    def columns(self) -> Sequence[list[Any]]:
        """All of them, in the order of an outline's members."""
        return self.collections, self.ids, self.begins, self.ends, self.values, self.footprints

    def add(self, columns: Iterable[Iterable[Any]]) -> None:
        """Takes further ones, in columns."""
        for column, values in zip(self.columns, columns, strict=True):
            column.extend(values)

    def rows(self) -> Iterator[Outline]:
        """One after the other."""
        return map(Outline, *self.columns)

    def chosen(self, places: Iterable[int]) -> Outlines:
        """Those in some places."""
        places = list(places)
        return Outlines(*([column[place] for place in places] for column in self.columns))


@dataclass(frozen=True)
class Snapshot:
    """The catalogue as it was when the first question was asked.

    Attributes:
        connection: within a transaction that sees nothing that others write meanwhile.
    """

    connection: psycopg.Connection

    def ids(self, chosen: Sequence[str] = ()) -> list[str]:
        """The chosen collections (none: all of them), in order.

        Raises:
            NotFoundError: one of them is not there.
        """
        present = {identifier for (identifier,) in self.connection.execute("SELECT collection_ids()")}
        for identifier in chosen:
            if identifier not in present:
                raise NotFoundError(f"There is no collection {identifier!r}.")
        return sorted(set(chosen) or present - {CANARY})

    def collection(self, identifier: str) -> Document:
        """A collection as it is stored."""
        row = self.connection.execute("SELECT collection_document(%s)::text", (identifier,)).fetchone()
        if row is None or row[0] is None:
            raise NotFoundError(f"There is no collection {identifier!r}.")
        return ordered(orjson.loads(row[0]))

    def items(self, collection: str, search: Mapping[str, Any]) -> Iterator[Document]:
        """Items of a collection as they are stored, by id.

        Args:
            collection: its id.
            search: what else is asked of them: members of a STAC item search, CQL2 as JSON.

        Raises:
            BadRequestError: it asks for a box that is none.
            ConfigurationError: the database refuses the search; says why.
        """
        _require_box(search.get("bbox"))
        # By id alone within one collection: so every partition is read along its own index.
        body = {**search, "collections": [collection], "sortby": [{"field": "id", "direction": "asc"}]}
        asked = orjson.dumps(body).decode()
        anchor = None
        while True:
            rows = self.connection.execute(
                "SELECT * FROM search_page(%s::jsonb, %s::jsonb, false, %s)", (asked, anchor, _ROWS)
            ).fetchall()
            yield from map(ordered, documents(rows))
            if len(rows) < _ROWS:
                return
            anchor = orjson.dumps(rows[-1][2]).decode()

    def months(self, search: Mapping[str, Any]) -> list[tuple[datetime, int]]:
        """In which months how many items of a search begin, in the order of time."""
        rows = self.connection.execute(_MONTHS, (orjson.dumps(dict(search)).decode(),)).fetchall()
        return [(datetime.fromisoformat(month), number) for month, number in rows]

    def horizon(self) -> Place:
        """Of all changes before this place in the log, this snapshot shows what came of them."""
        row = self.connection.execute("SELECT era, xact::text FROM change_horizon()").fetchone()
        assert row is not None
        return Place(row[0], int(row[1]))

    def mark(self) -> str:
        """Which changes this snapshot shows: by it :func:`almagest.catalogue.jobs.overtaken` tells of all others."""
        row = self.connection.execute("SELECT change_mark()").fetchone()
        assert row is not None
        return str(row[0])

    def keeps(self, collections: Sequence[str], place: Place) -> bool:
        """Whether all that :meth:`changed` tells of what has changed after a place in the log is still known."""
        given = {"of": list(collections), "era": place.era, "xact": str(place.xact), "sequence": place.sequence}
        statement = (
            "SELECT place_kept(%(era)s, %(xact)s::xid8, %(sequence)s) AND spans_kept(%(of)s, %(era)s, %(xact)s::xid8)"
        )
        row = self.connection.execute(statement, given).fetchone()
        return bool(row and row[0])

    def changed(self, collections: Sequence[str], since: Place, until: Place) -> list[tuple[datetime, datetime]]:
        """When items of some collections are, and were, that have changed from one place in the log up to another."""
        given = (list(collections), since.era, str(since.xact), until.era, str(until.xact))
        statement = "SELECT begins, ends FROM changed_spans(%s, %s, %s::xid8, %s, %s::xid8)"
        return [(begins, ends) for begins, ends in self.connection.execute(statement, given)]

    def outlines(self, search: Mapping[str, Any], begin: datetime | None, end: datetime | None, name: str) -> Outlines:
        """When and where the items of a search are that begin within a span, in no order.

        Args:
            search: members of a STAC item search, CQL2 as JSON.
            begin: of the span; None: open.
            end: of the span, which it does not belong to; None: open.
            name: of the property that is told.

        Raises:
            BadRequestError: it asks for a box that is none.
        """
        _require_box(search.get("bbox"))
        asked = (orjson.dumps(dict(search)).decode(), begin, end, name)
        with self.connection.cursor(binary=True) as cursor:
            cursor.execute("SELECT * FROM outlines(%s::jsonb, tstzrange(%s, %s), %s)", asked)
            found = Outlines()
            while some := cursor.fetchmany(_ROWS):
                found.add(zip(*some, strict=True))
            return found

    def versions(self, collection: str, ids: Sequence[str]) -> dict[str, str]:
        """The versions of items that are there, by their ids."""
        statement = "SELECT id, since FROM current_versions(%s, %s)"
        return {id_: version_of(since) for id_, since in self.connection.execute(statement, (collection, list(ids)))}


@contextmanager
def snapshot(settings: Settings, role: str = "almagest_reader") -> Iterator[Snapshot]:
    """The catalogue as it is now.

    Args:
        settings: of the stack.
        role: who reads.

    Raises:
        DatabaseUnavailableError: it does not answer.
        ConfigurationError: it refuses a question; says why.
    """
    with database.translated(), database.connect(settings, role, autocommit=False) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        yield Snapshot(connection)


def _require_box(bbox: Any) -> None:
    """Raises what the API says to a box that is none: the search core takes any, and finds the wrong items."""
    try:
        require_finite(bbox)
        validate_bbox(bbox)
    except ValueError as error:
        raise BadRequestError(f"bbox: {error}") from None


def ordered(document: Document) -> Document:
    """A document with its members in an order that depends on nothing but their names."""
    members: Document = orjson.loads(orjson.dumps(document, option=orjson.OPT_SORT_KEYS))
    first = {name: members.pop(name) for name in _MEMBERS if name in members}
    return {**first, **members}
