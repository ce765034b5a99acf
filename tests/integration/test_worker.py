"""Real workers, a real Redis between, and what becomes of jobs when one of them goes."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
import xarray

from almagest.catalogue import database, jobs
from almagest.catalogue.storing import Store
from almagest.core.jobs import Process
from almagest.core.settings import Settings
from almagest.pipelines import echo, register_analysis
from almagest.pipelines.doorbell import Doorbell
from support import plugin_processes as made
from support import rasters
from support.works import Processes, processes


class Office:
    """Where jobs are handed in and asked about."""

    def __init__(self, settings: Settings, works: Processes, connection: psycopg.Connection[Any]) -> None:
        self.settings = settings
        self.works = works
        self.connection = connection
        self.doorbell = Doorbell(settings)

    def submit(self, *, rings: bool = True, **inputs: Any) -> UUID:
        return self.accept(echo.PROCESS, rings=rings, **{"message": "x", **inputs})

    def accept(self, process: Process[Any], *, rings: bool = True, **inputs: Any) -> UUID:
        job, _ = jobs.accept(self.connection, process, inputs, "ann")
        if rings:
            self.doorbell.ring(job, "default")
        return job

    def job(self, identifier: UUID) -> jobs.Job:
        return jobs.find(self.connection, identifier)

    def wait(self, *ids: UUID, within_s: float = 40) -> list[jobs.Job]:
        until = time.monotonic() + within_s
        while any(self.job(job).status in {"accepted", "running"} for job in ids):
            assert time.monotonic() < until, [self.job(job) for job in ids]
            time.sleep(0.05)
        return [self.job(job) for job in ids]


@pytest.fixture
def office(settings: Settings, tmp_path: Path) -> Iterator[Office]:
    own = replace(settings, site=settings.site.model_copy(update={"home": tmp_path}), database=settings.database)
    with processes(own) as works, database.connect(own, "almagest_worker") as connection:
        yield Office(own, works, connection)


def eventually(is_so: Callable[[], bool], within_s: float = 20) -> None:
    until = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_bell_is_answered_at_once(office: Office) -> None:
    office.works.variables["ALMAGEST_WORK_POLL_S"] = "60"
    office.works.start_worker("w1")
    office.wait(office.submit())
    began = time.monotonic()
    (done,) = office.wait(office.submit(message="Hello"))
    assert time.monotonic() - began < 5
    assert done.outputs == {"echo": "Hello"}


def test_one_bell_is_enough_for_many_jobs(office: Office) -> None:
    office.works.variables["ALMAGEST_WORK_POLL_S"] = "60"
    office.works.start_worker("w1")
    office.wait(office.submit())
    silent = [office.submit(rings=False) for _ in range(20)]
    assert all(job.status == "successful" for job in office.wait(office.submit(), *silent, within_s=20))


def test_work_goes_on_without_redis(office: Office) -> None:
    office.works.start_worker("w1")
    office.wait(office.submit())
    office.works.kill_redis()
    ids = [office.submit() for _ in range(5)]
    assert {job.status for job in office.wait(*ids)} == {"successful"}
    office.works.start_redis()
    ids = [office.submit() for _ in range(5)]
    assert {job.status for job in office.wait(*ids)} == {"successful"}


def test_duplicate_bells_are_harmless(office: Office) -> None:
    ids = [office.submit(rings=False) for _ in range(10)]
    for _ in range(3):
        for job in ids:
            office.doorbell.ring(job, "default")
    office.works.start_worker("w1")
    office.works.start_worker("w2")
    assert {(job.status, job.attempt) for job in office.wait(*ids)} == {("successful", 1)}


def test_the_command_starts_one_and_no_second_of_its_name(office: Office) -> None:
    command = [
        sys.executable,
        "-m",
        "almagest.cli.main",
        "worker",
        "--name",
        "more",
        "--queues",
        "default",
        "--slots",
        "1",
    ]
    shutil.rmtree(office.works.folder / "work")  # as on a machine that is new

    def ended(*options: str) -> tuple[int, str]:
        done = subprocess.run(
            [*command, *options], env=office.works.environment, capture_output=True, text=True, check=False, timeout=60
        )
        return done.returncode, " ".join(done.stderr.split())

    with subprocess.Popen(command, env=office.works.environment, stderr=subprocess.DEVNULL) as running:
        try:
            (done,) = office.wait(office.submit())
            assert done.status == "successful"
            assert ended("--check") == (0, "")
            assert ended()[0] == 1
            assert "more runs here" in ended()[1]
            assert "no queue 'fpga'" in ended("--queues", "fpga")[1]
            assert running.poll() is None
        finally:
            running.terminate()
    assert running.returncode == 0
    assert "no jobs" in ended("--name", "other", "--check")[1]


def test_a_killed_workers_job_is_taken_up_by_another(office: Office) -> None:
    office.works.start_worker("w1")
    job = office.submit(pause_s=4)
    eventually(lambda: office.job(job).status == "running")
    office.works.kill("w1")
    office.works.start_worker("w2")
    (done,) = office.wait(job)
    assert (done.status, done.attempt) == ("successful", 2)


def test_a_worker_that_is_stopped_gives_its_jobs_back(office: Office) -> None:
    office.works.variables["ALMAGEST_WORK_LEASE_S"] = "600"
    office.works.start_worker("w1")
    job, apart = office.submit(pause_s=3), office.accept(made.STUCK, name="x")
    eventually(lambda: {office.job(found).status for found in (job, apart)} == {"running"})
    office.works.kill("w1", signal.SIGTERM)
    assert office.works.workers.pop("w1").wait(20) == 0
    assert office.job(apart).lease_owner is None
    jobs.dismiss(office.connection, apart)
    office.works.start_worker("w2")
    (done,) = office.wait(job)
    assert (done.status, done.attempt) == ("successful", 1)


def test_a_worker_that_slept_past_its_lease_writes_nothing(office: Office) -> None:
    office.works.start_worker("w1")
    job = office.submit(pause_s=3)
    eventually(lambda: office.job(job).status == "running")
    first = office.job(job).lease_owner
    office.works.kill("w1", signal.SIGSTOP)
    office.works.start_worker("w2")
    eventually(lambda: office.job(job).lease_owner not in {None, first})
    office.works.kill("w1", signal.SIGCONT)
    (done,) = office.wait(job)
    assert (done.status, done.attempt) == ("successful", 2)
    eventually(lambda: "job lost" in office.works.log("w1"))
    lines = [event.message for event in jobs.events(office.connection, job)]
    assert lines.count("said 1 characters") == 1
    assert lines.count("successful") == 1


# ---------------------------------------------------------------------------------------------------------------------
# Processes of somebody else's package, in children


def test_a_process_that_hangs_is_ended(office: Office) -> None:
    office.works.start_worker("w1")
    (hung,) = office.wait(office.accept(made.HANG, name="x"))
    assert (hung.status, hung.error and hung.error["detail"]) == ("failed", "It took longer than 2 s.")


def test_a_process_that_hangs_ends_when_it_is_dismissed(office: Office) -> None:
    office.works.start_worker("w1")
    job = office.accept(made.STUCK, name="x")
    eventually(lambda: children(office.works.workers["w1"].pid) != [])
    jobs.dismiss(office.connection, job)
    eventually(lambda: children(office.works.workers["w1"].pid) == [])


def test_a_process_that_hangs_ends_with_its_worker(office: Office) -> None:
    office.works.start_worker("w1")
    job = office.accept(made.STUCK, name="x")
    began = office.works.folder / "work" / "w1" / f"{job}-1" / "began"
    eventually(began.exists)
    (child,) = children(office.works.workers["w1"].pid)
    office.works.kill("w1")
    eventually(lambda: not Path(f"/proc/{child}").exists() or state(child) == "Z")


def test_memory_has_a_limit(office: Office) -> None:
    office.works.start_worker("w1")
    (hungry,) = office.wait(office.accept(made.HUNGRY, name="x"))
    assert (hungry.status, hungry.error and hungry.error["detail"]) == (
        "failed",
        "It needed more than 1024 MiB of memory.",
    )


def test_a_process_that_crashes_takes_nothing_along(office: Office) -> None:
    office.works.start_worker("w1")
    bystander = office.submit(pause_s=3)
    (crashed,) = office.wait(office.accept(made.CRASH, name="x"))
    assert (crashed.status, crashed.error and crashed.error["detail"]) == (
        "failed",
        "It ended without a result (SIGSEGV).",
    )
    assert "about to crash" in [event.message for event in jobs.events(office.connection, crashed.id)]
    (done,) = office.wait(bystander)
    assert (done.status, done.attempt) == ("successful", 1)


def test_poison_ends_dead_with_its_traceback(office: Office) -> None:
    office.works.start_worker("w1")
    job = office.accept(made.POISON, name="x")
    (dead,) = office.wait(job)
    assert (dead.status, dead.is_dead, dead.attempt) == ("failed", True, 2)
    assert dead.error is not None
    assert dead.error["detail"] == "The process broke."
    assert "RuntimeError: poison x" in dead.error["internal"]


def test_each_line_of_the_log_says_which_job_and_whose_request(office: Office) -> None:
    office.works.start_worker("w1")
    crashed, _ = jobs.accept(office.connection, made.CRASH, {"name": "x"}, "ann", request_id="r1")
    fan, _ = jobs.accept(office.connection, made.FAN, {"name": "x", "number": 2}, "ann", request_id="r2")
    office.wait(crashed, fan)
    children = {str(child.id) for child in jobs.listed(office.connection, "ann", {"parent": str(fan)})}
    assert len(children) == 2

    def lines(request: str) -> list[dict[str, Any]]:
        found = [json.loads(line) for line in office.works.log("w1").splitlines() if line.startswith("{")]
        return [line for line in found if line.get("request_id") == request]

    eventually(lambda: len(lines("r2")) >= 4)
    assert {(line["event"], line["job"], line["process"], line["service"]) for line in lines("r1")} == {
        ("crashes now", str(crashed), "test-crash", "worker"),  # said in a child of the worker, by a library
        ("job failed", str(crashed), "test-crash", "worker"),
    }
    assert {line["job"] for line in lines("r2")} == {str(fan), *children}


def state(pid: str) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[0]


def children(pid: int) -> list[str]:
    return [child for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]


# ---------------------------------------------------------------------------------------------------------------------
# Registering an analysis


@pytest.fixture
def scene(office: Office) -> Iterator[psycopg.Connection[Any]]:
    """A collection with an item, and a store."""
    office.settings.store_path.mkdir()
    with database.connect(office.settings, "postgres") as admin:
        admin.execute("SET search_path = almagest, public")
        store = Store(admin)
        with admin.transaction():
            store.collections([rasters.collection("scenes")])
        batch = store.prepare([rasters.item("a", "scenes", (0, 0, 1, 1), {})])
        with admin.transaction():
            store.put(batch)
        yield admin


def assets(admin: psycopg.Connection[Any]) -> dict[str, Any]:
    row = admin.execute("SELECT almagest.item_document('scenes', 'a')->'assets'").fetchone()
    assert row is not None
    return dict(row[0])


def test_a_comparison_becomes_an_asset(office: Office, scene: psycopg.Connection[Any]) -> None:
    path = office.settings.store_path / "a.nc"
    values = xarray.DataArray([[1.0, 2.0], [3.0, 4.0]], dims=("y", "x"))
    xarray.Dataset({"difference": values}, attrs={"title": "A against B"}).to_netcdf(path)
    office.works.start_worker("w1")
    wanted = {"collection": "scenes", "item": "a", "href": path.as_uri(), "day": "2025-06-20"}
    (done,) = office.wait(office.accept(register_analysis.PROCESS, **wanted))
    assert done.status == "successful", done.error
    assert done.outputs == {"variables": {"difference": ["y", "x"]}, "sizes": {"y": 2, "x": 2}}
    assert done.published == [{"collection": "scenes", "item": "a", "assets": ["comparison:2025-06-20"]}]
    found = assets(scene)
    assert sorted(found) == ["comparison:2025-06-20", "comparison:latest"]
    latest = found["comparison:latest"]
    assert (latest["title"], latest["href"], latest["type"]) == ("A against B", path.as_uri(), "application/x-netcdf")
    assert latest["file:size"] == path.stat().st_size
    (again,) = office.wait(office.accept(register_analysis.PROCESS, **wanted))
    assert again.published == done.published
    assert assets(scene) == found


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("cut.nc", "cannot be read"),
        ("text.nc", "cannot be read"),
        ("missing.nc", "no file below"),
        ("/etc/passwd", "no file below"),
    ],
)
def test_what_cannot_be_read_is_not_registered(
    office: Office, scene: psycopg.Connection[Any], name: str, told: str
) -> None:
    store = office.settings.store_path
    (store / "text.nc").write_text("not NetCDF")
    xarray.Dataset({"v": xarray.DataArray(list(range(100_000)), dims="x")}).to_netcdf(store / "whole.nc")
    (store / "cut.nc").write_bytes((store / "whole.nc").read_bytes()[:50_000])
    office.works.start_worker("w1")
    job = office.accept(register_analysis.PROCESS, collection="scenes", item="a", href=(store / name).as_uri())
    (failed,) = office.wait(job)
    assert (failed.status, failed.attempt) == ("failed", 1)
    assert told in (failed.error or {})["detail"]
    assert assets(scene) == {}
