"""Collections through the API: they go in before their items, or are made from these."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from almagest.catalogue.extents import Extent, bare_collection, is_bare
from almagest.client.http import Http
from almagest.client.measuring import measured
from almagest.core.addresses import segment
from almagest.core.errors import BadRequestError, ConflictError, InvalidDocumentError, NotFoundError, TooLargeError

Document = dict[str, Any]

#: The document's own fault.
REFUSALS = (BadRequestError, ConflictError, InvalidDocumentError, NotFoundError, TooLargeError)


@dataclass
class Collections:
    """The collections that an ingest meets.

    Attributes:
        http: the API.
        asking: what every write is asked to do.
        extents: of those that are made from their items: what these cover.
        settled: those that are there and whose extent is not ours to state.
    """

    http: Http
    asking: dict[str, str]
    extents: dict[str, Extent] = field(default_factory=dict)
    settled: set[str] = field(default_factory=set)

    def put(self, document: Document) -> str:
        """Creates or replaces one; returns which of these it was, or that it was equal."""
        return self._put(document, self._tag(document["id"]))

    def _put(self, document: Document, before: str | None) -> str:
        if before is None:
            try:
                self.http.send("POST", "collections", params=self.asking, content=json.dumps(document).encode())
            except ConflictError:
                pass  # made meanwhile: by others, or by an attempt whose answer was lost
            else:
                return "created"
        return "unchanged" if self._replace(document) == before and before else "updated"

    def _replace(self, document: Document) -> str:
        content = json.dumps(document).encode()
        answer = self.http.send("PUT", address(document["id"]), params=self.asking, content=content)
        return str(answer.headers.get("etag", ""))

    def _tag(self, name: str) -> str | None:
        """What a collection is told apart by, empty where the service does not say; None if there is none."""
        try:
            return str(self.http.send("GET", address(name)).headers.get("etag", ""))
        except NotFoundError:
            return None

    def _stored(self, name: str) -> Document | None:
        try:
            return self.http("GET", address(name))
        except NotFoundError:
            return None

    def measure(self, name: str, item: Document) -> None:
        """Takes note of what an item covers, if its collection is made from its items."""
        if name not in self.settled and (extent := measured(item)):
            present = self.extents.get(name)
            self.extents[name] = present | extent if present else extent

    def make(self, name: str) -> bool:
        """Makes a collection from what was measured, unless it is there; whether it has.

        Raises:
            AlmagestError: the service does not take it.
        """
        if name not in self.extents:
            return False
        try:
            present = self._stored(name)
            if present is None:
                return self._put(bare_collection(name, self.extents[name]), None) == "created"
        except REFUSALS:
            del self.extents[name]
            raise
        if not _is_ours(present):
            self.settled.add(name)
            del self.extents[name]
        return False

    def settle(self) -> None:
        """States what the collections that were made from their items cover."""
        for name, extent in sorted(self.extents.items()):
            present = self._stored(name)
            if present is not None and _is_ours(present):
                stated = Extent.of_collection(present)
                self._replace(bare_collection(name, extent | stated if stated else extent))


def _is_ours(collection: Document) -> bool:
    """Whether a collection, as it is served, was made from its items and not described since."""
    return is_bare({**collection, "links": []})


def address(collection: str) -> str:
    """Where a collection is, below the address of the API."""
    return f"collections/{segment(collection)}"
