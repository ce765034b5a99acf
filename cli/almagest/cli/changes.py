"""``almagest changes``: follow what changes, and have others told of it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from almagest.cli import admin, options
from almagest.cli.output import console, plain, reporter, results
from almagest.core.configuration import Configuration
from almagest.core.errors import AlmagestError, BadRequestError, ConflictError, NotFoundError

if TYPE_CHECKING:
    from almagest.core.processes import Audience

app = typer.Typer(
    help="Follow what changes, and have other servers told of it.",
    epilog="Example: almagest changes follow --since now",
    no_args_is_help=True,
)

_Name = Annotated[str, typer.Argument(metavar="NAME", help="Of the subscription: a-z, 0-9, `-`, `_` and `.`.")]
_Collections = Annotated[
    list[str] | None, typer.Option("--collection", "-c", metavar="ID", help="Only of this one. Repeatable.")
]
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


@app.command(epilog="Example: almagest changes follow --api-url https://example.org/external --state cursor.txt --json")
def follow(
    since: Annotated[
        str | None,
        typer.Option(metavar="CURSOR", help="Go on behind it; `now`: only what comes. None: all there is."),
    ] = None,
    state: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Keep the cursor there, and go on behind it the next time.")
    ] = None,
    collection: _Collections = None,
    documents: Annotated[bool, typer.Option("--documents", help="With what each was then; with --json.")] = False,
    once: Annotated[bool, typer.Option("--once", help="End where nothing more is there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a line of JSON for each.")] = False,
    config: options.ConfigFile = None,
    api_url: options.ApiUrl = None,
    key: options.Key = None,
    key_file: options.KeyFile = None,
) -> None:
    """Print what changes as it changes, in an order that can be replayed. Ctrl-C ends it."""
    from almagest.client import changes
    from almagest.client.http import Http

    target = options.api(Configuration.load(config), api_url=api_url, key=key, key_file=key_file)
    if state is not None and since is None and state.exists():
        since = state.read_text(encoding="utf-8").strip() or None
    with contextlib.suppress(KeyboardInterrupt), Http(target.url, target.key, say=reporter()) as http:
        pages = changes.follow(http, since, collections=collection or (), documents=documents, until_end=once)
        for page in pages:
            for change in page.changes:
                print(json.dumps(change) if as_json else _line(change), flush=True)
            if state is not None:
                _keep(state, page.cursor)


@app.command(epilog="Example: almagest changes subscribe mirror https://example.org/hook --collection scenes")
def subscribe(
    name: _Name,
    url: Annotated[str, typer.Argument(metavar="URL", help="Where pages of changes are POSTed to.")],
    collection: _Collections = None,
    inside: Annotated[bool, typer.Option("--inside", help="What insiders see; else what outsiders see.")] = False,
    principal: Annotated[
        str, typer.Option(metavar="SUBJECT", help="On whose behalf: `almagest callbacks secret SUBJECT` checks it.")
    ] = "operator",
    since: Annotated[
        str | None, typer.Option(metavar="CURSOR", help="Tell what comes behind it. None: all that is there, first.")
    ] = None,
) -> None:
    """Have a server told of changes, in order, again until it takes them, and on from there."""
    from almagest.catalogue import subscriptions
    from almagest.pipelines.outbound import Outbound

    if not _NAME.fullmatch(name):
        raise BadRequestError(f"{name!r} is no name of a subscription: a-z, 0-9, `-`, `_` and `.`.")
    with admin.connected() as (settings, connection):
        Outbound.of(settings).target(url)
        audience: Audience = "internal" if inside else "external"
        if not subscriptions.subscribe(connection, name, principal, url, audience, collection, since):
            raise ConflictError(f"There is a subscription {name!r}: `almagest changes unsubscribe {name}` ends it.")
    console.print(f"{url} will be told; `almagest changes list` says how far", markup=False, soft_wrap=True)


@app.command("list", epilog="Example: almagest changes list --json")
def list_(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List who is told of changes, and whether he takes them."""
    from rich.table import Table

    from almagest.catalogue import subscriptions

    with admin.connected() as (_, connection):
        found = subscriptions.subscriptions(connection)
    if as_json:
        print(json.dumps([dataclasses.asdict(each) for each in found], default=str))
        return
    table = Table(box=None, padding=(0, 1))
    for heading in ("Name", "To", "Sees", "Collections", "Told", "Trouble"):
        table.add_column(heading)
    for each in found:
        told = f"{each.told_at:%Y-%m-%d %H:%M:%S}" if each.told_at else "never"
        names = plain(", ".join(each.collections)) if each.collections else "all"
        table.add_row(each.name, plain(each.url), each.audience, names, told, plain(each.trouble or ""))
    results().print(table)


@app.command(epilog="Example: almagest changes unsubscribe mirror")
def unsubscribe(name: _Name) -> None:
    """Tell a server no more."""
    from almagest.catalogue import subscriptions

    with admin.connected() as (_, connection):
        if not subscriptions.unsubscribe(connection, name):
            raise NotFoundError(f"There is no subscription {name!r}.")
    console.print(f"{name} is told no more", markup=False)


def _line(change: dict[str, Any]) -> str:
    what = "/".join(str(change[part]) for part in ("collection", "item") if part in change)
    return f"{change.get('datetime', '')}  {change.get('type', ''):8}  {what}"


def _keep(state: Path, cursor: str) -> None:
    draft = state.with_name(f".{state.name}.new")
    try:
        draft.write_text(f"{cursor}\n", encoding="utf-8")
        draft.replace(state)
    except OSError as error:
        raise AlmagestError(f"{state} cannot be written: {error.strerror}.") from None
