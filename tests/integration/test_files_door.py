"""Files through nginx: bytes that stream in, and parts of them that nginx sends."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from click.testing import Result
from typer.testing import CliRunner

from almagest.catalogue import database, keys
from almagest.cli.commands import app
from almagest.core import secrets
from almagest.core.errors import ConflictError, NotFoundError, TooLargeError
from almagest.core.settings import Settings
from support import site
from support.cluster import Cluster

MIB = 1 << 20
CONTENT = bytes(range(256)) * 16


@pytest.fixture
def own(cluster: Cluster, settings: Settings, home: Path) -> Settings:
    found = cluster.settings(settings.database.name, home)
    secrets.ensure(found.secrets, "almagest_ops")
    secrets.ensure(found.secrets, secrets.JWT_KEY, "5a" * 32)
    return found


@pytest.fixture
def key(own: Settings) -> str:
    """The operator's own: it belongs to nobody, and nothing limits it."""
    with database.connect(own, "postgres") as connection:
        return keys.create(connection, "Backup", ["files:write"]).reveal()


@pytest.fixture
def her_key(own: Settings) -> str:
    """Somebody's of the tier `free`."""
    with database.connect(own, "postgres") as connection:
        row = connection.execute(
            "INSERT INTO almagest.account (name, password_hash) VALUES ('ann', %s) RETURNING id", ("x" * 20,)
        ).fetchone()
        assert row
        return keys.create(connection, "Ann", ["files:write"], account=row[0]).reveal()


@pytest.fixture
def ann(own: Settings, her_key: str) -> Iterator[httpx.Client]:
    with site.opened(own) as running, site.client(running, her_key) as client:
        yield client


def left(own: Settings) -> list[Path]:
    return [path for path in (own.store_path / "own-files").rglob("*") if path.is_file()]


def test_parts_of_a_file_and_what_is_told_of_it(ann: httpx.Client) -> None:
    made = ann.put("/ops/files/%C3%BC%20%251%2B.bin", content=CONTENT)
    assert made.status_code == 201, made.text
    address = made.headers["location"]
    whole = ann.get(address)
    tag = f'"{hashlib.sha256(CONTENT).hexdigest()}"'
    assert (whole.status_code, whole.content, whole.headers["etag"]) == (200, CONTENT, tag)
    assert whole.headers["content-type"] == "application/octet-stream"
    assert whole.headers["content-disposition"].endswith("filename*=UTF-8''%C3%BC%20%251%2B.bin")
    assert whole.headers["x-content-type-options"] == "nosniff"
    assert whole.headers["content-security-policy"] == "sandbox; default-src 'none'"
    assert "x-accel-redirect" not in whole.headers
    part = ann.get(address, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content, part.headers["content-range"]) == (206, CONTENT[10:20], "bytes 10-19/4096")
    assert part.headers["etag"] == tag
    assert ann.get(address, headers={"Range": "bytes=5000-"}).status_code == 416
    assert ann.get(address, headers={"Range": "bytes=0-1", "If-Range": tag}).status_code == 206
    assert ann.get(address, headers={"Range": "bytes=0-1", "If-Range": '"other"'}).content == CONTENT
    assert ann.get(address, headers={"If-None-Match": tag}).status_code == 304
    head = ann.head(address)
    assert (head.status_code, head.content, head.headers["content-length"], head.headers["etag"]) == (
        200,
        b"",
        "4096",
        tag,
    )
    assert ann.get(address, headers={"Authorization": ""}).status_code == 401
    assert ann.get("/_own_files/").status_code == 404
    assert ann.delete(address).status_code == 204
    assert ann.get(address).status_code == 404


def test_a_form_passes_the_door(own: Settings, ann: httpx.Client) -> None:
    large = os.urandom(9 * MIB)
    made = ann.post("/ops/files", files={"file": ("a.bin", large)})
    assert (made.status_code, made.json()["size"]) == (201, len(large)), made.text
    assert [path.read_bytes() for path in left(own)] == [large]


