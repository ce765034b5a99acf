"""Which items are scenes, of whom, when and where: good ones, and such as nobody should have written."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import shapely

from almagest.pipelines.matchups.gathering import Gathering, Wanted, ground_of, times_of
from almagest.pipelines.matchups.scenes import Sensor

Document = dict[str, Any]


def item(identifier: str = "a", **changes: Any) -> Document:
    properties = {"platform": "S2A", "datetime": "2024-05-01T10:00:00Z"} | changes.pop("properties", {})
    return {
        "type": "Feature",
        "id": identifier,
        "collection": "s2",
        "geometry": {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]]},
        "properties": properties,
        **changes,
    }


def gathered(wanted: Wanted, *items: Document) -> tuple[dict[Sensor, list[str]], dict[str, int]]:
    gathering = Gathering(wanted)
    for each in items:
        gathering.add(each)
    return {sensor: list(scenes.ids) for sensor, scenes in gathering.scenes().items()}, dict(gathering.skipped)


def test_a_sensor_is_a_platform_of_a_collection() -> None:
    other = item("b", properties={"platform": "S2B"})
    elsewhere = item("b", collection="l9", properties={"platform": "landsat-9"})
    found, skipped = gathered(Wanted(), item(), other, elsewhere, item())
    assert found == {Sensor("s2", "S2A"): ["a"], Sensor("s2", "S2B"): ["b"], Sensor("l9", "landsat-9"): ["b"]}
    assert skipped == {}


def test_as_many_platforms_as_collections_belong_together() -> None:
    wanted = Wanted(("s2", "l9"), ("S2A", "landsat-9"))
    found, _ = gathered(
        wanted,
        item(),
        item("b", properties={"platform": "landsat-9"}),
        item("c", collection="l9", properties={"platform": "landsat-9"}),
    )
    assert found == {Sensor("s2", "S2A"): ["a"], Sensor("l9", "landsat-9"): ["c"]}
    assert Sensor("s2", "S2B") in Wanted((), ("S2A", "S2B"))
    assert Sensor("s2", "S2B") in Wanted(("s2",))
    assert Sensor("l8", "S2B") not in Wanted(("s2",), ("S2A", "S2B"))


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (item(properties={"platform": None}), "names no platform"),
        (item(collection=None), "names no collection, or has no id"),
        (item(properties={"datetime": None}), "does not say when it was"),
        (item(properties={"datetime": "yesterday"}), "does not say when it was"),
        (
            item(properties={"start_datetime": "2024-05-01T11:00:00Z", "end_datetime": "2024-05-01T10:00:00Z"}),
            "ends before it starts",
        ),
        (item(geometry=None), "has no footprint that can be read"),
        (item(geometry={"type": "Polygon", "coordinates": [["x"]]}), "has no footprint that can be read"),
        (item(geometry={"type": "Point", "coordinates": [1, 1]}), "has a footprint without an area"),
        ({"type": "Feature"}, "names no collection, or has no id"),
    ],
)
def test_what_is_no_scene_is_counted_and_does_no_harm(broken: Document, reason: str) -> None:
    found, skipped = gathered(Wanted(), broken, item("good"))
    assert found == {Sensor("s2", "S2A"): ["good"]}
    assert skipped == {reason: 1}


def test_times_are_those_of_the_whole_scene() -> None:
    said = {"datetime": None, "start_datetime": "2024-05-01T10:00:00+02:00", "end_datetime": "2024-05-01T08:00:30.5Z"}
    start, stop = times_of(item(properties=said))
    assert (start, stop) == (np.datetime64("2024-05-01T08:00:00"), np.datetime64("2024-05-01T08:00:30.5"))


def test_a_footprint_across_the_antimeridian_lies_on_both_sides() -> None:
    ring = [[179, 0], [-179, 0], [-179, 1], [179, 1], [179, 0]]
    ground = ground_of(item(geometry={"type": "Polygon", "coordinates": [ring]}))
    assert ground.equals(shapely.MultiPolygon([shapely.box(179, 0, 180, 1), shapely.box(-180, 0, -179, 1)]))


def test_of_a_geometry_collection_the_areas_count() -> None:
    square = item()["geometry"]
    line = {"type": "LineString", "coordinates": [[0, 0], [5, 5]]}
    ground = ground_of(item(geometry={"type": "GeometryCollection", "geometries": [line, square]}))
    assert ground.equals(shapely.box(0, 0, 1, 1))


def test_only_what_was_then_and_there_is_looked_at() -> None:
    late = item("late", properties={"datetime": "2024-05-02T10:00:00Z"})
    day = Wanted(begin=np.datetime64("2024-05-01"), end=np.datetime64("2024-05-02"))
    assert gathered(day, item(), late)[0] == {Sensor("s2", "S2A"): ["a"]}
    far = item("far", geometry={"type": "Polygon", "coordinates": [[[9, 9], [10, 9], [10, 10], [9, 9]]]})
    near = Wanted(place=shapely.box(0.5, 0.5, 2, 2))
    assert gathered(near, item(), far)[0] == {Sensor("s2", "S2A"): ["a"]}


@pytest.mark.parametrize(
    ("wanted", "seen", "told"),
    [
        (Wanted(), [Sensor("s2", "S2A"), Sensor("l9", "landsat-9")], []),
        (Wanted(("s2", "l9")), [Sensor("s2", "S2A"), Sensor("s2", "S2B")], ["no scenes of the collection 'l9'"]),
        (Wanted((), ("S2A", "s2b")), [Sensor("s2", "S2A")], ["no scenes of the platform 's2b'", "of two sensors"]),
        (Wanted(("s2,l9",)), [], ["no scenes of the collection 's2,l9'", "no commas", "of two sensors"]),
    ],
)
def test_what_was_asked_for_and_is_not_there_is_named(wanted: Wanted, seen: list[Sensor], told: list[str]) -> None:
    sentences = wanted.missing(seen)
    assert all(sentence.endswith(".") for sentence in sentences)
    assert len(sentences) == len(told)
    assert all(part in sentence for part, sentence in zip(told, sentences, strict=True))
