"""``almagest audience``: what outsiders see."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from almagest.cli import admin, audience_verify
from almagest.cli.output import console
from almagest.core.errors import BadRequestError

if TYPE_CHECKING:
    import psycopg

app = typer.Typer(
    help="Say what outsiders see under /external, and check that it is so.",
    epilog="Example: almagest audience show",
    no_args_is_help=True,
)


@app.command(epilog="Example: almagest audience show --json")
def show(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """The policy as it holds now, and what it makes of each collection."""
    from almagest.catalogue import audience

    with admin.connected() as (_, connection):
        policy, collections = audience.policy(connection), audience.visibilities(connection)
        doubtful = audience.made_of_internal(connection)
    if as_json:
        told = {**dataclasses.asdict(policy), "existing": collections, "made_of_internal": doubtful}
        print(json.dumps(told, indent=2))
        return
    shown = Table("collection", "audience", box=None, header_style="bold")
    for identifier, visibility in collections.items():
        shown.add_row(identifier, f"[green]{visibility}[/green]" if visibility == "public" else visibility)
    rules = [f"{pattern} is {visibility}" for pattern, visibility in policy.rules.items()]
    out = Console()
    out.print(shown)
    out.print()
    for title, values in {
        "rules": [*rules, f"all others are {policy.collections} (ALMAGEST_AUDIENCE_COLLECTIONS)"],
        "hidden properties": policy.hidden_properties,
        "visible schemes": policy.visible_schemes,
        "visible buckets": policy.visible_buckets,
    }.items():
        out.print(f"[bold]{title}[/bold]  {', '.join(values) or 'none'}", highlight=False, soft_wrap=True)
    for identifier, sources in doubtful.items():
        said = f"{identifier} is public and made of {', '.join(sources)}, which only insiders see."
        mended = f"Unless that is meant: almagest audience set --internal {identifier}"
        console.print(f"{said} {mended}", markup=False, soft_wrap=True)


@app.command(
    "set",
    epilog="Examples: almagest audience set --internal 'draft-*' --public draft-of-all · "
    "almagest audience set --hide-property quality:flag",
)
def set_(
    internal: Annotated[
        list[str] | None,
        typer.Option(metavar="ID|PATTERN", help="Collections that only insiders see; they need not exist yet."),
    ] = None,
    public: Annotated[list[str] | None, typer.Option(metavar="ID|PATTERN", help="Collections that all see.")] = None,
    forget: Annotated[list[str] | None, typer.Option(metavar="ID|PATTERN", help="Rules to drop.")] = None,
    hide_property: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Members to hide; `name:*` hides all that begin so.")
    ] = None,
    show_property: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Members to hide no longer.")] = None,
    public_search: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="Registered searches that outsiders may see as mosaics.")
    ] = None,
    internal_search: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="Those that they no longer may.")
    ] = None,
) -> None:
    """Change the policy. It holds from the next request on; an id wins over patterns, a longer one over a shorter."""
    from almagest.catalogue import audience

    with admin.connected() as (_, connection), connection.transaction():
        for pattern in internal or ():
            audience.set_collections(connection, pattern, "internal")
        for pattern in public or ():
            audience.set_collections(connection, pattern, "public")
        for pattern in forget or ():
            audience.set_collections(connection, pattern, None)
        audience.set_hidden(connection, hide=hide_property or (), show=show_property or ())
        for identifier in public_search or ():
            _set_search(connection, identifier, public=True)
        for identifier in internal_search or ():
            _set_search(connection, identifier, public=False)
        existing = audience.visibilities(connection)
    for pattern in [*(internal or ()), *(public or ())]:
        if not any(_matches(pattern, identifier) for identifier in existing):
            console.print(f"No collection is called {pattern} yet.", markup=False, soft_wrap=True)
    show()


@app.command(epilog="Example: almagest audience canary")
def canary() -> None:
    """Plant hidden things, look for them as an outsider, and take them away again. Exit code 1 where one is found.

    `almagest up` does it on every start: outsiders are served only after it has passed.
    """
    from almagest.catalogue import canary as check

    with admin.connected() as (_, connection):
        leaks = check.run(connection)
    for leak in leaks:
        print(leak)
    if leaks:
        raise typer.Exit(1)
    console.print("outsiders see nothing that is hidden")


app.command(epilog=audience_verify.EPILOG)(audience_verify.verify)


def _matches(pattern: str, identifier: str) -> bool:
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), identifier, re.DOTALL) is not None


def _set_search(connection: psycopg.Connection, identifier: str, *, public: bool) -> None:
    from almagest.catalogue import audience

    if not audience.set_search(connection, identifier, "public" if public else "internal"):
        raise BadRequestError(f"There is no registered search {identifier!r}.")
