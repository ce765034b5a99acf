"""Showing how far a job is, on a terminal as in a notebook."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

#: Statuses of what is not over.
OPEN = frozenset({"accepted", "running"})


@dataclass(frozen=True)
class Look:
    """How a job is: its status, how far it is [%], and what it says."""

    status: str
    progress: int = 0
    message: str = ""


def watch(
    look: Callable[[], Look],
    console: Console | None = None,
    *,
    every_s: float = 0.3,
    until: float | None = None,
) -> Look:
    """Shows a bar until a job is over, and answers how it is then.

    Args:
        look: asks how it is.
        console: where the bar is shown; rich's own, if nobody says.
        every_s: pause between two looks [s].
        until: of `time.monotonic()`: no longer, whatever it is then.
    """
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.fields[status]:<10}"),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[said]}", markup=False),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=100, status="accepted", said="")
        while (found := look()).status in OPEN and (until is None or time.monotonic() < until):
            bar.update(task, completed=found.progress, status=found.status, said=found.message)
            time.sleep(every_s)
    return found
