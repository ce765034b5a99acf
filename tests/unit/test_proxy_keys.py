"""Who is asked for a key, from where, and what happens where nobody can tell."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from almagest.services.proxy import policy
from support.cluster import free_port
from support.door import INSIDE, OUTSIDE, Door, opened


@pytest.fixture(scope="module")
def door() -> Iterator[Door]:
    with opened(public_port=free_port()) as running:
        yield running


@pytest.fixture(scope="module")
def strict() -> Iterator[Door]:
    """It asks for a key even inside, believes a proxy beside it, and lets through little at once."""
    with opened(internal_read="key", trusted_proxies=f"{INSIDE}/32", anonymous_rate=1, anonymous_burst=2) as running:
        yield running


def with_key(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"} if key else {}


SEARCH, TILE = "/api/search", "/api/tiles/colorMaps"
#: Method, path, and what is answered: inside without a key, outside without one, then outside with each key.
MATRIX = [
    ("GET", "/external/collections", 200, 200, {"reads": 200, "watches": 200, "wrong": 200}),
    ("POST", "/external/search", 200, 200, {"reads": 200, "writes": 200, "governs": 200}),
    ("GET", "/api/openapi.json", 200, 200, {"wrong": 200}),
    ("GET", SEARCH, 200, 401, {"reads": 200, "writes": 200, "watches": 403, "governs": 200, "wrong": 401}),
    ("POST", SEARCH, 200, 401, {"reads": 200, "watches": 403, "wrong": 401}),
    ("GET", TILE, 200, 401, {"reads": 200, "watches": 403}),
    ("POST", "/api/tiles/searches/register", 401, 401, {"reads": 403, "writes": 200, "governs": 200}),
    ("POST", "/api/collections", 401, 401, {"reads": 403, "writes": 200, "watches": 403, "wrong": 401}),
    ("DELETE", "/api/collections/a/items/b", 401, 401, {"reads": 403, "writes": 200}),
    ("GET", "/ops/health", 200, 200, {"wrong": 200}),
    ("GET", "/ops/metrics", 200, 401, {"reads": 403, "watches": 200, "governs": 200, "wrong": 401}),
    ("GET", "/ops/authorize", 404, 404, {"governs": 404}),
    ("GET", "/ops/counts", 404, 404, {"governs": 404}),
]


@pytest.mark.parametrize(("method", "path", "inside", "outside", "keys"), MATRIX)
def test_who_may_do_what(door: Door, method: str, path: str, inside: int, outside: int, keys: dict[str, int]) -> None:
    assert door.ask(method, path)[0] == inside
    assert door.ask(method, path, source=OUTSIDE)[0] == outside
    for key, status in keys.items():
        assert door.ask(method, path, source=OUTSIDE, **with_key(key))[0] == status, key
        if inside == 401:
            assert door.ask(method, path, **with_key(key))[0] == status, key


def test_a_refusal_is_a_problem_document_with_the_remedy(door: Door) -> None:
    status, headers, problem = door.ask("DELETE", "/api/collections/a", X_HTTP_Method_Override="GET", X_Method="GET")
    assert (status, headers["www-authenticate"]) == (401, 'Bearer realm="almagest"')
    assert headers["content-type"] == "application/problem+json"
    assert (problem["status"], problem["code"]) == (401, "unauthorized")
    assert problem["instance"] == f"urn:uuid:{headers['x-request-id']}"
    status, headers, problem = door.ask("DELETE", "/api/collections/a", **with_key("reads"))
    assert (status, problem["status"], problem["code"]) == (403, 403, "forbidden")
    assert problem["detail"] == "Your key or login lacks the scope `catalogue:write`."
    assert "www-authenticate" not in headers


def test_ops_is_told_who_asks_for_what(door: Door) -> None:
    door.questions.clear()
    forged = {"X_Client_Address": "1.2.3.4", "X_Required_Scope": "public", "X_Forwarded_For": INSIDE}
    door.ask("POST", "/api/collections", body=b"{}", source=OUTSIDE, **with_key("writes"), **forged)
    (question,) = door.questions
    headers = {name: question.headers.get(name) for name in ("X-Required-Scope", "X-Client-Address", "Authorization")}
    assert headers == {
        "X-Required-Scope": "catalogue:write",
        "X-Client-Address": OUTSIDE,
        "Authorization": "Bearer writes",
    }
    assert (question.method, question.path, question.body) == ("GET", "/authorize", b"")
    assert question.headers["X-Request-ID"] == door.reached[-1].headers["X-Request-ID"]


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/api/collections/a%20b/items/%C3%BC?token=secret", "/api/collections/a b/items/\xc3\xbc"),
        ("/api/../api//collections/./a", "/api/collections/a"),
        ("/api/collections/a%0d%0aX-Required-Scope:%20public%0d%0a", None),
        ("/api/collections/a%7f", None),
    ],
)
def test_ops_is_told_what_was_meant_and_nothing_beside_it(door: Door, path: str, told: str | None) -> None:
    door.questions.clear()
    door.ask("DELETE", path, X_Original_Path="/mine", X_Original_Method="GET")
    (question,) = door.questions
    assert question.headers.get("X-Original-Method") == "DELETE"
    assert question.headers.get("X-Original-Path") == told
    assert question.headers["X-Required-Scope"] == "catalogue:write"
    assert "secret" not in str(question)


def test_ops_is_told_of_a_location_within_a_mount_too(door: Door) -> None:
    door.questions.clear()
    door.ask("GET", "/api/search?limit=1", source=OUTSIDE)
    (question,) = door.questions
    assert (question.headers["X-Original-Method"], question.headers["X-Original-Path"]) == ("GET", "/api/search")


def test_an_application_is_told_who_asks(door: Door) -> None:
    door.ask("POST", "/api/collections", body=b"{}", **with_key("writes"))
    headers = door.reached[-1].headers
    assert headers["X-Principal"] == "who writes"
    assert headers["X-Key-Id"] == "abcdefgh"
    assert headers["X-Subject"] == "key:abcdefgh"
    assert headers["X-Scopes"] == "catalogue:read catalogue:write"
    assert "Authorization" not in headers


def test_a_reader_inside_is_told_to_be_one(door: Door) -> None:
    door.questions.clear()
    for path in ("/api/collections", "/ops/metrics"):
        door.ask("GET", path)
        assert door.reached[-1].headers["X-Scopes"] == "catalogue:read ops:read"
        assert "X-Principal" not in door.reached[-1].headers
    door.ask("GET", "/api/openapi.json")
    assert "X-Scopes" not in door.reached[-1].headers
    assert not door.questions


@pytest.mark.parametrize("authorization", ["Bearer", "Bearer ", "Basic writes", "writes", "Bearer writesx"])
def test_no_other_key_opens(door: Door, authorization: str) -> None:
    assert door.ask("DELETE", "/api/collections/a", Authorization=authorization)[0] == 401


def test_nobody_is_let_in_while_nobody_can_tell_who_he_is(door: Door) -> None:
    reached = len(door.reached)
    with door.without("ops"):
        for key in ("", "governs"):
            status, headers, problem = door.ask("DELETE", "/api/collections/a", **with_key(key))
            assert (status, headers["retry-after"]) == (503, "2")
            assert (problem["status"], problem["code"]) == (503, "unavailable")
            assert door.ask("GET", SEARCH, source=OUTSIDE, **with_key(key))[0] == 503
        assert len(door.reached) == reached
        # Who needs no key is served.
        assert door.ask("GET", "/external/collections", source=OUTSIDE)[0] == 200
        assert door.ask("GET", SEARCH)[0] == 200
        assert door.ask("GET", "/api/docs", source=OUTSIDE)[0] == 200
    assert door.ask("DELETE", "/api/collections/a", **with_key("governs"))[0] == 200


def test_a_single_dead_ops_process_is_not_noticed(door: Door) -> None:
    with door.without("ops", only_first=True):
        assert {door.ask("DELETE", "/api/collections/a", **with_key("writes"))[0] for _ in range(10)} == {200}


def test_where_reading_needs_a_key_it_does_so_inside_too(strict: Door) -> None:
    for path in (SEARCH, TILE, "/ops/metrics"):
        assert strict.ask("GET", path)[0] == 401
        assert strict.ask("GET", path, **with_key("governs"))[0] == 200
    assert strict.ask("GET", SEARCH, **with_key("watches"))[0] == 403
    assert strict.ask("GET", "/external/collections")[0] == 200


def test_a_trusted_proxy_says_who_asks_and_a_stranger_does_not(strict: Door) -> None:
    strict.questions.clear()
    strict.ask("GET", SEARCH, X_Forwarded_For="203.0.113.9, 198.51.100.7")
    strict.ask("GET", SEARCH, X_Forwarded_For="127.0.0.1", source=OUTSIDE)
    assert [question.headers["X-Client-Address"] for question in strict.questions] == ["198.51.100.7", OUTSIDE]


@pytest.mark.parametrize("path", ["/external/collections", "/external/tiles/colorMaps", "/api/docs", "/ops/health"])
def test_a_stranger_is_slowed_down_and_a_neighbour_is_not(strict: Door, path: str) -> None:
    stranger = f"203.0.113.{10 + len(path)}"  # an address of its own for each path
    asked = [strict.ask("GET", path, X_Forwarded_For=stranger) for _ in range(8)]
    refused = [(headers, problem) for status, headers, problem in asked if status == 429]
    assert 4 <= len(refused) <= 5
    assert asked[0][0] == 200
    headers, problem = refused[0]
    assert (headers["retry-after"], problem["code"]) == ("1", "too-many-requests")
    assert {strict.ask("GET", path)[0] for _ in range(8)} == {200}


@pytest.mark.parametrize(
    ("posted", "stranger"),
    [("/external/search", "127.0.0.77"), ("/external/tiles/collections/a/items/b/statistics", "127.0.0.78")],
)
def test_a_stranger_searches_few_things_at_a_time_and_reads_files_meanwhile(
    door: Door, posted: str, stranger: str
) -> None:
    """Shapes count as searches do: each keeps a thread of the tiler."""
    slow = []
    try:
        for _ in range(policy.SEARCHES_AT_ONCE):
            slow.append(socket.create_connection((INSIDE, door.port), source_address=(stranger, 0)))
            # The body never arrives.
            slow[-1].sendall(f"POST {posted} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n".encode())
        time.sleep(0.5)
        for search in ("collections", "pair-search", "aggregate", "coverage"):
            assert door.ask("GET", f"/external/{search}", source=stranger)[0] == 429, search
        assert door.ask("POST", "/external/tiles/searches/a/feature", source=stranger)[0] == 429
        for path in ("/external/assets/a/b/c", "/external/tiles/colorMaps"):
            assert door.ask("GET", path, source=stranger)[0] == 200
        assert door.ask("GET", "/external/collections", source=OUTSIDE)[0] == 200
    finally:
        for connection in slow:
            connection.close()


def test_a_stranger_with_a_network_of_addresses_is_one_stranger(strict: Door) -> None:
    path = "/external/collections"
    asked = [strict.ask("GET", path, X_Forwarded_For=f"2001:db8:0:a::{number}")[0] for number in range(1, 9)]
    assert asked.count(429) >= 4
    assert strict.ask("GET", path, X_Forwarded_For="2001:db8:0:b::1")[0] == 200


def test_guessing_keys_is_slowed_down(strict: Door) -> None:
    stranger = "203.0.113.99"
    asked = [strict.ask("GET", SEARCH, X_Forwarded_For=stranger, **with_key(f"guess{n}"))[0] for n in range(8)]
    assert asked[:1] == [401]
    assert asked.count(429) >= 4


def test_the_public_listener_has_nothing_but_what_is_public(door: Door) -> None:
    port = door.settings.site.public_port
    reached = len(door.reached)
    for path in ("/api", "/api/", "/api/docs", SEARCH, TILE, "/ops", "/ops/health", "/ops/metrics"):
        for method in ("GET", "POST", "OPTIONS"):
            status, _, problem = door.ask(method, path, port=port, **with_key("governs"))
            assert (status, problem["code"]) == (404, "not-found")
    assert len(door.reached) == reached
    assert door.ask("GET", "/", port=port)[2]["text"] == "<p>browser</p>"
    assert door.ask("GET", "/external/collections", port=port)[0] == 200
    assert door.ask("GET", "/external/tiles/colorMaps", port=port)[0] == 200
