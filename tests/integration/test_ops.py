"""The ops app: whom it lets through, and what it tells of the others."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import httpx
import psycopg
import pytest
import uvicorn
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from almagest.catalogue import database, keys
from almagest.catalogue.keys import Key
from almagest.core import secrets
from almagest.core.errors import DatabaseUnavailableError
from almagest.core.processes import services
from almagest.core.settings import Settings
from almagest.services.ops.app import create_app
from almagest.services.ops.authorization import OUTCOMES
from almagest.services.web.health import Health
from almagest.services.web.pool import PoolUse, WritePool
from support.cluster import Cluster

OPS = {"X-Scopes": "ops:read"}
Ask = Callable[..., httpx.Response]


@pytest.fixture
def settings(cluster: Cluster, settings: Settings, home: Path) -> Settings:
    """As elsewhere, but with a folder of sockets of its own."""
    found = cluster.settings(settings.database.name, home)
    secrets.ensure(found.secrets, "almagest_ops")
    secrets.ensure(found.secrets, secrets.JWT_KEY, "5a" * 32)
    found.run.mkdir()
    return found


@pytest.fixture
def admin(settings: Settings) -> Iterator[psycopg.Connection]:
    with database.connect(settings, "postgres") as connection:
        yield connection


@pytest.fixture
def ops(settings: Settings) -> Iterator[httpx.Client]:
    with client(settings) as found:
        yield found


def client(settings: Settings) -> AbstractContextManager[httpx.Client]:
    return TestClient(create_app(settings), base_url=settings.site.origin)


@pytest.fixture
def ask(ops: httpx.Client) -> Ask:
    return lambda key, **more: question(ops, key, **more)


def question(
    ops: httpx.Client, key: Key | str | None, required: str = "catalogue:write", address: str = "192.0.2.1"
) -> httpx.Response:
    """Asks as nginx does."""
    headers = {"X-Required-Scope": required, "X-Client-Address": address, "X-Request-ID": "0" * 32}
    if key is not None:
        headers["Authorization"] = f"Bearer {key.reveal()}" if isinstance(key, Key) else key
    return ops.get("/authorize", headers=headers)


def test_a_good_key_opens_and_is_named(admin: psycopg.Connection, ask: Ask) -> None:
    key = keys.create(admin, "Ann's laptop", ["catalogue:write", "ops:read"])
    answer = ask(key)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["x-principal"] == "Ann's laptop"
    assert answer.headers["x-key-id"] == key.id
    assert answer.headers["x-scopes"] == "catalogue:write ops:read"
    assert answer.headers["x-request-id"] == "00000000-0000-0000-0000-000000000000"


def test_admin_opens_everything(admin: psycopg.Connection, ask: Ask) -> None:
    key = keys.create(admin, "x", ["admin"])
    assert {ask(key, required=scope).status_code for scope in keys.SCOPES} == {204}


def test_too_small_a_scope_is_forbidden(admin: psycopg.Connection, ask: Ask) -> None:
    key = keys.create(admin, "x", ["catalogue:read", "ops:read"])
    answer = ask(key)
    assert answer.status_code == 403
    assert answer.headers["content-type"] == "application/problem+json"
    assert "x-principal" not in answer.headers
    assert ask(key, required="admin").status_code == 403
    assert ask(key, required="ops:read").status_code == 204


@pytest.mark.parametrize("required", ["", "public", "none", "catalogue", "catalogue:read ops:read", "root"])
def test_a_scope_that_no_key_has_opens_nothing(required: str, admin: psycopg.Connection, ask: Ask) -> None:
    key = keys.create(admin, "x", ["admin"])
    assert ask(key, required=required).status_code == 500


def test_nginx_not_saying_what_is_needed_opens_nothing(admin: psycopg.Connection, ops: httpx.Client) -> None:
    key = keys.create(admin, "x", ["admin"])
    assert ops.get("/authorize", headers={"Authorization": f"Bearer {key.reveal()}"}).status_code == 500


def test_what_is_no_key_is_refused(admin: psycopg.Connection, ask: Ask) -> None:
    whole = keys.create(admin, "x", ["admin"]).reveal()
    forms = [
        None,
        "",
        "Bearer",
        "Bearer ",
        whole,
        f"Basic {whole}",
        f"Bearer{whole}",
        f"Bearer {whole}, Bearer {whole}",
        f"Bearer {whole} x",
        f"Bearer {whole}x",
        f"Bearer {whole[:-1]}",
        f'Bearer "{whole}"',
        "Bearer alm_00000000_" + "0" * 43,
        "Bearer ' OR 1=1 --",
        "Bearer " + "a" * 4000,
    ]
    answers = [ask(form) for form in forms]
    assert [answer.status_code for answer in answers] == [401] * len(forms)
    # Nothing tells one from another.
    assert len({answer.text.partition("instance")[0] for answer in answers}) == 1
    assert {answer.headers["www-authenticate"] for answer in answers} == {'Bearer realm="almagest"'}


def test_the_scheme_is_known_in_any_case(admin: psycopg.Connection, ask: Ask) -> None:
    whole = keys.create(admin, "x", ["admin"]).reveal()
    assert {ask(f"{scheme} {whole}").status_code for scheme in ("Bearer", "bearer", "BEARER", "Bearer  ")} == {204}


def test_two_authorization_headers_are_none(admin: psycopg.Connection, ops: httpx.Client) -> None:
    good = f"Bearer {keys.create(admin, 'x', ['admin']).reveal()}"
    headers = [("X-Required-Scope", "admin"), ("Authorization", good), ("Authorization", good)]
    assert ops.get("/authorize", headers=headers).status_code == 401


def test_what_is_revoked_expired_or_elsewhere_is_refused_on_the_next_request(
    admin: psycopg.Connection, ask: Ask
) -> None:
    revoked, expired = keys.create(admin, "x", ["admin"]), keys.create(admin, "x", ["admin"], expires=timedelta(days=1))
    bound = keys.create(admin, "x", ["admin"], addresses=["192.0.2.0/24", "2001:db8::/32"])
    rotated = keys.create(admin, "x", ["admin"])
    assert {ask(key).status_code for key in (revoked, expired, bound, rotated)} == {204}
    keys.revoke(admin, revoked.id)
    admin.execute("UPDATE almagest.api_key SET expires_at = clock_timestamp() WHERE id = %s", (expired.id,))
    fresh = keys.rotate(admin, rotated.id)
    assert {ask(key).status_code for key in (revoked, expired, rotated)} == {401}
    assert ask(fresh).status_code == 204
    assert ask(bound, address="::ffff:192.0.2.9").status_code == ask(bound, address="2001:db8::9").status_code == 204
    assert {ask(bound, address=address).status_code for address in ("198.51.100.1", "2001::1", "unix:", "")} == {401}


def test_a_strangers_refusal_says_nothing_of_ids(admin: psycopg.Connection, ask: Ask) -> None:
    key = keys.create(admin, "x", ["admin"])
    keys.revoke(admin, key.id)
    answers = [ask(Key(key.id, Key.make().secret)), ask(Key.make()), ask(key)]
    assert len({(answer.status_code, answer.text, tuple(answer.headers)) for answer in answers}) == 1


def test_no_key_reaches_the_log(
    admin: psycopg.Connection, ask: Ask, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    key = keys.create(admin, "x", ["ops:read"])
    ask(key)
    keys.revoke(admin, key.id)
    ask(key)
    ask(f"Basic {key.reveal()}")
    logged = caplog.text + "".join(capfd.readouterr())
    assert key.id in logged
    assert key.secret not in logged
    assert key.sha256.hex() not in logged


def test_a_database_that_is_away_opens_nothing(settings: Settings, admin: psycopg.Connection, ask: Ask) -> None:
    key = keys.create(admin, "x", ["admin"])
    assert ask(key).status_code == 204
    gone = settings.database.model_copy(update={"port": 1})
    with client(Settings(site=settings.site, database=gone)) as elsewhere:
        answer = question(elsewhere, key)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        assert question(elsewhere, None).status_code == 401
        assert elsewhere.get("/ops/health").status_code == 200
        assert elsewhere.get("/readyz").status_code == 503


def test_a_table_that_is_locked_opens_nothing(settings: Settings, admin: psycopg.Connection, ask: Ask) -> None:
    key = keys.create(admin, "x", ["admin"])
    with database.connect(settings, "postgres", autocommit=False) as other:
        other.execute("LOCK TABLE almagest.api_key")
        assert ask(key).status_code == 503
        other.rollback()
    assert ask(key).status_code == 204


def test_a_database_that_hangs_is_given_up(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hanging = settings.database.model_copy(update={"host": "127.0.0.1", "port": silent.getsockname()[1]})
        with client(Settings(site=settings.site, database=hanging)) as elsewhere:
            started = time.monotonic()
            assert question(elsewhere, Key.make()).status_code == 503
            assert time.monotonic() - started < 8


@pytest.mark.parametrize("path", ["/ops/ready", "/ops/metrics"])
def test_what_is_protected_asks_for_the_scope(path: str, ops: httpx.Client) -> None:
    assert ops.get(path).status_code == 401
    assert ops.get(path, headers={"X-Scopes": "catalogue:read catalogue:write"}).status_code == 403
    assert ops.get(path, headers={"X-Scopes": "admin"}).status_code in {200, 503}


@pytest.mark.parametrize("path", ["/ops/redoc", "/ops/openapi.yaml", "/ops/healthz", "/x"])
def test_nothing_else_is_there(path: str, ops: httpx.Client) -> None:
    answer = ops.get(path, headers={"X-Scopes": "admin"})
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_health_is_alive_and_small(ops: httpx.Client) -> None:
    answer = ops.get("/ops/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert ops.head("/ops/health").status_code == 200
    assert ops.post("/ops/health").status_code == 405


def test_ready_names_what_is_not(settings: Settings, ops: httpx.Client) -> None:
    sockets = {path.stem: path for service in services(settings) for path in service.sockets(settings)}
    nobody = ops.get("/ops/ready", headers=OPS)
    assert nobody.status_code == 503
    assert "tiles-0: does not listen" in nobody.json()["reasons"]
    with listening(*sockets.values()):
        answer = ops.get("/ops/ready", headers=OPS)
        assert (answer.status_code, answer.json()) == (200, {"status": "ready", "reasons": []})
    missing = {"stac-1": sockets.pop("stac-1")}
    with listening(*sockets.values()):
        answer = ops.get("/ops/ready", headers=OPS)
        assert (answer.status_code, answer.json()["reasons"]) == (200, ["stac-1: does not listen"])
    missing["stac-0"] = sockets.pop("stac-0")
    with listening(*sockets.values()), listening(*missing.values(), well=False):
        answer = ops.get("/ops/ready", headers=OPS)
        assert answer.status_code == 503
        assert answer.json()["status"] == "unavailable"
        assert [reason.partition(":")[0] for reason in answer.json()["reasons"]] == ["stac-0", "stac-1"]
        assert "does not answer" in answer.json()["reasons"][0]


def test_ready_names_the_database(settings: Settings) -> None:
    sockets = [path for service in services(settings) for path in service.sockets(settings)]
    gone = settings.database.model_copy(update={"port": 1})
    with listening(*sockets), client(Settings(site=settings.site, database=gone)) as elsewhere:
        answer = elsewhere.get("/ops/ready", headers=OPS)
        assert answer.status_code == 503
        assert [reason.partition(":")[0] for reason in answer.json()["reasons"]] == ["database"]
        text = elsewhere.get("/ops/metrics", headers=OPS).text
        assert samples(text)["almagest_database_up", ()] == 0
        assert not any(name == "almagest_keys_active" for name, _ in samples(text))


def test_metrics_count_over_all_processes(settings: Settings, admin: psycopg.Connection, ops: httpx.Client) -> None:
    keys.revoke(admin, keys.create(admin, "revoked", ["admin"]).id)
    key = keys.create(admin, "x", ["ops:read"])
    with process(settings, "ops-0") as first, process(settings, "ops-1") as second:
        assert [question(first, key, required="ops:read").status_code for _ in range(3)] == [204] * 3
        assert question(second, key).status_code == 403
        assert question(second, None).status_code == 401
        answer = ops.get("/ops/metrics", headers=OPS)
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    found = samples(answer.text)
    assert found["almagest_keys_active", ()] == found["almagest_database_up", ()] == 1
    assert found["almagest_up", (("process", "ops-0"), ("service", "ops"))] == 1
    assert found["almagest_up", (("process", "tiles-0"), ("service", "tiles"))] == 0
    counted = {key: number for (name, key), number in found.items() if name == "almagest_authorizations_total"}
    assert {key: number for key, number in counted.items() if number} == {
        (("outcome", "granted"), ("process", "ops-0")): 3,
        (("outcome", "scope"), ("process", "ops-1")): 1,
        (("outcome", "missing"), ("process", "ops-1")): 1,
    }
    assert len(counted) == 2 * len(OUTCOMES)
    requests = {key: number for (name, key), number in found.items() if name == "almagest_requests_total"}
    assert {dict(key)["route"] for key in requests} == {"/authorize"}
    assert {(dict(key)["process"], dict(key)["status"]): number for key, number in requests.items()} == {
        ("ops-0", "2xx"): 3,
        ("ops-1", "4xx"): 2,
    }
    first_one = (("method", "GET"), ("process", "ops-0"), ("route", "/authorize"), ("service", "ops"))
    assert found["almagest_request_duration_seconds_count", first_one] == 3
    most = tuple(sorted([*first_one, ("le", "+Inf")]))
    assert found["almagest_request_duration_seconds_bucket", most] == 3
    pool = (("pool", "ops"), ("process", "ops-0"), ("service", "ops"))
    states = [
        found["almagest_pool_connections", tuple(sorted([*pool, ("state", state)]))] for state in ("in_use", "idle")
    ]
    assert 1 <= sum(states) <= 8  # whatever is tended to meanwhile has some
    assert found["almagest_pool_connections_max", pool] == 8
    assert found["almagest_pool_waiting_requests", pool] == 0
    assert found["almagest_database_connections", (("role", "ops"),)] >= 3
    assert found["almagest_database_connections_max", ()] >= 100
    assert found["almagest_job_lease_expiries_total", (("process", "echo"),)] == 0
    assert found["almagest_jobs_waiting", (("queue", "default"),)] == 0
    assert ("almagest_history_rows", (("kind", "item"),)) in found


def test_every_number_says_what_it_is(ops: httpx.Client) -> None:
    for family in text_string_to_metric_families(ops.get("/ops/metrics", headers=OPS).text):
        assert family.name.startswith("almagest_")
        assert family.documentation.endswith(".")
        assert "total" not in family.name


def test_a_pool_says_who_has_it_and_who_waits(settings: Settings) -> None:
    small = replace(settings, database=settings.database.model_copy(update={"pool_max": 1}))
    pool = WritePool(small, "almagest_ops", timeout_s=5)

    async def story() -> list[PoolUse]:
        seen = [pool.use()]
        async with pool.connection():
            waiting = asyncio.create_task(pool.connection().__aenter__())
            await asyncio.sleep(0.05)
            seen.append(pool.use())
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
        seen.append(pool.use())
        await pool.close()
        return seen

    assert asyncio.run(story()) == [PoolUse(0, 0, 1, 0), PoolUse(1, 0, 1, 1), PoolUse(0, 1, 1, 0)]


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@contextmanager
def listening(*paths: Path, well: bool = True) -> Iterator[None]:
    """Processes on these sockets, ready or not."""

    async def check() -> None:
        if not well:
            raise DatabaseUnavailableError()

    sockets = []
    for path in paths:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        sockets.append(listener)
    server = uvicorn.Server(uvicorn.Config(Health(lambda *_: None, check), log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run, args=(sockets,))
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield
    finally:
        server.should_exit = True
        thread.join()
        for listener in sockets:
            listener.close()
        for path in paths:
            path.unlink(missing_ok=True)


@contextmanager
def process(settings: Settings, name: str) -> Iterator[httpx.Client]:
    """A process as the supervisor starts it."""
    path = settings.run / f"{name}.sock"
    variables = {
        "ALMAGEST_HOME": str(settings.site.home),
        "ALMAGEST_DB_HOST": settings.db_host,
        "ALMAGEST_DB_PORT": str(settings.database.port),
        "ALMAGEST_DB_NAME": settings.database.name,
    }
    command = [sys.executable, "-m", "almagest.services.ops", "--audience", "internal", "--uds", str(path)]
    with (
        subprocess.Popen(command, env={**os.environ, **variables}, stderr=subprocess.DEVNULL) as running,
        httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://localhost") as ops,
    ):
        try:
            deadline = time.monotonic() + 30
            while not path.exists() or ops.get("/readyz").status_code != 200:
                assert running.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
            yield ops
        finally:
            running.terminate()
