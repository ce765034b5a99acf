"""Generated filters: CQL2 as JSON and text, CQL1 JSON, and the query extension, over visible names and hidden ones."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from almagest.services.leaks.dice import Dice
from almagest.services.leaks.vocabulary import Scalar, Words

Json = Any

_COMPARISONS = ("=", "<>", "<", "<=", ">", ">=")
_CQL1 = {"=": "eq", "<>": "neq", "<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}
_QUERY = ("eq", "neq", "lt", "lte", "gt", "gte", "startsWith", "endsWith", "contains", "in")
_COLUMNS = ("id", "collection", "datetime", "end_datetime", "geometry")
_ODD = ("bbox", "type", "stac_version", "content", "properties", "assets", "links", "pgstac_id", "", "href", "*")
_PREFIXES = ("properties.", "properties.properties.", "content.", "item.", "collections.")
#: What a request should not hold.
JUNK: tuple[Json, ...] = (
    None,
    "",
    0,
    -1,
    10**30,
    1e300,
    True,
    [],
    {},
    [[[[]]]],
    "\x00",
    "\ud800",
    "é𝄞",
    "'; SELECT 1 --",
    "%_\\",
    {"property": "id"},
    {"op": "not", "args": []},
    "9999-12-31T23:59:59Z/..",
    "x" * 300,
)


@dataclass(frozen=True)
class Filters:
    """Draws filters.

    Attributes:
        dice: chance.
        words: what filters speak of.
    """

    dice: Dice
    words: Words

    def name(self) -> str:
        """Something to filter or sort by: more often than not it exists."""
        kind = self.dice.weighed({"property": 62, "any": 12, "column": 12, "prefixed": 10, "odd": 4})
        if kind == "column":
            return self.dice.one(_COLUMNS)
        name = self.dice.one(self.words.names if kind == "any" else self.words.properties)
        if kind == "prefixed":
            return self.dice.one(_PREFIXES) + name
        return self.dice.one(_ODD) if kind == "odd" else name

    def value(self, name: str) -> Scalar:
        """Something to compare a name with, likely one of its values."""
        bare = name.removeprefix("properties.")
        known: dict[str, tuple[Scalar, ...]] = {
            "id": tuple(item for _, item in self.words.items),
            "collection": tuple(self.words.collections),
            "datetime": tuple(self.words.times),
        }
        values = known.get(bare) or self.words.by_name.get(bare)
        return self.dice.one(self.words.values) if not values or self.dice.chance(12) else self.dice.one(values)

    def cql2(self, depth: int = 2) -> Json:
        """A condition as CQL2 JSON."""
        kinds = {"compare": 40, "in": 6, "between": 6, "null": 6, "like": 14, "area": 6, "time": 5, "odd": 5}
        if depth:
            kinds |= {"and": 14, "or": 9, "not": 5}
        kind = self.dice.weighed(kinds)
        if kind in {"and", "or"}:
            return {"op": kind, "args": [self.cql2(depth - 1) for _ in range(2)]}
        if kind == "not":
            return {"op": "not", "args": [self.cql2(depth - 1)]}
        name = self.name()
        return self._simple(kind, name, {"property": name}, self.value(name))

    def _simple(self, kind: str, name: str, operand: Json, value: Scalar) -> Json:
        match kind:
            case "in":
                return {"op": "in", "args": [operand, [value, self.value(name)]]}
            case "between":
                return {"op": "between", "args": [operand, value, self.value(name)]}
            case "null":
                return {"op": "isNull", "args": [operand]}
            case "like":
                return {"op": "like", "args": [operand, self.pattern(value)]}
            case "area":
                return {"op": "s_intersects", "args": [{"property": "geometry"}, self.polygon()]}
            case "time":
                interval = {"interval": sorted(self.dice.one(self.words.times) for _ in range(2))}
                return {"op": "t_intersects", "args": [{"property": "datetime"}, interval]}
            case "odd":
                other = self.dice.one(("casei", "upper", "lower", "a_contains", "+", "nothing"))
                return {"op": "=", "args": [{"op": other, "args": [operand, value]}, {"property": self.name()}]}
        return {"op": self.dice.one(_COMPARISONS), "args": [operand, value]}

    def pattern(self, value: Scalar) -> str:
        """Of LIKE: a value that is guessed letter by letter."""
        text = str(value)
        return text[: 1 + self.dice.below(max(1, len(text)))] + self.dice.one(("%", "", "_"))

    def text(self, depth: int = 2) -> str:
        """A condition as CQL2 text."""
        if depth and self.dice.chance(30):
            joint = self.dice.one((" AND ", " OR "))
            return joint.join(f"({self.text(depth - 1)})" for _ in range(2))
        name = self.name()
        value = self.value(name)
        quoted = f'"{name}"' if not name.replace("_", "").isalnum() or self.dice.chance(30) else name
        match self.dice.weighed({"compare": 60, "like": 15, "null": 10, "in": 10, "area": 5}):
            case "like":
                return f"{quoted} LIKE {_literal(self.pattern(value))}"
            case "null":
                return f"{quoted} IS NULL"
            case "in":
                return f"{quoted} IN ({_literal(value)}, {_literal(self.value(name))})"
            case "area":
                west, south, east, north = self.dice.one(self.words.boxes)
                return f"S_INTERSECTS(geometry, BBOX({west}, {south}, {east}, {north}))"
        return f"{quoted} {self.dice.one(_COMPARISONS)} {_literal(value)}"

    def cql1(self) -> Json:
        """A condition in the words of the first CQL."""
        name = self.name()
        return {_CQL1[self.dice.one(_COMPARISONS)]: [{"property": name}, self.value(name)]}

    def query(self) -> Json:
        """A condition of the query extension."""
        found: dict[str, Json] = {}
        for _ in range(1 + self.dice.below(2)):
            name = self.name()
            operator = self.dice.one(_QUERY)
            value: Json = self.value(name)
            if self.dice.chance(4):
                value = {"property": self.name()}
            found[name] = {operator: [value, self.value(name)] if operator == "in" else value}
        return found

    def polygon(self) -> Json:
        """Around one of the items."""
        west, south, east, north = self.dice.one(self.words.boxes)
        ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
        return {"type": "Polygon", "coordinates": [ring]}


def _literal(value: Scalar) -> str:
    if isinstance(value, str):
        return "'{}'".format(value.replace("'", "''"))
    return "NULL" if value is None else json.dumps(value)
