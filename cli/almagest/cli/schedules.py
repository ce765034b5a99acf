"""``almagest schedule``: jobs that come by themselves."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from almagest.cli import admin
from almagest.cli.inputs import read_inputs
from almagest.cli.output import console, results
from almagest.core.errors import ConfigurationError

if TYPE_CHECKING:
    from almagest.catalogue.schedules import Schedule

app = typer.Typer(
    help="Have jobs come by themselves.",
    epilog='Example: almagest schedule add hello "30 6 * * MON-FRI" echo --zone Europe/Zurich --input message=Hello',
    no_args_is_help=True,
)

#: Moments to come that are shown of a schedule.
_SHOWN = 5

_Name = Annotated[str, typer.Argument(help="Name of a schedule.")]
_AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command(
    epilog='Example: almagest schedule add hello "30 6 * * MON-FRI" echo --zone Europe/Zurich --input message=Hello'
)
def add(
    name: Annotated[str, typer.Argument(help="Name of the new schedule: lower-case words with hyphens between.")],
    cron: Annotated[str, typer.Argument(help="Minute, hour, day of month, month and day of week, as in a crontab.")],
    process: Annotated[str, typer.Argument(help="Id of a process.")],
    zone: Annotated[str, typer.Option(metavar="ZONE", help="Time zone of the hours, as Europe/Zurich.")] = "UTC",
    given: Annotated[
        list[str] | None,
        typer.Option("--input", "-i", metavar="NAME=VALUE", help="An input: JSON, or plain text. Repeatable."),
    ] = None,
    file: Annotated[Path | None, typer.Option("--inputs", metavar="FILE", help="All inputs, as a JSON object.")] = None,
    subject: Annotated[
        str, typer.Option("--as", metavar="SUBJECT", help="Whose jobs they become, as the door names callers.")
    ] = "operator",
) -> None:
    """Add a schedule. A moment that is missed while nothing runs is made up for once, for the latest of several."""
    from almagest.catalogue import accounts, schedules
    from almagest.pipelines import registry

    inputs, times = read_inputs(file, given or []), schedules.Times(cron, zone)
    with admin.connected() as (_, connection):
        found = registry.find(process)
        for scope in ("jobs:run", found.scope):
            if scope and (why := accounts.why_not(connection, subject, scope)):
                raise ConfigurationError(why)
        schedules.add(connection, name, found, inputs, times, subject)
        _print(schedules.find(connection, name))


@app.command("list", epilog="Example: almagest schedule list --json")
def list_(as_json: _AsJson = False) -> None:
    """List all schedules, with the next moment of each in its own zone and in UTC."""
    from rich.table import Table
    from rich.text import Text

    from almagest.catalogue import schedules

    with admin.connected() as (_, connection):
        found = schedules.listed(connection)
    if as_json:
        print(json.dumps([_document(schedule) for schedule in found]))
        return
    table = Table(box=None, padding=(0, 1))
    for heading in (
        "Schedule",
        "Process",
        "Of",
        "Times",
        "Zone",
        "Next there",
        "Next (UTC)",
        "Last (UTC)",
        "Came of it",
    ):
        table.add_column(heading)
    for schedule in found:
        came = Text(schedule.last_error, "red") if schedule.last_error else str(schedule.last_job or "")
        following = next(((_there(moment), _utc(moment)) for moment in schedule.coming(1)), ("paused", ""))
        last = _utc(schedule.last_at) if schedule.last_at else ""
        table.add_row(
            schedule.name, schedule.process, schedule.principal, schedule.cron, schedule.zone, *following, last, came
        )
    results().print(table)


@app.command(epilog="Example: almagest schedule show hello")
def show(name: _Name, as_json: _AsJson = False) -> None:
    """Show all that is known of a schedule, and its next moments."""
    from almagest.catalogue import schedules

    with admin.connected() as (_, connection):
        found = schedules.find(connection, name)
    if as_json:
        print(json.dumps(_document(found), indent=2))
    else:
        _print(found)


@app.command(epilog="Example: almagest schedule pause hello")
def pause(name: _Name) -> None:
    """Let the moments of a schedule pass."""
    from almagest.catalogue import schedules

    with admin.connected() as (_, connection):
        schedules.enable(connection, name, is_to=False)
    console.print(f"Schedule {name} is paused.", markup=False)


@app.command(epilog="Example: almagest schedule resume hello")
def resume(name: _Name) -> None:
    """Have a schedule go on with its next moment; those that passed are not made up for."""
    from almagest.catalogue import schedules

    with admin.connected() as (_, connection):
        schedules.enable(connection, name, is_to=True)
        _print(schedules.find(connection, name))


@app.command(epilog="Example: almagest schedule remove hello")
def remove(name: _Name) -> None:
    """Remove a schedule; its jobs stay."""
    from almagest.catalogue import schedules

    with admin.connected() as (_, connection):
        schedules.remove(connection, name)
    console.print(f"Schedule {name} is removed.", markup=False)


@app.command(epilog="Example: almagest jobs watch $(almagest schedule run hello)")
def run(name: _Name) -> None:
    """Submit a job of a schedule now, and print its id; its moments stay as they are."""
    from almagest.catalogue import schedules
    from almagest.pipelines import registry, scheduler
    from almagest.pipelines.doorbell import Doorbell

    with admin.connected() as (settings, connection):
        found = schedules.find(connection, name)
        process = registry.find(found.process)
        job = scheduler.submit(connection, process, found)
        Doorbell(settings).ring(job, process.queue)
    print(job)


def _print(schedule: Schedule) -> None:
    out = results()
    for name, value in _document(schedule).items():
        if name != "next" and value is not None:
            out.print(f"{name:<10} {value if isinstance(value, str) else json.dumps(value)}")
    for number, moment in enumerate(schedule.coming(_SHOWN)):
        heading = "" if number else "next"
        out.print(f"{heading:<10} {_there(moment)} {schedule.zone:<20} {_utc(moment)} UTC")


def _document(schedule: Schedule) -> dict[str, Any]:
    shown = dataclasses.asdict(schedule)
    del shown["next_at"]
    coming = [
        {"utc": moment.astimezone(UTC).isoformat(), "local": moment.isoformat()} for moment in schedule.coming(_SHOWN)
    ]
    plain = {
        name: value.isoformat() if isinstance(value, datetime) else str(value) if isinstance(value, UUID) else value
        for name, value in shown.items()
    }
    return {**plain, "next": coming}


def _there(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S %z}"


def _utc(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
