"""Matchups and events beside what others write into the same collections, and what they may call theirs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from almagest.catalogue import database, loading
from almagest.core.errors import InvalidDocumentError
from almagest.core.settings import Settings
from almagest.pipelines.matchups import updating
from support import matching, rasters
from support.matching import EVENTS, FINDING, PAIRS, Desk, Document, scene


@pytest.fixture
def desk(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    with matching.opened(settings, tmp_path, monkeypatch) as opened:
        yield opened


@pytest.fixture
def stock(desk: Desk) -> Iterator[psycopg.Connection[Any]]:
    """Writes as `pypgstac load` does: whatever it likes."""
    with database.connect(desk.settings, desk.settings.database.admin_user) as connection:
        connection.execute("SET search_path = pgstac, public")
        yield connection


SCENES = [scene("s2-a", 0), scene("l9-a", 3)]
TOLD = {"events": 1, "matchups": 1, "removed": 0}


def found(desk: Desk) -> tuple[Document, Document]:
    """The matchup and the event of both scenes."""
    desk.put(*SCENES)
    assert desk.found() == TOLD
    (matchup,), (event,) = desk.items(PAIRS).values(), desk.items(EVENTS).values()
    return matchup, event


def test_what_was_added_to_a_matchup_stays_when_it_is_found_again(desk: Desk) -> None:
    """Such as an analysis that was registered: it is what matchups are there for."""
    added: dict[str, Document] = {}
    for item in found(desk):
        asset = {"href": "file:///store/analysis.nc", "type": "application/netcdf", "roles": ["data"]}
        link = {"rel": "about", "href": "https://example.org/campaign", "title": "The campaign"}
        added[item["collection"]] = {
            **item,
            "properties": {
                **item["properties"],
                "campaign": "autumn",
                "fill": 1e20,
                "matchup:n_matchups": 77,
                "title": "Mine",
            },
            "assets": {"comparison:2025-06-20": asset, "comparison:latest": asset},
            "links": [link, *item["links"]],
            "stac_extensions": [*item["stac_extensions"], "https://stac-extensions.github.io/file/v2.1.0/schema.json"],
        }
    desk.put(*added.values())
    assert desk.found() == TOLD
    for name, wanted in added.items():
        (item,) = desk.items(name).values()
        assert item["assets"] == wanted["assets"]
        assert (item["properties"]["campaign"], item["properties"]["fill"]) == ("autumn", 1e20)
        assert item["properties"]["title"] != "Mine", "that is ours"
        assert item["properties"].get("matchup:n_matchups") in {1, None}
        assert [link for link in item["links"] if link["rel"] == "about"] == wanted["links"][:1]
        assert len(item["links"]) == len(wanted["links"])
        assert set(item["stac_extensions"]) == set(wanted["stac_extensions"])
    before = desk.writes()
    assert desk.found() == TOLD
    assert desk.writes() == before
    desk.put(scene("s2-b", 1))
    assert desk.found() == {"events": 1, "matchups": 2, "removed": 0}
    (event,) = desk.items(EVENTS).values()
    assert event["assets"] == added[EVENTS]["assets"]
    assert event["properties"]["matchup:n_matchups"] == 2
    assert len([link for link in event["links"] if link.get("matchup:role") == "matchup"]) == 2


ODD: dict[str, Document] = {
    "a number for software": {"processing:software": 5},
    "software that is ours": {"processing:software": {"almagest/find-matchups": "1"}},
    "another event": {"matchup:event_id": "0/1"},
    "a long event": {"matchup:event_id": "x" * 2000},
    "an event that comes first": {"matchup:event_id": "a-E"},
    "a prediction": {"matchup:predicted": True, "processing:software": True},
    "no time": {"datetime": "0001-01-01T00:00:00Z", "start_datetime": None, "end_datetime": None},
    "all time": {"start_datetime": "1900-01-01T00:00:00Z", "end_datetime": "9999-12-31T23:59:59.999999Z"},
}
LINKS = [{"rel": "derived_from", "href": href} for href in ("http://℀.x/collections/y/items/z", "http://[x")]


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("of", ["matchup", "event"])
def test_odd_items_of_others_break_nothing(desk: Desk, name: str, of: str) -> None:
    matchup, event = found(desk)
    item = matchup if of == "matchup" else event
    said = {key: value for key, value in item["properties"].items() if not key.startswith("processing:")}
    theirs = {**item, "id": "a-E", "properties": {**said, **ODD[name]}, "links": LINKS}
    desk.put({key: value for key, value in theirs.items() if value is not None})
    kept = desk.items(item["collection"])["a-E"]
    assert desk.found()["matchups"] in {1, 2}
    assert desk.changed()["events"] in {0, 1}
    (after,) = (each for each in desk.items(EVENTS).values() if each["id"] == event["id"])
    assert after["properties"].get("deprecated") is None
    if "ours" not in name:
        assert desk.items(item["collection"])["a-E"] == kept
    desk.put(scene("s2-b", 1), scene("s2-c", 60), scene("l9-c", 61))
    assert desk.found()["events"] == 2


def test_an_event_of_somebody_else_is_not_written_over(desk: Desk) -> None:
    matchup, event = found(desk)
    said = {key: value for key, value in event["properties"].items() if not key.startswith("processing:")}
    desk.put({**event, "id": "theirs-E", "properties": said, "links": []})
    theirs = desk.items(EVENTS)["theirs-E"]
    desk.put({**matchup, "properties": {**matchup["properties"], "matchup:event_id": "theirs-E"}})
    assert desk.found() == TOLD
    assert desk.items(EVENTS)["theirs-E"] == theirs
    assert next(iter(desk.items(PAIRS).values()))["properties"]["matchup:event_id"] == event["id"]


def test_scenes_in_a_collection_that_is_called_as_events_are_found_nowhere(desk: Desk) -> None:
    """Their matchups would go where the events of others are, and these would go for no matchups."""
    _, event = found(desk)
    name = "matchup-events-l9"
    loading.load_documents(desk.settings, [rasters.collection(name)], [])
    desk.put({**scene("l9-b", 1), "collection": name})
    failed = desk.find(collections=[name, "s2"])
    assert failed.status == "failed"
    assert "is what events are kept in, and no name for matchups" in str(failed.error)
    assert list(desk.items(EVENTS)) == [event["id"]]


@pytest.mark.parametrize(
    ("name", "summaries"),
    [
        ("s2-S2A-vs-s2-S2A", {"matchup:collections": ["s2", "s2"], "matchup:platforms": ["S2A", "S2A"]}),
        ("a-vs-b", {"matchup:collections": None, "matchup:platforms": 5}),
        ("a-vs-b", {"matchup:collections": [None, {}], "matchup:platforms": [[], 5]}),
        ("a-vs-b", "none"),
        ("a-vs-b", None),
    ],
)
def test_odd_collections_of_others_break_nothing(
    desk: Desk, stock: psycopg.Connection[Any], name: str, summaries: Any
) -> None:
    document = {**rasters.collection(name), "summaries": summaries}
    stock.execute("SELECT create_collection(%s::jsonb)", (json.dumps(document),))
    found(desk)
    assert desk.items(name) == {}
    desk.put(scene("s2-b", 1))
    assert desk.changed()["matchups"] == 2


@pytest.mark.parametrize("links", [None, "none", [5, None, {"rel": "derived_from", "href": "http://[x"}, {"rel": 7}]])
def test_odd_links_of_others_break_nothing(desk: Desk, stock: psycopg.Connection[Any], links: Any) -> None:
    """Of an item and of the collections, as they are when something is found anew."""
    matchup, event = found(desk)
    stock.execute("UPDATE collections SET content = jsonb_set(content, '{links}', %s)", (json.dumps(links),))
    stock.execute(
        "UPDATE items SET content = content || jsonb_build_object('links', %s::jsonb) WHERE id = ANY (%s)",
        (json.dumps(links), [matchup["id"], event["id"]]),
    )
    desk.put(scene("s2-b", 1, 9))
    assert desk.found()["matchups"] == 2
    assert len(desk.items(PAIRS)) == 2


def test_times_that_stand_for_none_are_passed_by(desk: Desk) -> None:
    odd = []
    for number, year in enumerate(("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z")):
        for of in ("s2", "l9"):
            odd.append(scene(f"{of}-{number}", 0))
            odd[-1]["properties"]["datetime"] = year
    desk.put(*odd)
    assert desk.changed()["matchups"] == 0
    found(desk)
    for item in odd:
        desk.put({**item, "properties": {**item["properties"], "gsd": 10}})
    assert desk.changed() == {"events": 0, "matchups": 0, "removed": 0}
    assert desk.found() == TOLD


def test_names_that_are_too_long_together_are_passed_by(desk: Desk) -> None:
    desk.put(scene("s2-long", 1, platform="😀" * 200))
    assert desk.changed()["matchups"] == 0
    found(desk)


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"collections": ["s2", "draft*"]}, "no collection of matchups can be called by 'draft\\*'"),
        ({"min_overlap_area": float("inf")}, "finite number"),
        ({"bbox": [0, 0, float("nan"), 1]}, "finite number"),
        ({"part": "0001-01-01T00:00:00Z/0001-02-01T00:00:00Z"}, "between 1900 and 2200"),
    ],
)
def test_what_cannot_be_asked_for_says_why(inputs: Document, said: str) -> None:
    with pytest.raises(InvalidDocumentError, match=said):
        FINDING.parse({"collections": ["s2", "l9"], **inputs})


def test_an_event_of_too_many_matchups_says_what_helps(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(updating, "_MANY", 2)
    monkeypatch.setattr(updating, "MAX_DOCUMENT", 2000)
    desk.put(*(scene(f"{of}-{minute}", minute) for minute in range(4) for of in ("s2", "l9")))
    failed = desk.find()
    assert failed.status == "failed"
    assert "more than an item can hold links to: ask for a smaller event_gap" in str(failed.error)
