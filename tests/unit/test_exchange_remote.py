"""Services on the web that are broken, or mean ill, over a real port."""

from __future__ import annotations

import contextlib
import http.server
import json
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from almagest.catalogue.exchange import Record, Unreadable, open_source
from almagest.catalogue.exchange.answers import answered
from almagest.catalogue.exchange.reading import UnavailableError

Answer = Callable[[http.server.BaseHTTPRequestHandler], None]


@contextlib.contextmanager
def serving(answer: Answer) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with contextlib.suppress(ConnectionError):
                answer(self)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def start(handler: http.server.BaseHTTPRequestHandler, status: int = 200, **headers: str) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()


def bomb(handler: http.server.BaseHTTPRequestHandler) -> None:
    start(handler, Content_Encoding="gzip")
    packer = zlib.compressobj(wbits=31)
    handler.wfile.write(packer.compress(bytes(2**24)) + packer.flush())


def bomb_within_a_bomb(handler: http.server.BaseHTTPRequestHandler) -> None:
    start(handler, Content_Encoding="gzip, gzip")


def endless(handler: http.server.BaseHTTPRequestHandler) -> None:
    start(handler)
    while True:
        handler.wfile.write(bytes(2**16))


def endless_on_the_way(handler: http.server.BaseHTTPRequestHandler) -> None:
    start(handler, 302, Location="/there")
    while True:
        handler.wfile.write(bytes(2**16))


def slow(handler: http.server.BaseHTTPRequestHandler) -> None:
    start(handler)
    while True:
        handler.wfile.write(b" ")
        time.sleep(0.05)


def slow_to_begin(handler: http.server.BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
    while True:
        handler.wfile.write(b"x")
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (bomb, "is larger than 1 MiB"),
        (bomb_within_a_bomb, "not asked for"),
        (endless, "is larger than 1 MiB"),
        (slow, "comes too slowly"),
        (slow_to_begin, "comes too slowly"),
    ],
)
def test_an_answer_has_its_limits(answer: Answer, reason: str) -> None:
    with serving(answer) as url, httpx.Client() as client:
        began = time.monotonic()
        with pytest.raises(UnavailableError, match=reason):
            answered(client, client.build_request("GET", url), limit=2**20, seconds=0.5)
        assert time.monotonic() - began < 5


def test_what_comes_with_a_redirect_is_not_read() -> None:
    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        if handler.path == "/there":
            start(handler, Content_Encoding="gzip")
            handler.wfile.write(zlib.compress(b'"here"', wbits=31))
        else:
            endless_on_the_way(handler)

    with serving(answer) as url, httpx.Client() as client:
        response = answered(client, client.build_request("GET", url))
    assert (response.json(), response.url.path) == ("here", "/there")


def page(*features: Any, **link: Any) -> dict[str, Any]:
    return {"type": "FeatureCollection", "features": list(features), "links": [{"rel": "next", **link}] if link else []}


def api(*pages: Any) -> Answer:
    """Answers `/N` by a page of this number; `/` is the first, and behind the last comes the last again."""

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        number = int(handler.path.rpartition("/")[2] or 0)
        body = json.dumps(pages[min(number, len(pages) - 1)]).encode()
        start(handler, Content_Length=str(len(body)))
        handler.wfile.write(body)

    return answer


A, B = {"id": "a"}, {"id": "b"}


@pytest.mark.parametrize(
    ("link", "reason"),
    [
        ({"href": "/1", "headers": [1]}, "cannot be followed"),
        ({"href": "/1", "headers": {"x": "ü\ud800"}}, "cannot be followed"),
        ({"href": "/1", "body": "text", "merge": True}, "cannot be followed"),
        ({"href": 5}, "cannot be followed"),
        ({"title": "without an address"}, "cannot be followed"),
        ({"href": "file:///etc/passwd"}, "no address on the web"),
        ({"href": "//[x"}, "no address on the web"),
        ({"href": "/1", "method": "DELETE"}, "neither GET nor POST"),
        ({"href": "/1", "method": {"a": 1}}, "neither GET nor POST"),
    ],
)
def test_a_link_that_cannot_be_followed_is_the_last(link: dict[str, Any], reason: str) -> None:
    with serving(api(page(A, **link), page(B))) as url:
        found = list(open_source(url).items())
    assert [type(reading) for reading in found] == [Record, Unreadable]
    assert reason in found[1].reason  # type: ignore[union-attr]
    assert found[1].where == f"page 2 of {url}"


@pytest.mark.parametrize("features", [5, {"a": 1}, [A, 1], None])
def test_a_page_that_holds_no_documents_is_unreadable(features: Any) -> None:
    with serving(api(page(A, href="/1"), {"type": "FeatureCollection", "features": features})) as url:
        found = list(open_source(url).items())
    assert [type(reading) for reading in found] == [Record, Unreadable]


@pytest.mark.parametrize("around", [1, 2])
def test_pages_that_go_round_in_circles_are_noticed_whatever_their_addresses(around: int) -> None:
    pages = [page({"id": str(n % around)}, href=f"/{n + 1}") for n in range(9)]
    with serving(api(*pages)) as url:
        found = list(open_source(url).items())
    assert [type(reading) for reading in found] == [*[Record] * around, Unreadable]
    assert "round in circles" in found[-1].reason  # type: ignore[union-attr]
