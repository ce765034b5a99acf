"""The tiler on a real database: what it draws is what rio-tiler reads, and what it is asked for is what it does."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fastapi
import httpx
import morecantile
import numpy
import pytest
import rasterio
from rasterio.io import MemoryFile
from rio_tiler.io import Reader

from almagest.catalogue import database, loading, rendering
from almagest.catalogue.reserved import CANARY
from almagest.core.hrefs import HrefPolicy
from almagest.core.settings import Settings, Store, Tiles
from conftest import TEMPLATE, tiles_client
from support import rasters
from support.cluster import Cluster

# What rio-tiler, rasterio and affine say to developers about small test images.
pytestmark = pytest.mark.filterwarnings("ignore")

MERCATOR = morecantile.tms.get("WebMercatorQuad")
ITEM = "/api/tiles/collections/scenes/items"
#: A place in UTM zone 33, north.
UTM = {"crs": "EPSG:32633", "west": 500_000.0, "north": 5_500_000.0, "size": 10.0}

Load = Callable[..., None]


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stores")


@pytest.fixture
def store(stores: Path) -> Path:
    return Path(tempfile.mkdtemp(dir=stores))


@pytest.fixture(scope="module")
def tiler_settings(cluster: Cluster, stores: Path) -> Iterator[Settings]:
    with cluster.clone(TEMPLATE) as name:
        yield dataclasses.replace(
            cluster.settings(name), store=Store(store_roots=(stores,)), tiles=Tiles(max_size_px=512)
        )


@pytest.fixture(scope="module")
def tiler(tiler_settings: Settings) -> Iterator[httpx.Client]:
    """One for all: making it takes a second."""
    with tiles_client(tiler_settings) as client:
        yield client


@pytest.fixture(autouse=True)
def emptied(tiler_settings: Settings) -> Iterator[None]:
    """Each test leaves the catalogue as it found it."""
    yield
    with database.connect(tiler_settings, "postgres") as connection:
        connection.execute("SET search_path = pgstac, public")
        connection.execute("SELECT delete_collection(id) FROM collections WHERE id <> %s", (CANARY,))


@pytest.fixture
def load(tiler_settings: Settings) -> Load:
    def load(*items: dict[str, Any], **collections: dict[str, Any]) -> None:
        names = {entry["collection"] for entry in items}
        documents = [rasters.collection(name, **collections.get(name, {})) for name in sorted(names)]
        loading.load_documents(tiler_settings, documents, items)

    return load


@pytest.fixture
def client(tiler: httpx.Client) -> httpx.Client:
    return tiler


@pytest.fixture
def picture(store: Path, load: Load) -> Path:
    """An 8 bit picture in UTM, as the only asset of the item ``picture``."""
    path = rasters.write(store / "picture.tif", rasters.gradient(3), **UTM)
    load(rasters.item("picture", "scenes", rasters.bounds(path), {"visual": rasters.asset(path)}))
    return path


def middle(path: Path, zoom: int) -> morecantile.Tile:
    west, south, east, north = rasters.bounds(path)
    return MERCATOR.tile((west + east) / 2, (south + north) / 2, zoom)


def decoded(response: httpx.Response) -> numpy.ndarray:
    assert response.status_code == 200, response.text
    with MemoryFile(response.content) as file, file.open() as dataset:
        return dataset.read()  # type: ignore[no-any-return]


def problem(response: httpx.Response, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["status"] == status
    return body


# ---------------------------------------------------------------------------------------------------------------------
# Pixels


def test_a_tile_is_what_rio_tiler_reads(client: httpx.Client, picture: Path) -> None:
    for zoom in (11, 13, 14, 15):
        tile = middle(picture, zoom)
        with Reader(str(picture)) as reader:
            expected = reader.tile(tile.x, tile.y, tile.z)
        address = f"{ITEM}/picture/tiles/WebMercatorQuad/{tile.z}/{tile.x}/{tile.y}"
        png = decoded(client.get(f"{address}.png"))
        assert numpy.array_equal(png[:3], expected.data)
        # GDAL leaves the alpha band out of a PNG that has no hole.
        assert (expected.mask == 255).all() if len(png) == 3 else numpy.array_equal(png[3], expected.mask)
        raw = numpy.load(io.BytesIO(client.get(f"{address}.npy?assets=visual").content))
        assert numpy.array_equal(raw[:3], expected.data)


def test_a_picture_in_the_projection_of_the_tiles(client: httpx.Client, store: Path, load: Load) -> None:
    """No reprojection then, but a window that reaches beyond the picture."""
    place = {"crs": "EPSG:3857", "west": 1_000_000.0, "north": 6_000_000.0, "size": 37.0}
    path = rasters.write(store / "a.tif", rasters.gradient(3), **place)
    load(rasters.item("mercator", "scenes", rasters.bounds(path), {"visual": rasters.asset(path)}))
    west, _, _, north = rasters.bounds(path)
    tile = MERCATOR.tile(west, north, 12)
    with Reader(str(path)) as reader:
        expected = reader.tile(tile.x, tile.y, tile.z)
    assert not expected.mask.all()
    png = decoded(client.get(f"{ITEM}/mercator/tiles/WebMercatorQuad/{tile.z}/{tile.x}/{tile.y}.png"))
    assert numpy.array_equal(png[:3], expected.data)


def test_other_grids(client: httpx.Client, picture: Path) -> None:
    grid = morecantile.tms.get("WorldCRS84Quad")
    west, south, east, north = rasters.bounds(picture)
    tile = grid.tile((west + east) / 2, (south + north) / 2, 13)
    with Reader(str(picture), tms=grid) as reader:
        expected = reader.tile(tile.x, tile.y, tile.z)
    png = decoded(client.get(f"{ITEM}/picture/tiles/WorldCRS84Quad/{tile.z}/{tile.x}/{tile.y}.png"))
    assert numpy.array_equal(png[:3], expected.data)


def test_a_picture_across_the_date_line(client: httpx.Client, store: Path, load: Load) -> None:
    path = rasters.write(
        store / "a.tif", rasters.gradient(3), crs="EPSG:32601", west=270_000.0, north=7_000_000.0, size=300.0
    )
    west, south, east, north = rasters.bounds(path)
    assert west > east
    document = rasters.item("line", "scenes", (-180, south, east, north), {"visual": rasters.asset(path)})
    document["bbox"] = [west, south, east, north]
    load(document)
    for longitude in (-179.9, 179.9):
        tile = MERCATOR.tile(longitude, (south + north) / 2, 9)
        with Reader(str(path)) as reader:
            expected = reader.tile(tile.x, tile.y, tile.z)
        png = decoded(client.get(f"{ITEM}/line/tiles/WebMercatorQuad/{tile.z}/{tile.x}/{tile.y}.png"))
        assert numpy.array_equal(png[:3], expected.data)


def test_outside_there_is_no_tile(client: httpx.Client, picture: Path) -> None:
    for zoom in (3, 14):
        problem(client.get(f"{ITEM}/picture/tiles/WebMercatorQuad/{zoom}/0/0.png"), 404)
        blank = decoded(client.get(f"{ITEM}/picture/tiles/WebMercatorQuad/{zoom}/0/0.png?blank=true"))
        assert not blank.any()


def test_what_is_no_tile_of_the_grid(client: httpx.Client, picture: Path) -> None:
    for tile in ("99/0/0", "-1/0/0", "3/99/0", "3/0/-1", "3/0/99"):
        problem(client.get(f"{ITEM}/picture/tiles/WebMercatorQuad/{tile}.png"), 404)


# ---------------------------------------------------------------------------------------------------------------------
# How it is shown where the request does not say


def test_red_green_and_blue_assets(client: httpx.Client, store: Path, load: Load) -> None:
    assets = {}
    for number, color in enumerate(("red", "green", "blue")):
        pixels = numpy.full((1, 64, 64), 1000 * (number + 1), "uint16")
        path = rasters.write(store / f"{color}.tif", pixels, **UTM)
        bands = [{"name": color, "eo:common_name": color, "data_type": "uint16"}]
        assets[color] = rasters.asset(path, bands=bands)
    load(rasters.item("bands", "scenes", rasters.bounds(path), assets))
    png = decoded(client.get(f"{ITEM}/bands/preview.png"))
    assert [int(band.max()) for band in png[:3]] == [85, 170, 255], "0 to 3000 is black to white"


def test_what_no_document_tells_is_measured(client: httpx.Client, store: Path, load: Load) -> None:
    pixels = numpy.linspace(700, 900, 64 * 64).reshape(1, 64, 64).astype("float32")
    path = rasters.write(store / "dem.tif", pixels, **UTM)
    load(rasters.item("dem", "scenes", rasters.bounds(path), {"elevation": rasters.asset(path)}))
    png = decoded(client.get(f"{ITEM}/dem/preview.png"))
    assert png[0].min() == 0
    assert png[0].max() == 255
    raw = numpy.load(io.BytesIO(client.get(f"{ITEM}/dem/preview.npy").content))
    assert raw[0].min() == pytest.approx(700)
    os.utime(path, (1, 1))
    rasters.write(path, pixels * 10, **UTM)
    assert decoded(client.get(f"{ITEM}/dem/preview.png"))[0].max() == 255, "a new file is measured anew"


def test_more_bands_than_a_picture_has(client: httpx.Client, store: Path, load: Load) -> None:
    path = rasters.write(store / "ms.tif", rasters.gradient(5), **UTM)
    load(rasters.item("ms", "scenes", rasters.bounds(path), {"ms": rasters.asset(path)}))
    png = decoded(client.get(f"{ITEM}/ms/preview.png"))
    assert png.shape[0] in {3, 4}
    raw = numpy.load(io.BytesIO(client.get(f"{ITEM}/ms/preview.npy").content))
    assert raw.shape[0] >= 5


def test_radar_is_shown_by_its_strength(client: httpx.Client, store: Path, load: Load) -> None:
    pixels = rasters.gradient(1, 64).astype("complex64") * (3 + 4j)
    path = rasters.write(store / "sar.tif", pixels, **UTM)
    load(rasters.item("sar", "scenes", rasters.bounds(path), {"hh": rasters.asset(path)}))
    west, south, east, north = rasters.bounds(path)
    assert decoded(client.get(f"{ITEM}/sar/preview.png")).any()
    tile = middle(path, 14)
    assert decoded(client.get(f"{ITEM}/sar/tiles/WebMercatorQuad/{tile.z}/{tile.x}/{tile.y}.png")).any()
    value = client.get(f"{ITEM}/sar/point/{(west + east) / 2},{(south + north) / 2}").json()["values"][0]
    assert value % 5 == pytest.approx(0)


def test_the_render_extension(client: httpx.Client, store: Path, load: Load) -> None:
    for name, value in (("B04", 100), ("B08", 300)):
        path = rasters.write(store / f"{name}.tif", numpy.full((1, 64, 64), value, "uint16"), **UTM)
    ndvi = {"assets": ["B04", "B08"], "expression": "(B08-B04)/(B08+B04)", "rescale": [[-1, 1]]}
    assets = {name: rasters.asset(store / f"{name}.tif") for name in ("B04", "B08")}
    load(rasters.item("s2", "scenes", rasters.bounds(path), assets), scenes={"renders": {"ndvi": ndvi}})
    assert decoded(client.get(f"{ITEM}/s2/preview.png"))[0].max() == round(255 * 0.75) - 0


def test_every_link_that_is_made_works(client: httpx.Client, tiler_settings: Settings, picture: Path) -> None:
    policy = HrefPolicy.of(tiler_settings)
    with database.connect(tiler_settings, "almagest_reader") as connection:
        row = connection.execute("SELECT item_document('scenes', 'picture')").fetchone()
    assert row
    tiles = f"{tiler_settings.site.origin}/api/tiles"
    made = rendering.links(row[0], rendering.renders(row[0], policy), tiles)
    made += rendering.collection_links({"id": "scenes"}, rendering.renders(row[0], policy), tiles, row[0])
    tile = middle(picture, 13)
    assert len(made) == 8
    for link in made:
        for outside in (False, True):
            x = 0 if outside else tile.x
            href = link["href"].replace("{z}", "13").replace("{x}", str(x)).replace("{y}", str(tile.y))
            response = client.get(href)
            assert response.status_code == 200, href
            assert response.headers["content-type"] == link["type"]


# ---------------------------------------------------------------------------------------------------------------------
# The other endpoints


def test_tilejson_stands_on_the_public_address(client: httpx.Client, picture: Path) -> None:
    forged = {"Host": "evil.example.org", "X-Forwarded-Host": "evil.example.org", "X-Forwarded-Proto": "gopher"}
    response = client.get(f"{ITEM}/picture/WebMercatorQuad/tilejson.json?assets=visual&tilesize=256", headers=forged)
    assert response.status_code == 200
    body = response.json()
    origin = "http://127.0.0.1:8080"
    assert body["tiles"] == [
        f"{origin}{ITEM}/picture/tiles/WebMercatorQuad/{{z}}/{{x}}/{{y}}?assets=visual&tilesize=256"
    ]
    assert body["bounds"] == pytest.approx(rasters.bounds(picture))
    with Reader(str(picture)) as reader:
        assert (body["minzoom"], body["maxzoom"]) == (reader.minzoom, reader.maxzoom)
    assert "evil" not in response.text


def test_info(client: httpx.Client, picture: Path) -> None:
    response = client.get(f"{ITEM}/picture/info")
    body = response.json()
    assert list(body) == ["visual"]
    assert body["visual"]["dtype"] == "uint8"
    assert body["visual"]["driver"] == "GTiff"
    assert str(picture.parent) not in response.text, "where a file lies is nobody's business"
    assert client.get(f"{ITEM}/picture/info.geojson").json()["type"] == "Feature"
    assert client.get(f"{ITEM}/picture/assets").json() == ["visual"]


#: What a request may say of an asset's pixels, and with which answers it ends.
CHOICES = [("bidx=1", 200), ("bidx=1,2", 200), ("expression=b1*2", 200), ("bidx=9", 400), ("bands=red", 400)]


@pytest.mark.parametrize(("choice", "status"), CHOICES)
def test_every_endpoint_takes_an_asset_with_a_choice_of_its_pixels(
    client: httpx.Client, picture: Path, choice: str, status: int
) -> None:
    west, south, east, north = rasters.bounds(picture)
    spot = f"{(west + east) / 2},{(south + north) / 2}"
    for endpoint in ("info", "info.geojson", "asset_statistics", "statistics", f"point/{spot}", "preview.png"):
        params = {"assets": f"visual|{choice}"}
        response = client.get(f"{ITEM}/picture/{endpoint}", params=params)
        assert response.status_code == status, (endpoint, response.text)
    if status == 200:
        (described,) = client.get(f"{ITEM}/picture/info", params=params).json().values()
        assert described == client.get(f"{ITEM}/picture/info").json()["visual"]


def test_statistics(client: httpx.Client, picture: Path) -> None:
    with rasterio.open(picture) as dataset:
        pixels = dataset.read()
    body = client.get(f"{ITEM}/picture/statistics?max_size=256").json()
    assert list(body) == ["b1", "b2", "b3"]
    assert body["b2"]["mean"] == pytest.approx(pixels[1].mean())
    assert body["b2"]["max"] == pixels[1].max()
    west, south, east, north = rasters.bounds(picture)
    triangle = [[west, south], [east, south], [east, north], [west, south]]
    counts = []
    for ring in (triangle, [*triangle[:3], [west, north], [west, south]]):
        feature = {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
        body = client.post(f"{ITEM}/picture/statistics?max_size=256", json=feature).json()
        counts.append(body["properties"]["statistics"]["b1"]["count"])
    assert counts[0] == pytest.approx(counts[1] / 2, rel=0.05)
    per_asset = client.get(f"{ITEM}/picture/asset_statistics?max_size=256").json()
    assert per_asset["visual"]["b1"]["mean"] == pytest.approx(pixels[0].mean())


@pytest.mark.parametrize("algorithm", ["hillshade", "slope", "cast"])
def test_statistics_of_what_an_algorithm_makes(client: httpx.Client, store: Path, load: Load, algorithm: str) -> None:
    """Some leave out the edge: how the shape covers the pixels has to be that of those that are left."""
    path = rasters.write(store / "dem.tif", rasters.gradient(1, dtype="float32"), **UTM)
    load(rasters.item("dem", "scenes", rasters.bounds(path), {"dem": rasters.asset(path)}))
    west, south, east, north = rasters.bounds(path)
    inner = (east - west) / 4
    ring = [[west + inner, south], [east - inner, south], [east - inner, north], [west + inner, north]]
    shape = {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}
    feature = {"type": "Feature", "properties": {}, "geometry": shape}
    options: dict[str, Any] = {"assets": "dem", "algorithm": algorithm, "max_size": 24}
    response = client.post(f"{ITEM}/dem/statistics", json=feature, params=options)
    assert response.status_code == 200, response.text
    found = response.json()["properties"]["statistics"]["b1"]
    with Reader(str(path)) as reader:
        image = reader.feature(shape, max_size=24, align_bounds_with_dataset=True)
    edge = 0 if algorithm == "cast" else 3
    covered = image.get_coverage_array(shape)[edge : image.height - edge, edge : image.width - edge]
    assert found["count"] == pytest.approx(covered.sum())
    # Pixels of which nothing is left are a request that cannot be met.
    small = client.post(f"{ITEM}/dem/statistics", json=feature, params={**options, "max_size": 4})
    assert small.status_code == (200 if algorithm == "cast" else 400), small.text


def test_point(client: httpx.Client, picture: Path) -> None:
    west, south, east, north = rasters.bounds(picture)
    longitude, latitude = (west + east) / 2, (south + north) / 2
    with Reader(str(picture)) as reader:
        expected = reader.point(longitude, latitude).array.tolist()
    body = client.get(f"{ITEM}/picture/point/{longitude},{latitude}").json()
    assert body["values"] == expected
    assert body["coordinates"] == [longitude, latitude]
    problem(client.get(f"{ITEM}/picture/point/0,0"), 404)
    problem(client.get(f"{ITEM}/picture/point/500,500"), 400)


def test_preview_and_crop(client: httpx.Client, picture: Path) -> None:
    assert max(decoded(client.get(f"{ITEM}/picture/preview.png?max_size=100")).shape[1:]) == 100
    assert decoded(client.get(f"{ITEM}/picture/preview/40x30.png")).shape[1:] == (30, 40)
    west, south, east, north = rasters.bounds(picture)
    crop = f"{ITEM}/picture/bbox/{west},{south},{(west + east) / 2},{north}"
    assert decoded(client.get(f"{crop}.png")).any()
    assert decoded(client.get(f"{crop}/50x60.png")).shape[1:] == (60, 50)


def test_lists(client: httpx.Client) -> None:
    assert "WebMercatorQuad" in client.get("/api/tiles/tileMatrixSets").text
    assert client.get("/api/tiles/tileMatrixSets/WebMercatorQuad").status_code == 200
    assert "viridis" in client.get("/api/tiles/colorMaps").text
    assert "hillshade" in client.get("/api/tiles/algorithms").text
    assert client.get("/api/tiles/tileMatrixSets").headers["cache-control"] == "max-age=3600"


# ---------------------------------------------------------------------------------------------------------------------
# Requests that cannot be met


#: Queries of a preview, and what they are answered with.
REFUSED = [
    ("assets=missing", 404),
    ("assets=visual|bidx=9", 400),
    ("assets=visual|bidx=x", 400),
    ("assets=visual|bands=red", 400),
    ("assets=visual|color=red", 400),
    ("assets=visual&expression=b9", 400),
    ("assets=visual&expression=__import__('os')", 400),
    ("assets=visual&expression=(", 400),
    ("assets=" + "&assets=".join(["visual"] * 20), 400),
    ("expression=" + "b1%2B" * 500 + "b1", 400),
    ("colormap_name=missing", 400),
    ("colormap=%7B", 400),
    ("colormap=%7B%22a%22:1%7D", 400),
    ("colormap_name=viridis", 400),
    ("color_formula=gamma+X+3", 400),
    ("algorithm=missing", 400),
    ("algorithm=hillshade&algorithm_params=[1]", 400),
    ("algorithm=hillshade&algorithm_params=%7B", 400),
    ("rescale=a,b", 400),
    ("nodata=nan", 400),
    ("nodata=x", 400),
    ("resampling=missing", 400),
    ("max_size=100000", 400),
    ("max_size=0", 400),
    ("max_size=-5", 400),
    ("width=100", 400),
    ("width=100&height=100000", 400),
    ("dst_crs=EPSG:999999", 400),
    ("dst_crs=/etc/passwd", 400),
    ("dst_crs=%2Bproj%3Dlonglat+%2Bdatum%3DWGS84", 400),
    ("dst_crs=http://127.0.0.1:1/x", 400),
    ("dst_crs=%2Bproj%3Dlonglat+%2Binit%3D/etc/passwd:x", 400),
    ("dst_crs=%7B%22init%22:%22/etc/passwd%22%7D", 400),
]


def test_a_problem_names_the_remedy_and_no_path(client: httpx.Client, picture: Path) -> None:
    for query, status in REFUSED:
        response = client.get(f"{ITEM}/picture/preview.png?{query}")
        assert response.status_code == status, query
        problem(response, status)
        assert str(picture.parent) not in response.text


def test_tiles_are_limited_in_size(client: httpx.Client, picture: Path) -> None:
    tile = middle(picture, 13)
    address = f"{ITEM}/picture/tiles/WebMercatorQuad/{tile.z}/{tile.x}/{tile.y}.png"
    for query in ("tilesize=5000", "buffer=5000", "padding=5000"):
        problem(client.get(f"{address}?{query}"), 400)
    for bins in ("100000000", "0", "3,2,1"):
        problem(client.get(f"{ITEM}/picture/statistics?histogram_bins={bins}"), 400)
    problem(client.get(f"{ITEM}/picture/statistics?histogram_range=1,0"), 400)
    for box in ("nan,0,1,1", "0,0,0,0", "15,49,15,50"):
        problem(client.get(f"{ITEM}/picture/bbox/{box}.png"), 400)
    problem(client.get(f"{ITEM}/picture/statistics?p=200"), 400)
    problem(client.get(f"{ITEM}/picture/preview/9000x9000.png"), 400)


POSTS = (
    *(f"{source}/{end}" for source in (f"{ITEM}/picture", "/api/tiles/collections/scenes", "/api/tiles/searches/some")
      for end in ("statistics", "feature.png")),
    "/api/tiles/searches/register",
)  # fmt: skip


@pytest.mark.parametrize("path", POSTS)
def test_a_shape_has_few_positions(client: httpx.Client, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """Models are made of them, and an answer, on the loop: 100,000 kept everybody else waiting for 17 seconds.

    So does a fault in each of as many values. Neither may be reached.
    """

    def reached(*_: Any) -> None:
        raise AssertionError("a model was made of the body")

    monkeypatch.setattr(fastapi.dependencies.utils, "request_body_to_args", reached)
    shape = {"type": "Polygon", "coordinates": [[[0.1, 0.2]] * 5_001]}
    feature = {"type": "Feature", "properties": {}, "geometry": shape}
    parts = {**feature, "geometry": {"type": "Polygon", "coordinates": [[[0, 0], [0, 1], [1, 1], [0, 0]]]}}
    for body in (
        feature,
        {"type": "FeatureCollection", "features": [parts] * 1_300},
        {"intersects": shape},
        {**feature, "geometry": {"type": "Polygon", "coordinates": [[1] * 20_000]}},
    ):
        assert "5,000 positions" in problem(client.post(path, json=body), 413)["detail"]


def test_a_shape_of_almost_as_many_positions_is_measured(client: httpx.Client, picture: Path) -> None:
    west, south, east, north = rasters.bounds(picture)
    edge = [[west + (east - west) * step / 4_900, south] for step in range(4_901)]
    shape = {"type": "Polygon", "coordinates": [[*edge, [east, north], [west, north], [west, south]]]}
    feature = {"type": "Feature", "properties": {}, "geometry": shape}
    assert client.post(f"{ITEM}/picture/statistics?max_size=64", json=feature).status_code == 200


def test_outside_a_shape_has_few_positions_too(tiler_settings: Settings) -> None:
    feature = {"type": "Feature", "geometry": {"type": "MultiPoint", "coordinates": [[0.1, 0.2]] * 5_001}}
    with tiles_client(tiler_settings, "external") as client:
        problem(client.post("/external/tiles/collections/scenes/items/picture/statistics", json=feature), 413)


def test_a_picture_is_never_larger_than_allowed(client: httpx.Client, store: Path, load: Load) -> None:
    """Where the request names no size, the data's own would be taken."""
    path = rasters.write(store / "large.tif", rasters.gradient(1, 1024), **UTM)
    load(rasters.item("large", "scenes", rasters.bounds(path), {"a": rasters.asset(path)}))
    west, south, east, north = rasters.bounds(path)
    crop = decoded(client.get(f"{ITEM}/large/bbox/{west},{south},{east},{north}.png"))
    assert max(crop.shape[1:]) <= 512


