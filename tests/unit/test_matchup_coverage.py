"""Coverage of matchups, from what a catalogue answers to the page that shows it."""

from __future__ import annotations

import asyncio
import io
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, unquote_plus

import httpx
import pytest
from fastapi import FastAPI
from typer.testing import CliRunner

from almagest.cli import coverage as command
from almagest.core.errors import AlmagestError, BadRequestError, DatabaseUnavailableError, OverloadedError
from almagest.pipelines.matchups.coverage import drawing
from almagest.pipelines.matchups.coverage.answers import Answer, OddAnswerError
from almagest.pipelines.matchups.coverage.drawing import WIDTH
from almagest.pipelines.matchups.coverage.numbers import Cell, Coverage, Events, Month, Names, Pair, share
from almagest.pipelines.matchups.coverage.page import Places, page
from almagest.pipelines.matchups.coverage.survey import Count, Outdated, _months, pairs_of, survey
from almagest.services.stac import coverage as serving
from almagest.services.stac.coverage import Covering
from almagest.services.web import unchanged

Document = dict[str, Any]

HOSTILE = "\"><script>alert(1)</script><img src=x onerror=alert(1)>'&"
VOID = {"meta", "link", "input", "br", "img"}


def described(identifier: str, *sensors: tuple[str, str], title: str | None = None) -> Document:
    collections, platforms = ([sensor[place] for sensor in sensors] for place in (0, 1))
    summaries = {"matchup:collections": collections, "matchup:platforms": platforms} if sensors else {}
    return {"id": identifier, "title": title, "summaries": summaries}


A, B = ("a", "A"), ("b", "B")
PAIR = [described("a-A-vs-b-B", A, B), described("matchup-events-a-A-vs-b-B", A, B)]


def answered(question: Count | Outdated, counts: Mapping[str, int], *, filtered: bool, tile: str) -> Any:
    """As a catalogue would answer in which all is of May 2024, in one place."""
    if isinstance(question, Outdated):
        return [f"m{number}" for number in range(min(question.most, counts["stale"]))]
    if "filter" in question.search and not filtered:
        assert question.may_be_refused
        return None
    kind = next((kind for kind in ("predicted", "comparison", "deprecated") if kind in str(question.search)), "")
    number = len(question.search["ids"]) if "ids" in question.search else counts[kind]
    months = [{"key": "2024-05-01T00:00:00.000Z", "frequency": number}]
    zoom = question.choices.get("centroid_geotile_grid_frequency_precision")
    return [
        {"name": "total_count", "value": number},
        {"name": "datetime_min", "value": "2024-05-03T00:00:00Z"},
        {"name": "datetime_max", "value": "2024-05-04T00:00:00Z"},
        {"name": "datetime_frequency", "buckets": months},
        {"name": "centroid_geotile_grid_frequency", "buckets": [{"key": f"{zoom}/{tile}", "frequency": number}]},
        {
            "name": "collection_frequency",
            "buckets": [{"key": name, "frequency": number} for name in question.search["collections"]],
        },
    ]


def told(
    collections: list[Document],
    counts: Mapping[str, int],
    *,
    filtered: bool = True,
    tile: str = "1/1",
    asked: list[Count | Outdated] | None = None,
    **options: Any,
) -> Coverage:
    asking = survey(collections, {}, **options)
    answer: Any = None
    while True:
        try:
            question = asking.send(answer)
        except StopIteration as ended:
            return ended.value  # type: ignore[no-any-return]
        if asked is not None:
            asked.append(question)
        answer = answered(question, counts, filtered=filtered, tile=tile)


COUNTS = {"": 40, "comparison": 7, "predicted": 3, "deprecated": 2, "stale": 5}


def test_what_is_answered_becomes_numbers() -> None:
    (pair,) = told(PAIR, COUNTS).pairs
    assert pair.events == Events(seen=35, predicted=3, deprecated=2)
    assert (pair.matchups, pair.compared, pair.stale, pair.has_more_stale) == (40, 7, 5, False)
    assert pair.months == (Month("2024-05", 40, 7, 5, 3),)
    assert (pair.start, pair.end) == ("2024-05-03T00:00:00Z", "2024-05-04T00:00:00Z")


