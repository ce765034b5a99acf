"""The audit over HTTP: what leaves a row and what does not, and that the row is there before the answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as Served
from starlette.testclient import TestClient

from almagest.catalogue import audit, database, keys
from almagest.catalogue.chain import Row
from almagest.core import secrets
from almagest.core.settings import Settings
from almagest.services.ops import refusals
from almagest.services.ops.app import create_app
from almagest.services.web import recording
from almagest.services.web.audited import Audited
from almagest.services.web.inventory import Route, Scope
from almagest.services.web.pool import WritePool
from almagest.services.web.problem import LastResort
from almagest.services.web.public_url import PublicUrl
from almagest.services.web.recording import Entry, Recorder
from almagest.services.web.request_id import RequestId
from conftest import stac_client, tiles_client
from support.cluster import Cluster

COLLECTION: dict[str, Any] = {
    "type": "Collection",
    "stac_version": "1.1.0",
    "id": "scenes",
    "description": "Scenes.",
    "license": "CC0-1.0",
    "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [["2020-01-01T00:00:00Z", None]]}},
    "links": [],
}
ANN = {
    "X-Scopes": "catalogue:read catalogue:write jobs:run",
    "X-Subject": "key:4fJk29Zq",
    "X-Principal": "Ann",
    "X-Key-Id": "4fJk29Zq",
    "X-Forwarded-For": "192.0.2.7",
    "X-Request-ID": "0" * 31 + "1",
    "Authorization": "Bearer alm_secret",
}

pytestmark = pytest.mark.xdist_group("alone")


@pytest.fixture(scope="session")
def cluster(lonely_cluster: Cluster) -> Cluster:
    """Sealing waits for every transaction of the cluster: those of other tests would hold it up."""
    return lonely_cluster


@pytest.fixture
def settings(cluster: Cluster, settings: Settings, home: Path) -> Settings:
    """As elsewhere, but with secrets of its own."""
    found = cluster.settings(settings.database.name, home)
    secrets.ensure(found.secrets, "almagest_ops")
    secrets.ensure(found.secrets, "almagest_writer")
    secrets.ensure(found.secrets, "almagest_reader")
    secrets.ensure(found.secrets, "almagest_external")
    secrets.ensure(found.secrets, secrets.JWT_KEY, "5a" * 32)
    found.run.mkdir()
    return found


@pytest.fixture
def admin(settings: Settings) -> Iterator[psycopg.Connection[Any]]:
    with database.connect(settings, "postgres") as connection:
        yield connection


def rows(connection: psycopg.Connection[Any]) -> list[Row]:
    return list(audit.export(connection))


def soon(connection: psycopg.Connection[Any], number: int) -> list[Row]:
    """Rows that are written behind the answer's back."""
    until = time.monotonic() + 10
    while len(found := rows(connection)) < number and time.monotonic() < until:
        time.sleep(0.05)
    return found


def test_a_change_leaves_a_row_and_reading_none(api: httpx.Client, admin: psycopg.Connection[Any]) -> None:
    made = api.post("/api/collections?token=secret", json=COLLECTION, headers=ANN)
    assert made.status_code == 201
    (row,) = rows(admin)
    assert (row.subject, row.name, row.key_id, row.address) == ("key:4fJk29Zq", "Ann", "4fJk29Zq", "192.0.2.7")
    assert (row.method, row.route, row.path, row.status) == ("POST", "/api/collections", "/api/collections", 201)
    assert row.request_id == made.headers["x-request-id"] == "00000000-0000-0000-0000-000000000001"
    assert (row.login, row.times) == ("almagest_writer", 1)
    assert 0 < row.duration_us < 60e6
    assert "secret" not in str(row)
    for method, path in (
        ("GET", "/api/collections/scenes"),
        ("HEAD", "/api/collections/scenes"),
        ("GET", "/api/collections/none"),
        ("GET", "/api/search"),
        ("DELETE", "/api/nothing/here"),
        ("PUT", "/api/search"),
    ):
        api.request(method, path, headers=ANN)
    assert api.post("/api/search", json={}, headers=ANN).status_code == 200
    assert len(rows(admin)) == 1


