"""APIs that do not answer like one, and keys and addresses that are none: a sentence each, and nothing is kept up."""

from __future__ import annotations

import gzip
import json
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer

from almagest.catalogue.exchange import Record
from almagest.catalogue.ingest.options import Options, Sources
from almagest.catalogue.ingest.tally import Tally as Numbers
from almagest.cli import options
from almagest.client.api import StacApi
from almagest.client.copying import copy
from almagest.client.http import Http
from almagest.client.sending import send
from almagest.core.configuration import Configuration
from almagest.core.errors import AlmagestError, BadRequestError, ConfigurationError, DatabaseUnavailableError

URL = "http://stac.test/api"
Document = dict[str, Any]
LANDING: Document = {"links": [{"rel": "search", "href": f"{URL}/search", "method": "POST"}]}
ITEM: Document = {"id": "i", "collection": "c", "links": []}
PAGE: Document = {"features": [ITEM], "links": []}
COLLECTION: Document = {"id": "c", "links": []}


class Nowhere:
    def write(self, item: Document) -> None:
        json.dumps(item).encode()

    write_collection = write


def asking(answer: Callable[[httpx.Request], httpx.Response], **given: Any) -> Http:
    return Http(URL, "hush", transport=httpx.MockTransport(answer), rest=lambda _: pytest.fail("waits"), **given)


def answered(landing: Any = LANDING, page: Any = PAGE, collection: Any = COLLECTION) -> Http:
    """An API with these documents; what is bytes comes as it is."""

    def answer(request: httpx.Request) -> httpx.Response:
        found = collection if "/collections/" in request.url.path else landing
        found = page if request.url.path.endswith("/search") else found
        return httpx.Response(200, content=found if isinstance(found, bytes) else json.dumps(found).encode())

    return asking(answer)


def with_next(**link: Any) -> Document:
    return {**PAGE, "links": [{"rel": "next", "href": "search?2", **link}]}


@pytest.mark.parametrize(
    "lies",
    [
        {"landing": b"[" * 200_000},
        {"landing": b"<html>"},
        {"landing": {"links": [{"rel": "search", "href": 5}]}},
        {"landing": {"links": [*LANDING["links"], {"rel": "self", "href": ["x"]}]}},
        {"landing": {"links": [{"rel": "search", "href": "http://[::1"}]}},
        {"landing": {"links": [{"rel": "search", "href": "file:///etc/passwd"}]}},
        {"page": {"features": 5}},
        {"page": {"features": ["x"]}},
        {"page": {"features": [{"collection": "c"}]}},
        {"page": {"features": [{**ITEM, "id": 5}]}},
        {"page": {"features": [{**ITEM, "collection": {}}]}},
        {"page": {"features": [{**ITEM, "assets": {"a": 5}}]}},
        {"page": {"features": [{**ITEM, "id": "\ud800"}]}},
        {"page": with_next(href=5)},
        {"page": with_next(href="http://[::1")},
        {"page": with_next(href="file:///etc/passwd")},
        {"page": with_next(href="http://user:secret@stac.test/")},
        {"page": with_next(method="G E T")},
        {"page": with_next(body="x", merge=True, method="POST")},
        {"collection": {"id": 5}},
        {"collection": b"<html>"},
    ],
)
def test_what_no_api_answers_is_a_sentence(lies: Document) -> None:
    with answered(**lies) as ask, pytest.raises(AlmagestError, match="does not answer like a STAC API: ") as raised:
        copy(StacApi.open(ask, URL), {}, Nowhere())  # type: ignore[arg-type]
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    "odd",
    [
        {"landing": {**LANDING, "conformsTo": 5}},
        {"page": {"features": [{**ITEM, "links": [5, {"rel": []}, {"rel": "related", "href": 5}]}]}},
        {"page": {"features": [{**ITEM, "note": "\U0001f30d \\ud800"}]}},
        {"page": {"features": None}},
    ],
)
def test_what_is_merely_odd_is_read(odd: Document) -> None:
    with answered(**odd) as ask:
        copy(StacApi.open(ask, URL), {}, Nowhere())  # type: ignore[arg-type]


