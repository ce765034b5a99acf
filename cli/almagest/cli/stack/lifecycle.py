"""The story of the stack: up, and down again."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from almagest.cli.stack import keys, logs, nginx, ports, postgres, redis, remnants, state, status, supervisor
from almagest.cli.stack.errors import StackError
from almagest.cli.stack.programs import DATA, Program, programs
from almagest.cli.stack.report import Progress
from almagest.core.errors import ConfigurationError
from almagest.core.settings import Settings

#: How long an orphan gets to end by itself: the kernel has told it to at its parent's death.
_ORPHAN_GRACE_S = 15.0
#: How long everything may take to stop; PostgreSQL alone may take a minute.
_STOP_S = 90.0
#: A service that ended this often while it was waited for will not come up.
_HOPELESS = 5


def heed_signals() -> None:
    """Let SIGTERM and a closed terminal end `up` as Ctrl-C does: in order."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)


@contextmanager
def lock(settings: Settings) -> Iterator[None]:
    """One `almagest up` at a time.

    Raises:
        StackError: another one is at work.
    """
    descriptor = os.open(state.folder(settings) / "up.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise StackError(f"Another `almagest up` is at work in {settings.site.home}: wait for it.") from None
    finally:
        os.close(descriptor)


def is_running(settings: Settings) -> bool:
    """Whether a supervisor of ours runs."""
    return supervisor.Client(supervisor.socket(settings)).is_running()


def is_well_soon(settings: Settings, seconds: float) -> bool:
    """Whether everything is healthy, or becomes so while the supervisor mends it."""
    deadline = time.monotonic() + seconds
    while not status.status(settings).healthy:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.3)
    return True


def ensure_running(settings: Settings, progress: Progress, *, die_with_us: bool) -> subprocess.Popen[bytes] | None:
    """A stack that answers, with these settings: the one that runs, or a new one, whose supervisor is returned.

    Raises:
        AlmagestError: it cannot be started; says why.
    """
    if is_running(settings):
        remembered = state.recall(settings)
        if remembered.get("settings") != state.environment(settings):
            progress("the settings have changed: starting anew")
        elif remembered.get("code") != state.code():
            progress("the code has changed: starting anew")
        elif is_well_soon(settings, 10):
            progress("everything runs already")
            return None
        else:
            progress("not everything answers: starting anew")
        stop(settings, progress)
    return start(settings, progress, die_with_us=die_with_us)


def start(settings: Settings, progress: Progress, *, die_with_us: bool) -> subprocess.Popen[bytes]:
    """Everything from nothing to a stack that answers. What was started is stopped again where a step fails.

    Raises:
        AlmagestError: a step fails; says which and why.
    """
    _clear_remnants(settings, progress)
    ports.check(settings)
    _check_space(settings)
    everything = _prepare_files(settings, progress)
    with _undone_on_failure(settings):
        process = supervisor.start(settings, everything, die_with_us=die_with_us)
        client = supervisor.Client(supervisor.socket(settings))
        data = [program for program in everything if program.stage == DATA]
        rest = [program for program in everything if program.stage != DATA]
        with progress.step("PostgreSQL and Redis" if len(data) > 1 else "Redis"):
            _start(client, data)
            _wait(settings, data, 60, patient=_recovering)
        with progress.step("Database"):
            from almagest.catalogue import database

            database.prepare(settings, progress)
            keys.ensure_registered(settings)
            keys.ensure_admin(settings)
        with progress.step("Services and nginx"):
            _start(client, rest)
            _wait(settings, rest, 120)
    return process


def stop(settings: Settings, progress: Progress) -> bool:
    """Stop everything and leave the data; say whether there was anything to stop."""

    def find() -> list[int]:
        return remnants.of_stack(settings.site.home)

    if not is_running(settings):
        found = bool(find())
        _clear_remnants(settings, progress)
        return found
    with progress.step("Stopping"):
        supervisor.Client(supervisor.socket(settings)).shutdown()
        remnants.remove(find, _STOP_S)
    return True


