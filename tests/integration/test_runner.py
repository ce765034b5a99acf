"""A worker's parts, with a real database and without a doorbell."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg_pool import ConnectionPool
from pydantic import BaseModel

from almagest.catalogue import database, jobs
from almagest.core.errors import NotFoundError
from almagest.core.jobs import Child, Context, DismissedError, Fanout, Output, Process, ProcessFailedError
from almagest.core.settings import Settings
from almagest.pipelines import echo
from almagest.pipelines.keeper import Keeper
from almagest.pipelines.reconciler import Reconciler
from almagest.pipelines.runner import Runner

LEASE = timedelta(seconds=2)


class Number(BaseModel):
    """A number."""

    number: int = 1


def process(run: Callable[[Number, Context], Any], **more: Any) -> Process[Number]:
    given: dict[str, Any] = {"id": "made", "outputs": {"number": Output("A number", {"type": "integer"})}, **more}
    return Process(version="1", title="Made", description="By a test.", inputs=Number, run=run, **given)


class Works:
    """A runner, with processes that a test makes."""

    def __init__(self, pool: ConnectionPool[psycopg.Connection], folder: Path) -> None:
        self.pool = pool
        self.known: dict[str, Process[Any]] = {"echo": echo.PROCESS}
        self.keeper = Keeper(pool, LEASE)
        self.runner = Runner(pool, self.keeper, self.find, LEASE, folder)
        self.folder = folder

    def find(self, identifier: str) -> Process[Any]:
        if identifier not in self.known:
            raise NotFoundError(f"There is no process {identifier!r}.")
        return self.known[identifier]

    def accept(self, run: Callable[[Number, Context], Any] | Process[Any], **inputs: Any) -> UUID:
        made = run if isinstance(run, Process) else process(run)
        self.known[made.id] = made
        with self.pool.connection() as connection:
            return jobs.accept(connection, made, inputs, "ann")[0]

    def job(self, identifier: UUID) -> jobs.Job:
        with self.pool.connection() as connection:
            return jobs.find(connection, identifier)

    def lines(self, identifier: UUID) -> list[str]:
        with self.pool.connection() as connection:
            return [event.message for event in jobs.events(connection, identifier) if event.kind == "log"]

    @contextmanager
    def running(self, job: UUID) -> Iterator[threading.Thread]:
        thread = threading.Thread(target=self.runner.run, args=(job,))
        thread.start()
        yield thread
        thread.join(20)
        assert not thread.is_alive()


@pytest.fixture
def works(settings: Settings, tmp_path: Path) -> Iterator[Works]:
    with ConnectionPool(kwargs=database.parameters(settings, "almagest_worker"), min_size=1, max_size=6) as pool:
        made = Works(pool, tmp_path)
        yield made
        made.keeper.stop()


def eventually(is_so: Callable[[], bool], within_s: float = 10) -> None:
    until = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_job_is_done(works: Works) -> None:
    job = works.accept(echo.PROCESS, message="Hello")
    assert works.runner.run(job)
    done = works.job(job)
    assert (done.status, done.outputs) == ("successful", {"echo": "Hello"})
    assert works.lines(job) == ["said 5 characters"]
    assert not works.runner.run(job), "the bell rang twice"
    assert list(works.folder.iterdir()) == []


def test_progress_is_seen_while_it_runs(works: Works) -> None:
    go_on = threading.Event()

    def run(_: Number, context: Context) -> Mapping[str, Any]:
        (context.workdir / "scratch").write_text("x")
        context.progress(41.7, "under way")
        context.log("a line\0 with a nul")
        go_on.wait(10)
        return {"number": 1}

    job = works.accept(run)
    with works.running(job):
        eventually(lambda: works.job(job).progress == 42)
        assert works.job(job).message == "under way"
        assert works.lines(job) == ["a line� with a nul"]
        go_on.set()
    assert works.job(job).status == "successful"


def test_a_lease_is_kept_while_a_process_says_nothing(works: Works) -> None:
    def run(_: Number, __: Context) -> Mapping[str, Any]:
        time.sleep(3 * LEASE.total_seconds())
        return {"number": 1}

    job = works.accept(run)
    with works.running(job) as thread:
        eventually(lambda: works.job(job).status == "running")
        while thread.is_alive():
            with works.pool.connection() as connection:
                assert jobs.claim(connection, job, "thief", LEASE) is None
            time.sleep(0.2)
    assert (works.job(job).status, works.job(job).attempt) == ("successful", 1)


def test_a_process_hears_that_its_job_was_dismissed(works: Works) -> None:
    ended: list[type[BaseException]] = []

    def run(_: Number, context: Context) -> Mapping[str, Any]:
        try:
            while True:
                context.progress(1)
                time.sleep(0.05)
        except DismissedError as error:
            ended.append(type(error))
            raise

    job = works.accept(run)
    with works.running(job):
        eventually(lambda: works.job(job).status == "running")
        with works.pool.connection() as connection:
            jobs.dismiss(connection, job)
    assert ended == [DismissedError]
    assert works.job(job).status == "dismissed"


def test_a_result_that_comes_too_late_is_left_out(works: Works) -> None:
    go_on = threading.Event()

    def run(_: Number, __: Context) -> Mapping[str, Any]:
        go_on.wait(10)
        return {"number": 1}

    job = works.accept(run)
    with works.running(job):
        eventually(lambda: works.job(job).status == "running")
        with works.pool.connection() as connection:
            jobs.dismiss(connection, job)
        go_on.set()
    assert (works.job(job).status, works.job(job).outputs) == ("dismissed", None)


@pytest.mark.parametrize(
    ("error", "status", "title"),
    [
        (ProcessFailedError("no such scene"), "failed", "Process failed"),
        (ValueError("odd"), "accepted", "ValueError"),
        (MemoryError(), "accepted", "MemoryError"),
    ],
)
def test_what_may_help_is_tried_again(works: Works, error: Exception, status: str, title: str) -> None:
    def run(_: Number, context: Context) -> Mapping[str, Any]:
        context.log("before it failed")
        raise error

    job = works.accept(run)
    works.runner.run(job)
    failed = works.job(job)
    assert failed.error is not None
    assert (failed.status, failed.error["title"]) == (status, title)
    assert works.lines(job) == ["before it failed"]
    assert ("traceback" in failed.error) is (status == "accepted")


def test_a_process_that_is_gone_fails_its_jobs(works: Works) -> None:
    job = works.accept(lambda *_: {"number": 1})
    works.known.clear()
    works.runner.run(job)
    assert works.job(job).status == "failed"


def test_an_output_that_was_not_announced_is_a_fault_of_the_process(works: Works) -> None:
    job = works.accept(lambda *_: {"other": 1})
    works.runner.run(job)
    failed = works.job(job)
    assert failed.error is not None
    assert "no output 'other'" in failed.error["detail"]


def test_a_process_gives_others_a_part_and_goes_on(works: Works) -> None:
    def run(inputs: Number, context: Context) -> Mapping[str, Any] | Fanout:
        if inputs.number > 1:
            if not context.children:
                return Fanout([Child("made", {"number": 1})] * inputs.number, checkpoint="left")
            assert context.checkpoint == "left"
            return {"number": sum((child.outputs or {})["number"] for child in context.children)}
        return {"number": 10}

    job = works.accept(run, number=3)
    works.runner.run(job)
    assert works.job(job).pending_children == 3
    while works.runner.run_due(["default"]):
        pass
    assert (works.job(job).status, works.job(job).outputs) == ("successful", {"number": 30})


def test_jobs_that_nobody_rang_for_are_done(works: Works) -> None:
    ids = [works.accept(echo.PROCESS, message=str(number)) for number in range(20)]
    rung: list[UUID] = []
    slots = threading.BoundedSemaphore(2)
    reconciler = Reconciler(
        works.pool,
        works.runner,
        lambda job, _: not rung.append(job),
        ["default"],
        slots,
        interval_s=0.1,
        retention=timedelta(days=1),
        alive=works.folder / "alive",
    )
    reconciler.start()
    eventually(lambda: all(works.job(job).status == "successful" for job in ids))
    reconciler.stop()
    assert set(rung) == set(ids)
    assert {works.job(job).attempt for job in ids} == {1}
