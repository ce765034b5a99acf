"""What the supervisor really starts: nothing outlives it, and nothing stands in the way of the next start."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from almagest.cli.stack import launch, remnants

PARENT = """
import subprocess, sys, time
print(subprocess.Popen(sys.argv[1:]).pid, flush=True)
time.sleep(60)
"""
LAUNCH = [sys.executable, "-m", "almagest.cli.stack.launch"]


@pytest.fixture
def environment() -> dict[str, str]:
    house = Path(__file__).parents[2]
    roots = ("extensions", "pipelines", "services", "cli")
    return {**os.environ, "PYTHONPATH": ":".join(str(house / root) for root in roots)}


@pytest.fixture
def orphan(home: Path) -> Iterator[Callable[[str, Path], int]]:
    """Starts a program of this name in this folder, as a child of nobody we know."""
    started: list[subprocess.Popen[bytes]] = []

    def start(name: str, folder: Path) -> int:
        program = home / name
        if not program.exists():
            shutil.copy("/usr/bin/sleep", program)
        started.append(subprocess.Popen([program, "60"], cwd=folder))
        return started[-1].pid

    yield start
    for process in started:
        process.kill()
        process.wait()


def ended(pid: int, seconds: float = 5) -> bool:
    """Whether a process ends (a zombie has)."""
    return remnants.wait_gone(lambda: [found for found in remnants._processes() if found == pid], seconds) == []


@pytest.mark.parametrize("name", ["TERM", "INT"])
def test_a_child_dies_with_its_parent(environment: dict[str, str], name: str) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, *LAUNCH, "--death-signal", name, "--", "/usr/bin/sleep", "60"],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    deadline = time.monotonic() + 10
    while Path(f"/proc/{child}/exe").readlink().name != "sleep" and time.monotonic() < deadline:
        time.sleep(0.02)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    assert ended(child)


def test_the_command_takes_the_launchers_place(environment: dict[str, str]) -> None:
    command = [*LAUNCH, "--death-signal", "TERM", "--", "/bin/sh", "-c", 'echo "$0" "$@" $$', "--sweep", "x"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    output, _ = process.communicate(timeout=20)
    assert output == f"--sweep x {process.pid}\n"


def test_orphans_in_the_servers_folder_are_swept(home: Path, orphan: Callable[[str, Path], int]) -> None:
    own, other = home / "own", home / "other"
    own.mkdir()
    other.mkdir()
    swept = [orphan("nginx", own), orphan("postgres", own)]
    spared = [orphan("nginx", other), orphan("editor", own)]
    launch.sweep(own, grace_s=0.1)
    assert all(ended(pid) for pid in swept)
    assert not any(ended(pid, 0.2) for pid in spared)


def test_a_stack_is_known_by_its_mark_and_its_folders(home: Path, orphan: Callable[[str, Path], int]) -> None:
    server, editor = orphan("redis-server", home), orphan("editor", home)
    marked = subprocess.Popen(["/usr/bin/sleep", "60"], env={remnants.MARK: str(home)})
    unmarked = subprocess.Popen(["/usr/bin/sleep", "60"], env={remnants.MARK: f"{home}-not"})
    try:
        found = remnants.of_stack(home)
        assert {server, marked.pid} <= set(found)
        assert not {editor, unmarked.pid, os.getpid()} & set(found)
    finally:
        for process in (marked, unmarked):
            process.kill()
            process.wait()


@pytest.mark.parametrize("name", ["postmaster.pid", ".s.PGSQL.5439.lock"])
def test_a_lock_of_no_postgres_is_removed(home: Path, name: str) -> None:
    """After a reboot its number may belong to another process of ours: PostgreSQL would never start again."""
    (home / name).write_text(f"{os.getpid()}\n{home}\n")
    launch.remove_dead_locks(home)
    assert not (home / name).exists()


def test_a_lock_of_a_living_postgres_stays(home: Path, orphan: Callable[[str, Path], int]) -> None:
    (home / "postmaster.pid").write_text(f"{orphan('postgres', home)}\n")
    launch.remove_dead_locks(home)
    assert (home / "postmaster.pid").exists()


@pytest.mark.parametrize("text", ["", "what?\n", "999999999\n"])
def test_other_locks_are_postgres_own_business(home: Path, text: str) -> None:
    (home / "postmaster.pid").write_text(text)
    launch.remove_dead_locks(home)
    assert (home / "postmaster.pid").exists()
