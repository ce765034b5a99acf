"""Matchups and events as items: valid STAC, names that say one thing, and places across the antimeridian."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import shapely
from shapely.geometry import shape

from almagest.catalogue.acceptance import Rules, accept_item
from almagest.pipelines.matchups import naming
from almagest.pipelines.matchups.documents import Matchup, Product, event_item, matchup_item
from almagest.pipelines.matchups.scenes import Sensor

LANDSAT, S2A = Sensor("LANDSAT_C2L1", "Landsat-9"), Sensor("S2_MSI_L1C", "S2A")
BEGIN = datetime(2022, 5, 21, 8, 30, tzinfo=UTC)
COMBINATION = "LANDSAT_C2L1-Landsat-9-vs-S2_MSI_L1C-S2A"


def matchup(ground: Any = None, product: str = "S2A_001", after_s: float = -330.0, **properties: Any) -> Matchup:
    later = BEGIN + timedelta(seconds=after_s)
    return Matchup(
        (Product(LANDSAT, "L9_001", BEGIN, BEGIN + timedelta(seconds=24)), Product(S2A, product, later, later)),
        ground or shapely.box(34.5, 45.5, 36.0, 47.0),
        123.5,
        0.25,
        properties,
    )


def test_a_combination_has_one_name_whatever_the_order() -> None:
    """eomatch sorts by collection alone: two platforms of one collection had two names."""
    sensors = [Sensor("s2", "S2B"), Sensor("s2", "S2A"), Sensor("landsat", "Landsat-8")]
    names = {naming.combination(order) for order in itertools.permutations(sensors)}
    assert names == {"landsat-Landsat-8-vs-s2-S2A-vs-s2-S2B"}


def test_a_matchup_is_called_as_eomatch_calls_it_and_by_its_products() -> None:
    assert matchup().id.startswith(f"{COMBINATION}_20220521T083000_20220521T082430_34.50_45.50_36.00_47.00_")
    # A reprocessed product: eomatch gives both the same id.
    assert matchup().id != matchup(product="S2A_002").id
    assert matchup().id == matchup(land_fraction=0.5).id


def test_a_matchup_is_a_valid_item_that_says_when_where_and_of_what() -> None:
    item = matchup_item(matchup(solar_elevation_deg=41.5), f"{COMBINATION}_20220521T082430")
    accept_item(item, Rules("http://localhost"))
    properties = item["properties"]
    # eomatch writes the end without the start: not valid, and searches by time miss it.
    assert properties["start_datetime"] == properties["datetime"] == "2022-05-21T08:24:30Z"
    assert properties["end_datetime"] == "2022-05-21T08:30:24Z"
    assert (properties["time_diff_s"], properties["matchup:time_diff_abs"]) == (-330.0, 330.0)
    assert properties["matchup:collections"] == ["LANDSAT_C2L1", "S2_MSI_L1C"]
    assert properties["matchup:platforms"] == ["Landsat-9", "S2A"]
    assert properties["solar_elevation_deg"] == 41.5
    assert [link["href"] for link in item["links"] if link["rel"] == "derived_from"] == [
        "/collections/LANDSAT_C2L1/items/L9_001",
        "/collections/S2_MSI_L1C/items/S2A_001",
    ]
    (related,) = (link for link in item["links"] if link["rel"] == "related")
    assert (related["matchup:role"], related["title"]) == ("event", "Event 20220521T082430")
    assert related["href"] == f"/collections/matchup-events-{COMBINATION}/items/{COMBINATION}_20220521T082430"


def test_an_event_is_where_and_when_its_matchups_are() -> None:
    matchups = [matchup(), matchup(shapely.box(35, 47, 36, 48), "S2A_002", 600)]
    item = event_item("e", [product.sensor for product in matchups[0].products], matchups)
    accept_item(item, Rules("http://localhost"))
    assert shape(item["geometry"]).equals(shapely.union_all([m.overlap for m in matchups]))
    assert item["properties"]["start_datetime"] == "2022-05-21T08:24:30Z"
    assert item["properties"]["end_datetime"] == "2022-05-21T08:40:00Z"
    assert item["properties"]["matchup:n_matchups"] == 2
    assert [link["matchup:role"] for link in item["links"]] == ["matchup", "matchup"]
    assert item["links"][0]["title"].startswith("Matchup 20220521T083000_20220521T082430_34.50_45.50_36.00_47.00_")


def test_across_the_antimeridian_west_is_the_greater_and_the_centre_lies_within() -> None:
    ground = shapely.MultiPolygon([shapely.box(179, 10, 180, 12), shapely.box(-180, 10, -177, 12)])
    item = matchup_item(matchup(ground), "e")
    accept_item(item, Rules("http://localhost"))
    assert item["bbox"] == [179, 10, -177, 12]
    assert item["properties"]["collocation_centroid_lon"] == pytest.approx(-179)
    assert item["properties"]["collocation_centroid_lat"] == pytest.approx(11)
    world = matchup_item(matchup(shapely.box(-180, -90, 180, 90)), "e")
    assert world["bbox"] == [-180, -90, 180, 90]
