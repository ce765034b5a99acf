"""nginx itself with our configuration, in front of processes that only tell, and remember, what reached them."""

from __future__ import annotations

import contextlib
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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

from almagest.core import executables
from almagest.core.settings import Settings, Site
from almagest.services.proxy import policy, render
from support.cluster import free_port, unprivileged_user

INSIDE, OUTSIDE = "127.0.0.1", "127.0.0.2"

#: What the stand-in for ops knows: scopes of each key.
KEYS = {
    "reads": "catalogue:read",
    "writes": "catalogue:read catalogue:write",
    "watches": "ops:read",
    "governs": "admin",
}

#: What the stand-ins answer to paths that hold these words.
STATUSES = {"conflict": 409, "unchanged": 304}

Answer = tuple[int, dict[str, str], bytes]


@dataclass(frozen=True)
class Reached:
    """A request that came through to an application."""

    upstream: str
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def decoded(self) -> str:
        """The path as the application reads it."""
        return unquote_to_bytes(self.path.partition("?")[0]).decode("latin-1")


class _Teller(http.server.BaseHTTPRequestHandler):
    """Answers with what it was asked."""

    protocol_version = "HTTP/1.1"
    server: _Upstream

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        reached = Reached(self.server.upstream, self.command, self.path, dict(self.headers), body)
        if self.path == "/authorize":
            self.server.questions.append(reached)
            self._authorize()
            return
        self.server.reached.append(reached)
        told = {"path": self.path, "method": self.command, "body": body.decode("latin-1"), "headers": reached.headers}
        sent = {"Content-Type": "application/json", "X-Request-ID": "the upstream's own"}
        sent |= self.server.answers.get(reached.decoded, {})
        status = next((status for word, status in STATUSES.items() if word in self.path), 200)
        self._send(status, sent, json.dumps({**told, "padding": "x" * 2000}).encode())

    def _authorize(self) -> None:
        scheme, _, key = self.headers.get("Authorization", "").partition(" ")
        scopes = KEYS.get(key, "") if scheme.lower() == "bearer" else ""
        if not scopes:
            self._send(401, {"WWW-Authenticate": 'Bearer realm="almagest"'})
        elif not {self.headers["X-Required-Scope"], "admin"} & set(scopes.split()):
            self._send(403, {})
        else:
            self._send(
                204,
                {"X-Subject": "key:abcdefgh", "X-Principal": f"who {key}", "X-Key-Id": "abcdefgh", "X-Scopes": scopes},
            )

    def _send(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status not in {204, 304}:
            self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        if body and status != 304 and self.command != "HEAD":
            self.wfile.write(body)

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
    request_queue_size = 64

    def handle_error(self, *_: object) -> None:
        """nginx hangs up where an answer's body is not wanted."""

    upstream: str
    reached: list[Reached]
    questions: list[Reached]
    answers: dict[str, dict[str, str]]


@dataclass
class Door:
    """A running nginx.

    Attributes:
        settings: what it was rendered from.
        output: what it says.
        reached: what came through to the applications.
        questions: what ops was asked.
        answers: headers that the applications answer with, by decoded path.
    """

    settings: Settings
    output: Path
    reached: list[Reached] = field(default_factory=list, repr=False)
    questions: list[Reached] = field(default_factory=list, repr=False)
    answers: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def port(self) -> int:
        """The port of the listener for everybody."""
        return self.settings.site.port

    def raw(self, data: bytes, method: str = "GET", *, source: str = INSIDE, port: int | None = None) -> Answer:
        """Send bytes as they are."""
        address = (INSIDE, port or self.port)
        with socket.create_connection(address, timeout=10, source_address=(source, 0)) as connection:
            connection.sendall(data)
            answer = http.client.HTTPResponse(connection, method=method)
            answer.begin()
            headers: dict[str, str] = {}
            for name, value in answer.getheaders():
                headers[name.lower()] = f"{headers[name.lower()]}, {value}" if name.lower() in headers else value
            return answer.status, headers, answer.read()

    def ask(
        self,
        method: str,
        path: str,
        *,
        body: bytes = b"",
        source: str = INSIDE,
        port: int | None = None,
        **headers: str,
    ) -> tuple[int, dict[str, str], dict[str, Any]]:
        """Send a request with this path, spelled exactly so."""
        lines = [f"{method} {path} HTTP/1.1", "Host: evil.example", "Connection: close", f"Content-Length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        data = "\r\n".join([*lines, "", ""]).encode("latin-1") + body
        status, answered, content = self.raw(data, method, source=source, port=port)
        is_json = content and "json" in answered.get("content-type", "")
        return status, answered, json.loads(content) if is_json else {"text": content.decode("latin-1")}

    @contextlib.contextmanager
    def without(self, upstream: str, *, only_first: bool = False) -> Iterator[None]:
        """Its processes are dead, or the first of them is."""
        found = next(each for each in render.upstreams(self.settings) if each.name == upstream)
        sockets = found.sockets[:1] if only_first else found.sockets
        for path in sockets:
            path.rename(path.with_suffix(".aside"))
        try:
            yield
        finally:
            for path in sockets:
                path.with_suffix(".aside").rename(path)


def mount_of(reached: Reached) -> policy.Mount:
    """The mount whose processes were reached."""
    served = [mount for mount in policy.MOUNTS if mount.upstream == reached.upstream]
    return next((mount for mount in served if reached.decoded.startswith(f"{mount.prefix}/")), served[0])


@contextlib.contextmanager
def opened(**site: Any) -> Iterator[Door]:
    """A door to stand-ins; inside is 127.0.0.1 alone."""
    home = Path(tempfile.mkdtemp(prefix="alm-door-", dir="/tmp"))
    given = {"internal_networks": f"{INSIDE}/32", "anonymous_rate": 100000, "max_body_mb": 1, **site}
    settings = Settings(site=Site(home=home, port=free_port(), **given))
    (home / "run").mkdir()
    (home / "store" / "a b").mkdir(parents=True)
    (home / "store" / "a b" / "ü%1.tif").write_bytes(bytes(range(256)) * 16)
    (home / "store" / "link.tif").symlink_to("/etc/passwd")
    (home / "browser" / "js").mkdir(parents=True)
    (home / "browser" / "swagger").mkdir()
    (home / "browser" / "index.html").write_text("<p>browser</p>")
    (home / "browser" / ".stamp").write_text("hidden")
    (home / "browser" / "js" / "app.8a7c1234.js").write_text("'code'")
    (home / "browser" / "swagger" / "init.js").write_text("'swagger'")
    render.write(settings)
    running = Door(settings, home / "output")
    user = unprivileged_user()
    for path in (home, *home.rglob("*")) if user else ():
        if not path.is_symlink():
            shutil.chown(path, user, user)
    servers = list(_stand_ins(running))
    command = [executables.find("nginx", "nginx"), "-p", f"{home}/nginx/", "-c", "conf/nginx.conf", "-e", "stderr"]
    with running.output.open("wb") as output:
        # `/dev/stdout` is opened anew by nginx, so it must be a file (or pipe) of the user's own.
        if user:
            shutil.chown(running.output, user, user)
        nginx = subprocess.Popen(command, stdout=output, stderr=output, user=user, group=user)
    try:
        _wait(running.port)
        yield running
    finally:
        nginx.terminate()
        nginx.wait(10)
        for server in servers:
            server.shutdown()
            server.server_close()
        shutil.rmtree(home, ignore_errors=True)


def _stand_ins(door: Door) -> Iterator[_Upstream]:
    for upstream in render.upstreams(door.settings):
        for path in upstream.sockets:
            server = _Upstream(str(path), _Teller)
            server.upstream, server.reached = upstream.name, door.reached
            server.questions, server.answers = door.questions, door.answers
            path.chmod(0o666)
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
            yield server


def _wait(port: int) -> None:
    for _ in range(100):
        try:
            socket.create_connection((INSIDE, port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