def test_there_is_no_such_thing(client: httpx.Client, picture: Path) -> None:
    problem(client.get(f"{ITEM}/missing/info"), 404)
    problem(client.get("/api/tiles/collections/missing/tiles/WebMercatorQuad/0/0/0"), 404)
    problem(client.get("/api/tiles/collections/scenes/nothing"), 404)
    problem(client.get(f"{ITEM}/picture/WebMercatorQuad/map.html"), 404)
    problem(client.get(f"{ITEM}/picture/tiles/Missing/0/0/0"), 400)


def test_an_item_of_which_nothing_can_be_shown(client: httpx.Client, load: Load) -> None:
    assets = {"data": {"href": "https://data.example.org/a.tif", "type": rasters.COG}}
    load(rasters.item("remote", "scenes", (0, 0, 1, 1), assets))
    for endpoint in ("info", "preview.png", "statistics", "WebMercatorQuad/tilejson.json", "point/0.5,0.5"):
        problem(client.get(f"{ITEM}/remote/{endpoint}"), 404)
    assert client.get(f"{ITEM}/remote/assets").status_code == 404


def test_a_file_that_is_no_image(client: httpx.Client, store: Path, load: Load) -> None:
    (store / "broken.tif").write_bytes(b"II*\x00" + b"\xff" * 500)
    load(rasters.item("broken", "scenes", (0, 0, 1, 1), {"a": rasters.asset(store / "broken.tif")}))
    response = client.get(f"{ITEM}/broken/preview.png")
    assert problem(response, 404)["code"] == "unreadable-asset"
    assert str(store) not in response.text


