"""Servers that subscribed are told of changes: in order, until they take them, and on from there."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from psycopg_pool import ConnectionPool
from typer.testing import CliRunner

from almagest.catalogue import audience, database, subscriptions
from almagest.cli import changes as commands
from almagest.cli.commands import app
from almagest.client import changes
from almagest.client.http import Http
from almagest.core import secrets
from almagest.core.settings import Settings
from almagest.pipelines import callbacks
from almagest.pipelines.courier import Courier
from almagest.pipelines.herald import Herald
from conftest import stac_client
from support import following, ingests
from support.receivers import Receiver, receiver

Connection = psycopg.Connection[Any]
SECRET = "of this stack"


@pytest.fixture
def own(settings: Settings) -> Settings:
    secrets.ensure(settings.secrets, secrets.CALLBACK_KEY, SECRET)
    secrets.ensure(settings.secrets, secrets.TOKEN_KEY, "5a" * 32)
    work = settings.work.model_copy(
        update={"callback_networks": ("127.0.0.0/8",), "callback_ports": tuple(range(1, 65536)), "poll_s": 0.05}
    )
    return replace(settings, work=work)


@pytest.fixture
def admin(own: Settings) -> Iterator[Connection]:
    with database.connect(own, own.database.admin_user) as connection:
        for number in range(3):
            name = f"c{number}"
            document = json.dumps(ingests.collection(name))
            connection.execute("SELECT almagest.put_collection(%s::jsonb)", (document,))
        following.settle(connection)
        yield connection


@pytest.fixture
def pool(own: Settings) -> Iterator[ConnectionPool[psycopg.Connection]]:
    with ConnectionPool(
        kwargs={**database.parameters(own, "almagest_worker"), "autocommit": True}, min_size=1, max_size=6
    ) as pool:
        yield pool


@pytest.fixture
def called() -> Iterator[Receiver]:
    with receiver() as found:
        yield found


def heard(called: Receiver) -> list[tuple[str, str]]:
    pages = [json.loads(body) for _, _, body in called.heard]
    return [(change["type"], change["collection"]) for page in pages for change in page["changes"]]


def test_they_are_told_in_order_and_once_they_have_taken_it(
    own: Settings, admin: Connection, pool: ConnectionPool[psycopg.Connection], called: Receiver
) -> None:
    herald, courier = Herald(pool, own), Courier(pool, own, first_pause_s=0)
    assert not herald.look(), "nobody has subscribed"
    assert subscriptions.subscribe(admin, "mirror", "operator", called.url(), "external", ["c0", "c1"])
    assert not subscriptions.subscribe(admin, "mirror", "operator", called.url(), "external")
    assert herald.look()
    assert not herald.look(), "one page at a time"
    called.answers = [(500, {}), (204, {})]
    assert courier.deliver() == 1
    admin.execute("SELECT almagest.delete_collection('c0')")
    assert not herald.look()
    (waiting,) = subscriptions.subscriptions(admin)
    assert (waiting.cursor, waiting.post is None, waiting.told_at) == (None, False, None)
    assert courier.deliver() == 1
    assert heard(called) == [("created", "c0"), ("created", "c1")] * 2, "the same again"
    (_, headers, body), _ = called.heard
    key = callbacks.key(SECRET, "operator")
    signed = "sha256=" + hmac.new(key.encode(), body, hashlib.sha256).hexdigest()
    assert headers["x-almagest-signature"] == signed
    assert headers["x-almagest-about"] == "changes:mirror"
    following.settle(admin)
    assert herald.look()
    assert courier.deliver() == 1
    assert heard(called)[4:] == [("deleted", "c0")]
    (told,) = subscriptions.subscriptions(admin)
    assert told.told_at is not None
    assert told.cursor == json.loads(called.heard[-1][2])["cursor"]
    assert herald.look(), "there is nothing new"
    assert courier.deliver() == 0
    assert subscriptions.unsubscribe(admin, "mirror")
    assert not subscriptions.unsubscribe(admin, "mirror")


def test_what_the_outbox_gave_up_is_told_later_from_the_same_place(
    own: Settings, admin: Connection, pool: ConnectionPool[psycopg.Connection], called: Receiver
) -> None:
    herald, courier = Herald(pool, own), Courier(pool, own, first_pause_s=0)
    subscriptions.subscribe(admin, "dead", "operator", called.url(), "internal")
    called.answers = [(500, {})]
    assert herald.look()
    while courier.deliver():
        pass
    (dead,) = subscriptions.subscriptions(admin)
    assert dead.post is None
    assert dead.cursor is None
    assert "500" in str(dead.trouble)
    assert not herald.look(), "in an hour"
    admin.execute("UPDATE almagest.subscription SET due_at = almagest.clock()")
    called.heard.clear()
    called.answers = [(204, {})]
    assert herald.look()
    assert courier.deliver() == 1
    assert heard(called) == [("created", f"c{number}") for number in range(3)]
    assert subscriptions.subscriptions(admin)[0].trouble is None


def test_who_cannot_be_told_what_he_missed_is_left_alone(
    own: Settings, admin: Connection, pool: ConnectionPool[psycopg.Connection], called: Receiver
) -> None:
    herald = Herald(pool, own)
    with stac_client(own, "external") as client:
        _, cursor = following.rest(client, "/external", None)
    subscriptions.subscribe(admin, "late", "operator", called.url(), "external", cursor=cursor)
    audience.set_hidden(admin, hide=("number",))
    assert herald.look()
    (late,) = subscriptions.subscriptions(admin)
    assert "Begin anew" in str(late.trouble)
    assert not herald.look()


def test_by_hand(own: Settings, admin: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    import contextlib

    monkeypatch.setattr(commands.admin, "connected", lambda: contextlib.nullcontext((own, admin)))
    runner = CliRunner()

    def run(*arguments: str) -> Any:
        return runner.invoke(app, ["changes", *arguments])

    assert run("subscribe", "hook", "http://127.0.0.1:9/hook", "-c", "c0").exit_code == 0
    assert run("subscribe", "hook", "http://127.0.0.1:9/hook").exit_code != 0
    assert run("subscribe", "Not A Name", "http://127.0.0.1:9/hook").exit_code != 0
    assert run("subscribe", "inner", "http://10.0.0.1/hook").exit_code != 0, "as for callbacks of jobs"
    (listed,) = json.loads(run("list", "--json").output)
    assert (listed["name"], listed["collections"], listed["audience"]) == ("hook", ["c0"], "external")
    assert "hook" in run("list").output
    assert run("unsubscribe", "hook").exit_code == 0
    assert run("unsubscribe", "hook").exit_code != 0


def test_the_client_follows(own: Settings, admin: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with stac_client(own) as client:

        def handle(request: httpx.Request) -> httpx.Response:
            answer = client.get(str(request.url))
            return httpx.Response(answer.status_code, json=answer.json())

        monkeypatch.setattr(
            "almagest.client.http.Http", lambda url, key, say: Http(url, key, transport=httpx.MockTransport(handle))
        )
        state = tmp_path / "cursor"
        line = ["changes", "follow", "--once", "--api-url", f"{own.site.origin}/api", "--state", str(state)]
        first = CliRunner().invoke(app, [*line, "--json", "--documents"])
        assert first.exit_code == 0, first.output
        told = [json.loads(text) for text in first.output.splitlines()]
        assert [(change["type"], change["collection"]) for change in told] == [
            ("created", f"c{number}") for number in range(3)
        ]
        assert told[0]["document"]["id"] == "c0"
        admin.execute("SELECT almagest.delete_collection('c1')")
        following.settle(admin)
        second = CliRunner().invoke(app, line)
        assert [text.split()[1:] for text in second.output.splitlines()] == [["deleted", "c1"]]
        with Http(f"{own.site.origin}/api", transport=httpx.MockTransport(handle)) as http:
            (page,) = changes.follow(http, "now", until_end=True)
            assert page.changes == []
