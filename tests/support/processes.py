"""Processes of a command: which there are, and how much memory they take."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path


def highest(process: int) -> int:
    """The most memory that a command and its children had, each its own peak, together [KiB]; waits for its end."""
    most: dict[int, int] = {}
    while (_state(process) or "Z") != "Z":
        for each in (process, *children(process)):
            most[each] = max(most.get(each, 0), _peak(each))
        time.sleep(0.2)
    return sum(most.values())


def _stat(process: int | str) -> list[str]:
    """State, parent and more of a process; nothing of one that is gone."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _state(process: int) -> str:
    return "".join(_stat(process)[:1])


def children(process: int) -> Iterator[int]:
    """Those that a process has started and that still run."""
    for folder in Path("/proc").glob("[0-9]*"):
        if _stat(folder.name)[1:2] == [str(process)]:
            yield int(folder.name)


def proportional(process: int) -> int:
    """Memory of a process; of what it shares with others its part [KiB]. Nothing of one that is gone."""
    return _kib(process, "smaps_rollup", "Pss:")


def _peak(process: int) -> int:
    return _kib(process, "status", "VmHWM:")


def _kib(process: int, file: str, name: str) -> int:
    try:
        lines = Path(f"/proc/{process}/{file}").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(name)), 0)
