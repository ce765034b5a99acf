"""Jobs that come by themselves: one for each moment, whoever looks, and whatever was down meanwhile."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg_pool import ConnectionPool
from pydantic import BaseModel
from typer.testing import CliRunner

from almagest.catalogue import accounts, database, jobs, schedules
from almagest.catalogue.schedules import Times
from almagest.cli.commands import app
from almagest.core.errors import BadRequestError, ConflictError, InvalidDocumentError, NotFoundError
from almagest.core.jobs import Process
from almagest.core.settings import Settings
from almagest.pipelines import echo
from almagest.pipelines.scheduler import Scheduler

MINUTELY = Times("* * * * *", "UTC")
Connection = psycopg.Connection[Any]


@pytest.fixture
def admin(settings: Settings) -> Iterator[Connection]:
    with database.connect(settings, settings.database.admin_user) as connection:
        yield connection


@pytest.fixture
def worker(settings: Settings) -> Iterator[Connection]:
    with database.connect(settings, "almagest_worker") as connection:
        yield connection


@pytest.fixture
def at(admin: Connection) -> Callable[[str], None]:
    """Sets the clock: it stands still there."""

    def stand(moment: str) -> None:
        admin.execute(
            "CREATE OR REPLACE FUNCTION almagest.clock() RETURNS timestamptz LANGUAGE sql VOLATILE PARALLEL SAFE AS"
            f" $$ SELECT timestamptz '{moment}' $$"
        )

    return stand


def known(*processes: Process[Any]) -> Scheduler:
    return Scheduler({process.id: process for process in processes})


def keys(connection: Connection) -> list[str]:
    return sorted(job.idempotency_key or "" for job in whole(connection))


def whole(connection: Connection) -> list[jobs.Job]:
    return [jobs.find(connection, job.id) for job in jobs.listed(connection)]


def add(connection: Connection, name: str = "hello", times: Times = MINUTELY, **inputs: Any) -> None:
    schedules.add(connection, name, echo.PROCESS, {"message": "Hi", **inputs}, times, "operator")


def test_a_moment_brings_a_job_and_the_next_moment(
    admin: Connection, worker: Connection, at: Callable[[str], None]
) -> None:
    at("2025-03-29T12:00Z")
    add(admin, times=Times("30 2 * * *", "Europe/Zurich"))
    scheduler = known(echo.PROCESS)
    assert scheduler.look(worker) == 0
    at("2025-03-30T01:00:07Z")  # where it was 2:30 it is 3:00: the clock was put forward
    assert scheduler.look(worker) == 1
    assert scheduler.look(worker) == 0
    (job,) = whole(worker)
    assert (job.principal, job.inputs, job.process) == ("operator", {"message": "Hi"}, "echo")
    assert (job.idempotency_key, job.request) == ("schedule:hello:2025-03-30T01:00:00Z", {"by": "schedule:hello"})
    kept = schedules.find(admin, "hello")
    assert kept.last_at == datetime(2025, 3, 30, 1, tzinfo=UTC)
    assert kept.next_at == datetime(2025, 3, 31, 0, 30, tzinfo=UTC)
    assert (kept.last_job, kept.last_error) == (job.id, None)


def test_many_workers_make_one_job_of_a_moment(
    settings: Settings, admin: Connection, at: Callable[[str], None]
) -> None:
    at("2025-01-01T12:00:30Z")
    for number in range(5):
        add(admin, f"hello-{number}")
    at("2025-01-01T12:01:05Z")
    start = threading.Barrier(8)
    fired: list[int] = []
    with ConnectionPool(
        kwargs={**database.parameters(settings, "almagest_worker"), "autocommit": True}, min_size=8, max_size=8
    ) as pool:

        def look() -> None:
            with pool.connection() as connection:
                start.wait()
                fired.append(known(echo.PROCESS).look(connection))

        threads = [threading.Thread(target=look) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert (len(fired), sum(fired)) == (8, 5)
    assert keys(admin) == [f"schedule:hello-{number}:2025-01-01T12:01:00Z" for number in range(5)]


def test_of_missed_moments_the_latest_is_made_up_for(
    admin: Connection, worker: Connection, at: Callable[[str], None]
) -> None:
    at("2024-01-01T12:00:30Z")
    add(admin)
    at("2025-06-01T08:15:59Z")  # half a million of them later
    assert known(echo.PROCESS).look(worker) == 1
    assert keys(admin) == ["schedule:hello:2025-06-01T08:15:00Z"]
    assert schedules.find(admin, "hello").next_at == datetime(2025, 6, 1, 8, 16, tzinfo=UTC)


def test_a_worker_that_dies_before_the_commit_has_fired_nothing(
    admin: Connection, worker: Connection, at: Callable[[str], None]
) -> None:
    at("2025-01-01T12:00:30Z")
    add(admin)
    at("2025-01-01T12:01:05Z")
    with worker.transaction(force_rollback=True):
        assert known(echo.PROCESS).look(worker) == 1
    assert keys(admin) == []
    assert known(echo.PROCESS).look(worker) == 1


def test_whoever_knows_the_process_comes_first_and_then_its_lack_is_noted(
    admin: Connection, worker: Connection, at: Callable[[str], None]
) -> None:
    at("2025-01-01T12:00:30Z")
    add(admin, times=Times("*/10 * * * *", "UTC"))
    at("2025-01-01T12:10:05Z")
    assert known().look(worker) == 0
    at("2025-01-01T12:11:05Z")
    assert known().look(worker) == 1
    noted = schedules.find(admin, "hello")
    assert "no process 'echo'" in (noted.last_error or "")
    assert (noted.enabled, noted.next_at) == (True, datetime(2025, 1, 1, 12, 20, tzinfo=UTC))
    at("2025-01-01T12:20:05Z")
    assert known(echo.PROCESS).look(worker) == 1
    assert schedules.find(admin, "hello").last_error is None


class Stricter(BaseModel):
    """Of a later version."""

    number: int


def _raise(*_: object) -> Any:
    raise RuntimeError("oh dear\0")


class Broken(BaseModel):
    """Whose author has made a mistake."""

    model_post_init = _raise


@pytest.mark.parametrize(("inputs", "told"), [(Stricter, "/inputs/number"), (Broken, "oh dear")])
def test_inputs_that_no_longer_parse_are_noted_and_the_others_go_on(
    admin: Connection, worker: Connection, at: Callable[[str], None], inputs: type[BaseModel], told: str
) -> None:
    other = replace(echo.PROCESS, id="other")
    at("2025-01-01T12:00:30Z")
    add(admin, "a")
    schedules.add(admin, "b", other, {"message": "Hi"}, MINUTELY, "operator")
    at("2025-01-01T12:01:05Z")
    assert known(replace(echo.PROCESS, inputs=inputs), other).look(worker) == 2
    assert told in (schedules.find(admin, "a").last_error or "")
    assert keys(admin) == ["schedule:b:2025-01-01T12:01:00Z"]


def test_a_zone_that_a_machine_has_not_heard_of_pauses_its_schedule(
    admin: Connection, worker: Connection, at: Callable[[str], None]
) -> None:
    add(admin)
    admin.execute("UPDATE almagest.schedule SET zone = 'Mars/Olympus', next_at = almagest.clock() - interval '1 h'")
    assert known(echo.PROCESS).look(worker) == 1
    paused = schedules.find(admin, "hello")
    assert (paused.enabled, "Mars" in (paused.last_error or "")) == (False, True)
    assert paused.coming(5) == []
    assert len(replace(paused, enabled=True).coming(5)) == 1
    assert known(echo.PROCESS).look(worker) == 0


def test_what_passed_during_a_pause_is_not_made_up_for(
    admin: Connection, worker: Connection, at: Callable[[str], None]
) -> None:
    at("2025-01-01T12:00:30Z")
    add(admin)
    schedules.enable(admin, "hello", is_to=False)
    at("2025-01-01T13:00:30Z")
    assert known(echo.PROCESS).look(worker) == 0
    schedules.enable(admin, "hello", is_to=True)
    assert known(echo.PROCESS).look(worker) == 0
    assert schedules.find(admin, "hello").next_at == datetime(2025, 1, 1, 13, 1, tzinfo=UTC)


def test_what_cannot_be_a_schedule_is_refused(admin: Connection) -> None:
    add(admin)
    with pytest.raises(ConflictError, match="already"):
        add(admin)
    for name in ("", "Hello", "a b", "-a", "a" * 64, "é"):
        with pytest.raises(BadRequestError):
            add(admin, name)
    with pytest.raises(InvalidDocumentError):
        add(admin, "wrong", pause_s=-1)
    for name in ("no", "\0"):
        with pytest.raises((NotFoundError, psycopg.DataError)):
            schedules.remove(admin, name)
    assert [schedule.name for schedule in schedules.listed(admin)] == ["hello"]


def test_services_and_workers_cannot_change_schedules(settings: Settings) -> None:
    for role in ("almagest_worker", "almagest_ops"):
        with database.connect(settings, role) as connection:
            assert schedules.listed(connection) == []
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                add(connection)


@pytest.fixture
def command(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    for name, value in {
        "ALMAGEST_HOME": str(tmp_path / "home"),
        "ALMAGEST_DB_HOST": settings.db_host,
        "ALMAGEST_DB_PORT": str(settings.database.port),
        "ALMAGEST_DB_NAME": settings.database.name,
    }.items():
        monkeypatch.setenv(name, value)

    def call(*arguments: str, fails: bool = False) -> str:
        done = CliRunner().invoke(app, ["schedule", *arguments])
        assert (done.exit_code != 0) == fails, (done.output, done.exception)
        return str(done.exception) if fails else done.stdout

    return call


def test_the_command(command: Callable[..., Any], admin: Connection, worker: Connection) -> None:
    added = command("add", "hello", "30 6 * * MON-FRI", "echo", "--zone", "America/New_York", "-i", "message=Hi")
    assert "06:30:00 -0" in added
    assert "UTC" in added
    command("add", "daily", "0 0 * * *", "echo", "--input", "message=Hi")
    shown = json.loads(command("show", "hello", "--json"))
    assert (shown["process"], shown["inputs"], shown["principal"]) == ("echo", {"message": "Hi"}, "operator")
    assert len(shown["next"]) == 5
    for moment in shown["next"]:
        there = datetime.fromisoformat(moment["local"])
        assert (there.hour, there.minute, there.weekday() < 5) == (6, 30, True)
        assert there == datetime.fromisoformat(moment["utc"])
    assert "paused" not in command("list")
    command("pause", "hello")
    assert "paused" in command("list")
    assert json.loads(command("show", "hello", "--json"))["next"] == []
    assert "06:30:00" in command("resume", "hello")
    job = command("run", "daily").split()[-1]  # before it: that nobody hears the doorbell
    (found,) = whole(worker)
    assert (str(found.id), found.principal, found.idempotency_key) == (job, "operator", None)
    command("remove", "hello")
    assert [each["name"] for each in json.loads(command("list", "--json"))] == ["daily"]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("add", "x", "61 * * * *", "echo"), "bad minute"),
        (("add", "x", "* * * * *", "echo", "--zone", "Moon"), "no time zone"),
        (("add", "x", "* * * * *", "nothing"), "no process"),
        (("add", "x", "* * * * *", "echo"), "/inputs/message"),
        (("show", "x"), "no schedule"),
        (("pause", "x"), "no schedule"),
        (("run", "x"), "no schedule"),
        (("remove", "x"), "no schedule"),
    ],
)
def test_the_command_says_what_is_wrong(command: Callable[..., Any], arguments: tuple[str, ...], why: str) -> None:
    assert why in command(*arguments, fails=True)


def test_an_overdue_schedule_is_soon_kept_by_a_worker(settings: Settings, tmp_path: Path, admin: Connection) -> None:
    from support.works import processes

    own = replace(settings, site=settings.site.model_copy(update={"home": tmp_path}))
    add(admin, times=Times("0 0 * * *", "UTC"))
    admin.execute("UPDATE almagest.schedule SET next_at = date_trunc('day', almagest.clock())")
    with processes(own) as works:
        works.start_worker("w1")
        works.start_worker("w2")
        until = datetime.now(UTC) + timedelta(seconds=40)
        while not (found := jobs.listed(admin)) or found[0].status != "successful":
            assert datetime.now(UTC) < until, works.log("w1")
    assert len(found) == 1


def test_a_schedule_may_what_its_owner_may_at_that_moment(
    admin: Connection, worker: Connection, at: Callable[[str], None]
) -> None:
    at("2025-01-01T12:00:30Z")
    ada = accounts.create(admin, "ada", None)
    writing = replace(echo.PROCESS, scope="catalogue:write")
    schedules.add(admin, "hers", echo.PROCESS, {"message": "Hi"}, MINUTELY, ada.subject)
    schedules.add(admin, "writing", writing, {"message": "Hi"}, MINUTELY, ada.subject)
    schedules.add(admin, "nobodys", echo.PROCESS, {"message": "Hi"}, MINUTELY, "user:nobody")
    at("2025-01-01T12:01:05Z")
    assert known(writing).look(worker) == 3
    assert whole(worker) == []
    assert "lacks the scope `catalogue:write`" in (schedules.find(admin, "writing").last_error or "")
    assert "no user:nobody" in (schedules.find(admin, "nobodys").last_error or "")
    at("2025-01-01T12:02:05Z")
    assert known(echo.PROCESS).look(worker) == 3
    assert {job.principal for job in whole(worker)} == {ada.subject}
    accounts.change(admin, ada, disabled=True)
    at("2025-01-01T12:03:05Z")
    known(echo.PROCESS).look(worker)
    assert {job.status for job in whole(worker)} == {"dismissed"}
    assert "disabled" in (schedules.find(admin, "hers").last_error or "")
