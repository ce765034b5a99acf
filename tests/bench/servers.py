"""The servers that are compared, each as its operator would start it, with one worker, over one database."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx

from almagest.core.processes import Audience
from almagest.core.settings import Settings
from almagest.services.stac.app import PREFIXES
from bench.load import Server
from support import ingests
from support.cluster import free_port

#: May write to pgSTAC's tables of searches, or (`pgstac.readonly`) may not.
STOCK_ROLES = ("stock_default", "stock_readonly")


@contextlib.contextmanager
def started(command: list[str], environment: Mapping[str, str], port: int, ready: str, log: Path) -> Iterator[None]:
    """A server as a process of its own, from its first answer on.

    Raises:
        RuntimeError: it ends, or does not answer within a minute.
    """
    with log.open("wb") as said:
        process = subprocess.Popen(command, env=dict(environment), stdout=said, stderr=said)
    try:
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"http://127.0.0.1:{port}{ready}").status_code < 500:
                    break
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command} does not answer: {log.read_text()[-2000:]}")
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait(20)


@contextlib.contextmanager
def ours(settings: Settings, audience: Audience, log: Path) -> Iterator[Server]:
    """One worker of our STAC API, as the supervisor starts it, without nginx in front."""
    port = free_port()
    module = [sys.executable, "-m", "almagest.services.stac", "--audience", audience, "--port", str(port)]
    headers = {"X-Scopes": "catalogue:read"} if audience == "internal" else {}
    with started(module, ingests.environment(settings), port, "/readyz", log):
        yield Server(port, PREFIXES[audience], headers)


@contextlib.contextmanager
def our_tiles(settings: Settings, log: Path) -> Iterator[Server]:
    """One worker of our tiler, as the supervisor starts it, without nginx in front."""
    port = free_port()
    command = [sys.executable, "-m", "almagest.services.tiles", "--audience", "internal", "--port", str(port)]
    with started(command, ingests.environment(settings), port, "/readyz", log):
        yield Server(port, f"{PREFIXES['internal']}/tiles", {"X-Scopes": "catalogue:read catalogue:write"})


@contextlib.contextmanager
def stock(settings: Settings, log: Path, *, fastest: bool = False) -> Iterator[Server]:
    """stac-fastapi.pgstac as it comes, or (fastest) hydrating in Python and without writing searches down."""
    port = free_port()
    environment = {**_stock_environment(settings, STOCK_ROLES[fastest]), "USE_API_HYDRATE": str(fastest).lower()}
    with started(_uvicorn("stac_fastapi.pgstac.app:create_app", port, "--factory"), environment, port, "/", log):
        yield Server(port)


@contextlib.contextmanager
def stock_tiles(settings: Settings, log: Path) -> Iterator[Server]:
    """titiler-pgstac as it comes."""
    port = free_port()
    environment = _stock_environment(settings, STOCK_ROLES[0])
    with started(_uvicorn("titiler.pgstac.main:app", port), environment, port, "/healthz", log):
        yield Server(port)


@contextlib.contextmanager
def rustac(settings: Settings, program: Path, log: Path) -> Iterator[Server]:
    """rustac's server over pgSTAC."""
    port = free_port()
    dsn = f"postgresql://{STOCK_ROLES[0]}:unused@127.0.0.1:{settings.database.port}/{settings.database.name}"
    address = f"127.0.0.1:{port}"
    with started([str(program), "serve", "--addr", address, "--pgstac", dsn], os.environ, port, "/", log):
        yield Server(port)


def _stock_environment(settings: Settings, role: str) -> dict[str, str]:
    return {
        **os.environ,
        "PGUSER": role,
        "PGPASSWORD": "unused",
        "PGHOST": "127.0.0.1",
        "PGPORT": str(settings.database.port),
        "PGDATABASE": settings.database.name,
    }


def _uvicorn(app: str, port: int, *options: str) -> list[str]:
    address = ["--host", "127.0.0.1", "--port", str(port)]
    return [sys.executable, "-m", "uvicorn", app, *options, *address, "--log-level", "warning", "--no-access-log"]
