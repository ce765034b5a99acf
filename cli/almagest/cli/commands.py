"""Every group of commands is a module; they are put together here."""

from __future__ import annotations

from typing import Annotated

import typer

from almagest.cli import (
    assets,
    audience,
    audit,
    callbacks,
    changes,
    coverage,
    db,
    export,
    files,
    find,
    history,
    ingest,
    init,
    jobs,
    keys,
    mirror,
    query,
    results,
    sample,
    schedules,
    searching,
    settings,
    stale,
    up,
    users,
    worker,
)
from almagest.cli.helping import Root

app = typer.Typer(
    name="almagest",
    cls=Root,
    help="Almagest, a STAC-native catalogue: run it, look after it, use it.",
    no_args_is_help=True,
    epilog="Example: almagest status",
    rich_markup_mode="markdown",
    # A traceback with the values of variables would print secrets.
    pretty_exceptions_show_locals=False,
)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        from importlib import metadata

        print(f"almagest {metadata.version('almagest')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """What stands before any command."""


app.command(epilog="Example: almagest up --sample ../shared/data")(up.up)
app.command(epilog="Example: almagest down")(up.down)
app.command(epilog="Example: almagest status --json")(up.status)
app.command(epilog="Example: almagest logs stac --follow")(up.logs)
app.command(epilog="Example: ALMAGEST_PORT=9000 almagest settings")(settings.settings)
app.command(epilog="Example: almagest init --from ~/.config/eomatch/user_config.yaml")(init.init)
app.command(epilog=ingest.EPILOG)(ingest.ingest)
app.command(epilog=results.EPILOG)(results.add_asset)
app.command(epilog=results.REMOVE_EPILOG)(results.remove_asset)
app.command(epilog=query.EPILOG, cls=searching.ManyValues)(query.query)
app.command(epilog=export.EPILOG)(export.export)
app.command(epilog=find.EPILOG, cls=searching.ManyValues)(find.find)
app.command(epilog=coverage.EPILOG, cls=searching.ManyValues)(coverage.coverage)
app.command(epilog=mirror.EPILOG)(mirror.mirror)
app.command(epilog=stale.EPILOG)(stale.stale)
app.command(epilog=worker.EPILOG)(worker.worker)
app.add_typer(assets.app, name="assets")
app.add_typer(audience.app, name="audience")
app.add_typer(audit.app, name="audit")
app.add_typer(callbacks.app, name="callbacks")
app.add_typer(changes.app, name="changes")
app.add_typer(db.app, name="db")
app.add_typer(files.app, name="files")
app.add_typer(history.app, name="history")
app.add_typer(jobs.app, name="jobs")
app.add_typer(keys.app, name="keys")
app.add_typer(users.app, name="users")
app.add_typer(sample.app, name="sample")
app.add_typer(schedules.app, name="schedule")
