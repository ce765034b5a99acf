"""What a tile process is started with. GDAL reads it once, when it is loaded: each look is at a process of its own."""

from __future__ import annotations

import dataclasses
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from almagest.core.errors import ConfigurationError
from almagest.core.settings import S3, Settings, Site, Store, Tiles
from almagest.services.tiles import environment

ROOTS = [str(Path(__file__).parents[2] / root) for root in ("extensions", "pipelines", "services", "cli")]

PRELUDE = """
import json, sys, warnings
warnings.simplefilter("ignore")
import os
from almagest.core.settings import Settings, Store
from almagest.services.tiles import environment
import dataclasses
hosts = tuple(sys.argv[1].split(",")) if sys.argv[1] else ()
environment.apply(dataclasses.replace(Settings(), store=Store(asset_hosts=hosts)))
"""


def run(code: str, *arguments: str, hosts: str = "", **inherited: str) -> Any:
    found = subprocess.run(
        [sys.executable, "-c", PRELUDE + code, hosts, *arguments],
        env={"PYTHONPATH": ":".join(ROOTS), "PATH": os.environ["PATH"], "HOME": "/nonexistent", **inherited},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout)


def settings(**store: Any) -> Settings:
    return Settings(site=Site(home=Path("/tmp/nowhere")), store=Store(**store), tiles=Tiles(threads=3, cache_mb=64))


def test_the_variables_follow_from_the_settings() -> None:
    variables = environment.variables(settings(asset_hosts=("Data.example.org:8443", "b.example.org", "a.example.org")))
    assert variables["no_proxy"] == "a.example.org,b.example.org,data.example.org"
    assert variables["GDAL_CACHEMAX"] == "64MB"
    assert variables["MOSAIC_CONCURRENCY"] == variables["RIO_TILER_MAX_THREADS"] == "3"
    assert variables["GDAL_DISABLE_READDIR_ON_OPEN"] == "EMPTY_DIR"
    assert variables["TITILER_PGSTAC_CACHE_DISABLE"] == "TRUE"
    assert all(isinstance(value, str) for value in variables.values())
    assert "AWS_ACCESS_KEY_ID" not in variables


@pytest.mark.parametrize(
    ("endpoint", "host", "https", "reached"),
    [
        ("http://127.0.0.1:9000", "127.0.0.1:9000", "NO", "127.0.0.1,a.example.org"),
        ("https://[::1]:9000", "[::1]:9000", "YES", "::1,a.example.org"),
        ("", "s3.eu-west-1.amazonaws.com", "YES", "a.example.org,s3.eu-west-1.amazonaws.com"),
    ],
)
def test_a_bucket_is_read_with_its_own_key(tmp_path: Path, endpoint: str, host: str, https: str, reached: str) -> None:
    store = S3(bucket="own", endpoint=endpoint, region="eu-west-1")
    with_bucket = Settings(site=Site(home=tmp_path), store=Store(asset_hosts=("a.example.org",)), s3=store)
    with pytest.raises(ConfigurationError, match=r"s3\.access"):
        environment.variables(with_bucket)
    with_bucket.secrets.mkdir()
    (with_bucket.secrets / "s3.access").write_text("me")
    (with_bucket.secrets / "s3.secret").write_text("secret")
    variables = environment.variables(with_bucket)
    assert variables["no_proxy"] == reached
    assert (variables["AWS_S3_ENDPOINT"], variables["AWS_HTTPS"]) == (host, https)
    assert (variables["AWS_ACCESS_KEY_ID"], variables["AWS_SECRET_ACCESS_KEY"]) == ("me", "secret")
    assert "AWS_NO_SIGN_REQUEST" not in variables


def test_what_was_inherited_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    foreign = {
        "GDAL_HTTP_HEADERS": "Authorization: Bearer x",
        "GDAL_HTTP_UNSAFESSL": "YES",
        "CPL_DEBUG": "ON",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "HTTPS_PROXY": "http://proxy.example.org",
        "NO_PROXY": "*",
        "no_proxy": "*",
        "TITILER_PGSTAC_API_DEBUG": "TRUE",
        "RIO_TILER_STAC_ALTERNATE_KEY": "s3",
        "PROJ_NETWORK": "ON",
        "GDAL_DATA": "/usr/share/gdal",
    }
    kept = json.loads(
        json.dumps(run("print(json.dumps(dict(os.environ)))", **foreign)),
    )
    assert kept["GDAL_DATA"] == "/usr/share/gdal"
    expected = environment.variables(dataclasses.replace(Settings(), store=Store()))
    for name in foreign.keys() - {"GDAL_DATA"}:
        assert kept.get(name) == expected.get(name)


def test_the_drivers_that_reach_further_are_gone() -> None:
    drivers = run("from rasterio.env import Env\nwith Env() as env: print(json.dumps(sorted(env.drivers())))")
    assert not set(drivers) & set(environment.SKIPPED_DRIVERS)
    assert {"GTiff", "JP2OpenJPEG", "PNG", "JPEG", "WEBP", "MEM"} <= set(drivers)