def test_an_image_that_lies_nowhere(client: httpx.Client, store: Path, load: Load) -> None:
    profile = {"driver": "GTiff", "width": 8, "height": 8, "count": 1, "dtype": "uint8"}
    with rasterio.open(store / "nowhere.tif", "w", **profile) as dataset:
        dataset.write(numpy.ones((1, 8, 8), "uint8"))
    load(rasters.item("nowhere", "scenes", (0, 0, 1, 1), {"a": rasters.asset(store / "nowhere.tif")}))
    assert "where on Earth" in problem(client.get(f"{ITEM}/nowhere/preview.png"), 404)["detail"]


# ---------------------------------------------------------------------------------------------------------------------
# Nothing is kept that should be gone


def test_a_deleted_item_is_gone_with_the_next_request(
    client: httpx.Client, tiler_settings: Settings, picture: Path
) -> None:
    tile = middle(picture, 13)
    address = f"{ITEM}/picture/tiles/WebMercatorQuad/{tile.z}/{tile.x}/{tile.y}.png"
    mosaic = f"/api/tiles/collections/scenes/tiles/WebMercatorQuad/{tile.z}/{tile.x}/{tile.y}.png"
    first = client.get(address)
    assert first.status_code == client.get(mosaic).status_code == 200
    with database.connect(tiler_settings, "almagest_writer") as connection:
        connection.execute("SELECT delete_item('scenes', 'picture')")
    problem(client.get(address), 404)
    problem(client.get(address, headers={"If-None-Match": first.headers["etag"]}), 404)
    assert client.get(mosaic).status_code == 204


