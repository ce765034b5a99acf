"""What nginx serves by itself, what it tells applications, and what it says when something is wrong."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Iterator

import pytest

from almagest.services.stac import streaming
from almagest.services.stac.streaming import NDJSON
from support.door import INSIDE, OUTSIDE, Door, opened


@pytest.fixture(scope="module")
def door() -> Iterator[Door]:
    with opened() as running:
        yield running


def test_reading_needs_no_key(door: Door) -> None:
    for method, path in [("GET", "/api/"), ("HEAD", "/api/collections"), ("GET", "/api/tiles/colorMaps")]:
        assert door.ask(method, path)[0] == 200


@pytest.mark.parametrize("path", ["/api/search", "/api/search?token=next:x", "http://evil.example/api/search"])
def test_a_search_by_post_is_a_read(door: Door, path: str) -> None:
    status, _, told = door.ask("POST", path, body=b"{}")
    assert (status, told["body"]) == (200, "{}")


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("/api/collections/a%2Fqueryables", "/api/collections/a/queryables"),
        ("/api/collections/a/items/c%20d", "/api/collections/a/items/c%20d"),
        ("/api/collections/a/items/%C3%BC:@;+%25%3F%23%22", "/api/collections/a/items/%C3%BC:@;+%25%3F%23%22"),
        ("/api/collections/a/items/%0d%0aX:%20y", "/api/collections/a/items/%0D%0AX:%20y"),
        ("/api/collections/a/items/%252e%252e", "/api/collections/a/items/%252e%252e"),
        ("/api//collections/./a/%2e%2e/b?x=%2e%2e&y=%0a", "/api/collections/b?x=%2e%2e&y=%0a"),
        ("/api/%73earch?", "/api/search"),
    ],
)
def test_a_path_arrives_as_it_was_compared(door: Door, written: str, sent: str) -> None:
    """Escapes that mean something stay, whatever else was written; the query is the client's own."""
    assert door.ask("GET", written)[2]["path"] == sent


def test_applications_see_no_forged_header(door: Door) -> None:
    forged = {
        "X_Principal": "root",
        "X_Key_Id": "abcdefgh",
        "X_Subject": "user:root",
        "X_Tier": "enterprise",
        "X_Role": "admin",
        "X_Scopes": "admin",
        "X_Forwarded_For": "1.2.3.4",
        "X_Forwarded_Host": "evil.example",
        "X_Client_Address": "1.2.3.4",
        "X_Required_Scope": "public",
        "Forwarded": "for=1.2.3.4",
        "X_Request_ID": "0" * 32,
        "Authorization": "Bearer reads",
        "Cookie": "a=b",
        "Origin": "https://evil.example",
        "Prefer": "wait=10",
    }
    _, _, told = door.ask("GET", "/external/", **forged)
    headers = told["headers"]
    assert headers.pop("X-Request-ID") != "0" * 32
    ours = f"127.0.0.1:{door.port}"
    expected = {"Host": ours, "X-Forwarded-Host": ours, "X-Forwarded-For": INSIDE, "X-Forwarded-Proto": "http"}
    assert headers == {**expected, "Prefer": "wait=10", "Content-Length": "0"}


def test_one_id_for_a_request(door: Door) -> None:
    _, headers, told = door.ask("GET", "/api/")
    assert headers["x-request-id"].replace("-", "") == told["headers"]["X-Request-ID"]


def test_answers_pass_unchanged(door: Door) -> None:
    status, headers, told = door.ask("GET", "/api/collections/conflict")
    assert (status, headers["content-type"], told["path"]) == (409, "application/json", "/api/collections/conflict")


@pytest.mark.parametrize("path", ["/", "/collections/a", "/collections/a/items/b.json", "/API/search", "/index.html"])
def test_pages_of_the_browser(door: Door, path: str) -> None:
    status, headers, page = door.ask("GET", path, source=OUTSIDE)
    assert (status, page["text"]) == (200, "<p>browser</p>")
    assert headers["cache-control"] == "no-cache"
    assert headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "access-control-allow-origin" not in headers


def test_built_files_are_kept_and_missing_ones_are_not(door: Door) -> None:
    status, headers, _ = door.ask("GET", "/js/app.8a7c1234.js")
    assert (status, headers["cache-control"]) == (200, "public, max-age=31536000, immutable")
    status, headers, _ = door.ask("GET", "/js/gone.8a7c1234.js")
    assert (status, headers["cache-control"], headers["content-type"][:10]) == (404, "no-cache", "text/plain")


