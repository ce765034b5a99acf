"""What eomatch is weak at, and we are not: eleven points, a test each. Below each, one that shows more of it.

 1. takes a bound of 0 for none
    test_find.py::test_a_configuration_of_eomatch_says_the_same
 2. pairs whatever an event holds, however far apart in time
    test_matchup_pairs.py::test_pairs_are_those_of_brute_force
 3. names two platforms of one collection as they come
    test_matchup_documents.py::test_a_combination_has_one_name_whatever_the_order
 4. finds a collection by any part of its name
    test_matchup_gathering.py::test_as_many_platforms_as_collections_belong_together
 5. overwrites what it calls never overwritten
    test_register_asset.py::test_other_bytes_on_the_same_day_get_a_sequence
 6. writes an end without a start
    test_find.py::test_what_was_written_goes_in_and_leads_to_its_scenes
 7. drops what lies across the antimeridian
    test_matchup_documents.py::test_across_the_antimeridian_west_is_the_greater_and_the_centre_lies_within
 8. looks through all for one, and sends all anew
    test_ingest.py::test_what_is_in_is_not_touched_again
 9. gives a reprocessed product the same matchup
    test_find_matchups.py::test_a_scene_that_is_another_now_makes_another_matchup
10. documents a property by a name that it does not write
    test_matchup_sun.py::test_the_makers_of_real_scenes_say_the_same
11. names an event by its start, and leaves it to people to merge two
    test_find_matchups.py::test_an_event_that_grows_keeps_its_id_and_swallows_others

So they were found in its source (commit of 2026-07-17). In eomatch 0.2 as it is on PyPI, 2 and 9 are mended.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import shapely
from typer.testing import CliRunner

from almagest.catalogue.acceptance import Rules, accept_item
from almagest.catalogue.exchange import Record, folders, writer
from almagest.catalogue.ingest.batches import cut
from almagest.catalogue.registering import files, keys, local
from almagest.cli.commands import app
from almagest.pipelines.matchups import naming
from almagest.pipelines.matchups.chains import Entry, named
from almagest.pipelines.matchups.documents import Matchup, event_item, matchup_item
from almagest.pipelines.matchups.finding import find
from almagest.pipelines.matchups.gathering import Wanted
from almagest.pipelines.matchups.pairing import Limits
from almagest.pipelines.matchups.scenes import Scenes, Sensor, footprint
from support import rasters

HOUSE = Path(__file__).parents[2]
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
S2A, S2B, LANDSAT = Sensor("s2", "S2A"), Sensor("s2", "S2B"), Sensor("landsat", "landsat-9")
HERE = shapely.box(10, 0, 12, 2)


def scenes(sensor: Sensor, seconds: list[int], ground: Any = HERE, prefix: str = "") -> Scenes:
    """One at each of these seconds after noon."""
    starts = [(NOON + timedelta(seconds=s)).replace(tzinfo=None) for s in seconds]
    ids = [f"{prefix}{sensor.platform}-{s}" for s in seconds]
    return Scenes.of(sensor, ids, starts, starts, [ground] * len(seconds))


def events(one: Scenes, other: Scenes, seconds: float = 600, gap_s: float = 300) -> list[list[Matchup]]:
    return list(find({other.sensor: other, one.sensor: one}, Limits(seconds), gap_s))


def matchup(one: Scenes, other: Scenes) -> Matchup:
    ((found,),) = events(one, other)
    return found


def test_1_a_bound_of_zero_is_a_bound(tmp_path: Path) -> None:
    items = [
        rasters.item(f"{of}-{south}", of, (10, south, 12, south + 2), {}, "2024-05-01T12:00:00Z", platform=of)
        for of in ("a", "b")
        for south in (-9, 7)
    ]
    (tmp_path / "items.ndjson").write_text("".join(f"{json.dumps(item)}\n" for item in items))
    (tmp_path / "config.yaml").write_text("min_lat: 0\nmax_lat: 90\n")
    options = ["--items", str(tmp_path / "items.ndjson"), "--config", str(tmp_path / "config.yaml"), "--json"]
    done = CliRunner().invoke(app, ["find", *options])
    assert json.loads(done.stdout.splitlines()[0])["matchups"] == 1, "not the pair south of the equator"


def test_2_scenes_of_one_event_are_no_pair_where_they_are_far_apart_in_time() -> None:
    (event,) = events(scenes(LANDSAT, [0, 900]), scenes(S2A, [0, 900]), seconds=300, gap_s=3600)
    assert [[product.start for product in m.products] for m in event] == [
        [NOON + timedelta(seconds=s)] * 2 for s in (0, 900)
    ]


def test_3_two_platforms_of_one_collection_have_one_name_whoever_comes_first() -> None:
    one, other = matchup(scenes(S2A, [0]), scenes(S2B, [60])), matchup(scenes(S2B, [60]), scenes(S2A, [0]))
    assert one.id == other.id
    assert one.combination == naming.combination([S2B, S2A]) == naming.combination([S2A, S2B]) == "s2-S2A-vs-s2-S2B"
    assert matchup_item(one, "e") == matchup_item(other, "e")


def test_4_a_collection_is_meant_by_its_whole_name() -> None:
    wanted = Wanted(collections=("s2",))
    assert S2A in wanted
    assert not any(Sensor(name, "S2A") in wanted for name in ("s2-l1c", "my-s2", "s", "S2"))


def test_5_a_dated_asset_is_never_overwritten() -> None:
    def asset(content: bytes) -> dict[str, Any]:
        return files.asset_of(files.read([content], NOON), f"/results/{content.decode()}.nc")

    document = rasters.item("one", "pairs", (0, 0, 1, 1), {})
    day = date(2024, 5, 1)
    document, first = keys.register(document, "comparison", asset(b"morning"), day)
    before = document["assets"][first.key]
    document, second = keys.register(document, "comparison", asset(b"evening"), day)
    assert (first.key, second.key) == ("comparison:2024-05-01", "comparison:2024-05-01.2")
    assert document["assets"][first.key] == before
    assert document["assets"]["comparison:latest"]["href"] == "/results/evening.nc"


def test_6_an_item_says_when_it_began_and_ended_as_stac_asks_for() -> None:
    ((found,),) = events(scenes(LANDSAT, [0]), scenes(S2A, [60]))
    for item in (matchup_item(found, "e"), event_item("e", [LANDSAT, S2A], [found])):
        accept_item(item, Rules("http://localhost"))
        said = item["properties"]
        assert (said["start_datetime"], said["end_datetime"]) == ("2024-05-01T12:00:00Z", "2024-05-01T12:01:00Z")
        assert said["datetime"] == said["start_datetime"]


def test_7_what_lies_across_the_antimeridian_is_found_where_it_is() -> None:
    ground = footprint(shapely.MultiPolygon([shapely.box(179, 0, 180, 2), shapely.box(-180, 0, -179, 2)]))
    found = matchup(scenes(LANDSAT, [0], ground), scenes(S2A, [60], ground))
    for item in (matchup_item(found, "e"), event_item("e", [LANDSAT, S2A], [found])):
        assert item["bbox"] == [179, 0, -179, 2]
    # As much as on both sides of Greenwich, where nothing is cut.
    elsewhere = shapely.box(-1, 0, 1, 2)
    twin = matchup(scenes(LANDSAT, [0], elsewhere), scenes(S2A, [60], elsewhere))
    assert found.area_km2 == pytest.approx(twin.area_km2, rel=1e-9)
    assert events(scenes(LANDSAT, [0], ground), scenes(S2A, [60], shapely.box(-170, 0, 170, 2))) == []


def test_8_one_of_many_is_found_without_looking_through_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(*numbers: int) -> None:
        with writer("stac", tmp_path / "catalogue", identifier="c") as out:
            for number in numbers:
                out.write(rasters.item(f"item-{number}", "pairs", (0, 0, 1, 1), {}))

    write(*range(200))
    read: list[str] = []
    monkeypatch.setattr(local, "read", lambda href, own=local.read: read.append(href) or own(href))
    asset = files.asset_of(files.read([b"a"], NOON), "/results/a.nc")
    local.Catalogue(tmp_path / "catalogue").register("pairs", "item-150", "comparison", asset, NOON.date())
    assert {Path(href).name for href in read} == {"catalog.json", "collection.json", "item-150.json"}
    # Many more items are added for no more looking than one.
    looked: list[Path] = []
    monkeypatch.setattr(folders, "_loaded", lambda path, own=folders._loaded: looked.append(path) or own(path))
    write(200)
    once = len(looked)
    write(*range(201, 240))
    assert len(looked) - once <= once + 1, "the item that is there by now"
    # And what goes in is taken from the source as it is needed.
    source: Iterator[Record] = (Record(str(n), b"{}") for n in range(1_000_000))
    next(cut(source))
    assert int(next(source).where) < 10_000


def test_9_a_reprocessed_product_makes_another_matchup() -> None:
    one = matchup(scenes(LANDSAT, [0]), scenes(S2A, [60]))
    reprocessed = matchup(scenes(LANDSAT, [0]), scenes(S2A, [60], prefix="again-"))
    assert one.id != reprocessed.id
    assert one.id.rpartition("_")[0] == reprocessed.id.rpartition("_")[0], "all else is as it was"


def test_10_properties_are_called_as_the_documentation_calls_them() -> None:
    ((found,),) = events(scenes(LANDSAT, [0]), scenes(S2A, [60]))
    written = {*matchup_item(found, "e")["properties"], *event_item("e", [LANDSAT, S2A], [found])["properties"]}
    text = (HOUSE / "pipelines" / "README.md").read_text(encoding="utf-8")
    _, _, section = text.partition("## What a matchup says\n")
    rows = re.findall(r"^\| (`.+?`) \|", section.partition("\n## ")[0], re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`([^`]+)`", row)} == written - {"title"}


def test_11_an_event_keeps_its_id_and_two_that_are_one_become_one() -> None:
    def entry(minute: int, event: str | None) -> Entry:
        start = NOON + timedelta(minutes=minute)
        return Entry(f"matchup-{minute}", start, start, HERE, event)

    # Found in one region; what another region has of the same pass began before it.
    (event,) = named("c", [[entry(-1, None), entry(0, "c_20240501T120000")]])
    assert (event.id, event.merged) == ("c_20240501T120000", [])
    # Both regions have found it, each by itself.
    (event,) = named("c", [[entry(0, "c_20240501T120000"), entry(2, "c_20240501T120200")]])
    assert (event.id, event.merged) == ("c_20240501T120000", ["c_20240501T120200"])


def test_the_tests_that_are_named_above_are_there() -> None:
    pointed = re.findall(r"(test_\w+\.py)::(test_\w+)$", str(__doc__), re.MULTILINE)
    assert len(pointed) == 11
    for file, test in pointed:
        texts = [path.read_text(encoding="utf-8") for path in (HOUSE / "tests").glob(f"*/{file}")]
        assert any(f"def {test}(" in text for text in texts), f"{file}::{test}"
    assert [int(number) for number in re.findall(r"^ ?(\d+)\. ", str(__doc__), re.MULTILINE)] == [*range(1, 12)]
    assert [name for name in globals() if re.match(r"test_\d", name)][-1].startswith("test_11_")
