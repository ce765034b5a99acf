"""``almagest callbacks``: who was told how jobs ended, and how he can know that it was from here."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated
from uuid import UUID

import typer

from almagest.cli.output import plain, results

app = typer.Typer(
    help="See whom jobs call back, and what it is signed with.",
    epilog="Example: almagest callbacks list",
    no_args_is_help=True,
)


@app.command("list", epilog="Example: almagest callbacks list 2f0c…")
def list_(
    job: Annotated[UUID | None, typer.Argument(metavar="JOB", help="Id of a job; none: of all.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, metavar="N", help="How many at most.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List who was told how jobs got on, or why not, the newest first."""
    from rich.table import Table

    from almagest.catalogue import database, outbox
    from almagest.cli.stack import session

    settings = session.attach()
    with database.translated(), database.connect(settings, "almagest_worker") as connection:
        found = outbox.entries(connection, f"job:{job}" if job else None, limit)
    if as_json:
        print(json.dumps([dataclasses.asdict(entry) for entry in found], default=str))
        return
    table = Table(box=None, padding=(0, 1))
    for heading in ("About", "Of", "To", "State", "Tries", "Last error"):
        table.add_column(heading)
    for entry in found:
        state = "told" if entry.delivered_at else "given up" if entry.given_up_at else "waits"
        table.add_row(
            entry.about, entry.principal, plain(entry.url), state, str(entry.tries), plain(entry.last_error or "")
        )
    results().print(table)


@app.command(epilog="Example: almagest callbacks secret key:4fJk29Zq")
def secret(
    subject: Annotated[str, typer.Argument(help="Whose jobs they are, as `almagest jobs list` names him.")],
) -> None:
    """Print what the callbacks of somebody's jobs are signed with: for whom he has called, to check them by."""
    from almagest.cli.stack import session
    from almagest.core import secrets
    from almagest.pipelines import callbacks

    settings = session.attach()
    print(callbacks.key(secrets.ensure(settings.secrets, secrets.CALLBACK_KEY), subject))
