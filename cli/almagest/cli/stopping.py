"""Commands that clean up when they are stopped, however that is."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from typing import Any, NoReturn

import typer

from almagest.cli.output import console


@contextlib.contextmanager
def stoppable(sentence: str) -> Iterator[None]:
    """Ctrl-C and SIGTERM end what is done within alike; the sentence says what that leaves."""
    received = signal.SIGINT

    def stop(number: int, _: Any) -> NoReturn:
        nonlocal received
        received = signal.Signals(number)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except KeyboardInterrupt:
        console.print(f"Stopped. {sentence}")
        raise typer.Exit(128 + received) from None
    finally:
        signal.signal(signal.SIGTERM, before)
