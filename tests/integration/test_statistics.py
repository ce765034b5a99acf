"""How jobs fare, and when they come, over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from starlette.testclient import TestClient

from almagest.catalogue import database, jobs, schedules
from almagest.catalogue.schedules import Times
from almagest.core import secrets
from almagest.core.settings import Settings
from almagest.pipelines import echo
from almagest.services.ops.app import create_app


def caller(name: str, scope: str = "catalogue:read jobs:run") -> dict[str, str]:
    return {"X-Scopes": scope, "X-Subject": f"key:{name}", "X-Principal": name, "X-Key-Id": name}


ANN, ADMIN = caller("ann"), caller("root", "admin")


@pytest.fixture
def ops(settings: Settings, tmp_path: Path) -> Iterator[httpx.Client]:
    own = replace(settings, site=settings.site.model_copy(update={"home": tmp_path}))
    secrets.ensure(own.secrets, secrets.JWT_KEY, "5a" * 32)
    with TestClient(create_app(own), base_url=own.site.origin, headers=ANN) as client:
        yield client


@pytest.fixture
def admin(settings: Settings) -> Iterator[psycopg.Connection[Any]]:
    with database.connect(settings, settings.database.admin_user) as connection:
        yield connection


def store(
    connection: psycopg.Connection[Any], status: str, waited_s: float | None, ran_s: float | None, **more: Any
) -> None:
    """A job as it will have been."""
    given = {"principal": "key:ann", "process": "echo", "at": "2025-06-01T00:00Z", **more}
    job, _ = jobs.accept(connection, echo.PROCESS, {"message": "x"}, given["principal"])
    connection.execute(
        """
        UPDATE almagest.job SET status = %(status)s, process = %(process)s, created_at = %(at)s,
            started_at = %(at)s::timestamptz + make_interval(secs => %(waited)s),
            finished_at = CASE WHEN %(status)s NOT IN ('accepted', 'running')
                THEN %(at)s::timestamptz + make_interval(secs => coalesce(%(waited)s, 0) + coalesce(%(ran)s, 0)) END
        WHERE id = %(job)s
        """,
        {**given, "status": status, "waited": waited_s, "ran": ran_s, "job": job},
    )


def test_jobs_are_counted_and_timed_by_process(ops: httpx.Client, admin: psycopg.Connection[Any]) -> None:
    for number in range(1, 101):
        store(admin, "failed" if number > 90 else "successful", number, 10 * number)
    store(admin, "dismissed", None, 5000)
    store(admin, "accepted", None, None)
    store(admin, "successful", 1, 1, process="other")
    store(admin, "successful", 1, 1, principal="key:bob")
    store(admin, "successful", 1, 1, at="2024-01-01T00:00Z")
    found = ops.get("/jobs/statistics?datetime=2025-01-01T00:00:00Z/..").json()
    assert found["datetime"] == "2025-01-01T00:00:00Z/.."
    (own, other) = found["processes"]
    assert own["statuses"] == {"successful": 90, "failed": 10, "dismissed": 1, "accepted": 1}
    assert (own["processID"], own["total"], own["failureRate"], own["dead"]) == ("echo", 102, 0.1, 0)
    assert own["waitedSeconds"] == pytest.approx({"p50": 50.5, "p90": 90.1, "p99": 99.01})
    assert own["ranSeconds"] == pytest.approx({"p50": 505, "p90": 901, "p99": 990.1})
    assert (other["processID"], other["total"], other["failureRate"]) == ("other", 1, 0)
    totals = [each["total"] for each in ops.get("/jobs/statistics").json()["processes"]]
    assert totals == [103, 1]
    totals = [each["total"] for each in ops.get("/jobs/statistics", headers=ADMIN).json()["processes"]]
    assert totals == [104, 1]
    within = ops.get("/jobs/statistics?datetime=2023-12-31/2024-01-02").json()
    assert [each["total"] for each in within["processes"]] == [1]


def test_where_nothing_is_nothing_is_counted(ops: httpx.Client, admin: psycopg.Connection[Any]) -> None:
    assert ops.get("/jobs/statistics").json() == {"datetime": "../..", "processes": []}
    store(admin, "accepted", None, None)
    (waiting,) = ops.get("/jobs/statistics").json()["processes"]
    assert waiting["failureRate"] is None
    assert waiting["waitedSeconds"] == waiting["ranSeconds"] == {"p50": None, "p90": None, "p99": None}


def test_it_is_no_job_and_takes_no_wrong_time(ops: httpx.Client) -> None:
    assert ops.get("/jobs/statistics?datetime=yesterday").status_code == 400
    assert ops.delete("/jobs/statistics").status_code in {404, 405}
    assert ops.get("/jobs/statistic").status_code == 404


def test_schedules_are_told_to_admins(ops: httpx.Client, admin: psycopg.Connection[Any]) -> None:
    for name in ("hello", "paused"):
        times = Times("30 6 * * *", "Asia/Kathmandu")
        schedules.add(admin, name, echo.PROCESS, {"message": "x"}, times, "user:ann")
    schedules.enable(admin, "paused", is_to=False)
    assert ops.get("/schedules").status_code == 403
    hello, paused = ops.get("/schedules", headers=ADMIN).json()["schedules"]
    assert (hello["name"], hello["zone"], hello["subject"]) == ("hello", "Asia/Kathmandu", "user:ann")
    assert len(hello["next"]) == 5
    assert all(each["utc"].endswith("T00:45:00Z") for each in hello["next"])
    assert all(each["local"].endswith("T06:30:00+05:45") for each in hello["next"])
    assert (paused["enabled"], paused["next"]) == (False, [])
