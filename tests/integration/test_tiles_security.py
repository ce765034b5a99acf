"""What a tiler must not read, however it is asked.

Each attack is an item that somebody with a key could store. The tiler runs as it does in production, as a process of
its own with the environment that it gives itself, because GDAL reads much of it only once.
"""

from __future__ import annotations

import contextlib
import http.server
import os
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy
import pytest
import rasterio

from almagest.catalogue import database, loading
from almagest.core.settings import Settings
from support import rasters

pytestmark = pytest.mark.filterwarnings("ignore")

ROOTS = [str(Path(__file__).parents[2] / root) for root in ("extensions", "pipelines", "services", "cli")]
EDGE = 64
#: What lies outside the store. As pixels it would be bright; the pictures inside are dark.
SECRET = b"\xee" * (EDGE * EDGE)
SECRET_PIXEL = 0xEE
PLACE = {"crs": "EPSG:3857", "west": 0.0, "north": 6400.0, "size": 100.0}
BOX = (0.0, 0.0, 0.0574, 0.0574)


class Server(http.server.ThreadingHTTPServer):
    asked: list[str]


class Handler(http.server.BaseHTTPRequestHandler):
    """Something on this machine that is nobody else's business. Half of its paths lead to the other half."""

    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(SECRET)

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def internal() -> Iterator[Server]:
    server = Server(("127.0.0.1", 0), Handler)
    server.asked = []
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A secret, as bytes and as a proper image."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret.bin").write_bytes(SECRET)
    rasters.write(folder / "secret.tif", numpy.full((1, EDGE, EDGE), SECRET_PIXEL, "uint8"), **PLACE)
    with zipfile.ZipFile(folder / "secret.zip", "w") as archive:
        archive.write(folder / "secret.tif", "secret.tif")
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Path:
    folder = tmp_path / "store"
    folder.mkdir()
    return folder


