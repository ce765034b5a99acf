"""Jobs from a notebook, over HTTP, with a worker's runner behind it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from almagest.client import Client
from almagest.core.errors import BadRequestError, InvalidDocumentError, NotFoundError
from almagest.core.jobs import ProcessFailedError
from almagest.core.settings import Settings
from support import guide
from support.hands import at_work
from support.serving import served_ops

GUIDE = Path(__file__).parents[2] / "cli" / "README.md"

ANN = {"X-Scopes": "catalogue:read jobs:run", "X-Subject": "key:ann", "X-Principal": "ann", "X-Key-Id": "ann"}


@pytest.fixture
def own(settings: Settings, tmp_path: Path) -> Iterator[Settings]:
    with served_ops(replace(settings, site=settings.site.model_copy(update={"home": tmp_path})), ANN) as served:
        yield served


@pytest.fixture
def client(own: Settings) -> Iterator[Client]:
    with Client(f"{own.site.origin}/api/", key="of-ann") as made:
        yield made


@pytest.fixture
def worker(own: Settings, tmp_path: Path) -> Iterator[None]:
    with at_work(own, tmp_path):
        yield


@pytest.mark.usefixtures("worker")
def test_a_job_is_executed_waited_for_and_read(client: Client) -> None:
    assert "echo" in client.processes()
    assert client.describe("echo")["inputs"]["message"]["minOccurs"] == 1
    job = client.execute("echo", message="Hello", pause_s=0.5)
    assert job.wait(20) is job
    assert (job.status, job.process, job.results()) == ("successful", "echo", {"echo": "Hello"})
    assert any(str(event).endswith("| said 5 characters") for event in job.log())
    assert [found.id for found in client.jobs()] == [job.id]
    assert client.job(job.id).results() == {"echo": "Hello"}
    job.cancel()
    assert client.job(job.id).status == "successful"


@pytest.mark.usefixtures("worker")
def test_a_failure_is_an_error_with_its_reason(client: Client) -> None:
    job = client.execute("echo", message="because", fail=True).wait(20, show=False)
    assert job.status == "failed"
    with pytest.raises(ProcessFailedError, match="Told to fail: because"):
        job.results()


def test_what_is_not_over_can_be_asked_about_and_cancelled(client: Client) -> None:
    job = client.execute("echo", message="Hello")
    with pytest.raises(TimeoutError, match=r"accepted after 0\.3 s"):
        job.wait(0.3)
    with pytest.raises(NotFoundError):
        job.results()
    job.cancel()
    assert job.status == "dismissed"
    with pytest.raises(ProcessFailedError, match="dismissed"):
        job.results()
    assert job.log()[-1].message == "dismissed"


def test_jobs_are_listed_over_pages(client: Client) -> None:
    ids = [client.execute("echo", message=str(number)).id for number in range(105)][::-1]
    assert [job.id for job in client.jobs(limit=1000)] == ids
    assert [job.id for job in client.jobs(limit=3, status="accepted", process="echo")] == ids[:3]
    assert client.jobs(status="failed") == []


def test_the_same_key_is_the_same_job(client: Client) -> None:
    first, second = (client.submit("echo", {"message": "Hi"}, idempotency_key="once") for _ in range(2))
    assert first.id == second.id
    assert client.execute("echo", message="Hi").id != client.execute("echo", message="Hi").id


def test_an_input_may_be_called_as_our_own_arguments_are(client: Client) -> None:
    with pytest.raises((BadRequestError, InvalidDocumentError), match="/inputs/process"):
        client.execute("echo", message="Hi", process="x", self="y")


def test_what_is_wrong_is_said(client: Client) -> None:
    with pytest.raises((BadRequestError, InvalidDocumentError), match="/inputs/message"):
        client.execute("echo")
    with pytest.raises(NotFoundError, match="no process"):
        client.execute("nothing")
    with pytest.raises(NotFoundError, match="no job"):
        client.job("x")
    with pytest.raises(BadRequestError, match="public Internet"):
        client.submit("echo", {"message": "Hi"}, callback="http://127.0.0.1/")


@pytest.mark.usefixtures("worker")
def test_the_example_of_the_guide(own: Settings, tmp_path: Path) -> None:
    (tmp_path / "runner.key").write_text("of-ann\n")
    example = guide.script(GUIDE, "python", "## Run a process").replace("http://127.0.0.1:8080", own.site.origin)
    done = subprocess.run(
        [sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "{'echo': 'Hello'}" in done.stdout


def test_importing_it_is_light() -> None:
    code = "import sys, almagest.client; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"httpx", "rich", "pydantic", "psycopg", "pystac", "celery"} & set(done.stdout.split())
