"""`almagest coverage`: what it asks an API, whoever runs that, and where it puts the page."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import Result
from typer.testing import CliRunner

from almagest.catalogue import moments
from almagest.cli.commands import app
from almagest.client.api import StacApi
from almagest.client.covering import coverage
from almagest.client.http import Http
from almagest.core.errors import AlmagestError
from almagest.pipelines.matchups.coverage.numbers import Coverage

ROOT = "https://host/api/"
PAIR = "a-A-vs-b-B"
SUMMARIES = {"matchup:collections": ["a", "b"], "matchup:platforms": ["A", "B"]}
COUNTED: list[dict[str, Any]] = [
    {"name": "total_count", "value": 4},
    {"name": "datetime_min", "value": "2024-05-03T00:00:00Z"},
    {"name": "datetime_max", "value": "2024-05-04T00:00:00Z"},
    {"name": "datetime_frequency", "buckets": [{"key": "2024-05-01T00:00:00Z", "frequency": 4}]},
    {"name": "centroid_geotile_grid_frequency", "buckets": []},
    {"name": "collection_frequency", "buckets": [{"key": PAIR, "frequency": 4}]},
]


class Api:
    """An API that counts, with its own answer to what it need not answer."""

    def __init__(self, odd: httpx.Response, *, is_ours: bool = True) -> None:
        self._odd, self._is_ours = odd, is_ours
        self.asked: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api/")
        if path == "":
            links = [
                {"rel": "search", "href": f"{ROOT}search"},
                {"rel": "aggregate", "href": f"{ROOT}aggregate", "method": "POST"},
            ]
            conforms = ["https://x/aggregation#filter", *([moments.CONFORMANCE] if self._is_ours else [])]
            return httpx.Response(200, json={"links": links, "conformsTo": conforms})
        if path == "collections":
            return httpx.Response(200, json={"collections": [{"id": PAIR, "summaries": SUMMARIES}]})
        is_odd = path == "stale" or b"comparison" in request.content
        self.asked.append("compared" if is_odd and path == "aggregate" else path)
        return self._odd if is_odd else httpx.Response(200, json={"aggregations": COUNTED})

    def told(self) -> Coverage:
        def waits(_: float) -> None:
            pytest.fail("waits for what it need not know")

        transport = httpx.MockTransport(self)
        with (
            Http(ROOT, transport=transport, rest=waits) as http,
            Http(ROOT, transport=transport, rest=waits, patience_s=0) as once,
        ):
            return coverage(once, StacApi.open(http, ROOT), {})


@pytest.mark.parametrize(
    "odd",
    [
        httpx.Response(503, json={"detail": "too much"}),
        httpx.Response(405),
        httpx.Response(403),
        httpx.Response(500),
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json={"products": None}),
    ],
    ids=["503", "405", "403", "500", "html", "something else"],
)
def test_what_need_not_be_told_is_asked_once_and_fails_nothing(odd: httpx.Response) -> None:
    api = Api(odd)
    (pair,) = api.told().pairs
    assert (pair.matchups, pair.compared, pair.stale) == (4, None, None)
    assert (api.asked.count("compared"), api.asked.count("stale")) == (1, 1)


def test_others_are_not_asked_for_what_almagest_alone_knows() -> None:
    api = Api(httpx.Response(200, json={"products": [{"id": "x"}]}), is_ours=False)
    assert api.told().pairs[0].stale is None
    assert "stale" not in api.asked


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["coverage", "--api-url", ROOT, *arguments])


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks an API fails."""
    monkeypatch.setattr(Http, "send", lambda *_, **__: pytest.fail("asks before it knows where the page goes"))


@pytest.mark.usefixtures("nobody")
def test_where_no_page_can_be_written_nothing_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for target in (tmp_path, tmp_path / "missing" / "c.html"):
        result = run("--output", str(target))
        assert (result.exit_code, "folder" in result.output) == (2, True)
    assert run("--output", "-", "--json").exit_code == 2
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "jinja2" else find(name, *rest)
    )
    result = run("--output", str(tmp_path / "c.html"))
    assert isinstance(result.exception, AlmagestError)
    assert "almagest[services]" in str(result.exception)


def answering(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Api(httpx.Response(405))

    def send(self: Http, method: str, url: str, **given: Any) -> httpx.Response:
        address = httpx.URL(ROOT).join(url)
        response = api(httpx.Request(method, address, content=given.get("content") or b""))
        if response.is_error:
            raise AlmagestError("no")
        response.request = httpx.Request(method, address)
        return response

    monkeypatch.setattr(Http, "send", send)


def test_the_page_goes_to_a_file_or_to_standard_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch)
    printed = run("--output", "-")
    assert (printed.exit_code, printed.stdout[:15].lower()) == (0, "<!doctype html>")
    assert printed.stdout.rstrip().endswith("</html>")
    target = tmp_path / "c.html"
    target.write_text("before")
    result = run("--output", str(target), "--json")
    assert json.loads(result.stdout)["pairs"][0]["matchups"]["total"] == 4
    assert target.read_text().rstrip().endswith("</html>")
    assert [*tmp_path.iterdir()] == [target]


def test_a_page_that_cannot_be_written_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch)
    target = tmp_path / "c.html"
    target.write_text("before")

    def full(path: Path, *_: Any, **__: Any) -> int:
        with path.open("w") as file:
            file.write("<!doct")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    assert isinstance(run("--output", str(target)).exception, OSError)
    assert target.read_text() == "before"
    assert [*tmp_path.iterdir()] == [target]
