"""Any STAC API, asked again and again: for what was updated, where it can sort by that, and now and then for all."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from almagest.catalogue.acceptance import Rules, accept_collection, accept_item
from almagest.catalogue.exchange.answers import Rounds
from almagest.catalogue.mirroring import BeginAnewError, Entry, Page
from almagest.client.api import StacApi, checked, next_request
from almagest.client.http import NoMoreError, not_stac
from almagest.core.addresses import segment
from almagest.core.errors import NotFoundError

Document = dict[str, Any]

_PAGE = 500
_UPDATED = "properties.updated"


class Polling:
    """An API that does not tell what has changed.

    Its cursor is JSON: where a walk, or a question for what is new, has come to; and of all that was met, the latest
    `updated`. Deletions are found by walks alone.

    Args:
        api: the API.
        url: its address, without a slash at the end.
        rules: what its documents are judged by.
        collections: these; None: all.
        walk_every_s: how often all is gone through [s].
        now: the time [s since 1970].
    """

    waits = False

    def __init__(
        self,
        api: StacApi,
        url: str,
        rules: Rules,
        collections: Sequence[str] | None = None,
        *,
        walk_every_s: float = 86_400.0,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.name = url
        self._api, self._rules, self._walk_every_s, self._now = api, rules, walk_every_s, now
        self._selected = None if collections is None else frozenset(collections)
        self._rounds = Rounds()

    def page(self, cursor: str | None, *, wait: bool) -> Page:  # noqa: ARG002 (no such API waits)
        """What comes behind a cursor; as for any source."""
        at: Document = {} if cursor is None else json.loads(cursor)
        if not at:
            return self._collections({"walk": [], "began": self._now(), "mark": None, "dated": True})
        if "walk" in at:
            return self._walked(at)
        if "next" not in at:
            if not at["dated"]:
                raise BeginAnewError(
                    "what is new cannot be asked for alone: not everything there says when it was `updated`."
                )
            if not self._api.sorts:
                raise BeginAnewError("what is new cannot be asked for alone: the API does not sort.")
            if self._now() - at["began"] > self._walk_every_s:
                raise BeginAnewError("only so it is seen what is not there any more.")
            return self._collections({**at, "next": self._newest(), "until": at["mark"]})
        return self._news(at)

    def collection(self, identifier: str) -> Document | None:
        """A collection as it is now."""
        return self._api.collection(identifier)

    def still(self, collection: str, item: str) -> Entry | None:
        """An item that is there all the same: pages move where somebody writes between two of them."""
        try:
            found = self._api.ask("GET", f"{self._api.root}collections/{segment(collection)}/items/{segment(item)}")
        except (NoMoreError, NotFoundError):
            return None
        return Entry(collection, item, checked(found, self.name))

    def judge(self, document: Document) -> Document:
        """As whatever comes into this catalogue is judged."""
        accept = accept_item if document.get("type") == "Feature" else accept_collection
        return accept(self._api.without_own_links(document), self._rules).document

    def _collections(self, at: Document) -> Page:
        """All collections, first; a walk then goes through each."""
        self._rounds = Rounds()
        entries = [Entry(name, None, found) for name, found in self._listed()]
        if "walk" in at:
            at["walk"] = [entry.collection for entry in entries]
            if not entries:
                return self._end(tuple(entries), at)
        return Page(tuple(entries), json.dumps(at), is_end=False)

    def _listed(self) -> Iterator[tuple[str, Document]]:
        if self._selected is not None:
            for name in sorted(self._selected):
                try:
                    found = self._api.ask("GET", f"{self._api.root}collections/{segment(name)}")
                except NotFoundError:
                    continue
                yield name, checked(found, self.name)
            return
        request: Document | None = {"method": "GET", "href": f"{self._api.root}collections"}
        rounds = Rounds()
        while request is not None:
            held, _, request = self._asked(request, "collections", rounds)
            yield from ((str(found["id"]), found) for found in held)

    def _walked(self, at: Document) -> Page:
        """A page of the items of the first collection that is left."""
        first, *others = at["walk"]
        limit = {"limit": str(_PAGE)}
        items = f"{self._api.root}collections/{segment(first)}/items"
        request = at.get("next") or {"method": "GET", "href": items, "params": limit}
        try:
            held, _, behind = self._asked(request, "features", self._rounds)
        except NotFoundError:
            if at.get("next"):
                raise BeginAnewError("it does not know the next page any more.") from None
            held, behind = [], None  # deleted meanwhile: the next walk meets it no more
        moments = [_moment(item) for item in held]
        at = {**at, "mark": _later(at["mark"], moments), "dated": at["dated"] and None not in moments, "next": behind}
        if behind is None:
            self._rounds = Rounds()
            at["walk"] = others
            if not others:
                return self._end(_entries(held, first), at)
        return Page(_entries(held, first), json.dumps(at), is_end=False)

    def _newest(self) -> Document:
        body: Document = {"limit": _PAGE, "sortby": [{"field": _UPDATED, "direction": "desc"}]}
        if self._selected is not None:
            body["collections"] = sorted(self._selected)
        return self._api.first(body)

    def _news(self, at: Document) -> Page:
        """A page of what was updated last, down to what was met before."""
        held, _, behind = self._asked(at["next"], "features", self._rounds)
        moments = [_moment(item) for item in held]
        told = [moment for moment in moments if moment is not None]
        if len(told) < len(moments) or told != sorted(told, reverse=True):
            raise BeginAnewError("what is new cannot be asked for alone: the API does not sort by `updated`.")
        until = at["until"]
        # As late as the last one before: of one moment there may be others.
        new = [item for item, moment in zip(held, told, strict=True) if until is None or moment >= until]
        at = {**at, "mark": _later(at["mark"], moments), "next": behind}
        if behind is None or len(new) < len(held):
            return self._end(_entries(new), at)
        return Page(_entries(new), json.dumps(at), is_end=False)

    def _asked(
        self, request: Document, member: str, rounds: Rounds
    ) -> tuple[list[Document], Document, Document | None]:
        page = self._api.ask(request["method"], request["href"], params=request.get("params"), json=request.get("body"))
        held = page.get(member) or []
        if not isinstance(held, list):
            not_stac(request["href"], f"`{member}` is no list")
        documents = [checked(document, request["href"]) for document in held]
        behind = next_request(page, request)
        if not rounds.is_new(documents) and behind:
            not_stac(request["href"], "its pages come again and again")
        return documents, page, behind

    @staticmethod
    def _end(entries: tuple[Entry, ...], at: Document) -> Page:
        return Page(entries, json.dumps({name: at[name] for name in ("began", "mark", "dated")}), is_end=True)


def _entries(items: list[Document], collection: str | None = None) -> tuple[Entry, ...]:
    """Items as they were got, of one collection or of any: one that says that it is of another one is refused then."""
    return tuple(Entry(collection or str(item.get("collection")), str(item["id"]), item) for item in items)


def _moment(item: Document) -> str | None:
    """When an item was updated, spelt so that texts are in the order of times; None where it does not say."""
    said = (item.get("properties") or {}).get("updated")
    try:
        return datetime.fromisoformat(str(said)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")
    except (ValueError, OverflowError):
        return None


def _later(mark: str | None, moments: list[str | None]) -> str | None:
    return max((moment for moment in (mark, *moments) if moment is not None), default=None)