def test_what_a_catalogue_refuses_or_cannot_do_is_not_told_and_not_zero() -> None:
    for can_filter in (True, False):
        (pair,) = told(PAIR, COUNTS, filtered=False, can_filter=can_filter).pairs
        assert (pair.events, pair.compared) == (Events(40, None, None), None)
        assert pair.months == (Month("2024-05", 40, None, 5, None),)
    asked: list[Count | Outdated] = []
    told(PAIR, COUNTS, can_filter=False, asked=asked)
    assert not [question for question in asked if isinstance(question, Count) and "filter" in question.search]


def test_nothing_is_asked_where_there_is_nothing_and_no_empty_list_of_collections() -> None:
    """To a search, a list of no collections means all of them."""
    asked: list[Count | Outdated] = []
    assert told([], COUNTS, asked=asked).pairs == ()
    assert told([described("scenes")], COUNTS, asked=asked).pairs == ()
    assert asked == []
    (pair,) = told(PAIR[:1], COUNTS, asked=asked).pairs
    assert pair.events == Events(0, 0, 0)
    (pair,) = told(PAIR[1:], COUNTS, asked=asked).pairs
    assert (pair.matchups, pair.names.matchups, pair.months) == (0, None, (Month("2024-05", 0, 0, 0, 3),))
    assert all(question.search["collections"] for question in asked if isinstance(question, Count))


def test_a_pair_is_what_says_so_or_has_events_beside_it() -> None:
    found = pairs_of(
        [*PAIR, described("notes-vs-code"), described("c-C-vs-d-D"), described("matchup-events-c-C-vs-d-D", title="CD")]
    )
    assert [(names.name, names.sensors) for names in found] == [("a-A-vs-b-B", (A, B)), ("c-C-vs-d-D", ())]
    assert (found[1].title, found[1].events) == ("c-C-vs-d-D", "matchup-events-c-C-vs-d-D")
    odd = [{"id": "x-vs-y", "summaries": {"matchup:collections": "x", "matchup:platforms": [1]}}, {"id": 3}]
    assert pairs_of(odd) == []


def test_only_so_many_pairs_are_looked_at_and_only_those_of_some_collections() -> None:
    more = [described(f"a-A-vs-{name}", A, (name, "X")) for name in "cde"]
    found = told([*PAIR, *more], COUNTS, most=2)
    assert (len(found.pairs), found.left_out) == (2, 2)
    assert [pair.names.name for pair in told([*PAIR, *more], COUNTS, among=["d"]).pairs] == ["a-A-vs-d"]
    assert len(told([*PAIR, *more], COUNTS, among=["a"]).pairs) == 4
    assert [p.names.name for p in told([*PAIR, *more], COUNTS, among=[PAIR[1]["id"]]).pairs] == ["a-A-vs-b-B"]


def test_where_there_is_little_cells_are_finer() -> None:
    def zooms(total: int) -> list[int]:
        asked: list[Count | Outdated] = []
        told(PAIR, {**COUNTS, "": total}, asked=asked)
        choices = [question.choices for question in asked if isinstance(question, Count)]
        return [choice[name] for choice in choices for name in choice if name.endswith("precision")]

    assert zooms(40) == [6, 10], "one tile, of 5.6 degrees"
    assert zooms(1_000_000) == [6, 7], "which is counted beforehand"


BUCKETS: list[Callable[[Document], Any]] = [
    lambda good: [],
    lambda good: [None],
    lambda good: [{**good, "buckets": None}],
    lambda good: [{**good, "buckets": [3]}],
    lambda good: [{**good, "buckets": [{"key": "2024-05-01T00:00:00Z", "frequency": "4"}]}],
    lambda good: [{**good, "buckets": [{"key": "2024-05-01T00:00:00Z", "frequency": -1}]}],
    lambda good: [{**good, "buckets": [{"key": "2024-05-01T00:00:00Z", "frequency": 2**63}]}],
    lambda good: [{**good, "name": ["n"]}],
    lambda good: [{**good, "buckets": [{"key": "2024-13-01T00:00:00Z", "frequency": 1}]}],
    lambda good: [{**good, "buckets": [{"key": "2024-05-02T00:00:00Z", "frequency": 1}]}],
]


