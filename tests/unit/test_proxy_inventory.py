"""Nothing outside the inventory reaches an application, however it is spelled."""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from almagest.services.proxy.policy import MOUNTS, Mount
from almagest.services.web.inventory import Inventory, Scope
from support.door import INSIDE, KEYS, OUTSIDE, Door, Reached, mount_of, opened

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "LOCK", "TRACE", "CONNECT", "FOO")


@pytest.fixture(scope="module")
def door() -> Iterator[Door]:
    with opened() as running:
        yield running


def entry_of(reached: Reached) -> Scope | None:
    """The scope of what was reached, by the inventory alone."""
    mount = mount_of(reached)
    if not reached.decoded.startswith(f"{mount.prefix}/"):
        return None
    found = Inventory(mount.inventory).find(reached.method, reached.decoded.removeprefix(mount.prefix))
    return found.scope if found and found.scope is not Scope.NONE else None


def paths(mount: Mount) -> list[str]:
    """An address for each route."""
    return sorted({mount.prefix + re.sub(r"\{\w+(:path)?\}", "1", route.path) for route in mount.inventory})


@pytest.mark.parametrize("mount", MOUNTS, ids=lambda mount: mount.name)
def test_what_is_listed_is_reached_and_nothing_else(door: Door, mount: Mount) -> None:
    for path in paths(mount):
        for method in METHODS:
            door.reached.clear()
            route = Inventory(mount.inventory).find(method, path.removeprefix(mount.prefix))
            is_listed = route is not None and route.scope is not Scope.NONE
            with contextlib.suppress(ConnectionError):
                status, headers, _ = door.ask(method, path, Authorization="Bearer governs")
                if is_listed:
                    assert status == 200, (method, path)
                elif mount.is_shared and method == "OPTIONS":
                    assert status == 204
                else:
                    assert status in {400, 404, 405}, (method, path)
                    assert status != 405 or method in {"TRACE", "CONNECT"} or method not in headers["allow"].split(", ")
            assert [(reached.method, reached.path) for reached in door.reached] == (
                [(method, path)] if is_listed else []
            )


#: Spellings of addresses that are not listed, or of listed ones that they are not.
UNLISTED = [
    "{p}/nothing",
    "{p}/search/",
    "{p}/search%3F",
    "{p}/search;x",
    "{p}/search;jsessionid=1",
    "{p}/search.",
    "{p}/search.json",
    "{p}/search%20",
    "{p}/search%09",
    "{p}/search%0a",
    "{p}/search%0d%0a",
    "{p}/search%00",
    "{p}/search%00.png",
    "{p}/%2573earch",
    "{p}/SEARCH",
    "{p}/Search",
    "{p}/se%61rcH",
    "{p}/search\\",
    "{p}\\search",
    "{p}/collections/a/items/b/",
    "{p}/collections/a/items/b/c",
    "{p}/collections/a/items/b%2fc",
    "{p}/collections/a/bulk_items",
    "{p}/collections/a/bulk_items%0a",
    "{p}/_mgmt/ping",
    "{p}/_mgmt/health",
    "{p}/healthz",
    "{p}/readyz",
    "{p}/docs/oauth2-redirect",
    "{p}/redoc",
    "{p}/aggregation",
    "{p}/tiles/healthz",
    "{p}/tiles/searches/list",
    "{p}/tiles/searches/register",
    "{p}/tiles/collections/a/tiles/WebMercatorQuad/1/1/1/assets",
    "{p}/tiles/cog/info?url=file:///etc/passwd",
    "{p}/../_authorize",
    "{p}/%2e%2e/_store/0/a",
    "{p}/..%2f_refused/problem",
    "/_authorize",
    "/_store/0/x",
    "/healthz",
    "/readyz",
    "/authorize",
    "/ops/authorize",
    "/ops/%61uthorize",
    "/ops//authorize",
    "/ops/x/../authorize",
    "/ops/counts",
    "/counts",
    "/ops/healthz",
    "//evil.example{p}/nothing",
    "http://evil.example{p}/nothing",
    "http://evil.example",
    "https://127.0.0.1:1{p}/search/x",
    "{p}x/search",
    "{q}/search",
    "/%65xternal/SEARCH",
    "/External/search",
    "/x/..{p}/nothing",
]


@pytest.mark.parametrize("spelling", UNLISTED)
def test_what_is_not_listed_reaches_nobody(door: Door, spelling: str) -> None:
    for prefix in ("/external", "/api"):
        path = spelling.format(p=prefix, q=prefix.upper())
        door.reached.clear()
        for method in ("GET", "PUT", "PATCH", "DELETE", "OPTIONS", "SEARCH"):
            with contextlib.suppress(ConnectionError):
                door.ask(method, path, Authorization="Bearer governs", X_HTTP_Method_Override="GET")
        assert not door.reached


