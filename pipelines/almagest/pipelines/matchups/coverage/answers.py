"""What a catalogue answers to aggregations, read with care: it may be anybody's."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from almagest.core.errors import AlmagestError
from almagest.pipelines.matchups.coverage.numbers import Cell

_MONTH = re.compile(r"(\d{4}-(?:0[1-9]|1[0-2]))-01T00:00:00(?:\.0+)?Z?")
#: Zoom, column and row.
Tile = tuple[int, int, int]

#: No catalogue holds more: a signed number of eight bytes.
_MOST = 2**63 - 1
_TILE = re.compile(r"(\d{1,2})/(\d{1,10})/(\d{1,10})")


class OddAnswerError(AlmagestError):
    """What is answered is no answer to what was asked."""


class Answer:
    """Aggregations by their names."""

    def __init__(self, aggregations: Sequence[Any]) -> None:
        """Args:
        aggregations: as the STAC API aggregation extension has them.
        """
        self._named: dict[str, Mapping[str, Any]] = {
            one["name"]: one for one in aggregations if isinstance(one, Mapping) and isinstance(one.get("name"), str)
        }

    def count(self, name: str) -> int:
        """A number of items."""
        return _whole(self._of(name).get("value"), name)

    def time(self, name: str) -> str | None:
        """A time; None where there are no items."""
        value = self._of(name).get("value")
        if not isinstance(value, str | None):
            raise OddAnswerError(f"The aggregation {name} is answered with something that is no time.")
        return value

    def counts(self, name: str) -> dict[str, int]:
        """How many items are in each bucket, by its key."""
        buckets = self._of(name).get("buckets")
        if not isinstance(buckets, list) or not all(isinstance(bucket, Mapping) for bucket in buckets):
            raise OddAnswerError(f"The aggregation {name} is answered without buckets.")
        return {str(bucket.get("key")): _whole(bucket.get("frequency"), name) for bucket in buckets}

    def months(self, name: str) -> dict[str, int]:
        """How many items each month has that has any, by its name (`2024-05`)."""
        found: dict[str, int] = {}
        for key, number in self.counts(name).items():
            month = _MONTH.fullmatch(key)
            if month is None:
                raise OddAnswerError(f"The aggregation {name} is answered with {key[:50]!r}, which is no month.")
            if number:
                found[month[1]] = number
        return found

    def cells(self, name: str, most: int) -> list[Cell]:
        """Tiles of the web map that hold any items; coarser ones, where there are more than so many."""
        tiles: Counter[Tile] = Counter()
        for key, number in self.counts(name).items():
            tiles[_tile(key, name)] += number
        tiles = +tiles
        while len(tiles) > most and min(zoom for zoom, _, _ in tiles) > 0:
            coarser: Counter[Tile] = Counter()
            for (zoom, x, y), number in tiles.items():
                coarser[zoom - 1, x // 2, y // 2] += number
            tiles = coarser
        return [_cell(*tile, number) for tile, number in tiles.items()]

    def _of(self, name: str) -> Mapping[str, Any]:
        if name not in self._named:
            raise OddAnswerError(f"The aggregation {name} is not answered.")
        return self._named[name]


def _whole(value: Any, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MOST:
        raise OddAnswerError(f"The aggregation {name} is answered with something that is no number of items.")
    return value


def _tile(key: str, name: str) -> Tile:
    parts = _TILE.fullmatch(key)
    zoom, x, y = map(int, parts.groups()) if parts else (0, 1, 1)
    if zoom > 30 or x >= 2**zoom or y >= 2**zoom:
        raise OddAnswerError(f"The aggregation {name} is answered with {key[:50]!r}, which is no tile.")
    return zoom, x, y


def _cell(zoom: int, x: int, y: int, number: int) -> Cell:
    tiles = 2**zoom
    west, east = (360 * side / tiles - 180 for side in (x, x + 1))
    # What is beyond the web map is counted in its first and last rows.
    north = 90.0 if y == 0 else _latitude(y / tiles)
    south = -90.0 if y == tiles - 1 else _latitude((y + 1) / tiles)
    return Cell(west, south, east, north, number)


def _latitude(share: float) -> float:
    return math.degrees(math.atan(math.sinh(math.pi * (1 - 2 * share))))