@pytest.mark.parametrize("spoilt", BUCKETS)
def test_an_answer_that_is_none_is_told_from_one_that_is(spoilt: Callable[[Document], Any]) -> None:
    good = {"name": "n", "buckets": [{"key": "2024-05-01T00:00:00Z", "frequency": 4}]}
    assert Answer([good]).months("n") == {"2024-05": 4}
    with pytest.raises(OddAnswerError):
        Answer(spoilt(good)).months("n")


@pytest.mark.parametrize("key", ["", "1/2", "1/2/0", "1/0/2", "99/0/0", "a/b/c", "-1/0/0"])
def test_a_tile_that_is_none_is_refused(key: str) -> None:
    with pytest.raises(OddAnswerError):
        Answer([{"name": "n", "buckets": [{"key": key, "frequency": 1}]}]).cells("n", 10)


def test_tiles_lie_where_the_web_map_has_them_and_merge_without_loss() -> None:
    buckets = [{"key": f"3/{x}/{y}", "frequency": 1 + x} for x in range(8) for y in range(8)]
    answer = Answer([{"name": "n", "buckets": buckets}])
    (corner,) = (cell for cell in answer.cells("n", 64) if cell.west == -180 and cell.north == 90)
    assert (corner.east, corner.matchups) == (-135, 1)
    assert corner.south == pytest.approx(79.171, abs=1e-3)
    assert len(answer.cells("n", 63)) == 16
    for most in (64, 63, 10, 1):
        cells = answer.cells("n", most)
        assert len(cells) <= most
        assert sum(cell.matchups for cell in cells) == 8 * sum(range(1, 9))


def month(name: str, matchups: int = 1, **more: int | None) -> Month:
    return Month(name, matchups, **{"compared": 0, "stale": 0, "predicted": 0, **more})  # type: ignore[arg-type]


def test_bars_are_as_high_as_what_they_stand_for() -> None:
    chart = drawing.chart([month("2024-01", 30, compared=10), month("2024-02", 0, predicted=15)])
    assert chart is not None
    first, second = chart.bars
    assert first.compared / first.matchups == pytest.approx(1 / 3)
    assert (second.matchups, second.predicted / first.matchups) == (0, pytest.approx(0.5))
    assert first.matchups <= chart.height == chart.scale[-1].at
    assert [label.text for label in chart.scale] == ["0", "10", "20", "30"]
    assert first.title == "2024-01: 30 matchups, 10 compared"
    assert second.title == "2024-02: 0 matchups, 15 events to come"
    assert [label.text for label in chart.times] == ["Jan 2024", "Feb"]
    assert drawing.chart([]) is None


def test_nearly_none_and_nearly_all_are_told_from_none_and_all() -> None:
    told = [share(part, 1000) for part in (0, 1, 15, 500, 995, 999, 1000)]
    assert told == ["0%", "<1%", "2%", "50%", ">99%", ">99%", "100%"]


def test_of_very_many_months_bars_are_years() -> None:
    months = [month(f"{1990 + n // 12}-{1 + n % 12:02d}", 2, compared=None) for n in range(300)]
    chart = drawing.chart(months)
    assert chart is not None
    assert len(chart.bars) == 25
    assert chart.bars[0].title == "1990: 24 matchups"
    assert max(bar.x + bar.width for bar in chart.bars) == pytest.approx(WIDTH)


