"""Which items make a mosaic, compared with going through all of them one by one."""

from __future__ import annotations

import dataclasses
import io
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import morecantile
import numpy
import psycopg
import pytest
import shapely
from shapely.geometry import box, mapping, shape

from almagest.catalogue import database, loading
from almagest.core.errors import BadRequestError
from almagest.core.settings import Settings, Store
from almagest.services.tiles.database import Catalogue
from conftest import tiles_client
from support import rasters

pytestmark = pytest.mark.filterwarnings("ignore")

MERCATOR = morecantile.tms.get("WebMercatorQuad")
#: What the picture is made of.
TILE = (10.0, 40.0, 18.0, 48.0)
NEWEST_FIRST = {"collections": ["scenes"]}


@pytest.fixture
def catalogue(settings: Settings) -> Iterator[Catalogue]:
    opened = Catalogue(settings, "almagest_reader")
    opened.open()
    yield opened
    opened.close()


def footprint(identifier: str, geometry: dict[str, Any], day: int, **properties: Any) -> dict[str, Any]:
    when = f"2024-{1 + day // 28:02}-{1 + day % 28:02}T10:00:00Z"
    document = rasters.item(identifier, "scenes", shape(geometry).bounds, {}, when, **properties)
    return {**document, "geometry": geometry, "assets": {"data": {"href": f"https://x.example.org/{identifier}.tif"}}}


def load(settings: Settings, items: list[dict[str, Any]]) -> None:
    loading.load_documents(settings, [rasters.collection("scenes")], items)


def chosen(catalogue: Catalogue, search: dict[str, Any] | None = None, **options: Any) -> list[str]:
    frame = mapping(box(*TILE))
    found = catalogue.mosaic(search or NEWEST_FIRST, frame, limit=options.pop("limit", 10_000), **options)
    return [item["id"] for item in found]


