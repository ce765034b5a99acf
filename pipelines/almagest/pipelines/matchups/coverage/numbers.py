"""What is told of each pair of sensors. A number that the catalogue does not tell is None."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Month:
    """What began in a month of UTC.

    Attributes:
        month: `2024-05`.
        matchups: that began in it.
        compared: those of them of which there is a comparison.
        stale: those that are made of scenes which are others by now.
        predicted: events that are to come.
    """

    month: str
    matchups: int
    compared: int | None
    stale: int | None
    predicted: int | None


@dataclass(frozen=True)
class Cell:
    """Matchups whose middle lies between these sides [degrees]."""

    west: float
    south: float
    east: float
    north: float
    matchups: int


@dataclass(frozen=True)
class Names:
    """What a pair of sensors is called.

    Attributes:
        name: of the combination, which is the id of the collection of matchups, if there is one.
        sensors: collection and platform of each; none where nobody says so.
        title: of the collection.
        matchups: collection of matchups; None: there is none.
        events: collection of events; None: there is none.
    """

    name: str
    sensors: tuple[tuple[str, str], ...]
    title: str
    matchups: str | None
    events: str | None


@dataclass(frozen=True)
class Events:
    """Events, each of one of these.

    Attributes:
        seen: of which there are scenes.
        predicted: that are to come, or whose scenes have not come yet.
        deprecated: that have become part of others.
    """

    seen: int = 0
    predicted: int | None = 0
    deprecated: int | None = 0


@dataclass(frozen=True)
class Pair:
    """Two sensors and their matchups.

    Attributes:
        names: what they are called.
        events: in all.
        matchups: in all.
        compared: those of which there is a comparison.
        stale: those that are made of scenes which are others by now, or have gone.
        has_more_stale: there may be more of these, only so many were looked for.
        start: when the first matchup begins.
        end: when the last one begins.
        months: in the order of time; none without anything.
        cells: of a grid, none empty.
    """

    names: Names
    events: Events = Events()
    matchups: int = 0
    compared: int | None = 0
    stale: int | None = 0
    has_more_stale: bool = False
    start: str | None = None
    end: str | None = None
    months: tuple[Month, ...] = ()
    cells: tuple[Cell, ...] = ()


@dataclass(frozen=True)
class Coverage:
    """What a catalogue holds.

    Attributes:
        pairs: those with most matchups first.
        search: which items were counted: `datetime` and `bbox` of a STAC item search, both or none of them.
        left_out: how many pairs with fewer matchups were not looked at.
    """

    pairs: tuple[Pair, ...]
    search: Mapping[str, Any]
    left_out: int = 0

    def as_json(self) -> dict[str, Any]:
        """As `almagest coverage --json` prints it."""
        return {
            "datetime": self.search.get("datetime"),
            "bbox": self.search.get("bbox"),
            "pairs": [_pair(pair) for pair in self.pairs],
            "left_out": self.left_out,
        }


def share(part: int, whole: int) -> str:
    """A part of something, for people; none and all are told from nearly so."""
    percent = 100 * part / whole
    if 0 < percent < 1:
        return "<1%"
    return ">99%" if 99 < percent < 100 else f"{percent:.0f}%"


def _pair(pair: Pair) -> dict[str, Any]:
    return {
        "pair": pair.names.name,
        "title": pair.names.title,
        "sensors": [{"collection": collection, "platform": platform} for collection, platform in pair.names.sensors],
        "collections": {"matchups": pair.names.matchups, "events": pair.names.events},
        "events": asdict(pair.events),
        "matchups": {
            "total": pair.matchups,
            "compared": pair.compared,
            "stale": pair.stale,
            "has_more_stale": pair.has_more_stale,
        },
        "start": pair.start,
        "end": pair.end,
        "months": [asdict(month) for month in pair.months],
        "cells": [
            {"bbox": [cell.west, cell.south, cell.east, cell.north], "matchups": cell.matchups} for cell in pair.cells
        ],
    }
