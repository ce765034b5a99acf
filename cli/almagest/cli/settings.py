"""``almagest settings``: what can be set, and what it is set to."""

from __future__ import annotations

import os
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from almagest.core.settings import Settings, table


def settings(
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the table of the README.")] = False,
) -> None:
    """Show every setting, its value and its meaning. Values come from the environment."""
    if markdown:
        print(as_markdown(), end="")
        return
    Settings.load()
    shown = Table("variable", "value", "meaning", box=None, header_style="bold")
    for name, default, meaning in table():
        value = os.environ.get(name)
        shown.add_row(name, f"[green]{value}[/green]" if value is not None else default, meaning)
    Console().print(shown)


def as_markdown() -> str:
    """The settings table as it stands in the README."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    rows += [f"| `{name}` | {f'`{default}`' if default else ''} | {meaning} |" for name, default, meaning in table()]
    return "\n".join(rows) + "\n"
