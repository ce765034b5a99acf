"""The process `find-matchups`: what it finds, what becomes of it when scenes come and go, and how it is shared out."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from almagest.catalogue import audience, database, exporting, jobs, loading, pruning
from almagest.core.jobs import Fanout, ProcessFailedError
from almagest.core.settings import Settings
from almagest.pipelines.matchups import find_matchups
from almagest.pipelines.matchups.catalogued import Catalogued
from almagest.pipelines.matchups.gathering import Wanted
from almagest.pipelines.matchups.kept import derived_from
from almagest.pipelines.matchups.pairing import Limits
from almagest.pipelines.matchups.stretches import Stretch
from almagest.pipelines.matchups.updating import Share, Update
from conftest import stac_client
from support import colorado, commands, following, matching, rasters
from support.matching import EVENTS, FINDING, NOON, PAIRS, PLATFORMS, Desk, Document, scene


@pytest.fixture
def desk(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    with matching.opened(settings, tmp_path, monkeypatch) as opened:
        yield opened


FIRST = [scene("s2-a", 0), scene("s2-b", 1, 11), scene("l9-a", 3, 11), scene("s2-far", 1, 100)]
LATER = [scene("s2-c", 40), scene("l9-c", 44)]


def test_what_is_found_becomes_items_that_name_the_versions_they_are_made_of(desk: Desk) -> None:
    desk.put(*FIRST, *LATER)
    assert desk.found() == {"events": 2, "matchups": 3, "removed": 0}
    assert desk.events() == {"20240501T120000": ["l9-a", "s2-a", "s2-b"], "20240501T124000": ["l9-c", "s2-c"]}
    with desk.pool.connection() as connection:
        rows = connection.execute("SELECT collection, id, valid_from FROM almagest.item_head").fetchall()
    begun = {(collection, identifier): moment for collection, identifier, moment in rows}
    for matchup in desk.items(PAIRS).values():
        for name, version in derived_from(matchup):
            assert version == begun[name].strftime("%Y%m%dT%H%M%S.%fZ")
        assert matchup["properties"]["processing:software"] == {"almagest/find-matchups": FINDING.version}
    assert not any(derived_from(event) for event in desk.items(EVENTS).values())
    with desk.pool.connection() as connection:
        (by,) = connection.execute(
            "SELECT DISTINCT job, actor FROM collection_head WHERE id = ANY (%s)", ([PAIRS, EVENTS],)
        )
    assert by == (matchup["properties"]["almagest:job"], "user:ann")
    (link,) = (link for link in matchup["links"] if link["rel"] == "related")
    assert link["href"] == f"{desk.settings.site.origin}/api/collections/{EVENTS}/items/{PAIRS}_20240501T124000"
    with stac_client(desk.door), stac_client(desk.door, "external") as outside:
        found = outside.get(f"/external/collections/{PAIRS}/items").json()["features"]
        collection = outside.get(f"/external/collections/{PAIRS}").json()
    assert len(found) == 3, "outsiders see the scenes, and so they see these"
    assert collection["extent"]["spatial"]["bbox"] == [[10, 0, 13, 2]]


def test_done_again_it_changes_nothing(desk: Desk) -> None:
    desk.put(*FIRST, *LATER)
    desk.found()
    before = desk.writes()
    assert desk.found() == {"events": 2, "matchups": 3, "removed": 0}
    assert desk.writes() == before


def test_an_event_that_grows_keeps_its_id_and_swallows_others(desk: Desk) -> None:
    desk.put(*FIRST, *LATER)
    desk.found()
    # Something earlier than the first event; and what fills the gap between both.
    desk.put(scene("l9-early", -2))
    desk.found()
    assert desk.events() == {
        "20240501T120000": ["l9-a", "l9-early", "s2-a", "s2-b"],
        "20240501T124000": ["l9-c", "s2-c"],
    }
    assert desk.items(EVENTS)[f"{PAIRS}_20240501T120000"]["properties"]["start_datetime"] == "2024-05-01T11:58:00Z"
    desk.put(
        *(scene(f"s2-{minute}", minute) for minute in range(4, 40, 4)), *(scene(f"l9-{m}", m) for m in (9, 22, 33))
    )
    desk.found()
    events = desk.events()
    assert events["20240501T124000"] == []
    assert {"l9-early", "l9-c", "s2-c", "l9-22"} <= set(events["20240501T120000"])
    swallowed = desk.items(EVENTS)[f"{PAIRS}_20240501T124000"]
    assert swallowed["properties"]["deprecated"] is True
    (link,) = (link for link in swallowed["links"] if link.get("matchup:role") == "event")
    assert link["href"].endswith(f"/{EVENTS}/items/{PAIRS}_20240501T120000")
    before = desk.writes()
    desk.found()
    assert desk.writes() == before


def test_matchups_go_with_their_scenes_and_events_with_their_matchups(desk: Desk) -> None:
    desk.put(*FIRST, *LATER)
    desk.found()
    desk.delete("s2-a", "l9-c")
    assert desk.found() == {"events": 1, "matchups": 1, "removed": 2}
    assert desk.events() == {"20240501T120000": ["l9-a", "s2-b"]}
    desk.delete("s2-b", "l9-a")
    assert desk.found() == {"events": 0, "matchups": 0, "removed": 1}, "no scene of one sensor is left"
    assert (desk.items(PAIRS), desk.items(EVENTS)) == ({}, {})


def test_a_scene_that_is_another_now_makes_another_matchup(desk: Desk) -> None:
    desk.put(*FIRST)
    desk.found()
    (before,) = (name for name, item in desk.items(PAIRS).items() if ("s2", "s2-b") in dict(derived_from(item)))
    desk.put(scene("s2-b", 1, 12))
    assert desk.found() == {"events": 1, "matchups": 2, "removed": 1}
    assert before not in desk.items(PAIRS)
    assert desk.events() == {"20240501T120000": ["l9-a", "s2-a", "s2-b"]}
    # What says nothing of when and where makes the same one, of the new version.
    desk.put(scene("s2-b", 1, 12, gsd=10))
    assert desk.found() == {"events": 1, "matchups": 2, "removed": 0}


def test_an_event_whose_only_matchup_was_made_anew_stays(desk: Desk) -> None:
    desk.put(scene("s2-a", 0), scene("l9-a", 3))
    desk.found()
    desk.delete("s2-a")
    desk.put(scene("s2-anew", 0))
    assert desk.found() == {"events": 1, "matchups": 1, "removed": 1}
    assert desk.events() == {"20240501T120000": ["l9-a", "s2-anew"]}


def test_what_would_keep_all_others_from_being_found_is_passed_by(desk: Desk) -> None:
    desk.put(*FIRST, *(scene(f"s2-{n}", 1, platform=name) for n, name in enumerate(("a/b", "S2*", "x" * 900, "a\\b"))))
    endless = scene("l9-endless", 0)
    endless["properties"] |= {"start_datetime": "2024-05-01T12:00:00Z", "end_datetime": "9999-12-31T23:59:59Z"}
    desk.put(endless)
    assert desk.changed()["matchups"] == 2
    desk.put(*LATER)
    assert desk.changed()["matchups"] == 1
    assert desk.found(part="2024-05-01T00:00:00Z/2024-05-01T12:30:00Z")["matchups"] == 2


def test_what_others_keep_beside_them_is_theirs(desk: Desk) -> None:
    desk.put(*FIRST)
    desk.found()
    (matchup, *_), (event,) = desk.items(PAIRS).values(), desk.items(EVENTS).values()
    for document in (matchup, event):
        properties = {name: said for name, said in document["properties"].items() if not name.startswith("processing:")}
        desk.put({**document, "id": f"theirs-{document['id']}", "properties": properties, "links": []})
    assert desk.found()["removed"] == 0
    assert f"theirs-{matchup['id']}" in desk.items(PAIRS)
    assert f"theirs-{event['id']}" in desk.items(EVENTS)


def test_an_event_that_breaks_keeps_its_id_in_its_first_part(desk: Desk) -> None:
    desk.put(
        scene("s2-a", 0), scene("l9-a", 1), scene("s2-b", 5), scene("l9-b", 8), scene("s2-c", 10), scene("l9-c", 12)
    )
    desk.found(max_time_difference=200)
    assert list(desk.events()) == ["20240501T120000"]
    desk.delete("s2-b", "l9-b")
    desk.found(max_time_difference=200)
    assert desk.events() == {"20240501T120000": ["l9-a", "s2-a"], "20240501T121000": ["l9-c", "s2-c"]}


def test_what_others_found_by_other_limits_stays(desk: Desk) -> None:
    desk.put(*FIRST, *LATER)
    desk.found()
    assert desk.found(max_time_difference=130) == {"events": 2, "matchups": 3, "removed": 0}
    assert desk.found(bbox=[50, 0, 60, 1])["removed"] == 0
    assert len(desk.items(PAIRS)) == 3


def test_a_run_does_not_bring_back_what_another_one_has_removed_meanwhile(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each job sees the catalogue as it was at one moment, and writes later."""
    desk.put(*FIRST, *LATER)
    desk.found()
    before = desk.events()
    assert before["20240501T124000"] == ["l9-c", "s2-c"]

    def go() -> None:
        desk.delete("s2-c")
        assert desk.found(max_time_difference=60)["removed"] == 1

    desk.meanwhile(monkeypatch, go)
    desk.put(scene("l9-new", 41))
    overtaken = desk.find()
    assert (overtaken.status, (overtaken.error or {})["title"]) == ("accepted", "Overtaken")
    assert desk.again(overtaken).status == "successful"
    assert desk.events() == {"20240501T120000": before["20240501T120000"]}


