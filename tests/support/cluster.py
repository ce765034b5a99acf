"""One private PostgreSQL cluster for a whole test run, started by the first test that needs it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import random
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from almagest.core.settings import Api, Database, Settings, Site, Store

#: Names the folder that all processes of one test run share.
ROOT_VARIABLE = "ALMAGEST_TEST_ROOT"
#: A run takes a few hundred megabytes; whatever else the machine does needs some, too.
_ROOM = 6 << 30
#: Tests, and what checks properties for them, seed the other one: all would take the same ports.
_DICE = random.SystemRandom()


def server_programs() -> Path:
    """Folder of the newest PostgreSQL (15 or later) that has PostGIS."""
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name), reverse=True):
        postgis = Path(f"/usr/share/postgresql/{folder.parent.name}/extension/postgis.control")
        if int(folder.parent.name) >= 15 and postgis.exists():
            return folder
    raise FileNotFoundError("No PostgreSQL 15+ with PostGIS is installed; `make test` installs it.")


def unprivileged_user() -> str | None:
    """Whom servers run as when the tests run as root; None where they run as the present user."""
    if os.getuid() != 0:
        return None
    for name in ("almagest", "postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise LookupError("Root without an unprivileged user to run servers as.")


@dataclass(frozen=True)
class Cluster:
    """A running cluster under ``root``; its socket lies there, and it trusts whoever can reach it on loopback."""

    root: Path
    port: int

    def settings(self, database: str, home: Path | None = None, **api: object) -> Settings:
        """Settings of an Almagest on one of its databases."""
        return Settings(
            site=Site(home=home or self.root / "home", port=8080),
            database=Database(host=str(self.root), port=self.port, name=database, admin_user="postgres"),
            store=Store(),
            api=Api(**api),  # type: ignore[arg-type]
        )

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        return psycopg.connect(host=str(self.root), port=self.port, dbname=database, user="postgres", autocommit=True)

    @contextlib.contextmanager
    def clone(self, template: str | None) -> Iterator[str]:
        """A new database, a copy of the template (None: an empty one), dropped in the end."""
        name = f"t_{uuid.uuid4().hex[:16]}"
        self.copy(template or "template0", name)
        try:
            yield name
        finally:
            with self.connect() as connection:
                connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def copy(self, template: str, name: str) -> None:
        """A new database, a copy of another."""
        # By copying files: a database of ours is a thousand small ones, less work than WAL for each of their pages.
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy")
        with self.connect() as connection:
            connection.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))

    def seal(self, database: str) -> None:
        """Makes a database a template: nobody is connected to it from now on, not even autovacuum."""
        with self.connect() as connection:
            connection.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(sql.Identifier(database)))
            connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", (database,)
            )

    def has(self, database: str) -> bool:
        with self.connect() as connection:
            return bool(connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (database,)).fetchone())


@contextlib.contextmanager
def lock(root: Path, name: str) -> Iterator[None]:
    """Keeps the workers of one run apart."""
    with (root / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def free_port() -> int:
    """A port that nobody listens on at this moment, below those that the kernel gives to whoever asks for any."""
    while True:
        port = _DICE.randrange(20_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("0.0.0.0", port))
            return port


def make_root() -> Path:
    """A new folder for a run: in memory where there is enough of it, since tests make hundreds of databases."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and min(_available(), shutil.disk_usage(memory).free) > _ROOM
    return Path(tempfile.mkdtemp(prefix="almagest-test-", dir=memory if roomy else None))


def _available() -> int:
    """Bytes of memory that nobody uses."""
    fields = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    return int(fields["MemAvailable"].split()[0]) << 10


def start(root: Path) -> Cluster:
    """The cluster of this run; the first caller starts it."""
    with lock(root, "cluster"):
        if not (root / "data" / "postmaster.pid").exists():
            initialise(root)
            serve(root, wal_level="minimal", max_wal_senders="0")
    return Cluster(root, int((root / "port").read_text()))


def initialise(root: Path) -> None:
    """Makes the files of a new cluster."""
    initdb = [server_programs() / "initdb", "-D", root / "data", "-U", "postgres", "-A", "trust", "--no-sync"]
    _run(root, *initdb, "-E", "UTF8", "--locale=C.UTF-8")


def replicate(primary: Cluster, root: Path) -> None:
    """Makes the files of a streaming replica."""
    place = ["-h", primary.root, "-p", str(primary.port), "-U", "postgres"]
    _run(root, server_programs() / "pg_basebackup", "-D", root / "data", *place, "-R", "-c", "fast", "--no-sync")


def serve(root: Path, **other: str) -> Cluster:
    """Starts the cluster whose files lie there.

    Args:
        root: the folder.
        other: options that are not everybody's.
    """
    (root / "port").write_text(str(free_port()))
    options = {
        "port": (root / "port").read_text(),
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": str(root),
        "fsync": "off",
        "full_page_writes": "off",
        "synchronous_commit": "off",
        "jit": "off",
        "min_wal_size": "64MB",
        "max_wal_size": "256MB",
        "timezone": "UTC",
        "max_connections": "200",
        "shared_buffers": "256MB",
        "default_toast_compression": "lz4",
        "max_locks_per_transaction": "256",
        **other,
    }
    given = " ".join(f"-c {name}={value}" for name, value in options.items())
    pg_ctl = [server_programs() / "pg_ctl", "-D", root / "data", "-l", root / "postgres.log", "-w", "-o", given]
    _run(root, *pg_ctl, "start")
    return Cluster(root, int((root / "port").read_text()))


def crash(root: Path) -> None:
    """Ends a cluster as a power cut would, and starts it again as it was."""
    log = ["-l", root / "postgres.log"]
    _run(root, server_programs() / "pg_ctl", "-D", root / "data", "-m", "immediate", "-w", *log, "restart")


def stop(root: Path) -> None:
    """Ends the cluster, if one was started, and removes everything."""
    data = root / "data"
    if (data / "postmaster.pid").exists():
        _run(root, server_programs() / "pg_ctl", "-D", data, "-m", "immediate", "stop", check=False)
    shutil.rmtree(root, ignore_errors=True)


def _run(root: Path, *command: object, check: bool = True) -> None:
    """Runs a program of PostgreSQL's as a user who may, and to whom the folder belongs."""
    user = unprivileged_user()
    if user:
        shutil.chown(root, user)
    root.chmod(0o755)
    as_user = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--"] if user else []
    subprocess.run([*as_user, *map(str, command)], check=check, capture_output=True)


@contextlib.contextmanager
def alone(template: str, **other: str) -> Iterator[Cluster]:
    """A cluster that nobody else uses, with a migrated template: transactions are of a cluster, not of a database.

    Args:
        template: its name.
        other: options that are not everybody's.
    """
    from almagest.catalogue import database

    root = make_root()
    try:
        initialise(root)
        running = serve(root, **other)
        database.prepare(running.settings(template))
        running.seal(template)
        yield running
    finally:
        stop(root)
