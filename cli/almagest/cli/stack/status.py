"""How the stack is, seen from both sides: the supervisor's and that of whoever asks a program something."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from almagest.cli.stack import supervisor
from almagest.cli.stack.programs import Program, programs
from almagest.core.settings import Settings


@dataclass(frozen=True)
class ProcessStatus:
    """One program."""

    name: str
    state: str
    pid: int
    uptime_s: int
    started: int
    reason: str | None

    @property
    def healthy(self) -> bool:
        """Whether it runs and answers."""
        return self.reason is None


@dataclass(frozen=True)
class Status:
    """The whole stack."""

    running: bool
    processes: tuple[ProcessStatus, ...]

    @property
    def healthy(self) -> bool:
        """Whether everything runs and answers."""
        return self.running and all(process.healthy for process in self.processes)


def status(settings: Settings) -> Status:
    """Ask everything."""
    if not supervisor.Client(supervisor.socket(settings)).is_running():
        return Status(running=False, processes=())
    return Status(running=True, processes=tuple(ask(settings, programs(settings))))


def ask(settings: Settings, chosen: Iterable[Program]) -> list[ProcessStatus]:
    """Ask these programs."""
    known = supervisor.Client(supervisor.socket(settings)).processes()

    def one(program: Program) -> ProcessStatus:
        process = known.get(program.name)
        if process is None:
            return ProcessStatus(program.name, "unknown", 0, 0, 0, "the supervisor does not know it")
        # Whoever answers on behalf of a process that does not run is an orphan: that is not health.
        reason = program.probe() if process.pid else f"is {process.state}"
        return ProcessStatus(program.name, process.state, process.pid, process.uptime_s, process.started, reason)

    with ThreadPoolExecutor(max_workers=16) as pool:
        return list(pool.map(one, chosen))