def test_two_pairs_of_sensors_that_would_have_one_name_are_told_apart(desk: Desk) -> None:
    """`s2` with `MSI-A` and `s2-MSI` with `A`: a run over the one would remove what a run over the other has found."""
    loading.load_documents(desk.settings, [rasters.collection("s2-MSI")], [])
    one, other = (scene(f"s2-{number}", 0, platform=platform) for number, platform in enumerate(("MSI-A", "A")))
    desk.put(one, {**other, "collection": "s2-MSI"}, scene("l9-a", 3))
    assert desk.found()["matchups"] == 1
    found = desk.items("l9-landsat-9-vs-s2-MSI-A")
    failed = desk.find(collections=["s2-MSI", "l9"])
    assert failed.status == "failed"
    assert "holds matchups of 'landsat-9' of 'l9' and 'MSI-A' of 's2', and would hold" in str(failed.error)
    assert "'A' of 's2-MSI', too" in str(failed.error)
    assert desk.find(collections=["s2-MSI", "s2", "l9"]).status == "failed"
    assert desk.items("l9-landsat-9-vs-s2-MSI-A") == found


def test_which_scenes_are_looked_at(desk: Desk) -> None:
    desk.put(*FIRST, *LATER, scene("s2-none", 1, platform=None))
    assert desk.found(platforms=["S2B"]) == {"events": 0, "matchups": 0, "removed": 0}
    assert desk.found(datetime="2024-05-01T12:30:00Z/..")["matchups"] == 1
    assert desk.found(filter="platform = 'S2A' OR id = 'l9-a'")["matchups"] == 3, (
        "those that were found before included"
    )
    assert desk.find(collections=["s2", "nowhere"]).status == "failed"
    failed = desk.find(filter={"op": "no-such-operator", "args": []})
    assert failed.status == "failed"
    with pytest.raises(Exception, match="ends before it begins"):
        FINDING.parse({"collections": ["s2"], "datetime": "2024-05-02T00:00:00Z/2024-05-01T00:00:00Z"})