@pytest.mark.parametrize(
    "cells",
    [
        [Cell(175, -20, 180, -15, 3), Cell(-180, -20, -175, -15, 9)],
        [Cell(-180, 85, 180, 90, 1)],
        [Cell(7, 46, 7.1, 46.1, 1)],
        [Cell(west, south, west + 10, south + 10, 5) for west in range(-180, 180, 10) for south in range(-90, 90, 10)],
        [Cell(10, -80, 11, 80, 2)],
    ],
    ids=["antimeridian", "pole", "spot", "world", "strip"],
)
def test_a_map_shows_all_cells_and_no_more_than_the_world(cells: list[Cell]) -> None:
    shown = drawing.world(cells)
    assert shown is not None
    south = shown.north - shown.height / shown.y_scale
    assert 160 - 1e-6 <= shown.height <= 321 or south <= -89.9 or shown.north >= 89.9
    assert WIDTH / shown.x_scale <= 360 + 1e-9
    for tile in shown.tiles:
        assert (tile.x - shown.west) * shown.x_scale >= 0
        assert (tile.x + tile.width - shown.west) * shown.x_scale <= WIDTH + 1e-6
        assert -shown.north <= tile.y + 1e-9
        assert tile.y + tile.height <= -south + 1e-9
    assert all(0 <= label.at <= WIDTH + 1e-9 for label in shown.meridians)


def test_what_lies_on_both_sides_of_the_antimeridian_is_shown_together() -> None:
    shown = drawing.world([Cell(170, -20, 180, -15, 3), Cell(-180, -20, -175, -15, 9)])
    assert shown is not None
    assert WIDTH / shown.x_scale < 40
    assert [label.text for label in shown.meridians if label.text.startswith("180")] == ["180°"]
    assert shown.legend == ((3, 3, 3), (5, 9, 9))
    assert drawing.world([]) is None
    # So its cells are as fine as they would be elsewhere.
    assert (
        drawing.zoom([Cell(174, 0, 180, 5, 1), Cell(-180, 0, -174, 5, 1)]) == drawing.zoom([Cell(0, 0, 12, 5, 1)]) == 9
    )