def test_pages_that_bring_nothing_new_are_left() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if not request.url.path.endswith("/search"):
            return httpx.Response(200, json=LANDING)
        number = int(request.url.params.get("page", 0))
        item = {**ITEM, "id": str(number % 3)}
        return httpx.Response(
            200, json={"features": [item], "links": [{"rel": "next", "href": f"search?page={number + 1}"}]}
        )

    with asking(answer) as ask, pytest.raises(AlmagestError, match="its pages come again and again"):
        list(StacApi.open(ask, URL).search({}))


def test_an_answer_has_an_end() -> None:
    """In bytes once it is unpacked, and in time."""
    bomb = gzip.compress(b" " * (65 << 20), 1)
    for packing, body in (("gzip", bomb), ("gzip, gzip", gzip.compress(bomb)), ("gzip", b"none")):
        headers = {"Content-Encoding": packing}
        with asking(lambda _, b=body, h=headers: httpx.Response(200, stream=Slowly(b), headers=h)) as ask:  # type: ignore[misc]  # noqa: SIM117
            with pytest.raises(AlmagestError, match="does not answer like a STAC API"):
                ask("GET", "")
    with asking(lambda _: httpx.Response(200, stream=Slowly(*[b" "] * 9)), answer_s=0.0) as ask:  # noqa: SIM117
        with pytest.raises(AlmagestError, match="comes too slowly"):
            ask("GET", "")


class Slowly(httpx.SyncByteStream):
    def __init__(self, *chunks: bytes) -> None:
        self.chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        yield from self.chunks


@pytest.mark.parametrize("asked", ["²", "9" * 5_000, "-1", "Mon, 99 Foo 9999999 99:99:99 GMT", "nan", ""])
def test_a_service_may_ask_for_any_pause(asked: str) -> None:
    pauses: list[float] = []
    answers = iter([httpx.Response(503, headers={"Retry-After": asked.encode()}), httpx.Response(200, json={})])
    with Http(URL, transport=httpx.MockTransport(lambda _: next(answers)), rest=pauses.append) as ask:
        ask("GET", "")
    assert 0 < pauses[0] <= 60


def test_a_refusal_may_be_anything() -> None:
    with (
        asking(lambda _: httpx.Response(400, content=b"[" * 200_000)) as ask,
        pytest.raises(BadRequestError, match="400"),
    ):
        ask("GET", "")
    with asking(lambda _: httpx.Response(400, json={"detail": "x" * 9_000_000})) as ask:  # noqa: SIM117
        with pytest.raises(BadRequestError) as raised:
            ask("GET", "")
    assert len(str(raised.value)) == 1000


@pytest.mark.parametrize(
    ("status", "key", "sentence"),
    [
        (401, "wrong", "The key was refused: No."),
        (403, "wrong", "The key does not open this: No."),
        (401, None, "No. Name a key with --key-file"),
        (405, "right", "takes no PUT: a catalogue is written to at its /api"),
    ],
)
def test_a_refusal_says_what_to_do(status: int, key: str | None, sentence: str) -> None:
    answer = httpx.Response(status, json={"detail": "No."})
    with Http(URL, key, transport=httpx.MockTransport(lambda _: answer)) as ask:  # noqa: SIM117
        with pytest.raises(AlmagestError, match=re.escape(sentence)):
            ask("PUT", "collections/c", json={})


def test_patience_is_for_those_who_have_answered_before() -> None:
    waited: list[float] = []
    answers: list[Any] = []

    def answer(_: httpx.Request) -> httpx.Response:
        found = answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return found  # type: ignore[no-any-return]

    with Http(URL, transport=httpx.MockTransport(answer), rest=waited.append) as ask:
        answers[:] = [httpx.ConnectError("Connection refused")]
        with pytest.raises(DatabaseUnavailableError, match=r"\(Connection refused\)\. Is it the right address\?"):
            ask("GET", "")
        assert not waited
        answers[:] = [
            httpx.Response(200, json={}),
            httpx.ConnectError("Connection refused"),
            httpx.Response(200, json={}),
        ]
        ask("GET", "")
        ask("GET", "")
        assert waited


