"""What was when, as one audience sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import jsonpatch

from almagest.catalogue.moments import printed
from almagest.catalogue.versions import (
    HISTORY,
    LATEST,
    PREDECESSOR,
    SUCCESSOR,
    Document,
    State,
    Subject,
    described,
    moment_of,
    unknown,
    version_of,
)
from almagest.core.errors import AlmagestError, GoneError, NotFoundError
from almagest.services.stac.links import GEOJSON, JSON, Link, Links
from almagest.services.web.etags import etag
from almagest.services.web.pool import Pool


@dataclass(frozen=True)
class Version:
    """A version as it is served.

    Attributes:
        document: with its links.
        etag: its entity tag.
    """

    document: Document
    etag: str


@dataclass(frozen=True)
class History:
    """Reads states and versions. What one answer says is read in one statement, so that it was true at one moment.

    Attributes:
        pool: reads as the audience's role.
        links: makes public links.
    """

    pool: Pool
    links: Links

    async def present(self, subject: Subject) -> tuple[Document, list[Link]]:
        """The document as it is, and links to its past.

        Raises:
            GoneError: it was deleted.
            NotFoundError: it never was.
        """
        row = await self._row(subject, subject.ask.present)
        document = subject.document(row)
        # pgSTAC keeps catalogs in the same table as collections.
        if row is None or document is None or document.get("type") not in {"Feature", "Collection"}:
            raise missing(subject, self.links, is_gone=row is not None and row["is_gone"])
        before = row["predecessor"]
        links = [
            *([self._link(subject, PREDECESSOR, version_of(before))] if before else []),
            {"rel": LATEST, "type": media_type(subject), "href": self.links.href(*subject.path)},
            {"rel": HISTORY, "type": JSON, "href": self.links.href(*subject.path, "versions")},
        ]
        return document, links

    async def at(self, subject: Subject, moment: datetime) -> Version:
        """The document as it was at a moment, with its links, and the tag that it had.

        Raises:
            NotFoundError: there was none.
            UnsettledError: what was then may still change.
            ForgottenError: it may have been forgotten.
        """
        row = await self._row(subject, subject.ask.as_of, moment)
        document = subject.document(row)
        if document is None or document.get("type") not in {"Feature", "Collection"}:
            raise NotFoundError(f"There was no {subject} then.")
        then = replace(self.links, as_of=printed(moment))
        stored = document.get("links")
        made = (
            then.collection(subject.collection, stored)
            if subject.item is None
            else then.item(subject.collection, subject.item, stored)
        )
        here = self.links.href(*subject.path)
        made += [
            {"rel": LATEST, "type": media_type(subject), "href": here},
            {"rel": HISTORY, "type": JSON, "href": f"{here}/versions"},
        ]
        return Version({**document, "links": made}, etag(document))

    async def listed(self, subject: Subject, limit: int, before: str | None) -> Document:
        """A list of states, the latest first, as it is served.

        Raises:
            NotFoundError: there never was anything.
        """
        ended_by = moment_of(before) if before is not None else None
        states = await self._states(subject, ended_by, limit + 1)
        if not states and (before is None or not await self._states(subject, None, 1)):
            raise NotFoundError(f"There is no {subject}.")
        shown = states[:limit]
        here = self.links.href(*subject.path, "versions")
        links: list[Link] = [
            {"rel": "self", "type": JSON, "href": here},
            {"rel": "root", "type": JSON, "href": self.links.base},
            {"rel": "parent", "type": media_type(subject), "href": self.links.href(*subject.path)},
        ]
        if len(states) > limit:
            href = f"{here}?limit={limit}&before={shown[-1].version}"
            links.append({"rel": "next", "type": JSON, "href": href})
        return {
            "versions": [
                {**state.as_json(), "links": [] if state.deleted else [self._link(subject, "item", state.version)]}
                for state in shown
            ],
            "links": links,
        }

    async def stored(self, subject: Subject, version: str) -> Document:
        """A version as it was stored: with nothing that is made on the way out.

        Raises:
            NotFoundError: there is none that is called so.
        """
        document = subject.document(await self._row(subject, subject.ask.version, moment_of(version)))
        if document is None:
            raise unknown(version)
        return document

    async def version(self, subject: Subject, version: str) -> Version:
        """A version as a document of the version extension.

        Raises:
            NotFoundError: there is none that is called so.
        """
        row = await self._row(subject, subject.ask.placed, moment_of(version))
        document = subject.document(row)
        if row is None or document is None:
            raise unknown(version)
        found = described(document, version, deprecated=not row["is_latest"])
        around = {
            rel: version_of(moment)
            for rel, moment in ((PREDECESSOR, row["predecessor"]), (SUCCESSOR, row["successor"]))
            if moment is not None
        }
        # What it says of its neighbours is part of it, and changes when the next one comes; addresses are not.
        tag = etag([found, around])
        stored = self.links.stored(document.get("links"))
        found["links"] = [*self._links_of(subject, version, around), *stored]
        return Version(found, tag)

    async def difference(self, subject: Subject, version: str, other: str | None) -> list[Document]:
        """What turns a version into another one, or into what is there now, as a JSON Patch.

        Raises:
            NotFoundError: there is none that is called so, or none any more.
            GoneError: it is to be compared with what is there now, and there is nothing.
        """
        one = await self.stored(subject, version)
        another = await self.stored(subject, other) if other is not None else (await self.present(subject))[0]
        return await asyncio.to_thread(lambda: list(jsonpatch.make_patch(one, another)))

    async def _states(self, subject: Subject, ended_by: datetime | None, few: int) -> list[State]:
        async with self.pool.connection() as connection:
            rows = await connection.fetch(subject.ask.states, *subject.ids, ended_by, few)
        return [State.of(row) for row in rows]

    async def _row(self, subject: Subject, statement: str, *values: object) -> Mapping[str, Any] | None:
        async with self.pool.connection() as connection:
            row: Mapping[str, Any] | None = await connection.fetchrow(statement, *subject.ids, *values)
        return row

    def _link(self, subject: Subject, rel: str, version: str) -> Link:
        href = self.links.href(*subject.path, "versions", version)
        return {"rel": rel, "type": media_type(subject), "href": href}

    def _links_of(self, subject: Subject, version: str, around: Mapping[str, str]) -> list[Link]:
        here = self.links.href(*subject.path)
        collection = self.links.href("collections", subject.collection)
        return [
            self._link(subject, "self", version),
            {"rel": "root", "type": JSON, "href": self.links.base},
            {"rel": "parent", "type": JSON, "href": collection if subject.item is not None else self.links.base},
            *([{"rel": "collection", "type": JSON, "href": collection}] if subject.item is not None else []),
            {"rel": LATEST, "type": media_type(subject), "href": here},
            *(self._link(subject, rel, other) for rel, other in around.items()),
            {"rel": HISTORY, "type": JSON, "href": f"{here}/versions"},
        ]


def missing(subject: Subject, links: Links, *, is_gone: bool) -> AlmagestError:
    """Says that there is nothing, or nothing any more."""
    if not is_gone:
        return NotFoundError(f"There is no {subject}.")
    where = links.href(*subject.path, "versions")
    return GoneError(f"The {subject} was deleted; its versions are at {where}, and each can be restored.", where)


def media_type(subject: Subject) -> str:
    """Of its document."""
    return JSON if subject.item is None else GEOJSON
