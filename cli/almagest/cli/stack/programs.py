"""What runs: one entry a process, in the order it is started."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from almagest.cli.stack import health, postgres, redis
from almagest.cli.stack.nginx import command as nginx_command
from almagest.core import processes
from almagest.core.settings import Settings

#: Says why something is not well, or nothing.
Probe = Callable[[], str | None]


@dataclass(frozen=True)
class Program:
    """One process of the supervisor's.

    Attributes:
        name: its name in `status` and `logs`.
        command: what is run.
        directory: where it works; a server's folder is its own, so that its orphans can be recognised.
        stage: programs of an earlier one are started first and stopped last.
        stop_signal: the polite end.
        death_signal: sent by the kernel should the supervisor die: the quickest end that loses nothing.
        probe: whether it is well.
        stop_wait_s: how long the polite end may take.
        sweep: whether orphans of a killed predecessor are looked for before it starts.
        locks: folders with PostgreSQL's lock files.
        splits_errors: standard output is a log of its own.
    """

    name: str
    command: tuple[str, ...]
    directory: Path
    stage: int
    stop_signal: str
    death_signal: str
    probe: Probe
    stop_wait_s: int = 15
    sweep: bool = False
    locks: tuple[Path, ...] = field(default=())
    splits_errors: bool = False

    def launch_command(self) -> tuple[str, ...]:
        """The command line that the supervisor runs."""
        options = ["--death-signal", self.death_signal]
        if self.sweep:
            options += ["--sweep", str(self.directory)]
        for folder in self.locks:
            options += ["--locks", str(folder)]
        return (sys.executable, "-P", "-m", "almagest.cli.stack.launch", *options, "--", *self.command)


#: Stages. What a service depends on is up before it; nginx comes last and goes first.
DATA, SERVICES, DOOR = 1, 2, 3


def programs(settings: Settings) -> tuple[Program, ...]:
    """Everything that `almagest up` runs."""
    return (*_data(settings), *_services(settings), *_workers(settings), *_flower(settings), _door(settings))


def _data(settings: Settings) -> tuple[Program, ...]:
    home, run = settings.site.home, settings.run
    private = Program(
        name="postgres",
        command=postgres.command(settings),
        directory=postgres.data(settings),
        stage=DATA,
        stop_signal="INT",  # fast shutdown: sessions are ended, nothing committed is lost
        death_signal="INT",
        probe=lambda: health.postgres(postgres.binaries(settings), run, settings.database.port),
        stop_wait_s=60,
        sweep=True,
        locks=(postgres.data(settings), run),
    )
    doorbell = Program(
        name="redis",
        command=redis.command(settings),
        directory=home / "redis",
        stage=DATA,
        stop_signal="TERM",
        death_signal="TERM",
        probe=lambda: health.redis(redis.socket(settings)),
        sweep=True,
    )
    # A database of somebody else's is his to run.
    return (doorbell,) if settings.database.host else (private, doorbell)


def _services(settings: Settings) -> tuple[Program, ...]:
    return tuple(
        _service(settings, service, socket)
        for service in processes.services(settings)
        if settings.site.elsewhere(service.name) is None
        for socket in service.sockets(settings)
    )


def _service(settings: Settings, service: processes.Service, socket: Path) -> Program:
    module = f"almagest.services.{service.kind}"
    return Program(
        name=socket.stem,
        # One process each, so that a killed one leaves no children behind.
        command=(sys.executable, "-P", "-m", module, "--audience", service.audience, "--uds", str(socket)),
        directory=settings.run,
        stage=SERVICES,
        stop_signal="TERM",
        death_signal="TERM",
        probe=lambda: health.service(socket),
    )


def _workers(settings: Settings) -> tuple[Program, ...]:
    return tuple(_worker(settings, f"worker-{number}") for number in range(settings.work.workers))


def _worker(settings: Settings, name: str) -> Program:
    return Program(
        name=name,
        command=(sys.executable, "-P", "-m", "almagest.pipelines.worker", "--name", name),
        directory=settings.run,
        stage=SERVICES,
        stop_signal="TERM",
        death_signal="KILL",  # its jobs are taken up by others
        probe=lambda: processes.why_unwell(processes.sign_of_life(settings, name)),
    )


def _flower(settings: Settings) -> tuple[Program, ...]:
    service = processes.flower(settings)
    if service is None or settings.site.elsewhere(service.name) is not None:
        return ()
    (socket,) = service.sockets(settings)
    return (
        Program(
            name=socket.stem,
            command=(sys.executable, "-P", "-m", "almagest.pipelines.flower", "--uds", str(socket)),
            directory=settings.run,
            stage=SERVICES,
            stop_signal="TERM",
            death_signal="TERM",
            probe=lambda: health.flower(socket),
        ),
    )


def _door(settings: Settings) -> Program:
    return Program(
        name="nginx",
        command=nginx_command(settings),
        directory=settings.site.home / "nginx",
        stage=DOOR,
        stop_signal="QUIT",  # answers what it has begun
        death_signal="TERM",
        probe=lambda: health.site(settings.site.bind, settings.site.port),
        sweep=True,
        splits_errors=True,
    )
