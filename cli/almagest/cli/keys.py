"""``almagest keys``: who may write, and who may read what is protected."""

from __future__ import annotations

import dataclasses
import json
import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from almagest.cli import admin
from almagest.cli.output import console, results
from almagest.core import secrets
from almagest.core.errors import ConfigurationError

if TYPE_CHECKING:
    from almagest.catalogue.keys import Entry

app = typer.Typer(
    help="Make, list, rotate and revoke the keys of the API.",
    epilog="Example: almagest keys list",
    no_args_is_help=True,
)

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_DURATION = re.compile(r"([0-9]{1,6})([mhdw])")

_Id = Annotated[str, typer.Argument(metavar="ID", help="The 8 characters after `alm_`.")]


@app.command(epilog="Example: KEY=$(almagest keys create nightly-ingest --scope catalogue:write --expires 90d)")
def create(
    name: Annotated[str, typer.Argument(help="Whom or what it is for.")],
    scope: Annotated[
        list[str],
        typer.Option(
            metavar="SCOPE",
            help="What it may: catalogue:read, catalogue:write, ops:read, jobs:run or admin (all). Repeatable.",
        ),
    ],
    expires: Annotated[
        str, typer.Option(metavar="WHEN", help="How long it holds (30m, 12h, 90d, 4w), or until when (UTC).")
    ] = "",
    address: Annotated[
        list[str] | None,
        typer.Option(metavar="NETWORK", help="Network that it may be used from (CIDR). Repeatable; none: anywhere."),
    ] = None,
) -> None:
    """Make a key and print it, this once: only its hash is kept."""
    from almagest.catalogue import keys

    with admin.connected() as (_, connection):
        key = keys.create(
            connection, name, scope, expires=moment(expires) if expires else None, addresses=address or ()
        )
    console.print(f"Key {key.id} is made for {name}. It is shown only now:", markup=False)
    print(key.reveal())


@app.command("list", epilog="Example: almagest keys list --json")
def list_(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List every key there ever was: what it may, from where, until when, and when it was used."""
    from almagest.catalogue import keys

    with admin.connected() as (_, connection):
        found = keys.entries(connection)
    if as_json:
        print(json.dumps([dataclasses.asdict(entry) for entry in found], default=datetime.isoformat))
        return
    from rich.table import Table

    table = Table(box=None, padding=(0, 1))
    for heading in ("Id", "Name", "Scopes", "From", "State", "Used"):
        table.add_column(heading, overflow="fold")
    for entry in found:
        from_where = ", ".join(entry.addresses) or "anywhere"
        table.add_row(entry.id, entry.name, "\n".join(entry.scopes), from_where, state(entry), _day(entry.last_used_at))
    results().print(table)


@app.command(epilog="Example: KEY=$(almagest keys rotate 4fJk29Zq --overlap 1h)")
def rotate(
    key_id: _Id,
    overlap: Annotated[
        str, typer.Option(metavar="TIME", help="How long the old secret goes on (30m, 12h, 90d, 4w).")
    ] = "",
) -> None:
    """Give a key a new secret and print the new key, this once."""
    from almagest.catalogue import keys

    lasting = duration(overlap) if overlap else timedelta()
    with admin.connected() as (settings, connection), connection.transaction():
        key = keys.rotate(connection, key_id, lasting)
        own = secrets.read(settings.secrets, secrets.WRITE_KEY) or ""
        if own.startswith(f"alm_{key.id}_"):  # within the transaction: where it cannot be written, the old one goes on
            secrets.replace(settings.secrets, secrets.WRITE_KEY, key.reveal())
            console.print(f"{settings.secrets / secrets.WRITE_KEY} holds the new key.", markup=False, soft_wrap=True)
    old = f"goes on for {overlap}" if lasting else "is refused from now on"
    console.print(f"Key {key.id} has a new secret, shown only now; the old one {old}:", markup=False)
    print(key.reveal())


@app.command(epilog="Example: almagest keys revoke 4fJk29Zq")
def revoke(key_id: _Id) -> None:
    """End a key for good, from the next request on."""
    from almagest.catalogue import keys

    with admin.connected() as (_, connection):
        name = keys.revoke(connection, key_id)
    console.print(f"Key {key_id}, {name}, opens nothing any more.", markup=False)


@app.command(epilog="Example: almagest keys rotate-paging   (then restart: almagest down && almagest up)")
def rotate_paging() -> None:
    """Make a new key that signs paging tokens. Tokens of the one before go on, so that nobody loses his page."""
    from almagest.cli.stack import session

    folder = session.attach().secrets
    secrets.succeed(folder, secrets.TOKEN_KEY, secrets.PREVIOUS_TOKEN_KEY)
    console.print(f"{folder / secrets.TOKEN_KEY} is new; services take it up when they start.", markup=False)


@app.command(epilog="Example: almagest keys rotate-login   (then restart: almagest down && almagest up)")
def rotate_login() -> None:
    """Make a new key that signs access tokens. Whoever is logged in stays so, by the one before."""
    from almagest.cli.stack import session

    folder = session.attach().secrets
    secrets.succeed(folder, secrets.JWT_KEY, secrets.PREVIOUS_JWT_KEY)
    console.print(f"{folder / secrets.JWT_KEY} is new; services take it up when they start.", markup=False)


def duration(text: str) -> timedelta:
    """The time that ``90d`` means.

    Raises:
        ConfigurationError: it means none.
    """
    found = _DURATION.fullmatch(text.strip())
    if not found:
        raise ConfigurationError(f"{text!r} is not a duration: write 30m, 12h, 90d or 4w.")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def moment(text: str) -> datetime | timedelta:
    """A duration, or the time that an ISO date means.

    Raises:
        ConfigurationError: it is neither.
    """
    if _DURATION.fullmatch(text.strip()):
        return duration(text)
    try:
        return datetime.fromisoformat(text.strip())
    except ValueError:
        raise ConfigurationError(f"{text!r} is neither a duration like 90d nor a date like 2027-01-01.") from None


def state(entry: Entry) -> str:
    """Whether a key opens anything, in words."""
    if entry.revoked_at:
        return f"revoked {_day(entry.revoked_at)}"
    if not entry.active:
        return f"expired {_day(entry.expires_at)}"
    return f"until {_day(entry.expires_at)}" if entry.expires_at else "active"


def _day(when: datetime | None) -> str:
    return when.strftime("%Y-%m-%d") if when else "never"
