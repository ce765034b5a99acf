"""Generated pair searches: two searches, and filters over what both find."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from almagest.services.leaks.dice import Dice
from almagest.services.leaks.filters import JUNK, Filters, Json
from almagest.services.leaks.requests import Request
from almagest.services.leaks.searches import Searches
from almagest.services.leaks.vocabulary import Words

_SIDES = ("first", "second")
_MEMBERS = ("collections", "ids", "bbox", "intersects", "datetime")
_COMPARISONS = ("=", "<>", "<", "<=", ">", ">=")
_RELATIONS = ("t_before", "t_intersects", "t_equals", "s_intersects", "s_disjoint", "s_nothing")


@dataclass(frozen=True)
class Pairs:
    """Draws pair searches.

    Attributes:
        dice: chance.
        words: what they speak of.
    """

    dice: Dice
    words: Words

    def request(self) -> Request:
        """The next one."""
        return Searches(self.dice, self.words).paged(self._drawn(), self._drawn)

    def _drawn(self) -> Request:
        body = self._body()
        if self.dice.chance(50):
            return Request("stac", "POST", ("pair-search",), body=json.dumps(body).encode())
        spelt = [(name, ",".join(map(str, v)) if isinstance(v, list) else v) for name, v in body.items()]
        pairs = [(name, json.dumps(value) if isinstance(value, dict) else str(value)) for name, value in spelt]
        language = [("filter-lang", "cql2-json")] if isinstance(body.get("filter"), dict) else []
        return Request("stac", "HEAD" if self.dice.chance(4) else "GET", ("pair-search",), (*pairs, *language))

    def _body(self) -> dict[str, Any]:
        body: dict[str, Any] = {"limit": Searches(self.dice, self.words).limit()}
        for side in _SIDES:
            if self.dice.chance(60):
                drawn = Searches(self.dice, self.words).body()
                body |= {f"{side}-{name}": drawn[name] for name in _MEMBERS if name in drawn}
        if self.dice.chance(55):
            body["filter"] = self._filter(2)
        for name, values in (
            ("max-time-difference", (0, 60, 86_400, 10**8)),
            ("min-overlap-area", (0, 10, 10**6)),
            ("min-overlap-fraction", (0, 0.2, 1)),
            ("response-type", ("first-only", "second-only")),
        ):
            if self.dice.chance(20):
                body[name] = self.dice.one(JUNK) if self.dice.chance(3) else self.dice.one(values)
        return body

    def _filter(self, depth: int) -> Json:
        match self.dice.weighed({"one": 55, "both": 20, "relation": 5, **({"and": 12, "or": 8} if depth else {})}):
            case "one":
                return _of_side(Filters(self.dice, self.words).cql2(1), self.dice.one(_SIDES))
            case "relation":
                name = self.dice.one(("datetime", "geometry"))
                return {"op": self.dice.one(_RELATIONS), "args": [{"property": f"{side}.{name}"} for side in _SIDES]}
            case "both":
                return self._comparison()
            case joint:
                return {"op": joint, "args": [self._filter(depth - 1) for _ in range(2)]}

    def _comparison(self) -> Json:
        filters = Filters(self.dice, self.words)
        name = filters.name()
        names = (name, name if self.dice.chance(60) else filters.name())
        both: list[Json] = [{"property": f"{side}.{one}"} for side, one in zip(_SIDES, names, strict=True)]
        match self.dice.weighed({"compare": 60, "difference": 25, "share": 15}):
            case "difference":
                both = [{"op": self.dice.one(("N_DIFF", "T_DIFF", "+")), "args": both}, self.dice.one((0, 1, 10.5))]
            case "share":
                both = [{"op": "S_RAOVERLAP", "args": [{"property": f"{side}.geometry"} for side in _SIDES]}, 0.1]
        return {"op": self.dice.one(_COMPARISONS), "args": both}


def _of_side(condition: Json, side: str) -> Json:
    """The condition with its names on one side."""
    if isinstance(condition, list):
        return [_of_side(part, side) for part in condition]
    if not isinstance(condition, dict):
        return condition
    return {
        key: f"{side}.{value}" if key == "property" and isinstance(value, str) else _of_side(value, side)
        for key, value in condition.items()
    }