@pytest.mark.parametrize("root", ["/api", "/external"])
def test_a_copy_of_what_outsiders_see_says_so(root: str) -> None:
    """So that the catalogue it is from can refuse it: it lacks what they do not see."""

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"type": "Collection", "id": "a c"})

    with asking(answer) as ask:
        found = StacApi(ask, f"https://h.test{root}/", "", takes_posts=True, sorts=True).collection("a c")
    assert found is not None
    expected = ["https://h.test/external/collections/a%20c"] if root == "/external" else []
    assert [link["href"] for link in found["links"] if link["rel"] == "via"] == expected


@pytest.mark.parametrize("method", ["G T", "\x00"])
def test_what_cannot_be_asked_is_not_asked_again(method: str) -> None:
    with Http("http://127.0.0.1:9", rest=lambda _: pytest.fail("waits")) as ask, pytest.raises(AlmagestError):
        ask("GET", f"http://\ud800.test/{method}")


@pytest.mark.parametrize(
    "told",
    [
        b"<html>",
        b"{}",
        json.dumps(
            {"created": 1, "updated": 0, "unchanged": 0, "errors": [{"id": "?", "msg": ""}], "mended": []}
        ).encode(),
        json.dumps({"created": "x", "updated": 0, "unchanged": 0, "errors": [], "mended": []}).encode(),
        json.dumps({"created": 1, "updated": 0, "unchanged": 0, "errors": 5, "mended": []}).encode(),
    ],
)
def test_what_no_api_answers_to_a_write_is_a_sentence(told: bytes) -> None:
    class Source:
        name, repeatable = "s", True

        def collections(self) -> Iterator[Record]:
            yield from ()

        def items(self) -> Iterator[Record]:
            yield Record("s:1", json.dumps(ITEM).encode())

        def fraction(self) -> None:
            return None

    with asking(lambda _: httpx.Response(200, content=told)) as ask:  # noqa: SIM117
        with pytest.raises(AlmagestError, match="does not answer like a STAC API: "):
            send(Sources([Source()]), ask, Options(None, False, None, 1), Numbers(), threading.Event())


@pytest.mark.parametrize("key", ["sekret123\nx", "sekret123 x", "sekret123ü", "sekret123\x00"])
def test_what_cannot_be_a_key_is_refused_and_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    file = tmp_path / "key"
    file.write_text(f"{key}\n")
    configuration = Configuration.load()
    for given in ({"key": key}, {"key_file": file}):
        with pytest.raises(ConfigurationError, match="That is no key") as raised:
            options.api(configuration, api_url=URL, **given)  # type: ignore[arg-type]
        assert "sekret" not in str(raised.value)
    if "\x00" not in key:
        monkeypatch.setenv("ALMAGEST_KEY", key)
        with pytest.raises(ConfigurationError, match="That is no key"):
            options.api(Configuration.load(), api_url=URL)


@pytest.mark.parametrize(
    "address",
    [
        "http://user:sekret@host/",
        "https://sekret@host",
        "HTTP://u:sekret@[::1",
        "ftp://u:sekret@host",
        "http:u:sekret@h",
        "http://u:a/sekret@h",
        "http://u:1a?sekret@h",
    ],
)
def test_a_password_in_an_address_is_refused_and_never_shown(address: str) -> None:
    for refusing in (
        lambda: options.require_address(address),
        lambda: options.api(Configuration.load(), api_url=address),
    ):
        with pytest.raises(ConfigurationError, match="ALMAGEST_KEY") as raised:
            refusing()
        assert "sekret" not in str(raised.value)


def test_at_signs_elsewhere_are_taken() -> None:
    for location in (
        "http://host/a@b",
        "a@b.ndjson",
        "/a:b@c",
        "https://host?a=b@c",
        "http://host:80/a:b@c",
        "http://[::1]:80/a@b",
    ):
        options.require_address(location)
    with pytest.raises(ConfigurationError, match="leads nowhere"):
        options.require_address("")
    with pytest.raises(typer.BadParameter, match="UTF-8"):
        options.require_text("\udcff", "--x")
