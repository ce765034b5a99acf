"""Who asked to be called back is: once the job has ended, however often it takes, and by nobody else."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest
from psycopg_pool import ConnectionPool
from starlette.testclient import TestClient
from typer.testing import CliRunner

from almagest.catalogue import database, jobs, outbox
from almagest.cli.commands import app
from almagest.core import secrets
from almagest.core.settings import Settings
from almagest.pipelines import callbacks, echo, registry
from almagest.pipelines.courier import Courier
from almagest.pipelines.keeper import Keeper
from almagest.pipelines.outbound import Outbound
from almagest.pipelines.runner import Runner
from almagest.services.ops.app import create_app
from support.receivers import Receiver, receiver

ANN = {"X-Scopes": "catalogue:read jobs:run", "X-Subject": "key:ann", "X-Principal": "ann", "X-Key-Id": "ann"}
SECRET = "of this stack"


class Works:
    """A desk, a runner and a courier, each step when the test says so."""

    def __init__(self, settings: Settings, pool: ConnectionPool[psycopg.Connection], ops: httpx.Client) -> None:
        self.settings, self.pool, self.ops = settings, pool, ops
        self.keeper = Keeper(pool, timedelta(seconds=5))
        self.runner = Runner(pool, self.keeper, registry.processes(), settings, settings.site.home)
        self.courier = Courier(pool, settings, first_pause_s=0)

    def execute(self, subscriber: Any, **inputs: Any) -> httpx.Response:
        body = {"inputs": {"message": "Hi", **inputs}, "subscriber": subscriber}
        return self.ops.post("/processes/echo/execution", json=body, headers={"Prefer": "respond-async"})

    def accept(self, subscriber: dict[str, str], **inputs: Any) -> UUID:
        """Without the desk, which would refuse some."""
        with self.pool.connection() as connection:
            given = {"message": "Hi", **inputs}
            return jobs.accept(connection, echo.PROCESS, given, "key:ann", request={"subscriber": subscriber})[0]

    def entries(self) -> list[outbox.Entry]:
        with self.pool.connection() as connection:
            return outbox.entries(connection)


@pytest.fixture
def works(settings: Settings, tmp_path: Path) -> Iterator[Works]:
    own = replace(
        settings,
        site=settings.site.model_copy(update={"home": tmp_path}),
        work=settings.work.model_copy(
            update={"callback_networks": ("127.0.0.0/8",), "callback_ports": tuple(range(1, 65536))}
        ),
    )
    secrets.ensure(own.secrets, secrets.CALLBACK_KEY, SECRET)
    secrets.ensure(own.secrets, secrets.JWT_KEY, "5a" * 32)
    with (
        ConnectionPool(
            kwargs={**database.parameters(own, "almagest_worker"), "autocommit": True}, min_size=1, max_size=6
        ) as pool,
        TestClient(create_app(own), base_url=own.site.origin, headers=ANN) as ops,
    ):
        made = Works(own, pool, ops)
        yield made
        made.courier.stop()
        made.keeper.stop()


@pytest.fixture
def called() -> Iterator[Receiver]:
    with receiver() as found:
        yield found


def everywhere(found: Receiver) -> dict[str, str]:
    return {name: found.url(f"/{name}") for name in callbacks.URIS}


def test_success_is_told_with_the_results(works: Works, called: Receiver) -> None:
    accepted = works.execute(everywhere(called))
    assert accepted.status_code == 201
    job = accepted.json()["id"]
    assert works.courier.deliver() == 0, "there is nothing to tell yet"
    assert works.runner.run(UUID(job))
    assert works.courier.deliver() == 1
    ((path, headers, body),) = called.heard
    assert (path, json.loads(body), headers["content-type"]) == ("/successUri", {"echo": "Hi"}, "application/json")
    (entry,) = works.entries()
    assert entry.delivered_at is not None
    assert headers["x-almagest-delivery"] == str(entry.id)
    assert headers["x-almagest-about"] == f"job:{job}"
    assert works.ops.get(f"/jobs/{job}/log").json()["events"][-1]["message"] == "called back: successful"
    assert works.courier.deliver() == 0


def test_a_receiver_can_check_who_calls(works: Works, called: Receiver) -> None:
    """As pipelines/README.md tells him, with the secret that `almagest jobs callback-secret key:ann` prints."""
    secret = callbacks.key(SECRET, "key:ann")
    works.runner.run(works.accept({"successUri": called.url()}))
    works.courier.deliver()
    ((_, headers, body),) = called.heard
    expected = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    assert hmac.compare_digest(headers["x-almagest-signature"], expected)
    assert callbacks.key(SECRET, "key:bob") != secret


def test_failure_dismissal_and_beginning_are_told_with_the_status(works: Works, called: Receiver) -> None:
    failed, dismissed = (UUID(works.execute(everywhere(called), fail=True).json()["id"]) for _ in range(2))
    with works.pool.connection() as connection:
        assert jobs.claim(connection, failed, "a", timedelta(seconds=5), ["echo"]) is not None
        works.courier.deliver()
        ((path, _, body),) = called.heard
        assert (path, json.loads(body)["status"]) == ("/inProgressUri", "running")
        jobs.fail(connection, failed, "a", {"title": "T", "status": 422, "detail": "D", "internal": "hidden"})
    assert works.ops.delete(f"/jobs/{dismissed}").status_code == 200
    works.courier.deliver()
    told = {json.loads(body)["id"]: (path, json.loads(body)) for path, _, body in called.heard[1:]}
    assert set(told) == {str(failed), str(dismissed)}
    path, document = told[str(failed)]
    assert (path, document) == ("/failedUri", works.ops.get(f"/jobs/{failed}").json())
    assert document["exception"]["detail"] == "D"
    assert "hidden" not in str(told)
    assert told[str(dismissed)][1]["status"] == "dismissed"


def test_what_is_told_is_how_it_was_then(works: Works, called: Receiver) -> None:
    job = works.accept({"failedUri": called.url()}, fail=True)
    works.runner.run(job)
    with works.pool.connection() as connection:
        jobs.dismiss(connection, job)
    works.courier.deliver()
    assert json.loads(called.heard[0][2])["status"] == "failed"


def test_the_end_and_what_is_to_be_told_of_it_are_one(works: Works, called: Receiver) -> None:
    job = works.accept({"successUri": called.url()})
    with works.pool.connection() as connection:
        jobs.claim(connection, job, "a", timedelta(seconds=5), ["echo"])
        with connection.transaction(force_rollback=True):
            jobs.finish(connection, job, "a", {"echo": "Hi"})
        assert works.entries() == []
        jobs.finish(connection, job, "a", {"echo": "Hi"})
    assert len(works.entries()) == 1


@pytest.mark.parametrize(
    "subscriber",
    [
        *(
            {},
            [],
            "http://127.0.0.1/",
            {"successUri": 1},
            {"failedUri": "http://127.0.0.1/"},
            {"x": "http://127.0.0.1/"},
        ),
        *({"successUri": uri} for uri in ("", "ftp://127.0.0.1/", "http://10.0.0.1/", "http://user:pw@127.0.0.1/")),
        *({"successUri": uri} for uri in ("http://[::ffff:169.254.169.254]/", "http://0xa9fea9fe/", "http:///x")),
        {"successUri": "http://127.0.0.1/", "failedUri": "http://[::1]/"},
        {"successUri": "http://127.0.0.1/\u0000"},
    ],
)
def test_who_cannot_be_called_is_refused_at_once(works: Works, subscriber: Any) -> None:
    answer = works.execute(subscriber)
    assert answer.status_code == 400
    assert "subscriber" in answer.json()["detail"]
    assert works.ops.get("/jobs").json()["jobs"] == []


def test_who_is_away_for_a_while_is_told_later(works: Works, called: Receiver) -> None:
    called.answers = [(503, {}), (500, {}), (200, {})]
    works.runner.run(works.accept({"successUri": called.url()}))
    for _ in range(3):
        assert works.courier.deliver() == 1
    assert works.courier.deliver() == 0
    assert len({headers["x-almagest-delivery"] for _, headers, _ in called.heard}) == 1
    (entry,) = works.entries()
    assert (entry.tries, entry.delivered_at is None) == (3, False)


def test_who_is_dead_is_given_up_and_kept_to_be_looked_at(works: Works) -> None:
    with receiver() as gone:
        url = gone.url()
    works.runner.run(works.accept({"successUri": url}))
    tried = 0
    while works.courier.deliver():
        tried += 1
    (entry,) = works.entries()
    assert tried == entry.tries == 8
    assert entry.given_up_at is not None
    assert "does not answer" in (entry.last_error or "")
    with works.pool.connection() as connection:
        assert outbox.expire(connection, timedelta(days=1)) == 0
        assert outbox.expire(connection, timedelta(0)) == 1


def test_pauses_grow(works: Works) -> None:
    with receiver() as gone:
        url = gone.url()
    patient = Courier(works.pool, works.settings)
    works.runner.run(works.accept({"successUri": url}))
    assert patient.deliver() == 1
    assert patient.deliver() == 0
    (entry,) = works.entries()
    assert entry.next_at is not None
    assert timedelta(seconds=4) < entry.next_at - entry.created_at < timedelta(seconds=60)
    patient.stop()


def test_a_name_that_means_a_private_address_is_given_up_at_once(works: Works, called: Receiver) -> None:
    elsewhere = Outbound(ports=tuple(range(1, 65536)), resolve=lambda *_: ["127.0.0.1"])
    courier = Courier(works.pool, works.settings, outbound=elsewhere)
    works.runner.run(works.accept({"successUri": called.url(host="innocent.example")}))
    assert courier.deliver() == 1
    (entry,) = works.entries()
    assert (entry.tries, entry.given_up_at is not None, called.heard) == (1, True, [])
    assert "public Internet" in (entry.last_error or "")
    courier.stop()
    (job,) = works.ops.get("/jobs").json()["jobs"]
    told = works.ops.get(f"/jobs/{job['id']}/log").json()["events"][-1]["message"]
    assert told == "calling back was given up: successful"


def test_a_redirect_to_a_private_address_is_not_followed(works: Works, called: Receiver) -> None:
    with receiver() as private:
        called.answers = [(302, {"Location": private.url()})]
        works.runner.run(works.accept({"successUri": called.url()}))
        assert works.courier.deliver() == 1
        assert (len(called.heard), private.heard) == (1, [])
    assert "redirects are not followed" in (works.entries()[0].last_error or "")


def test_several_couriers_tell_everything_once(works: Works, called: Receiver) -> None:
    for _ in range(12):
        works.runner.run(works.accept({"successUri": called.url()}))
    other = Courier(works.pool, works.settings)
    other.start()
    while works.courier.deliver():
        pass
    other.stop()
    assert len({headers["x-almagest-delivery"] for _, headers, _ in called.heard}) == len(called.heard) == 12


def test_what_a_worker_died_with_is_due_again_and_a_sleeper_changes_nothing(works: Works) -> None:
    works.runner.run(works.accept({"successUri": "http://127.0.0.1:9/"}))
    with works.pool.connection() as connection:
        (sleeper,) = outbox.claim(connection, timedelta(0), 10)
        (second,) = outbox.claim(connection, timedelta(minutes=1), 10)
        assert (second.id, second.tries) == (sleeper.id, 2)
        assert outbox.claim(connection, timedelta(minutes=1), 10) == []
        outbox.failed(connection, sleeper, "too late", None)
        assert works.entries()[0].given_up_at is None
        outbox.told(connection, second)
        assert works.entries()[0].delivered_at is not None


def test_everybody_has_his_turn(works: Works) -> None:
    with works.pool.connection() as connection:
        for principal in ("ann",) * 20 + ("bob",):
            job, _ = jobs.accept(
                connection,
                echo.PROCESS,
                {"message": "Hi"},
                principal,
                request={"subscriber": {"failedUri": "http://127.0.0.1:9/"}},
            )
            jobs.dismiss(connection, job)
        found = {post.principal for post in outbox.claim(connection, timedelta(minutes=1), 2)}
    assert found == {"ann", "bob"}


def test_what_is_told_of_a_job_that_is_gone_is_told_all_the_same(works: Works, called: Receiver) -> None:
    job = works.accept({"successUri": called.url()})
    works.runner.run(job)
    with works.pool.connection() as connection:
        jobs.dismiss(connection, job)
    assert works.courier.deliver() == 1
    assert works.entries()[0].delivered_at is not None


def test_who_conforms_says_so(works: Works) -> None:
    claimed = works.ops.get("/conformance").json()["conformsTo"]
    assert any(uri.endswith("/conf/callback") for uri in claimed)


def test_the_commands(works: Works, called: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "ALMAGEST_HOME": str(works.settings.site.home),
        "ALMAGEST_DB_HOST": works.settings.db_host,
        "ALMAGEST_DB_PORT": str(works.settings.database.port),
        "ALMAGEST_DB_NAME": works.settings.database.name,
        "ALMAGEST_WORK_CALLBACK_NETWORKS": "127.0.0.0/8",
        "ALMAGEST_WORK_CALLBACK_PORTS": str(called.port),
    }.items():
        monkeypatch.setenv(name, value)

    def call(*arguments: str) -> Any:
        return CliRunner().invoke(app, arguments)

    submit = ("jobs", "submit", "echo", "--input", "message=Hi", "--callback")
    assert "public Internet" in str(call(*submit, f"http://10.0.0.1:{called.port}/").exception)
    job = call(*submit, called.url()).stdout.split()[-1]
    works.runner.run(UUID(job))
    assert "waits" in call("callbacks", "list", job).stdout
    works.courier.deliver()
    ((_, headers, body),) = called.heard
    assert json.loads(body) == {"echo": "Hi"}
    assert "told" in call("callbacks", "list").stdout
    (entry,) = json.loads(call("callbacks", "list", job, "--json").stdout)
    assert (entry["about"], entry["tries"]) == (f"job:{job}", 1)
    secret = call("callbacks", "secret", "operator").stdout.strip()
    assert headers["x-almagest-signature"] == callbacks.signature(secret, body)


def test_without_a_secret_nothing_is_sent(works: Works, called: Receiver) -> None:
    (works.settings.secrets / secrets.CALLBACK_KEY).unlink()
    works.runner.run(works.accept({"successUri": called.url()}))
    assert works.courier.deliver() == 0
    assert works.entries()[0].tries == 0