class Read(HTMLParser):
    """Elements of a page, which must fit into each other."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def all(self, tag: str, name: str) -> list[str]:
        return [attributes.get(name) or "" for found, attributes in self.found if found == tag]


def pair(name: str = "a-A-vs-b-B", *, platform: str = "A", compared: int | None = 4) -> Pair:
    names = Names(name, ((name, platform), B), name, name, f"matchup-events-{name}")
    months = (Month("2023-12", 10, compared, 1, 0), Month("2024-01", 0, compared and 0, 0, 2))
    cells = (Cell(10, 45, 11, 46, 10),)
    return Pair(names, Events(3, 2, 1), 10, compared, 1, False, "2023-12-01T00:00:00Z", None, months, cells)


def test_nothing_that_others_wrote_becomes_a_part_of_the_page() -> None:
    found = Coverage((pair(HOSTILE, platform=HOSTILE),), {"datetime": HOSTILE})
    plain = Read(page(Coverage((pair(),), {"datetime": "2024"}), Places("")))
    for asks in (None, {"collections": HOSTILE, "datetime": HOSTILE, "bbox": HOSTILE}):
        read = Read(page(found, Places(f"https://host/{HOSTILE}/"), source=HOSTILE, asks=asks))
        tags = {tag for tag, _ in read.found} - {"form", "label", "input", "button"}
        assert tags <= {tag for tag, _ in plain.found} | {"p"}
        assert not [name for _, attributes in read.found for name in attributes if name.startswith("on")]
        assert all(href.startswith(("#", "https://host/")) for href in read.all("a", "href"))


def test_the_page_needs_nothing_else_and_says_all_in_words_too() -> None:
    text = page(Coverage((pair(), pair("c-vs-d", compared=None)), {}), Places("https://host/api/"))
    read = Read(text)
    assert not re.search(r"\b(src|srcset|xlink:href|@import|url\()\b", text)
    assert not {"script", "link", "img", "iframe", "object"} & {tag for tag, _ in read.found}
    ids = [attributes["id"] for _, attributes in read.found if "id" in attributes]
    assert len(ids) == len(set(ids))
    pictures = [attributes for tag, attributes in read.found if tag == "svg" and attributes.get("role") == "img"]
    assert len(pictures) == 4
    for picture in pictures:
        assert set(str(picture["aria-labelledby"]).split()) <= set(ids)
    assert {href[1:] for href in read.all("a", "href") if href.startswith("#")} <= set(ids)
    assert '<td class="n">–</td>' not in text, "a dash says what it means"
    assert text.count("This catalogue does not tell") >= 2
    december = next(href for href in read.all("a", "href") if "2023-12-01" in href)
    assert "2024-01-01T00%3A00%3A00Z" in december, "the month behind December is in the next year"


def test_of_months_nothing_is_shown_that_is_not_told() -> None:
    for compared, columns in ((4, ["Month", "Matchups", "Compared", "Stale", "Events to come"]), (None, None)):
        text = page(Coverage((pair(compared=compared),), {}), Places(""))
        (_, months, _) = re.findall(r"<table>.*?</table>", text, re.DOTALL)
        head, *rows = re.findall(r"<tr>.*?</tr>", months)
        told = re.findall(r"<th[^>]*>([^<]*)", head)
        assert told == (columns or ["Month", "Matchups", "Stale", "Events to come"])
        assert {row.count("<t") - 1 for row in rows} == {len(told)}


def test_links_lead_to_the_browser_where_it_shows_the_same() -> None:
    found = Coverage((pair("a/b-vs-c"),), {})
    hrefs = Read(page(found, Places("", "../", frozenset({"a/b-vs-c"})))).all("a", "href")
    assert "../collections/a%2Fb-vs-c" in hrefs
    assert "collections/matchup-events-a%2Fb-vs-c" in hrefs
    assert "stale?collection=a%2Fb-vs-c" in hrefs
    (compared,) = {href for href in hrefs if "comparison" in href}
    assert compared.startswith("search?collections=a%2Fb-vs-c&filter=")


def test_links_of_a_part_lead_to_no_more_than_that_part() -> None:
    """A number that was counted within a box and a time is not that of a collection."""
    search = {"bbox": [10, 45, 10.5, 45.5], "datetime": "2024-01-01T00:00:00Z/.."}
    for part in (search, {"bbox": search["bbox"]}, {"datetime": search["datetime"]}):
        read = Read(page(Coverage((pair(),), part), Places("", "../", frozenset({"a-A-vs-b-B"}))))
        hrefs = [href for href in read.all("a", "href") if not href.startswith("#")]
        assert {href.partition("?")[0] for href in hrefs} == {"search"}
        for href in hrefs:
            asked = parse_qs(href.partition("?")[2])
            if "bbox" in part:
                assert asked["bbox"] == ["10,45,10.5,45.5"]
            if "datetime" in part:
                assert asked["datetime"] == [search["datetime"]]
        (cell,) = (href for href in hrefs if "POLYGON" in href or "bbox=10%2C45%2C11%2C46" in href)
        assert ("POLYGON((10 45, 11 45, 11 46, 10 46, 10 45))" in unquote_plus(cell)) == ("bbox" in part)
    untold = replace(pair(), events=Events(5, None, None))
    (events,) = {
        href
        for href in Read(page(Coverage((untold,), search), Places(""))).all("a", "href")
        if "matchup-events" in href
    }
    assert "filter" not in events
    last = replace(pair(), months=(Month("9999-12", 1, 0, 0, 0),))
    assert "10000-" not in page(Coverage((last,), {}), Places(""))


def test_where_there_is_nothing_the_page_says_what_would_bring_something() -> None:
    assert "almagest find" in page(Coverage((), {}), Places(""))
    assert "at other times" in page(Coverage((), {"datetime": "2024"}), Places(""))


def test_a_terminal_gets_bars_that_it_can_show(monkeypatch: pytest.MonkeyPatch) -> None:
    months = tuple(month(f"2024-{number:02d}", number % 8, compared=None) for number in range(1, 13))
    found = Pair(Names("a-vs-b\x1b[2J", (), "t", "x", None), matchups=38, compared=None, months=months)
    lines = [*command._by_year(found)]
    assert lines[-1] == "2024  ▂▃▄▅▆▇█·▂▃▄▅  38"
    assert "\x1b" not in "".join(lines)
    monkeypatch.setattr(command, "_can_print", lambda _: False)
    assert [*command._by_year(found)][-1] == "2024  :-=+*%# :-=+  38"
    assert command._share(None, 3) == "-"


def test_a_terminal_that_knows_few_letters_gets_the_rest_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard output raises at a letter that it does not know: nothing would be told of any pair."""
    names = Names("é-vs-b", (), "t", "x", None)
    months = (month("2024-01", 3),)
    found = Pair(names, matchups=1001, stale=1000, has_more_stale=True, start="2024-01-é", months=months)
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii", write_through=True))
    command._tell(Coverage((found,), {}))
    printed = raw.getvalue().decode()
    assert ">= 1,000 (>99%)" in printed
    assert "\n?-vs-b, matchups by month" in printed


