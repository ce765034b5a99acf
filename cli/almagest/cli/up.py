"""`almagest up | down | status | logs`: the stack on one machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from almagest.cli.output import console
from almagest.core.errors import ConfigurationError

if TYPE_CHECKING:
    from almagest.cli.stack.report import Progress
    from almagest.core.settings import Settings

_STATUS_UNHEALTHY = 1
_STATUS_NOT_RUNNING = 3


def up(
    foreground: Annotated[
        bool, typer.Option("--foreground", help="Stay until Ctrl-C, which stops everything.")
    ] = False,
    sample: Annotated[
        str,
        typer.Option(
            metavar="generate|none|DIR",
            help="What an empty catalogue is filled with: the project's own sample (the default of the first start),"
            " nothing, or a folder of real data.",
        ),
    ] = "",
) -> None:
    """Start everything on this machine, and return when it answers.

    Called by root, it becomes the unprivileged user of ALMAGEST_USER first. Where everything runs already, it only
    looks whether all is well.
    """
    from rich.console import Console

    from almagest.cli.stack import lifecycle, privileges, report, state

    lifecycle.heed_signals()
    progress = report.Progress(console)
    settings = state.adopt()
    state.check_home(settings)
    folder = _readable_folder(settings, sample, progress)
    privileges.step_down(settings, create=True)
    with lifecycle.lock(settings):
        if lifecycle.is_running(settings):
            _check_unchanged(settings, foreground=foreground)
            settings = state.effective()  # what this shell says nothing about stays as it runs
        remembered = state.recall(settings)
        roots = list(dict.fromkeys([*remembered.get("sample_roots", []), *([str(folder)] if folder else [])]))
        settings = state.load(lifecycle.sample_roots(settings, roots))
        process = lifecycle.ensure_running(settings, progress, die_with_us=foreground)
        wanted = str(folder or sample) or ("none" if "sample" in remembered else "generate")
        if wanted != "none":
            _load_sample(settings, wanted, progress)
        if sample or "sample" not in remembered:
            state.remember(settings, sample=wanted, sample_roots=roots)
    report.show_addresses(Console(), settings)
    if foreground and process is not None:
        console.print("Ctrl-C stops everything.", style="bold")
        told = lifecycle.watch(settings, process, lambda name, line: print(f"{name:>10} | {line}", flush=True))
        lifecycle.stop(settings, progress)
        if not told:
            raise typer.Exit(1)


def down() -> None:
    """Stop everything, and leave the data."""
    from almagest.cli.stack import lifecycle, report, session

    settings = session.of_stack()
    if settings is None or not lifecycle.stop(settings, report.Progress(console)):
        console.print("Nothing runs.")


def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for other programs.")] = False,
) -> None:
    """List processes, addresses and health. Exit code: 0 healthy, 1 not, 3 not running."""
    from rich.console import Console

    from almagest.cli.stack import report, session
    from almagest.cli.stack import status as asked
    from almagest.core.settings import Settings

    settings = session.of_stack()
    found = asked.status(settings) if settings else asked.Status(running=False, processes=())
    if as_json:
        shown = settings or Settings.load()
        print(json.dumps(report.document(shown, found), indent=2))
    elif settings is None or not found.running:
        Console().print(
            f"Nothing runs in {(settings or Settings.load()).site.home}: `make up` starts it.", soft_wrap=True
        )
    else:
        report.show_status(Console(), found)
        report.show_addresses(Console(), settings)
    if not found.running:
        raise typer.Exit(_STATUS_NOT_RUNNING)
    if not found.healthy:
        raise typer.Exit(_STATUS_UNHEALTHY)


def logs(
    name: Annotated[
        str, typer.Argument(help="A process, as `status` names it, or its kind (`stac`); all by default.")
    ] = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as lines are written, until Ctrl-C.")] = False,
    lines: Annotated[
        int, typer.Option("--lines", "-n", min=0, metavar="N", help="How many of the last lines to show of each.")
    ] = 20,
) -> None:
    """Show the logs."""
    from almagest.cli.stack import logs as reader
    from almagest.cli.stack import session

    settings = session.of_stack()
    if settings is None:
        raise ConfigurationError("There are no logs yet: nothing was ever started here (ALMAGEST_HOME).")
    files = reader.files(settings, name)
    width = max(map(len, files), default=0) if len(files) > 1 else 0

    def show(source: str, line: str) -> None:
        print(f"{source:>{width}} | {line}" if width else line, flush=True)

    for source, path in files.items():
        for line in reader.tail(path, lines):
            show(source, line)
    if follow:
        try:
            for source, line in reader.follow(files):
                show(source, line)
        except KeyboardInterrupt:
            return


def _readable_folder(settings: Settings, sample: str, progress: Progress) -> Path | None:
    if sample in {"", "generate", "none"}:
        return None
    from almagest.cli.stack import privileges

    folder = Path(sample).expanduser().resolve()
    if not folder.is_dir():
        raise ConfigurationError(f"SAMPLE={sample}: there is no such folder (or say `generate` or `none`).")
    readable = privileges.readable_copy(settings, folder)
    if readable != folder:
        progress(f"{folder} is closed to the user {settings.site.user}: copied to {readable}")
    return readable


def _check_unchanged(settings: Settings, *, foreground: bool) -> None:
    from almagest.cli.stack import state

    if foreground:
        raise ConfigurationError(
            "It runs already, in the background: `almagest down` first, to run it in the foreground."
        )
    if changed := state.differences(settings):
        variable, running, wanted = changed[0]
        raise ConfigurationError(
            f"It runs already with {variable}={running}, and {variable}={wanted} is set here:"
            " `almagest down` first, to start it anew."
        )


def _load_sample(settings: Settings, choice: str, progress: Progress) -> None:
    with progress.step("Sample catalogue"):
        from almagest.catalogue import loading

        loading.load_sample(settings, choice, progress)