def test_over_colorado_it_finds_what_brute_force_does(desk: Desk) -> None:
    collections = [rasters.collection(name) for name in colorado.COLLECTIONS]
    loading.load_documents(desk.settings, collections, colorado.scenes())
    for seconds in (900, 86400):
        expected = colorado.pairs(seconds)
        told = desk.found(collections=list(colorado.COLLECTIONS), max_time_difference=seconds)
        with exporting.snapshot(desk.settings) as moment:
            names = [name for name in moment.ids() if "-vs-" in name and not name.startswith("matchup-events-")]
            found = colorado.told(item for name in names for item in moment.items(name, {}))
        assert set(found) == expected
        assert len(found) == told["matchups"] == len(expected), "each once"


def test_matchups_of_internal_scenes_are_internal(desk: Desk) -> None:
    with database.connect(desk.settings, desk.settings.database.admin_user) as connection:
        audience.set_collections(connection, "l9", "internal")
    desk.put(*FIRST)
    assert desk.found()["matchups"] == 2
    with stac_client(desk.door), stac_client(desk.door, "external") as outside:
        for name in (PAIRS, EVENTS):
            assert outside.get(f"/external/collections/{name}").status_code == 404
    # Where somebody has made them public nevertheless, nothing is put into them.
    with database.connect(desk.settings, desk.settings.database.admin_user) as connection:
        audience.set_collections(connection, EVENTS, "public")
    desk.put(scene("s2-new", 2))
    failed = desk.find()
    assert failed.status == "failed"
    assert "would become public" in str(failed.error)
    assert len(desk.items(PAIRS)) == 2
    assert desk.found(public=True)["matchups"] == 3


