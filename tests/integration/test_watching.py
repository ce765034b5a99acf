"""A real Prometheus asks a real ops app: every query of the dashboard and of the alerts means something."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
import yaml
from prometheus_client.parser import text_string_to_metric_families

from almagest.catalogue import database, jobs
from almagest.core import secrets
from almagest.core.settings import Settings
from almagest.pipelines import echo
from almagest.services.ops.app import create_app
from support.cluster import Cluster
from support.prometheus import FOLDER, Prometheus, program, watching

pytestmark = pytest.mark.xdist_group("watching")

KEY = "the key of whoever watches"
DASHBOARD = FOLDER.parent / "grafana" / "dashboards" / "almagest.json"


@contextlib.contextmanager
def served(settings: Settings) -> Iterator[httpx.Client]:
    """The ops app on its socket, and on a port where it is sent what nginx says of a good key."""
    app = create_app(settings)

    async def vouched(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and (b"authorization", f"Bearer {KEY}".encode()) in scope["headers"]:
            scope = {**scope, "headers": [*scope["headers"], (b"x-scopes", b"ops:read")]}
        await app(scope, receive, send)

    with socket.socket() as port, socket.socket(socket.AF_UNIX) as path:
        port.bind(("127.0.0.1", 0))
        path.bind(str(settings.run / "ops-0.sock"))
        server = uvicorn.Server(uvicorn.Config(vouched, log_config=None, lifespan="on"))
        thread = threading.Thread(target=server.run, args=([port, path],))
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port.getsockname()[1]}") as client:
                yield client
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="module")
def ops(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """An app that has something to tell: jobs in every state, and every kind of answer."""
    # Sockets lie in it: their paths may have 107 bytes only.
    with (
        tempfile.TemporaryDirectory(prefix="alm-watch-", dir="/tmp") as home,
        cluster.clone("template_almagest") as name,
    ):
        settings = cluster.settings(name, Path(home))
        settings.run.mkdir(parents=True)
        secrets.ensure(settings.secrets, "almagest_ops")
        secrets.ensure(settings.secrets, secrets.JWT_KEY, "5a" * 32)
        with database.connect(settings, "almagest_worker") as worker:
            for number in range(4):
                job, _ = jobs.accept(worker, echo.PROCESS, {"message": "x"}, "ann")
                if number and jobs.claim(worker, job, "w", timedelta(minutes=1), ["echo"]) and number > 1:
                    jobs.finish(worker, job, "w", {})
        with served(settings) as client:
            for path, status in (("/ops/health", 200), ("/ops/ready", 401), ("/ops/x", 404), ("/authorize", 500)):
                assert client.get(path).status_code == status
            yield client


@pytest.fixture(scope="module")
def prometheus(ops: httpx.Client, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    with watching(tmp_path_factory.mktemp("prometheus"), ops.base_url.port or 0, KEY) as running:
        # A rate is made of two looks.
        running.wait("rate(almagest_requests_total[10s])")
        yield running


def alerts() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((FOLDER / "rules.yml").read_text())["groups"]
    return list(group["rules"])


def panels() -> list[tuple[str, str]]:
    """Title and query of everything on the dashboard, as Grafana would send it."""
    found = []
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", ()):
            query = target["expr"].replace("$__rate_interval", "10s").replace("$service", ".*")
            assert "$" not in query
            found.append((panel["title"], query))
    return found


def names(query: str) -> set[str]:
    return set(re.findall(r"\balmagest_\w+", query))


def told(ops: httpx.Client) -> set[str]:
    """Names of all numbers, whether or not there is one of them now."""
    suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "gauge": ("",)}
    text = ops.get("/ops/metrics", headers={"Authorization": f"Bearer {KEY}"}).text
    return {family.name + suffix for family in text_string_to_metric_families(text) for suffix in suffixes[family.type]}


def test_queries_name_only_what_is_told(ops: httpx.Client) -> None:
    known = told(ops)
    asked = {title: names(query) for title, query in panels()}
    asked |= {alert["alert"]: names(alert["expr"]) for alert in alerts()}
    assert {title: found - known for title, found in asked.items() if found - known} == {}
    # And everything that is told is looked at somewhere.
    assert {name for name in told(ops) if not name.endswith(("_count", "_sum"))} - set.union(*asked.values()) == set()


def test_the_table_of_numbers_is_whole(ops: httpx.Client) -> None:
    text = (FOLDER.parents[1] / "services" / "almagest" / "services" / "ops" / "README.md").read_text()
    table = set(re.findall(r"^\| `(almagest_\w+)`", text, re.MULTILINE))
    assert table == {name.removesuffix("_bucket") for name in told(ops) if not name.endswith(("_count", "_sum"))}


@pytest.mark.parametrize(("title", "query"), panels())
def test_every_query_of_the_dashboard_has_an_answer(title: str, query: str, prometheus: Prometheus) -> None:
    found = prometheus.query(query)
    if "ALERTS" not in query:
        assert found, title


def test_no_rule_fails(prometheus: Prometheus) -> None:
    for alert in alerts():
        prometheus.query(alert["expr"])
    (group,) = prometheus.ask("/rules")["groups"]
    assert {rule["name"] for rule in group["rules"]} == {alert["alert"] for alert in alerts()}
    assert all(rule["health"] == "ok" for rule in group["rules"]), group["rules"]
    # Nobody runs but ops: that is told of, and nothing that is not so.
    prometheus.wait('ALERTS{alertname="AlmagestServiceNotReady", service="tiles"}')
    pending = {sample["metric"]["alertname"] for sample in prometheus.query("ALERTS")}
    assert pending <= {"AlmagestServiceNotReady", "AlmagestProcessNotReady", "AlmagestErrors", "AlmagestDiskFull"}
    assert prometheus.query('ALERTS{alertname="AlmagestServiceNotReady", service="ops"}') == []


def test_a_wrong_key_is_seen(ops: httpx.Client, tmp_path: Path) -> None:
    with watching(tmp_path, ops.base_url.port or 0, "another") as running:
        running.wait("up == 0")
        running.wait('ALERTS{alertname="AlmagestCannotBeWatched"}')


def test_files_are_what_prometheus_takes(tmp_path: Path) -> None:
    promtool = program("promtool")
    for words in (
        ("check", "config", "--syntax-only", "prometheus.yml"),
        ("check", "rules", "rules.yml"),
        ("test", "rules", "rules_test.yml"),
    ):
        done = subprocess.run([promtool, *words], cwd=FOLDER, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_says_what_to_do() -> None:
    for alert in alerts():
        assert alert["labels"]["severity"] in {"warning", "critical"}
        assert set(alert["annotations"]) == {"summary", "remedy"}


def test_numbers_are_spelled_as_prometheus_wants(ops: httpx.Client) -> None:
    text = ops.get("/ops/metrics", headers={"Authorization": f"Bearer {KEY}"}).text
    done = subprocess.run(
        [program("promtool"), "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
