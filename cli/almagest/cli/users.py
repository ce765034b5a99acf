"""``almagest users``: people, and what they may."""

from __future__ import annotations

import json
import secrets as random
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from almagest.cli import admin
from almagest.cli.output import console, results
from almagest.core.errors import ConfigurationError

if TYPE_CHECKING:
    from almagest.catalogue.accounts import Account

app = typer.Typer(
    help="Make accounts for people, and say what they may. They log in at `/ops/ui/`, or by `/ops/auth/login`.",
    epilog="Example: almagest users list",
    no_args_is_help=True,
)

_Name = Annotated[str, typer.Argument(metavar="NAME", help="What they log in with; an address of mail will do.")]


@app.command(epilog="Example: almagest users create ada@example.org --role PREMIUM")
def create(
    name: _Name,
    role: Annotated[str, typer.Option(metavar="ROLE", help="USER, PREMIUM or ADMIN.")] = "USER",
) -> None:
    """Make an account. The password is asked for, read from standard input, or made up and printed, this once."""
    from almagest.catalogue import accounts, passwords

    password, is_ours = _password()
    with admin.connected() as (_, connection):
        passwords.check(password, name.lower())
        account = accounts.create(connection, name, passwords.hashed(password), role=role.upper())
    console.print(f"{account.name} may: {', '.join(account.scopes)} (tier {account.tier}).", markup=False)
    if is_ours:
        console.print("The password, shown only now:")
        print(password)


@app.command("list", epilog="Example: almagest users list --json")
def list_(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List everybody: role, tier, what they may beside their role, and when they were here."""
    from almagest.catalogue import accounts

    found: list[Account] = []
    with admin.connected() as (_, connection):
        while page := accounts.listed(connection, found[-1].name if found else "", 1000):
            found += page
    if as_json:
        print(json.dumps([_document(account) for account in found], default=str))
        return
    from rich.table import Table

    table = Table(box=None, padding=(0, 1))
    for heading in ("Name", "Role", "Tier", "Beside it", "Here", "State"):
        table.add_column(heading, overflow="fold")
    for account in found:
        here = account.last_login_at.strftime("%Y-%m-%d") if account.last_login_at else "never"
        state = f"disabled {account.disabled_at:%Y-%m-%d}" if account.disabled_at else "active"
        table.add_row(account.name, account.role, account.tier, "\n".join(account.own_scopes), here, state)
    results().print(table)


@app.command(epilog="Example: almagest users change ada@example.org --grant catalogue:write")
def change(
    name: _Name,
    role: Annotated[str, typer.Option(metavar="ROLE", help="Another role: USER, PREMIUM or ADMIN.")] = "",
    tier: Annotated[
        str, typer.Option(metavar="TIER", help="A tier of their own (free, premium, enterprise); `none`: their role's.")
    ] = "",
    grant: Annotated[
        list[str] | None, typer.Option(metavar="SCOPE", help="What they may from now on. Repeatable.")
    ] = None,
    withdraw: Annotated[
        list[str] | None, typer.Option(metavar="SCOPE", help="What they may no longer. Repeatable.")
    ] = None,
    disable: Annotated[bool | None, typer.Option("--disable/--enable", help="Whether they are let in.")] = None,
) -> None:
    """Change what somebody may. It holds from the next request on."""
    from almagest.catalogue import accounts

    with admin.connected() as (_, connection):
        account = accounts.find(connection, name=accounts.checked_name(name))
        kept = [scope for scope in account.own_scopes if scope not in (withdraw or ())]
        changed = accounts.change(
            connection,
            account,
            role=role.upper() or None,
            tier=None if tier == "none" else tier or False,
            scopes=[*kept, *(grant or ())] if grant or withdraw else None,
            disabled=disable,
        )
    state = "is disabled" if changed.disabled_at else f"may: {', '.join(changed.scopes)} (tier {changed.tier})"
    console.print(f"{changed.name} {state}.", markup=False)


@app.command(epilog="Example: almagest users password ada@example.org")
def password(name: _Name) -> None:
    """Give somebody another password, and end all their logins."""
    from almagest.catalogue import accounts, passwords

    given, is_ours = _password()
    with admin.connected() as (_, connection):
        account = accounts.find(connection, name=accounts.checked_name(name))
        passwords.check(given, account.name)
        accounts.set_password(connection, account.id, passwords.hashed(given))
    console.print(f"{account.name} has another password, and is logged out everywhere.", markup=False)
    if is_ours:
        console.print("The password, shown only now:")
        print(given)


def _password() -> tuple[str, bool]:
    """A password, and whether we made it up."""
    if not sys.stdin.isatty():
        given = sys.stdin.readline().rstrip("\n")
    else:
        given = typer.prompt(
            "Password (empty: one is made up)", default="", hide_input=True, show_default=False, err=True
        )
        if given and typer.prompt("Again", hide_input=True, err=True) != given:
            raise ConfigurationError("These were two different passwords: nothing is changed.")
    return (given, False) if given else (random.token_urlsafe(18), True)


def _document(account: Account) -> dict[str, Any]:
    return {
        "name": account.name,
        "role": account.role,
        "tier": account.tier,
        "scopes": account.scopes,
        "own_scopes": account.own_scopes,
        "provider": account.issuer,
        "created": account.created_at,
        "last_login": account.last_login_at,
        "disabled": account.disabled_at,
    }
