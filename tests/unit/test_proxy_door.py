"""nginx itself with our configuration, in front of processes that only tell what reached them."""

from __future__ import annotations

import gzip
import http.client
import http.server
import json
import shutil
import socket
import socketserver
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from almagest.core import executables, secrets
from almagest.core.settings import Settings, Site
from almagest.services.proxy import render
from support.cluster import free_port, unprivileged_user

UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"


class _Teller(http.server.BaseHTTPRequestHandler):
    """Answers with what it was asked."""

    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        told = {"path": self.path, "method": self.command, "body": body.decode(), "headers": dict(self.headers)}
        answer = json.dumps({**told, "padding": "x" * 2000}).encode()
        self.send_response(409 if "conflict" in self.path else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("X-Request-ID", "the upstream's own")
        self.send_header("Content-Length", str(len(answer)))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer)

    def __getattr__(self, name: str) -> object:
        """Every method is answered alike."""
        if name.startswith("do_"):
            return self._answer
        raise AttributeError(name)

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def address_string(self) -> str:
        """There is no address on a Unix socket."""
        return ""


class _Upstream(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


@dataclass
class Door:
    """A running nginx."""

    port: int
    settings: Settings
    key: str
    output: Path

    def raw(self, data: bytes, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
        """Send bytes as they are."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.sendall(data)
            answer = http.client.HTTPResponse(connection, method=method)
            answer.begin()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()

    def ask(
        self, method: str, path: str, *, body: bytes = b"", **headers: str
    ) -> tuple[int, dict[str, str], dict[str, Any]]:
        """Send a request with this path, spelled exactly so."""
        lines = [f"{method} {path} HTTP/1.1", "Host: evil.example", "Connection: close", f"Content-Length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        status, answered, content = self.raw("\r\n".join([*lines, "", ""]).encode() + body, method)
        is_json = content and "json" in answered.get("content-type", "")
        return status, answered, json.loads(content) if is_json else {"text": content.decode()}


@pytest.fixture(scope="module")
def door() -> Iterator[Door]:
    home = Path(tempfile.mkdtemp(prefix="alm-door-", dir="/tmp"))
    settings = Settings(site=Site(home=home, port=free_port(), max_body_mb=1))
    key = secrets.ensure(settings.secrets, secrets.WRITE_KEY, "alm_abcdefgh_0123456789")
    (home / "run").mkdir()
    (home / "browser" / "js").mkdir(parents=True)
    (home / "browser" / "index.html").write_text("<p>browser</p>")
    (home / "browser" / ".stamp").write_text("hidden")
    (home / "browser" / "js" / "app.8a7c1234.js").write_text("'code'")
    render.write(settings)
    user = unprivileged_user()
    for path in (home, *home.rglob("*")) if user else ():
        shutil.chown(path, user, user)
    servers = [_Upstream(str(path), _Teller) for upstream in render.upstreams(settings) for path in upstream.sockets]
    for server in servers:
        Path(str(server.server_address)).chmod(0o666)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    command = [executables.find("nginx", "nginx"), "-p", f"{home}/nginx/", "-c", "conf/nginx.conf", "-e", "stderr"]
    with (home / "output").open("wb") as output:
        # `/dev/stdout` is opened anew by nginx, so it must be a file (or pipe) of the user's own.
        if user:
            shutil.chown(home / "output", user, user)
        nginx = subprocess.Popen(command, stdout=output, stderr=output, user=user, group=user)
    running = Door(settings.site.port, settings, key, home / "output")
    try:
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", running.port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield running
    finally:
        nginx.terminate()
        nginx.wait(10)
        for server in servers:
            server.shutdown()
            server.server_close()
        shutil.rmtree(home, ignore_errors=True)


READS = [("GET", "/api/"), ("HEAD", "/api/collections"), ("OPTIONS", "/api/search"), ("GET", "/api/tiles/x")]
SEARCHES = ["/api/search", "/api/search?token=next:x", "http://evil.example/api/search"]
WRITES = [
    ("POST", "/api/collections"),
    ("PUT", "/api/search"),
    ("DELETE", "/api/collections/a"),
    ("PATCH", "/api/collections/a/items/b"),
    ("PROPFIND", "/api/"),
    ("POST", "/api/tiles/searches/register"),
    ("POST", "/api//search"),
    ("POST", "//api/search"),
    ("POST", "/api/search/"),
    ("POST", "/api/./search"),
    ("POST", "/api/collections/../search"),
    ("POST", "/api/tiles/../search"),
    ("POST", "/api/%73earch"),
    ("POST", "/api/search%3F"),
    ("POST", "/api/search#x"),
    ("POST", "/api/search;x"),
    ("POST", "/api/collections/x/items/..%2f..%2f..%2fsearch"),
    ("POST", "http://evil.example/api/collections"),
]


@pytest.mark.parametrize(("method", "path"), READS)
def test_reading_needs_no_key(door: Door, method: str, path: str) -> None:
    assert door.ask(method, path)[0] == 200


@pytest.mark.parametrize("path", SEARCHES)
def test_a_search_by_post_is_a_read(door: Door, path: str) -> None:
    status, _, told = door.ask("POST", path, body=b"{}")
    assert (status, told["body"]) == (200, "{}")


@pytest.mark.parametrize(("method", "path"), WRITES)
def test_everything_else_needs_the_key(door: Door, method: str, path: str) -> None:
    status, headers, problem = door.ask(method, path, X_HTTP_Method_Override="GET", X_Method="GET")
    assert (status, headers["www-authenticate"]) == (401, 'Bearer realm="almagest"')
    assert headers["content-type"] == "application/problem+json"
    assert (problem["status"], problem["code"]) == (401, "unauthorized")
    assert problem["instance"] == f"urn:uuid:{headers['x-request-id']}"


@pytest.mark.parametrize(
    "authorization",
    [
        "Bearer",
        "Bearer ",
        "Bearer alm_wrong",
        "Basic {key}",
        "Bearer {key}x",
        "Bearer x{key}",
        "{key}",
        "Bearer {key} x",
    ],
)
def test_no_other_key_opens(door: Door, authorization: str) -> None:
    assert door.ask("DELETE", "/api/x", Authorization=authorization.format(key=door.key))[0] == 401


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_key_opens(door: Door, scheme: str) -> None:
    status, _, told = door.ask("DELETE", "/api/x", Authorization=f"{scheme} {door.key}")
    assert (status, told["method"]) == (200, "DELETE")
    assert "Authorization" not in told["headers"]


def test_a_path_arrives_as_it_was_written(door: Door) -> None:
    path = "/api/collections/a%2Fb/items/c%20d//e?filter=x%3D1&x=%2e%2e"
    assert door.ask("GET", path)[2]["path"] == path


def test_applications_see_no_forged_header(door: Door) -> None:
    forged = {
        "X_Principal": "root",
        "X_Role": "admin",
        "X_Scopes": "all",
        "X_Forwarded_For": "1.2.3.4",
        "X_Forwarded_Host": "evil.example",
        "Forwarded": "for=1.2.3.4",
        "X_Request_ID": "0" * 32,
        "Cookie": "a=b",
        "Prefer": "wait=10",
    }
    _, _, told = door.ask("GET", "/api/", **forged)
    headers = told["headers"]
    assert headers.pop("X-Request-ID") != "0" * 32
    ours = f"127.0.0.1:{door.port}"
    expected = {"Host": ours, "X-Forwarded-Host": ours, "X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "http"}
    assert headers == {**expected, "Prefer": "wait=10", "Content-Length": "0"}


def test_one_id_for_a_request(door: Door) -> None:
    _, headers, told = door.ask("GET", "/api/")
    assert headers["x-request-id"].replace("-", "") == told["headers"]["X-Request-ID"]


def test_answers_pass_unchanged(door: Door) -> None:
    status, headers, told = door.ask("GET", "/api/conflict")
    assert (status, headers["content-type"], told["path"]) == (409, "application/json", "/api/conflict")


@pytest.mark.parametrize("path", ["/", "/collections/a", "/collections/a/items/b.json", "/API/search", "/index.html"])
def test_pages_of_the_browser(door: Door, path: str) -> None:
    status, headers, page = door.ask("GET", path)
    assert (status, page["text"]) == (200, "<p>browser</p>")
    assert headers["cache-control"] == "no-cache"
    assert headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in headers["content-security-policy"]


def test_built_files_are_kept_and_missing_ones_are_not(door: Door) -> None:
    status, headers, _ = door.ask("GET", "/js/app.8a7c1234.js")
    assert (status, headers["cache-control"]) == (200, "public, max-age=31536000, immutable")
    status, headers, _ = door.ask("GET", "/js/gone.8a7c1234.js")
    assert (status, headers["cache-control"], headers["content-type"][:10]) == (404, "no-cache", "text/plain")


@pytest.mark.parametrize("path", ["/.stamp", "/_refused/problem", "/_refused/sentence"])
def test_what_is_not_served(door: Door, path: str) -> None:
    status, headers, _ = door.ask("GET", path)
    assert (status, headers["content-type"][:10]) == (404, "text/plain")


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/"), ("OPTIONS", "/"), ("DELETE", "/index.html"), ("PUT", "/js/app.8a7c1234.js")]
)
def test_the_browser_is_only_read(door: Door, method: str, path: str) -> None:
    status, headers, _ = door.ask(method, path, Authorization=f"Bearer {door.key}")
    assert (status, headers["allow"]) == (405, "GET, HEAD")


def test_the_api_has_a_slash(door: Door) -> None:
    status, headers, _ = door.ask("GET", "/api?x=1")
    assert (status, headers["location"]) == (308, "/api/?x=1")


@pytest.mark.parametrize(
    ("request_line", "more", "status"),
    [
        ("GET /api/ HTTP/1.1", "", 400),  # no Host
        ("GET /api/%zz HTTP/1.1", "Host: a\r\n", 400),
        ("GET /api/../../x HTTP/1.1", "Host: a\r\n", 400),
        ("GET /api/ HTTP/1.1", "Host: a\r\nX-Big: " + "a" * 40000 + "\r\n", 400),
        ("TRACE /api/ HTTP/1.1", "Host: a\r\n", 405),
        ("POST /api/search HTTP/1.1", "Host: a\r\nContent-Length: 2000000\r\n", 413),
        ("GET /api/" + "a" * 40000 + " HTTP/1.1", "Host: a\r\n", 414),
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


def test_answers_are_compressed_here(door: Door) -> None:
    request = b"GET /api/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAccept-Encoding: gzip\r\n\r\n"
    _, headers, content = door.raw(request)
    assert (headers["content-encoding"], headers["vary"]) == ("gzip", "Accept-Encoding")
    assert "Accept-Encoding" not in json.loads(gzip.decompress(content))["headers"]


def test_the_log_tells_no_secret(door: Door) -> None:
    door.ask("DELETE", "/api/logged", Authorization=f"Bearer {door.key}")
    door.ask("GET", "/api/logged?api_key=hush1&limit=1")
    door.ask("GET", "/api/logged?%61pi_key=hush2")
    door.ask("GET", "/api/logged?limit=7")
    deadline = time.monotonic() + 5
    while (text := door.output.read_text()).count("/api/logged") < 4 and time.monotonic() < deadline:
        time.sleep(0.1)
    # Each of nginx's workers writes its own lines, a second later at most.
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{") and "/api/logged" in line]
    assert sorted(line["query"] for line in lines) == ["", "(not logged)", "(not logged)", "limit=7"]
    assert not any(secret in text for secret in (door.key, "hush1", "hush2"))


def test_a_dead_process_fails_no_read(door: Door) -> None:
    dead = render.upstreams(door.settings)[0].sockets[0]
    aside = dead.with_suffix(".aside")
    dead.rename(aside)
    try:
        assert {door.ask("GET", "/api/")[0] for _ in range(10)} == {200}
        assert {door.ask("POST", "/api/search", body=b"{}")[0] for _ in range(10)} == {200}
    finally:
        aside.rename(dead)


def test_no_process_at_all_is_a_502_that_says_when_to_return(door: Door) -> None:
    sockets = render.upstreams(door.settings)[1].sockets
    for path in sockets:
        path.rename(path.with_suffix(".aside"))
    try:
        status, headers, problem = door.ask("GET", "/api/tiles/x")
    finally:
        for path in sockets:
            path.with_suffix(".aside").rename(path)
    assert (status, headers["retry-after"], problem["code"]) == (502, "2", "unavailable")