def newest_first(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(items, key=lambda item: (item["properties"]["datetime"], item["id"]), reverse=True)


def beneath(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [item for item in items if shape(item["geometry"]).intersects(box(*TILE))]


def one_by_one(items: list[dict[str, Any]]) -> list[str]:
    """The same rule, the slow way: an item is taken if its footprint is new and reaches a cell not yet covered."""
    west, south, east, north = TILE
    width, height = (east - west) / 8, (north - south) / 8
    cells = [
        box(west + x * width, south + y * height, west + (x + 1) * width, south + (y + 1) * height)
        for x in range(8)
        for y in range(8)
    ]
    hidden: set[int] = set()
    footprints: list[dict[str, Any]] = []
    taken = []
    for item in items:
        if item["geometry"] in footprints:
            continue
        footprints.append(item["geometry"])
        geometry = shape(item["geometry"])
        frame = box(*geometry.bounds)
        if any(frame.intersects(cell) for index, cell in enumerate(cells) if index not in hidden):
            taken.append(item["id"])
        if geometry.is_valid:
            hidden |= {index for index, cell in enumerate(cells) if geometry.covers(cell)}
    return taken


def scattered(seed: int, count: int) -> list[dict[str, Any]]:
    """Scenes of all sizes, turned this way and that, some with holes, some beside the tile."""
    numbers = random.Random(seed)
    items = []
    for index in range(count):
        x, y = numbers.uniform(6, 22), numbers.uniform(36, 52)
        edge = numbers.choice([0.3, 1.7, 4.0, 12.0])
        scene = shapely.affinity.rotate(box(x - edge, y - edge, x + edge, y + edge), numbers.choice([0, 0, 13, 40]))
        if index % 7 == 0:
            scene = scene.difference(box(x - edge / 3, y - edge / 3, x + edge / 3, y + edge / 3))
        items.append(footprint(f"s{index:03}", mapping(scene), numbers.randrange(300)))
    return items


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_as_if_one_went_through_all(settings: Settings, catalogue: Catalogue, seed: int) -> None:
    items = scattered(seed, 120)
    load(settings, items)
    ordered = newest_first(beneath(items))
    taken = chosen(catalogue)
    assert taken == one_by_one(ordered)
    assert len(taken) < len(ordered), "something is left out, or the test tests nothing"

    # What is seen is what would be seen with all of them: at any place the same scene lies on top.
    by_id = {item["id"]: shape(item["geometry"]) for item in ordered}
    numbers = random.Random(seed)
    for _ in range(2_000):
        point = shapely.Point(numbers.uniform(TILE[0], TILE[2]), numbers.uniform(TILE[1], TILE[3]))
        on_top = next((name for name, geometry in by_id.items() if geometry.contains(point)), None)
        assert on_top == next((name for name in taken if by_id[name].contains(point)), None)
    covered = shapely.union_all([by_id[name] for name in taken]).intersection(box(*TILE))
    everything = shapely.union_all(list(by_id.values())).intersection(box(*TILE))
    assert covered.area == pytest.approx(everything.area)


def test_without_leaving_anything_out(settings: Settings, catalogue: Catalogue) -> None:
    items = scattered(4, 80)
    load(settings, items)
    ordered = [item["id"] for item in newest_first(beneath(items))]
    assert chosen(catalogue, exit_when_full=False, skip_covered=False) == ordered
    assert chosen(catalogue, exit_when_full=False, skip_covered=False, limit=7) == ordered[:7]
    until_full = chosen(catalogue, exit_when_full=True, skip_covered=False)
    assert until_full == ordered[: len(until_full)]


def test_a_deep_stack_needs_its_top_alone(settings: Settings, catalogue: Catalogue) -> None:
    everywhere = mapping(box(0, 30, 30, 60))
    load(settings, [footprint(f"s{day:03}", everywhere, day) for day in range(200)])
    assert chosen(catalogue) == ["s199"]
    assert chosen(catalogue, {**NEWEST_FIRST, "sortby": [{"field": "datetime", "direction": "asc"}]}) == ["s000"]
    assert chosen(catalogue, exit_when_full=True, skip_covered=False) == ["s199"]


def test_of_one_footprint_the_first_is_taken(settings: Settings, catalogue: Catalogue) -> None:
    """However small it is, as on the grid of a mission; of points and lines nobody knows what lies there."""
    corner, point = mapping(box(10.1, 40.1, 10.4, 40.4)), {"type": "Point", "coordinates": [14, 44]}
    load(settings, [footprint(f"{name}{day}", g, day) for name, g in (("s", corner), ("p", point)) for day in range(3)])
    assert chosen(catalogue) == ["s2", "p2", "p1", "p0"]
    assert chosen(catalogue, skip_covered=False) == ["s2", "p2", "s1", "p1", "s0", "p0"]


def test_where_not_all_can_be_taken_no_place_is_forgotten(settings: Settings, catalogue: Catalogue) -> None:
    """Many new scenes in the west, none of them covering a cell, and one old scene in the east."""
    west = [
        footprint(f"w{index:03}", mapping(box(10.1 + index / 1000, 40.1, 10.5 + index / 1000, 40.5)), 200)
        for index in range(60)
    ]
    load(settings, [*west, footprint("east", mapping(box(17.2, 47.2, 17.6, 47.6)), 1)])
    assert "east" in chosen(catalogue, limit=5)
    assert len(chosen(catalogue, limit=5)) == 5
    assert chosen(catalogue, limit=5)[-1] == "east", "and the order is still that of the search"


def test_the_order_is_that_of_the_search(settings: Settings, catalogue: Catalogue) -> None:
    clouds = {"a": 30, "b": 10, "c": 20}
    load(
        settings,
        [
            footprint(name, mapping(box(10.1 + day / 100, 40.1, 10.4, 40.4)), day, **{"eo:cloud_cover": cover})
            for day, (name, cover) in enumerate(clouds.items())
        ],
    )
    assert chosen(catalogue) == ["c", "b", "a"]
    for direction, expected in (("asc", ["b", "c", "a"]), ("desc", ["a", "c", "b"])):
        search = {**NEWEST_FIRST, "sortby": [{"field": "eo:cloud_cover", "direction": direction}]}
        assert chosen(catalogue, search) == expected


def test_conditions_of_the_search_hold(settings: Settings, catalogue: Catalogue) -> None:
    everywhere = mapping(box(0, 30, 30, 60))
    load(settings, [footprint(f"s{day}", everywhere, day, mark="100%s") for day in range(5)])
    assert chosen(catalogue, {**NEWEST_FIRST, "ids": ["s2"]}) == ["s2"]
    assert chosen(catalogue, {**NEWEST_FIRST, "datetime": "../2024-01-02T23:00:00Z"}) == ["s1"]
    percent = {"op": "=", "args": [{"property": "mark"}, "100%s"]}
    assert chosen(catalogue, {**NEWEST_FIRST, "filter": percent, "filter-lang": "cql2-json"}) == ["s4"]
    like = {"op": "like", "args": [{"property": "mark"}, "1%1$s%%"]}
    assert chosen(catalogue, {**NEWEST_FIRST, "filter": like, "filter-lang": "cql2-json"}) == []
    assert chosen(catalogue, {"collections": ["none"]}) == []
    with pytest.raises(BadRequestError):
        chosen(catalogue, {**NEWEST_FIRST, "filter": {"op": "nonsense", "args": []}, "filter-lang": "cql2-json"})


def test_strange_footprints(settings: Settings, catalogue: Catalogue) -> None:
    """None of them covers anything for certain; all of them are there."""
    bowtie = {"type": "Polygon", "coordinates": [[[0, 30], [30, 60], [30, 30], [0, 60], [0, 30]]]}
    line = {"type": "LineString", "coordinates": [[0, 30], [30, 60]]}
    point = {"type": "Point", "coordinates": [14, 44]}
    parts = {"type": "GeometryCollection", "geometries": [mapping(box(0, 30, 30, 60)), point]}
    shapes = {"bowtie": bowtie, "line": line, "point": point, "collection": parts}
    items = [footprint(name, geometry, 20 - day) for day, (name, geometry) in enumerate(shapes.items())]
    load(
        settings, [*items, footprint("all", mapping(box(0, 30, 30, 60)), 1), footprint("under", mapping(box(*TILE)), 0)]
    )
    assert chosen(catalogue) == ["bowtie", "line", "point", "collection", "all"]


def test_points_and_no_place_at_all(settings: Settings, catalogue: Catalogue) -> None:
    load(settings, [footprint(f"s{day}", mapping(box(0, 30, 30, 60)), day) for day in range(5)])
    point = {"type": "Point", "coordinates": [14, 44]}
    assert len(catalogue.mosaic(NEWEST_FIRST, point, limit=3)) == 3
    assert catalogue.mosaic(NEWEST_FIRST, {"type": "Point", "coordinates": [50, 44]}, limit=3) == []
    (first,) = catalogue.mosaic(NEWEST_FIRST, None, limit=1)
    assert first["id"] == "s4"


def test_an_item_is_whole(settings: Settings, catalogue: Catalogue) -> None:
    """Stored items lack what their collection's item_assets say; a mosaic gives it back."""
    item_assets = {"data": {"type": rasters.COG, "roles": ["data"], "title": "Data"}, "other": {"type": "text/html"}}
    document = footprint("a", mapping(box(*TILE)), 1)
    document["assets"]["data"] |= item_assets["data"]
    loading.load_documents(settings, [rasters.collection("scenes", item_assets=item_assets)], [document])
    (found,) = catalogue.mosaic(NEWEST_FIRST, mapping(box(*TILE)), limit=1)
    with database.connect(settings, "almagest_reader") as connection:
        row = connection.execute("SELECT item_document('scenes', 'a')").fetchone()
    assert row
    assert found == {key: row[0][key] for key in ("id", "collection", "bbox", "assets")}
    assert found["assets"] == document["assets"]


def test_it_reads_and_nothing_else(settings: Settings, catalogue: Catalogue) -> None:
    """So that it runs on a replica: no temporary table, no row written, in a read-only transaction."""
    load(settings, scattered(5, 10))
    with database.connect(settings, "almagest_reader") as connection:
        assert connection.execute("SHOW default_transaction_read_only").fetchone() == ("on",)
        with connection.transaction():
            connection.execute("SET TRANSACTION READ ONLY")
            before = connection.execute("SELECT pg_current_xact_id_if_assigned()").fetchone()
            frame = mapping(box(*TILE))
            connection.execute(
                "SELECT * FROM mosaic_items(%s::jsonb, %s::jsonb, 50, true, true)",
                (json.dumps(NEWEST_FIRST), json.dumps(frame)),
            )
            assert connection.execute("SELECT pg_current_xact_id_if_assigned()").fetchone() == before == (None,)


def test_nobody_else_writes_searches(settings: Settings) -> None:
    for role, statement in (
        ("almagest_reader", "SELECT register_search('{}', '{}')"),
        ("almagest_reader", "INSERT INTO almagest.registered_search (id, search, metadata) VALUES ('', '{}', '{}')"),
        ("almagest_writer", "INSERT INTO almagest.registered_search (id, search, metadata) VALUES ('', '{}', '{}')"),
        ("almagest_writer", "UPDATE almagest.registered_search SET audience = 'public'"),
    ):
        with database.connect(settings, role) as connection:
            connection.execute("SET default_transaction_read_only = off")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement.encode())


# ---------------------------------------------------------------------------------------------------------------------
# Pixels


@pytest.fixture
def tiler(settings: Settings, tmp_path: Path) -> Iterator[httpx.Client]:
    settings = dataclasses.replace(settings, store=Store(store_roots=(tmp_path,)))
    with tiles_client(settings) as client:
        yield client


def scene(folder: Path, name: str, value: int, west: float, day: int, bands: int = 1) -> dict[str, Any]:
    """A scene of one value."""
    pixels = numpy.full((bands, 64, 64), value, "uint8")
    path = rasters.write(folder / f"{name}.tif", pixels, crs="EPSG:3857", west=west, north=0, size=1000, nodata=0)
    when = f"2024-01-{day:02}T00:00:00Z"
    return rasters.item(name, "scenes", rasters.bounds(path), {"data": rasters.asset(path)}, when)


def test_the_newest_lies_on_top(settings: Settings, tiler: httpx.Client, tmp_path: Path) -> None:
    load(settings, [scene(tmp_path, "old", 50, -32_000, 1), scene(tmp_path, "new", 200, 0, 2)])
    tile = MERCATOR.tile(0.1, -0.1, 8)
    west, _, east, _ = MERCATOR.xy_bounds(tile)
    address = f"/api/tiles/collections/scenes/tiles/WebMercatorQuad/{tile.z}/{tile.x}/{tile.y}.npy?assets=data"

    def row(more: str = "") -> list[int]:
        response = tiler.get(address + more)
        assert response.status_code == 200, response.text
        columns = [int((x - west) / (east - west) * 256) for x in (20_000, 50_000)]
        values = numpy.load(io.BytesIO(response.content))[0, 10]
        return [int(values[column]) for column in columns]

    assert row() == [200, 200]
    assert row("&sortby=datetime") == [50, 200]
    assert row("&ids=old") == [50, 0]
    assert row("&pixel_selection=lowest") == [50, 200]


def test_items_that_cannot_be_read_leave_a_hole(settings: Settings, tiler: httpx.Client, tmp_path: Path) -> None:
    good, gone, elsewhere = (scene(tmp_path, name, 90, 0, day) for day, name in enumerate(("good", "gone", "far"), 1))
    (tmp_path / "gone.tif").unlink()
    elsewhere["assets"]["data"]["href"] = "https://elsewhere.example.org/a.tif"
    load(settings, [good, gone, elsewhere])
    tile = MERCATOR.tile(0.1, -0.1, 9)
    address = f"/api/tiles/collections/scenes/tiles/WebMercatorQuad/{tile.z}/{tile.x}/{tile.y}.npy?assets=data"
    response = tiler.get(f"{address}&skipcovered=false&exitwhenfull=false")
    assert response.status_code == 200, response.text
    assert numpy.load(io.BytesIO(response.content))[0].max() == 90


def test_items_of_different_kinds(settings: Settings, tiler: httpx.Client, tmp_path: Path) -> None:
    three = scene(tmp_path, "three", 200, 0, 2, bands=3)
    load(settings, [scene(tmp_path, "one", 50, -32_000, 1), three])
    tile = MERCATOR.tile(0.1, -0.1, 6)
    address = f"/api/tiles/collections/scenes/tiles/WebMercatorQuad/{tile.z}/{tile.x}/{tile.y}.png"
    response = tiler.get(address)
    assert response.status_code == 400
    assert "bands" in response.json()["detail"]
    assert tiler.get(f"{address}?assets=data|bidx=1").status_code == 200


def test_an_empty_place(settings: Settings, tiler: httpx.Client, tmp_path: Path) -> None:
    load(settings, [scene(tmp_path, "a", 50, 0, 1)])
    address = "/api/tiles/collections/scenes/tiles/WebMercatorQuad/8/3/3.png"
    for query in ("", "?ids=nothing"):
        assert tiler.get(address + query).status_code == 204
    assert tiler.get(f"{address}?blank=true").headers["content-type"] == "image/png"
    assert tiler.get("/api/tiles/collections/scenes/tiles/WebMercatorQuad/8/999/3.png?blank=true").status_code == 404


def test_the_other_endpoints(settings: Settings, tiler: httpx.Client, tmp_path: Path) -> None:
    load(settings, [scene(tmp_path, "old", 50, -32_000, 1), scene(tmp_path, "new", 200, 0, 2)])
    here = "/api/tiles/collections/scenes"
    body = tiler.get(f"{here}/WebMercatorQuad/tilejson.json?assets=data").json()
    assert body["bounds"] == [-180, -90, 180, 90]
    assert body["tiles"][0].startswith(f"http://127.0.0.1:8080{here}/tiles/WebMercatorQuad/{{z}}/{{x}}/{{y}}")
    values = {a["name"]: a["values"] for a in tiler.get(f"{here}/point/0.1,-0.1").json()["assets"]}
    assert values == {"scenes/new": [200], "scenes/old": [50]}
    ring = [[0.1, -0.1], [0.2, -0.1], [0.2, -0.2], [0.1, -0.1]]
    feature = {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
    statistics = tiler.post(f"{here}/statistics?max_size=64", json=feature).json()["properties"]["statistics"]
    assert statistics["b1"]["mean"] == pytest.approx(200)
    assert tiler.get(f"{here}/bbox/0.1,-0.2,0.2,-0.1/20x20.png").status_code == 200
    for hidden in ("tiles/WebMercatorQuad/8/128/128/assets", "point/0.1,-0.1/assets", "bbox/0,0,1,1/assets", "info"):
        assert tiler.get(f"{here}/{hidden}").status_code == 404, "hrefs are not for everybody"
