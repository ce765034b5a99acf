"""``almagest audit``: who changed what, and whether that is still what was written down then."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from almagest.cli import admin, audit_item
from almagest.cli.keys import moment
from almagest.cli.output import console
from almagest.core.errors import ConfigurationError

if TYPE_CHECKING:
    from almagest.catalogue.audit import Verified

app = typer.Typer(
    help="Verify, export and forget the audit: requests that changed something, were refused, or were an admin's.",
    epilog="Example: almagest audit verify",
    no_args_is_help=True,
)

#: Rows are sealed within seconds. Later than so, something is in the way.
_LATE_S = 300.0


app.command("item", epilog=audit_item.EPILOG)(audit_item.item)


@app.command(epilog="Example: almagest audit verify --known 3f9a0c51")
def verify(
    known: Annotated[
        str, typer.Option(metavar="HASH", help="Hash of a block, or its beginning, that you noted: is it still there?")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compute every block anew from its rows. Exit code 1 where one is not as it was sealed; says which."""
    from almagest.catalogue import audit

    with admin.connected() as (_, connection):
        found = audit.verify(connection, known)
    if as_json:
        print(json.dumps(dataclasses.asdict(found)))
    else:
        _tell(found)
    raise typer.Exit(0 if found.fault is None else 1)


@app.command(epilog="Example: almagest audit export --since 2026-11-01 --until 2026-12-01 > november.ndjson")
def export(
    since: Annotated[
        str, typer.Option(metavar="WHEN", help="From then on: a date, a time (UTC), or how long ago (30m, 12h, 90d).")
    ] = "",
    until: Annotated[str, typer.Option(metavar="WHEN", help="Until before then, written the same way.")] = "",
    subject: Annotated[
        str, typer.Option(metavar="WHO", help="Only his: `user:<id>` or `key:<id>`, the id of a key, or a name.")
    ] = "",
) -> None:
    """Print rows as lines of JSON, in the order in which they were written."""
    from almagest.catalogue import audit

    begin, end = _moment(since), _moment(until)
    with admin.connected() as (_, connection):
        for row in audit.export(connection, begin, end, subject or None):
            print(json.dumps({**dataclasses.asdict(row), "at": row.at.isoformat()}, ensure_ascii=False))


@app.command(epilog="Example: almagest audit export --until 2026-01-01 > kept.ndjson && almagest audit forget 2025-12")
def forget(
    month: Annotated[str, typer.Argument(metavar="YYYY-MM", help="A month that is over.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove the rows of a month for good. Its blocks stay, and a block of its own says what is gone."""
    from almagest.catalogue import audit

    first = _month(month)
    if not yes:
        typer.confirm(f"Forget who did what in {first:%Y-%m}? Nothing brings it back.", abort=True, err=True)
    with admin.connected() as (_, connection):
        number = audit.forget(connection, first)
    console.print(f"{_count(number, 'row')} of {first:%Y-%m} {'is' if number == 1 else 'are'} gone.", markup=False)


def _tell(found: Verified) -> None:
    if found.fault is not None:
        print(found.fault)
        print(f"{_count(found.blocks, 'block')} before it {'is' if found.blocks == 1 else 'are'} as sealed.")
        return
    are = "is as it was" if found.rows == 1 else "are as they were"
    print(f"{_count(found.rows, 'row')} in {_count(found.blocks, 'block')} {are} sealed; {_open(found)}.")
    for month, number in found.forgotten.items():
        print(f"{_count(number, 'row')} of {month} {'was' if number == 1 else 'were'} forgotten.")
    if found.head:
        print(f"The last block has the hash {found.head}")
    if found.unsealed_s > _LATE_S:
        console.print("The ops processes seal: do they run? Is a transaction open since then?", markup=False)


def _open(found: Verified) -> str:
    if not found.unsealed:
        return "none waits to be sealed"
    are = "is" if found.unsealed == 1 else "are"
    return f"{_count(found.unsealed, 'row')} of the last {found.unsealed_s:.0f} seconds {are} not sealed yet"


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def _moment(text: str) -> datetime | None:
    if not text:
        return None
    found = moment(text)
    if isinstance(found, timedelta):
        return datetime.now(UTC) - found
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _month(text: str) -> date:
    try:
        return datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC).date()
    except ValueError:
        raise ConfigurationError(f"{text!r} is not a month: write 2026-01.") from None
