"""What a person sees while the stack starts, and afterwards."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.table import Table
from rich.text import Text

from almagest.cli.stack.status import Status
from almagest.core import secrets
from almagest.core.settings import Settings

_HEARTBEAT_S = 15.0
#: Whom people look into the database as.
_READER = "almagest_reader"


class Progress:
    """Says what is being done; a long step keeps saying that it still is."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def __call__(self, line: str) -> None:
        """A line of what a step reports."""
        self._console.print(f"    {line}", style="dim", highlight=False, markup=False, soft_wrap=True)

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Show that something is going on, and how long it took."""
        started = time.monotonic()
        with self._running(title, started):
            yield
        self._console.print(f"  ✓ {title} ({time.monotonic() - started:.1f} s)", highlight=False, markup=False)

    @contextmanager
    def _running(self, title: str, started: float) -> Iterator[None]:
        if self._console.is_terminal:
            with self._console.status(f"{title} …"):
                yield
            return
        done = threading.Event()

        def beat() -> None:
            while not done.wait(_HEARTBEAT_S):
                self._console.print(f"    … {title}: {time.monotonic() - started:.0f} s", highlight=False, markup=False)

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def addresses(settings: Settings) -> dict[str, str]:
    """Where everything is."""
    database = settings.database
    return {
        "site": settings.site.origin,
        "external": f"{settings.site.origin}/external/",
        "api": f"{settings.site.origin}/api/",
        "tiles": f"{settings.site.origin}/api/tiles/docs",
        "database": f"postgresql://{_READER}@{database.host or '127.0.0.1'}:{database.port}/{database.name}",
        "database_password": str(settings.secrets / _READER),
        "write_key": str(settings.secrets / secrets.WRITE_KEY),
        "pages": f"{settings.site.origin}/ops/ui/",
        "admin_password": str(settings.secrets / secrets.ADMIN_PASSWORD),
    }


def document(settings: Settings, status: Status) -> dict[str, object]:
    """`status --json`."""
    return {
        "running": status.running,
        "healthy": status.healthy,
        "home": str(settings.site.home),
        "addresses": addresses(settings),
        "processes": [
            {
                "name": process.name,
                "state": process.state,
                "pid": process.pid or None,
                "uptime_s": process.uptime_s,
                "healthy": process.healthy,
                "reason": process.reason,
            }
            for process in status.processes
        ],
    }


def show_addresses(console: Console, settings: Settings) -> None:
    """The table at the end of `up`."""
    labels = {
        "site": "Browse",
        "external": "Public API",
        "api": "STAC API",
        "tiles": "Tiles",
        "database": "Database",
        "database_password": "Password",
        "write_key": "Write key",
        "pages": "Jobs, keys",
        "admin_password": "as `admin`",
    }
    for name, address in addresses(settings).items():
        # No table: it would fold a long address, and terminals make links of whole ones.
        line = Text(f"  {labels[name]:<11}").append(address, style="bold" if name == "site" else "")
        console.print(line, soft_wrap=True)


def show_status(console: Console, status: Status) -> None:
    """The table of `status`."""
    table = Table(box=None, padding=(0, 2))
    for heading in ("Process", "State", "PID", "Up", "Health"):
        table.add_column(heading, justify="right" if heading in {"PID", "Up"} else "left")
    for process in status.processes:
        health = "[green]healthy[/]" if process.healthy else f"[red]{process.reason}[/]"
        table.add_row(process.name, process.state, str(process.pid or "–"), _duration(process.uptime_s), health)
    console.print(table)


def _duration(seconds: int) -> str:
    if seconds < 120:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"
