"""``almagest jobs``: what is to be done, is being done and was done."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from almagest.cli.inputs import read_inputs
from almagest.cli.output import console, plain, results
from almagest.core.errors import BadRequestError

if TYPE_CHECKING:
    import psycopg

    from almagest.catalogue.jobs import Listed
    from almagest.core.settings import Settings

app = typer.Typer(
    help="Submit jobs, watch them, and look after those that failed.",
    epilog="Example: almagest jobs submit echo --input message=Hello --wait",
    no_args_is_help=True,
)

#: Whose jobs they are that are submitted here.
PRINCIPAL = "operator"
_FAILED = 1
_LOOK_S = 0.3
_COLOURS = {"successful": "green", "failed": "red", "dismissed": "dim", "running": "cyan"}

_Id = Annotated[UUID, typer.Argument(metavar="JOB", help="Id of a job.")]
_AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command(epilog="Example: almagest jobs submit echo --input message=Hello --input pause_s=5 --wait")
def submit(
    process: Annotated[str, typer.Argument(help="Id of a process.")],
    given: Annotated[
        list[str] | None,
        typer.Option("--input", "-i", metavar="NAME=VALUE", help="An input: JSON, or plain text. Repeatable."),
    ] = None,
    file: Annotated[Path | None, typer.Option("--inputs", metavar="FILE", help="All inputs, as a JSON object.")] = None,
    key: Annotated[
        str | None, typer.Option("--idempotency-key", metavar="KEY", help="The same request with it is the same job.")
    ] = None,
    callback: Annotated[
        str | None, typer.Option(metavar="URL", help="Is sent the results, or why there are none, when it has ended.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for it, and print its outputs.")] = False,
) -> None:
    """Submit a job and print its id."""
    from almagest.catalogue import jobs
    from almagest.pipelines import callbacks, registry
    from almagest.pipelines.doorbell import Doorbell

    inputs = read_inputs(file, given or [])
    with _connected() as (settings, connection):
        found = registry.find(process)
        request = {"subscriber": callbacks.subscriber_at(callback, settings)} if callback else {}
        job, is_new = jobs.accept(connection, found, inputs, PRINCIPAL, request=request, key=key)
        if is_new:
            Doorbell(settings).ring(job, found.queue)
        if not wait:
            print(job)
            return
        console.print(f"Job {job}", markup=False)
        _watch(connection, job)


@app.command("list", epilog="Example: almagest jobs list --status running --limit 20")
def list_(
    status: Annotated[list[str] | None, typer.Option(metavar="STATUS", help="Only these. Repeatable.")] = None,
    process: Annotated[
        list[str] | None, typer.Option(metavar="PROCESS", help="Only of these processes. Repeatable.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, metavar="N", help="How many at most.")] = 50,
    as_json: _AsJson = False,
) -> None:
    """List jobs, the newest first."""
    _list({"status": status, "process": process}, limit, as_json=as_json)


@app.command(epilog="Example: almagest jobs dead")
def dead(
    limit: Annotated[int, typer.Option(min=1, max=10_000, metavar="N", help="How many at most.")] = 50,
    as_json: _AsJson = False,
) -> None:
    """List jobs that failed again and again. They are kept until somebody retries or removes them."""
    _list({"dead": True}, limit, as_json=as_json)


@app.command(epilog="Example: almagest jobs show 2f0c… --json")
def show(job: _Id, as_json: _AsJson = False) -> None:
    """Show all that is known of a job."""
    from almagest.catalogue import jobs

    with _connected() as (_, connection):
        found = jobs.find(connection, job)
    document = _document(found)
    if as_json:
        print(json.dumps(document, indent=2))
        return
    out = results()
    for name, value in document.items():
        if value in (None, {}, False):
            continue
        if name == "error":
            out.print(f"{name:<15} {value.get('title')}: {plain(value.get('detail', ''))}")
            if internal := value.get("internal"):
                out.print(plain(internal))
        else:
            out.print(f"{name:<15} {plain(value) if isinstance(value, str) else json.dumps(value)}")


@app.command(epilog="Example: almagest jobs watch 2f0c…")
def watch(job: _Id) -> None:
    """Watch a job until it has ended, and print its outputs. Exit code 1 where it was not successful."""
    with _connected() as (_, connection):
        _watch(connection, job)


@app.command(epilog="Example: almagest jobs logs 2f0c… --follow")
def logs(
    job: _Id, follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until it has ended.")] = False
) -> None:
    """Show what became of a job, and what it said."""
    from almagest.catalogue import jobs
    from almagest.core.jobs import ENDED

    with _connected() as (_, connection):
        last = 0
        while True:
            has_ended = jobs.find(connection, job).status in ENDED
            before = last
            for event in jobs.events(connection, job, last):
                last = event.id
                mark = "|" if event.kind == "log" else "*"
                print(f"{event.at:%Y-%m-%d %H:%M:%S} {mark} {plain(event.message)}", flush=True)
            if last == before:
                if has_ended or not follow:
                    return
                time.sleep(_LOOK_S)


@app.command(epilog="Example: almagest jobs cancel 2f0c…")
def cancel(job: _Id) -> None:
    """Dismiss a job that has not ended, or remove one that has."""
    from almagest.catalogue import jobs

    with _connected() as (_, connection):
        became = jobs.dismiss(connection, job)
    if became not in {"dismissed", "removed"}:
        raise BadRequestError(f"Job {job} is a part of another that has not ended: cancel that.")
    console.print(f"Job {job} is {became}.", markup=False)


@app.command(epilog="Example: almagest jobs retry 2f0c…")
def retry(job: _Id) -> None:
    """Do a job anew that failed or was dismissed."""
    from almagest.catalogue import jobs
    from almagest.pipelines.doorbell import Doorbell

    with _connected() as (settings, connection):
        found = jobs.find(connection, job)
        if not jobs.retry(connection, job):
            why = "is a part of another: retry that" if found.parent else f"is {found.status}"
            raise BadRequestError(f"Job {job} {why}. Only what failed or was dismissed can be retried.")
        Doorbell(settings).ring(job, found.queue)
    console.print(f"Job {job} is accepted again.", markup=False)


def _list(filters: dict[str, Any], limit: int, *, as_json: bool) -> None:
    from rich.table import Table
    from rich.text import Text

    from almagest.catalogue import jobs

    with _connected() as (_, connection):
        found = jobs.listed(connection, None, {name: value for name, value in filters.items() if value}, limit=limit)
    if as_json:
        print(json.dumps([_document(job) for job in found]))
        return
    table = Table(box=None, padding=(0, 1))
    for heading in ("Job", "Process", "Of", "Status", "%", "Accepted", "Took", "Message"):
        table.add_column(heading)
    for job in found:
        table.add_row(
            str(job.id),
            job.process,
            job.principal,
            Text("dead" if job.is_dead else job.status, style=_COLOURS.get(job.status, "")),
            str(job.progress),
            f"{job.created_at:%Y-%m-%d %H:%M:%S}",
            _took(job),
            plain((job.error or {}).get("detail", job.message) or ""),
        )
    results().print(table)


def _took(job: Listed) -> str:
    if job.started_at is None:
        return ""
    return f"{((job.finished_at or datetime.now(UTC)) - job.started_at).total_seconds():.1f} s"


def _document(job: Listed) -> dict[str, Any]:
    shown = dataclasses.asdict(job)
    for name in ("request_sha256", "lease_owner", "lease_until", "rung_at", "checkpoint", "dismissal"):
        shown.pop(name, None)
    return {
        name: value.isoformat() if isinstance(value, datetime) else str(value) if isinstance(value, UUID) else value
        for name, value in shown.items()
    }


def _watch(connection: psycopg.Connection[Any], job: UUID) -> None:
    from almagest.catalogue import jobs
    from almagest.client.watching import Look, watch

    def look() -> Look:
        found = jobs.find(connection, job)
        return Look(found.status, found.progress, plain(found.message or ""))

    watch(look, console, every_s=_LOOK_S)
    found = jobs.find(connection, job)
    if found.status != "successful":
        detail = (found.error or {}).get("detail", "")
        console.print(
            f"Job {job} {found.status}: {detail}" if detail else f"Job {job} was {found.status}.", markup=False
        )
        raise typer.Exit(_FAILED)
    print(json.dumps(found.outputs))


@contextmanager
def _connected() -> Iterator[tuple[Settings, psycopg.Connection[Any]]]:
    from almagest.catalogue import database
    from almagest.cli.stack import session

    settings = session.attach()
    with database.translated(), database.connect(settings, "almagest_worker") as connection:
        yield settings, connection
