"""Of which type the columns of a table must be to hold many JSON documents.

Documents need not agree: where one has a number and another a text, the column is for what occurs most often.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

#: More columns than this make no table; keys that come later, dated asset keys for one, get none.
_MAX_FIELDS = 3000
_MAX_DEPTH = 20
_INT64 = 2**63
#: Up to here every whole number is a float too.
_FLOAT_INTEGER = 2**53

_KINDS: dict[type, str] = {str: "text", bool: "truth", int: "number", float: "number", dict: "object", list: "list"}


class Budget:
    """How many more fields may be made, for all shapes of one table together."""

    def __init__(self) -> None:
        self.left = _MAX_FIELDS


class Shape:
    """What was seen at one place of the documents."""

    __slots__ = (
        "_budget", "_depth", "_element", "_is_float", "_is_large", "_is_uniform",
        "fields", "kind", "lists", "numbers", "objects", "texts", "truths",
    )  # fmt: skip

    def __init__(self, budget: Budget, depth: int = 0) -> None:
        self._budget = budget
        self._depth = depth
        self._element: Shape | None = None
        self._is_float = self._is_large = False
        self._is_uniform = True
        #: What occurred most often, once that is settled; None if nothing but null did.
        self.kind: str | None = None
        self.fields: dict[str, Shape] = {}
        self.lists = self.numbers = self.objects = self.texts = self.truths = 0

    def learn(self, value: Any) -> None:
        """Takes note of a value. Called for every value there is, so it is written for speed."""
        kind = type(value)
        if kind is str:
            self.texts += 1
        elif kind is dict:
            self.objects += 1
            fields = self.fields
            for key, inner in value.items():
                field = fields.get(key) or self._added(key)
                if field is None:
                    continue
                if type(inner) is str:
                    field.texts += 1
                else:
                    field.learn(inner)
        elif kind is list:
            self.lists += 1
            if self._element is None:
                self._element = Shape(self._budget, self._depth + 1)
            if self._depth < _MAX_DEPTH:
                learn = self._element.learn
                for inner in value:
                    learn(inner)
        elif kind is float:
            self.numbers += 1
            self._is_float = True
        elif kind is bool:
            self.truths += 1
        elif kind is int:
            self.numbers += 1
            if not -_FLOAT_INTEGER <= value <= _FLOAT_INTEGER:
                self._is_large = True
                self._is_float |= not -_INT64 <= value < _INT64

    def _added(self, key: str) -> Shape | None:
        if self._budget.left <= 0 or self._depth >= _MAX_DEPTH or not _is_name(key):
            return None
        self._budget.left -= 1
        self.fields[key] = Shape(self._budget, self._depth + 1)
        return self.fields[key]

    @property
    def counts(self) -> dict[str, int]:
        """How often each kind of value occurred that did."""
        counts = {
            "text": self.texts,
            "number": self.numbers,
            "object": self.objects,
            "list": self.lists,
            "truth": self.truths,
        }
        return {kind: count for kind, count in counts.items() if count}

    @property
    def holds_objects(self) -> bool:
        """Whether this is a list of objects."""
        return self._element is not None and self._element.kind == "object"

    def settle(self) -> bool:
        """Once all is learned: whether every value that was seen fits the column."""
        # All parts have to settle, whatever the first says.
        parts = [part.settle() for part in (*self.fields.values(), *([self._element] if self._element else []))]
        counts = self.counts
        self.kind = max(counts, key=lambda kind: counts[kind], default=None)
        self._is_uniform = len(counts) <= 1 and all(parts) and not (self._is_float and self._is_large)
        return self._is_uniform

    def type(self) -> pa.DataType | None:
        """The type of the column; None if there can be none."""
        import pyarrow as pa

        match self.kind:
            case "text":
                return pa.string()
            case "truth":
                return pa.bool_()
            case "number":
                return pa.float64() if self._is_float else pa.int64()
            case "list":
                # Of a list that was always empty nothing is known but that.
                element = self._element.type() if self._element else None
                return pa.list_(element if element is not None else pa.string())
            case "object":
                types = ((name, field.type()) for name, field in self.fields.items())
                known = [pa.field(name, of) for name, of in types if of is not None]
                return pa.struct(known) if known else None
        return None

    def fit(self, value: Any) -> Any:
        """A value without what does not fit the column."""
        if self._is_uniform:
            return value
        if value is None or (kind := _KINDS[type(value)]) != self.kind:
            return None
        if kind == "object":
            return {key: field.fit(value[key]) for key, field in self.fields.items() if key in value}
        if kind == "list" and self._element:
            return [self._element.fit(inner) for inner in value]
        if kind == "number" and self._is_float and _is_inexact(value):
            return None
        return value


def _is_inexact(number: float) -> bool:
    """Whether this is a whole number that a float might not hold."""
    return type(number) is int and not -_FLOAT_INTEGER <= number <= _FLOAT_INTEGER


def _is_name(key: str) -> bool:
    """Whether a column may be called so."""
    return bool(key) and key.isprintable()
