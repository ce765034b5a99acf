"""``almagest files``: what one keeps at a catalogue, with one's own key."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from almagest.cli import options
from almagest.cli.output import console, results
from almagest.core.errors import BadRequestError, ConflictError

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from almagest.client.files import Files

app = typer.Typer(
    help="Keep files at a catalogue: for its processes, or for yourself.",
    epilog="Example: almagest files upload scene.tif --api-url https://host/api --key-file own.key",
    no_args_is_help=True,
)

_Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of a file there.")]


@app.command(epilog="Example: almagest files upload scene.tif table.csv --replace")
def upload(
    paths: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Files of this machine.")],
    name: Annotated[str | None, typer.Option(metavar="NAME", help="What it is called there: of one file.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Put it in the place of another of its name.")] = False,
    api_url: options.ApiUrl = None,
    config: options.ConfigFile = None,
    key: options.Key = None,
    key_file: options.KeyFile = None,
) -> None:
    """Upload files, and print by which hrefs processes open them."""
    if name is not None and len(paths) > 1:
        raise BadRequestError("--name is for one file: upload these one by one.")
    with _files(config, api_url, key, key_file) as files, _bar() as bar:
        for path in paths:
            task = bar.add_task(path.name, total=path.stat().st_size)
            told = files.upload(path, name or path.name, replace=replace, progress=_counted(bar, task))
            console.print(f"{told['name']}: {told['size']:,} bytes, {told['type']}", markup=False)
            print(told["href"], flush=True)


@app.command("list", epilog="Example: almagest files list --json")
def list_(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    api_url: options.ApiUrl = None,
    config: options.ConfigFile = None,
    key: options.Key = None,
    key_file: options.KeyFile = None,
) -> None:
    """List your files, the newest first."""
    from rich.table import Table

    with _files(config, api_url, key, key_file) as files:
        found = list(files.listed())
    if as_json:
        print(json.dumps(found))
        return
    table = Table(box=None, padding=(0, 1))
    for heading in ("Name", "Bytes", "Type", "Since", "SHA-256"):
        table.add_column(heading, justify="right" if heading == "Bytes" else "left")
    for file in found:
        table.add_row(file["name"], f"{file['size']:,}", file["type"], file["created"][:19], file["sha256"][:12])
    results().print(table)


@app.command(epilog="Example: almagest files download scene.tif --output copies/scene.tif")
def download(
    name: _Name,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Where it goes; here, by its name.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Put it in the place of a file that is there.")] = False,
    api_url: options.ApiUrl = None,
    config: options.ConfigFile = None,
    key: options.Key = None,
    key_file: options.KeyFile = None,
) -> None:
    """Download a file. It is there once it is whole."""
    target = output or Path(name)
    if target.exists() and not force:
        raise ConflictError(f"{target} is there already: --force replaces it, --output names another.")
    with _files(config, api_url, key, key_file) as files, _bar() as bar:

        def begin(size: int) -> Callable[[int], None]:
            return _counted(bar, bar.add_task(name, total=size))

        files.download(name, target, begin=begin)
    console.print(f"{name} is at {target}", markup=False)


@app.command(epilog="Example: almagest files delete scene.tif")
def delete(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Names of files there.")],
    api_url: options.ApiUrl = None,
    config: options.ConfigFile = None,
    key: options.Key = None,
    key_file: options.KeyFile = None,
) -> None:
    """Delete files."""
    with _files(config, api_url, key, key_file) as files:
        for name in names:
            files.delete(name)
            console.print(f"{name} is deleted.", markup=False)


@contextmanager
def _files(config: Path | None, api_url: str | None, key: str | None, key_file: Path | None) -> Iterator[Files]:
    from almagest.client.files import Files
    from almagest.core.configuration import Configuration

    target = options.api(Configuration.load(config), api_url=api_url, key=key, key_file=key_file)
    with Files(target.url, target.key) as files:
        yield files


def _bar() -> Progress:
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    # Names are somebody's own: nothing in them is markup.
    name = TextColumn("{task.description}", markup=False)
    return Progress(name, BarColumn(), DownloadColumn(), TransferSpeedColumn(), console=console, transient=True)


def _counted(bar: Progress, task: TaskID) -> Callable[[int], None]:
    return lambda number: bar.advance(task, number)