def test_what_has_not_changed_is_not_drawn_again(client: httpx.Client, picture: Path, load: Load) -> None:
    address = f"{ITEM}/picture/preview.png?max_size=50"
    first = client.get(address)
    assert first.headers["cache-control"] == "no-cache"
    known = {"If-None-Match": first.headers["etag"]}
    again = client.get(address, headers=known)
    assert again.status_code == 304
    assert again.content == b""
    assert client.get(f"{ITEM}/picture/preview.png?max_size=51", headers=known).status_code == 200
    os.utime(picture, (1, 1))
    assert client.get(address, headers=known).status_code == 200, "the file has changed"
    known = {"If-None-Match": client.get(address).headers["etag"]}
    changed = rasters.item("picture", "scenes", rasters.bounds(picture), {"visual": rasters.asset(picture, title="x")})
    load(changed)
    assert client.get(address, headers=known).status_code == 200, "the item has changed"


# ---------------------------------------------------------------------------------------------------------------------
# Registered searches


def test_a_search_gets_an_address(client: httpx.Client, tiler_settings: Settings, picture: Path) -> None:
    body = {
        "collections": ["scenes"],
        "filter-lang": "cql2-json",
        "filter": {"op": "=", "args": [{"property": "id"}, "picture"]},
        "metadata": {"name": "One", "defaults": {"red": {"assets": ["visual"], "bidx": [1]}}},
    }
    registered = client.post("/api/tiles/searches/register", json=body)
    assert registered.status_code == 200, registered.text
    identifier = registered.json()["id"]
    again = client.post("/api/tiles/searches/register", json=dict(reversed(body.items())))
    assert again.json()["id"] == identifier, "the same search has the same address"
    links = {link["rel"]: link["href"] for link in registered.json()["links"]}
    assert all(href.startswith(tiler_settings.site.origin) for href in links.values())
    info = client.get(links["metadata"]).json()
    assert info["search"]["search"]["collections"] == ["scenes"]
    assert info["search"]["metadata"]["name"] == "One"
    assert client.get(links["tilejson"]).status_code == 200
    tile = middle(picture, 13)
    png = decoded(client.get(f"/api/tiles/searches/{identifier}/tiles/WebMercatorQuad/{tile.z}/{tile.x}/{tile.y}.png"))
    with Reader(str(picture)) as reader:
        assert numpy.array_equal(png[0], reader.tile(tile.x, tile.y, tile.z, indexes=1).data[0])


