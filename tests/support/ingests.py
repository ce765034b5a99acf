"""Ingests in tests: documents to put in, and what is in the database afterwards."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from almagest.catalogue import database, exporting
from almagest.catalogue.acceptance import Rules
from almagest.catalogue.exchange import open_source
from almagest.catalogue.ingest.engine import ingest
from almagest.catalogue.ingest.line import Access
from almagest.catalogue.ingest.options import Options, Sources
from almagest.catalogue.ingest.tally import Tally, Totals
from almagest.catalogue.reserved import CANARY
from almagest.core.settings import Settings
from support.processes import children

Document = dict[str, Any]


def collection(identifier: str = "scenes", **changes: Any) -> Document:
    return {
        "type": "Collection",
        "stac_version": "1.1.0",
        "id": identifier,
        "description": "Scenes.",
        "license": "CC0-1.0",
        "extent": {
            "spatial": {"bbox": [[-180, -90, 180, 90]]},
            "temporal": {"interval": [["2020-01-01T00:00:00Z", None]]},
        },
        "item_assets": {"data": {"type": "image/tiff; application=geotiff", "roles": ["data"]}},
        "links": [],
        **changes,
    }


def item(number: int = 0, **changes: Any) -> Document:
    west, south = number % 170, number % 80
    ring = [[west, south], [west + 1, south], [west + 1, south + 1], [west, south + 1], [west, south]]
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": f"i{number:06d}",
        "collection": "scenes",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "bbox": [west, south, west + 1, south + 1],
        "properties": {"datetime": f"2024-{number % 12 + 1:02d}-01T12:00:00Z", "number": number, "nothing": None},
        "links": [],
        "assets": {"data": {"href": f"https://example.org/{number}.tif", "roles": ["data"]}},
        **changes,
    }


def write(path: Path, documents: Iterable[Document]) -> Path:
    """The documents as ndjson, gzipped if the name says so."""
    text = b"".join(json.dumps(document).encode() + b"\n" for document in documents)
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


@dataclass
class Report:
    """What an ingest said.

    Attributes:
        totals: the numbers.
        entries: lines of the report.
        said: sentences for people.
    """

    totals: Totals
    entries: list[Document]
    said: list[str] = field(default_factory=list)

    def reasons(self) -> dict[str, str]:
        """Why documents stayed out, by the place where they were found."""
        return {entry["file"]: entry["reason"] for entry in self.entries if entry["kind"] == "refused"}


def put(settings: Settings, *locations: str | Path, patience_s: float = 30, **options: Any) -> Report:
    """An ingest in this process (and its workers)."""
    origin = settings.site.origin
    sources = Sources([open_source(location, origin=origin) for location in locations])
    access = Access.of(settings)
    access = Access(access.host, access.port, access.database, access.user, access.password, patience_s)
    said: list[str] = []
    lines = _Lines()
    tally = Tally(lines, said.append)  # type: ignore[arg-type]
    ingest(sources, access, Rules(origin), Options(**options), tally)
    return Report(tally.totals, lines.entries, said)


class _Lines:
    def __init__(self) -> None:
        self.entries: list[Document] = []

    def write(self, text: str) -> None:
        self.entries += [json.loads(line) for line in text.splitlines()]


def environment(settings: Settings) -> dict[str, str]:
    """What commands find the database and themselves by; nothing of what this shell says about an Almagest."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ALMAGEST_")}
    return {
        **kept,
        "ALMAGEST_HOME": str(settings.site.home),
        "ALMAGEST_PORT": str(settings.site.port),
        "ALMAGEST_DB_HOST": settings.db_host,
        "ALMAGEST_DB_PORT": str(settings.database.port),
        "ALMAGEST_DB_NAME": settings.database.name,
        "COLUMNS": "200",
    }


def almagest(settings: Settings, *arguments: str | Path, code: int = 0) -> str:
    """What an `almagest` command prints; where it is to fail, what it says about that."""
    done = subprocess.run(
        [sys.executable, "-m", "almagest.cli.main", *map(str, arguments)],
        env=environment(settings),
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stderr


def command(*arguments: str | Path) -> list[str]:
    """``almagest ingest``, as a process."""
    return [sys.executable, "-m", "almagest.cli.main", "ingest", *map(str, arguments)]


def run(settings: Settings, *arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """``almagest ingest`` to its end."""
    return subprocess.run(
        command(*arguments), env=environment(settings), capture_output=True, text=True, check=False, **options
    )


def stored(settings: Settings) -> dict[tuple[str, str], Document]:
    """All items, as they are read, by collection and id."""
    with database.connect(settings, "almagest_reader") as connection:
        (times,) = connection.execute(
            "SELECT count(*) - count(DISTINCT (collection, id)) FROM pgstac.items"
        ).fetchone() or (None,)
    assert times == 0, "an item is there twice"
    with exporting.snapshot(settings) as snapshot:
        return {(of, str(item["id"])): item for of in snapshot.ids() for item in snapshot.items(of, {})}


def collections(settings: Settings) -> dict[str, Document]:
    """All collections by id."""
    with database.connect(settings, "postgres") as connection:
        rows = connection.execute("SELECT content FROM pgstac.collections WHERE id <> %s", (CANARY,)).fetchall()
    return {content["id"]: content for (content,) in rows}


def versions(settings: Settings) -> dict[tuple[str, str], str]:
    """Which transaction wrote each item."""
    with database.connect(settings, "postgres") as connection:
        rows = connection.execute("SELECT collection, id, xmin::text FROM pgstac.items").fetchall()
    return {(of, identifier): xmin for of, identifier, xmin in rows}


def noted(settings: Settings) -> int:
    """How many batches are noted of a run that is not finished."""
    with database.connect(settings, "almagest_writer") as connection:
        return _noted(connection)


def _noted(connection: psycopg.Connection) -> int:
    row = connection.execute("SELECT count(*) FROM ingest_batch").fetchone()
    assert row is not None
    return int(row[0])


def wait_for(settings: Settings, count: int, running: subprocess.Popen[str]) -> None:
    """Waits until an ingest has noted so many batches."""
    until = time.monotonic() + 120
    with database.connect(settings, "almagest_writer") as connection:
        while _noted(connection) < count:
            assert running.poll() is None, "it has ended before"
            assert time.monotonic() < until, "it does not go on"
            time.sleep(0.005)


def kill(running: subprocess.Popen[str]) -> None:
    """Ends an ingest in a way that it does not notice; its workers do."""
    workers = list(workers_of(running.pid))
    running.kill()
    running.communicate()
    settled(running.pid, workers)


def settled(parent: int, workers: list[int]) -> None:
    """Waits until the workers have noticed that their parent is gone."""
    until = time.monotonic() + 30
    while left := [worker for worker in workers if Path(f"/proc/{worker}/cmdline").exists()]:
        assert time.monotonic() < until, f"{left} did not notice that their parent is gone"
        time.sleep(0.02)
    assert not list(workers_of(parent))


def a_seed() -> int:
    """Chance that is printed, so that what it has broken can be done again."""
    seed = random.SystemRandom().randrange(1_000_000)
    print(f"random.Random({seed})")
    return seed


def workers_of(parent: int) -> Iterator[int]:
    """Worker processes of an ingest that runs."""
    for process in children(parent):
        with contextlib.suppress(OSError):
            if b"almagest.catalogue.ingest.worker" in Path(f"/proc/{process}/cmdline").read_bytes():
                yield process
