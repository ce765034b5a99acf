"""Generated searches: bodies, their spelling as query parameters, and what is done with paging tokens."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from almagest.services.leaks.dice import Dice
from almagest.services.leaks.filters import JUNK, Filters
from almagest.services.leaks.requests import Request, Token
from almagest.services.leaks.vocabulary import Words
from almagest.services.stac.streaming import NDJSON, PARQUET

Body = dict[str, Any]

_MEMBERS = ("id", "collection", "geometry", "bbox", "assets", "links", "properties", "type", "stac_version", "")
_LIMITS = (1, 2, 3, 5, 10, 100, 0, 10_001, -1)


@dataclass(frozen=True)
class Searches:
    """Draws searches.

    Attributes:
        dice: chance.
        words: what searches speak of.
    """

    dice: Dice
    words: Words

    @property
    def filters(self) -> Filters:
        """What searches filter by."""
        return Filters(self.dice, self.words)

    def body(self) -> Body:
        """Of an item search."""
        parts: dict[str, tuple[int, Callable[[], Body]]] = {
            "collections": (35, lambda: {"collections": self.dice.some(self.words.collections)}),
            "ids": (12, lambda: {"ids": [item for _, item in self.dice.some(self.words.items)]}),
            "bbox": (12, lambda: {"bbox": list(self.dice.one(self.words.boxes))}),
            "intersects": (6, lambda: {"intersects": self.filters.polygon()}),
            **self._of_both(),
            "limit": (60, lambda: {"limit": self.limit()}),
        }
        body = self._drawn(parts)
        if "bbox" in body:
            body.pop("intersects", None)
        return body

    def collection_body(self) -> Body:
        """Of a collection search."""
        parts: dict[str, tuple[int, Callable[[], Body]]] = {
            "bbox": (10, lambda: {"bbox": list(self.dice.one(self.words.boxes))}),
            **self._of_both(),
            "limit": (60, lambda: {"limit": self.limit()}),
            "offset": (30, lambda: {"offset": self.dice.below(8)}),
        }
        return self._drawn(parts)

    def limit(self) -> int:
        """Most often a small one, so that there are further pages."""
        return self.dice.one(_LIMITS) if self.dice.chance(25) else 1 + self.dice.below(4)

    def field(self) -> str:
        """Something to be shown or left out."""
        kind = self.dice.weighed({"member": 35, "property": 40, "any": 25})
        if kind == "member":
            return self.dice.one(_MEMBERS)
        return f"properties.{self.dice.one(self.words.names)}" if kind == "property" else self.filters.name()

    def _of_both(self) -> dict[str, tuple[int, Callable[[], Body]]]:
        return {
            "datetime": (12, lambda: {"datetime": self.interval()}),
            "filter": (32, self._filter),
            "query": (10, lambda: {"query": self.filters.query()}),
            "q": (14, lambda: {"q": self.dice.some(self.words.texts, 2)}),
            "sortby": (25, lambda: {"sortby": [self._sort_key() for _ in range(1 + self.dice.below(2))]}),
            "fields": (15, self._fields),
        }

    def _drawn(self, parts: Mapping[str, tuple[int, Callable[[], Body]]]) -> Body:
        body: Body = {}
        if self.dice.chance(45):
            # One condition alone: it is not outshone by others.
            body = parts[self.dice.weighed({name: percent for name, (percent, _) in parts.items()})][1]()
            parts = {name: parts[name] for name in ("fields", "limit")}
        for percent, part in parts.values():
            if self.dice.chance(percent):
                body |= part()
        return body

    def interval(self) -> str:
        """A time, or a span between two or from one on."""
        first, second = sorted(self.dice.one(self.words.times) for _ in range(2))
        return self.dice.one((f"{first}/..", first, f"{first}/{second}", f"../{second}"))

    def _filter(self) -> Body:
        if self.dice.chance(6):
            return {"filter": self.filters.cql1(), "filter-lang": "cql-json"}
        return {"filter": self.filters.cql2(), "filter-lang": "cql2-json"}

    def _sort_key(self) -> Body:
        return {"field": self.filters.name(), "direction": self.dice.one(("asc", "desc"))}

    def _fields(self) -> Body:
        chosen: dict[str, list[str]] = {}
        for kind, percent in (("include", 70), ("exclude", 50)):
            if self.dice.chance(percent):
                chosen[kind] = [self.field() for _ in range(1 + self.dice.below(3))]
        return {"fields": chosen}

    def post(self) -> Request:
        """An item search as a body."""
        return self.paged(_post(self.body()), lambda: _post(self.body()))

    def get(self, path: tuple[str, ...], *, fixed: tuple[str, ...] = ()) -> Request:
        """An item search as query parameters. fixed: what the path says already."""

        def drawn() -> Request:
            body = {key: value for key, value in self.body().items() if key not in fixed}
            return Request("stac", "GET", path, self.parameters(body))

        return self.paged(drawn(), drawn)

    def parameters(self, body: Body) -> tuple[tuple[str, str], ...]:
        """A body as query parameters."""
        spelt: list[tuple[str, str]] = []
        for name, value in body.items():
            match name:
                case "collections" | "ids" | "bbox" | "q":
                    spelt.append((name, ",".join(map(str, value))))
                case "sortby":
                    keys = (f"{'-' if key['direction'] == 'desc' else '+'}{key['field']}" for key in value)
                    spelt.append((name, ",".join(keys)))
                case "fields":
                    signed = [*value.get("include", ()), *(f"-{field}" for field in value.get("exclude", ()))]
                    spelt.append((name, ",".join(signed)))
                case "filter" if self.dice.chance(50):
                    spelt.append((name, self.filters.text()))
                case "filter-lang":
                    pass
                case "filter":
                    spelt += [(name, json.dumps(value)), ("filter-lang", "cql2-json")]
                case "query" | "intersects":
                    spelt.append((name, json.dumps(value)))
                case _:
                    spelt.append((name, str(value)))
        return tuple(spelt)

    def paged(self, request: Request, other: Callable[[], Request]) -> Request:
        """The request, and what is done with the tokens of its pages. other: draws searches for which they are not."""
        match self.dice.weighed({"": 62, "walk": 16, "internal": 10, "tamper": 6, "elsewhere": 6}):
            case "":
                accepted = self.dice.weighed({"": 70, NDJSON: 20, PARQUET: 10})
                return replace(request, headers=(("accept", accepted),)) if accepted else request
            case "elsewhere":
                return replace(request, token=Token("elsewhere", other=other()))
            case "tamper":
                return replace(request, token=Token("tamper", self.dice.below(200)))
            case "internal":
                return replace(request, token=Token("internal"))
        return replace(request, token=Token("walk", 1 + self.dice.below(4)))

    def malformed(self) -> Request:
        """An item search that should not have been sent so."""
        body = self.body()
        match self.dice.below(6):
            case 0:
                text = json.dumps(body)
                return _raw(text[: self.dice.below(len(text) + 1)].encode())
            case 1:
                depth = self.dice.one((5, 60, 3000))
                return _raw(b'{"filter":' + b'{"op":"not","args":[' * depth + b"null" + b"]}" * depth + b"}")
            case 2:
                return _raw(self.dice.one((b"", b"\xff\xfe", b"null", b"[]", b'"x"', b"1e999", b'{"limit":1e999}')))
            case 3:
                parameters = (*self.parameters(body), (self.dice.one(("limit", "token", "bbox", "filter")), "\x00"))
                return Request("stac", "GET", ("search",), parameters)
            case 4:
                junk = str(self.dice.one(JUNK))
                return Request("stac", "GET", ("search",), ((self.dice.one(tuple(body) or ("ids",)), junk),))
        return _post(self._spoilt(body))

    def _spoilt(self, body: Body) -> Body:
        name = self.dice.one((*body, "token", "conf", "filter", "sortby", "collections", "q", "fields"))
        value = body.get(name)
        if isinstance(value, dict) and value and self.dice.chance(60):
            key = self.dice.one(tuple(value))
            return {**body, name: {**value, key: self.dice.one(JUNK)}}
        if isinstance(value, list) and value and self.dice.chance(60):
            return {**body, name: [*value, self.dice.one(JUNK)]}
        return {**body, name: self.dice.one(JUNK)}


def _post(body: Body) -> Request:
    return _raw(json.dumps(body).encode())


def _raw(body: bytes) -> Request:
    return Request("stac", "POST", ("search",), body=body)
