"""Showing how far an ingest is: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, TaskID, TextColumn

from almagest.cli.output import console

if TYPE_CHECKING:
    from almagest.catalogue.ingest.tally import Progress as State
    from almagest.catalogue.ingest.tally import Totals

_EVERY_S = 5.0


class Watch:
    """Shows progress on standard error."""

    def __init__(self) -> None:
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._began: float | None = None
        self._shown = time.monotonic()

    def say(self, sentence: str) -> None:
        """A sentence that stays."""
        console.print(sentence, markup=False, highlight=False, soft_wrap=True)

    def see(self, state: State) -> None:
        """The state as it is now."""
        now = time.monotonic()
        if self._began is None:
            self._began = now
        words = _words(state.totals, state.fraction, now - self._began)
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, total=1, completed=state.fraction or 0, words=words)
        elif now - self._shown >= _EVERY_S:
            self._shown = now
            self.say(f"{state.fraction:.0%}: {words}" if state.fraction is not None and state.totals.items else words)

    def __enter__(self) -> Watch:
        if console.is_terminal:
            columns = BarColumn(), TextColumn("{task.percentage:>3.0f} %"), TextColumn("{task.fields[words]}")
            self._bar = Progress(*columns, console=console, transient=True)
            self._task = self._bar.add_task("", total=1, words="looking for collections")
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()


def _words(totals: Totals, fraction: float | None, elapsed: float) -> str:
    if not totals.items:
        return "looking for collections"
    words = f"{totals}; {totals.items / max(elapsed, 1e-3):,.0f}/s"
    # Before something is read nobody can tell how long the rest takes.
    if fraction is not None and 0 < fraction < 1:
        left = elapsed * (1 - fraction) / fraction
        words += f"; {left // 60:.0f} min {left % 60:02.0f} s left" if left >= 60 else f"; {left:.0f} s left"
    return words
