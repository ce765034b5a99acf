"""``almagest audit item``: the whole story of an item."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from almagest.cli import admin, options
from almagest.cli.output import results

if TYPE_CHECKING:
    from almagest.catalogue.story import Event, Story

EPILOG = "Example: almagest audit item scenes/S2A_20240105"

_NAMED = 6


def item(
    name: Annotated[str, typer.Argument(metavar="COLLECTION/ITEM", help="Ids of the collection and of the item.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Tell what happened to an item: who made, changed, deleted and restored it, by what, and who was refused."""
    from almagest.catalogue import story

    options.require_text(name, "COLLECTION/ITEM")
    collection, slash, identifier = name.partition("/")
    if not slash or not collection or not identifier:
        raise typer.BadParameter("write both ids with a slash between them.", param_hint="'COLLECTION/ITEM'")
    with admin.connected() as (_, connection):
        found = story.read(connection, collection, identifier)
    if as_json:
        print(json.dumps(found.as_json(), ensure_ascii=False))
        return
    out = results()
    for line in _lines(found):
        out.print(line, markup=False, highlight=False, soft_wrap=True)


def _lines(story: Story) -> list[str]:
    lines = []
    for event in story.events:
        lines.append(f"{event.at:%Y-%m-%d %H:%M:%S}  {_sentence(event)}")
        if event.request:
            lines.append(f"    {_asked(event)}")
        if event.assets:
            lines.append(f"    assets registered: {_in_short(event.assets)}")
        rest = [name for name in event.changed if not name.startswith("+assets.")]
        if rest:
            lines.append(f"    changed: {_in_short(rest)}")
        if event.version:
            lines.append(f"    version {event.version}")
    if story.exposed:
        lines.append(f"Outsiders may read: {', '.join(story.exposed)}")
    return lines


def _sentence(event: Event) -> str:
    if event.kind == "present":
        return "It was there when versions began to be kept, or what came before is forgotten."
    if event.kind in {"refused", "asked"}:
        assert event.request is not None
        who = _named(event.request.name or event.request.subject, event.request.key_id) or "nobody known"
        came = f"Refused ({event.request.status})" if event.kind == "refused" else "Asked, and nothing changed"
        return f"{came}: by {who}"
    what = "Came back" if event.kind == "came back" else event.kind.capitalize()
    if event.as_in:
        what += f" as in version {event.as_in}"
    who = _named(event.actor, event.key_id)
    if event.job:
        process = f"{event.job.process} {event.job.version}" if event.job.process else "forgotten"
        what += f" by job {event.job.id} ({process})"
        return f"{what} for {who}" if who else what
    return f"{what} by {who or f'the database role {event.login}' if event.login else who or 'nobody known'}"


def _asked(event: Event) -> str:
    asked = event.request
    assert asked is not None
    where = f" from {asked.address}" if asked.address else ""
    return f"{asked.method} {asked.path}{where} (request {asked.request_id})"


def _named(who: str | None, key_id: str | None) -> str:
    key = f"key {key_id}" if key_id else ""
    return f"{who} ({key})" if who and key and who != f"key:{key_id}" else key or (who or "")


def _in_short(names: list[str]) -> str:
    first = ", ".join(names[:_NAMED])
    return first if len(names) <= _NAMED else f"{first} and {len(names) - _NAMED} more"