def test_a_search_that_cannot_be_run_has_none(client: httpx.Client) -> None:
    bodies: list[Any] = [
        {"filter": {"op": "nonsense", "args": []}},
        {"bbox": [1, 2]},
        {"sortby": "datetime"},
        {"sortby": [{"field": "a", "direction": "up"}]},
        {"datetime": "someday"},
        [],
        "text",
    ]
    for body in bodies:
        problem(client.post("/api/tiles/searches/register", json=body), 400)


def test_conf_is_not_kept(client: httpx.Client, tiler_settings: Settings) -> None:
    body = {"collections": ["scenes"], "conf": {"context": "on"}, "limit": 1, "token": "next:x", "fields": {}}
    identifier = client.post("/api/tiles/searches/register", json=body).json()["id"]
    with database.connect(tiler_settings, "almagest_reader") as connection:
        row = connection.execute("SELECT registered_search(%s)->'search'", (identifier,)).fetchone()
    assert row
    assert not {"conf", "limit", "token", "fields"} & row[0].keys()


def test_outside_nothing_is_registered(tiler_settings: Settings) -> None:
    with tiles_client(tiler_settings, "external") as client:
        assert client.post("/external/tiles/searches/register", json={"collections": ["scenes"]}).status_code == 404
        problem(client.get(f"/external/tiles/searches/{'0' * 64}/info"), 404)


# ---------------------------------------------------------------------------------------------------------------------
# Without its database


def test_without_a_database(tiler_settings: Settings) -> None:
    nowhere = dataclasses.replace(tiler_settings, database=tiler_settings.database.model_copy(update={"port": 1}))
    with tiles_client(nowhere) as client:
        assert client.get("/healthz").status_code == 200
        assert client.get("/readyz").status_code == 503
        response = client.get(f"{ITEM}/picture/info")
        problem(response, 503)
        assert response.headers["retry-after"]


def test_ready(client: httpx.Client) -> None:
    assert client.get("/readyz").status_code == 200
    assert json.loads(client.get("/openapi.json").text)["info"]["title"]
