"""Through nginx: one id in all logs, numbers of all processes, and Celery's own view for admins."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from support.stack import Stack

pytestmark = pytest.mark.xdist_group("site")


def with_key(site: Stack, *scopes: str) -> dict[str, str]:
    options = [word for scope in scopes for word in ("--scope", scope)]
    return {"Authorization": f"Bearer {site.run('keys', 'create', 'x', *options).stdout.strip()}"}


def lines(site: Stack, name: str) -> list[dict[str, Any]]:
    """What a program has logged in JSON."""
    found = []
    for path in (site.home / "logs").glob(f"{name}*.log"):
        for line in path.read_text().splitlines():
            if line.startswith("{"):
                found.append({**json.loads(line), "file": path.stem})
    return found


def eventually(find: Callable[[], Any]) -> Any:
    until = time.monotonic() + 30
    while not (found := find()):
        assert time.monotonic() < until
        time.sleep(0.2)
    return found


def test_one_request_has_one_id_from_nginx_to_worker(site: Stack) -> None:
    key = with_key(site, "catalogue:read", "jobs:run")
    with site.client(headers=key) as client:
        answer = client.post(
            "/ops/processes/echo/execution",
            json={"inputs": {"message": "Hello"}},
            headers={"X-Request-ID": "f" * 32, "Prefer": "respond-async"},
        )
        job = answer.json()["jobID"]
    one = answer.headers["x-request-id"]
    assert one != "ffffffff-ffff-ffff-ffff-ffffffffffff", "what a client says of it is not heard"

    def with_the_id(name: str) -> list[dict[str, Any]]:
        return [line for line in lines(site, name) if line.get("request_id") == one]

    (access,) = eventually(lambda: with_the_id("nginx"))
    assert (access["method"], access["path"]) == ("POST", "/ops/processes/echo/execution")
    accepted = eventually(lambda: with_the_id("ops"))
    assert [(line["event"], line["job"]) for line in accepted] == [("job accepted", job)]
    done = eventually(lambda: with_the_id("worker"))
    assert [(line["event"], line["job"], line["process"]) for line in done] == [("job done", job, "echo")]


def test_numbers_are_those_of_all_processes(site: Stack) -> None:
    with site.client(headers=with_key(site, "ops:read")) as client:
        client.get("/api/collections")
        client.get("/external/collections")
        began = time.monotonic()
        answer = client.get("/ops/metrics")
        took = time.monotonic() - began
    samples = [
        sample for family in text_string_to_metric_families(answer.text) for sample in family.samples if sample.value
    ]
    counted = {
        (sample.labels["service"], sample.labels["route"])
        for sample in samples
        if sample.name == "almagest_requests_total"
    }
    assert {("stac", "/collections"), ("external-stac", "/collections"), ("ops", "/authorize")} <= counted
    up = {sample.labels["process"] for sample in samples if sample.name == "almagest_up"}
    assert {"ops-0", "ops-1", "stac-0", "tiles-0", "external-stac-1", "external-tiles-0"} <= up
    pools = {(each.labels["service"], each.labels["pool"]) for each in samples if each.name.startswith("almagest_pool")}
    assert {("stac", "reads"), ("stac", "writes"), ("tiles", "reads"), ("ops", "ops"), ("ops", "records")} <= pools
    # Nobody's ids become names.
    assert not any("sample-" in value for sample in samples for value in sample.labels.values())
    assert took < 5


def test_admins_see_celery(site: Stack) -> None:
    def page(path: str, **headers: str) -> httpx.Response:
        with site.client(headers=headers) as client:
            return client.get(f"/ops/ui/flower{path}")

    assert page("/").headers["location"] == "/ops/ui/login?next=/ops/ui/flower/"
    assert page("/", **with_key(site, "ops:read", "jobs:run")).status_code == 403
    admin = with_key(site, "admin")
    answer = eventually(lambda: [found for found in [page("/workers", **admin)] if "worker-0@almagest" in found.text])
    assert "script-src 'self' 'sha256-" in answer[0].headers["content-security-policy"]
    assert (
        page("/static/js/flower.js", **admin).headers["content-type"].startswith(("text/javascript", "application/j"))
    )
    with site.client(headers=admin) as client:
        assert client.post("/ops/ui/flower/api/worker/shutdown/worker-0@almagest").status_code == 404
