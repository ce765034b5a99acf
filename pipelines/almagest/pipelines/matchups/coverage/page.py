"""Coverage as a page of HTML that needs nothing else: no script, no file, no network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from almagest.catalogue import land
from almagest.core.wording import counted
from almagest.pipelines.matchups.coverage import drawing
from almagest.pipelines.matchups.coverage.numbers import Cell, Coverage, Month, Pair, share

#: The fullest cells of a map that stand in a table, too.
_CELLS = 12
_LIVES = "(deprecated IS NULL OR deprecated = FALSE)"
_PREDICTED = '"matchup:predicted" = TRUE'
_SEEN = '("matchup:predicted" IS NULL OR "matchup:predicted" = FALSE)'


@dataclass(frozen=True)
class Places:
    """Where links of the page lead.

    Attributes:
        api: root of the STAC API, with a slash, or as the page has it ("": both are in one place).
        browser: root of STAC Browser, likewise.
        browsed: collections that it shows.
    """

    api: str
    browser: str = ""
    browsed: frozenset[str] = frozenset()

    def collection(self, identifier: str) -> str:
        """Where a collection is shown, or else read."""
        root = self.browser if identifier in self.browsed else self.api
        return f"{root}collections/{quote(identifier, safe='')}"

    def search(self, collection: str, within: Mapping[str, Any], *conditions: str, **more: str) -> str:
        """A search for items.

        Args:
            collection: of these items.
            within: `datetime` and `bbox` of a search, which is narrowed.
            conditions: all of them, in CQL2 text.
            more: parameters.
        """
        asked = {"collections": collection, **_spelt(within), **more}
        if conditions:
            asked["filter"] = " AND ".join(conditions)
        return f"{self.api}search?{urlencode(asked)}"

    def stale(self, collection: str) -> str:
        """What is out of date in a collection."""
        return f"{self.api}stale?{urlencode({'collection': collection})}"


def page(
    found: Coverage, places: Places, *, source: str = "", asks: Mapping[str, str] | None = None, problem: str = ""
) -> str:
    """The page.

    Args:
        found: what it shows.
        places: where its links lead.
        source: of which catalogue it is, and when.
        asks: what was asked for (`collections`, `datetime`, `bbox`), where there is somebody to ask; None: nobody is.
        problem: why nothing is shown, where what was asked for cannot be answered.
    """
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            pairs=[_Shown(pair, found.search, places) for pair in found.pairs],
            found=found,
            land=Markup(land.as_path()) if any(pair.cells for pair in found.pairs) else "",  # noqa: S704 (numbers)
            source=source,
            asks=asks,
            problem=problem,
            width=drawing.WIDTH,
        )
    )


class _Shown:
    """A pair as the template takes it."""

    def __init__(self, pair: Pair, search: Mapping[str, Any], places: Places) -> None:
        self.pair, self.names = pair, pair.names
        self._search, self._places = search, places
        self.chart = drawing.chart(pair.months)
        self.map = drawing.world(pair.cells)
        self.cells = pair.cells[:_CELLS]
        self.heading = " and ".join(platform for _, platform in pair.names.sensors) or pair.names.name

    @property
    def matchups_href(self) -> str:
        """All matchups."""
        return self._find() if self._search else self._places.collection(self.names.matchups or "")

    @property
    def events_href(self) -> str:
        """Those of which there are scenes, or all events."""
        events, told = self.names.events or "", self.pair.events
        if not self._search:
            return self._places.collection(events)
        # Where it is not told which are others, they are counted with these.
        conditions = [_LIVES] * (told.deprecated is not None) + [_SEEN] * (told.predicted is not None)
        return self._places.search(events, self._search, *conditions)

    @property
    def predicted_href(self) -> str:
        """Those that are to come, or all events."""
        events = self.names.events or ""
        if not self._search:
            return self._places.collection(events)
        return self._places.search(events, self._search, _LIVES, _PREDICTED)

    @property
    def compared_href(self) -> str:
        """Those of which there is a comparison."""
        return self._find('"assets.comparison:latest.href" IS NOT NULL')

    @property
    def stale_href(self) -> str:
        """What is out of date; none where only some of it is counted: it is listed whole alone."""
        return "" if self._search else self._places.stale(self.names.matchups or "")

    def month_href(self, month: Month) -> str:
        """Matchups that begin in a month."""
        year, number = int(month.month[:4]), int(month.month[5:])
        following = f"{year + number // 12:04d}-{number % 12 + 1:02d}"
        limits = [f"datetime >= TIMESTAMP('{month.month}-01T00:00:00Z')"]
        if year + number // 12 < 10_000:  # behind there is no time
            limits.append(f"datetime < TIMESTAMP('{following}-01T00:00:00Z')")
        return self._find(*limits)

    def cell_href(self, cell: Cell) -> str:
        """Matchups that meet a cell: some more than those whose middle is in it."""
        if "bbox" not in self._search:
            bounds = (cell.west, cell.south, cell.east, cell.north)
            return self._places.search(self.names.matchups or "", {**self._search, "bbox": bounds})
        # Both are met, each somewhere: what meets a box at its edge has its middle beyond, in a cell that does not.
        xs = (cell.west, cell.east, cell.east, cell.west, cell.west)
        ys = (cell.south, cell.south, cell.north, cell.north, cell.south)
        ring = ", ".join(f"{x:.7g} {y:.7g}" for x, y in zip(xs, ys, strict=True))
        return self._find(f"S_INTERSECTS(geometry, POLYGON(({ring})))")

    def _find(self, *conditions: str) -> str:
        return self._places.search(self.names.matchups or "", self._search, *conditions)


def _spelt(search: Mapping[str, Any]) -> dict[str, str]:
    return {
        name: value if isinstance(value, str) else ",".join(f"{number:.7g}" for number in value)
        for name, value in search.items()
    }


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("almagest.pipelines.matchups.coverage", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["count"] = lambda number: f"{number:,}"
    made.filters["counted"] = counted
    made.filters["units"] = lambda number: f"{number:.6g}"
    made.filters["box"] = drawing.box
    made.filters["share"] = share
    return made
