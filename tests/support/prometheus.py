"""A real Prometheus with our configuration and rules, asking a server of a test."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from support.cluster import free_port

FOLDER = Path(__file__).parents[2] / "compose" / "prometheus"


def program(name: str) -> str:
    """Where a program of Prometheus' is; the test is skipped where it is not installed."""
    found = shutil.which(name)
    if not found:
        pytest.skip(f"{name} is not installed (Debian's package prometheus)")
    return found


class Prometheus:
    """A running one."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def ask(self, path: str, **parameters: str) -> Any:
        """What its API answers; an error is an error."""
        answer = self._client.get(path, params=parameters)
        if answer.status_code == 503:  # it is still starting, and says so in plain text
            answer.raise_for_status()
        told = answer.json()
        assert told["status"] == "success", (parameters, told)
        return told["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The samples of a query at this moment."""
        return list(self.ask("/query", query=expression)["result"])

    def wait(self, expression: str, within_s: float = 30) -> None:
        """Until a query has a result."""
        until = time.monotonic() + within_s
        while True:
            with contextlib.suppress(httpx.HTTPError):
                if self.query(expression):
                    return
            assert time.monotonic() < until, expression
            time.sleep(0.2)


@contextlib.contextmanager
def watching(folder: Path, port: int, key: str) -> Iterator[Prometheus]:
    """Asks a port of this machine each second, with a key; everything else is as in compose."""
    (folder / "key").write_text(f"{key}\n")
    shutil.copy(FOLDER / "rules.yml", folder)
    given = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    given["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    (asks,) = given["scrape_configs"]
    asks["authorization"]["credentials_file"] = str(folder / "key")
    asks["static_configs"] = [{"targets": [f"127.0.0.1:{port}"]}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(given))
    own = free_port()
    command = [
        program("prometheus"),
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{own}",
    ]
    with (folder / "log").open("wb") as log:
        running = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{own}/api/v1", timeout=10) as client:
            yield Prometheus(client)
    finally:
        running.kill()
        running.wait()
