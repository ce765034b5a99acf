"""Reading the log files of the stack."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

from almagest.core.errors import ConfigurationError, NotFoundError
from almagest.core.settings import Settings

Line = tuple[str, str]


def files(settings: Settings, name: str = "") -> dict[str, Path]:
    """Log files by name: all, or those of one program.

    Raises:
        NotFoundError: there is none of that name; lists the names.
        ConfigurationError: they belong to somebody else.
    """
    try:
        found = {path.stem: path for path in sorted(settings.logs.glob("*.log"))}
    except PermissionError:
        raise ConfigurationError(f"{settings.logs} cannot be read by this user.") from None
    if not name:
        return found
    chosen = {key: path for key, path in found.items() if key == name or key.startswith(f"{name}-")}
    if not chosen:
        raise NotFoundError(f"There is no log of {name!r}; there are: {', '.join(found) or 'none yet'}.")
    return chosen


def tail(path: Path, count: int) -> list[str]:
    """The last lines of a file."""
    try:
        with path.open(errors="replace") as file:
            file.seek(max(0, path.stat().st_size - 400 * (count + 5)))
            return [line.rstrip("\n") for line in deque(file, maxlen=count)]
    except FileNotFoundError:
        return []


def follow(logs: dict[str, Path], until: Callable[[], bool] = lambda: False) -> Iterator[Line]:
    """New lines as they are written, through rotations, until told to stop."""
    opened: dict[str, TextIO] = {}
    for name, path in logs.items():
        _reopen(opened, name, path, at_end=True)
    try:
        while True:
            quiet = True
            for name, path in logs.items():
                for line in _new_lines(opened, name, path):
                    quiet = False
                    yield name, line
            if until():
                return
            if quiet:
                time.sleep(0.3)
    finally:
        for file in opened.values():
            file.close()


def _new_lines(opened: dict[str, TextIO], name: str, path: Path) -> Iterator[str]:
    if name in opened:
        for line in opened[name]:
            yield line.rstrip("\n")
    if name not in opened or _was_rotated(opened[name], path):
        _reopen(opened, name, path, at_end=False)


def _was_rotated(file: TextIO, path: Path) -> bool:
    try:
        return path.stat().st_ino != os.fstat(file.fileno()).st_ino
    except FileNotFoundError:
        return False


def _reopen(opened: dict[str, TextIO], name: str, path: Path, *, at_end: bool) -> None:
    if name in opened:
        opened.pop(name).close()
    try:
        opened[name] = path.open(errors="replace")
    except FileNotFoundError:
        return
    if at_end:
        opened[name].seek(0, os.SEEK_END)
