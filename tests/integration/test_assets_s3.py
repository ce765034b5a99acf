"""Objects by links that a real S3 service checks. Slow to start, so in the soak."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import httpx
import numpy
import obstore
import pytest
import rasterio
from obstore.store import S3Store

from almagest.catalogue import assets, loading
from almagest.catalogue.assets import Outcome, Selection
from almagest.core.settings import S3, Settings
from conftest import stac_client
from support import rasters, s3

pytestmark = [
    pytest.mark.soak,
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(bool(s3.missing()), reason=f"not installed: {', '.join(s3.missing())}"),
]

ROOTS = [str(Path(__file__).parents[2] / root) for root in ("extensions", "pipelines", "services", "cli")]
KEYS = ("plain.tif", "a b/ü %41+?#&=;@:,.tif", "(x)!'*~.tif")


@pytest.fixture(scope="module")
def bucket() -> Iterator[s3.Bucket]:
    folder = Path(tempfile.mkdtemp(prefix="s3-", dir="/tmp"))
    try:
        with s3.bucket(folder) as bucket:
            yield bucket
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def own(settings: Settings, bucket: s3.Bucket, tmp_path: Path) -> Settings:
    store = S3(bucket=bucket.name, endpoint=bucket.endpoint, link_seconds=5)
    settings.secrets.mkdir(mode=0o700, parents=True, exist_ok=True)
    (settings.secrets / "s3.access").write_text(bucket.access)
    (settings.secrets / "s3.secret").write_text(bucket.secret)
    return dataclasses.replace(settings, s3=store)


def put(bucket: s3.Bucket, key: str, content: bytes) -> None:
    store = S3Store(
        bucket.name,
        endpoint=bucket.endpoint,
        region="us-east-1",
        access_key_id=bucket.access,
        secret_access_key=bucket.secret,
        client_options={"allow_http": True},
    )
    link = obstore.sign(store, "PUT", key, timedelta(seconds=60))
    httpx.put(link, content=content, trust_env=False).raise_for_status()


def test_a_link_opens_one_object_for_a_while(own: Settings, bucket: s3.Bucket) -> None:
    found = {}
    for number, key in enumerate(KEYS):
        put(bucket, key, f"content of {key}".encode())
        found[f"k{number}"] = {"href": f"s3://{bucket.name}/{key}", "type": rasters.COG}
    put(bucket, "secret.tif", b"secret")
    loading.load_documents(own, [rasters.collection("scenes")], [rasters.item("one", "scenes", (0, 0, 1, 1), found)])
    assert assets.expose(own, Selection("scenes")) == Outcome(changed=len(KEYS))
    with stac_client(own, "external") as client, httpx.Client(trust_env=False) as browser:
        for number, key in enumerate(KEYS):
            address = f"/assets/scenes/one/k{number}"
            head = client.head(address, follow_redirects=False).headers["location"]
            answer = browser.head(head)
            assert (answer.status_code, int(answer.headers["content-length"])) == (
                200,
                len(f"content of {key}".encode()),
            )
            link = client.get(address, follow_redirects=False).headers["location"]
            assert browser.get(link).content.decode() == f"content of {key}"
            part = browser.get(link, headers={"Range": "bytes=0-6"})
            assert (part.status_code, part.content) == (206, b"content")
            assert browser.put(link, content=b"overwritten").status_code == 403
            assert browser.get(link.replace("X-Amz-Expires=5", "X-Amz-Expires=500")).status_code == 403
            assert browser.get(link.replace(quote(key, safe="/"), "secret.tif", 1) + "0").status_code == 403
        stolen = link.partition("?")
        assert browser.get(f"{bucket.endpoint}/{bucket.name}/secret.tif?{stolen[2]}").status_code == 403
        assert browser.get(f"{bucket.endpoint}/{bucket.name}/secret.tif").status_code == 403
        time.sleep(6.5)
        assert browser.get(link).status_code == 403


def test_an_object_becomes_an_asset_over_http(own: Settings, bucket: s3.Bucket) -> None:
    content = os.urandom(9 << 20)
    put(bucket, "results/a+b.nc", content)
    loading.load_documents(own, [rasters.collection("pairs")], [rasters.item("one", "pairs", (0, 0, 1, 1), {})])
    with stac_client(own) as client:
        path = "/api/collections/pairs/items/one/assets"
        answer = client.post(path, json={"href": f"s3://{bucket.name}/results/a+b.nc"})
        assert answer.status_code == 201, answer.text
        told = answer.json()["asset"]
        assert (told["file:size"], told["type"]) == (len(content), "application/x-netcdf")
        assert told["file:checksum"] == "1220" + hashlib.sha256(content).hexdigest()
        put(bucket, "results/ü a+b 100%.nc", b"CDF\x01")
        told = client.post(path, json={"href": f"s3://{bucket.name}/results/ü a+b 100%.nc"}).json()["asset"]
        assert (told["href"], told["title"]) == (f"s3://{bucket.name}/results/ü%20a+b%20100%25.nc", "ü a+b 100%.nc")
        again = client.post(path, json={"href": told["href"]})
        assert (again.status_code, again.json()["outcome"]) == (200, "unchanged")
        assets.expose(own, Selection("pairs"))
        with stac_client(own, "external") as outside:
            link = outside.get("/assets/pairs/one/comparison:latest", follow_redirects=False).headers["location"]
        assert httpx.get(link, trust_env=False).content == b"CDF\x01"
        for wrong in (f"s3://{bucket.name}/missing.nc", "s3://another/results/a+b.nc"):
            assert client.post(path, json={"href": wrong}).status_code == 400
    (own.secrets / "s3.secret").write_text("wrong")
    with stac_client(own) as client:
        refused = client.post(path, json={"href": f"s3://{bucket.name}/results/a+b.nc"})
        assert (refused.status_code, refused.json()["code"]) == (503, "store-unavailable")


@pytest.fixture
def tiler(own: Settings, bucket: s3.Bucket, home: Path) -> Iterator[httpx.Client]:
    """A tile process of the external audience, with the environment that it gives itself."""
    socket = home / "tiles.sock"
    environment = {
        "PYTHONPATH": ":".join(ROOTS),
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "ALMAGEST_HOME": str(own.site.home),
        "ALMAGEST_DB_HOST": own.db_host,
        "ALMAGEST_DB_PORT": str(own.database.port),
        "ALMAGEST_DB_NAME": own.database.name,
        "ALMAGEST_S3_BUCKET": bucket.name,
        "ALMAGEST_S3_ENDPOINT": bucket.endpoint,
    }
    command = [sys.executable, "-W", "ignore", "-m", "almagest.services.tiles", "--audience", "external"]
    with (home / "log").open("w") as log:
        process = subprocess.Popen([*command, "--uds", str(socket)], env=environment, stdout=log, stderr=log)
    transport = httpx.HTTPTransport(uds=str(socket))
    client = httpx.Client(transport=transport, base_url="http://tiles/external/tiles", timeout=30, trust_env=False)
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


def test_pictures_of_exposed_objects(own: Settings, bucket: s3.Bucket, tiler: httpx.Client, tmp_path: Path) -> None:
    path = rasters.write(
        tmp_path / "scene.tif", rasters.gradient(3), crs="EPSG:32633", west=500_000.0, north=5_500_000.0, size=10.0
    )
    put(bucket, "deep/a scene ü+%41.tif", path.read_bytes())
    found = {
        "visual": {"href": f"s3://{bucket.name}/deep/a scene ü+%41.tif", "type": rasters.COG},
        "other": {"href": "s3://another-bucket/scene.tif", "type": rasters.COG},
        "lost": {"href": f"s3://{bucket.name}/lost.tif", "type": rasters.COG},
    }
    loading.load_documents(
        own, [rasters.collection("scenes")], [rasters.item("one", "scenes", rasters.bounds(path), found)]
    )
    preview = "/collections/scenes/items/one/preview.npy"
    assert tiler.get(preview, params={"assets": "visual"}).status_code == 404
    assets.expose(own, Selection("scenes"))
    shown = tiler.get(preview, params={"assets": "visual"})
    assert shown.status_code == 200, shown.text
    with rasterio.open(path) as dataset:
        assert numpy.array_equal(numpy.load(io.BytesIO(shown.content))[:3], dataset.read())
    assert tiler.get(preview, params={"assets": "other"}).status_code == 404
    assert tiler.get(preview, params={"assets": "lost"}).status_code == 502
    assets.hide(own, Selection("scenes"))
    assert tiler.get(preview, params={"assets": "visual"}).status_code == 404
