"""Chance, from wherever it comes: a seed for a harness that only counts, hypothesis for one that shrinks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

Value = TypeVar("Value")


@dataclass(frozen=True)
class Dice:
    """Choices made by one function. What comes first is taken to be the simplest.

    Attributes:
        below: any whole number from 0 to less than what it is given.
    """

    below: Callable[[int], int]

    def one(self, values: Sequence[Value]) -> Value:
        """One of these."""
        return values[self.below(len(values))]

    def some(self, values: Sequence[Value], most: int = 3) -> list[Value]:
        """Between one and that many of these, perhaps one twice."""
        return [self.one(values) for _ in range(1 + self.below(most))]

    def chance(self, percent: int) -> bool:
        """True this often."""
        return self.below(100) >= 100 - percent

    def weighed(self, weights: dict[Value, int]) -> Value:
        """One of the keys, by their weights."""
        at = self.below(sum(weights.values()))
        for value, weight in weights.items():
            if at < weight:
                return value
            at -= weight
        raise AssertionError("the weights add up")
