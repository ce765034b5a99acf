"""Whole results in one answer: the same items as in pages, or a connection that breaks off."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from starlette.requests import Request
from starlette.types import Message

from almagest.catalogue import database, exchange, loading
from almagest.core.settings import Settings
from almagest.services.stac import search as core
from almagest.services.stac.streaming import NDJSON, PARQUET, FileAnswer
from conftest import stac_client
from support import rasters
from support.serving import served

LINES = {"Accept": NDJSON}
TABLE = {"Accept": PARQUET}


def read_lines(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.headers["content-type"] == NDJSON
    return [json.loads(line) for line in answer.content.splitlines()]


def read_table(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.headers["content-type"] == PARQUET
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "items.parquet"
        file.write_bytes(answer.content)
        return [json.loads(record.data) for record in exchange.open_source(file).items()]


READERS = pytest.mark.parametrize(
    ("accept", "read"), [(LINES, read_lines), (TABLE, read_table)], ids=["lines", "table"]
)
Read = Callable[[httpx.Response], list[dict[str, Any]]]


def pages(api: httpx.Client, body: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    page = api.post("/api/search", json={**body, "limit": 400}).json()
    while True:
        found += page["features"]
        following = next((link for link in page["links"] if link["rel"] == "next"), None)
        if following is None:
            return found
        page = api.post("/api/search", json=following["body"]).json()


def stored(settings: Settings, count: int = 10) -> None:
    items = [rasters.item(f"i{n}", "c", (n, 0, n + 1, 1), {}, name=f"é{n}") for n in range(count)]
    loading.load_documents(settings, [rasters.collection("c")], items)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@READERS
@pytest.mark.parametrize(
    "body",
    [
        {"collections": ["sentinel-2-l2a"], "filter-lang": "cql2-json",
         "filter": {"op": "<", "args": [{"property": "eo:cloud_cover"}, 15]}},
        {"collections": ["landsat-c2-l2", "naip"], "bbox": [-105.2, 39.0, -105, 40.0],
         "sortby": [{"field": "properties.gsd", "direction": "asc"}]},
    ],
    ids=["filter", "sortby"],
)  # fmt: skip
def test_a_stream_holds_the_items_of_all_pages(
    real_api: httpx.Client, accept: dict[str, str], read: Read, body: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core, "_ROWS", 60)
    expected = pages(real_api, body)
    assert len(expected) > 150
    assert read(real_api.post("/api/search", json=body, headers=accept)) == expected


@READERS
def test_addresses_stream_as_bodies_do(
    settings: Settings, api: httpx.Client, accept: dict[str, str], read: Read
) -> None:
    stored(settings)
    expected = api.get("/api/search?collections=c&limit=100").json()["features"]
    assert len(expected) == 10
    for path in ("/api/search", "/api/search?collections=c&sortby=", "/api/collections/c/items"):
        answer = api.get(path, headers=accept)
        assert read(answer) == expected
        assert answer.headers["vary"] == "Accept"
        assert answer.headers["x-accel-buffering"] == "no"


@READERS
def test_a_limit_is_one_of_the_whole(settings: Settings, api: httpx.Client, accept: dict[str, str], read: Read) -> None:
    stored(settings)
    assert len(read(api.get("/api/search?limit=3", headers=accept))) == 3
    assert len(read(api.post("/api/search", json={"limit": 7}, headers=accept))) == 7
    assert len(read(api.post("/api/search", json={"limit": None}, headers=accept))) == 10


@READERS
def test_nothing_found_is_an_answer_too(
    settings: Settings, api: httpx.Client, accept: dict[str, str], read: Read
) -> None:
    loading.load_documents(settings, [rasters.collection("c")], [])
    assert read(api.get("/api/search", headers=accept)) == []
    assert read(api.get("/api/collections/c/items", headers=accept)) == []
    missing = api.get("/api/collections/none/items", headers=accept)
    assert (missing.status_code, missing.headers["content-type"]) == (404, "application/problem+json")


@READERS
@pytest.mark.parametrize(
    ("query", "word"),
    [("token=next:abc", "token"), ("limit=0", "limit"), ("limit=99999999", "limit"), ("datetime=then", "datetime: "),
     ("filter=a b c", "filter")],
)  # fmt: skip
def test_what_cannot_be_streamed_is_refused_before_anything_is_sent(
    api: httpx.Client, accept: dict[str, str], read: Read, query: str, word: str
) -> None:
    refused = api.get(f"/api/search?{query}", headers=accept)
    assert refused.status_code == 400
    assert word in refused.json()["detail"]


def test_files_hold_whole_items(settings: Settings, api: httpx.Client) -> None:
    stored(settings)
    assert api.get("/api/search?fields=id", headers=TABLE).status_code == 400
    assert all("geometry" not in item for item in read_lines(api.get("/api/search?fields=id", headers=LINES)))


def test_the_header_alone_costs_no_stream(
    settings: Settings, api: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(settings)
    monkeypatch.setattr(core, "_ROWS", 1)
    for accept in (LINES, TABLE):
        answer = api.head("/api/search", headers=accept)
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["content-type"] == accept["Accept"]


def test_pages_stay_what_they_were(settings: Settings, api: httpx.Client) -> None:
    stored(settings)
    for accept in ({}, {"Accept": "*/*"}, {"Accept": "text/html"}, {"Accept": f"{NDJSON};q=0.1, application/json"}):
        answer = api.get("/api/search?limit=2", headers=accept)
        assert answer.headers["content-type"] == "application/geo+json"
        assert len(answer.json()["features"]) == 2
        assert answer.headers["vary"] == "Accept"


def test_the_description_names_the_media_types(api: httpx.Client) -> None:
    paths = api.get("/api/openapi.json").json()["paths"]
    for path, method in (("/search", "get"), ("/search", "post"), ("/collections/{collection_id}/items", "get")):
        content = paths[path][method]["responses"]["200"]["content"]
        assert {NDJSON, PARQUET, "application/geo+json"} <= set(content)


def test_half_a_result_is_told_from_a_whole_one(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    stored(settings)
    monkeypatch.setattr(core, "_ROWS", 2)
    few = replace(settings, api=settings.api.model_copy(update={"stream_max_items": 5}))
    with served(few) as site:
        url = f"{site.site.origin}/api/search"
        got: list[bytes] = []
        with httpx.stream("GET", url, headers=LINES) as answer, pytest.raises(httpx.RemoteProtocolError):
            got.extend(answer.iter_bytes())
        assert b"".join(got).count(b"\n") == 4
        assert httpx.get(url, headers=TABLE).status_code == 413
        assert len(httpx.get(f"{url}?limit=5", headers=LINES).text.splitlines()) == 5


def test_a_stream_that_nobody_reads_holds_no_connection(
    real_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = replace(real_settings, database=real_settings.database.model_copy(update={"pool_max": 1}))
    with served(one) as site:
        url = f"{site.site.origin}/api/search"
        with httpx.stream("GET", url, headers=LINES, timeout=20) as answer:
            parts = answer.iter_bytes()
            next(parts)
            # All others find the one connection free, whether this client reads on or not.
            assert httpx.get(f"{url}?limit=1", timeout=5).status_code == 200
            assert sum(part.count(b"\n") for part in parts) > 10_000


def test_no_file_stays_behind(settings: Settings, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored(settings)
    monkeypatch.setattr(core, "_ROWS", 3)
    with stac_client(settings) as api:
        assert len(api.get("/api/search", headers=TABLE).content) > 100
    few = replace(settings, api=settings.api.model_copy(update={"stream_max_items": 5}))
    with stac_client(few) as api:
        assert api.get("/api/search", headers=TABLE).status_code == 413
    slow = replace(settings, site=settings.site.model_copy(update={"request_timeout_s": 0}))
    with stac_client(slow) as api:
        refused = api.get("/api/search", headers=TABLE)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
    assert [*temporary.iterdir()] == []


def test_a_file_is_let_go_where_the_client_left_before_its_first_byte(tmp_path: Path) -> None:
    """The stream is cancelled before its generator begins: what that would have done in the end is never done."""
    gone: list[bool] = []
    (tmp_path / "file").write_bytes(b"PAR1")
    file = (tmp_path / "file").open("rb")

    async def left() -> Message:
        return {"type": "http.disconnect"}

    async def send(_: Message) -> None:
        await anyio.sleep(1)

    scope = {"type": "http", "asgi": {"spec_version": "2.3"}}
    anyio.run(FileAnswer(file, lambda: gone.append(True)), scope, left, send)
    assert file.closed
    assert gone == [True]


def test_a_client_that_leaves_while_its_file_is_made_is_no_error(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever wanted could fill the logs with it."""
    stored(settings)
    monkeypatch.setattr(core, "_ROWS", 3)

    async def left(_: object) -> bool:
        return True

    monkeypatch.setattr(Request, "is_disconnected", left)
    with stac_client(settings, "external") as outside:
        assert outside.get("/external/search", headers=TABLE).status_code == 499
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_equal_catalogues_give_equal_files(settings: Settings, api: httpx.Client) -> None:
    stored(settings)
    assert api.get("/api/search", headers=TABLE).content == api.get("/api/search", headers=TABLE).content


@pytest.fixture
def leaky(settings: Settings) -> Iterator[httpx.Client]:
    """Outside, where the projection fails."""
    hidden = {"hush": {"href": "file:///hush/data.tif", "type": rasters.COG}}
    loading.load_documents(settings, [rasters.collection("c")], [rasters.item("i", "c", (0, 0, 1, 1), hidden)])
    with stac_client(settings, "external") as outside:
        assert "hush" not in outside.get("/external/search", headers=LINES).text
        with database.connect(settings, "postgres") as connection:
            connection.execute(
                """
                CREATE OR REPLACE FUNCTION almagest.public_href(href text, policy almagest.audience_policy) RETURNS text
                LANGUAGE sql STABLE AS 'SELECT href'
                """
            )
        yield outside


@pytest.mark.parametrize("accept", [LINES, TABLE], ids=["lines", "table"])
def test_what_slips_through_the_database_does_not_leave(leaky: httpx.Client, accept: dict[str, str]) -> None:
    answer = leaky.get("/external/search", headers=accept)
    assert answer.status_code == 500
    assert b"hush" not in answer.content
