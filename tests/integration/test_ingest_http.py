"""An ingest through the API: the same sources, the same report, and nothing but HTTP."""

from __future__ import annotations

import contextlib
import http.server
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from almagest.catalogue.exchange import Record, open_source
from almagest.catalogue.ingest.options import Options, Sources
from almagest.catalogue.ingest.tally import Tally
from almagest.client import http as http_module
from almagest.client import sending
from almagest.client.http import Http
from almagest.core.errors import (
    AlmagestError,
    ConflictError,
    DatabaseUnavailableError,
    NotFoundError,
    TooLargeError,
    UnauthorizedError,
)
from almagest.core.settings import Settings
from support.ingests import collection, collections, item, put, run, stored, versions, write
from support.serving import served

ITEMS = {("scenes", each["id"]): each for each in map(item, range(60))}


@pytest.fixture
def api(settings: Settings) -> Iterator[str]:
    with served(settings) as running:
        yield f"{running.site.origin}/api"


def send(settings: Settings, api: str, *arguments: str | Path) -> tuple[int, dict[str, int], str]:
    done = run(settings, *arguments, "--api-url", api, "--key", "alm_secret", "--json")
    assert "alm_secret" not in done.stdout + done.stderr
    return done.returncode, json.loads(done.stdout) if done.stdout else {}, done.stderr


def test_what_goes_in_by_http_is_what_goes_in_otherwise(settings: Settings, api: str, tmp_path: Path) -> None:
    source = write(tmp_path / "all.ndjson.gz", [collection(), *ITEMS.values()])
    code, told, _ = send(settings, api, source, "--batch-size", "25")
    assert (code, told["collections_created"], told["created"], told["batches_sent"]) == (0, 1, 60, 3)
    assert stored(settings) == ITEMS
    assert collections(settings) == {"scenes": collection()}
    before = versions(settings)
    code, told, _ = send(settings, api, source)
    assert (code, told["collections_unchanged"], told["unchanged"]) == (0, 1, 60)
    assert versions(settings) == before
    write(source, [collection(title="Scenes"), item(0, assets={}), item(100)])
    _, told, _ = send(settings, api, source)
    assert (told["collections_updated"], told["updated"], told["created"]) == (1, 1, 1)


def test_the_report_is_the_same_by_http(settings: Settings, api: str, tmp_path: Path) -> None:
    boxless = {name: value for name, value in item(2).items() if name != "bbox"}
    homeless = {name: value for name, value in item(3).items() if name != "collection"}
    lines: list[Any] = [
        collection(),
        item(0),
        item(1, geometry=None),
        boxless,
        homeless,
        item(4, collection="elsewhere"),
        item(0),
        item(0, assets={}),
        '{"type": "Feature", "id": "nan", "collection": "scenes", "bbox": [NaN]}',
        '{"type": "Feature", "id": "half", "collection": "scenes", "properties": {"text": "\\ud800"}}',
        "no JSON",
        collection(title="Another"),
        item(5),
        '{"type": "Feature", "id": "\\ud800", "collection": "scenes"}',
        '{"type": "Feature", "id": "lost", "collection": "\\udfff"}',
        '{"type": "Collection", "id": "\\ud800"}',
    ]
    source = tmp_path / "all.ndjson"
    source.write_text("".join((each if isinstance(each, str) else json.dumps(each)) + "\n" for each in lines))
    report = tmp_path / "report.ndjson"
    code, told, _ = send(settings, api, source, "--report", report)
    by_http = [json.loads(line) for line in report.read_text().splitlines()]
    assert code == 1
    assert (told["created"], told["repeated"], told["refused"], told["mended"]) == (3, 1, 11, 1)
    inside = stored(settings)
    assert {name for _, name in inside} == {item(0)["id"], item(2)["id"], item(5)["id"]}
    direct = put(settings, source)
    assert stored(settings) == inside
    # Half a character is no JSON to one of the two parsers, so that one cannot tell the id; the other one refuses it
    # before anything is made of it, for UTF-8 cannot hold it.
    assert [(each["kind"], each["file"]) for each in by_http] == [
        (each["kind"], each["file"]) for each in direct.entries
    ]
    halved = {"all.ndjson:10", "all.ndjson:15"}
    assert [each["id"] for each in by_http if each["file"] not in halved] == [
        each["id"] for each in direct.entries if each["file"] not in halved
    ]
    said = {each["file"]: each.get("reason") for each in by_http}
    assert said["all.ndjson:3"] == direct.reasons()["all.ndjson:3"]
    assert "--collection ID" in str(said["all.ndjson:5"])
    assert "--create-collections" in str(said["all.ndjson:6"])
    assert said["all.ndjson:14"] == said["all.ndjson:16"] == "/id: holds half a character (a lone surrogate)."
    assert said["all.ndjson:15"] == "/collection: holds half a character (a lone surrogate)."


