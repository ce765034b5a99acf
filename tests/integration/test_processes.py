"""OGC API - Processes on `/ops`, with a worker's runner behind it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import psycopg
import pytest
from starlette.testclient import TestClient

from almagest.catalogue import database
from almagest.core import secrets
from almagest.core.settings import Settings
from almagest.pipelines import registry
from almagest.services.ops.app import create_app
from support.hands import at_work

EXCEPTIONS = "http://www.opengis.net/def/exceptions/ogcapi-processes-1/1.0"
LATER = {"Prefer": "respond-async"}


def caller(name: str, scope: str = "catalogue:read jobs:run") -> dict[str, str]:
    """What nginx says of somebody."""
    return {"X-Scopes": scope, "X-Subject": f"key:{name}", "X-Principal": name, "X-Key-Id": name}


ANN, BOB, ADMIN = caller("ann"), caller("bob"), caller("root", "admin")


@pytest.fixture
def own(settings: Settings, tmp_path: Path) -> Settings:
    found = replace(settings, site=settings.site.model_copy(update={"home": tmp_path}))
    secrets.ensure(found.secrets, secrets.JWT_KEY, "5a" * 32)
    return found


@pytest.fixture
def ops(own: Settings) -> Iterator[httpx.Client]:
    with TestClient(create_app(own), base_url=own.site.origin, headers=ANN) as client:
        yield client


@pytest.fixture
def worker(own: Settings, tmp_path: Path) -> Iterator[None]:
    """Does what comes, though nobody rings."""
    with at_work(own, tmp_path):
        yield


def execute(ops: httpx.Client, headers: dict[str, str] | None = None, **inputs: Any) -> httpx.Response:
    return ops.post("/processes/echo/execution", json={"inputs": {"message": "Hi", **inputs}}, headers=headers)


def ended(ops: httpx.Client, address: str) -> dict[str, Any]:
    until = time.monotonic() + 20
    while (status := ops.get(address).json())["status"] in {"accepted", "running"}:
        assert time.monotonic() < until, status
        time.sleep(0.05)
    return dict(status)


def test_a_client_finds_its_way_from_the_landing_page(ops: httpx.Client) -> None:
    landing = ops.get("/").json()
    links = {link["rel"].rpartition("/")[2]: link["href"] for link in landing["links"]}
    processes = ops.get(links["processes"]).json()["processes"]
    echo = next(process for process in processes if process["id"] == "echo")
    assert echo["jobControlOptions"] == ["sync-execute", "async-execute", "dismiss"]
    assert "inputs" not in echo
    described = ops.get(next(link["href"] for link in echo["links"] if link["rel"] == "self")).json()
    assert described["inputs"]["message"] == {
        "title": "Message",
        "description": "What is said.",
        "schema": {"examples": ["Hello"], "maxLength": 10_000, "type": "string"},
        "minOccurs": 1,
        "maxOccurs": 1,
    }
    assert described["inputs"]["pause_s"]["minOccurs"] == 0
    assert described["inputs"]["pause_s"]["schema"]["maximum"] == 60
    assert described["outputs"]["echo"]["schema"] == {"type": "string"}
    conformance = ops.get(links["conformance"]).json()["conformsTo"]
    assert all(uri.startswith("http://www.opengis.net/spec/ogcapi-processes-1/1.0/conf/") for uri in conformance)


def test_every_process_says_in_json_schema_what_it_takes_and_gives(ops: httpx.Client) -> None:
    processes = ops.get("/processes").json()["processes"]
    assert {process["id"] for process in processes} == set(registry.processes())
    for process in processes:
        described = ops.get(f"/processes/{process['id']}").json()
        for value in (*described["inputs"].values(), *described["outputs"].values()):
            jsonschema_rs.Draft202012Validator(value["schema"])


def test_the_interface_is_described_for_programs_and_people(ops: httpx.Client) -> None:
    links = {link["rel"]: link for link in ops.get("/").json()["links"]}
    described = ops.get(links["service-desc"]["href"], headers={"X-Scopes": ""})
    assert described.headers["content-type"] == links["service-desc"]["type"]
    assert "/processes/{process_id}/execution" in described.json()["paths"]
    assert described.json()["servers"] == [{"url": f"{ops.base_url}/ops"}]
    page = ops.get(links["service-doc"]["href"], headers={"X-Scopes": ""})
    assert page.headers["content-type"].startswith(links["service-doc"]["type"])
    assert 'data-openapi="/ops/openapi.json"' in page.text
    conforms = {uri.rpartition("/")[2] for uri in ops.get("/conformance").json()["conformsTo"]}
    assert conforms >= {"core", "oas30", "ogc-process-description", "json", "job-list", "dismiss"}


@pytest.mark.usefixtures("worker")
def test_a_quick_process_is_waited_for(ops: httpx.Client) -> None:
    raw = execute(ops, message="Hello")
    assert (raw.status_code, raw.json()) == (200, "Hello")
    body = {"inputs": {"message": {"value": "Hello", "mediaType": "text/plain"}}, "response": "document"}
    document = ops.post("/processes/echo/execution", json=body)
    assert (document.status_code, document.json()) == (200, {"echo": "Hello"})


@pytest.mark.usefixtures("worker")
def test_whoever_prefers_it_asks_later(ops: httpx.Client) -> None:
    accepted = execute(ops, LATER, message="Hello", pause_s=0.5)
    assert accepted.status_code == 201
    assert accepted.headers["preference-applied"] == "respond-async"
    address = accepted.headers["location"]
    status = accepted.json()
    assert (status["status"], status["type"], status["processID"]) == ("accepted", "process", "echo")
    assert status["jobID"] == status["id"]
    assert {link["rel"] for link in status["links"]} >= {"self", "monitor"}
    done = ended(ops, address)
    assert (done["status"], done["progress"]) == ("successful", 100)
    assert done["created"] <= done["started"] <= done["finished"]
    results = next(link["href"] for link in done["links"] if link["rel"].endswith("/results"))
    assert ops.get(results).json() == "Hello"
    lines = [event["message"] for event in ops.get(f"{address}/log").json()["events"]]
    assert "said 5 characters" in lines


def test_results_are_not_there_before_their_time(ops: httpx.Client) -> None:
    address = execute(ops, LATER).headers["location"]
    early = ops.get(f"{address}/results")
    assert early.status_code == 404
    assert early.json()["type"] == f"{EXCEPTIONS}/result-not-ready"


@pytest.mark.usefixtures("worker")
def test_a_failure_is_told_with_its_status(ops: httpx.Client) -> None:
    failed = execute(ops, fail=True, message="because")
    assert failed.status_code == 422
    assert failed.json()["detail"] == "Told to fail: because"
    address = execute(ops, LATER, fail=True).headers["location"]
    status = ended(ops, address)
    assert status["exception"]["status"] == 422
    assert ops.get(f"{address}/results").status_code == 422


def test_a_job_is_dismissed_and_then_removed(ops: httpx.Client) -> None:
    address = execute(ops, LATER).headers["location"]
    dismissed = ops.delete(address)
    assert (dismissed.status_code, dismissed.json()["status"]) == (200, "dismissed")
    assert ops.get(f"{address}/results").status_code == 410
    assert ops.delete(address).status_code == 200
    gone = ops.get(address)
    assert (gone.status_code, gone.json()["type"]) == (404, f"{EXCEPTIONS}/no-such-job")


def test_a_dismissal_that_the_door_sends_twice_removes_nothing(ops: httpx.Client) -> None:
    address = execute(ops, LATER).headers["location"]
    for _ in range(2):
        again = ops.delete(address, headers={"X-Request-ID": "0" * 31 + "1"})
        assert (again.status_code, again.json()["status"]) == (200, "dismissed")
    assert ops.get(address).json()["status"] == "dismissed"
    assert ops.delete(address).json()["message"] == "The job is removed."


def test_everybody_sees_his_own_jobs_and_admins_all(ops: httpx.Client) -> None:
    address = execute(ops, LATER).headers["location"]
    execute(ops, {**LATER, **BOB})
    for method, path in (
        ("GET", address),
        ("DELETE", address),
        ("GET", f"{address}/results"),
        ("GET", f"{address}/log"),
    ):
        assert ops.request(method, path, headers=BOB).status_code == 404, path
    assert ops.get(address, headers=ADMIN).status_code == 200
    numbers = {name: len(ops.get("/jobs", headers=who).json()["jobs"]) for name, who in (("ann", ANN), ("root", ADMIN))}
    assert numbers == {"ann": 1, "root": 2}


def test_jobs_are_listed_by_pages_and_filters(ops: httpx.Client) -> None:
    ids = [execute(ops, LATER).json()["id"] for _ in range(5)][::-1]
    found: list[str] = []
    address: str | None = "/jobs?limit=2"
    while address:
        page = ops.get(address).json()
        found += [job["id"] for job in page["jobs"]]
        address = next((link["href"] for link in page["links"] if link["rel"] == "next"), None)
    assert found == ids
    ops.delete(f"/jobs/{ids[0]}")
    assert [job["id"] for job in ops.get("/jobs?status=dismissed").json()["jobs"]] == ids[:1]
    assert len(ops.get("/jobs?status=accepted,dismissed&processID=echo").json()["jobs"]) == 5
    assert ops.get("/jobs?processID=other").json()["jobs"] == []
    assert ops.get("/jobs?datetime=2020-01-01T00:00:00Z/..").json()["jobs"] != []
    assert ops.get("/jobs?datetime=../2020-01-01T00:00:00Z").json()["jobs"] == []
    for wrong in (
        "limit=0",
        "limit=x",
        "minDuration=-1",
        "datetime=yesterday",
        "status=done",
        "token=x",
        "processID=%00",
    ):
        assert ops.get(f"/jobs?{wrong}").status_code == 400, wrong


def test_the_same_key_is_the_same_job(ops: httpx.Client) -> None:
    once = {**LATER, "Idempotency-Key": "k"}
    first, again = execute(ops, once), execute(ops, once)
    assert first.json()["id"] == again.json()["id"]
    assert execute(ops, {**once, **BOB}).json()["id"] != first.json()["id"]
    other = execute(ops, once, message="other")
    assert other.status_code == 409
    assert "another request" in other.json()["detail"]
    assert execute(ops, {**once, "Idempotency-Key": "k" * 300}).status_code == 400


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "not JSON"),
        (b"[1]", "JSON object"),
        (b'{"inputs": [1]}', "JSON objects"),
        (b'{"inputs": {"message": "x"}, "response": "cooked"}', "`raw` or `document`"),
        (b'{"inputs": {"message": "x"}, "response": {}}', "`raw` or `document`"),
        (b'{"inputs": {"message": "x"}, "outputs": {"ehco": {}}}', "no output 'ehco'"),
        (b'{"inputs": {"message": "x"}, "modus": 1}', "no member 'modus'"),
        (b'{"inputs": {"message": "x"}, "outputs": {"echo": {"transmissionMode": "reference"}}}', "by value alone"),
        (b'{"inputs": {"message": "a\\u0000b"}}', "cannot be stored"),
        (b'{"inputs": {"message": "\\ud800"}}', "not JSON"),
        (b'{"inputs": {"message": "x"}, "subscriber": {"successUri": "http://127.0.0.1"}}', "public Internet"),
    ],
)
def test_a_request_that_cannot_be_is_told_why(ops: httpx.Client, body: bytes, told: str) -> None:
    refused = ops.post("/processes/echo/execution", content=body)
    assert refused.status_code == 400
    assert told in refused.json()["detail"]


def test_inputs_that_are_wrong_are_named_by_their_paths(ops: httpx.Client) -> None:
    refused = ops.post("/processes/echo/execution", json={"inputs": {"pause_s": -1, "mesage": "x"}})
    assert refused.status_code == 400
    assert {error["pointer"] for error in refused.json()["errors"]} == {
        "/inputs/message",
        "/inputs/pause_s",
        "/inputs/mesage",
    }
    assert ops.get("/jobs").json()["jobs"] == []


def test_a_process_that_is_not_there(ops: httpx.Client) -> None:
    for answer in (ops.get("/processes/nothing"), ops.post("/processes/nothing/execution", json={})):
        assert (answer.status_code, answer.json()["type"]) == (404, f"{EXCEPTIONS}/no-such-process")
    for job in ("nothing", "00000000-0000-0000-0000-000000000000"):
        assert ops.get(f"/jobs/{job}").json()["type"] == f"{EXCEPTIONS}/no-such-job"


def test_running_needs_its_scope(ops: httpx.Client) -> None:
    reader = caller("eve", "catalogue:read")
    assert ops.get("/processes", headers=reader).status_code == 200
    for method, path in (("GET", "/jobs"), ("POST", "/processes/echo/execution")):
        assert ops.request(method, path, headers=reader, content=b"{}" if method == "POST" else None).status_code == 403


def test_without_a_database_it_says_so(ops: httpx.Client, own: Settings) -> None:
    with psycopg.connect(**database.parameters(own, "postgres", "postgres"), autocommit=True) as admin:
        admin.execute(f'ALTER DATABASE "{own.database.name}" ALLOW_CONNECTIONS false')
        try:
            away = execute(ops)
            assert (away.status_code, away.headers["retry-after"]) == (503, "2")
        finally:
            admin.execute(f'ALTER DATABASE "{own.database.name}" ALLOW_CONNECTIONS true')


def test_who_may_not_write_may_not_have_it_written(ops: httpx.Client) -> None:
    body = {"inputs": {"collection": "c", "item": "i", "href": "file:///x.nc"}}
    refused = ops.post("/processes/register-analysis/execution", json=body)
    assert refused.status_code == 403
    assert "`catalogue:write`" in refused.json()["detail"]
    writer = caller("ann", "jobs:run catalogue:write")
    assert ops.post("/processes/register-analysis/execution", json=body, headers=writer).status_code == 201
