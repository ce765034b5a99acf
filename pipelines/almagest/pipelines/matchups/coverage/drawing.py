"""Charts and maps of coverage, as numbers that an SVG is made of: what is where, in its units."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from almagest.core.wording import counted
from almagest.pipelines.matchups.coverage.numbers import Cell, Month

WIDTH = 560.0
_CHART_HEIGHT = 190.0
#: Beyond so many months, the bars of a chart are years.
_MOST_BARS = 240
_HIGHEST_MAP, _LOWEST_MAP = 320.0, 160.0
#: No map shows less [degrees].
_SMALLEST = 3.0
#: Steps of a graticule [degrees].
_STEPS = (0.5, 1, 2, 5, 10, 15, 30, 45, 60)
LEVELS = 5
_CELLS_ACROSS = 24
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True)
class Bar:
    """A month or a year of a chart, heights above its foot.

    Attributes:
        x: its left side.
        width: of it.
        matchups: height of all.
        compared: height of those that are compared.
        predicted: height of events to come.
        title: what it says.
    """

    x: float
    width: float
    matchups: float
    compared: float
    predicted: float
    title: str


@dataclass(frozen=True)
class Label:
    """A text, and where it stands."""

    at: float
    text: str


@dataclass(frozen=True)
class Chart:
    """Matchups over time.

    Attributes:
        height: of the bars.
        bars: in the order of time.
        scale: labels of heights, from the foot.
        times: labels of years or months, from the left.
    """

    height: float
    bars: tuple[Bar, ...]
    scale: tuple[Label, ...]
    times: tuple[Label, ...]


@dataclass(frozen=True)
class Tile:
    """A cell of a map, in degrees; `y` is south.

    Attributes:
        level: how full, from 1 to LEVELS.
    """

    x: float
    y: float
    width: float
    height: float
    level: int
    title: str


@dataclass(frozen=True)
class Map:
    """Matchups on a map, on which degrees are as long in both directions as they are in its middle.

    Attributes:
        height: of it; it is WIDTH wide.
        west: its left side [degrees]; it may go on beyond 180.
        north: its upper side [degrees].
        x_scale: units for a degree of longitude.
        y_scale: units for a degree of latitude.
        turns: where the world begins that is to be drawn [degrees].
        tiles: where something is.
        meridians: from the left, in units.
        parallels: from above, in units.
        legend: least and greatest number of each level that there is.
    """

    height: float
    west: float
    north: float
    x_scale: float
    y_scale: float
    turns: tuple[int, ...]
    tiles: tuple[Tile, ...]
    meridians: tuple[Label, ...]
    parallels: tuple[Label, ...]
    legend: tuple[tuple[int, int, int], ...]


def chart(months: Sequence[Month]) -> Chart | None:
    """Bars of months, or of years where there are many; None: there are none."""
    if not months:
        return None
    bins = list(months) if len(months) <= _MOST_BARS else _years(months)
    most = max(max(month.matchups, month.predicted or 0) for month in bins)
    step = _round_step(most)
    top = step * max(1, math.ceil(most / step))
    width = WIDTH / max(len(bins), 12)
    unit = _CHART_HEIGHT / top
    bars = tuple(
        Bar(
            number * width,
            width,
            month.matchups * unit,
            (month.compared or 0) * unit,
            (month.predicted or 0) * unit,
            _said(month),
        )
        for number, month in enumerate(bins)
    )
    scale = tuple(Label(value * unit, _short(value)) for value in range(0, top + 1, step))
    return Chart(_CHART_HEIGHT, bars, scale, tuple(_times([month.month for month in bins], width)))


def world(cells: Sequence[Cell]) -> Map | None:
    """A map of as much of the world as the cells lie in; None: there are none."""
    if not cells:
        return None
    begin, south, east, north = _bounds(cells)
    west, east = _wider(begin, east, 360.0)
    south, north = _wider(south, north, 180.0)
    south, north = max(-90.0, south), min(90.0, north)
    ratio = max(0.2, math.cos(math.radians((south + north) / 2)))
    # Where it would be too high or too flat, it shows more beside or above.
    if (height := WIDTH * (north - south) / ((east - west) * ratio)) > _HIGHEST_MAP:
        more = min((east - west) * (height / _HIGHEST_MAP - 1), 360 - (east - west))
        west, east = west - more / 2, east + more / 2
    elif height < _LOWEST_MAP:
        more = (north - south) * (_LOWEST_MAP / height - 1)
        south, north = max(-90.0, south - more / 2), min(90.0, north + more / 2)
    x_scale = WIDTH / (east - west)
    y_scale = x_scale / ratio
    most = max(cell.matchups for cell in cells)
    tiles = tuple(
        Tile(
            cell.west + 360 * (cell.west < begin),
            -cell.north,
            cell.east - cell.west,
            cell.north - cell.south,
            _level(cell.matchups, most),
            f"{counted(cell.matchups, 'matchup')}: {box(cell)}",
        )
        for cell in cells
    )
    return Map(
        (north - south) * y_scale,
        west,
        north,
        x_scale,
        y_scale,
        tuple(turn for turn in (-360, 0, 360) if turn + 180 > west and turn - 180 < east),
        tiles,
        tuple(Label((at - west) * x_scale, _longitude(at)) for at in _multiples(west, east, 7)),
        tuple(Label((north - at) * y_scale, _latitude(at)) for at in _multiples(south, north, 5)),
        tuple(_legend(cells, most)),
    )


def zoom(cells: Sequence[Cell]) -> int:
    """That of tiles of the web map of which so many lie side by side on the map of these as it shows well."""
    if not cells:
        return 0
    west, south, east, north = _bounds(cells)
    return math.floor(math.log2(360 * _CELLS_ACROSS / max(east - west, north - south)))


def _years(months: Sequence[Month]) -> list[Month]:
    found = []
    for year in sorted({month.month[:4] for month in months}):
        some = [month for month in months if month.month.startswith(year)]
        sums = (
            None if any(number is None for number in numbers) else sum(filter(None, numbers))
            for numbers in zip(*((month.compared, month.stale, month.predicted) for month in some), strict=True)
        )
        found.append(Month(year, sum(month.matchups for month in some), *sums))
    return found


def _said(month: Month) -> str:
    parts = [f"{month.month}: {counted(month.matchups, 'matchup')}"]
    parts += [f"{month.compared:,} compared"] if month.compared else []
    parts += [f"{month.stale:,} stale"] if month.stale else []
    parts += [f"{counted(month.predicted, 'event')} to come"] if month.predicted else []
    return ", ".join(parts)


def _round_step(most: int) -> int:
    """By which labels of heights rise, so that there are about four of them."""
    rough = max(1.0, most / 4)
    magnitude = 10 ** math.floor(math.log10(rough))
    return int(next(factor * magnitude for factor in (1, 2, 5, 10) if factor * magnitude >= rough))


def _short(number: int) -> str:
    for digits, sign in ((9, "G"), (6, "M"), (3, "k")):
        if number >= 10**digits:
            return f"{number / 10**digits:g}{sign}"
    return str(number)


def _times(names: Sequence[str], width: float) -> list[Label]:
    """Years where they begin, or all months where these are few; far enough from each other to be read."""
    if len(names) <= 12 and len(names[0]) > 4:
        texts = [(place, _MONTHS[int(name[5:]) - 1], name[:4]) for place, name in enumerate(names)]
        return [
            Label((place + 0.5) * width, text if place and text != "Jan" else f"{text} {year}")
            for place, text, year in texts
        ]
    years = [(place, name[:4]) for place, name in enumerate(names) if len(name) == 4 or name.endswith("-01")]
    every = max(1, math.ceil(len(years) * 48 / WIDTH))
    return [Label((place + 0.5) * width, year) for place, year in years if int(year) % every == 0]


def _bounds(cells: Sequence[Cell]) -> tuple[float, float, float, float]:
    """West, south, east and north of all; east may be beyond 180."""
    west = _after_widest_gap(cells)
    east = max(cell.east + 360 * (cell.west < west) for cell in cells)
    return west, min(cell.south for cell in cells), east, max(cell.north for cell in cells)


def _after_widest_gap(cells: Sequence[Cell]) -> float:
    """The longitude from which on everything lies, so that the emptiest part of the world is beyond the map."""
    sides = sorted((cell.west, cell.east) for cell in cells)
    start, widest, reached = sides[0][0], sides[0][0] + 360 - max(east for _, east in sides), sides[0][1]
    for west, east in sides[1:]:
        if west - reached > widest:
            start, widest = west, west - reached
        reached = max(reached, east)
    return start


def _wider(low: float, high: float, whole: float) -> tuple[float, float]:
    """With some room on both sides."""
    room = max(0.08 * (high - low), (_SMALLEST - (high - low)) / 2)
    room = min(room, max(0.0, (whole - (high - low)) / 2))
    return low - room, high + room


def _level(number: int, most: int) -> int:
    """By the logarithm: much may lie in few cells."""
    return 1 if most <= 1 else min(LEVELS, 1 + int(LEVELS * math.log(number) / math.log(most)))


def _legend(cells: Sequence[Cell], most: int) -> list[tuple[int, int, int]]:
    found: dict[int, list[int]] = {}
    for cell in cells:
        found.setdefault(_level(cell.matchups, most), []).append(cell.matchups)
    return [(level, min(numbers), max(numbers)) for level, numbers in sorted(found.items())]


def box(cell: Cell) -> str:
    """Where a cell lies, for people."""
    return f"{_longitude(cell.west)} to {_longitude(cell.east)}, {_latitude(cell.south)} to {_latitude(cell.north)}"


def _multiples(low: float, high: float, most: int) -> list[float]:
    """Round numbers between two, about so many at most."""
    step = next((step for step in _STEPS if (high - low) / step <= most), _STEPS[-1])
    return [step * number for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _longitude(degrees: float) -> str:
    within = (degrees + 180) % 360 - 180
    return f"{abs(within):.4g}°{'E' if within > 0 else 'W' if -180 < within < 0 else ''}"


def _latitude(degrees: float) -> str:
    return f"{abs(degrees):.4g}°{'N' if degrees > 0 else 'S' if degrees < 0 else ''}"
