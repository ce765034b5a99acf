"""The one supervisor: its configuration, its start, and how it is talked to (a Unix socket, never a port)."""

from __future__ import annotations

import http.client
import os
import shlex
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from almagest.cli.stack import remnants, state
from almagest.cli.stack.errors import StackError
from almagest.cli.stack.health import UnixConnection
from almagest.cli.stack.programs import Program
from almagest.core.settings import Settings

# What a child may see of the environment that `almagest up` was called in; everything else is ours to say.
_PASSED = (
    "PATH",
    "PYTHONPATH",
    "TZ",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "AWS_CA_BUNDLE",
)


@dataclass(frozen=True)
class Process:
    """What the supervisor knows of a program."""

    name: str
    state: str
    pid: int
    started: int
    uptime_s: int


def socket(settings: Settings) -> Path:
    """Where the supervisor listens."""
    return settings.run / "supervisor.sock"


def child_environment(settings: Settings) -> dict[str, str]:
    """The whole environment of everything that runs."""
    passed = {name: os.environ[name] for name in _PASSED if name in os.environ}
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        **passed,
        "HOME": str(settings.site.home),
        "LANG": "C.UTF-8",
        "PYTHONSAFEPATH": "1",
        "PYTHONUNBUFFERED": "1",
        remnants.MARK: str(settings.site.home),
        **state.environment(settings),
    }


def configuration(settings: Settings, programs: Iterable[Program]) -> str:
    """``supervisord.conf``."""
    folder = state.folder(settings)
    sections: dict[str, Mapping[str, object]] = {
        "unix_http_server": {"file": socket(settings), "chmod": "0700"},
        "supervisord": {
            "nodaemon": "true",
            "silent": "true",
            "logfile": settings.logs / "supervisor.log",
            "logfile_maxbytes": "5MB",
            "logfile_backups": 2,
            "pidfile": folder / "supervisord.pid",
            "childlogdir": settings.logs,
            "identifier": "almagest",
        },
        "rpcinterface:supervisor": {
            "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface",
        },
        **{f"program:{program.name}": _program(settings, program) for program in programs},
    }
    return "\n".join(
        "\n".join([f"[{title}]", *(f"{name}={value}" for name, value in values.items()), ""])
        for title, values in sections.items()
    )


def _program(settings: Settings, program: Program) -> dict[str, object]:
    log = settings.logs / f"{program.name}.log"
    rotation = {"maxbytes": "20MB", "backups": 3}
    if program.splits_errors:
        logs: dict[str, object] = {
            "stdout_logfile": settings.logs / f"{program.name}-access.log",
            "stderr_logfile": log,
            **{f"stderr_logfile_{name}": value for name, value in rotation.items()},
        }
    else:
        logs = {"redirect_stderr": "true", "stdout_logfile": log}
    return {
        "command": shlex.join(program.launch_command()),
        "directory": program.directory,
        "priority": program.stage * 100,
        # `almagest up` starts them, stage after stage; from then on the supervisor alone.
        "autostart": "false",
        "autorestart": "true",
        "startsecs": 1,
        # Never give up: a full disk is cleared some day, and nobody should have to remember this process then.
        "startretries": 1000000,
        "stopsignal": program.stop_signal,
        "stopwaitsecs": program.stop_wait_s,
        "killasgroup": "true",
        **logs,
        **{f"stdout_logfile_{name}": value for name, value in rotation.items()},
    }


def start(settings: Settings, programs: Iterable[Program], *, die_with_us: bool) -> subprocess.Popen[bytes]:
    """Start the supervisor, with nothing under it yet, and wait until it listens.

    Args:
        settings: of the stack.
        programs: what it will look after.
        die_with_us: end it when this process dies, however it dies.

    Raises:
        StackError: it does not start; quotes it.
    """
    target = state.folder(settings) / "supervisord.conf"
    target.write_text(configuration(settings, programs))
    command = [sys.executable, "-P", "-m", "almagest.cli.stack.daemon", "-n", "-c", str(target)]
    if die_with_us:
        launcher = [sys.executable, "-P", "-m", "almagest.cli.stack.launch", "--death-signal", "TERM", "--"]
        command = [*launcher, *command]
    complaints = settings.logs / "supervisor-start.log"
    with complaints.open("wb") as errors:
        # A session of its own: Ctrl-C in this terminal is ours to handle, and closing it must not end the stack.
        process = subprocess.Popen(  # noqa: S603
            command,
            env=child_environment(settings),
            cwd=state.folder(settings),
            stdin=subprocess.DEVNULL,
            stdout=errors,
            stderr=errors,
            start_new_session=True,
        )
    try:
        _wait_listening(settings, process, complaints)
    except BaseException:
        process.terminate()
        raise
    return process


def _wait_listening(settings: Settings, process: subprocess.Popen[bytes], complaints: Path) -> None:
    client = Client(socket(settings))
    deadline = time.monotonic() + 30
    while not client.is_running():
        if process.poll() is not None or time.monotonic() > deadline:
            lines = complaints.read_text().strip().splitlines() or ["it says nothing"]
            raise StackError(f"The supervisor does not start: {lines[-1]}")
        time.sleep(0.05)


class _Transport(xmlrpc.client.Transport):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        """One connection a call: calls are few, and the supervisor may have been replaced in between."""
        connection = UnixConnection(self._path, timeout_s=20)
        self._connection = host, connection  # where `close` looks for it
        return connection


class Client:
    """Talks to a supervisor that may or may not be there."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def _call(self, method: str, *arguments: object) -> Any:
        # A proxy a call: xmlrpc's keep-alive does not survive a restart of the other side.
        proxy = xmlrpc.client.ServerProxy("http://localhost/RPC2", transport=_Transport(self._path))
        with proxy:
            return getattr(proxy.supervisor, method)(*arguments)

    def state(self) -> str:
        """`RUNNING`, `SHUTDOWN` (on its way out), or nothing where no supervisor answers."""
        try:
            return str(self._call("getState")["statename"])
        except (OSError, http.client.HTTPException, xmlrpc.client.Error):
            return ""

    def is_running(self) -> bool:
        """Whether a supervisor answers and is not on its way out."""
        return self.state() == "RUNNING"

    def processes(self) -> dict[str, Process]:
        """All programs by name; empty where no supervisor runs."""
        try:
            found = self._call("getAllProcessInfo")
        except (OSError, http.client.HTTPException, xmlrpc.client.Error):
            return {}
        return {
            entry["name"]: Process(
                name=entry["name"],
                state=entry["statename"].lower(),
                pid=entry["pid"],
                started=entry["start"],
                uptime_s=max(0, entry["now"] - entry["start"]) if entry["pid"] else 0,
            )
            for entry in found
        }

    def start(self, name: str) -> None:
        """Start a program; do not wait."""
        self._call("startProcess", name, False)

    def shutdown(self) -> None:
        """Stop everything, in order, then the supervisor itself; do not wait."""
        self._call("shutdown")
