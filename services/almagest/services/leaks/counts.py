"""Generated aggregations: what is counted, over which search."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from almagest.catalogue import aggregations
from almagest.services.leaks.dice import Dice
from almagest.services.leaks.requests import Request
from almagest.services.leaks.searches import Searches
from almagest.services.leaks.vocabulary import Words

_PLAIN = ("total_count", "datetime_min", "datetime_max", "collection_frequency", "datetime_frequency")
_GRIDS = tuple(f"centroid_{grid}_grid_frequency" for grid in aggregations.GRIDS)
_KINDS = ("frequency", "min", "max", "sum")
_MEANT = frozenset({"collections", "ids", "bbox", "intersects", "datetime", "filter", "filter-lang", "query", "q"})


@dataclass(frozen=True)
class Counts:
    """Draws aggregations.

    Attributes:
        dice: chance.
        words: what they speak of.
    """

    dice: Dice
    words: Words

    def request(self) -> Request:
        """The next one, of all collections or of one."""
        of: tuple[str, ...] = ()
        if self.dice.chance(35):
            of = ("collections", self.dice.one(self.words.collections))
        if self.dice.chance(12):
            return Request("stac", self.dice.one(("GET", "HEAD")), (*of, "aggregations"))
        names = [self._name() for _ in range(1 + self.dice.below(4))]
        choices = {name: value for one in names for name, value in self._choices(one).items()}
        search = self._search()
        if self.dice.chance(50):
            body = json.dumps({**search, **choices, "aggregations": names}).encode()
            return Request("stac", "POST", (*of, "aggregate"), body=body)
        parameters = Searches(self.dice, self.words).parameters(search)
        spelt = (("aggregations", ",".join(names)), *((name, str(value)) for name, value in choices.items()))
        return Request("stac", "HEAD" if self.dice.chance(4) else "GET", (*of, "aggregate"), (*parameters, *spelt))

    def _search(self) -> dict[str, Any]:
        match self.dice.weighed({"": 35, "collections": 15, "any": 50}):
            case "":
                return {}
            case "collections":
                return {"collections": self.dice.some(self.words.collections)}
        return {key: value for key, value in Searches(self.dice, self.words).body().items() if key in _MEANT}

    def _name(self) -> str:
        match self.dice.weighed({"plain": 35, "grid": 20, "known": 20, "any": 25}):
            case "plain":
                return self.dice.one(_PLAIN)
            case "grid":
                return self.dice.one(_GRIDS)
            case "known":
                return f"{self.dice.one((*aggregations.TERMS, *aggregations.NUMBERS))}_{self.dice.one(_KINDS)}"
        name = self.dice.one(self.words.properties if self.dice.chance(70) else self.words.names)
        return f"{name}_{self.dice.one(_KINDS)}"

    def _choices(self, name: str) -> dict[str, str | int]:
        if not self.dice.chance(60):
            return {}
        if name in _GRIDS:
            return {f"{name}_precision": self.dice.one((3, 1, 2, 5, 7, 0, 40))}
        if name == "datetime_frequency":
            return {f"{name}_interval": self.dice.one((*aggregations.INTERVALS, "age"))}
        if name.endswith("_frequency") and self.dice.chance(40):
            return {f"{name}_ranges": self.dice.one(("1,2,3", "0.5,20", "5,1", "x"))}
        return {}
