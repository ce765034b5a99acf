"""Asks a catalogue for its coverage: by counting alone, however much there is.

`survey` is a generator of questions, which whoever runs it sends: over HTTP (`almagest coverage`), or within the
service that has the catalogue (its page).
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from almagest.core.errors import OverloadedError
from almagest.pipelines.matchups.coverage import drawing
from almagest.pipelines.matchups.coverage.answers import Answer
from almagest.pipelines.matchups.coverage.numbers import Coverage, Events, Month, Names, Pair
from almagest.pipelines.matchups.naming import EVENTS_PREFIX, sensors_said

Document = Mapping[str, Any]

#: So many that are stale are looked for, of one pair: as many as a catalogue tells at once.
MOST_STALE = 1000
#: Tiles of this zoom tell where something is at all; those on a map are the finer, the less of the world it shows.
_ZOOM, _FINEST = 6, 11
_MOST_CELLS = 1500
#: Up to this zoom they are counted beforehand. Of more matchups than these, others take too long to count.
_AT_HAND, _MOST_SCANNED = 7, 200_000
#: Longer times are of something that is wrong (200 years), and all that is empty in between says nothing.
_MOST_MONTHS = 2400

_TOTAL, _FIRST, _LAST, _OF = "total_count", "datetime_min", "datetime_max", "collection_frequency"
_MONTHS = "datetime_frequency"
_BY_MONTH = {f"{_MONTHS}_interval": "month"}
_GRID = "centroid_geotile_grid_frequency"

_DEPRECATED: Document = {"op": "=", "args": [{"property": "deprecated"}, True]}
_LIVES: Document = {
    "op": "or",
    "args": [
        {"op": "isNull", "args": [{"property": "deprecated"}]},
        {"op": "=", "args": [{"property": "deprecated"}, False]},
    ],
}
_PREDICTED: Document = {
    "op": "and",
    "args": [{"op": "=", "args": [{"property": "matchup:predicted"}, True]}, _LIVES],
}
#: Its href, which no collection says for all of its items.
_COMPARED: Document = {
    "op": "not",
    "args": [{"op": "isNull", "args": [{"property": "assets.comparison:latest.href"}]}],
}


@dataclass(frozen=True)
class Count:
    """To be answered with aggregations, as the STAC API aggregation extension has them.

    Attributes:
        search: body of a STAC item search.
        names: of aggregations.
        choices: how they are made.
        may_be_refused: some catalogues do not tell it; that is answered with None.
    """

    search: Document
    names: tuple[str, ...]
    choices: Document = field(default_factory=dict)
    may_be_refused: bool = False


@dataclass(frozen=True)
class Outdated:
    """To be answered with the ids of items that are made of what is another by now; None: it is not told.

    Attributes:
        collection: only of its items.
        most: so many at most.
    """

    collection: str
    most: int


#: Questions, whatever answers them, and what comes of it.
Survey = Generator[Count | Outdated, Any, Coverage]


def survey(
    collections: Iterable[Document],
    search: Document,
    *,
    among: Collection[str] = (),
    can_filter: bool = True,
    most: int | None = None,
    most_compared: int | None = None,
) -> Survey:
    """Asks for the coverage of each pair of sensors.

    Whoever has no more time throws OverloadedError: pairs that are known by then are told.

    Args:
        collections: all that there are, with id, title and summaries.
        search: `datetime` and `bbox` of a STAC item search, or nothing: of all time, everywhere.
        among: only pairs with one of these collections, of scenes, of matchups or of events; none: all.
        can_filter: the catalogue can filter what it counts; else it is not asked for what takes that.
        most: of so many pairs at most, those with most matchups.
        most_compared: of more matchups than these it is not asked which are compared; None: it always is.

    Raises:
        OverloadedError: there was no time for a single pair.
        OddAnswerError: what is answered is no answer.
    """
    pairs = [names for names in pairs_of(collections) if not among or not set(among).isdisjoint(_of(names))]
    everywhere = [identifier for names in pairs for identifier in (names.matchups, names.events) if identifier]
    events = [names.events for names in pairs if names.events]
    asks = _Asks(search, can_filter, most_compared)
    total = (yield from asks.each(everywhere)) or {}
    predicted = yield from asks.each(events, _PREDICTED)
    deprecated = yield from asks.each(events, _DEPRECATED)

    def of(names: Names) -> Events:
        told = [None if some is None else some.get(names.events or "", 0) for some in (predicted, deprecated)]
        return Events(max(0, total.get(names.events or "", 0) - sum(number or 0 for number in told)), *told)

    pairs.sort(key=lambda names: (-total.get(names.matchups or "", 0), -total.get(names.events or "", 0), names.name))
    found: list[Pair] = []
    try:
        for names in pairs[:most]:
            found.append((yield from asks.pair(names, of(names), is_empty=not total.get(names.matchups or "", 0))))
    except OverloadedError:
        if not found:
            raise
    return Coverage(tuple(found), dict(search), len(pairs) - len(found))


def pairs_of(collections: Iterable[Document]) -> list[Names]:
    """The pairs of sensors of which there are matchups or events, by name.

    A collection is one of matchups if it says of which sensors, or if there is one of their events beside it.
    """
    named = {str(document.get("id")): document for document in collections}
    found = []
    for name in sorted({identifier.removeprefix(EVENTS_PREFIX) for identifier in named if "-vs-" in identifier}):
        matchups, events = named.get(name), named.get(f"{EVENTS_PREFIX}{name}")
        sensors = tuple(sensors_said(matchups or {}) or sensors_said(events or {}))
        if sensors or events is not None:
            title = str((matchups or events or {}).get("title") or name)
            ids = (None if one is None else str(one["id"]) for one in (matchups, events))
            found.append(Names(name, sensors, title, *ids))
    return found


def _of(names: Names) -> set[str]:
    return {names.name, *(collection for collection, _ in names.sensors), *filter(None, (names.matchups, names.events))}


@dataclass(frozen=True)
class _Asks:
    """Asks within one search."""

    search: Document
    can_filter: bool
    most_compared: int | None

    def each(
        self, collections: Collection[str], condition: Document | None = None
    ) -> Generator[Count, Any, dict[str, int] | None]:
        """How many items some collections have; None: it is not told."""
        if not collections:
            return {}
        answer = yield from self._count({"collections": list(collections)}, (_OF,), condition=condition)
        return None if answer is None else answer.counts(_OF)

    def pair(self, names: Names, events: Events, *, is_empty: bool) -> Generator[Count | Outdated, Any, Pair]:
        """All of one pair."""
        coming: dict[str, int] = {}
        if events.predicted:
            answer = yield from self._count({"collections": [names.events]}, (_MONTHS,), condition=_PREDICTED)
            coming = answer.months(_MONTHS) if answer else {}
        if names.matchups is None or is_empty:
            months = _months({}, {}, {}, coming)
            return Pair(names, events, months=months)
        here = {"collections": [names.matchups]}
        answer = yield from self._count(here, (_TOTAL, _FIRST, _LAST, _MONTHS, _GRID), {f"{_GRID}_precision": _ZOOM})
        assert answer is not None
        total, cells = answer.count(_TOTAL), answer.cells(_GRID, _MOST_CELLS)
        compared = None
        if self.most_compared is None or total <= self.most_compared:
            compared = yield from self._count(here, (_TOTAL, _MONTHS), condition=_COMPARED)
        stale, has_more = yield from self._stale(names.matchups)
        if (zoom := min(drawing.zoom(cells), _FINEST if total <= _MOST_SCANNED else _AT_HAND)) > _ZOOM:
            finer = yield from self._count(here, (_GRID,), {f"{_GRID}_precision": zoom})
            cells = finer.cells(_GRID, _MOST_CELLS) if finer else cells
        return Pair(
            names,
            events,
            total,
            compared.count(_TOTAL) if compared else None,
            stale.count(_TOTAL) if stale else None,
            has_more,
            answer.time(_FIRST),
            answer.time(_LAST),
            _months(
                answer.months(_MONTHS),
                compared.months(_MONTHS) if compared else None,
                stale.months(_MONTHS) if stale and not has_more else None,
                coming if events.predicted is not None else None,
            ),
            tuple(sorted(cells, key=lambda cell: (-cell.matchups, cell.south, cell.west))),
        )

    def _stale(self, collection: str) -> Generator[Count | Outdated, Any, tuple[Answer | None, bool]]:
        ids: list[str] | None = yield Outdated(collection, MOST_STALE)
        if ids is None:
            return None, False
        if not ids:
            return Answer([{"name": _TOTAL, "value": 0}, {"name": _MONTHS, "buckets": []}]), False
        first = {"collections": [collection], "ids": ids}
        answer = yield from self._count(first, (_TOTAL, _MONTHS))
        return answer, len(ids) >= MOST_STALE

    def _count(
        self,
        where: Document,
        names: tuple[str, ...],
        choices: Document | None = None,
        condition: Document | None = None,
    ) -> Generator[Count, Any, Answer | None]:
        if condition is not None and not self.can_filter:
            return None
        search = {**self.search, **where}
        if condition is not None:
            search |= {"filter": condition, "filter-lang": "cql2-json"}
        by_month = _BY_MONTH if _MONTHS in names else {}
        answered = yield Count(search, names, {**(choices or {}), **by_month}, may_be_refused=condition is not None)
        return None if answered is None else Answer(answered)


def _months(
    matchups: Mapping[str, int],
    compared: Mapping[str, int] | None,
    stale: Mapping[str, int] | None,
    predicted: Mapping[str, int] | None,
) -> tuple[Month, ...]:
    """One after the other, from the first with anything to the last; where these are far apart, those with anything."""
    known = sorted({*matchups, *(predicted or {})})
    shown = _between(known[0], known[-1]) if known else []
    return tuple(
        Month(
            month,
            matchups.get(month, 0),
            *(None if some is None else some.get(month, 0) for some in (compared, stale, predicted)),
        )
        for month in (shown if len(shown) <= _MOST_MONTHS else known[-_MOST_MONTHS:])
    )


def _between(first: str, last: str) -> list[str]:
    begin, end = (12 * int(month[:4]) + int(month[5:]) - 1 for month in (first, last))
    return [f"{number // 12:04d}-{number % 12 + 1:02d}" for number in range(begin, end + 1)]
