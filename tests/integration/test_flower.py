"""Flower as the stack runs it: what it shows, and that looking changes nothing."""

from __future__ import annotations

import base64
import hashlib
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from almagest.catalogue import database, jobs
from almagest.cli.stack import health
from almagest.core.processes import FLOWER_PATH
from almagest.core.settings import Settings
from almagest.pipelines import echo
from almagest.pipelines.doorbell import Doorbell
from almagest.services.proxy import policy
from support.works import Processes, processes


@pytest.fixture
def works(settings: Settings, tmp_path: Path) -> Iterator[Processes]:
    own = replace(settings, site=settings.site.model_copy(update={"home": tmp_path}))
    with processes(own, ALMAGEST_FLOWER="true", ALMAGEST_WORK_POLL_S="60") as running:
        running.start_worker("w1")
        yield running


@pytest.fixture
def flower(works: Processes) -> Iterator[httpx.Client]:
    path = works.start_flower()
    until = time.monotonic() + 30
    while reason := health.flower(path):
        assert time.monotonic() < until, reason
        time.sleep(0.2)
    transport = httpx.HTTPTransport(uds=str(path))
    with httpx.Client(transport=transport, base_url=f"http://localhost{FLOWER_PATH}", timeout=20) as client:
        yield client


def eventually(client: httpx.Client, path: str, word: str) -> httpx.Response:
    until = time.monotonic() + 30
    while word not in (answer := client.get(path)).text:
        assert time.monotonic() < until, (path, word, answer.text[-2000:])
        time.sleep(0.2)
    return answer


def submit(works: Processes) -> jobs.Job:
    """A job that is rung for, when it has ended."""
    with database.connect(works.settings, "almagest_worker") as connection:
        job, _ = jobs.accept(connection, echo.PROCESS, {"message": "x"}, "ann")
        assert Doorbell(works.settings).ring(job, "default")
        until = time.monotonic() + 30
        while (found := jobs.find(connection, job)).finished_at is None:
            assert time.monotonic() < until
            time.sleep(0.05)
        return found


def test_it_shows_workers_tasks_and_queues(works: Processes, flower: httpx.Client) -> None:
    eventually(flower, "/workers", "w1@almagest")
    assert submit(works).status == "successful"
    eventually(flower, "/tasks/datatable?draw=1&start=0&length=10&order[0][column]=0&columns[0][data]=name", "SUCCESS")
    eventually(flower, "/worker/w1@almagest", "default")
    eventually(flower, "/broker", "default")
    page = flower.get("/tasks")
    assert page.status_code == 200
    assert flower.get("/static/js/flower.js").status_code == 200
    assert f'src="{FLOWER_PATH}/static/' in page.text


def test_its_pages_run_only_what_the_policy_lets(flower: httpx.Client) -> None:
    allowed = policy.CONTENT_POLICIES["flower"]
    for path in ("/", "/tasks", "/broker"):
        text = flower.get(path).text
        assert not re.search(r"<[^>]+ on\w+=|javascript:", text)
        for script in re.findall(r"<script(?![^>]*\bsrc=)[^>]*>(.*?)</script>", text, re.DOTALL):
            digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
            assert f"'sha256-{digest}'" in allowed


def test_what_could_change_something_is_off_even_behind_the_door(works: Processes, flower: httpx.Client) -> None:
    eventually(flower, "/workers", "w1@almagest")
    for path in ("/api/worker/shutdown/w1@almagest", "/api/task/revoke/1", "/api/worker/pool/shrink/w1@almagest"):
        assert flower.post(path).status_code == 401
    assert "worker-shutdown" not in eventually(flower, "/worker/w1@almagest", "default").text
    # Nor does anything that can be read: all of it is asked for, and the worker works on.
    for route in policy.FLOWER.inventory:
        path = route.path.replace("{name}", "w1@almagest").replace("{task_id}", "x").replace("{path:path}", "js/x")
        for query in ("", "?refresh=1"):
            flower.get(path + query)
    assert submit(works).status == "successful"


def test_workers_tell_nobody_where_nobody_listens(settings: Settings, tmp_path: Path) -> None:
    own = replace(settings, site=settings.site.model_copy(update={"home": tmp_path}))
    with processes(own, ALMAGEST_WORK_POLL_S="60") as works, works.connection() as redis, redis.pubsub() as heard:
        heard.psubscribe("*")
        works.start_worker("w1")
        assert submit(works).status == "successful"
        time.sleep(3)  # longer than between two beats of a heart
        told = []
        while message := heard.get_message(timeout=0.2):
            told.append(message)
    assert [each["channel"] for each in told if each["type"] == "pmessage" and b"celeryev" in each["channel"]] == []
