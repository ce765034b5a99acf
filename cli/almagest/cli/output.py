"""How commands speak: steps to people on standard error, results on standard output."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console

console = Console(stderr=True, highlight=False)


def reporter() -> Callable[[str], None]:
    """Prints a step as a line."""

    def report(sentence: str) -> None:
        console.print(f"[dim]·[/dim] {sentence}")

    return report
