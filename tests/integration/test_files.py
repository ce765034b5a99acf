"""Files that callers keep, on the ops app itself: in a folder and in a real bucket, by the same tests."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import dataclasses
import errno
import hashlib
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import obstore
import psycopg
import pytest
from starlette.testclient import TestClient

from almagest.catalogue import database, own_files, uploads
from almagest.catalogue.bucket import open_bucket
from almagest.core import secrets
from almagest.core.settings import S3, Settings
from almagest.services.ops.app import create_app
from almagest.services.ops.cabinet import Cabinet
from almagest.services.ops.records import Records
from support import s3

TIFF = b"II*\0" + bytes(range(256)) * 40
MIB = 1 << 20


def caller(subject: str, scope: str = "files:write", tier: str = "") -> dict[str, str]:
    """What nginx says of somebody."""
    return {"X-Scopes": scope, "X-Subject": subject, "X-Principal": "x", "X-Tier": tier}


@pytest.fixture(scope="module")
def bucket() -> Iterator[s3.Bucket]:
    folder = Path(tempfile.mkdtemp(prefix="s3-", dir="/tmp"))
    try:
        with s3.bucket(folder) as bucket:
            yield bucket
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(
    params=[
        "folder",
        pytest.param(
            "bucket",
            marks=[
                pytest.mark.soak,
                pytest.mark.filterwarnings("ignore"),
                pytest.mark.skipif(bool(s3.missing()), reason=f"not installed: {', '.join(s3.missing())}"),
            ],
        ),
    ]
)
def own(request: pytest.FixtureRequest, settings: Settings, tmp_path: Path) -> Settings:
    """Settings with a store of one of the two kinds, which is empty."""
    secrets.ensure(settings.secrets, secrets.JWT_KEY, "5a" * 32)
    made = dataclasses.replace(settings, store=settings.store.model_copy(update={"store": tmp_path / "store"}))
    if request.param == "bucket":
        bucket: s3.Bucket = request.getfixturevalue("bucket")
        (settings.secrets / "s3.access").write_text(bucket.access)
        (settings.secrets / "s3.secret").write_text(bucket.secret)
        made = dataclasses.replace(made, s3=S3(bucket=bucket.name, endpoint=bucket.endpoint))
        obstore.delete(open_bucket(made), [found for batch in open_bucket(made).list() for found in _paths(batch)])
    return made


def _paths(batch: Any) -> list[str]:
    return [found["path"] for found in batch]


@pytest.fixture
def ann(settings: Settings) -> dict[str, str]:
    """Somebody of the tier `free`."""
    return caller(account(settings, "ann"), tier="free")


@pytest.fixture
def ops(own: Settings, ann: dict[str, str]) -> Iterator[httpx.Client]:
    with TestClient(create_app(own), base_url=own.site.origin, headers=ann) as client:
        yield client


def account(settings: Settings, name: str, role: str = "USER") -> str:
    with database.connect(settings, "postgres") as connection:
        row = connection.execute(
            "INSERT INTO almagest.account (name, role, password_hash) VALUES (%s, %s, %s) RETURNING id",
            (name, role, "x" * 20),
        ).fetchone()
    assert row
    return f"user:{row[0]}"


def stored(settings: Settings) -> dict[str, bytes]:
    """Everything that lies among own files, in the folder or in the bucket."""
    root = settings.store_path
    found = {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in (root / "own-files").rglob("*")
        if path.is_file()
    }
    if settings.s3.bucket:
        store = open_bucket(settings)
        for batch in store.list("own-files/"):
            found |= {path: bytes(store.get(path).bytes()) for path in _paths(batch)}
    return found


def content(own: Settings, answer: httpx.Response, **headers: str) -> httpx.Response:
    """The bytes that an answer leads to: a file that nginx would send, or an object of the bucket."""
    if own.s3.bucket:
        assert answer.status_code == 307
        found = httpx.get(answer.headers["location"], headers=headers, trust_env=False)
        assert found.headers["content-disposition"].startswith("attachment")
        return found
    key = answer.headers["x-accel-redirect"].replace("/_own_files/", "own-files/")
    return httpx.Response(200, content=(own.store_path / key).read_bytes(), headers=answer.headers)


def get(ops: httpx.Client, path: str, **more: Any) -> httpx.Response:
    return ops.get(path, follow_redirects=False, **more)


def test_a_file_is_brought_listed_fetched_and_removed(own: Settings, ops: httpx.Client) -> None:
    made = ops.put("/files/scene%20%C3%BC.tif", content=TIFF, headers={"Content-Type": "text/html"})
    told = made.json()
    assert made.status_code == 201, made.text
    assert made.headers["etag"] == f'"{hashlib.sha256(TIFF).hexdigest()}"'
    assert (told["name"], told["size"], told["type"]) == ("scene ü.tif", len(TIFF), "image/tiff; application=geotiff")
    assert told["sha256"] == hashlib.sha256(TIFF).hexdigest()
    listing = ops.get("/files").json()
    assert [file["name"] for file in listing["files"]] == ["scene ü.tif"]
    assert listing["room"] == {"used": len(TIFF), "most_of_all": 100 * MIB, "most_of_one": 10 * MIB}
    found = get(ops, "/files/scene%20%C3%BC.tif")
    assert found.headers["etag"] == made.headers["etag"]
    assert content(own, found).content == TIFF
    assert content(own, found).headers["content-type"] == "image/tiff; application=geotiff"
    assert "filename*=UTF-8''scene%20%C3%BC.tif" in content(own, found).headers["content-disposition"]
    known = get(ops, "/files/scene%20%C3%BC.tif", headers={"If-None-Match": made.headers["etag"]})
    assert (known.status_code, known.content) == (304, b"")
    assert ops.delete("/files/scene%20%C3%BC.tif").status_code == 204
    assert ops.delete("/files/scene%20%C3%BC.tif").status_code == 404
    assert get(ops, "/files/scene%20%C3%BC.tif").status_code == 404
    assert stored(own) == {}


def test_a_form_brings_a_file_too(own: Settings, ops: httpx.Client) -> None:
    made = ops.post("/files", files={"file": ("table.csv", b"a,b\n1,2\n", "image/png")})
    assert (made.status_code, made.json()["type"]) == (201, "text/csv")
    assert made.headers["location"].endswith("/ops/files/table.csv")
    assert list(stored(own).values()) == [b"a,b\n1,2\n"]
    for wrong in (
        {"files": {"other": ("a", b"x")}},
        {"files": [("file", ("a", b"x")), ("file", ("b", b"y"))]},
        {"files": {"file": ("../a", b"x")}},
        {"content": b"--x\r\n", "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
        {"content": b"nothing", "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
        {"content": b"nothing"},
    ):
        refused = ops.post("/files", **wrong)  # type: ignore[arg-type]
        assert (refused.status_code, refused.json()["code"]) == (400, "bad-request"), refused.text
    no_boundary = ops.post("/files", content=b"x", headers={"Content-Type": "multipart/form-data"})
    assert no_boundary.status_code == 415
    assert len(stored(own)) == 1


def test_a_large_file_of_a_form_is_whole(own: Settings, ops: httpx.Client) -> None:
    large = os.urandom(9 * MIB + 12345)
    made = ops.post("/files", files={"file": ("large.bin", large)})
    assert made.json()["sha256"] == hashlib.sha256(large).hexdigest()
    assert list(stored(own).values()) == [large]
    if own.s3.bucket:
        part = content(own, get(ops, "/files/large.bin"), Range="bytes=100-199")
        assert (part.status_code, part.content) == (206, large[100:200])


def test_a_name_stands_for_one_file(own: Settings, ops: httpx.Client) -> None:
    path = {"params": {"name": "a.txt"}}
    assert ops.post("/files", content=b"one", **path).status_code == 201
    again = ops.post("/files", content=b"one", **path)
    assert (again.status_code, again.json()["size"]) == (200, 3)
    other = ops.post("/files", content=b"other", **path)
    assert (other.status_code, other.json()["code"]) == (409, "conflict")
    assert list(stored(own).values()) == [b"one"]
    replaced = ops.put("/files/a.txt", content=b"other")
    assert (replaced.status_code, replaced.json()["sha256"]) == (200, hashlib.sha256(b"other").hexdigest())
    assert list(stored(own).values()) == [b"other"]


def test_who_says_what_he_replaces_replaces_nothing_else(own: Settings, ops: httpx.Client) -> None:
    none = {"If-None-Match": "*"}
    tag = ops.put("/files/a", content=b"one", headers=none).headers["etag"]
    assert ops.put("/files/a", content=b"two", headers=none).status_code == 412
    assert ops.put("/files/b", content=b"two", headers={"If-Match": tag}).status_code == 412
    assert ops.put("/files/a", content=b"two", headers={"If-Match": tag}).status_code == 200
    assert ops.put("/files/a", content=b"three", headers={"If-Match": tag}).status_code == 412
    assert ops.delete("/files/a", headers={"If-Match": tag}).status_code == 412
    assert list(stored(own).values()) == [b"two"]


def test_the_same_bytes_of_two_people_are_two_files(own: Settings, ops: httpx.Client) -> None:
    bob = caller(account(own, "bob"))
    assert ops.put("/files/a", content=b"same").status_code == 201
    assert ops.put("/files/a", content=b"same", headers=bob).status_code == 201
    assert ops.put("/files/b", content=b"same").status_code == 201
    assert ops.delete("/files/a").status_code == 204
    assert get(ops, "/files/a", headers=bob).status_code in {200, 307}
    assert sorted(stored(own).values()) == [b"same", b"same"]
    assert [file["name"] for file in ops.get("/files").json()["files"]] == ["b"]


def test_only_an_admin_sees_the_files_of_others(own: Settings, ops: httpx.Client, ann: dict[str, str]) -> None:
    ops.put("/files/a", content=b"hers")
    bob, admin = caller("key:bob"), caller("key:root", "admin")
    theirs = {"subject": ann["X-Subject"]}
    assert get(ops, "/files/a", headers=bob).status_code == 404
    for method, path in (("GET", "/files"), ("GET", "/files/a"), ("PUT", "/files/a"), ("DELETE", "/files/a")):
        refused = ops.request(method, path, headers=bob, params=theirs)
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert content(own, get(ops, "/files/a", headers=admin, params=theirs)).content == b"hers"
    listed = ops.get("/files", headers=admin, params=theirs).json()["files"]
    assert [
        file["links"][0]["href"].endswith(f"/files/a?subject={theirs['subject']}".replace(":", "%3A"))
        for file in listed
    ]
    assert ops.delete("/files/a", headers=admin, params=theirs).status_code == 204
    assert ops.get("/files", headers=caller("")).status_code == 400
    assert ops.get("/files", headers=caller("key:x", "jobs:run")).status_code == 403


def test_a_list_has_pages(ops: httpx.Client) -> None:
    for number in range(7):
        ops.put(f"/files/{number}", content=str(number).encode())
    found: list[str] = []
    path = "/files?limit=3"
    while path:
        page = ops.get(path).json()
        assert len(page["files"]) <= 3
        found += [file["name"] for file in page["files"]]
        path = next((link["href"] for link in page["links"] if link["rel"] == "next"), "").partition("/ops")[2]
    assert found == ["6", "5", "4", "3", "2", "1", "0"]
    assert ops.get("/files?token=nonsense").status_code == 400
    assert ops.get("/files?limit=0").status_code == 400


def digests(data: bytes) -> dict[str, str]:
    encoded = base64.b64encode(hashlib.sha256(data).digest()).decode()
    return {
        "Content-Digest": f"sha-256=:{encoded}:",
        "Repr-Digest": f"sha-512=:x:, sha-256=:{encoded}:",
        "Digest": f"SHA-256={encoded}",
    }


def test_bytes_that_changed_on_the_way_are_refused(own: Settings, ops: httpx.Client) -> None:
    good, bad = digests(b"content"), digests(b"consent")
    for name, value in good.items():
        assert ops.put(f"/files/{name}", content=b"content", headers={name: value}).status_code == 201
        refused = ops.put("/files/x", content=b"content", headers={name: bad[name]})
        assert (refused.status_code, refused.json()["code"]) == (400, "bad-request")
    digest = hashlib.sha256(b"content").hexdigest()
    for checksum in (digest, f"sha256:{digest}", f"1220{digest}"):
        assert ops.post(f"/files?checksum={checksum}", files={"file": ("c", b"content")}).status_code in {200, 201}
        assert ops.post(f"/files?checksum={checksum}", files={"file": ("d", b"consent")}).status_code == 400
    for wrong in ({"Content-Digest": "sha-256=:!:"}, {"Content-Digest": "sha-256=:YQ==:"}):
        assert ops.put("/files/x", content=b"content", headers=wrong).status_code == 400
    assert ops.put("/files/x?checksum=abc", content=b"content").status_code == 400
    assert ops.post("/files", files={"file": ("d", b"content")}, headers=good).status_code == 400
    assert len(stored(own)) == 4


def test_a_file_of_a_tier_has_so_many_bytes(own: Settings, ops: httpx.Client) -> None:
    most = 10 * MIB
    assert ops.put("/files/most", content=bytes(most)).status_code == 201
    declared = ops.put("/files/more", content=bytes(most + 1))
    # A generator has no length that could be told first.
    streamed = ops.put("/files/more", content=(bytes(MIB) for _ in range(11)))
    formed = ops.post("/files", files={"file": ("more", bytes(most + 1))})
    for refused in (declared, streamed, formed):
        assert (refused.status_code, refused.json()["code"]) == (413, "content-too-large")
        assert "tier `free` has 10,485,760 bytes at most" in refused.json()["detail"]
    assert len(stored(own)) == 1
    unlimited = caller("key:operator")
    assert ops.put("/files/more", content=bytes(most + 1), headers=unlimited).status_code == 201


def test_fifty_at_once_get_as_much_room_as_there_is(own: Settings, ops: httpx.Client, settings: Settings) -> None:
    with database.connect(settings, "postgres") as connection:
        connection.execute("UPDATE almagest.quota SET most = 7000 WHERE tier = 'free' AND class = 'files'")
    begin = threading.Barrier(50)

    def bring(number: int) -> httpx.Response:
        begin.wait()
        return ops.put(f"/files/{number}", content=number.to_bytes(2, "big") * 500)

    with ThreadPoolExecutor(50) as threads:
        answers = list(threads.map(bring, range(50)))
    by_status = sorted(answer.status_code for answer in answers)
    assert by_status == [201] * 7 + [413] * 43, {answer.text for answer in answers if answer.status_code == 503}
    refused = next(answer.json() for answer in answers if answer.status_code == 413)
    assert refused["code"] == "quota-exceeded"
    assert "may have 7000 bytes, and have 7000" in refused["detail"]
    assert len(stored(own)) == 7
    assert ops.put("/files/x", content=b"").status_code == 201
    full = next(number for number, answer in enumerate(answers) if answer.status_code == 201)
    assert ops.put(f"/files/{full}", content=bytes(1000)).status_code == 200, "what is replaced makes room"


def test_nobody_has_files_without_end(ops: httpx.Client, settings: Settings, ann: dict[str, str]) -> None:
    with database.connect(settings, "postgres") as connection:
        connection.execute(
            "INSERT INTO almagest.file (subject, name, size, sha256, media_type, key)"
            " SELECT %s, n::text, 0, sha256(''), 'x/x', 'own-files/x/' || n FROM generate_series(1, 10000) AS n",
            (ann["X-Subject"],),
        )
    refused = ops.put("/files/more", content=b"")
    assert (refused.status_code, refused.json()["code"]) == (413, "quota-exceeded")
    assert ops.put("/files/7", content=b"other").status_code == 200
    assert ops.put("/files/more", content=b"", headers=caller("key:another")).status_code == 201


def test_fifty_at_once_under_one_name_leave_one(own: Settings, ops: httpx.Client) -> None:
    with ThreadPoolExecutor(50) as threads:
        answers = list(threads.map(lambda n: ops.put("/files/a", content=str(n).encode()), range(50)))
    assert {answer.status_code for answer in answers} == {200, 201}
    assert sum(answer.status_code == 201 for answer in answers) == 1
    left = stored(own)
    assert len(left) == 1
    assert ops.get("/files").json()["files"][0]["sha256"] == hashlib.sha256(*left.values()).hexdigest()


def test_a_full_disk_keeps_nothing(own: Settings, ops: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    ops.put("/files/a", content=b"before")

    class Full:
        """A file on a disk that fills up."""

        def __init__(self, file: Any) -> None:
            self._file = file

        def write(self, _: bytes) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        def __getattr__(self, name: str) -> Any:
            return getattr(self._file, name)

    real = os.fdopen
    monkeypatch.setattr(uploads.os, "fdopen", lambda *given: Full(real(*given)))
    full = ops.put("/files/b", content=TIFF)
    assert (full.status_code, full.json()["code"]) == (507, "storage-full")
    assert ops.put("/files/a", content=TIFF).status_code == 507
    monkeypatch.undo()
    assert list(stored(own).values()) == [b"before"]


def test_bytes_without_a_row_are_collected_and_no_others(own: Settings, ops: httpx.Client) -> None:
    ops.put("/files/a", content=b"kept")
    with uploads.Incoming(own, None, "") as incoming:
        incoming.write(b"lost in a crash")
        lost = incoming.keep("key:x", "a.tif").key
    part = own.store_path / "own-files" / ".incoming" / "tmpx"
    part.write_bytes(b"never came in whole")
    beside = own.store_path / "results"
    beside.mkdir()
    (beside / "a.nc").write_bytes(b"no own file")
    with contextlib.closing(Counting(own)) as cabinet:
        assert cabinet.collect() == 0, "what came in just now may get its row yet"
        assert {lost, "own-files/.incoming/tmpx"} < set(stored(own))
        assert cabinet.collect(timedelta(0)) == 2
    assert list(stored(own).values()) == [b"kept"]
    assert (beside / "a.nc").exists()


def test_bytes_stay_while_nobody_knows_whether_a_row_names_them(
    own: Settings, ops: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = own_files.add

    def cut_off(*given: Any, **more: Any) -> Any:
        real(*given, **more)
        raise psycopg.OperationalError("the connection is lost")

    monkeypatch.setattr(own_files, "add", cut_off)
    assert ops.put("/files/a", content=b"committed").status_code == 503
    monkeypatch.undo()
    assert content(own, get(ops, "/files/a")).content == b"committed"
    with contextlib.closing(Counting(own)) as cabinet:
        assert cabinet.collect(timedelta(0)) == 0


class Counting:
    """A cabinet, asked from outside of a loop."""

    def __init__(self, settings: Settings) -> None:
        self._records = Records(settings)
        self._cabinet = Cabinet(settings, self._records)

    def collect(self, *age: timedelta) -> int:
        return asyncio.run(self._cabinet.collect(*age))

    def close(self) -> None:
        asyncio.run(self._cabinet.close())
        asyncio.run(self._records.close())


def test_a_store_that_is_away_is_said_to_be(own: Settings, ops: httpx.Client) -> None:
    if not own.s3.bucket:
        pytest.skip("a folder is not away")
    (own.secrets / "s3.secret").write_text("wrong")
    refused = ops.put("/files/a", content=b"x")
    assert (refused.status_code, refused.json()["code"]) == (503, "store-unavailable")
    assert ops.get("/files").json()["files"] == []


def test_the_ops_role_cannot_read_the_table(settings: Settings) -> None:
    with database.connect(settings, "almagest_ops") as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("SELECT * FROM almagest.file")
