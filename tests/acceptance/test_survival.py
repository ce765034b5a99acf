"""What is killed comes back, what is in the way is named, and nothing is lost."""

from __future__ import annotations

import concurrent.futures
import os
import shutil
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from support.stack import Stack, kill, stack

pytestmark = pytest.mark.xdist_group("survival")


@pytest.fixture(scope="module")
def victim() -> Iterator[Stack]:
    with stack("none", ALMAGEST_TILE_WORKERS="1") as started:
        key = {"Authorization": f"Bearer {started.write_key}"}
        with started.client(headers=key) as client:
            assert client.post("/api/collections", json=collection("kept")).status_code == 201
            for number in range(12):
                assert client.post("/api/collections/kept/items", json=item("kept", number)).status_code == 201
        yield started


def item_count(running: Stack) -> int:
    with running.client() as client:
        return sum(
            len(client.get(f"/api/collections/{collection['id']}/items?limit=1000").json()["features"])
            for collection in client.get("/api/collections?limit=100").json()["collections"]
        )


def test_up_again_takes_seconds_and_changes_nothing(victim: Stack) -> None:
    before = victim.processes()
    started = time.monotonic()
    victim.run("up")
    assert time.monotonic() - started < 15
    assert victim.processes() == before


def test_every_killed_child_comes_back_within_ten_seconds(victim: Stack) -> None:
    count = item_count(victim)
    assert count == 12
    for name, pid in sorted(victim.processes().items()):
        killed = time.monotonic()
        kill(pid)
        wait_until(lambda name=name, pid=pid: victim.processes().get(name, pid) != pid)  # type: ignore[misc]
        victim.wait_healthy(10)
        with victim.client() as client:
            # The others may notice only when they next need it.
            wait_until(lambda client=client: set(statuses(client)) == {200})  # type: ignore[misc]
        assert time.monotonic() - killed < 10, name
    assert item_count(victim) == count


def test_no_read_fails_while_one_of_two_workers_is_killed(victim: Stack) -> None:
    """A page goes out in two writes, its head and its body, one right after the other: a worker that dies just between
    them leaves one answer that nginx cannot ask another worker for. Its reader is told that it is cut."""
    victim.wait_healthy(10)
    ended = threading.Event()
    whole = Counter[int]()
    cut: list[str] = []

    def read(number: int) -> None:
        with victim.client() as client:
            while not ended.is_set():
                try:
                    response = client.get("/api/search?limit=2")
                except httpx.RemoteProtocolError as error:
                    cut.append(str(error))
                    continue
                assert response.status_code == 200, response.text[:200]
                assert len(response.json()["features"]) == 2
                whole[number] += 1

    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        readers = [threads.submit(read, number) for number in range(4)]
        try:
            wait_until(lambda: min(whole[number] for number in range(4)) > 5)
            killed = victim.processes()["stac-0"]
            kill(killed)
            wait_until(lambda: victim.processes().get("stac-0", killed) != killed)
            victim.wait_healthy(10)
        finally:
            ended.set()
    for reader in readers:
        reader.result()
    assert len(cut) <= 1, cut
    assert all("without sending complete message body" in each for each in cut), cut


def statuses(client: httpx.Client) -> list[int]:
    found = [client.get(path).status_code for path in ("/", "/api/", "/api/search?limit=5")]
    assert set(found) <= {200, 502, 503}, found
    return found