#: Spellings of one listed address.
LISTED = [
    "{p}/search",
    "{p}//search",
    "/{p}/search",
    "{p}/./search",
    "{p}/collections/../search",
    "{p}/tiles/../search",
    "{p}/%73earch",
    "{p}/%2e/search",
    "{p}/x/%2e%2e/search",
    "{p}/collections/x/items/..%2f..%2f..%2fsearch",
    "{p}%2fsearch",
    "{p}/search?x=/nothing",
    "{p}/search#x",
    "/x/..{p}/search",
    "/api/..{p}/search",
    "/external/..{p}/search",
    "http://evil.example{p}/search",
]


@pytest.mark.parametrize("spelling", LISTED)
def test_a_spelling_of_a_listed_address_gets_its_answer_and_its_policy(door: Door, spelling: str) -> None:
    for prefix, status in (("/external", 200), ("/api", 401)):
        path = spelling.format(p=prefix)
        for method in ("GET", "POST"):
            door.reached.clear()
            assert door.ask(method, path, source=OUTSIDE)[0] == status
            assert [reached.decoded for reached in door.reached] == ([f"{prefix}/search"] if status == 200 else [])
            assert (
                door.ask(method, path, Authorization="Bearer reads")[2]["path"].partition("?")[0] == f"{prefix}/search"
            )
        door.reached.clear()
        assert door.ask("DELETE", path, Authorization="Bearer governs")[0] == 405
        assert not door.reached


@pytest.mark.parametrize(
    "header",
    [
        "X-HTTP-Method-Override: DELETE",
        "X-HTTP-Method: DELETE",
        "X-Method-Override: DELETE",
        "X-Original-URL: /api/collections",
        "X-Original-URI: /api/collections",
        "X-Rewrite-URL: /api/collections",
        "X-Accel-Redirect: /_store/0/a%20b/%C3%BC%251.tif",
        "X-Forwarded-Prefix: /api",
        "X-Forwarded-Host: evil.example",
        "X-Forwarded-For: 127.0.0.1",
        "X-Real-IP: 127.0.0.1",
        "Forwarded: for=127.0.0.1;host=evil.example",
        "X-Scopes: admin",
        "X_Scopes: admin",
        "Host: localhost",
        "Connection: X-Request-ID",
        "Upgrade: websocket",
        "Upgrade: h2c",
    ],
)
@pytest.mark.parametrize("host", ["evil.example", "ops", "unix:", "127.0.0.1:1", "[::1]", "a.b:0"])
def test_no_header_changes_what_is_decided(door: Door, header: str, host: str) -> None:
    for path, wanted in (("/external/collections", 200), ("/external/nothing", 404), ("/api/collections", 401)):
        door.reached.clear()
        request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{header}\r\nConnection: close\r\n\r\n"
        status, headers, _ = door.raw(request.encode(), source=OUTSIDE)
        assert status == wanted or (status == 400 and header.startswith("Host"))
        assert "evil" not in headers.get("location", "")
        for reached in door.reached:
            assert (reached.method, reached.path) == ("GET", path)
            assert reached.headers["X-Forwarded-For"] == OUTSIDE
            assert reached.headers["Host"] == f"127.0.0.1:{door.port}"
            assert not {"X-Scopes", "X-Accel-Redirect", "Upgrade", "Forwarded", "X-Original-Url"} & set(reached.headers)


def everything_back(door: Door, data: bytes, source: str = INSIDE) -> bytes:
    """What comes back for these bytes until the door closes or falls silent."""
    with socket.create_connection((INSIDE, door.port), timeout=0.3, source_address=(source, 0)) as connection:
        connection.sendall(data)
        received = b""
        with contextlib.suppress(TimeoutError, ConnectionError):
            while part := connection.recv(65536):
                received += part
    return received


def test_the_oldest_protocol_obeys_too(door: Door) -> None:
    door.reached.clear()
    assert b"/external/collections" in everything_back(door, b"GET /external/collections\r\n")
    everything_back(door, b"GET /external/nothing\r\n")
    everything_back(door, b"GET /api/collections\r\n", OUTSIDE)
    everything_back(door, b"GET /api/collections HTTP/1.0\r\n\r\n", OUTSIDE)
    everything_back(door, b"DELETE /external/collections/a HTTP/1.0\r\n\r\n", OUTSIDE)
    assert [reached.decoded for reached in door.reached] == ["/external/collections"]


_HIDDEN = b"DELETE /api/collections/smuggled HTTP/1.1\r\nHost: a\r\nX-Scopes: admin\r\n\r\n"
_CHUNKED, _EMPTY = b"Transfer-Encoding: chunked\r\n", b"Content-Length: 0\r\n"