def test_a_change_that_fails_leaves_a_row_too(api: httpx.Client, admin: psycopg.Connection[Any]) -> None:
    assert api.put("/api/collections/sc%C3%A9nes%0a", json=COLLECTION, headers=ANN).status_code == 400
    assert api.delete("/api/collections/none/items/ü", headers=ANN).status_code == 404
    wrong, missing = rows(admin)
    assert (wrong.status, wrong.route, wrong.path) == (
        400,
        "/api/collections/{collection_id}",
        "/api/collections/scénes�",
    )
    assert (missing.status, missing.path) == (404, "/api/collections/none/items/ü")
    assert missing.route == "/api/collections/{collection_id}/items/{item_id}"


def test_what_an_application_refuses_itself_is_noted(api: httpx.Client, admin: psycopg.Connection[Any]) -> None:
    refused = api.delete("/api/collections/scenes", headers={**ANN, "X-Scopes": "catalogue:read"})
    assert refused.status_code == 403
    (row,) = soon(admin, 1)
    assert (row.status, row.subject, row.path) == (403, "key:4fJk29Zq", "/api/collections/scenes")


def test_registering_a_search_for_tiles_leaves_a_row(settings: Settings, admin: psycopg.Connection[Any]) -> None:
    with tiles_client(settings) as tiles:
        assert tiles.post("/api/tiles/searches/register", json={}, headers=ANN).status_code == 200
        assert tiles.get("/api/tiles/colorMaps", headers=ANN).status_code == 200
    (row,) = rows(admin)
    assert (row.method, row.path, row.name) == ("POST", "/api/tiles/searches/register", "Ann")


def test_outsiders_leave_none(settings: Settings, admin: psycopg.Connection[Any]) -> None:
    with stac_client(settings, "external", raise_server_exceptions=False) as outside:
        outside.post("/external/search", json={})
        outside.delete("/external/collections/scenes")
    assert rows(admin) == []


def test_a_job_leaves_a_row(settings: Settings, admin: psycopg.Connection[Any]) -> None:
    with TestClient(create_app(settings), base_url=settings.site.origin, headers=ANN) as ops:
        later = {"Prefer": "respond-async"}
        taken = ops.post("/processes/echo/execution", json={"inputs": {"message": "secret"}}, headers=later)
        assert taken.status_code == 201
        assert ops.get("/jobs").status_code == 200
        assert ops.delete(taken.headers["location"]).status_code == 200
    made, dismissed = rows(admin)
    assert (made.method, made.route, made.status) == ("POST", "/ops/processes/{process_id}/execution", 201)
    assert (dismissed.method, dismissed.route) == ("DELETE", "/ops/jobs/{job_id}")
    assert "secret" not in str(made)


def test_a_login_names_who_it_turned_out_to_be(settings: Settings, admin: psycopg.Connection[Any]) -> None:
    inside = {"X-Forwarded-For": "127.0.0.1"}
    who = {"name": "ada@example.org", "password": "correct horse battery staple"}
    with TestClient(create_app(settings), base_url=settings.site.origin, headers=inside) as ops:
        assert ops.post("/auth/register", json=who).status_code == 201
        tokens = ops.post("/auth/login", json=who)
        assert tokens.status_code == 200
        assert ops.post("/auth/refresh", json={"refresh_token": tokens.json()["refresh_token"]}).status_code == 200
        assert ops.post("/auth/login", json={**who, "password": "wrong"}).status_code == 401
    *done, refused = rows(admin)
    assert [row.route for row in done] == ["/ops/auth/register", "/ops/auth/login", "/ops/auth/refresh"]
    assert {row.name for row in done} == {"ada@example.org"}
    (subject,) = {row.subject for row in done}
    assert subject.startswith("user:")
    # Whose password was guessed at is told as well.
    assert (refused.status, refused.subject) == (401, subject)
    assert "horse" not in str(done)


