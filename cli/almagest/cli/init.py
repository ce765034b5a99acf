"""``almagest init``: a configuration file to begin with."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Annotated

import typer

from almagest.cli.output import console
from almagest.core import configuration
from almagest.core.errors import ConfigurationError


def init(
    path: Annotated[
        Path | None, typer.Argument(help="Where to write it; without it: ~/.config/almagest/config.yaml.")
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE", help="Take over what this file says: a configuration of eomatch, say."),
    ] = None,
    stdout: Annotated[bool, typer.Option("--stdout", help="Print it instead.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the file that is there.")] = False,
) -> None:
    """Write a configuration file: every setting with its default and its meaning, all still commented out."""
    from almagest.cli import template

    said = configuration.read(source) if source else {}
    text = template.render(said)
    if stdout:
        print(text, end="")
        return
    usual = configuration.user_file()
    target = path or usual
    if target.is_dir():
        raise ConfigurationError(f"{target} is a folder: name a file in it.")
    _write(target, text, force=force)
    console.print(
        "Commands read it from now on:" if target.absolute() == usual else "Name it by --config or ALMAGEST_CONFIG:"
    )
    print(target)
    if (said.get("ingest") or {}).get("db_password"):
        console.print("It holds a password, as the other one does: PGPASSWORD is a better place.", soft_wrap=True)


def _write(target: Path, text: str, *, force: bool) -> None:
    """Puts the whole file in its place, for its owner's eyes: people write passwords into such files."""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        if force:
            draft.replace(target)
        else:
            os.link(draft, target)  # refuses where a file is there, whoever made it in the meantime
    except FileExistsError:
        raise ConfigurationError(f"{target} is there already: --force replaces it.") from None
    finally:
        draft.unlink(missing_ok=True)
