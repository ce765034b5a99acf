"""Comparing answers with those of stock pgSTAC, once what is known to differ is made equal."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import psycopg
from hypothesis import note

from support.searches import Search
from support.shapes import box, polygon, several
from support.stock import StockSearch
from support.walking import Api, Key, key, link

Document = dict[str, Any]

#: Links that are made on the way out.
MADE = {"self", "parent", "collection", "root"}
#: So many pages of a search are enough.
PAGES = 4


def compare(
    api: Api, stock: StockSearch, search: Search, method: str, brought: Mapping[Key, Document], **more: str
) -> None:
    """All pages of a search, there and back, beside what stock says; more: what stock is not told."""
    note(f"{method} {search} {more}")
    try:
        expected = whole(stock, search)
    except psycopg.Error:
        assert api.ask({**search, **more}, method).status_code == 400
        return
    search = {**search, "limit": max(search["limit"], math.ceil(len(expected) / PAGES))}
    answer = api.ask({**search, **more}, method)
    if api.prefix == "/external" and "cannot be asked for here" in answer.text:
        return  # tests/sql/test_audience.py says when
    there = [*api.walk(answer, "next")]
    pages = [page["features"] for page in there]
    found = [*itertools.chain(*pages)]
    same = as_stock_cuts_it if "fields" in search else as_stock_has_it
    assert [*map(same, found)] == [*map(same, expected)]
    assert pages[:-1] == [*chunks(found, search["limit"])][:-1]
    if "fields" not in search:
        assert [without_made_links(document) for document in found] == [brought[key(document)] for document in found]
    # And back again.
    assert link(there[0], "prev") is None
    back = link(there[-1], "prev")
    if back is None:
        assert len(there) == 1
    else:
        assert [page["features"] for page in api.walk(api.follow(back), "prev")][::-1] == pages[:-1]
    if api.prefix == "/api" and "q" not in search:
        by_tokens = stock.pages(as_stock_means_it(search))
        assert by_tokens == [*chunks(expected, search["limit"])]


def whole(stock: StockSearch, search: Search) -> list[Document]:
    """What stock has to say, once it is asked for what is meant."""
    meant = as_stock_means_it(search)
    if "q" not in meant:
        return stock.whole(meant)
    # What it does not find by words it has without.
    without = {name: value for name, value in meant.items() if name != "q"}
    saying = [
        set(search["q"]) & words_of(document)
        for document in stock.whole({name: value for name, value in without.items() if name != "fields"})
    ]
    return [*itertools.compress(stock.whole(without), saying)]


def as_stock_means_it(search: Search) -> Search:
    """The search with a box without heights, and with one across the antimeridian as two."""
    bbox = search.get("bbox")
    if bbox is None:
        return search
    west, south, east, north = (*bbox[:2], *bbox[len(bbox) // 2 :][:2])
    if west <= east:
        return {**search, "bbox": [west, south, east, north]}
    both = several(polygon(box(west, south, 180, north)), polygon(box(-180, south, east, north)))
    return {**{name: value for name, value in search.items() if name != "bbox"}, "intersects": both}


def chunks(listed: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """Parts of so many; one, which is empty, of nothing."""
    for start in range(0, len(listed) or 1, size):
        yield listed[start : start + size]


def words_of(document: Document) -> set[str]:
    return set(" ".join(texts_of(document).values()).split())


def texts_of(document: Document) -> dict[str, str]:
    """What free text reads, in the order in which we do."""
    properties = document["properties"]
    texts = {name: properties.get(name) for name in ("title", "description", "keywords")}
    return {name: text if isinstance(text, str) else " ".join(text) for name, text in texts.items() if text}


def as_stock_has_it(document: Document | None) -> Document:
    """A document without nulls, and without the links that are made; none are stored is the same as an empty list."""
    stored = without_made_links(document or {})
    return {name: part for name, part in without_nulls(stored).items() if (name, part) != ("links", [])}


def as_stock_cuts_it(document: Document | None) -> Document:
    """Without what is empty, too: stock makes objects on the way to fields that an item has not."""

    def without_empty(value: Any) -> Any:
        if isinstance(value, dict):
            parts = {name: without_empty(part) for name, part in value.items()}
            return {name: part for name, part in parts.items() if part != {}}
        return value

    return dict(without_empty(as_stock_has_it(document)))


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_nulls(part) for name, part in value.items() if part is not None}
    return [without_nulls(part) for part in value] if isinstance(value, list) else value


def without_made_links(document: Document) -> Document:
    if "links" not in document:
        return document
    return {**document, "links": [link for link in document["links"] if link["rel"] not in MADE]}
