"""Redis and workers of a test, as processes that can be killed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import redis as client

from almagest.cli.stack import redis
from almagest.core.settings import Settings
from support import plugin

_HOUSE = Path(__file__).parents[2]


class Processes:
    """What does the jobs of one database."""

    def __init__(self, settings: Settings, **variables: str) -> None:
        self.settings = settings
        self.variables = {
            "ALMAGEST_HOME": str(settings.site.home),
            "ALMAGEST_DB_HOST": settings.db_host,
            "ALMAGEST_DB_PORT": str(settings.database.port),
            "ALMAGEST_DB_NAME": settings.database.name,
            "ALMAGEST_WORK_LEASE_S": "3",
            "ALMAGEST_WORK_POLL_S": "0.5",
            **variables,
        }
        plugin.write(settings.site.home / "plugin")
        self.redis: subprocess.Popen[bytes] | None = None
        self.workers: dict[str, subprocess.Popen[bytes]] = {}
        self.folder = settings.site.home
        for name in ("redis", "logs", "run", "work"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        settings.run.mkdir(parents=True, exist_ok=True)

    @property
    def environment(self) -> dict[str, str]:
        """Of every process, with the package of processes."""
        path = os.pathsep.join(filter(None, [str(self.folder / "plugin"), os.environ.get("PYTHONPATH")]))
        return {**os.environ, **self.variables, "PYTHONPATH": path}

    def start_redis(self) -> None:
        redis.write_configuration(self.settings)
        self.redis = self._start("redis", redis.command(self.settings))
        until = time.monotonic() + 20
        while True:
            with contextlib.suppress(client.ConnectionError), self.connection() as connection:
                connection.ping()
                return
            assert time.monotonic() < until, "Redis does not come up"
            time.sleep(0.05)

    def connection(self) -> client.Redis:
        return client.Redis(unix_socket_path=str(redis.socket(self.settings)))

    def start_worker(self, name: str) -> None:
        command = (sys.executable, "-P", "-m", "almagest.pipelines.worker", "--name", name)
        self.workers[name] = self._start(name, command)

    def start_flower(self) -> Path:
        """Starts Flower; answers its socket, on which it listens soon."""
        socket = self.settings.run / "flower-0.sock"
        command = (sys.executable, "-P", "-m", "almagest.pipelines.flower", "--uds", str(socket))
        self.workers["flower"] = self._start("flower", command)
        return socket

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        process = self.workers.pop(name) if number == signal.SIGKILL else self.workers[name]
        process.send_signal(number)
        if number == signal.SIGKILL:
            process.wait()

    def kill_redis(self) -> None:
        assert self.redis is not None
        self.redis.kill()
        self.redis.wait()

    def log(self, name: str) -> str:
        return (self.folder / "logs" / f"{name}.log").read_text()

    def stop(self) -> None:
        for process in [*self.workers.values(), self.redis]:
            if process is not None:
                process.kill()
                process.wait()

    def _start(self, name: str, command: tuple[str, ...]) -> subprocess.Popen[bytes]:
        with (self.folder / "logs" / f"{name}.log").open("ab") as log:
            return subprocess.Popen(command, env=self.environment, stdout=log, stderr=subprocess.STDOUT, cwd=_HOUSE)


@contextlib.contextmanager
def processes(settings: Settings, **variables: str) -> Iterator[Processes]:
    """Redis, and workers as the test starts them."""
    made = Processes(settings, **variables)
    try:
        made.start_redis()
        yield made
    finally:
        made.stop()