def test_scenes_that_become_internal_later_leave_word_of_what_was_made_of_them(desk: Desk) -> None:
    desk.put(*FIRST)
    desk.found()
    run = commands.runner(desk.settings, "audience")

    def sources(api: httpx.Client, prefix: str) -> list[str]:
        links = api.get(f"{prefix}/collections/{PAIRS}").json()["links"]
        return [link["href"].rpartition("/")[2] for link in links if link["rel"] == "derived_from"]

    with stac_client(desk.door) as inside, stac_client(desk.door, "external") as outside:
        assert sources(outside, "/external") == sources(inside, "/api") == ["l9", "s2"]
        assert "made of" not in run("show").stderr
        told = run("set", "--internal", "l9").stderr
        assert json.loads(run("show", "--json").stdout)["made_of_internal"] == {PAIRS: ["l9"], EVENTS: ["l9"]}
        assert sources(outside, "/external") == ["s2"]
        for name in (PAIRS, EVENTS):
            assert f"{name} is public and made of l9, which only insiders see." in told
            assert f"almagest audience set --internal {name}\n" in told
            assert outside.get(f"/external/collections/{name}").status_code == 200
        told = run("set", "--internal", PAIRS, "--internal", EVENTS).stderr
        assert "made of" not in told
        assert outside.get(f"/external/collections/{PAIRS}").status_code == 404
    before = desk.writes()
    assert desk.found()["matchups"] == 2
    assert desk.writes() == before, "no link is added twice"


@dataclass
class Recorder:
    """A context that remembers."""

    published: list[Document] = field(default_factory=list)
    removed: list[tuple[str, str]] = field(default_factory=list)
    children: Sequence[Any] = ()

    def progress(self, *_: Any) -> None: ...
    def log(self, *_: Any) -> None: ...
    def pin(self, *_: Any) -> None: ...

    def rely_on(self, *_: Any) -> None: ...
    def collection(self, *_: Any, **__: Any) -> None: ...

    def publish(self, items: Sequence[Document], **_: Any) -> None:
        self.published += items

    def remove(self, names: Sequence[tuple[str, str]]) -> None:
        self.removed += names

    def told(self) -> list[str]:
        return sorted(json.dumps(item, sort_keys=True) for item in self.published)


@contextmanager
def update(desk: Desk, recorder: Recorder) -> Iterator[Update]:
    with exporting.snapshot(desk.settings) as moment:
        catalogued = Catalogued(moment, {"collections": ["s2", "l9"]}, Wanted(("s2", "l9")))
        yield Update(catalogued, Limits(600), 300, recorder)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(6))
def test_parts_find_together_what_one_finds_alone(desk: Desk, seed: int) -> None:
    chance = random.Random(seed)

    def some(number: int, name: str) -> list[Document]:
        hours = 60 * chance.choice((6, 24))
        return [
            scene(f"{of}-{name}{n}", chance.uniform(0, hours), chance.choice((10, 11, 12, 20)))
            for of in PLATFORMS
            for n in range(number)
        ]

    desk.put(*some(60, "a"))
    if seed % 2:  # from nothing, and upon what was found before
        desk.found()
        desk.delete(*(f"s2-a{n}" for n in range(0, 60, 7)))
        desk.put(*some(15, "b"))
    alone, together = Recorder(), Recorder()
    with update(desk, alone) as whole:
        whole.run(Share(Stretch()))
    cuts = sorted(NOON + timedelta(minutes=chance.uniform(0, 24 * 60)) for _ in range(5))
    for begin, end in zip([None, *cuts], [*cuts, None], strict=True):
        with update(desk, together) as part:
            part.run(Share(Stretch(begin, end)))
    assert alone.published
    assert together.told() == alone.told()
    assert sorted(together.removed) == sorted(alone.removed)


