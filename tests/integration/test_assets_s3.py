"""Objects by links that a real S3 service checks. Slow to start, so in the soak."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import httpx
import obstore
import pytest
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
    store = S3(bucket=bucket.name, endpoint=bucket.endpoint, link_seconds=2)
    (settings.secrets).mkdir(mode=0o700, parents=True, exist_ok=True)
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
            assert browser.get(link.replace("X-Amz-Expires=2", "X-Amz-Expires=200")).status_code == 403
            assert browser.get(link.replace(quote(key, safe="/"), "secret.tif", 1) + "0").status_code == 403
        stolen = link.partition("?")
        assert browser.get(f"{bucket.endpoint}/{bucket.name}/secret.tif?{stolen[2]}").status_code == 403
        assert browser.get(f"{bucket.endpoint}/{bucket.name}/secret.tif").status_code == 403
        time.sleep(3.5)
        assert browser.get(link).status_code == 403
