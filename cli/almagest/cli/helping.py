"""What ``--help`` shows."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup


class Root(TyperGroup):
    """The command of all commands: in none of them a type stands behind a flag, which takes no value."""

    def get_params(self, ctx: typer.Context) -> list[Any]:  # type: ignore[override]  # of its own kind
        """Its options."""
        return _plain(super().get_params(ctx))

    def get_command(self, ctx: typer.Context, name: str) -> Any:  # type: ignore[override]  # of its own kind
        """One of the commands below it."""
        command = super().get_command(ctx, name)
        if command is not None:
            for each in (command, *getattr(command, "commands", {}).values()):
                _plain(each.get_params(ctx))
        return command


def _plain(options: list[Any]) -> list[Any]:
    for option in options:
        if getattr(option, "is_flag", False) and option.metavar is None:
            option.metavar = ""
    return options