def test_what_is_too_much_is_refused_in_words_however_it_comes(own: Settings, ann: httpx.Client) -> None:
    for _ in range(5):
        declared = ann.put("/ops/files/a", content=bytes(60 * MIB))
        streamed = ann.put("/ops/files/a", content=(bytes(MIB) for _ in range(60)))
        formed = ann.post("/ops/files", files={"file": ("a", bytes(60 * MIB))})
        for refused in (declared, streamed, formed):
            assert refused.status_code == 413, refused.text
            assert "tier `free`" in refused.json()["detail"]
    lines = b"PUT /ops/files/a HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000000\r\nAuthorization: %s\r\n\r\n"
    with socket.create_connection((ann.base_url.host, ann.base_url.port or 0), timeout=10) as connection:
        connection.sendall(lines % ann.headers["authorization"].encode())
        assert b" 413 " in connection.recv(4096).splitlines()[0]
    assert left(own) == []


def test_who_hangs_up_leaves_nothing(own: Settings, ann: httpx.Client) -> None:
    lines = b"PUT /ops/files/a HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\nAuthorization: %s\r\n\r\n"
    for sent in (0, 100, 5 * MIB):
        with socket.create_connection((ann.base_url.host, ann.base_url.port or 0), timeout=10) as connection:
            connection.sendall(lines % ann.headers["authorization"].encode())
            connection.sendall(bytes(sent))
            until = time.monotonic() + 10
            while not left(own) and time.monotonic() < until:
                time.sleep(0.01)
            assert left(own), "it had not begun"
        until = time.monotonic() + 10
        while left(own) and time.monotonic() < until:
            time.sleep(0.01)
        assert left(own) == []
    assert ann.get("/ops/files").json()["files"] == []


def test_a_large_file_takes_little_memory(own: Settings, key: str) -> None:
    size = 300
    with site.opened(own) as running, site.client(running, key) as client:
        client.put("/ops/files/small", content=b"x")
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before = peak_kb()
        chunk, digest = os.urandom(MIB), hashlib.sha256()

        def chunks() -> Iterator[bytes]:
            for _ in range(size):
                digest.update(chunk)
                yield chunk

        length = {"Content-Length": str(size * MIB)}  # more than the site lets through elsewhere
        made = client.put("/ops/files/large", content=chunks(), headers=length)
        assert made.json()["sha256"] == digest.hexdigest()
        assert peak_kb() - before < 60 << 10
        with contextlib.closing(client.get("/ops/files/large", headers={"Range": f"bytes={size * MIB - 5}-"})) as end:
            assert end.content == chunk[-5:]


def peak_kb() -> int:
    """The most memory that this process, of which ops is a thread, has had."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


def test_the_command_brings_lists_fetches_and_removes(
    own: Settings, ann: httpx.Client, her_key: str, home: Path
) -> None:
    (home / "a [b].csv").write_bytes(b"a,b\n" * 100_000)
    given = ["--api-url", f"{ann.base_url}/api", "--key", her_key]
    runner = CliRunner()

    def run(*arguments: str) -> Result:
        return runner.invoke(app, ["files", *arguments, *given])

    made = run("upload", str(home / "a [b].csv"))
    assert made.exit_code == 0, made.output
    # The ops process is a thread here, and says a word of its own before.
    assert made.stdout.splitlines()[-1].startswith(f"file://{own.store_path}/own-files/")
    assert run("upload", str(home / "a [b].csv")).exit_code == 0, "the same once more"
    (listed,) = json.loads(run("list", "--json").stdout.splitlines()[-1])
    assert (listed["name"], listed["type"], listed["size"]) == ("a [b].csv", "text/csv", 400_000)
    assert "a [b].csv" in run("list").stdout
    copy = home / "copy.csv"
    assert run("download", "a [b].csv", "--output", str(copy)).exit_code == 0
    assert copy.read_bytes() == (home / "a [b].csv").read_bytes()
    for refused in (run("download", "a [b].csv", "-o", str(copy)), run("download", "none", "-o", str(home / "none"))):
        assert refused.exit_code == 1
    copy.write_text("other")
    assert isinstance(run("upload", str(copy), "--name", "a [b].csv").exception, ConflictError)
    assert run("upload", str(copy), "--name", "a [b].csv", "--replace").exit_code == 0
    assert run("download", "a [b].csv", "-o", str(copy), "--force").exit_code == 0
    assert copy.read_text() == "other"
    copy.write_bytes(bytes(11 * MIB))
    assert isinstance(run("upload", str(copy)).exception, TooLargeError)
    assert run("delete", "a [b].csv").exit_code == 0
    assert isinstance(run("delete", "a [b].csv").exception, NotFoundError)
    assert sorted(path.name for path in home.iterdir() if path.name.startswith(".")) == []