@pytest.mark.parametrize(
    ("line", "headers", "body"),
    [
        (b"POST /external/search", b"Content-Length: 6\r\n" + _CHUNKED, b"0\r\n\r\n"),
        (b"POST /external/search", _CHUNKED + b"Content-Length: 6\r\n", b"0\r\n\r\n"),
        (b"POST /external/search", _CHUNKED, b"0\r\n\r\n"),
        (b"POST /external/search", b"Transfer-Encoding: xchunked\r\n" + _EMPTY, b""),
        (b"POST /external/search", b"Transfer-Encoding : chunked\r\n" + _EMPTY, b""),
        (b"POST /external/search", b"Transfer-Encoding:\x0bchunked\r\n" + _EMPTY, b""),
        (b"POST /external/search", b"Transfer-Encoding: chunked, identity\r\n", b"0\r\n\r\n"),
        (b"POST /external/search", _CHUNKED, b"0;x=\r\nY: z\r\n\r\n"),
        (b"POST /external/search", _EMPTY + b"Content-Length: 5\r\n", b""),
        (b"POST /external/search", b"Content-Length: +0\r\n", b""),
        (b"GET /external/collections", _EMPTY, b""),
        (b"GET /external/collections", b"X: y\rDELETE / HTTP/1.1\r\n", b""),
        (b"GET /external/collections?x=%0d%0a%0d%0aDELETE%20/api/collections/smuggled", b"", b""),
        (b"GET /external/collections/%0d%0a%0d%0aDELETE%20%2fapi", b"", b""),
        (b"HEAD /external/collections", b"", b""),
    ],
)
def test_no_request_hides_in_another_one(door: Door, line: bytes, headers: bytes, body: bytes) -> None:
    """A second request is either one of its own, which is then asked for a key, or nothing."""
    door.reached.clear()
    everything_back(door, line + b" HTTP/1.1\r\nHost: a\r\n" + headers + b"\r\n" + body + _HIDDEN, OUTSIDE)
    assert not [reached for reached in door.reached if reached.method == "DELETE" or "/api/" in reached.decoded]
    assert all(entry_of(reached) is Scope.PUBLIC for reached in door.reached)


_WORDS = sorted({word for mount in MOUNTS for path in paths(mount) for word in path.split("/") if word})
_ODD = [
    ".",
    "..",
    "...",
    "",
    "%2e",
    "%2E%2e",
    "%2f",
    "%5c",
    "%00",
    "%0a",
    "%0d%0a",
    ";x",
    "%25",
    "%20",
    "a b",
    "\\",
    "é",
]
_SEGMENT = st.one_of(st.sampled_from(_WORDS), st.sampled_from(_ODD), st.text(min_size=1, max_size=4))


def _bent(word: str, how: int, at: int) -> str:
    """A word, written otherwise."""
    at = at % max(len(word), 1)
    if not word or how == 0:
        return word
    if how == 1:
        return f"{word[:at]}%{ord(word[at]) % 256:02x}{word[at + 1 :]}"
    if how == 2:
        return f"{word[:at]}{word[at].swapcase()}{word[at + 1 :]}"
    return f"{word[:at]}%25{ord(word[at]) % 256:02X}{word[at + 1 :]}"


_SPELLED = st.builds(_bent, _SEGMENT, st.integers(0, 3), st.integers(0, 40))
_KNOWN = st.builds(
    lambda path, noise, at: (lambda parts: "/".join([*parts[:at], *noise, *parts[at:]]))(path.split("/")),
    st.sampled_from([path for mount in MOUNTS for path in paths(mount)]),
    st.lists(st.sampled_from(_ODD), max_size=3),
    st.integers(1, 9),
)
_PATHS = st.one_of(_KNOWN, st.lists(_SPELLED, min_size=1, max_size=7).map("/".join).map("/{}".format))


@settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    path=_PATHS,
    method=st.sampled_from(METHODS),
    separator=st.sampled_from(["", "?x=1", "#x", "%3f", "%23"]),
    origin=st.sampled_from(["", "", "", "http://evil.example", "HTTPS://a:1"]),
    version=st.sampled_from(["HTTP/1.1", "HTTP/1.0"]),
    key=st.sampled_from(["", *KEYS]),
    source=st.sampled_from([INSIDE, OUTSIDE]),
)
@example("/external/search\n", "GET", "", "", "HTTP/1.1", "", OUTSIDE)
def test_whatever_reaches_an_application_is_listed_and_allowed(
    door: Door, path: str, method: str, separator: str, origin: str, version: str, key: str, source: str
) -> None:
    door.reached.clear()
    authorization = f"Authorization: Bearer {key}\r\n" if key else ""
    line = f"{method} {origin}{path}{separator} {version}"
    request = f"{line}\r\nHost: evil.example\r\n{authorization}Content-Length: 0\r\nConnection: close\r\n\r\n"
    with contextlib.suppress(ConnectionError, http.client.HTTPException):  # HTTP/0.9 has no status line
        door.raw(request.encode("utf-8", "surrogatepass"), method, source=source)
    for reached in door.reached:
        scope = entry_of(reached)
        granted = set(KEYS[key].split()) if key else set()
        inside = {Scope.READ, Scope.OPS} if source == INSIDE else set()
        assert scope is not None
        assert scope.is_open or granted & {scope, Scope.ADMIN} or scope in inside
        assert reached.method == method