def test_what_admins_look_at_is_kept_too(settings: Settings, admin: psycopg.Connection[Any]) -> None:
    root = {**ANN, "X-Scopes": "admin"}
    with TestClient(create_app(settings), base_url=settings.site.origin, headers=root) as ops:
        assert ops.get("/admin/accounts").status_code == 200
        assert ops.get("/admin/accounts/nobody").status_code == 404
        assert ops.get("/metrics").status_code == 200
    assert [(row.route, row.status) for row in rows(admin)] == [
        ("/ops/admin/accounts", 200),
        ("/ops/admin/accounts/{name}", 404),
    ]


def ask(ops: httpx.Client, key: keys.Key | None, number: int = 1, **headers: str) -> httpx.Response:
    """Asks as nginx does."""
    asked = {
        "X-Required-Scope": "catalogue:write",
        "X-Client-Address": f"192.0.2.{number}",
        "X-Original-Method": "DELETE",
        "X-Original-Path": "/api/collections/scenes",
        **({"Authorization": f"Bearer {key.reveal()}"} if key else {}),
    }
    return ops.get("/authorize", headers={**asked, **headers})


def test_what_admins_read_of_others_is_kept_and_what_is_their_own_is_not(
    settings: Settings, admin: psycopg.Connection[Any]
) -> None:
    root = {**ANN, "X-Scopes": "admin", "X-Subject": "key:root", "X-Principal": "Root"}
    with TestClient(create_app(settings), base_url=settings.site.origin) as ops:
        made = ops.post(
            "/ops/processes/echo/execution",
            json={"inputs": {"message": "x"}},
            headers={**ANN, "Prefer": "respond-async"},
        )
        assert made.status_code == 201, made.text
        job = made.headers["location"].partition("/ops")[2]
        before = len(rows(admin))
        for path in ("/ops/jobs", f"/ops{job}", f"/ops{job}/log", "/ops/jobs/statistics"):
            assert ops.get(path, headers=ANN).status_code == 200
        assert ops.get("/ops/files", headers={**root}).status_code == 200
        assert len(rows(admin)) == before
        read = ("/ops/jobs", f"/ops{job}", f"/ops{job}/log", "/ops/jobs/statistics", "/ops/files?subject=key:4fJk29Zq")
        for path in read:
            assert ops.get(path, headers=root).status_code == 200
        found = rows(admin)[before:]
        assert [row.path for row in found] == [path.partition("?")[0] for path in read]
        assert {(row.name, row.status, row.method) for row in found} == {("Root", 200, "GET")}


def test_looks_at_flower_are_kept_by_whom_nginx_asks() -> None:
    def answered(path: str) -> int:
        recorder = Recorder(None)
        noted: list[Entry] = []
        recorder.later = noted.append  # type: ignore[method-assign]
        granted = Response(status_code=204, headers={"X-Subject": "user:1", "X-Principal": "root"})
        refusals.note(recorder, Headers({"x-original-method": "GET", "x-original-path": path}), granted)
        assert all((entry.name, entry.subject, entry.route) == ("root", "user:1", path) for entry in noted)
        return len(noted)

    assert answered("/ops/ui/flower/tasks") == 1
    for fetched in ("/ops/ui/flower/static/js/x.js", "/ops/ui/flower/tasks/datatable", "/ops/ui/flowers", "/api/x"):
        assert answered(fetched) == 0


def test_what_nginx_refuses_is_noted_by_whom_it_asks(settings: Settings, admin: psycopg.Connection[Any]) -> None:
    reader, writer = keys.create(admin, "Ben", ["catalogue:read"]), keys.create(admin, "Ann", ["catalogue:write"])
    gone = keys.create(admin, "Eve", ["catalogue:write"])
    keys.revoke(admin, gone.id)
    stranger = keys.Key(reader.id, keys.Key.make().secret)
    with TestClient(create_app(settings), base_url=settings.site.origin) as ops:
        statuses = [ask(ops, key).status_code for key in (writer, reader, gone, stranger, None)]
        assert statuses == [204, 403, 401, 401, 401]
        found = soon(admin, 4)
    assert [(row.status, row.subject, row.name) for row in found] == [
        (403, f"key:{reader.id}", "Ben"),
        (401, "", ""),  # whose key is no more, but see below
        (401, "", ""),  # whose id he says, he does not have the key
        (401, "", ""),
    ]
    assert [row.key_id for row in found] == [reader.id, gone.id, "", ""]
    assert {(row.method, row.route, row.address) for row in found} == {
        ("DELETE", "/api/collections/{collection_id}", "192.0.2.1")
    }
    assert reader.secret not in str(found)


