"""How commands speak: steps to people on standard error, results on standard output."""

from __future__ import annotations

import sys
from collections.abc import Callable

from rich.console import Console

console = Console(stderr=True, highlight=False)
#: Nothing that a program reads, or `grep`, is folded.
_ENDLESS = 10_000


def results() -> Console:
    """Prints tables on standard output: as wide as the terminal, or as they are where there is none."""
    width = None if sys.stdout.isatty() else _ENDLESS
    return Console(highlight=False, markup=False, width=width)


def reporter() -> Callable[[str], None]:
    """Prints a step as a line."""

    def report(sentence: str) -> None:
        console.print(f"[dim]·[/dim] {sentence}")

    return report


def plain(text: str) -> str:
    """A text that somebody else chose, without what would command the terminal."""
    return "".join(sign if sign.isprintable() or sign in "\n\t" else "�" for sign in text)
