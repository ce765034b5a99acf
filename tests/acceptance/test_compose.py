"""The stack as containers, built and run: `make soak`. Needs root, and Debian's packages; asks no image registry."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest
import yaml

from almagest.catalogue import database
from support import containers
from support.cluster import free_port

HOUSE = Path(__file__).parents[2]
NAME = "almagest-soak"

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(os.geteuid() != 0, reason="a container engine of one's own needs root"),
]


@dataclass
class Stack:
    """A copy of the house, brought up by its own README."""

    engine: containers.Engine
    folder: Path
    port: int
    key: str = ""

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def compose(self, *words: str, check: bool = True) -> str:
        files = ("--file", "compose.yaml", "--file", "build.yaml")
        try:
            return self.engine.docker("compose", *files, *words, cwd=self.folder / "compose", check=check).stdout
        except AssertionError as error:
            error.add_note(self.compose("logs", "--tail", "20", "--no-color", check=False)[-8000:])
            raise

    def client(self, *, with_key: bool = False) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.key}"} if with_key else {}
        return httpx.Client(base_url=self.origin, headers=headers, timeout=30)

    def containers(self) -> dict[str, str]:
        """Names of what runs, and their ids."""
        shown = self.engine.docker("ps", "--no-trunc", "--format", "{{.Names}} {{.ID}}").stdout
        return dict(line.split() for line in shown.splitlines())

    def inspect(self, name: str, form: str) -> str:
        return self.engine.docker("inspect", "--format", form, name).stdout.strip()

    def wait_for(self, path: str, status: int = 200, seconds: float = 90) -> float:
        """How long it took to answer so."""
        began = time.monotonic()
        with self.client(with_key=True) as client:
            while time.monotonic() - began < seconds:
                try:
                    if client.get(path).status_code == status:
                        return time.monotonic() - began
                except httpx.TransportError:
                    pass
                time.sleep(0.1)
        raise AssertionError(f"{path} does not answer {status}:\n{self.compose('ps', '--all')}")


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    containers.install()
    with containers.engine() as engine:
        folder = engine.folder / "house"
        _copy_house(folder)
        port = free_port()
        _write_settings(folder / "compose", port)
        subprocess.run([folder / "compose" / "init-secrets"], check=True, capture_output=True)
        found = Stack(engine, folder, port)
        began = time.monotonic()
        found.compose("build")
        built = time.monotonic()
        try:
            found.compose("up", "--detach", "--wait")
            print(f"\ncompose: built in {built - began:.0f} s, up in {time.monotonic() - built:.0f} s")
            found.compose("run", "--rm", "-T", "admin", "sample", "load")
            scopes = [
                word for scope in ("catalogue:read", "catalogue:write", "ops:read") for word in ("--scope", scope)
            ]
            found.key = found.compose("run", "--rm", "-T", "admin", "keys", "create", "soak", *scopes).strip()
            yield found
        finally:
            found.compose("--profile", "ingest", "down", "--volumes", "--timeout", "20", check=False)


def _copy_house(folder: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=HOUSE,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (HOUSE / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(HOUSE / name, folder / name)


def _write_settings(compose: Path, port: int) -> None:
    """What differs here: a free port, a name of its own, and builds that use this machine's network."""
    (compose / ".env").write_text(
        f"COMPOSE_PROJECT_NAME={NAME}\nALMAGEST_PORT={port}\nALMAGEST_TITLE=Soak\n"
        "INGEST_EVERY_S=2\nINGEST_OPTIONS=--create-collections\n"
    )
    services = yaml.safe_load((compose / "compose.yaml").read_text())["services"]
    built = {name: {"build": {"network": "host"}} for name, each in services.items() if "build" in each}
    (compose / "build.yaml").write_text(yaml.safe_dump({"services": built}))


def _items(client: httpx.Client) -> list[dict[str, object]]:
    found: list[dict[str, object]] = client.get("/api/search", params={"limit": 100}).json()["features"]
    return sorted(found, key=lambda item: str(item["id"]))


