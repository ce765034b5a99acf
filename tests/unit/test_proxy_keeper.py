"""nginx in a container: services are names that are looked up, and it ends when it is told to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from support.cluster import free_port


class _Ops(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.send_header("X-Asked", self.path)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def ops() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Ops)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def test_services_are_asked_by_name_and_the_end_is_polite(home: Path, ops: int) -> None:
    port = free_port()
    variables = {
        "ALMAGEST_HOME": str(home),
        "ALMAGEST_PORT": str(port),
        "ALMAGEST_SERVICES": f"ops=localhost:{ops},stac=nowhere.invalid:1",
    }
    with (home / "output").open("wb") as output:
        keeper = subprocess.Popen(
            [sys.executable, "-m", "almagest.services.proxy", "--serve"],
            env={**os.environ, **variables},
            stdout=output,
            stderr=output,
        )
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
                answer = _first_answer(client, "/ops/health")
                assert (answer.status_code, answer.headers["x-asked"]) == (200, "/ops/health")
                assert client.get("/api/").status_code == 502
        finally:
            keeper.send_signal(signal.SIGTERM)
            assert keeper.wait(20) == 0
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://127.0.0.1:{port}/")


def _first_answer(client: httpx.Client, path: str) -> httpx.Response:
    deadline = time.monotonic() + 20
    while True:
        try:
            return client.get(path)
        except httpx.TransportError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
