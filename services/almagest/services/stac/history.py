"""What was when, as one audience sees it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import jsonpatch
import orjson

from almagest.catalogue.hydration import base_item, join
from almagest.catalogue.versions import HISTORY, LATEST, PREDECESSOR, SUCCESSOR, Document, Place, State, described
from almagest.core.errors import GoneError, NotFoundError
from almagest.services.stac.links import GEOJSON, JSON, Link, Links
from almagest.services.web.pool import Pool


@dataclass(frozen=True)
class Subject:
    """An item, or (without one) a collection.

    Attributes:
        collection: id of the collection.
        item: id of the item.
    """

    collection: str
    item: str | None = None

    def __str__(self) -> str:
        if self.item is None:
            return f"collection {self.collection!r}"
        return f"item {self.item!r} in the collection {self.collection!r}"

    @property
    def path(self) -> tuple[str, ...]:
        """Where it is served, below the API."""
        return ("collections", self.collection, *(("items", self.item) if self.item is not None else ()))

    @property
    def media_type(self) -> str:
        """Of its document."""
        return JSON if self.item is None else GEOJSON


@dataclass(frozen=True)
class History:
    """Reads states and versions.

    Attributes:
        pool: reads as the audience's role.
        links: makes public links.
    """

    pool: Pool
    links: Links

    async def states(self, subject: Subject) -> list[State]:
        """All states, the latest first; none where there never was anything."""
        async with self.pool.connection() as connection:
            if subject.item is None:
                rows = await connection.fetch("SELECT * FROM collection_states($1)", subject.collection)
            else:
                rows = await connection.fetch("SELECT * FROM item_states($1, $2)", subject.collection, subject.item)
        return [State.of(row) for row in rows]

    async def at(self, subject: Subject, state: State) -> Document | None:
        """What it was in a state, None if there was nothing."""
        async with self.pool.connection() as connection:
            if subject.item is None:
                statement = "SELECT collection_document_at($1, $2)::text"
                text = await connection.fetchval(statement, subject.collection, state.valid_from)
                return dict(orjson.loads(text)) if text else None
            statement = "SELECT item, base FROM item_row_at($1, $2, $3)"
            row = await connection.fetchrow(statement, subject.collection, subject.item, state.valid_from)
        return join(orjson.loads(row["item"]), base_item(row["base"])) if row else None

    async def place(self, subject: Subject, version: str) -> tuple[Place, Document]:
        """A version with its document.

        Raises:
            NotFoundError: there is none that is called so.
        """
        place = Place.find(await self.states(subject), version)
        document = await self.at(subject, place.state)
        if document is None:
            raise NotFoundError(f"There is no version {version!r}.")
        return place, document

    async def missing(self, subject: Subject) -> GoneError | NotFoundError:
        """Why there is nothing: it was deleted, or never was."""
        if any(not state.deleted for state in await self.states(subject)):
            where = self.links.href(*subject.path, "versions")
            return GoneError(f"The {subject} was deleted; its versions are at {where}.", where)
        return NotFoundError(f"There is no {subject}.")

    async def document(self, subject: Subject, version: str) -> Document:
        """A version as it is served.

        Raises:
            NotFoundError: there is none that is called so.
        """
        place, document = await self.place(subject, version)
        stored = self.links.stored(document.get("links"))
        found = described(document, place)
        found["links"] = [*self._links_of(subject, place), *stored]
        return found

    async def difference(self, subject: Subject, version: str, other: str | None) -> list[Document]:
        """What turns a version into another one, or into what is there now, as a JSON Patch.

        Raises:
            NotFoundError: there is none that is called so.
            GoneError: it is to be compared with what is there now, and there is nothing.
        """
        states = await self.states(subject)
        place = Place.find(states, version)
        if other is None and states[0].deleted:
            raise await self.missing(subject)
        end = Place.find(states, other).state if other is not None else states[0]
        one, another = await self.at(subject, place.state), await self.at(subject, end)
        return await asyncio.to_thread(lambda: list(jsonpatch.make_patch(one, another)))

    def listed(self, subject: Subject, states: list[State], following: str | None) -> Document:
        """A list of states, as it is served."""
        here = self.links.href(*subject.path, "versions")
        links: list[Link] = [
            {"rel": "self", "type": JSON, "href": here},
            {"rel": "root", "type": JSON, "href": self.links.base},
            {"rel": "parent", "type": subject.media_type, "href": self.links.href(*subject.path)},
        ]
        if following:
            links.append({"rel": "next", "type": JSON, "href": f"{here}?{following}"})
        return {
            "versions": [
                {**state.as_json(), "links": [] if state.deleted else [self._to(subject, "item", state)]}
                for state in states
            ],
            "links": links,
        }

    async def around(self, subject: Subject) -> list[Link]:
        """Links of the present document to its past."""
        states = await self.states(subject)
        before = next((state for state in states[1:] if not state.deleted), None)
        return [
            *([self._to(subject, PREDECESSOR, before)] if before else []),
            {"rel": LATEST, "type": subject.media_type, "href": self.links.href(*subject.path)},
            {"rel": HISTORY, "type": JSON, "href": self.links.href(*subject.path, "versions")},
        ]

    def _to(self, subject: Subject, rel: str, state: State) -> Link:
        href = self.links.href(*subject.path, "versions", state.version)
        return {"rel": rel, "type": subject.media_type, "href": href}

    def _links_of(self, subject: Subject, place: Place) -> list[Link]:
        here = self.links.href(*subject.path)
        collection = self.links.href("collections", subject.collection)
        return [
            self._to(subject, "self", place.state),
            {"rel": "root", "type": JSON, "href": self.links.base},
            {"rel": "parent", "type": JSON, "href": collection if subject.item is not None else self.links.base},
            *([{"rel": "collection", "type": JSON, "href": collection}] if subject.item is not None else []),
            {"rel": LATEST, "type": subject.media_type, "href": here},
            *([self._to(subject, PREDECESSOR, place.predecessor)] if place.predecessor else []),
            *([self._to(subject, SUCCESSOR, place.successor)] if place.successor else []),
            {"rel": HISTORY, "type": JSON, "href": f"{here}/versions"},
        ]
