"""pygeoapi, the reference of OGC API - Processes, in an environment of its own, and the shapes of what it answers.

It wants other versions of what we use: only `make soak` installs it. A developer who has it names its Python in
``ALMAGEST_TEST_PYGEOAPI``. What it answered is kept as shapes beside this module, so that `make test` needs none of it.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.cluster import free_port

VARIABLE = "ALMAGEST_TEST_PYGEOAPI"
VERSION = "0.21.0"
RECORDED = Path(__file__).with_name("pygeoapi_shapes.json")

_SERVE = "import sys; from pygeoapi.flask_app import APP; APP.run(port=int(sys.argv[1]))"


def install(folder: Path) -> Path:
    """The Python of a fresh one in this folder, or of the one that is named; skips where it cannot be installed."""
    if named := os.environ.get(VARIABLE):
        return Path(named)
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True, capture_output=True)
    python = folder / "venv" / "bin" / "python"
    command = [python, "-m", "pip", "install", "--quiet", f"pygeoapi=={VERSION}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"pygeoapi {VERSION} cannot be installed: {done.stderr.strip().splitlines()[-1]}")
    return python


@contextlib.contextmanager
def serving(python: Path, folder: Path) -> Iterator[httpx.Client]:
    """A server with its process `hello-world`, which echoes what it is told."""
    port = free_port()
    origin = f"http://127.0.0.1:{port}"
    (folder / "out").mkdir()
    # JSON is YAML as well.
    (folder / "config.yml").write_text(json.dumps(_configuration(origin, folder)))
    paths = {"PYGEOAPI_CONFIG": str(folder / "config.yml"), "PYGEOAPI_OPENAPI": str(folder / "openapi.yml")}
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8", **paths}
    generate = [python.with_name("pygeoapi"), "openapi", "generate", "config.yml", "--output-file", "openapi.yml"]
    subprocess.run(generate, env=environment, cwd=folder, check=True, capture_output=True, timeout=120)
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [python, "-c", _SERVE, str(port)], env=environment, cwd=folder, stdout=log, stderr=log
        )
    try:
        with httpx.Client(base_url=origin, headers={"Accept": "application/json"}) as client:
            _wait(client)
            yield client
    finally:
        server.terminate()
        server.wait(20)


def shapes(client: httpx.Client, process: str, inputs: dict[str, Any]) -> dict[str, Any]:
    """What a server answers to whoever lists, describes, executes, looks after and removes, and errs.

    Args:
        client: of the server, at the address of its landing page.
        process: one that echoes.
        inputs: that it takes.
    """
    of, later = f"/processes/{process}", {"Prefer": "respond-async"}
    found = {
        "landing": _shape(client.get("/")),
        "conformance": _shape(client.get("/conformance")),
        "processes": _shape(client.get("/processes")),
        "description": _shape(client.get(of)),
        "executed": _shape(client.post(f"{of}/execution", json={"inputs": inputs})),
    }
    accepted = client.post(f"{of}/execution", json={"inputs": inputs}, headers=later)
    found["accepted"] = _shape(accepted)
    address = accepted.headers["location"]
    until = time.monotonic() + 20
    while (status := client.get(address)).json()["status"] in {"accepted", "running"}:
        assert time.monotonic() < until, status.text
        time.sleep(0.05)
    found |= {
        "status": _shape(status),
        "results": _shape(client.get(f"{address}/results")),
        "jobs": _shape(client.get("/jobs")),
        "removed": _shape(client.delete(address)),
        "no such job": _shape(client.get(address)),
        "no such process": _shape(client.get("/processes/none")),
        "no such process to execute": _shape(client.post("/processes/none/execution", json={})),
        "inputs that are wrong": _shape(client.post(f"{of}/execution", json={"inputs": {}})),
    }
    return found


def _shape(answer: httpx.Response) -> dict[str, Any]:
    told = [name for name in ("location", "preference-applied") if name in answer.headers]
    return {"status": answer.status_code, "headers": told, "body": _kinds(answer.json())}


def _kinds(value: Any) -> Any:
    """The names of members and the kinds of values; of links, how they are related to the document."""
    if isinstance(value, dict):
        return {name: _SPECIAL.get(name, _kinds)(of) for name, of in sorted(value.items())}
    if isinstance(value, list):
        # All members of a list are alike.
        return [_kinds(value[0])] if value else []
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


def _related(links: list[dict[str, str]]) -> list[str]:
    return sorted({link["rel"] for link in links})


#: What is named or made as a process likes it.
_SPECIAL = {
    "links": _related,
    "inputs": lambda inputs: [_kinds(given) for given in inputs.values()][:1],
    "outputs": lambda outputs: [_kinds(given) for given in outputs.values()][:1],
    "schema": lambda _: "a JSON Schema",
}


def _wait(client: httpx.Client) -> None:
    until = time.monotonic() + 60
    while True:
        with contextlib.suppress(httpx.ConnectError):
            client.get("/")
            return
        assert time.monotonic() < until, "pygeoapi does not come up"
        time.sleep(0.2)


def _configuration(origin: str, folder: Path) -> dict[str, Any]:
    nobody = {"name": "nobody", "url": "https://example.org"}
    port = int(origin.rpartition(":")[2])
    return {
        "server": {
            "bind": {"host": "127.0.0.1", "port": port},
            "url": origin,
            "mimetype": "application/json; charset=UTF-8",
            "encoding": "utf-8",
            "language": "en-US",
            "limits": {"default_items": 10, "max_items": 100},
            "map": {"url": "https://example.org/{z}/{x}/{y}.png", "attribution": "none"},
            "manager": {"name": "TinyDB", "connection": str(folder / "jobs.db"), "output_dir": str(folder / "out")},
        },
        "logging": {"level": "ERROR"},
        "metadata": {
            "identification": {
                "title": {"en": "Peer"},
                "description": {"en": "Peer"},
                "keywords": {"en": ["peer"]},
                "keywords_type": "theme",
                "terms_of_service": "none",
                "url": "https://example.org",
            },
            "license": nobody,
            "provider": nobody,
            "contact": {"name": "nobody", "email": "nobody@example.org"},
        },
        "resources": {"hello-world": {"type": "process", "processor": {"name": "HelloWorld"}}},
    }
