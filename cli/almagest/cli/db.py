"""``almagest db``: the catalogue's database."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from almagest.cli.output import console, reporter

app = typer.Typer(
    help="Migrate, inspect, verify and uninstall the catalogue's database.",
    epilog="Example: almagest db status",
    no_args_is_help=True,
)


@app.command(epilog="Example: almagest db migrate")
def migrate() -> None:
    """Create the database where it is missing, install pgSTAC, apply our SQL, give the roles their passwords.

    Where there is no admin, one called `admin` is made, whose password is the secret `admin.password`.
    """
    from almagest.catalogue import database
    from almagest.cli.stack import keys, session

    settings = session.attach()
    database.prepare(settings, reporter())
    keys.ensure_admin(settings)
    console.print("the database is up to date")


@app.command(epilog="Example: almagest db status --json")
def status(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """What is applied and what is pending. Exit code 1 where there is something to do."""
    from almagest.catalogue import database, migrate
    from almagest.cli.stack import session

    settings = session.attach()
    with database.connect(settings, settings.database.admin_user) as connection:
        state = migrate.status(connection)
    if as_json:
        print(
            json.dumps(
                {
                    "pgstac": state.pgstac_version,
                    "applied": state.applied,
                    "pending": state.pending,
                    "problems": state.problems,
                    "current": state.is_current,
                }
            )
        )
    else:
        print(f"pgSTAC {state.pgstac_version or 'is not installed'}, {len(state.applied)} files applied")
        for name in state.pending:
            print(f"pending: {name}")
        for problem in state.problems:
            print(f"problem: {problem}")
    raise typer.Exit(0 if state.is_current else 1)


@app.command(epilog="Example: almagest db verify")
def verify(
    mend: Annotated[
        bool,
        typer.Option("--mend", help="First make versions agree with items that were changed while none were kept."),
    ] = False,
) -> None:
    """Check the database against this version of Almagest. Exit code 1 where something is wrong."""
    from almagest.catalogue import database, keeping, migrate
    from almagest.cli.stack import session

    settings = session.attach()
    with database.connect(settings, settings.database.admin_user) as connection:
        if mend:
            gone, come = keeping.mend(connection)
            console.print(f"{gone} items had gone and {come} had come without leaving a version")
        problems = migrate.verify(connection)
    for problem in problems:
        print(problem)
    if problems:
        raise typer.Exit(1)
    console.print("nothing is wrong")


@app.command(epilog="Example: almagest db recount")
def recount() -> None:
    """Count anew what aggregations are made of, and compare. Exit code 1 where something else was kept.

    What was wrong is right afterwards. Nobody has to wait for it but for the next fold.
    """
    from almagest.catalogue import database, rollups
    from almagest.cli.stack import session

    settings = session.attach()
    with database.translated(), database.connect(settings, settings.database.admin_user) as connection:
        wrong = rollups.recount(connection, reporter())
    for sentence in wrong:
        print(sentence)
    if wrong:
        raise typer.Exit(1)
    console.print("what was kept is right")


@app.command(epilog="Example: almagest down && almagest db uninstall")
def uninstall(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    disconnect: Annotated[bool, typer.Option("--disconnect", help="End the sessions of services that use it.")] = False,
) -> None:
    """Take Almagest out of the database: stock pgSTAC is left, with every item as it is now, and no history."""
    from almagest.catalogue import database, uninstalling
    from almagest.cli.stack import session

    settings = session.attach()
    with database.translated(), database.connect(settings, settings.database.admin_user) as connection:
        extent = uninstalling.look(connection)
        if not yes:
            typer.confirm(
                f"{extent.former} former versions of items, {extent.keys} keys and {extent.audited} rows of the audit"
                f" in the database {settings.database.name} will be gone for good. Go on?",
                abort=True,
            )
        uninstalling.uninstall(connection, reporter(), disconnect=disconnect)
    console.print("Almagest is no longer in this database")


@app.command(epilog="Example: almagest db credentials --rotate   (then restart: almagest down && almagest up)")
def credentials(
    rotate: Annotated[bool, typer.Option(help="Make new passwords, so that the present ones stop working.")] = False,
) -> None:
    """Give the login roles their passwords, kept as files among the secrets."""
    from almagest.catalogue import database
    from almagest.cli.stack import session

    settings = session.attach()
    with database.connect(settings, settings.database.admin_user) as connection:
        for role in database.credentials(settings, connection, rotate=rotate):
            print(settings.secrets / role)
