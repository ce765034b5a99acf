"""Processes of ours that outlived their parent.

PostgreSQL, Redis and nginx overwrite the memory their environment stood in, so these are known by the folder they
work in; everything else carries the home in a variable of its environment.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

#: Names the home in the environment of every process of the stack.
MARK = "ALMAGEST_STACK"

_SERVERS = ("postgres", "nginx", "redis")


def working_in(folder: Path, program: str = "") -> list[int]:
    """Server processes whose working directory is (or lies below) ``folder``."""
    inside = os.path.realpath(folder)
    return [
        process
        for process in _processes()
        if _works_below(process, inside) and _program(process).startswith(program or _SERVERS)
    ]


def of_stack(home: Path) -> list[int]:
    """Every process of the stack with this home, but for the caller."""
    mark = f"{MARK}={home}".encode()
    inside = os.path.realpath(home)
    return [
        process
        for process in _processes()
        if (_program(process).startswith(_SERVERS) and _works_below(process, inside)) or mark in _environment(process)
    ]


def wait_gone(find: Callable[[], list[int]], seconds: float) -> list[int]:
    """Wait until ``find`` finds nothing any more; return what it still finds when the time is up."""
    deadline = time.monotonic() + seconds
    while (found := find()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def remove(find: Callable[[], list[int]], grace_s: float) -> None:
    """Wait for the end of what ``find`` finds, then end it.

    SIGKILL costs these nothing: they have lost their parent, and what they hold survives a crash by design.
    """
    for process in wait_gone(find, grace_s):
        try:
            os.kill(process, signal.SIGKILL)
        except ProcessLookupError:
            continue
    wait_gone(find, 5)


def _processes() -> Iterator[int]:
    own = os.getpid()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != own and _is_alive(int(entry.name)):
            yield int(entry.name)


def _is_alive(process: int) -> bool:
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
    # A zombie has ended; it only waits for its parent to ask. The name in front may itself contain brackets.
    return status.rpartition(")")[2].split()[0] not in {"Z", "X"}


def _program(process: int) -> str:
    return Path(_link(process, "exe")).name


def _works_below(process: int, folder: str) -> bool:
    directory = _link(process, "cwd")
    return directory == folder or directory.startswith(f"{folder}/")


def _link(process: int, name: str) -> str:
    try:
        return str(Path(f"/proc/{process}/{name}").readlink())
    except OSError:
        return ""  # gone, or somebody else's


def _environment(process: int) -> list[bytes]:
    try:
        return Path(f"/proc/{process}/environ").read_bytes().split(b"\0")
    except OSError:
        return []