def test_it_serves_the_sample_through_its_one_door(stack: Stack) -> None:
    with stack.client() as client:
        assert "<div id=" in client.get("/").text
        assert client.get("/external/").json()["title"] == "Soak"
        ids = {each["id"] for each in client.get("/external/collections").json()["collections"]}
        assert ids == {"sample-oli-l1", "sample-msi-l1c"} or len(ids) == 2
        (item,) = client.get("/external/search", params={"limit": 1}).json()["features"]
        alone = client.get(next(link["href"] for link in item["links"] if link["rel"] == "self")).json()
        # Alone it names its other versions, too.
        alone["links"] = [link for link in alone["links"] if "version" not in link["rel"]]
        assert alone == item
        (template,) = {link["href"] for link in item["links"] if link["rel"] == "tilejson"}
        tilejson = client.get(template).json()
        west, south, east, north = tilejson["bounds"]
        zoom, x, y = _tile((west + east) / 2, (south + north) / 2, tilejson["minzoom"])
        tile = client.get(tilejson["tiles"][0].format(z=zoom, x=x, y=y))
        assert (tile.status_code, tile.headers["content-type"].split("/")[0]) == (200, "image")
        asset = client.get(item["assets"]["visual"]["href"], headers={"Range": "bytes=0-3"})
        assert (asset.status_code, asset.content[:2]) == (206, b"II")
        assert client.get("/api/").status_code == 401
        assert client.post("/api/collections", json={}).status_code == 401


def test_a_key_writes(stack: Stack) -> None:
    collection = {
        "type": "Collection",
        "stac_version": "1.1.0",
        "id": "mine",
        "description": "Written.",
        "license": "other",
        "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}},
        "links": [],
    }
    with stack.client(with_key=True) as client:
        assert client.post("/api/collections", json=collection).status_code == 201
        ready = client.get("/ops/ready")
        assert (ready.status_code, ready.json()["reasons"]) == (200, [])
    with stack.client() as client:
        assert client.get("/external/collections/mine").json()["description"] == "Written."