def watch(settings: Settings, process: subprocess.Popen[bytes], show: Callable[[str, str], None]) -> bool:
    """Stay until Ctrl-C or the end of the supervisor; say whether we were told to stop."""
    shown = {name: path for name, path in logs.files(settings).items() if not name.endswith("-access")}
    try:
        for name, line in logs.follow(shown, until=lambda: process.poll() is not None):
            show(name, line)
    except KeyboardInterrupt:
        return True
    return process.returncode == 0  # `almagest down` in another shell ends it politely


def _clear_remnants(settings: Settings, progress: Progress) -> None:
    def find() -> list[int]:
        return remnants.of_stack(settings.site.home)

    if not find():
        return
    is_stopping = supervisor.Client(supervisor.socket(settings)).state() == "SHUTDOWN"
    with progress.step("Waiting for the end of an earlier run"):
        remnants.remove(find, _STOP_S if is_stopping else _ORPHAN_GRACE_S)


def _check_space(settings: Settings) -> None:
    wanted_mb = 32 if postgres.data(settings).exists() else 300
    free_mb = shutil.disk_usage(settings.site.home).free // 1024**2
    if free_mb < wanted_mb:
        raise ConfigurationError(
            f"Only {free_mb} MB are free in {settings.site.home}, at least {wanted_mb} MB are needed:"
            " make room, or set ALMAGEST_HOME to another disk."
        )


def _prepare_files(settings: Settings, progress: Progress) -> tuple[Program, ...]:
    keys.ensure(settings)
    if not settings.database.host:
        if not postgres.data(settings).exists():
            with progress.step("Making the database cluster"):
                postgres.ensure_cluster(settings)
        postgres.write_configuration(settings)
    redis.write_configuration(settings)
    nginx.write_configuration(supervisor.child_environment(settings))
    everything = programs(settings)
    state.remember(settings, code=state.code())
    return everything


@contextmanager
def _undone_on_failure(settings: Settings) -> Iterator[None]:
    try:
        yield
    except BaseException:
        client = supervisor.Client(supervisor.socket(settings))
        if client.is_running():
            client.shutdown()
        remnants.remove(lambda: remnants.of_stack(settings.site.home), 60)
        raise


def _start(client: supervisor.Client, chosen: Sequence[Program]) -> None:
    for program in chosen:
        client.start(program.name)


def _wait(
    settings: Settings, chosen: Sequence[Program], seconds: float, patient: Callable[[str], bool] = lambda _: False
) -> None:
    """Wait until all of these are healthy.

    Raises:
        StackError: one keeps ending or the time is up; quotes the end of its log.
    """
    deadline = time.monotonic() + seconds
    starts: dict[str, set[int]] = {program.name: set() for program in chosen}
    while waiting := [entry for entry in status.ask(settings, chosen) if not entry.healthy]:
        for entry in waiting:
            starts[entry.name].add(entry.started)
            if len(starts[entry.name]) >= _HOPELESS:
                raise StackError(_failure(settings, entry, "keeps ending"))
        if not is_running(settings):
            raise StackError("The supervisor was stopped while everything was still starting.")
        if time.monotonic() > deadline and not any(patient(entry.reason or "") for entry in waiting):
            raise StackError(_failure(settings, waiting[0], f"is not ready after {seconds:.0f} s"))
        time.sleep(0.2)


def _recovering(reason: str) -> bool:
    # After a crash PostgreSQL replays its log; that takes as long as it takes.
    return "rejecting" in reason


def _failure(settings: Settings, entry: status.ProcessStatus, what: str) -> str:
    log = settings.logs / f"{entry.name}.log"
    lines = "\n".join(f"    {line}" for line in logs.tail(log, 8)) or "    (nothing)"
    return f"{entry.name} {what}: {entry.reason or entry.state}. The end of {log}:\n{lines}"


def sample_roots(settings: Settings, roots: Sequence[str]) -> dict[str, str]:
    """The variable by which the tiler may read these folders too; nothing where there are none."""
    every = dict.fromkeys([*map(str, settings.store.store_roots), *roots])
    return {"ALMAGEST_STORE_ROOTS": ",".join(every)} if roots else {}
