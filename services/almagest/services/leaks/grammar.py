"""What an outsider may try, as one small grammar over the route inventories of the external audience."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from random import Random
from typing import Literal, get_args

from almagest.services.leaks.counts import Counts
from almagest.services.leaks.dice import Dice
from almagest.services.leaks.filters import JUNK
from almagest.services.leaks.pairs import Pairs
from almagest.services.leaks.pictures import Pictures
from almagest.services.leaks.requests import Request, Token, Use
from almagest.services.leaks.searches import Searches
from almagest.services.leaks.vocabulary import Words
from almagest.services.stac import routes as stac
from almagest.services.stac.as_of import NAME
from almagest.services.stac.changes import EVENTS
from almagest.services.tiles import routes as tiles

Topic = Literal[
    "search", "items", "item", "collections", "collection", "queryables", "assets", "pictures", "mosaics", "searches",
    "versions", "as-of", "changes", "lineage", "aggregations", "pairs", "coverage", "plain", "malformed",
]  # fmt: skip
TOPICS: tuple[Topic, ...] = get_args(Topic)
_WEIGHTS: dict[Topic, int] = {
    "search": 30,
    "items": 8,
    "item": 10,
    "collections": 10,
    "collection": 5,
    "queryables": 5,
    "assets": 7,
    "pictures": 8,
    "mosaics": 6,
    "searches": 5,
    "versions": 14,
    "as-of": 14,
    "changes": 8,
    "lineage": 12,
    "aggregations": 12,
    "pairs": 12,
    "coverage": 4,
    "plain": 3,
    "malformed": 6,
}
#: What may be asked for as of a moment; and, seldom, what may not.
_HAVE_A_PAST: dict[Topic, int] = {
    "search": 40,
    "items": 15,
    "item": 25,
    "collections": 15,
    "collection": 15,
    "versions": 1,
    "queryables": 1,
    "assets": 1,
}
_ITEM = "{item_id}"
_RANGES = ("bytes=0-9", "bytes=-1", "bytes=5-", "bytes=9-0,1-2")
_ODD_IDS = (".", "..", "%", "é𝄞", "a/b", " ", "\x00", "x" * 300, "'", "*", "_")


@dataclass(frozen=True)
class Grammar:
    """Draws requests.

    Attributes:
        dice: chance.
        words: what they speak of.
        topics: what they are about.
    """

    dice: Dice
    words: Words
    topics: Sequence[Topic] = TOPICS

    def request(self) -> Request:
        """The next request."""
        return self._drawn()[self.dice.weighed({topic: _WEIGHTS[topic] for topic in self.topics})]()

    def _drawn(self) -> dict[Topic, Callable[[], Request]]:
        return {
            "search": self._search,
            "items": self._items,
            "item": self._item,
            "collections": self._collections,
            "collection": lambda: self._tagged(self._get("collections", self._collection_id())),
            "queryables": self._queryables,
            "assets": self._asset,
            "pictures": partial(self._picture, _ITEM),
            "mosaics": partial(self._picture, "/collections/{collection_id}/"),
            "searches": partial(self._picture, "{search_id}"),
            "versions": self._versions,
            "as-of": self._as_of,
            "changes": self._changes,
            "lineage": self._lineage,
            "aggregations": self._aggregation,
            "pairs": lambda: Pairs(self.dice, self.words).request(),
            "coverage": self._coverage,
            "plain": self._plain,
            "malformed": self._searches.malformed,
        }

    @property
    def _searches(self) -> Searches:
        return Searches(self.dice, self.words)

    def _search(self) -> Request:
        return self._searches.post() if self.dice.chance(50) else self._page(("search",))

    def _items(self) -> Request:
        return self._page(("collections", self._collection_id(), "items"), fixed=("collections",))

    def _page(self, path: tuple[str, ...], fixed: tuple[str, ...] = ()) -> Request:
        request = self._searches.get(path, fixed=fixed)
        return request if request.token else self._tagged(request)

    def _item(self) -> Request:
        collection, item = self.dice.one(self.words.items)
        if self.dice.chance(8):
            collection, item = self._collection_id(), self.dice.one((*_ODD_IDS, item))
        return self._tagged(self._get("collections", collection, "items", item))

    def _collections(self) -> Request:
        searches = self._searches
        return Request("stac", "GET", ("collections",), searches.parameters(searches.collection_body()))

    def _queryables(self) -> Request:
        return self._get(*self.dice.one((("queryables",), ("collections", self._collection_id(), "queryables"))))

    def _asset(self) -> Request:
        names = self.dice.one(self.words.assets)
        if self.dice.chance(10):
            names = (names[0], names[1], self.dice.one((*_ODD_IDS, f"{names[2]}/.", names[2].upper())))
        headers = (("range", self.dice.one(_RANGES)),) if self.dice.chance(25) else ()
        return Request("stac", self._method(), ("assets", *names), headers=headers)

    def _picture(self, mark: str) -> Request:
        marked = [route for route in tiles.EXTERNAL if mark in route.path]
        routes = [route for route in marked if (mark == _ITEM) == (_ITEM in route.path)]
        return Pictures(self.dice, self.words).request(self.dice.one(routes))

    def _aggregation(self) -> Request:
        request = Counts(self.dice, self.words).request()
        return request if request.method == "POST" else self._tagged(request)

    def _coverage(self) -> Request:
        searches = self._searches
        asked = {name: value for name, value in searches.body().items() if name in {"collections", "datetime", "bbox"}}
        return Request("stac", self._method(), ("coverage",), searches.parameters(asked))

    def _versions(self) -> Request:
        subject, version = self.dice.one(self.words.versions)
        what = self.dice.weighed({"list": 30, "one": 35, "diff": 25, "odd": 10})
        if what == "list":
            parameters = {"limit": str(1 + self.dice.below(4)), "before": version}
            chosen = tuple((name, value) for name, value in parameters.items() if self.dice.chance(40))
            return self._tagged(Request("stac", self._method(), (*subject, "versions"), chosen))
        if what == "odd":
            return self._get(*subject, "versions", self.dice.one((*_ODD_IDS, version.lower(), version[:-2])))
        if what == "one":
            stored = (("stored", self.dice.one(("true", "false"))),) if self.dice.chance(40) else ()
            return self._tagged(Request("stac", self._method(), (*subject, "versions", version), stored))
        same = [other for path, other in self.words.versions if path == subject]
        to = (("to", self.dice.one(same)),) if self.dice.chance(60) else ()
        return Request("stac", self._method(), (*subject, "versions", version, "diff"), to)

    def _as_of(self) -> Request:
        request = self._drawn()[self.dice.weighed(_HAVE_A_PAST)]()
        moment = self.dice.one(JUNK) if self.dice.chance(4) else self.dice.one(self.words.moments)
        if request.method == "POST":
            return replace(request, body=json.dumps({**json.loads(request.body or b"{}"), NAME: moment}).encode())
        return replace(request, query=(*request.query, (NAME, str(moment))))

    def _changes(self) -> Request:
        """From the beginning, from now, or from where somebody could have been; and what lies behind it."""
        parameters: dict[str, str] = {}
        since = self.dice.weighed({"then": 50, "": 30, "now": 15, "odd": 5})
        if since:
            odd = self.dice.one((*_ODD_IDS, "0"))
            parameters["since"] = {"then": self.dice.one(self.words.cursors), "odd": odd}.get(since, since)
        if since != "then" and self.dice.chance(40):
            parameters["collections"] = ",".join(self._collection_id() for _ in range(1 + self.dice.below(2)))
        if self.dice.chance(60):
            parameters["limit"] = self.dice.one(("1", "2", "5", "1000", "0"))
        if self.dice.chance(50):
            parameters["documents"] = "true"
        chosen = self.dice.weighed({"": 80, "text/html": 5, EVENTS: 15})
        accept = (("accept", chosen),) if chosen else ()
        use: Use = self.dice.one(("walk", "walk", "walk", "tamper", "internal"))
        token = Token(use, 1 + self.dice.below(30)) if self.dice.chance(70) else None
        return Request("stac", self._method(), ("changes",), tuple(parameters.items()), accept, token=token)

    def _lineage(self) -> Request:
        collection, item = self.dice.one(self.words.sources if self.dice.chance(60) else self.words.items)
        path = ("collections", collection, "items", item)
        known = [version for subject, version in self.words.versions if subject == path]
        parameters = {
            "direction": self.dice.weighed({"down": 60, "up": 35, "sideways": 5}),
            "depth": str(self.dice.one((1, 2, 3, 100))),
            "limit": str(self.dice.one((1, 2, 3, 4, 2000))),
            "version": self.dice.one(known or _ODD_IDS),
            "f": self.dice.one(("json", "prov", "xml")),
        }
        chances = {"direction": 80, "limit": 80, "version": 20, "f": 15}
        chosen = tuple((name, value) for name, value in parameters.items() if self.dice.chance(chances.get(name, 50)))
        headers = (("accept", "application/prov+json"),) if self.dice.chance(10) else ()
        return self._tagged(Request("stac", self._method(), (*path, "lineage"), chosen, headers))

    def _tagged(self, request: Request) -> Request:
        """Now and then asked again with the tag of the answer, from outside or inside."""
        if not self.dice.chance(30):
            return request
        return replace(request, method="GET", token=Token(self.dice.one(("etag", "internal-etag"))))

    def _plain(self) -> Request:
        """What says the same to everybody, or should."""
        if self.dice.chance(60):
            paths = [route.path[1:] for route in stac.EXTERNAL if not route.has_parameters]
            return self._get(*self.dice.one(paths).split("/"))
        return Pictures(self.dice, self.words).request(
            self.dice.one([route for route in tiles.EXTERNAL if "_id}" not in route.path])
        )

    def _collection_id(self) -> str:
        return self.dice.one(_ODD_IDS) if self.dice.chance(4) else self.dice.one(self.words.collections)

    def _get(self, *path: str) -> Request:
        headers = (("if-none-match", '"0"'),) if self.dice.chance(5) else ()
        return Request("stac", self._method(), path, headers=headers)

    def _method(self) -> str:
        return "HEAD" if self.dice.chance(8) else "GET"


def seeded(words: Words, seed: int, topics: Sequence[Topic] = TOPICS) -> Iterator[Request]:
    """Requests without end, the same ones for the same seed."""
    chance = Random(seed)  # noqa: S311 (nothing is kept secret by it)
    grammar = Grammar(Dice(chance.randrange), words, topics)
    while True:
        yield grammar.request()