def test_every_skipped_driver_exists() -> None:
    """GDAL complains about each name that it does not know, in every process."""
    code = (
        "import subprocess\nfrom rasterio.env import Env\nwith Env() as env: print(json.dumps(sorted(env.drivers())))"
    )
    everything = subprocess.run(
        [sys.executable, "-c", "import json\n" + code.split("\n", 1)[1]],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    assert set(environment.SKIPPED_DRIVERS) <= set(json.loads(everything.stdout))


def test_reprojecting_works_from_the_first_request() -> None:
    """With VRT among the skipped drivers, rasterio cannot compute where a reprojected picture lies."""
    code = """
from rasterio.warp import calculate_default_transform
transform, width, height = calculate_default_transform("EPSG:32631", "EPSG:3857", 10, 10, 5e5, 5e6, 5.1e5, 5.01e6)
print(json.dumps([width, height]))
"""
    width, height = run(code)
    assert 8 <= width <= 12
    assert 8 <= height <= 12


def test_the_package_is_light_until_the_environment_is_set() -> None:
    code = "import almagest.services.tiles.__main__\nprint(json.dumps('rasterio' in sys.modules))"
    assert run(code) is False


# ---------------------------------------------------------------------------------------------------------------------
# The network


class Server(http.server.ThreadingHTTPServer):
    """Answers every path with a redirect, or with bytes; remembers who asked."""

    asked: list[str]
    location: str | None


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        if self.server.location:
            self.send_response(302)
            self.send_header("Location", self.server.location)
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"II*\x00")

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def servers() -> Iterator[tuple[Server, Server]]:
    """One that redirects to the other; the other listens under a name that is not on the list."""
    started = []
    for _ in range(2):
        server = Server(("127.0.0.1", 0), Handler)
        server.asked, server.location = [], None
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        started.append(server)
    listed, secret = started
    listed.location = f"http://127.0.0.1:{secret.server_port}/secret.tif"
    yield listed, secret
    for server in started:
        server.shutdown()
        server.server_close()


OPEN = """
import rasterio
for path in sys.argv[2:]:
    try:
        rasterio.open(path)
    except rasterio.errors.RasterioIOError:
        pass
print("null")
"""


def test_a_listed_host_is_reached(servers: tuple[Server, Server]) -> None:
    listed, _ = servers
    listed.location = None
    run(OPEN, f"/vsicurl/http://localhost:{listed.server_port}/a.tif", hosts="localhost")
    assert listed.asked


def test_a_redirect_leads_nowhere_else(servers: tuple[Server, Server]) -> None:
    """GDAL follows redirects, and cannot be told not to."""
    listed, secret = servers
    run(OPEN, f"/vsicurl/http://localhost:{listed.server_port}/a.tif", hosts="localhost")
    assert listed.asked
    assert secret.asked == []
    run(OPEN, f"/vsicurl/http://localhost:{listed.server_port}/a.tif", hosts="localhost,127.0.0.1")
    assert secret.asked, "the same redirect is followed to a host on the list"


def test_no_other_host_is_reached(servers: tuple[Server, Server]) -> None:
    _, secret = servers
    prefixes = ("/vsicurl/", "/vsicurl_streaming/", "/vsizip//vsicurl/", "/vsicurl?url=", "")
    paths = [f"{prefix}http://127.0.0.1:{secret.server_port}/secret.tif" for prefix in prefixes]
    run(OPEN, *paths, hosts="localhost")
    run(OPEN, *paths)
    assert secret.asked == []


def test_other_suffixes_are_not_read(servers: tuple[Server, Server]) -> None:
    listed, _ = servers
    listed.location = None
    run(OPEN, f"/vsicurl/http://localhost:{listed.server_port}/a.vrt", hosts="localhost")
    assert listed.asked == []


def test_a_crs_fetches_nothing(servers: tuple[Server, Server]) -> None:
    """GDAL downloads a CRS that looks like an address; the tiler refuses such ones, and this is the second line."""
    _, secret = servers
    code = """
from rasterio.crs import CRS
try:
    CRS.from_user_input(sys.argv[2])
except Exception:
    pass
print("null")
"""
    run(code, f"http://127.0.0.1:{secret.server_port}/secret.prj", hosts="localhost")
    assert secret.asked == []


def test_a_tile_is_no_line_in_the_log() -> None:
    """titiler says with each that it opens it; what goes wrong is told all the same."""
    code = (
        "import logging; from almagest.services.web import logs; logs.configure('tiles')\n"
        "import titiler.core.factory as factory, titiler.core.errors as errors\n"
        "factory.logger.info('opening data'); errors.logger.error('no data')"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env={"PYTHONPATH": ":".join(ROOTS), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "no data" in done.stderr
    assert "opening data" not in done.stderr