def test_a_flood_of_refusals_leaves_few_rows(settings: Settings, admin: psycopg.Connection[Any]) -> None:
    with TestClient(create_app(settings), base_url=settings.site.origin) as ops:
        for _ in range(60):
            assert ask(ops, None).status_code == 401
        assert ask(ops, None, 2).status_code == 401
    found = rows(admin)
    assert len([row for row in found if row.status == 401 and row.address == "192.0.2.1"]) == 10
    assert [(row.address, row.times) for row in found if row.status == 0] == [("192.0.2.1", 50)]
    assert sum(row.times for row in found) == 61


def test_ops_seals_what_is_written_and_tells_how_much_is_not(
    settings: Settings, admin: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("almagest.services.ops.sealing.INTERVAL_S", 0.05)
    admin.execute("SELECT almagest.note_requests(%s)", ('[{"ago_us": 3456000000000}]',))  # nobody made room for it
    with database.connect(settings, "almagest_ops") as other, other.transaction():
        other.execute("SELECT note_requests('[{}, {}]')")  # is under way, and so holds up what comes later
        with TestClient(create_app(settings), base_url=settings.site.origin, headers=ANN) as ops:
            ops.delete("/jobs/00000000-0000-0000-0000-000000000000")
            numbers = ops.get("/metrics", headers={"X-Scopes": "ops:read"}).text
    assert "almagest_audit_unsealed_rows 2.0" in numbers
    with TestClient(create_app(settings), base_url=settings.site.origin):
        until = time.monotonic() + 10
        while audit.verify(admin).unsealed and time.monotonic() < until:
            time.sleep(0.05)
    found = audit.verify(admin)
    assert (found.fault, found.unsealed, found.rows) == (None, 0, 4)
    assert admin.execute("SELECT count(*) FROM almagest.request_audit_rest").fetchone() == (0,)


ROUTES = (
    Route(("GET", "POST", "DELETE"), "/accounts/{name}", Scope.ADMIN),
    Route(("POST",), "/login", Scope.LOGIN),
    Route(("POST",), "/broken", Scope.WRITE),
)


def small_app(recorder: Recorder) -> Any:
    """An app of our kind, without anything else."""

    async def answer(request: Request) -> Response:
        return Response("done", status_code=int(request.query_params.get("status", "200")))

    async def broken(_: Request) -> Response:
        raise RuntimeError("a bug")

    app = Starlette(
        routes=[
            Served("/accounts/{name}", answer, methods=["GET", "POST", "DELETE"]),
            Served("/login", answer, methods=["POST"]),
            Served("/broken", broken, methods=["POST"]),
        ]
    )
    app.user_middleware = [
        Middleware(RequestId),
        Middleware(LastResort),
        Middleware(PublicUrl, origin="http://here", prefix="/ops"),
        Middleware(Audited, prefix="/ops", routes=ROUTES, recorder=recorder),
    ]
    return app


async def asked(app: Any, *requests: tuple[str, str]) -> list[int]:
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://here", headers=ANN) as client:
        return [(await client.request(*request)).status_code for request in requests]


def test_whatever_admins_do_is_kept_and_logins_are(settings: Settings, admin: psycopg.Connection[Any]) -> None:
    async def run() -> None:
        pool = WritePool(settings, "almagest_ops", timeout_s=5)
        recorder = Recorder.over(pool)
        async with recorder.kept():
            await asked(
                small_app(recorder),
                ("GET", "/ops/accounts/ann?x=secret"),
                ("HEAD", "/ops/accounts/ann"),
                ("DELETE", "/ops/accounts/ann"),
                ("POST", "/ops/login"),
                ("POST", "/ops/login?status=401"),
                ("POST", "/ops/login?status=429"),
                ("POST", "/ops/broken"),
                ("POST", "/ops/unlisted"),
            )
        await pool.close()

    asyncio.run(run())
    found = rows(admin)
    assert sorted((row.method, row.route, row.status) for row in found) == [
        ("DELETE", "/ops/accounts/{name}", 200),
        ("GET", "/ops/accounts/{name}", 200),
        ("HEAD", "/ops/accounts/{name}", 200),
        ("POST", "/ops/broken", 500),
        ("POST", "/ops/login", 200),
        ("POST", "/ops/login", 401),
        ("POST", "/ops/login", 429),
    ]
    assert "secret" not in str(found)


def test_the_row_is_there_before_the_answer_begins(settings: Settings, admin: psycopg.Connection[Any]) -> None:
    async def run() -> list[int]:
        pool = WritePool(settings, "almagest_ops", timeout_s=5)
        app, seen = small_app(Recorder.over(pool)), []

        async def looking(scope: Any, receive: Any, send: Any) -> None:
            async def look(message: Any) -> None:
                if message["type"] == "http.response.start":
                    seen.append(len(rows(admin)))
                await send(message)

            await app(scope, receive, look)

        await asked(looking, ("DELETE", "/ops/accounts/ann"), ("DELETE", "/ops/accounts/ann"))
        await pool.close()
        return seen

    assert asyncio.run(run()) == [1, 2]


def test_an_answer_goes_out_where_the_row_cannot_be_written_and_the_row_follows(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(recording, "EVERY_S", 0.01)
    written: list[str] = []
    failures = iter([True, True])

    async def write(document: str) -> None:
        if next(failures, False):
            raise OSError("the disk is full")
        written.append(document)

    async def run() -> tuple[list[int], int, int]:
        recorder = Recorder(write)
        async with recorder.kept():
            statuses = await asked(small_app(recorder), ("DELETE", "/ops/accounts/ann"))
            await asyncio.sleep(0.2)
        return statuses, recorder.late, recorder.lost

    assert asyncio.run(run()) == ([200], 1, 0)
    assert len(written) == 1
    assert "/ops/accounts/ann" in written[0]
    told = capsys.readouterr().out
    assert "audited late" in told
    assert "/ops/accounts/ann" in told


def test_a_slow_database_holds_up_an_answer_for_a_while_and_the_row_is_there_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recording, "PATIENCE_S", 0.1)
    written: list[str] = []

    async def write(document: str) -> None:
        await asyncio.sleep(0.4)
        written.append(document)

    async def run() -> tuple[float, int]:
        recorder, began = Recorder(write), time.monotonic()
        monkeypatch.setattr(recording, "EVERY_S", 0.05)
        async with recorder.kept():
            await recorder.record(Entry(path="/x"))
            took_s = time.monotonic() - began
            monkeypatch.setattr(recording, "PATIENCE_S", 5.0)
        return took_s, len(written)

    took_s, number = asyncio.run(run())
    assert 0.1 <= took_s < 0.35
    assert number == 1


def test_what_is_never_written_is_told_by_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    async def write(_: str) -> None:
        raise OSError("away")

    async def run() -> int:
        recorder = Recorder(write)
        async with recorder.kept():
            await recorder.record(Entry(path="/lost"))
        return recorder.lost

    assert asyncio.run(run()) == 1
    assert "not audited" in capsys.readouterr().out


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=40)
@given(text=st.text(st.characters(exclude_categories=[]), max_size=1200))
def test_any_text_is_stored_and_sealed(settings: Settings, admin: psycopg.Connection[Any], text: str) -> None:
    document = recording.orjson.dumps([Entry(path=text, name=text, address=text).document()]).decode()
    with database.connect(settings, "almagest_ops") as ops:
        ops.execute("SELECT note_requests(%s)", (document,))
        ops.execute("SELECT * FROM seal_audit()")
    assert audit.verify(admin).fault is None
    assert rows(admin)[-1].path == recording.printable(text[:1000])
