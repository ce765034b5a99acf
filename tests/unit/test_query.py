"""What `almagest query` asks for and whom it follows, without a server."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
import typer
from typer.testing import CliRunner

from almagest.catalogue.exchange import form_of
from almagest.cli import searching
from almagest.client.api import StacApi
from almagest.client.copying import Tally, copy
from almagest.client.references import Memory, targets
from almagest.core.errors import ConfigurationError

ROOT = "http://stac.test/external/"
Document = dict[str, Any]


def parsed(*arguments: str) -> Document:
    """What a command with the shared options understands."""
    found: Document = {}
    app = typer.Typer()

    @app.command(cls=searching.ManyValues)
    def command(
        collections: list[str] | None = None,
        bbox: searching.Box = None,
        start_time: searching.StartTime = None,
        end_time: searching.EndTime = None,
        filter_expr: searching.Filter = None,
        filter_lang: searching.FilterLang = "cql2-text",
        intersects: searching.Intersects = None,
        sortby: str | None = None,
        verbose: bool = False,
    ) -> None:
        found.update(
            searching.body(
                collections=collections or (),
                bbox=bbox,
                start_time=start_time,
                end_time=end_time,
                filter_expr=filter_expr,
                filter_lang=filter_lang,
                intersects=intersects,
                sortby=sortby,
            )
        )

    result = CliRunner().invoke(app, arguments)
    if result.exit_code:
        raise ValueError(result.output)
    return found


@pytest.mark.parametrize(
    ("arguments", "body"),
    [
        ([], {}),
        (["--collections", "A", "B", "--verbose"], {"collections": ["A", "B"]}),
        (["--collections", "A", "--collections", "B", "C"], {"collections": ["A", "B", "C"]}),
        (["--collections=A"], {"collections": ["A"]}),
        (
            ["--bbox", "-105", "39", "-104", "-4e-1", "--collections", "A", "B"],
            {"bbox": [-105.0, 39.0, -104.0, -0.4], "collections": ["A", "B"]},
        ),
        (["--start-time", "2022-01-01"], {"datetime": "2022-01-01T00:00:00Z/.."}),
        (
            ["--start-time", "2022-01-01T01:00:00+02:00", "--end-time", "2022-12-31T10:20:30.5"],
            {"datetime": "2021-12-31T23:00:00Z/2022-12-31T10:20:30.500000Z"},
        ),
        (["--filter", "a < -1"], {"filter": "a < -1", "filter-lang": "cql2-text"}),
        (
            ["--filter", '{"op":"not","args":[]}', "--filter-lang", "cql2-json"],
            {"filter": {"op": "not", "args": []}, "filter-lang": "cql2-json"},
        ),
        (
            ["--sortby", "-datetime,+id, x"],
            {"sortby": [{"field": name, "direction": way}
                        for name, way in (("datetime", "desc"), ("id", "asc"), ("x", "asc"))]},
        ),
    ],
)  # fmt: skip
def test_options_mean_what_they_mean_to_eomatch(arguments: list[str], body: Document) -> None:
    assert parsed(*arguments) == body


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--start-time", "yesterday"], "start-time"),
        (["--start-time", "2022-02-01", "--end-time", "2022-01-01"], "ends before"),
        (["--bbox", "1", "2", "3"], "bbox"),
        (["--filter", "{", "--filter-lang", "cql2-json"], "JSON"),
        (["--filter", "[]", "--filter-lang", "cql2-json"], "object"),
        (["--intersects", "/nowhere.json"], "nowhere.json"),
        (["--collections", "A", "B", "--wrong"], "--wrong"),
    ],
)
def test_what_no_option_can_mean_is_refused(arguments: list[str], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        parsed(*arguments)


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_a_geometry_comes_from_a_file(tmp_path: Path, depth: int) -> None:
    point = {"type": "Point", "coordinates": [1, 2]}
    feature = {"type": "Feature", "geometry": point}
    held = (point, feature, {"type": "FeatureCollection", "features": [feature]})[depth]
    file = tmp_path / "area.geojson"
    file.write_text(json.dumps(held))
    assert parsed("--intersects", str(file)) == {"intersects": point}
    file.write_text('{"type": "FeatureCollection", "features": []}')
    with pytest.raises(ValueError, match="feature"):
        parsed("--intersects", str(file))


@pytest.mark.parametrize(
    ("name", "form"),
    [("a.ndjson", "ndjson"), ("a.NDJSON.gz", "ndjson"), ("-", "ndjson"), ("a.jsonl", "ndjson"),
     ("a.parquet", "geoparquet"), ("folder", "stac"), ("folder.d/", "stac"), ("a.json", "stac")],
)  # fmt: skip
def test_the_name_says_the_format(name: str, form: str) -> None:
    assert form_of(name) == form


@pytest.mark.parametrize(
    ("href", "target"),
    [
        (f"{ROOT}collections/c/items/i", ("c", "i")),
        ("https://elsewhere.test/v1/collections/c%20d/items/%C3%A9/?x=1", ("c d", "é")),
        ("/collections/c/items/i", ("c", "i")),
        ("../2024/1/2/thing.json", (None, "thing")),
        (f"{ROOT}../S2/thing.json", (None, "thing")),
        ("https://elsewhere.test/thing.json", None),
        ("https://doi.org/10.1000/1", None),
        ("http://[broken", None),
        (f"{ROOT}collections/c", None),
    ],
)
def test_links_lead_to_items(href: str, target: object) -> None:
    for rel in ("derived_from", "related"):
        assert [*targets({"links": [{"rel": rel, "href": href}]}, ROOT)] == ([target] if target else [])
    assert [*targets({"links": [{"rel": "self", "href": href}, {"rel": "derived_from"}]}, ROOT)] == []


def test_each_missing_item_is_asked_for_once() -> None:
    memory = Memory()
    assert memory.add("c", "here")
    assert not memory.add("c", "here")
    for target in (("c", "here"), ("c", "a"), ("c", "b"), ("c", "a"), ("d", "a"), (None, "here"), (None, "z")):
        memory.want(target)
    batches = memory.missing(2)
    assert next(batches) == (None, ["z"])
    memory.want(("c", "later"))
    assert [*batches] == [("c", ["a", "b"]), ("d", ["a"])]
    memory.add("c", "a")
    assert [*memory.missing(2)] == [("c", ["later"])]
    assert memory.lost() == 4  # z, b, a of d, and later
    memory.close()


class Served:
    """An API in memory, two items a page."""

    def __init__(self, items: list[Document], *, posts: bool = True) -> None:
        self.items, self.posts = items, posts
        self.asked: list[Document] = []

    def __call__(self, method: str, url: str, *, params: Mapping[str, str] | None = None, json: Any = None) -> Document:
        if url == ROOT:
            methods = ["GET", "POST"] if self.posts else ["GET"]
            return {"links": [{"rel": "search", "href": "search", "method": each} for each in methods]}
        if "/collections/" in url:
            return {
                "id": url.rsplit("/", 1)[-1],
                "links": [{"rel": "items", "href": "x"}, {"rel": "license", "href": "l"}],
            }
        if json is None:
            given = dict(params or parse_qsl(urlsplit(url).query))
            body: Document = {name: given[name].split(",") for name in ("collections", "ids") if name in given}
            body["offset"] = int(given.get("offset", 0))
        else:
            assert method == "POST"
            body = json
        self.asked.append(body)
        fitting = [
            item
            for item in self.items
            if item["collection"] in body.get("collections", [item["collection"]])
            and item["id"] in body.get("ids", [item["id"]])
        ]
        start = body.get("offset", 0)
        page: Document = {"features": fitting[start : start + 2], "links": []}
        if len(fitting) > start + 2:
            following = {"offset": start + 2}
            merged = {"href": url, "method": "POST", "body": following, "merge": True}
            address = {} if json else {"href": f"{ROOT}search?{urlencode({**given, **following})}"}
            page["links"] = [{"rel": "next", **(address or merged)}]
        return page


class Kept:
    def __init__(self) -> None:
        self.items: list[Document] = []
        self.collections: list[Document] = []

    def write(self, item: Document) -> None:
        assert item["collection"] in [collection["id"] for collection in self.collections]
        self.items.append(item)

    def write_collection(self, collection: Document) -> None:
        self.collections.append(collection)


def item(collection: str, identifier: str, *sources: str) -> Document:
    links = [
        {"rel": "self", "href": f"{ROOT}collections/{collection}/items/{identifier}"},
        {"rel": "xyz", "href": f"{ROOT}tiles/collections/c/items/i/tiles"},
        *({"rel": "derived_from", "href": f"{ROOT}collections/{source}"} for source in sources),
    ]
    return {"id": identifier, "collection": collection, "links": links}


CHAIN = [
    item("events", "e1", "matchups/items/m1", "matchups/items/m2"),
    item("events", "e2", "matchups/items/m2", "matchups/items/gone"),
    item("events", "e3"),
    item("matchups", "m1", "s2/items/a", "l8/items/b"),
    item("matchups", "m2", "s2/items/a"),
    item("s2", "a", "events/items/e1"),
    item("l8", "b"),
]


@pytest.mark.parametrize("posts", [True, False])
def test_a_copy_holds_what_the_items_are_made_of(posts: bool) -> None:
    served, kept = Served(CHAIN, posts=posts), Kept()
    api = StacApi.open(served, ROOT)
    tally = copy(api, {"collections": ["events"]}, kept)  # type: ignore[arg-type]
    assert [each["id"] for each in kept.items] == ["e1", "e2", "e3", "m1", "m2", "b", "a"]
    assert tally == Tally(found=3, followed=4, lost=1, collections=4)
    # In bulk, and nothing twice.
    assert [sorted(body["ids"]) for body in served.asked if "ids" in body] == [["gone", "m1", "m2"], ["b"], ["a"]]
    links = [link["rel"] for each in (*kept.items, *kept.collections) for link in each["links"]]
    assert set(links) == {"derived_from", "license", "via"}


def test_a_copy_can_be_of_the_found_alone() -> None:
    served, kept = Served(CHAIN), Kept()
    api = StacApi.open(served, ROOT)
    assert copy(api, {}, kept, most=3, follow=False) == Tally(found=3, collections=1)  # type: ignore[arg-type]
    assert [each["id"] for each in kept.items] == ["e1", "e2", "e3"]


def test_a_chain_is_followed_ten_times_and_no_more() -> None:
    chain = [item("c", f"i{n:02}", f"c/items/i{n + 1:02}") for n in range(20)]
    kept = Kept()
    tally = copy(StacApi.open(Served(chain), ROOT), {"ids": ["i00"]}, kept)  # type: ignore[arg-type]
    assert (tally.found, tally.followed) == (1, 10)


def test_a_server_that_goes_round_in_circles_is_left() -> None:
    def ask(method: str, url: str, **_: Any) -> Document:
        if url == ROOT:
            return {"links": [{"rel": "search", "href": "search"}]}
        return {"features": [item("c", "i")], "links": [{"rel": "next", "href": f"{ROOT}search?same"}]}

    assert len([*StacApi.open(ask, ROOT).search({})]) == 2


def test_of_an_api_that_does_not_know_it_nobody_asks_as_of() -> None:
    def ask(method: str, url: str, **_: Any) -> Document:
        return {
            "links": [{"rel": "search", "href": f"{ROOT}search"}],
            "conformsTo": ["https://api.stacspec.org/v1.0.0/core"],
        }

    assert StacApi.open(ask, ROOT).as_of is None
    with pytest.raises(ConfigurationError, match="as-of"):
        StacApi.open(ask, ROOT, as_of="2024-01-01T00:00:00Z")
