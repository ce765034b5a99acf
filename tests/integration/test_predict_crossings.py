"""The process `predict-crossings`: what it predicts, and what becomes of that when elements and scenes come."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from almagest.catalogue import audience, database, exporting, jobs
from almagest.core.settings import Settings
from almagest.pipelines.matchups import find_matchups
from almagest.pipelines.matchups.catalogued import Catalogued
from almagest.pipelines.matchups.gathering import Wanted
from almagest.pipelines.matchups.stretches import Stretch
from conftest import stac_client
from support import matching, orbiting
from support.matching import EVENTS, NOON, PAIRS, PREDICTING, Desk, Document, scene

#: Landsat 9 is above (11 E, 0 N) at noon, and Sentinel-2A three minutes later: the tracks cross there, and every 49
#: minutes before and after somewhere else, at other times apart.
LANDSAT = orbiting.over(1, NOON, 11)
SENTINEL = orbiting.over(2, NOON + timedelta(minutes=3), 11, height_km=500, inclination=60)
ELEMENTS = {"landsat-9": LANDSAT, "S2A": SENTINEL}
CROSSINGS = ["20240501T111019", "20240501T115939", "20240501T124851", "20240501T133656"]
AT_NOON = CROSSINGS[1]
#: What both will have seen there.
SCENES = [scene("l9-a", 0), scene("s2-a", 3), scene("s2-b", 3.5, 11)]


@pytest.fixture
def desk(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    with matching.opened(settings, tmp_path, monkeypatch) as opened:
        yield opened


def predict(desk: Desk, **inputs: Any) -> jobs.Job:
    asked = {
        "collections": ["s2", "l9"],
        "platforms": ["S2A", "landsat-9"],
        "elements": ELEMENTS,
        "datetime": "2024-05-01T11:00:00Z/2024-05-01T14:00:00Z",
        "max_time_difference": 600,
        **inputs,
    }
    return desk.do(PREDICTING, asked)


def predicted(desk: Desk, **inputs: Any) -> dict[str, int]:
    done = predict(desk, **inputs)
    assert done.status == "successful", done.error
    return dict(done.outputs or {})


def events(desk: Desk, *, are_predicted: bool = True) -> list[str]:
    """Events that there are, without the combination."""
    return sorted(
        name.removeprefix(f"{PAIRS}_")
        for name, event in desk.items(EVENTS).items()
        if event["properties"]["matchup:predicted"] == are_predicted
    )


def test_crossings_become_events_that_say_that_they_are_predicted(desk: Desk) -> None:
    assert predicted(desk) == {"events": 4, "found": 0, "removed": 0}
    assert events(desk) == CROSSINGS
    event = desk.items(EVENTS)[f"{PAIRS}_{AT_NOON}"]
    said = event["properties"]
    assert said["matchup:predicted"] is True
    assert said["datetime"] == said["start_datetime"] == "2024-05-01T11:59:39Z"
    assert said["end_datetime"] == "2024-05-01T12:03:25Z"
    assert (said["matchup:collections"], said["matchup:platforms"]) == (["l9", "s2"], ["landsat-9", "S2A"])
    assert said["time_diff_s"] == 180, "the second sensor is the later one"
    assert said["matchup:time_diff_abs"] == 180
    assert 0 <= said["matchup:min_distance_km"] < 4, "in a second it goes 7 km"
    assert (said["collocation_centroid_lon"], said["collocation_centroid_lat"]) == pytest.approx((11, 0), abs=0.05)
    assert said["solar_elevation_deg"] == pytest.approx(71, abs=2)
    assert said["matchup:element_epochs"]["landsat-9"] == ["2024-05-01T12:00:00Z"]
    (epoch,) = said["matchup:element_epochs"]["S2A"]  # elements have it to a millisecond
    assert abs(datetime.fromisoformat(epoch) - NOON - timedelta(minutes=3)) < timedelta(milliseconds=1)
    assert said["processing:software"] == {"almagest/predict-crossings": PREDICTING.version}
    assert said["title"] == "landsat-9 and S2A, 2024-05-01 11:59:39 UTC (predicted)"
    west, south, east, north = event["bbox"]
    assert 9 < west < 10.7 < 11.3 < east < 13
    assert -4 < south < -1.3 < 1.3 < north < 4
    assert not any(link["rel"] in {"derived_from", "related"} for link in event["links"])


def test_everybody_finds_what_is_predicted_and_what_is_not(desk: Desk) -> None:
    predicted(desk)
    desk.put(*SCENES)
    desk.found()
    with stac_client(desk.door), stac_client(desk.door, "external") as outside:
        collection = outside.get(f"/external/collections/{EVENTS}").json()
        asked = {"collections": EVENTS, "filter-lang": "cql2-text"}
        told = {
            answer: [
                item["id"]
                for item in outside.get(
                    "/external/search", params={**asked, "filter": f"matchup:predicted = {answer}"}
                ).json()["features"]
            ]
            for answer in ("true", "false")
        }
    assert sorted(told["true"]) == [f"{PAIRS}_{name}" for name in CROSSINGS if name != AT_NOON]
    assert told["false"] == [f"{PAIRS}_20240501T120000"]
    begin, end = collection["extent"]["temporal"]["interval"][0]
    assert (begin, end) == ("2024-05-01T11:10:19Z", "2024-05-01T13:38:57Z")


def test_done_again_it_changes_nothing(desk: Desk) -> None:
    predicted(desk)
    before = desk.writes()
    assert predicted(desk) == {"events": 4, "found": 0, "removed": 0}
    assert desk.writes() == before


def test_newer_elements_make_other_predictions_where_it_is_looked(desk: Desk) -> None:
    predicted(desk)
    newer = {**ELEMENTS, "S2A": orbiting.over(2, NOON + timedelta(minutes=3), 14, height_km=500, inclination=60)}
    half = "2024-05-01T11:00:00Z/2024-05-01T12:30:00Z"
    assert predicted(desk, elements=newer, datetime=half) == {"events": 2, "found": 0, "removed": 2}
    left = events(desk)
    assert left[2:] == CROSSINGS[2:], "the other half of the time was not looked at"
    assert not set(left[:2]) & set(CROSSINGS)
    # What another pair of limits does not find is not predicted any more, either.
    assert predicted(desk, elements=newer, datetime=half, max_time_difference=30)["removed"] == 2
    assert events(desk) == CROSSINGS[2:]


def test_a_prediction_belongs_to_the_interval_in_which_it_begins(desk: Desk) -> None:
    predicted(desk)
    before = desk.writes()
    behind = "2024-05-01T12:00:00Z/2024-05-01T14:00:00Z"
    assert predicted(desk, datetime=behind) == {"events": 2, "found": 0, "removed": 0}
    assert desk.writes() == before, "the one at noon has begun before, and stays"
    until = "2024-05-01T11:00:00Z/2024-05-01T11:59:39.5Z"
    assert predicted(desk, datetime=until, max_time_difference=30)["removed"] == 2


def test_elements_of_many_epochs_are_used_where_they_are_nearest(desk: Desk) -> None:
    wrong = orbiting.over(1, NOON + timedelta(days=2), 111)
    assert predicted(desk, elements={**ELEMENTS, "landsat-9": f"{LANDSAT}\n{wrong}"})["events"] == 4
    assert events(desk) == CROSSINGS


def test_what_is_looked_at_in_a_box_leaves_what_lies_elsewhere(desk: Desk) -> None:
    predicted(desk)
    assert predicted(desk, bbox=[0, -10, 20, 10]) == {"events": 1, "found": 0, "removed": 0}
    assert events(desk) == CROSSINGS
    assert predicted(desk, bbox=[0, -10, 20, 10], max_time_difference=30)["removed"] == 1
    assert events(desk) == [name for name in CROSSINGS if name != AT_NOON]


@pytest.mark.parametrize("east", [10.9, 11.1])
def test_a_box_does_not_cut_crossings(desk: Desk, east: float) -> None:
    """What is left of one would begin in another second, have another id, and stand beside the whole one."""
    predicted(desk)
    before = desk.writes()
    assert predicted(desk, bbox=[0, 0, east, 10]) == {"events": 1, "found": 0, "removed": 0}
    assert events(desk) == CROSSINGS
    assert desk.writes() == before
    assert predicted(desk, bbox=[0, 0, east, 10], max_time_difference=30)["removed"] == 1


@pytest.mark.parametrize("only_changes", [False, True])
def test_a_prediction_goes_when_scenes_have_come_and_others_stay(desk: Desk, only_changes: bool) -> None:
    desk.put(scene("s2-before", -600, 50))
    desk.changed()
    predicted(desk)
    desk.put(*SCENES)
    found = desk.changed() if only_changes else desk.found()
    assert found == {"events": 1, "matchups": 2, "removed": 0}
    assert events(desk, are_predicted=False) == ["20240501T120000"]
    assert events(desk) == [name for name in CROSSINGS if name != AT_NOON]
    before = desk.writes()
    assert desk.found() == {"events": 1, "matchups": 2, "removed": 0}
    assert desk.writes() == before
    # It does not come back beside what was found.
    assert predicted(desk) == {"events": 3, "found": 1, "removed": 0}
    assert desk.writes() == before
    # But where the scenes have gone, there may be others yet.
    desk.delete("l9-a")
    desk.found()
    assert predicted(desk) == {"events": 4, "found": 0, "removed": 0}
    assert events(desk) == CROSSINGS


def test_a_prediction_is_made_of_something_else_where_scenes_lie_elsewhere(desk: Desk) -> None:
    """At the same time, but on the other side of the globe; and there, but an hour later."""
    predicted(desk)
    desk.put(scene("l9-a", 0, 100), scene("s2-a", 3, 100), scene("l9-b", 75, 10), scene("s2-b", 78, 10))
    assert desk.found()["events"] == 2
    assert events(desk) == CROSSINGS
    assert predicted(desk) == {"events": 4, "found": 0, "removed": 0}


@pytest.mark.parametrize("gap", [300, 31 * 86_400])
def test_what_a_found_event_answers_does_not_depend_on_what_was_asked_for(desk: Desk, gap: int) -> None:
    """Otherwise what comes on the next day would be taken away, and the next prediction would bring it back."""
    later = NOON + timedelta(days=1)
    newer = {
        "landsat-9": orbiting.over(1, later, 11),
        "S2A": orbiting.over(2, later + timedelta(minutes=3), 11, height_km=500, inclination=60),
    }
    there = {"datetime": "2024-05-02T11:00:00Z/2024-05-02T14:00:00Z", "elements": newer}
    both = predicted(desk), predicted(desk, **there)
    everything = events(desk)
    assert [told["events"] for told in both] == [4, 4]
    desk.put(*SCENES)
    desk.found(event_gap=gap, max_time_difference=31 * 86_400)
    assert events(desk) == [name for name in everything if name != AT_NOON]
    before = desk.writes()
    assert predicted(desk, **there) == {"events": 4, "found": 0, "removed": 0}
    assert predicted(desk) == {"events": 3, "found": 1, "removed": 0}
    desk.found(event_gap=gap, max_time_difference=31 * 86_400)
    assert desk.writes() == before


@pytest.mark.parametrize("process", ["find-matchups", "predict-crossings"])
def test_what_has_taken_the_place_of_a_prediction_meanwhile_stays(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, process: str
) -> None:
    """A job sees the catalogue as it was at one moment, and writes later: others may have written in between."""
    predicted(desk)
    event = desk.items(EVENTS)[f"{PAIRS}_{AT_NOON}"]
    taken = {**event, "properties": {**event["properties"], "matchup:predicted": False}, "links": []}
    desk.put(*SCENES)
    desk.meanwhile(monkeypatch, lambda: desk.put(taken))
    job = desk.find() if process == "find-matchups" else predict(desk, max_time_difference=30)
    assert (job.error or {})["title"] == "Overtaken"
    assert desk.again(job).status == "successful"
    assert AT_NOON in events(desk, are_predicted=False)
    assert AT_NOON not in events(desk)


def test_an_event_that_is_called_as_a_prediction_was_takes_its_place(desk: Desk) -> None:
    predicted(desk)
    desk.put(scene("l9-a", -21 / 60), scene("s2-a", 3))
    desk.found()
    assert events(desk, are_predicted=False) == [AT_NOON]
    assert events(desk) == [name for name in CROSSINGS if name != AT_NOON]
    before = desk.writes()
    desk.found()
    predicted(desk)
    assert desk.writes() == before
    assert events(desk, are_predicted=False) == [AT_NOON]


def test_of_several_events_that_stand_for_predictions_none_is_lost(desk: Desk) -> None:
    """Scenes before it answer a prediction by whose name another event goes: taken away, it would be that event."""
    predicted(desk)
    desk.put(scene("l9-a", -7), scene("s2-a", -6), scene("l9-b", -21 / 60), scene("s2-b", 3))
    assert desk.found(max_time_difference=300)["events"] == 2
    assert events(desk, are_predicted=False) == ["20240501T115300", AT_NOON]


def test_predictions_do_not_disturb_what_is_found(desk: Desk) -> None:
    """They are no events without matchups, which would be removed, and no names that others may not have."""
    predicted(desk)
    assert desk.found() == {"events": 0, "matchups": 0, "removed": 0}
    assert desk.changed() == {"events": 0, "matchups": 0, "removed": 0}
    assert events(desk) == CROSSINGS
    with exporting.snapshot(desk.settings) as moment:
        catalogued = Catalogued(moment, {}, Wanted())
        assert catalogued.events(PAIRS, Stretch()) == {}
        assert catalogued.living(PAIRS, [f"{PAIRS}_{name}" for name in CROSSINGS]) == frozenset()
    desk.put(*SCENES, scene("l9-c", 48.85, 100), scene("s2-c", 50, 100))
    desk.found()
    # It begins in the second of a prediction that it has nothing to do with, and goes by that name all the same.
    assert events(desk, are_predicted=False) == ["20240501T120000", CROSSINGS[2]]
    desk.delete("l9-c", "l9-a")
    assert desk.found()["events"] == 0
    assert events(desk) == [CROSSINGS[0], CROSSINGS[3]]
    assert predicted(desk)["events"] == 4


def test_parts_of_a_run_take_predictions_away_as_well(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(find_matchups, "_SCENES_OF_PART", 2)
    predicted(desk)
    desk.put(*SCENES, *(scene(f"{of}-{month}", month * 43_200) for month in range(1, 4) for of in ("s2", "l9")))
    done = desk.find()
    assert done.status == "running", "it is shared out"
    with database.connect(desk.settings, desk.settings.database.admin_user) as connection:
        children = connection.execute("SELECT id FROM almagest.job WHERE parent = %s", (done.id,)).fetchall()
    assert len(children) > 1
    for (child,) in children:
        desk.runner.run(child)
    desk.runner.run(done.id)
    assert events(desk) == [name for name in CROSSINGS if name != AT_NOON]


def test_what_others_predict_is_theirs(desk: Desk) -> None:
    predicted(desk)
    theirs = desk.items(EVENTS)[f"{PAIRS}_{AT_NOON}"]
    properties = {name: said for name, said in theirs["properties"].items() if not name.startswith("processing:")}
    desk.put({**theirs, "id": "theirs", "properties": properties, "links": []})
    desk.put(*SCENES)
    desk.found()
    assert events(desk)[-1] == "theirs"
    assert predicted(desk, max_time_difference=30)["removed"] == 3
    assert events(desk) == ["theirs"]


def test_what_others_have_found_is_not_predicted(desk: Desk) -> None:
    """Theirs does not say that it is no prediction."""
    predicted(desk)
    event: Document = desk.items(EVENTS)[f"{PAIRS}_{AT_NOON}"]
    kept = ("datetime", "start_datetime", "end_datetime")
    properties = {name: event["properties"][name] for name in kept}
    desk.put({**event, "id": "theirs", "properties": properties, "links": []})
    assert predicted(desk) == {"events": 3, "found": 1, "removed": 1}


def test_crossings_over_scenes_that_are_internal_are_internal(desk: Desk) -> None:
    with database.connect(desk.settings, desk.settings.database.admin_user) as connection:
        audience.set_collections(connection, "l9", "internal")
    predicted(desk)
    with stac_client(desk.door), stac_client(desk.door, "external") as outside:
        assert outside.get(f"/external/collections/{EVENTS}").status_code == 404


def test_what_cannot_be_predicted_says_why(desk: Desk) -> None:
    failed = predict(desk, collections=["s2", "nowhere"])
    assert failed.status == "failed"
    assert "nowhere" in str(failed.error)
    failed = predict(desk, elements={"landsat-9": LANDSAT, "S2A": LANDSAT})
    assert "no two satellites" in str(failed.error)
    failed = predict(desk, elements={**ELEMENTS, "S2A": orbiting.over(2, NOON, 0, height_km=-500)})
    assert failed.status == "failed"
    assert "S2A, line 1: " in str(failed.error)
    assert desk.items(EVENTS) == {}


def test_old_elements_are_remarked_upon(desk: Desk) -> None:
    old = orbiting.over(2, datetime(2024, 4, 1, tzinfo=UTC), 11)
    done = predict(desk, elements={**ELEMENTS, "S2A": old})
    with desk.pool.connection() as connection:
        said = " ".join(event.message for event in jobs.events(connection, done.id))
    assert "S2A: the elements are of 30 days before or after what they are used for" in said
    assert "landsat-9: the elements" not in said
