"""``almagest audience verify``: whether outsiders could tell what is hidden, tried out on copies of the catalogue."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from almagest.cli.output import console

if TYPE_CHECKING:
    from almagest.core.settings import Settings

EPILOG = "Example: almagest audience verify --requests 5000"

#: Of this command, by that of the comparison: equal, different, or equal but for errors.
_EXIT_CODES = {0: 0, 3: 1, 4: 3}

#: A dump empties the search path, but generated columns of pgSTAC call functions by their bare names.
_EMPTY_PATH = b"SELECT pg_catalog.set_config('search_path', ''"
_PATH = b"SELECT pg_catalog.set_config('search_path', 'pgstac, public', false);\n"


def verify(
    requests: Annotated[int, typer.Option(min=1, metavar="N", help="How many requests to compare.")] = 2000,
    seed: Annotated[int, typer.Option(metavar="N", help="Another number asks other requests.")] = 0,
) -> None:
    """Copy the catalogue twice, delete what is hidden from one copy, and compare what outsiders are answered by both.

    The catalogue itself is only read. Exit code 1 where the answers differ, 3 where they do not but some are unexpected
    errors, which hide what they would have told; these requests are printed as commands.

    What is hidden is deleted by the functions that hide it, as this version of Almagest has them; the items that this
    changes are written anew in both copies, and of JSON the content is compared, not the order of members. This is
    weaker than the tests of Almagest itself, which build both catalogues from nothing: what sequences and history tell
    is not noticed. It takes twice the space of the database while it runs.
    """
    from almagest.cli.stack import session, supervisor

    settings = session.attach()
    with _copies(settings) as copies:
        console.print(f"comparing {requests:,} requests", highlight=False)
        result = subprocess.run(  # noqa: S603
            [
                *(sys.executable, "-P", "-m", "almagest.services.leaks", *copies),
                *("--requests", str(requests), "--seed", str(seed)),
            ],
            env=supervisor.child_environment(settings),
            capture_output=True,
            text=True,
            check=False,
        )
    print(result.stdout, end="")
    if result.returncode not in _EXIT_CODES:
        from almagest.core.errors import ConfigurationError

        lines = result.stderr.strip().splitlines() or ["the requests cannot be compared"]
        raise ConfigurationError(lines[-1])
    raise typer.Exit(_EXIT_CODES[result.returncode])


@contextlib.contextmanager
def _copies(settings: Settings) -> Iterator[tuple[str, str]]:
    """Names of two databases that hold what the catalogue holds, dropped in the end."""
    from psycopg import sql

    from almagest.catalogue import database

    stem = f"{settings.database.name}_verify_{secrets.token_hex(4)}"
    first, second = f"{stem}_1", f"{stem}_2"
    with (
        database.translated(),
        database.connect(settings, settings.database.admin_user, database="postgres") as connection,
    ):
        try:
            statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
            console.print(f"copying the database {settings.database.name}", highlight=False)
            connection.execute(statement.format(sql.Identifier(first), sql.Identifier("template0")))
            _copy(settings, first)
            connection.execute(statement.format(sql.Identifier(second), sql.Identifier(first)))
            yield first, second
        finally:
            for name in (first, second):
                connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _copy(settings: Settings, name: str) -> None:
    """Fills a new database with what the catalogue holds, of one moment, while others go on writing.

    Raises:
        ConfigurationError: it cannot be copied; says why.
    """
    from almagest.cli.stack import postgres
    from almagest.core.errors import ConfigurationError

    programs: Path = postgres.binaries(settings)
    place = ["--host", settings.db_host, "--port", str(settings.database.port), "--no-password"]
    place += ["--username", settings.database.admin_user]
    with (
        tempfile.TemporaryFile() as complaints,
        subprocess.Popen(  # noqa: S603
            [str(programs / "pg_dump"), *place, settings.database.name], stdout=subprocess.PIPE, stderr=complaints
        ) as dump,
        subprocess.Popen(  # noqa: S603
            [str(programs / "psql"), *place, "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--dbname", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=complaints,
        ) as restore,
    ):
        assert dump.stdout is not None, "it is a pipe"
        assert restore.stdin is not None, "it is a pipe"
        with contextlib.suppress(BrokenPipeError), restore.stdin as into:
            for line in dump.stdout:
                if line.startswith(_EMPTY_PATH):
                    into.write(_PATH)
                    break
                into.write(line)
            shutil.copyfileobj(dump.stdout, into, 1 << 20)
        dump.stdout.close()
        failed = dump.wait() | restore.wait()
        complaints.seek(0)
        lines = complaints.read().decode(errors="replace").strip().splitlines() or ["it says nothing"]
    if failed:
        raise ConfigurationError(f"The database cannot be copied: {lines[0]}")