def test_a_run_of_much_time_is_shared_out(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(find_matchups, "_SCENES_OF_PART", 2)
    desk.put(*FIRST, *(scene(f"{of}-{month}", month * 43_200) for month in range(1, 5) for of in PLATFORMS))
    done = desk.find()
    assert done.status == "running"
    with database.connect(desk.settings, desk.settings.database.admin_user) as connection:
        rows = connection.execute("SELECT id, inputs FROM almagest.job WHERE parent = %s", (done.id,)).fetchall()
    assert sum(desk.runner.run(child) for child, _ in rows) == len(rows) > 2
    parts = sorted(inputs["part"] for _, inputs in rows)
    assert parts[0].startswith("../")
    assert sum(part.endswith("/..") for part in parts) == 1
    desk.runner.run(done.id)
    with desk.pool.connection() as connection:
        done = jobs.find(connection, done.id)
    assert (done.status, done.outputs) == (
        "successful",
        {"events": 5, "matchups": 6, "removed": 0, "longest_scene": 0},
    )


@pytest.mark.parametrize("seed", [*range(8), *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(8, 100))])
def test_who_looks_only_where_something_has_changed_ends_where_one_does_who_looks_everywhere(
    desk: Desk, seed: int
) -> None:
    chance = random.Random(seed)
    number = itertools.count()
    present: dict[str, Document] = {}

    def change(few: int) -> None:
        for _ in range(few):
            what = chance.choice(("come", "come", "go", "move", "tell"))
            name = chance.choice(sorted(present)) if present and what != "come" else ""
            if what == "go" and name:
                del present[name]
                desk.delete(name)
                continue
            of = name.partition("-")[0] or chance.choice(("s2", "l9"))
            minute, west = chance.uniform(0, 600), chance.choice((10, 11, 12, 20))
            made = scene(name or f"{of}-{next(number)}", minute, west)
            if what == "tell" and name:
                made = {**present[name], "properties": {**present[name]["properties"], "gsd": next(number)}}
            elif chance.random() < 0.3:
                start = NOON + timedelta(minutes=minute)
                ends = (start + timedelta(minutes=chance.uniform(0, 20))).isoformat()
                made["properties"] |= {"start_datetime": start.isoformat(), "end_datetime": ends}
            present[made["id"]] = made
            desk.put(made)

    change(40)
    desk.changed()
    for _ in range(4):
        change(chance.choice((0, 1, 3, 8)))
        desk.changed()
    before = desk.writes()
    assert desk.changed() == {"events": 0, "matchups": 0, "removed": 0}
    assert desk.found()["removed"] == 0, "nothing that is untrue was left"
    assert desk.writes() == before, "nothing was missed"


def test_where_it_was_forgotten_what_a_scene_was_everything_is_looked_at(desk: Desk) -> None:
    """Where a scene was moved twice, and one version is kept, nothing says any more when it was at first."""
    desk.put(scene("s2-a", 0), scene("l9-a", 3))
    assert desk.changed()["matchups"] == 1
    for minute in (500, 900):
        desk.put(scene("s2-a", minute))
    with database.connect(desk.settings, desk.settings.database.admin_user) as connection:
        following.settle(connection)
        assert pruning.prune(connection, versions=1).items == 2
    assert desk.changed() == {"events": 0, "matchups": 0, "removed": 1}
    before = desk.writes()
    assert desk.changed() == {"events": 0, "matchups": 0, "removed": 0}
    assert desk.writes() == before
    with database.connect(desk.settings, desk.settings.database.admin_user) as connection:
        statement = "SELECT count(*) FROM almagest.job_event WHERE message LIKE 'what has changed % is forgotten: %'"
        assert connection.execute(statement).fetchone() == (1,), "only once"


def test_a_scene_that_takes_long_is_remembered(desk: Desk) -> None:
    # It begins an hour before what comes at its end, and long after others were looked at.
    long = scene("s2-long", 0)
    long["properties"] |= {"start_datetime": long["properties"]["datetime"], "end_datetime": "2024-05-01T13:00:00Z"}
    desk.put(long)
    desk.changed()
    assert desk.changed()["matchups"] == 0, "nothing has changed"
    desk.put(scene("l9-late", 61))
    assert desk.changed()["matchups"] == 1


def test_where_a_part_fails_the_whole_says_so(desk: Desk) -> None:
    class Failed:
        status, outputs = "failed", None

    with pytest.raises(ProcessFailedError, match="1 of 1 parts failed"):
        find_matchups._together([Failed()])  # type: ignore[list-item]
    assert Fanout([]).children == []