def test_collections_are_made_from_their_items_by_http(settings: Settings, api: str, tmp_path: Path) -> None:
    items = [item(n, collection="made") for n in range(30)]
    source = write(tmp_path / "all.ndjson", items)
    code, told, err = send(settings, api, source, "--create-collections", "--batch-size", "10")
    assert (code, told["collections_created"], told["created"]) == (0, 1, 30), err
    assert collections(settings)["made"]["extent"]["spatial"]["bbox"] == [[0, 0, 30, 30]]
    write(source, [item(50, collection="made")])
    send(settings, api, source, "--create-collections")
    assert collections(settings)["made"]["extent"]["spatial"]["bbox"] == [[0, 0, 51, 51]]


def test_collections_are_made_before_their_items_are_checked(settings: Settings, api: str, tmp_path: Path) -> None:
    """Items that cannot be measured stop nobody, those that can be mended are measured like their mended selves."""
    times = {"start_datetime": "2023-01-01T00:00:00Z", "datetime": "2024-01-01T00:00:00Z"}
    unmeasured: list[dict[str, Any]] = [
        {"properties": {"datetime": "2024-13-45T00:00:00Z"}},
        {"properties": {"datetime": "2024-01-01"}},
        {"properties": {"datetime": None, "start_datetime": "2024-01-01T00:00:00Z"}},
        {"bbox": ["0", 0, 1, 1]},
    ]
    unchecked = [item(n, collection="made", **changes) for n, changes in enumerate(unmeasured)]
    boxless = item(30, collection="made")
    del boxless["bbox"]
    ranged = item(31, collection="made", properties=times)
    lost, slashed = item(32, collection="lost", **unmeasured[0]), item(33, collection="a/b")
    source = write(tmp_path / "all.ndjson", [*unchecked, boxless, ranged, item(34, collection="made"), lost, slashed])
    report = tmp_path / "report.ndjson"
    code, told, err = send(settings, api, source, "--create-collections", "--report", report)
    assert (code, told["collections_created"], told["created"], told["refused"]) == (1, 1, 3, 6), err
    made = collections(settings)
    assert made["made"]["extent"]["spatial"]["bbox"] == [[30, 30, 35, 35]]
    assert made["made"]["extent"]["temporal"]["interval"] == [["2023-01-01T00:00:00Z", "2024-11-01T12:00:00Z"]]
    reasons = {each["id"]: each.get("reason") for each in map(json.loads, report.read_text().splitlines())}
    assert "none of its items says where and when" in reasons[lost["id"]]
    assert "slashes" in reasons[slashed["id"]]
    assert put(settings, source, create_collections=True).totals.collections_created == 0
    assert collections(settings) == made


