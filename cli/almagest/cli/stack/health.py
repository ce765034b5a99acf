"""Probes: each says why something is not well, or nothing."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
from pathlib import Path

from almagest.core.processes import FLOWER_PATH

_TIMEOUT_S = 4.0


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path, timeout_s: float = _TIMEOUT_S) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket in place of a host."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def postgres(binaries: Path, run: Path, port: int) -> str | None:
    """Whether the cluster takes connections."""
    result = subprocess.run(  # noqa: S603
        [str(binaries / "pg_isready"), "-h", str(run), "-p", str(port), "-t", "3"],
        capture_output=True,
        text=True,
        check=False,
    )
    return None if result.returncode == 0 else result.stdout.strip().rpartition(" - ")[2] or "no response"


def redis(path: Path) -> str | None:
    """Whether Redis answers a ping."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_TIMEOUT_S)
            connection.connect(str(path))
            connection.sendall(b"PING\r\n")
            answer = connection.recv(64)
    except OSError as error:
        return _reason(error)
    return None if answer.startswith(b"+PONG") else answer.decode(errors="replace").strip() or "no response"


def service(path: Path) -> str | None:
    """Whether a service and all it depends on are ready."""
    return _ask(UnixConnection(path), "/readyz", {200})


def flower(path: Path) -> str | None:
    """Whether Flower answers."""
    return _ask(UnixConnection(path), f"{FLOWER_PATH}/healthcheck", {200})


def site(bind: str, port: int) -> str | None:
    """Whether nginx answers at all; what it answers is the services' business."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1", "[::]": "::1"}.get(bind, bind)  # noqa: S104 -- compared, not bound
    connection = http.client.HTTPConnection(host.strip("[]"), port, timeout=_TIMEOUT_S)
    return _ask(connection, "/", {200, 404})


def _ask(connection: http.client.HTTPConnection, path: str, well: set[int]) -> str | None:
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read(65536)
    except (OSError, http.client.HTTPException) as error:
        return _reason(error)
    finally:
        connection.close()
    return None if answer.status in well else _explain(answer.status, body)


def _explain(status: int, body: bytes) -> str:
    try:
        reasons = json.loads(body)["reasons"]
        return "; ".join(str(reason) for reason in reasons)
    except (ValueError, KeyError, TypeError):
        return f"answers {status}"


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError | ConnectionRefusedError):
        return "does not listen yet"
    if isinstance(error, TimeoutError):
        return f"does not answer within {_TIMEOUT_S:g} s"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