def wait_until(happened: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_killed_supervisor_leaves_no_orphan_and_the_next_up_works(victim: Stack) -> None:
    count = item_count(victim)
    children = list(victim.processes().values())
    kill(parent_of(children[0]))
    deadline = time.monotonic() + 20
    while any(map(is_alive, children)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert [pid for pid in children if is_alive(pid)] == []
    for port in (victim.port, victim.database_port):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
    victim.run("up")
    assert item_count(victim) == count


def test_a_stopped_database_is_a_clear_503_until_it_is_back(victim: Stack) -> None:
    kill(victim.processes()["postgres"])
    seen = set()
    with victim.client() as client:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            response = client.get("/api/search?limit=1")
            seen.add(response.status_code)
            if response.status_code == 503:
                assert response.headers["content-type"] == "application/problem+json"
                assert "retry-after" in response.headers
                assert "connection" not in response.text.lower()
            if response.status_code == 200 and 503 in seen:
                break
    assert 503 in seen
    assert seen <= {200, 503}
    victim.wait_healthy(10)


def test_a_taken_port_is_named_with_its_setting(home: Path) -> None:
    other = Stack(home)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", other.port))
        taken.listen()
        refused = other.run("up", "--sample", "none", check=False)
    assert refused.returncode == 1
    assert str(other.port) in refused.stderr
    assert "ALMAGEST_PORT" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_down_is_idempotent_and_leaves_the_data(victim: Stack) -> None:
    count = item_count(victim)
    victim.run("down")
    assert victim.run("down").returncode == 0
    assert victim.run("status", check=False).returncode == 3
    victim.run("up")
    assert item_count(victim) == count


def test_a_full_disk_is_a_clear_error_and_loses_nothing() -> None:
    """A stack on a small tmpfs that is filled up: writes are refused, reads go on, and with space back all is well."""
    if os.getuid() != 0:
        pytest.skip("mounting a tmpfs needs root")
    home = Path("/tmp") / f"alm-full-{os.getpid()}"
    home.mkdir(mode=0o755)
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=350m", "tmpfs", home], capture_output=True, check=False
    ).returncode:
        home.rmdir()
        pytest.skip("this machine does not allow mounting a tmpfs")
    full = Stack(home, ALMAGEST_WORKERS="1", ALMAGEST_TILE_WORKERS="1", ALMAGEST_OPS_WORKERS="1")
    ballast = home / "ballast"
    try:
        full.run("up", "--sample", "none")
        key = {"Authorization": f"Bearer {full.write_key}", "Content-Type": "application/json"}
        with full.client(headers=key) as client:
            assert client.post("/api/collections", json=collection("before")).status_code == 201
            fill(ballast)
            refusals = []
            for number in range(300):
                # Large bodies meet the full disk in nginx, small ones in PostgreSQL.
                body = collection(f"during-{number}", padding=200_000 if number % 2 else 2_000)
                response = client.post("/api/collections", json=body)
                if response.status_code != 201:
                    refusals.append(response)
                if len(refusals) == 6:
                    break
            assert {response.status_code for response in refusals} <= {500, 503, 507}
            for response in refusals:
                assert response.headers["content-type"] == "application/problem+json"
                assert response.status_code != 500 or "disk may be full" in response.json()["detail"]
            assert len(refusals) == 6
            ballast.unlink()
            full.wait_healthy(60)
            assert client.get("/api/collections/before").status_code == 200
            assert client.post("/api/collections", json=collection("after")).status_code == 201
    finally:
        full.end()
        subprocess.run(["umount", "-l", home], check=False)
        shutil.rmtree(home, ignore_errors=True)


def collection(identifier: str, padding: int = 0) -> dict[str, object]:
    return {
        "type": "Collection",
        "stac_version": "1.1.0",
        "id": identifier,
        "description": "x" + os.urandom(padding // 2).hex(),
        "license": "other",
        "links": [],
        "extent": {"spatial": {"bbox": [[0, 0, 1, 1]]}, "temporal": {"interval": [["2024-01-01T00:00:00Z", None]]}},
    }


def item(of: str, number: int) -> dict[str, object]:
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": f"i{number}",
        "collection": of,
        "geometry": {"type": "Point", "coordinates": [0.5, 0.5]},
        "bbox": [0.5, 0.5, 0.5, 0.5],
        "properties": {"datetime": "2024-01-05T00:00:00Z"},
        "links": [],
        "assets": {"data": {"href": f"https://example.org/{number}.tif"}},
    }


def fill(path: Path) -> None:
    """Writes until nothing more fits."""
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 65536)
        except OSError:
            return


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