def test_who_describes_a_collection_meanwhile_is_not_overwritten(settings: Settings, api: str) -> None:
    described = collection("made", description="Written by hand.")

    class Slow:
        name, repeatable = "slow", False

        def collections(self) -> Iterator[Record]:
            return iter(())

        def items(self) -> Iterator[Record]:
            yield Record("here", json.dumps(item(0, collection="made")).encode())
            # Its batch is under way, and the collection made: somebody describes it before the end.
            assert collections(settings)["made"]["description"].startswith("Items of")
            client.send("PUT", "collections/made", content=json.dumps(described).encode())

        def fraction(self) -> None:
            return None

    with Http(api, "alm_secret") as client:
        asked = Options(create_collections=True, batch_size=1)
        sending.send(Sources([Slow()]), client, asked, tally := Tally(None, print), threading.Event())
    assert (tally.totals.created, tally.totals.refused) == (1, 0)
    assert collections(settings) == {"made": described}


def test_it_needs_none_of_what_serves(tmp_path: Path) -> None:
    """A bare installation has httpx, pydantic, pystac, yaml, rich and typer."""
    heavy = ["psycopg", "asyncpg", "orjson", "shapely", "numpy", "pyarrow", "fastapi", "hydraters", "jsonschema_rs"]
    source = write(tmp_path / "all.ndjson", [collection()])
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({heavy!r}))\n"
        "from almagest.cli.main import main\n"
        f"sys.argv = ['almagest', 'ingest', {str(source)!r}, '--api-url', sys.argv[1]]\n"
        "main()"
    )
    with answering([(201, {})] * 3, {("GET", "/api/collections/scenes"): 404}) as (url, reached):
        done = subprocess.run(
            [sys.executable, "-c", code, f"{url}/api"], capture_output=True, text=True, check=False, cwd=tmp_path
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "1 collection: 1 created; 0 items\n"
    assert [each[:2] for each in reached] == [("GET", "/api/collections/scenes"), ("POST", "/api/collections")]


@contextlib.contextmanager
def answering(
    answers: list[tuple[int, dict[str, str]]],
    fixed: dict[tuple[str, str], int] | None = None,
    *,
    found: dict[str, Any] | None = None,
    delay_s: float = 0,
) -> Iterator[tuple[str, list[tuple[str, str, dict[str, str], bytes]]]]:
    """A server on a port that gives these answers in turn, the last one for ever, and remembers what it was asked.

    Args:
        answers: status and headers.
        fixed: the status for some method and path.
        found: says 200.
        delay_s: how long an answer takes.
    """
    reached: list[tuple[str, str, dict[str, str], bytes]] = []
    turn = iter(answers)

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            reached.append((self.command, self.path, dict(self.headers), body))
            status, headers = next(turn, answers[-1])
            status = (fixed or {}).get((self.command, self.path), status)
            told = {"title": "T", "detail": f"This is {status}."}
            text = json.dumps(found if found and status == 200 else told).encode()
            time.sleep(delay_s)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(text))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PUT = answer  # noqa: N815

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", reached
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_what_passes_is_waited_for(status: int) -> None:
    said: list[str] = []
    rested: list[float] = []
    answers = [(status, {"Retry-After": "7"}), (status, {}), (200, {})]
    with answering(answers) as (url, reached), Http(url, say=said.append, rest=rested.append) as ask:
        assert ask("POST", "search", json={"limit": 1})["detail"] == "This is 200."
    assert len(reached) == 3
    assert {each[3] for each in reached} == {b'{"limit": 1}'}
    assert rested == [7, 1]
    assert f"This is {status}" in said[0]


def test_patience_ends() -> None:
    with answering([(503, {})]) as (url, _), Http(url, patience_s=0) as ask:  # noqa: SIM117
        with pytest.raises(DatabaseUnavailableError, match="This is 503"):
            ask("GET", "")
    with Http("http://127.0.0.1:1", patience_s=0) as ask, pytest.raises(DatabaseUnavailableError, match="not answer"):
        ask("GET", "")


