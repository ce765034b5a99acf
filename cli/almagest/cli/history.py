"""``almagest history``: what items and collections have been."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from almagest.cli import options
from almagest.cli.output import console, reporter, results
from almagest.core.configuration import Configuration
from almagest.core.errors import ConflictError, NotFoundError, UnreadableError

if TYPE_CHECKING:
    from rich.text import Text

    from almagest.catalogue.history import History, Step
    from almagest.catalogue.versions import Document, State
    from almagest.client.history import RemoteHistory

app = typer.Typer(help="Show, compare, restore and forget what items and collections have been.", no_args_is_help=True)

_CollectionId = Annotated[str, typer.Argument(metavar="COLLECTION", help="Id of the collection.")]
_ItemId = Annotated[str | None, typer.Argument(metavar="[ITEM]", help="Id of the item; none: the collection itself.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]

_NAMED = 4
_LONGEST = 100
#: More than anybody means, and little enough to be computed with.
_DAYS, _VERSIONS = 365_000, 1_000_000_000
#: Stands for what is there and no document.
_UNREADABLE: Document = {}


@app.command(epilog="Example: almagest history show scenes S2A_20240105 --limit 5")
def show(
    collection: _CollectionId,
    item: _ItemId = None,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="So many, the latest.")] = 20,
    as_json: _Json = False,
    config: options.ConfigFile = None,
    db_host: options.DbHost = None,
    db_port: options.DbPort = None,
    db_name: options.DbName = None,
    db_user: options.DbUser = None,
    api_url: options.ApiUrl = None,
    key: options.Key = None,
    key_file: options.KeyFile = None,
) -> None:
    """List versions, the latest first: since when, by whom, and what changed."""
    target = options.target(
        Configuration.load(config),
        db_host=db_host,
        db_port=db_port,
        db_name=db_name,
        db_user=db_user,
        api_url=api_url,
        key=key,
        key_file=key_file,
    )
    with _history(target, collection, item) as history:
        states = history.states()
        told = _told(history, states[: limit + 1], complete=len(states) <= limit)
    rows = list(zip(states, told, strict=False))[:limit]
    if as_json:
        print(json.dumps([{**state.as_json(), "changed": what} for state, what in rows]))
        return
    from rich.table import Table

    table = Table(box=None, padding=(0, 1))
    for heading in ("Version", "When (UTC)", "Who", "Login", "What"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "Version")  # which is copied whole
    # Outsiders are told of nobody.
    is_told = not isinstance(target, options.Api) or any(state.login for state in states)
    before = "before Almagest" if is_told else "not told"
    for state, what in rows:
        name = "" if state.deleted else state.version
        table.add_row(
            name, f"{state.valid_from:%Y-%m-%d %H:%M:%S}", _who(state, before), state.login or "", _in_short(what)
        )
    results().print(table)
    if len(states) > limit:
        console.print(f"{len(states) - limit} older ones: --limit {len(states)} shows all")


@app.command(epilog="Example: almagest history diff scenes S2A_20240105 --from 20240105T101500.000000Z")
def diff(
    collection: _CollectionId,
    item: _ItemId = None,
    begin: Annotated[
        str | None, typer.Option("--from", metavar="VERSION", help="To begin with; none: the one before.")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", metavar="VERSION", help="To end with; none: the latest.")] = None,
    as_json: _Json = False,
    config: options.ConfigFile = None,
    db_host: options.DbHost = None,
    db_port: options.DbPort = None,
    db_name: options.DbName = None,
    db_user: options.DbUser = None,
    api_url: options.ApiUrl = None,
    key: options.Key = None,
    key_file: options.KeyFile = None,
) -> None:
    """Print what turns one version into another, as the operations of a JSON Patch with the old values."""
    from almagest.catalogue.history import difference
    from almagest.catalogue.versions import Place

    target = options.target(
        Configuration.load(config),
        db_host=db_host,
        db_port=db_port,
        db_name=db_name,
        db_user=db_user,
        api_url=api_url,
        key=key,
        key_file=key_file,
    )
    with _history(target, collection, item) as history:
        states = history.states()
        latest = next((state for state in states if not state.deleted), None)
        last = Place.find(states, end or (latest.version if latest else ""))
        first = Place.find(states, begin).state if begin else last.predecessor
        if first is None:
            raise NotFoundError(f"There is no version before {last.state.version}: name one with --from.")
        found = difference(history.at(first) or {}, history.at(last.state) or {})
    if as_json:
        print(json.dumps([step.operation for step in found]))
        return
    out = results()
    for step in found:
        out.print(_line(step), soft_wrap=True)
    if not found:
        console.print("they are the same")


@app.command(epilog="Example: almagest history restore scenes S2A_20240105 --version 20240105T101500.000000Z")
def restore(
    collection: _CollectionId,
    item: _ItemId = None,
    version: Annotated[str, typer.Option(metavar="VERSION", help="As `almagest history show` names it.")] = "",
    as_json: _Json = False,
    config: options.ConfigFile = None,
    db_host: options.DbHost = None,
    db_port: options.DbPort = None,
    db_name: options.DbName = None,
    db_user: options.DbUser = None,
    api_url: options.ApiUrl = None,
    key: options.Key = None,
    key_file: options.KeyFile = None,
) -> None:
    """Make an item or a collection again what it was, deleted though it may be; this is a new version."""
    if not version:
        raise typer.BadParameter("say which: `almagest history show` lists them.", param_hint="'--version'")
    target = options.target(
        Configuration.load(config),
        db_host=db_host,
        db_port=db_port,
        db_name=db_name,
        db_user=db_user,
        api_url=api_url,
        key=key,
        key_file=key_file,
    )
    with _history(target, collection, item) as history:
        outcome, made = history.restore(version)
    if as_json:
        print(json.dumps({"outcome": outcome, "version": made}))
    elif outcome == "unchanged":
        console.print(f"it is what it was in {version}", markup=False)
    else:
        console.print(f"it is again what it was in {version}; the new version is {made}", markup=False)


@app.command(epilog="Example: almagest history prune --keep-days 365 --keep-versions 10 --dry-run")
def prune(
    keep_days: Annotated[
        int | None, typer.Option(min=0, max=_DAYS, metavar="N", help="Keep what was true within the last N days.")
    ] = None,
    keep_versions: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=_VERSIONS,
            metavar="N",
            help="Keep N versions of each, the present one among them.",
        ),
    ] = None,
    collection: Annotated[str | None, typer.Option(metavar="ID", help="Only of this collection.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count.")] = False,
    as_json: _Json = False,
    config: options.ConfigFile = None,
    db_host: options.DbHost = None,
    db_port: options.DbPort = None,
    db_name: options.DbName = None,
    db_user: options.DbUser = None,
) -> None:
    """Forget former versions for good; what one of the rules keeps is kept, and the present state always is.

    Of a collection that outsiders see, those versions are counted that they can tell apart.

    Without --db-user as the administrator of the database.
    """
    from almagest.catalogue import database, pruning
    from almagest.catalogue.ingest.line import Access

    target = options.database(
        Configuration.load(config), db_host=db_host, db_port=db_port, db_name=db_name, db_user=db_user
    )
    settings = target.settings
    access = (
        Access.of(settings, target.user, target.password)
        if db_user
        else Access.of(settings, settings.database.admin_user)
    )
    with database.translated(), access.connect() as connection:
        done = pruning.prune(
            connection,
            days=keep_days,
            versions=keep_versions,
            collection=collection,
            dry_run=dry_run,
            report=reporter(),
        )
    if as_json:
        print(json.dumps(dataclasses.asdict(done)))
        return
    would = "would be" if dry_run else "are"
    console.print(f"{done.items} former states of items and {done.collections} of collections {would} forgotten")


@contextmanager
def _history(
    target: options.Database | options.Api, collection: str, item: str | None
) -> Iterator[History | RemoteHistory]:
    for text in (collection, item or ""):
        options.require_text(text, "COLLECTION")
    if isinstance(target, options.Api):
        from almagest.client.history import RemoteHistory
        from almagest.client.http import Http

        with Http(target.url, target.key, say=reporter()) as http:
            yield RemoteHistory(http, collection, item)
        return
    from almagest.catalogue import database
    from almagest.catalogue.history import History
    from almagest.catalogue.ingest.line import Access

    access = Access.of(target.settings, target.user, target.password)
    with database.translated(), access.connect() as connection:
        yield History(connection, collection, item)


def _told(history: History | RemoteHistory, states: list[State], *, complete: bool) -> list[list[str]]:
    """What each state changed of the one before it; of the last nothing, unless it is the first there ever was."""
    from almagest.catalogue.history import changed

    def at(state: State) -> Document | None:
        try:
            return history.at(state)
        except (ConflictError, UnreadableError):  # the others are told all the same
            return _UNREADABLE

    documents = [at(state) for state in states]
    told = []
    for number, document in enumerate(documents):
        if document is _UNREADABLE:
            told.append(["unreadable"])
        elif number + 1 == len(documents):
            told.append([] if not complete else ["deleted"] if document is None else ["first"])
        elif document is None:
            told.append(["deleted"])
        elif documents[number + 1] is None:
            told.append(["back"])
        else:
            told.append(changed(documents[number + 1], document))
    return told


def _who(state: State, unknown: str) -> str:
    who = state.actor or ("" if state.login else unknown)
    return f"{who} (job {state.job})" if state.job else f"{who} (key {state.key_id})" if state.key_id else who


def _in_short(what: list[str]) -> str:
    first = ", ".join(what[:_NAMED])
    return first if len(what) <= _NAMED else f"{first} and {len(what) - _NAMED} more"


def _line(step: Step) -> Text:
    from rich.text import Text

    operation = step.operation
    kind, path = operation["op"], operation["path"]
    line = Text(f"{kind:<8}", {"add": "green", "remove": "red"}.get(kind, "yellow")) + Text(path)
    if kind in {"move", "copy"}:
        return line + Text(f"  from {operation['from']}", "dim")
    if kind in {"replace", "remove"} and step.old is not None:
        line += Text(f"  {_value(step.old)}", "red")
    if kind in {"replace", "add"}:
        line += Text(f"  {_value(operation['value'])}", "green")
    return line


def _value(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
