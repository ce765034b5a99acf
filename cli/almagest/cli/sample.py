"""``almagest sample``: the sample catalogue."""

from __future__ import annotations

import getpass
import os
from pathlib import Path
from typing import Annotated

import typer

from almagest.cli.output import console, reporter
from almagest.core.errors import ConfigurationError

app = typer.Typer(
    help="Generate and load the sample catalogue.",
    epilog="Example: almagest sample generate /tmp/sample",
    no_args_is_help=True,
)


@app.command(epilog="Example: almagest sample generate /tmp/sample")
def generate(directory: Annotated[Path, typer.Argument(help="Where to write it.")]) -> None:
    """Render the sample: COGs of two sensors over the same places and days, collections.json and items.ndjson."""
    import json

    from rich.progress import Progress

    from almagest.catalogue import sample

    directory.mkdir(parents=True, exist_ok=True)
    with Progress(console=console, transient=True) as bar:
        tasks = {}

        def progress(label: str, done: int, total: int) -> None:
            if label not in tasks:
                tasks[label] = bar.add_task(label, total=total)
            bar.update(tasks[label], completed=done, total=total)

        made = sample.generate(directory.resolve(), progress=progress)
        items = list(made.items)
    (directory / "collections.json").write_text(json.dumps({"collections": list(made.collections)}, indent=1))
    (directory / "items.ndjson").write_text("".join(json.dumps(item) + "\n" for item in items))
    print(f"{len(items)} items in {len(made.collections)} collections under {directory}")


@app.command(epilog="Example: almagest sample load ../shared/data")
def load(
    source: Annotated[str, typer.Argument(help="`generate`, or a folder of real data.")] = "generate",
) -> None:
    """Load a sample into a catalogue that is still empty."""
    from almagest.catalogue import loading
    from almagest.cli.stack import session

    # Before this becomes the stack's user, who may stand elsewhere and see less.
    chosen = source if source in {"generate", "none"} else str(Path(source).expanduser().resolve())
    settings = session.attach()
    if chosen not in {"generate", "none"} and not os.access(chosen, os.R_OK | os.X_OK):
        raise ConfigurationError(
            f"{chosen} is not there, or closed to the user {getpass.getuser()}: `make up SAMPLE={source}`, as root,"
            " copies it to where the services can read it."
        )
    loading.load_sample(settings, chosen, reporter())
