"""A whole stack as `make up` starts it, in a folder and on ports of its own."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx

from almagest.cli.stack import remnants, status
from almagest.core.settings import Settings
from support.cluster import ROOT_VARIABLE, free_port

HOUSE = Path(__file__).parents[2]


class Stack:
    """A stack under ``home``; every command runs as an operator would run it."""

    def __init__(self, home: Path, **variables: str) -> None:
        self.home = home
        self.port, self.database_port = free_port(), free_port()
        self.variables = {
            "ALMAGEST_HOME": str(home),
            "ALMAGEST_PORT": str(self.port),
            "ALMAGEST_DB_PORT": str(self.database_port),
            **variables,
        }

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def write_key(self) -> str:
        return (self.home / "secrets" / "write.key").read_text().strip()

    def run(self, *arguments: str, check: bool = True, **variables: str) -> subprocess.CompletedProcess[str]:
        """An `almagest` command."""
        done = subprocess.run(
            [sys.executable, "-m", "almagest.cli.main", *arguments],
            env={**os.environ, **self.variables, **variables},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        if check and done.returncode:
            raise AssertionError(f"almagest {' '.join(arguments)}: {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def status(self) -> dict[str, Any]:
        return dict(json.loads(self.run("status", "--json", check=False).stdout))

    @cached_property
    def settings(self) -> Settings:
        with patch.dict(os.environ, self.variables):
            return Settings.load()

    def processes(self) -> dict[str, int]:
        """Process ids by name; found as `almagest status` finds them, without a new process for each time."""
        return {process.name: process.pid for process in status.status(self.settings).processes if process.pid}

    def wait_healthy(self, seconds: float) -> float:
        """Waits until all is well; says how long that took."""
        started = time.monotonic()
        while not status.status(self.settings).healthy:
            if time.monotonic() - started > seconds:
                raise AssertionError(f"not healthy after {seconds} s: {json.dumps(self.status(), indent=1)}")
            time.sleep(0.2)
        return time.monotonic() - started

    def end(self) -> None:
        """All at once: everything ends with its supervisor. `almagest down` ends one after the other."""
        found = remnants.of_stack(self.home)
        file = self.home / "state" / "supervisord.pid"
        if file.exists() and (supervisor := int(file.read_text())) in found:
            kill(supervisor)
        remnants.remove(lambda: remnants.of_stack(self.home), 30)

    def client(self, **options: Any) -> httpx.Client:
        return httpx.Client(base_url=self.origin, timeout=30, **options)


@contextlib.contextmanager
def stack(sample: str, **variables: str) -> Iterator[Stack]:
    """A running stack, stopped and removed in the end."""
    home = Path(tempfile.mkdtemp(prefix="alm-", dir="/tmp"))
    home.chmod(0o755)
    built = HOUSE / ".almagest" / "browser"
    if built.exists():
        shutil.copytree(built.resolve(), home / "browser")
    running = Stack(home, **variables)
    # Rendering the sample takes longer than all the rest: the stacks of one run share it.
    rendered, store = Path(os.environ[ROOT_VARIABLE]) / "sample", home / "store" / "sample"
    if sample == "generate" and rendered.exists():
        store.parent.mkdir()
        _copy(rendered, store)
    try:
        running.run("up", "--sample", sample)
        if sample == "generate" and not rendered.exists():
            own = rendered.with_name(f"sample-{os.getpid()}")
            _copy(store, own)
            with contextlib.suppress(OSError):  # another process has just done the same
                own.rename(rendered)
        yield running
    finally:
        running.end()
        shutil.rmtree(home, ignore_errors=True)


def _copy(folder: Path, target: Path) -> None:
    """With its owners: the services' user reads it."""
    subprocess.run(["cp", "-a", folder, target], check=True)


def kill(pid: int) -> None:
    """What no process can catch."""
    os.kill(pid, signal.SIGKILL)