def test_a_month_that_is_wrong_does_not_hide_those_that_are_right() -> None:
    """From 2024 to 9999 are more months than anybody shows: those at the end alone were empty but for one."""
    shown = _months({"2024-05": 5, "2024-07": 1, "9999-12": 1}, {"2024-05": 2}, None, {"2024-06": 4})
    assert [(month.month, month.matchups, month.predicted) for month in shown] == [
        ("2024-05", 5, 0),
        ("2024-06", 0, 4),
        ("2024-07", 1, 0),
        ("9999-12", 1, 0),
    ]
    assert [month.month for month in _months({"2024-05": 5, "2024-07": 1}, {}, None, None)] == [
        "2024-05",
        "2024-06",
        "2024-07",
    ], "else there are no gaps"
    everything = {f"{year:04d}-{number:02d}": 1 for year in range(1, 1000) for number in range(1, 13)}
    assert len(_months(everything, {}, None, None)) == 2400
    assert drawing.chart(shown) is not None


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        ("2024-05-01", "2024-05-01T00:00:00Z/2024-05-01T23:59:59.999999Z"),
        ("2024-01-01/2024-12-31", "2024-01-01T00:00:00Z/2024-12-31T23:59:59.999999Z"),
        ("2024-01-01T06:00:00Z/..", "2024-01-01T06:00:00Z/.."),
        ("/2024-01-01T06:00:00+02:00", "../2024-01-01T04:00:00Z"),
    ],
)
def test_a_day_stands_for_all_of_it(said: str, asked: str) -> None:
    assert command._interval(said) == asked


def test_help_has_an_example() -> None:
    from almagest.cli.commands import app

    assert "almagest coverage" in CliRunner().invoke(app, ["coverage", "--help"]).output


class Away:
    """A pool without a database behind it, or of one that is asked too much."""

    def __init__(self, error: AlmagestError) -> None:
        self._error = error

    def connection(self) -> Any:
        raise self._error


def covering(pool: Any = None, spoil: Callable[[Count], Any] = lambda _: None, *, others: int = 0) -> Covering:
    """A catalogue of a pair and some others, which does something before it answers a question."""

    async def named(_: str) -> list[Document]:
        return [*PAIR, *(described(f"a-A-vs-x{number}", A, (f"x{number}", "X")) for number in range(others))]

    async def aggregate(search: Document, names: list[str], choices: Document, _: None) -> Any:
        question = Count(search, tuple(names), choices)
        if (waits := spoil(question)) is not None:
            await waits
        return answered(question, COUNTS, filtered=True, tile="1/1")

    aggregator = SimpleNamespace(catalogue=SimpleNamespace(named=named), aggregate=aggregate, pool=pool)
    return Covering(aggregator, "http://host", is_inside=pool is not None)  # type: ignore[arg-type]


