"""The `almagest` command as an operator runs it, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

from almagest.core.settings import Settings

Run = Callable[..., subprocess.CompletedProcess[str]]


def runner(settings: Settings, group: str) -> Run:
    """Runs commands of a group on a database: `run("list", "--json")`; what is typed into it is `typed`."""

    def run(*arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        variables = {
            "ALMAGEST_HOME": str(settings.site.home),
            "ALMAGEST_DB_HOST": settings.db_host,
            "ALMAGEST_DB_PORT": str(settings.database.port),
            "ALMAGEST_DB_NAME": settings.database.name,
            "COLUMNS": "200",
        }
        return subprocess.run(
            [sys.executable, "-m", "almagest.cli.main", group, *arguments],
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
            input=typed,
            check=False,
        )

    return run