@pytest.mark.parametrize("path", ["/api/docs", "/external/docs"])
def test_pages_that_describe_an_api_may_run_our_scripts_alone(door: Door, path: str) -> None:
    policy = door.ask("GET", path, source=OUTSIDE)[1]["content-security-policy"]
    assert policy.split("; ")[:3] == ["default-src 'none'", "script-src 'self'", "style-src 'self' 'unsafe-inline'"]
    assert door.ask("GET", "/swagger/init.js")[2]["text"] == "'swagger'"
    assert door.ask("GET", "/swagger/gone.js")[0] == 404


@pytest.mark.parametrize(
    "path",
    [
        "/.stamp",
        "/_refused/problem",
        "/_refused/sentence",
        "/_authorize",
        "/_store/0/a%20b/%C3%BC%251.tif",
        "/_x",
        "/_",
    ],
)
def test_what_is_not_served(door: Door, path: str) -> None:
    for method in ("GET", "POST"):
        status, headers, _ = door.ask(method, path, Authorization="Bearer governs")
        assert (status, headers["content-type"][:10]) == (404, "text/plain")


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/"), ("OPTIONS", "/"), ("DELETE", "/index.html"), ("PUT", "/js/app.8a7c1234.js")]
)
def test_the_browser_is_only_read(door: Door, method: str, path: str) -> None:
    status, headers, _ = door.ask(method, path, Authorization="Bearer governs")
    assert (status, headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("prefix", ["/api", "/external"])
def test_an_api_has_a_slash(door: Door, prefix: str) -> None:
    status, headers, _ = door.ask("GET", f"{prefix}?x=1")
    assert (status, headers["location"]) == (308, f"{prefix}/?x=1")
    assert door.ask("GET", f"{prefix}/tiles")[0] == 404


def test_pages_elsewhere_may_read_what_is_public(door: Door) -> None:
    for path, status in [("/external/collections", 200), ("/external/gone", 404), ("/external/conflict", 404)]:
        answered, headers, _ = door.ask("GET", path, Origin="https://app.example")
        assert (answered, headers["access-control-allow-origin"]) == (status, "*")
        assert "ETag" in headers["access-control-expose-headers"]
    assert "access-control-allow-origin" not in door.ask("GET", "/api/collections", Origin="https://app.example")[1]


def test_a_preflight_is_answered_here(door: Door) -> None:
    door.reached.clear()
    status, headers, _ = door.ask("OPTIONS", "/external/search", Access_Control_Request_Method="POST")
    assert (status, headers["access-control-allow-methods"]) == (204, "GET, HEAD, OPTIONS, POST")
    assert "Content-Type" in headers["access-control-allow-headers"]
    assert int(headers["access-control-max-age"]) > 0
    assert door.ask("OPTIONS", "/external/nothing")[0] == 404
    status, headers, _ = door.ask("OPTIONS", "/api/search", Access_Control_Request_Method="POST")
    assert (status, "access-control-allow-methods" in headers) == (405, False)
    assert not door.reached


@pytest.mark.parametrize(
    ("request_line", "more", "status"),
    [
        ("GET /api/ HTTP/1.1", "", 400),  # no Host
        ("GET /external/%zz HTTP/1.1", "Host: a\r\n", 400),
        ("GET /api/../../x HTTP/1.1", "Host: a\r\n", 400),
        ("GET /api/ HTTP/1.1", "Host: a\r\nX-Big: " + "a" * 40000 + "\r\n", 400),
        ("TRACE /api/ HTTP/1.1", "Host: a\r\n", 405),
        ("POST /api/search HTTP/1.1", "Host: a\r\nContent-Length: 2000000\r\n", 413),
        ("POST /api/tiles/collections/a/items/b/statistics HTTP/1.1", "Host: a\r\nContent-Length: 600000\r\n", 413),
        ("POST /external/tiles/searches/a/feature HTTP/1.1", "Host: a\r\nContent-Length: 600000\r\n", 413),
        ("GET /ops/" + "a" * 40000 + " HTTP/1.1", "Host: a\r\n", 414),
        ("POST /api/search HTTP/1.1", "Host: a\r\nTransfer-Encoding: gzip\r\n", 501),
        ("GET /api/ HTTP/3.0", "Host: a\r\n", 505),
    ],
)
def test_nginx_refuses_with_problem_documents(door: Door, request_line: str, more: str, status: int) -> None:
    answered, headers, content = door.raw(f"{request_line}\r\n{more}Connection: close\r\n\r\n".encode())
    assert (answered, headers["content-type"]) == (status, "application/problem+json")
    assert json.loads(content)["status"] == status


def test_old_clients_are_served(door: Door) -> None:
    assert door.raw(b"GET /api/ HTTP/1.0\r\n\r\n")[0] == 200


LINES = [NDJSON, *(name for name, meant in streaming._MEANT.items() if meant == NDJSON)]


@pytest.mark.parametrize("accept", [*LINES, "application/geo+json;q=0.5, Application/X-NDJSON"])
@pytest.mark.parametrize("path", ["/api/search", "/external/search", "/external/collections/a/items"])
def test_old_clients_are_sent_no_lines(door: Door, path: str, accept: str) -> None:
    """Their answer ends where the connection does: one that breaks after a line looks whole."""
    request = f"GET {path} HTTP/{{}}\r\nHost: a\r\nConnection: close\r\nAccept: {accept}\r\n\r\n"
    status, headers, content = door.raw(request.format("1.0").encode())
    assert (status, headers["content-type"], headers["upgrade"]) == (426, "application/problem+json", "HTTP/1.1")
    assert "Upgrade" in headers["connection"]
    assert json.loads(content)["code"] == "upgrade-required"
    status, headers, _ = door.raw(request.format("1.1").encode())
    assert (status, "upgrade" in headers) == (200, False)


def test_answers_are_compressed_here(door: Door) -> None:
    request = b"GET /api/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAccept-Encoding: gzip\r\n\r\n"
    _, headers, content = door.raw(request)
    assert (headers["content-encoding"], headers["vary"]) == ("gzip", "Accept-Encoding")
    assert "Accept-Encoding" not in json.loads(gzip.decompress(content))["headers"]


@pytest.mark.parametrize("prefix", ["/api", "/external"])
def test_what_is_unchanged_varies_as_it_did(door: Door, prefix: str) -> None:
    """A cache takes over the headers of a 304, and would give to everybody what is compressed."""
    found, unchanged = f"{prefix}/collections/a/items", f"{prefix}/collections/unchanged/items"
    door.answers[found] = door.answers[unchanged] = {"Vary": "Accept"}
    asked = [door.ask("GET", path) for path in (found, unchanged)]
    assert [status for status, _, _ in asked] == [200, 304]
    assert [set(headers["vary"].split(", ")) for _, headers, _ in asked] == [{"Accept", "Accept-Encoding"}] * 2
    assert "vary" not in door.ask("GET", f"{prefix}/tiles/collections/unchanged/items/b/preview")[1]


def test_the_log_tells_no_secret(door: Door) -> None:
    path = "/api/collections/logged"
    door.ask("DELETE", path, Authorization="Bearer writes")
    door.ask("GET", f"{path}?api_key=hush1&limit=1")
    door.ask("GET", f"{path}?%61pi_key=hush2")
    door.ask("GET", f"{path}?limit=7")
    deadline = time.monotonic() + 5
    while (text := door.output.read_text()).count(path) < 4 and time.monotonic() < deadline:
        time.sleep(0.1)
    # Each of nginx's workers writes its own lines, a second later at most.
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{") and path in line]
    assert sorted(line["query"] for line in lines) == ["", "(not logged)", "(not logged)", "limit=7"]
    assert {line["key"] for line in lines if line["method"] == "DELETE"} == {"abcdefgh"}
    assert not any(secret in text for secret in ("Bearer", "hush1", "hush2"))


@pytest.mark.parametrize(("upstream", "prefix"), [("stac", "/api"), ("external-stac", "/external")])
def test_a_dead_process_fails_no_read(door: Door, upstream: str, prefix: str) -> None:
    with door.without(upstream, only_first=True):
        assert {door.ask("GET", f"{prefix}/")[0] for _ in range(10)} == {200}
        assert {door.ask("POST", f"{prefix}/search", body=b"{}")[0] for _ in range(10)} == {200}


def test_no_process_at_all_is_a_502_that_says_when_to_return(door: Door) -> None:
    with door.without("tiles"):
        status, headers, problem = door.ask("GET", "/api/tiles/algorithms")
    assert (status, headers["retry-after"], problem["code"]) == (502, "2", "unavailable")