@pytest.mark.parametrize("error", [DatabaseUnavailableError(), OverloadedError()])
def test_a_page_says_what_it_can_when_what_is_stale_cannot_be_told_now(error: AlmagestError) -> None:
    """After many matchups were found, it is a while until it is noted what they are made of: the rest is told."""
    look = asyncio.run(covering(Away(error)).look({}, []))
    (pair,) = look.coverage.pairs
    assert (pair.matchups, pair.compared, pair.stale, look.is_whole) == (40, 7, None, False)
    look = asyncio.run(covering().look({}, []))
    assert (look.coverage.pairs[0].stale, look.is_whole) == (None, True), "outsiders are never told"


@pytest.mark.parametrize(
    ("error", "may_be_refused", "left_out"),
    [
        (BadRequestError("no"), True, "for ever"),
        (OverloadedError(), True, "for now"),
        (BadRequestError("no"), False, None),
        (OverloadedError(), False, None),
        (DatabaseUnavailableError(), True, None),
    ],
)
def test_only_what_may_be_refused_is_left_out(error: AlmagestError, may_be_refused: bool, left_out: str | None) -> None:
    def spoil(question: Count) -> None:
        if ("comparison" in str(question.search)) if may_be_refused else ("total_count" in question.names):
            raise error

    asking = covering(spoil=spoil).look({}, [])
    if left_out is None:
        with pytest.raises(type(error)):
            asyncio.run(asking)
    else:
        look = asyncio.run(asking)
        assert (look.coverage.pairs[0].compared, look.is_whole) == (None, left_out == "for ever")


def test_a_page_ends_in_time_and_counts_the_pairs_that_it_has_not_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    """Statements have a limit each; without one for all of them a page would hold a connection for many minutes."""
    monkeypatch.setattr(serving, "_PATIENCE_S", 0.2)

    def stuck_at(identifier: str) -> Callable[[Count], Any]:
        return lambda question: asyncio.sleep(60) if question.search["collections"] == [identifier] else None

    look = asyncio.run(covering(spoil=stuck_at("a-A-vs-x1"), others=4).look({}, []))
    assert ([pair.names.name for pair in look.coverage.pairs], look.coverage.left_out) == (
        ["a-A-vs-b-B", "a-A-vs-x0"],
        3,
    )
    assert not look.is_whole
    with pytest.raises(OverloadedError):  # and not a page that says that there is nothing
        asyncio.run(covering(spoil=stuck_at("a-A-vs-b-B"), others=4).look({}, []))


def test_a_page_does_not_read_through_very_many_matchups_for_those_that_are_compared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for most, told_of in ((40, 7), (39, None)):
        monkeypatch.setattr(serving, "_MOST_SCANNED", most)
        look = asyncio.run(covering().look({}, []))
        assert (look.coverage.pairs[0].compared, look.is_whole) == (told_of, True)
    assert told(PAIR, {**COUNTS, "": 10_000_000}).pairs[0].compared == 7, "the command waits"


def test_a_page_that_lacks_something_for_now_is_not_sent_again_and_a_whole_one_is() -> None:
    """No commit tells that there is time again, or that what is stale is noted: the epoch stays."""
    asked, is_busy = [], True

    def spoil(question: Count) -> None:
        if "comparison" in str(question.search):
            asked.append(question)
            if is_busy:
                raise OverloadedError

    async def one_epoch(_: Any) -> int:
        return 1

    app = FastAPI()
    app.include_router(serving.router(covering(spoil=spoil), SimpleNamespace(checked=dict)))  # type: ignore[arg-type]
    layer = unchanged.Unchanged(app, one_epoch, most_bytes=1 << 24)

    async def told() -> None:
        nonlocal is_busy
        async with httpx.AsyncClient(transport=httpx.ASGITransport(layer), base_url="http://host") as client:
            for _ in range(3):
                answer = await client.get("/coverage")
                assert (answer.headers["cache-control"], "comparison" in answer.text) == ("no-store", False)
            is_busy = False
            for _ in range(3):
                answer = await client.get("/coverage")
                assert ("cache-control" in answer.headers, "comparison" in answer.text) == (False, True)

    asyncio.run(told())
    assert len(asked) == 4
