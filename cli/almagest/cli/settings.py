"""``almagest settings``: what can be set, what it is set to, and where."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from almagest.cli.options import ConfigFile
from almagest.core.settings import SECTIONS, table, variable

if TYPE_CHECKING:
    from almagest.core.configuration import Configuration

_STACK = "the stack here"


def settings(
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the table of the README.")] = False,
    config: ConfigFile = None,
) -> None:
    """Show every setting, its value, where that comes from, and its meaning.

    Flags count most, then the environment, the file of `--config` (or ALMAGEST_CONFIG), the user's own file
    (~/.config/almagest/config.yaml), what the stack here was started with, and defaults.
    """
    from almagest.core.configuration import Configuration

    if markdown:
        print(as_markdown(), end="")
        return
    console = Console()
    for name, value, place, meaning in _rows(Configuration.load(config)):
        # Two lines, or no terminal is wide enough.
        said = Text.assemble((name, "bold"), "  ", (value, "green" if place else ""), f"  ({place})" if place else "")
        console.print(said, soft_wrap=True)
        console.print(Padding(Text(meaning), (0, 0, 0, 4)))


def as_markdown() -> str:
    """The settings table as it stands in the README."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    rows += [f"| `{name}` | {f'`{default}`' if default else ''} | {meaning} |" for name, default, meaning in table()]
    return "\n".join(rows) + "\n"


def _rows(configuration: Configuration) -> Iterator[tuple[str, str, str, str]]:
    from almagest.cli.stack import state
    from almagest.core.configuration import DEFAULT

    present = configuration.settings()
    meant = state.environment(present)
    remembered: dict[str, str] = {}
    with suppress(PermissionError):  # it is another user's
        remembered = state.recall(present).get("settings", {})
    defaults = {name: (default, meaning) for name, default, meaning in table()}
    for section, group in SECTIONS.items():
        for key in group.model_fields:
            name = variable(group, key)
            default, meaning = defaults[name]
            place = configuration.where(f"{section}.{key}")
            if place != DEFAULT:
                value = configuration.section(section)[key]  # a secret shows itself as stars
                yield name, meant.get(name, str(value)), place, meaning
            elif remembered.get(name, meant.get(name)) != meant.get(name):
                yield name, remembered[name], _STACK, meaning
            else:
                yield name, default, "", meaning