def test_nothing_runs_as_root_or_can_do_more_than_it_must(stack: Stack) -> None:
    running = stack.containers()
    assert len(running) >= 13
    for name in running:
        pids = stack.engine.docker("top", name, "-eo", "pid").stdout.split()[1:]
        assert pids
        for pid in pids:
            try:
                status = dict(re.findall(r"^(\w+):\s+(.*)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE))
            except (FileNotFoundError, ProcessLookupError):
                continue  # a health check that has ended
            assert status["Uid"].split() == ["10001"] * 4, name
            assert {status[kind].strip("0") for kind in ("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb")} == {""}, (
                name
            )
            assert status["NoNewPrivs"] == "1", name
        tried = stack.engine.docker("exec", name, "sh", "-c", "touch /etc/mine /usr/mine", check=False)
        assert tried.returncode != 0
        assert "Read-only file system" in tried.stderr, name


def test_strangers_containers_find_neither_the_others_nor_the_world(stack: Stack) -> None:
    """By name: that addresses lead nowhere is left to Docker's firewall, which this engine must not touch."""
    script = (
        "import socket, sys\n"
        "for place in sys.argv[1:]:\n"
        "    host, port = place.split(':')\n"
        "    try: socket.create_connection((host, int(port)), 3).close(); print('yes', end=' ')\n"
        "    except OSError: print('no', end=' ')\n"
    )
    places = ["api-internal:8000", "redis:6379", "deb.debian.org:80", "db:5432", "api-external:8000"]
    told = stack.engine.docker("exec", f"{NAME}-tiles-external-1", "python", "-c", script, *places).stdout.split()
    assert told == ["no", "no", "no", "yes", "yes"]
    shown = stack.engine.docker(
        "network", "ls", "--filter", "label=com.docker.compose.project", "--format", "{{.Name}}"
    )
    internal = {name: stack.engine.docker("network", "inspect", "--format", "{{.Internal}}", name).stdout.strip()
                for name in shown.stdout.split()}  # fmt: skip
    assert internal == {f"{NAME}_edge": "false", f"{NAME}_inside": "true", f"{NAME}_outside": "true"}


def test_large_answers_lie_on_disk_until_they_are_sent(stack: Stack) -> None:
    headers = {"Accept": "application/vnd.apache.parquet"}
    with stack.client(with_key=True) as client:
        answer = client.get("/api/search", headers=headers)
        assert (answer.status_code, answer.headers["content-type"]) == (200, headers["Accept"])
        assert set(pq.read_table(BytesIO(answer.content))["id"].to_pylist()) == {item["id"] for item in _items(client)}
        assert client.get("/external/search", headers=headers).content[:4] == b"PAR1"
    name = f"{NAME}-api-external-1"
    script = "import os, tempfile; print(tempfile.gettempdir(), os.path.ismount('/var/tmp'), os.listdir('/var/tmp'))"
    assert stack.engine.docker("exec", name, "python", "-c", script).stdout == "/var/tmp True []\n"
    types = stack.engine.docker("exec", name, "stat", "--file-system", "--format", "%T", "/tmp", "/var/tmp").stdout
    assert types.split()[0] == "tmpfs" != types.split()[1]
    # What a killed one has left goes when it starts again.
    stack.engine.docker("exec", name, "mkdir", "/var/tmp/almagest-left")
    os.kill(int(stack.inspect(name, "{{.State.Pid}}")), signal.SIGKILL)
    _wait_until(lambda: _runs(stack, name, "test", "!", "-e", "/var/tmp/almagest-left"), "it is started again, clean")
    stack.compose("up", "--detach", "--wait")


def test_a_killed_database_comes_back_with_everything(stack: Stack) -> None:
    with stack.client(with_key=True) as client:
        before = _items(client)
        assert len(before) > 60
        process = int(stack.inspect(f"{NAME}-db-1", "{{.State.Pid}}"))
        os.kill(process, signal.SIGKILL)
        answer = client.get("/api/search")
        assert answer.status_code in {200, 503}
        took = stack.wait_for("/api/search")
        assert _items(client) == before
    print(f"compose: the database was killed, {took:.1f} s until it answered")
    # `docker kill` says that somebody wanted it so: it stays away until it is started.
    stack.engine.docker("kill", "--signal", "KILL", f"{NAME}-db-1")
    with stack.client(with_key=True) as client:
        stack.wait_for("/api/search", 503)
        refused = client.get("/api/search")
        assert refused.headers["content-type"] == "application/problem+json"
        stack.compose("up", "--detach", "--wait", "db")
        stack.wait_for("/api/search")
        assert _items(client) == before
        stack.wait_for("/ops/ready")
        assert client.get("/ops/ready").json() == {"status": "ready", "reasons": []}


def test_nginx_follows_containers_that_multiply_and_move(stack: Stack) -> None:
    stack.compose("up", "--detach", "--wait", "--scale", "api-external=3")
    proxy = f"{NAME}-proxy-1"
    time.sleep(2)
    asked = stack.engine.docker("logs", proxy).stderr.splitlines()
    assert [line for line in asked if line.startswith("nginx asks")][-1].count("external-stac at") == 3
    stack.compose("up", "--detach", "--wait", "--force-recreate", "--no-deps", "api-external", "ops")
    stack.wait_for("/ops/ready")
    with stack.client() as client:
        assert {client.get("/external/search?limit=1").status_code for _ in range(20)} == {200}


def test_what_lies_in_a_folder_goes_in_by_the_clock(stack: Stack) -> None:
    incoming = stack.folder / "compose" / "incoming"
    incoming.mkdir()
    stack.compose("--profile", "ingest", "up", "--detach", "--no-deps", "ingest")
    name = f"{NAME}-ingest-1"
    _wait_until(lambda: "failed" in _last(stack, name), "nothing to be found is a failure")
    assert "holds no" in _last(stack, name)
    item: dict[str, object] = {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": "by-the-clock",
        "collection": "incoming",
        "geometry": {"type": "Point", "coordinates": [1, 2]},
        "bbox": [1, 2, 1, 2],
        "properties": {"datetime": "2024-01-01T00:00:00Z"},
        "links": [],
        "assets": {},
    }
    broken = {**item, "id": "broken", "properties": {"datetime": "yesterday"}}
    (incoming / "first.ndjson").write_text(json.dumps(item) + "\n" + json.dumps(broken) + "\n")
    _wait_until(lambda: "1 refused" in _last(stack, name), "what is refused is told")
    assert not _runs(stack, name, "ingest-every", "--last")
    with stack.client(with_key=True) as client:
        assert client.get("/api/collections/incoming/items/by-the-clock").status_code == 200
        assert client.get("/api/collections/incoming/items/broken").status_code == 404
        (incoming / "first.ndjson").write_text(json.dumps(item) + "\n")
        (incoming / "second.ndjson").write_text(json.dumps({**item, "id": "dropped-later"}) + "\n")
        _wait_until(lambda: _last(stack, name).startswith("loaded"), "the next one is fine")
        assert _runs(stack, name, "ingest-every", "--last")
        assert client.get("/api/collections/incoming/items/dropped-later").status_code == 200
    assert stack.engine.docker("exec", name, "sh", "-c", "ls /var/tmp/*/seen.sqlite", check=False).returncode
    logs = stack.engine.docker("logs", name)
    assert "1 created" in logs.stdout + logs.stderr


def test_what_was_backed_up_comes_back_into_nothing(stack: Stack) -> None:
    """By the README's commands, word for word."""
    text = (HOUSE / "compose" / "README.md").read_text()
    back_up, restore = (
        text.partition(f"# {title}")[2].partition("\n")[2].partition("\n\n")[0] for title in ("Back up", "Restore")
    )
    folder = stack.folder / "compose"
    environment = {**stack.engine.environment, "COMPOSE_FILE": "compose.yaml:build.yaml"}
    with stack.client(with_key=True) as client:
        before = _items(client)

    def run(script: str) -> None:
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", script], env=environment, cwd=folder,
                              capture_output=True, text=True, check=False)  # fmt: skip
        assert done.returncode == 0, f"{done.stdout[-2000:]}{done.stderr[-4000:]}"

    run(back_up)
    assert b"CREATE ROLE almagest_external" in gzip.decompress((folder / "almagest.sql.gz").read_bytes())
    stack.compose("--profile", "ingest", "down", "--volumes", "--timeout", "20")
    run(restore)
    with stack.client(with_key=True) as client:  # the key, too
        assert _items(client) == before
        name = next(item for item in before if "visual" in item["assets"])  # type: ignore[operator]
        public = client.get(f"/external/collections/{name['collection']}/items/{name['id']}").json()
        visual = public["assets"]["visual"]["href"]
        assert client.get(visual, headers={"Range": "bytes=0-3"}).status_code == 206


def test_a_job_is_done(stack: Stack) -> None:
    asked = ("run", "--rm", "-T", "admin", "jobs", "submit", "echo", "--input", "message=Hello", "--wait")
    assert json.loads(stack.compose(*asked).splitlines()[-1]) == {"echo": "Hello"}


def test_passwords_are_changed_by_the_readme(stack: Stack) -> None:
    folder = stack.folder / "compose"
    text = (HOUSE / "compose" / "README.md").read_text()
    (removing,) = re.findall(r"^rm (secrets/.*)$", text, re.MULTILINE)
    (starting,) = re.findall(r"^\./init-secrets && docker compose (.*)$", text, re.MULTILINE)[-1:]
    before = {name: (folder / name).read_text() for name in removing.split()}
    assert {name.rpartition("/")[2] for name in before} == set(database.ROLES)
    for name in before:
        (folder / name).unlink()
    subprocess.run([folder / "init-secrets"], check=True, capture_output=True)
    assert all((folder / name).read_text() != value for name, value in before.items())
    stack.compose(*starting.split())
    with stack.client(with_key=True) as client:
        assert len(_items(client)) > 60
        assert client.get("/ops/ready").json() == {"status": "ready", "reasons": []}


@pytest.mark.parametrize("more", [(), ("outbound",), ("outbound", "external-db")], ids=lambda more: "+".join(more))
def test_what_the_readme_puts_on_top_fits(stack: Stack, more: tuple[str, ...]) -> None:
    files = [word for name in more for word in ("--file", f"compose.{name}.yaml")]
    profiles = [word for name in ("admin", "ingest", "s3") for word in ("--profile", name)]
    read = json.loads(stack.compose(*files, *profiles, "config", "--format", "json"))
    assert ("db" in read["services"]) == ("external-db" not in more)
    assert all(network.get("internal", False) == (not more) for network in _closed(read))


def _closed(read: dict[str, Any]) -> list[dict[str, Any]]:
    return [read["networks"][name] for name in ("inside", "outside")]


def _runs(stack: Stack, name: str, *words: str) -> bool:
    """Whether a command in a container succeeds."""
    return stack.engine.docker("exec", name, *words, check=False).returncode == 0


def _last(stack: Stack, name: str) -> str:
    return stack.engine.docker("exec", name, "ingest-every", "--last", check=False).stdout


def _wait_until(happened: object, what: str, seconds: float = 60) -> None:
    assert callable(happened)
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, what
        time.sleep(0.5)


def _tile(longitude: float, latitude: float, zoom: int) -> tuple[int, int, int]:
    import morecantile

    tile = morecantile.tms.get("WebMercatorQuad").tile(longitude, latitude, zoom)
    return tile.z, tile.x, tile.y
