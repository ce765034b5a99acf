"""``python -m almagest.cli.stack.launch``: what the supervisor starts in place of each program.

It asks the kernel for a signal at the supervisor's death, clears away what a killed predecessor left (nginx workers
keep the port, PostgreSQL backends the shared memory), and becomes the program: same process, nothing in between.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import signal
import sys
from pathlib import Path

from almagest.cli.stack import remnants

_PR_SET_PDEATHSIG = 1
_POSTGRES_LOCKS = ("postmaster.pid", ".s.PGSQL.*.lock")


def main() -> None:
    """Prepare, then become the command."""
    parser = argparse.ArgumentParser(prog="python -m almagest.cli.stack.launch", description=__doc__)
    parser.add_argument("--death-signal", required=True, help="signal to get when the supervisor dies, as in TERM")
    parser.add_argument("--sweep", type=Path, action="append", default=[], help="end servers that work in this folder")
    parser.add_argument("--locks", type=Path, action="append", default=[], help="remove dead PostgreSQL locks in it")
    parser.add_argument("command", nargs="+")
    arguments = parser.parse_args()
    die_with_parent(signal.Signals[f"SIG{arguments.death_signal}"])
    for folder in arguments.sweep:
        sweep(folder)
    for folder in arguments.locks:
        remove_dead_locks(folder)
    os.execv(arguments.command[0], arguments.command)  # noqa: S606


def die_with_parent(number: signal.Signals) -> None:
    """Have the kernel send this signal when the parent dies, however it dies; it lasts through ``exec``."""
    parent = os.getppid()
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0) != 0:
        sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent:
        sys.exit("the supervisor died before this process had started")


def sweep(folder: Path, grace_s: float = 0.5) -> None:
    """End the servers that still work in ``folder``: their own parent is dead, or we would not be starting."""

    def find() -> list[int]:
        return remnants.working_in(folder)

    remnants.remove(find, grace_s)


def remove_dead_locks(folder: Path) -> None:
    """Remove PostgreSQL's lock files that name a process which is no PostgreSQL.

    PostgreSQL sees by itself that a process is gone, but not that its number was given to another of our processes,
    as happens after a reboot: it would refuse to start for ever.
    """
    for lock in (found for pattern in _POSTGRES_LOCKS for found in folder.glob(pattern)):
        with contextlib.suppress(OSError, ValueError, IndexError):
            process = int(lock.read_text().split()[0])
            if not Path(f"/proc/{process}/exe").readlink().name.startswith("postgres"):
                lock.unlink()


if __name__ == "__main__":
    main()