@pytest.fixture(params=["internal", "external"])
def tiler(settings: Settings, store: Path, home: Path, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    """A tile process of each audience."""
    audience = request.param
    prefix = {"internal": "/api/tiles", "external": "/external/tiles"}[audience]
    socket = home / "tiles.sock"
    environment = {
        "PYTHONPATH": ":".join(ROOTS),
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "ALMAGEST_HOME": str(settings.site.home),
        "ALMAGEST_DB_HOST": settings.db_host,
        "ALMAGEST_DB_PORT": str(settings.database.port),
        "ALMAGEST_DB_NAME": settings.database.name,
        "ALMAGEST_STORE_ROOTS": str(store),
        "ALMAGEST_ASSET_HOSTS": "data.example.org",
    }
    command = [sys.executable, "-W", "ignore", "-m", "almagest.services.tiles"]
    command += ["--audience", audience, "--uds", str(socket)]
    with (home / "log").open("w") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    transport = httpx.HTTPTransport(uds=str(socket))
    headers = {"X-Scopes": "catalogue:read"}
    client = httpx.Client(
        transport=transport, base_url=f"http://tiles{prefix}", headers=headers, timeout=30, trust_env=False
    )
    try:
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(httpx.TransportError):
                if client.get("http://tiles/readyz").status_code == 200:
                    break
            assert process.poll() is None, (home / "log").read_text()
            assert time.monotonic() < deadline, (home / "log").read_text()
            time.sleep(0.05)
        yield client
    finally:
        client.close()
        process.terminate()
        process.wait(20)


def raw_vrt(path: str) -> str:
    """A VRT that reads any file as pixels."""
    return (
        f'<VRTDataset rasterXSize="{EDGE}" rasterYSize="{EDGE}"><SRS>EPSG:3857</SRS>'
        "<GeoTransform>0, 100, 0, 6400, 0, -100</GeoTransform>"
        '<VRTRasterBand dataType="Byte" band="1" subClass="VRTRawRasterBand">'
        f'<SourceFilename relativeToVRT="0">{path}</SourceFilename>'
        f"<ImageOffset>0</ImageOffset><PixelOffset>1</PixelOffset><LineOffset>{EDGE}</LineOffset>"
        "</VRTRasterBand></VRTDataset>"
    )


def vrt(path: str) -> str:
    """A VRT over another dataset."""
    source = f'<SimpleSource><SourceFilename relativeToVRT="0">{path}</SourceFilename></SimpleSource>'
    return (
        f'<VRTDataset rasterXSize="{EDGE}" rasterYSize="{EDGE}"><SRS>EPSG:3857</SRS>'
        "<GeoTransform>0, 100, 0, 6400, 0, -100</GeoTransform>"
        f'<VRTRasterBand dataType="Byte" band="1">{source}</VRTRasterBand></VRTDataset>'
    )


def pds(path: str) -> str:
    """A planetary label: text by which another driver reads any file beside it as pixels."""
    facts = {
        "PDS_VERSION_ID": "PDS3",
        "RECORD_TYPE": "FIXED_LENGTH",
        "RECORD_BYTES": str(EDGE),
        "FILE_RECORDS": str(EDGE),
        "^IMAGE": f'("{path}", 1)',
        "OBJECT": "IMAGE",
        "LINES": str(EDGE),
        "LINE_SAMPLES": str(EDGE),
        "SAMPLE_TYPE": "UNSIGNED_INTEGER",
        "SAMPLE_BITS": "8",
        "BANDS": "1",
        "END_OBJECT": "IMAGE",
    }
    return "".join(f"{key} = {value}\r\n" for key, value in facts.items()) + "END\r\n"


def dark(path: Path, **tags: dict[str, str]) -> Path:
    """A proper image without overviews of its own, with metadata in some domains."""
    profile = {"driver": "GTiff", "width": EDGE, "height": EDGE, "count": 1, "dtype": "uint8", "crs": "EPSG:3857"}
    transform = rasterio.transform.from_origin(0, 6400, 100, 100)
    with rasterio.open(path, "w", transform=transform, **profile) as dataset:
        dataset.write(numpy.full((1, EDGE, EDGE), 7, "uint8"))
        for domain, values in tags.items():
            dataset.update_tags(ns=domain, **values)
    return path


def serve(settings: Settings, **hrefs: str) -> None:
    items = [
        rasters.item(name, "attacks", BOX, {"visual": {"href": href, "type": rasters.COG}})
        for name, href in hrefs.items()
    ]
    loading.load_documents(settings, [rasters.collection("attacks")], items)
    with database.connect(settings, "postgres") as connection:
        # The worst that an operator can do: everything is for outsiders, whatever it points to.
        connection.cursor().executemany(
            "INSERT INTO almagest.exposed VALUES ('attacks', %s, 'visual', %s) ON CONFLICT DO NOTHING",
            [(name, href) for name, href in hrefs.items() if href.startswith(("file:///", "s3://"))],
        )


def pictures(tiler: httpx.Client, name: str) -> Iterator[tuple[str, httpx.Response]]:
    """Every way to have pixels of an item, the small ones too, for which overviews are read."""
    of_item, of_collection = f"/collections/attacks/items/{name}", "/collections/attacks"
    for address in (
        f"{of_item}/preview.npy?max_size=16",
        f"{of_item}/preview.npy",
        f"{of_item}/preview.png",
        f"{of_item}/tiles/WebMercatorQuad/10/512/511.npy",
        f"{of_item}/tiles/WebMercatorQuad/14/8192/8191.npy",
        f"{of_item}/bbox/0,0,0.05,0.05/16x16.npy",
        f"{of_item}/point/0.01,0.01",
        f"{of_item}/statistics",
        f"{of_item}/info",
        f"{of_item}/WebMercatorQuad/tilejson.json",
        f"{of_collection}/tiles/WebMercatorQuad/14/8192/8191.npy?ids={name}&assets=visual",
        f"{of_collection}/point/0.01,0.01?ids={name}&assets=visual",
    ):
        yield address, tiler.get(address)


def reads_nothing(tiler: httpx.Client, name: str, *, is_an_image: bool = False) -> None:
    for address, response in pictures(tiler, name):
        assert bytes([SECRET_PIXEL]) * 8 not in response.content, address
        assert response.status_code < 500 or response.status_code == 502, (address, response.text)
        if response.status_code != 200:
            assert response.status_code in {404, 502, 204}, (address, response.text)
        elif "json" in response.headers["content-type"]:
            assert str(SECRET_PIXEL) not in response.text, address
            # A mosaic has no value where none of its items can be read.
            assert is_an_image or response.json().get("assets") == [], address
        else:
            assert is_an_image, address


def test_files_that_point_elsewhere(tiler: httpx.Client, settings: Settings, store: Path, outside: Path) -> None:
    secret, raw = outside / "secret.tif", outside / "secret.bin"
    (store / "plain.vrt").write_text(raw_vrt(str(raw)))
    (store / "clothed.tif").write_text(raw_vrt(str(raw)))
    (store / "source.tif").write_text(vrt(str(secret)))
    (store / "nested.tif").write_text(vrt(str(store / "source.tif")))
    (store / "spaced.tif").write_text("\n" * 600 + raw_vrt(str(raw)))
    (store / "late.tif").write_text(" " * 5000 + raw_vrt(str(raw)))
    (store / "label.tif").write_text(pds("../outside/secret.bin"))
    with rasterio.open(store / "label.tif") as dataset:
        assert (dataset.read(1) == SECRET_PIXEL).all(), "the attack works on an unguarded reader"
    (store / "linked.tif").symlink_to(secret)
    (store / "folder").symlink_to(outside)
    names = ("plain.vrt", "clothed.tif", "nested.tif", "spaced.tif", "late.tif", "label.tif")
    names += ("linked.tif", "folder/secret.tif")
    serve(settings, **{Path(name).stem + str(i): (store / name).as_uri() for i, name in enumerate(names)})
    for i, name in enumerate(names):
        reads_nothing(tiler, Path(name).stem + str(i))


def test_images_that_point_elsewhere(tiler: httpx.Client, settings: Settings, store: Path, outside: Path) -> None:
    """Proper TIFFs, by the right driver. Their metadata names other files, and GDAL opens those by any driver."""
    raw = str(outside / "secret.bin")
    (store / "secret.vrt").write_text(raw_vrt(raw))
    dark(store / "overview.tif", OVERVIEWS={"OVERVIEW_FILE": str(store / "secret.vrt")})
    dark(store / "direct.tif", OVERVIEWS={"OVERVIEW_FILE": str(outside / "secret.tif")})
    geolocation = {"X_DATASET": str(store / "secret.vrt"), "Y_DATASET": str(store / "secret.vrt"), "X_BAND": "1"}
    dark(store / "geolocation.tif", GEOLOCATION={**geolocation, "Y_BAND": "1", "PIXEL_OFFSET": "0"})
    with rasterio.open(store / "overview.tif") as dataset:
        assert (dataset.read(1, out_shape=(16, 16)) == SECRET_PIXEL).all(), "the attack works on an unguarded reader"
    names = ("overview", "direct", "geolocation")
    serve(settings, **{name: (store / f"{name}.tif").as_uri() for name in names})
    for name in names:
        reads_nothing(tiler, name)


def test_files_beside_an_image(tiler: httpx.Client, settings: Settings, store: Path, outside: Path) -> None:
    raw = raw_vrt(str(outside / "secret.bin"))
    for name, suffix in (("ovr", ".ovr"), ("msk", ".msk")):
        dark(store / f"{name}.tif")
        (store / f"{name}.tif{suffix}").write_text(raw)
    dark(store / "aux.tif")
    (store / "secret.vrt").write_text(raw)
    (store / "aux.tif.aux.xml").write_text(
        '<PAMDataset><Metadata domain="OVERVIEWS">'
        f'<MDI key="OVERVIEW_FILE">{store / "secret.vrt"}</MDI></Metadata></PAMDataset>'
    )
    serve(settings, **{name: (store / f"{name}.tif").as_uri() for name in ("ovr", "msk", "aux")})
    for name in ("ovr", "msk", "aux"):
        reads_nothing(tiler, name, is_an_image=True)
        values = numpy.load(_file(tiler.get(f"/collections/attacks/items/{name}/preview.npy?max_size=16")))
        assert (values[0] == 7).all()


def _file(response: httpx.Response) -> Any:
    import io

    return io.BytesIO(response.content)


def test_hrefs_that_lead_out(
    tiler: httpx.Client, settings: Settings, store: Path, outside: Path, internal: Server
) -> None:
    secret, local = outside / "secret.tif", f"127.0.0.1:{internal.server_port}"
    hrefs = {
        "uri": secret.as_uri(),
        "bare": str(secret),
        "passwd": "file:///etc/passwd",
        "dots": f"file://{store}/../outside/secret.tif",
        "encoded": f"file://{store}/%2e%2e/outside/secret.tif",
        "host": f"file://localhost{secret}",
        "zip": f"/vsizip/{outside}/secret.zip/secret.tif",
        "zipuri": f"zip://{outside}/secret.zip!secret.tif",
        "vrturi": f"vrt://{secret}",
        "gtiffdir": f"GTIFF_DIR:1:{secret}",
        "inline": raw_vrt(str(outside / "secret.bin")),
        "subfile": f"/vsisubfile/0_99999,{secret}",
        "curl": f"/vsicurl/http://{local}/a.tif",
        "streaming": f"/vsicurl_streaming/http://{local}/a.tif",
        "http": f"http://{local}/a.tif",
        "https": f"https://{local}/a.tif",
        "s3": "s3://bucket/a.tif",
        "wms": f"WMS:http://{local}/?service=wms",
        "userinfo": f"https://data.example.org@{local}/a.tif",
        "elsewhere": "https://elsewhere.example.org/a.tif",
    }
    serve(settings, **hrefs)
    for name in hrefs:
        reads_nothing(tiler, name)
    assert internal.asked == []


def test_requests_that_lead_out(
    tiler: httpx.Client, settings: Settings, store: Path, outside: Path, internal: Server
) -> None:
    """The item is a good one; the query is not."""
    dark(store / "good.tif")
    serve(settings, good=(store / "good.tif").as_uri())
    secret, local = outside / "secret.tif", f"http://127.0.0.1:{internal.server_port}/a.tif"
    address = "/collections/attacks/items/good/preview.npy?max_size=16"
    for target in (str(secret), secret.as_uri(), local, "/vsicurl/" + local, "file:///etc/passwd"):
        for parameter in ("url", "src_path", "path", "dataset", "asset_href", "input"):
            response = tiler.get(address, params={"max_size": "16", parameter: target})
            assert response.status_code == 200
            assert (numpy.load(_file(response))[0] == 7).all(), "the parameter means nothing"
        for parameter in ("crs", "coord_crs", "dst_crs", "assets", "colormap", "algorithm", "expression"):
            response = tiler.get(address, params={"max_size": "16", parameter: target})
            assert response.status_code in {200, 400, 404}, (parameter, response.text)
            assert bytes([SECRET_PIXEL]) * 8 not in response.content
    for path in ("cog", "external", "stac", "mosaicjson"):
        assert tiler.get(f"/{path}/info", params={"url": str(secret)}).status_code == 404
        assert tiler.get(f"/{path}/WebMercatorQuad/tilejson.json", params={"url": local}).status_code == 404
    assert internal.asked == []


def test_the_reader_alone_refuses_other_formats(store: Path, outside: Path) -> None:
    """In this process all drivers are there: GDAL was loaded without a word from us."""
    from almagest.services.tiles.errors import UnreadableAssetError
    from almagest.services.tiles.reader import open_raster

    (store / "label.tif").write_text(pds("../outside/secret.bin"))
    (store / "vrt.tif").write_text(raw_vrt(str(outside / "secret.bin")))
    (store / "grid.tif").write_text("ncols 2\nnrows 2\nxllcorner 0\nyllcorner 0\ncellsize 1\n1 2\n3 4\n")
    for name in ("label", "vrt", "grid"):
        with rasterio.open(store / f"{name}.tif") as dataset:
            assert dataset.driver != "GTiff"
        with pytest.raises(UnreadableAssetError):
            open_raster(str(store / f"{name}.tif"))