def test_an_attempt_may_take_longer_than_patience() -> None:
    """A proxy gives up after a minute: that is when patience begins, and not when it ends."""
    with answering([(504, {}), (200, {})], delay_s=0.3) as (url, reached), Http(url, patience_s=0.2) as ask:
        assert ask("GET", "")["detail"] == "This is 200."
    assert len(reached) == 2


def test_an_api_that_is_read_is_waited_for_too() -> None:
    page = {"type": "FeatureCollection", "features": [item(0)], "links": []}
    with answering([(200, {}), (429, {"Retry-After": "0"}), (200, {})], found=page) as (url, reached):
        (reading,) = open_source(url).items()
    assert isinstance(reading, Record)
    assert json.loads(reading.data) == item(0)
    assert len(reached) == 3


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, UnauthorizedError),
        (403, UnauthorizedError),
        (404, NotFoundError),
        (409, ConflictError),
        (413, TooLargeError),
        (418, AlmagestError),
        (500, AlmagestError),
    ],
)
def test_what_is_refused_is_refused_at_once_in_the_words_of_the_service(status: int, kind: type[Exception]) -> None:
    with answering([(status, {})]) as (url, reached), Http(url, "hush") as ask:  # noqa: SIM117
        with pytest.raises(kind, match=f"This is {status}") as caught:
            ask("GET", "somewhere")
    assert type(caught.value) is kind
    assert len(reached) == 1
    assert "hush" not in str(caught.value)


def test_the_key_goes_to_the_catalogue_alone() -> None:
    with answering([(200, {})]) as (ours, here), answering([(200, {})]) as (theirs, there):
        with answering([(302, {"Location": f"{theirs}/redirected"})]) as (turning, _), Http(turning, "hush") as ask:
            ask("GET", "x")
        with Http(f"{ours}/api", "hush") as ask:
            ask("GET", "collections")
            ask("GET", f"{theirs}/collections")
    assert here[0][2]["Authorization"] == "Bearer hush"
    assert here[0][1] == "/api/collections"
    assert len(there) == 2
    assert not any("Authorization" in each[2] for each in there)


def test_a_request_that_is_too_large_is_halved(settings: Settings, tmp_path: Path) -> None:
    """Until single items are too large: these are refused."""
    source = write(tmp_path / "all.ndjson", [item(n) for n in range(4)])
    with answering([(413, {})]) as (url, reached):
        code, told, err = send(settings, url, source)
    sizes = [len(json.loads(body)["items"]) for *_, body in reached]
    assert sizes == [4, 2, 1, 1, 2, 1, 1]
    assert (code, told["refused"], told["created"]) == (1, 4, 0)
    assert "This is 413" in err


@pytest.mark.parametrize("limit_s", [None, 0.1])
def test_a_request_that_takes_too_long_is_halved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit_s: float | None
) -> None:
    """Whoever on the way gives up first, a proxy or we ourselves."""
    source = write(tmp_path / "all.ndjson", [item(n) for n in range(4)])
    if limit_s:
        monkeypatch.setattr(http_module, "_TIMEOUT", httpx.Timeout(limit_s))
    sources, tally = Sources([open_source(source)]), Tally(None, print)
    delayed = answering([(504, {})], delay_s=2 * (limit_s or 0))
    with delayed as (url, reached), Http(url, patience_s=0) as client, pytest.raises(DatabaseUnavailableError):
        sending.send(sources, client, Options(), tally, threading.Event())
    assert [len(json.loads(body)["items"]) for *_, body in reached] == [4, 2, 1]


def test_without_a_key_it_says_what_to_do(settings: Settings, tmp_path: Path) -> None:
    source = write(tmp_path / "all.ndjson", [collection()])
    with answering([(401, {})]) as (url, _):
        done = run(settings, source, "--api-url", url)
    assert done.returncode == 1
    assert "ALMAGEST_KEY" in done.stderr
    assert "Traceback" not in done.stderr
