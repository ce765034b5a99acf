"""A desk at which matchups are found and crossings predicted, within the process of the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from almagest.catalogue import audience, database, exporting, jobs, loading
from almagest.catalogue.storing import Store
from almagest.core.jobs import Process
from almagest.core.settings import Settings
from almagest.pipelines.keeper import Keeper
from almagest.pipelines.matchups import find_matchups, predict_crossings
from almagest.pipelines.matchups.catalogued import Catalogued
from almagest.pipelines.matchups.kept import derived_from
from almagest.pipelines.runner import Runner
from support import following, rasters

Document = dict[str, Any]

PAIRS = "l9-landsat-9-vs-s2-S2A"
EVENTS = f"matchup-events-{PAIRS}"
PLATFORMS = {"s2": "S2A", "l9": "landsat-9"}
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


def scene(identifier: str, minute: float, west: float = 10, **properties: Any) -> Document:
    """A scene of the collection that its id begins with, so many minutes after noon."""
    of = identifier.partition("-")[0]
    when = (NOON + timedelta(minutes=minute)).isoformat().replace("+00:00", "Z")
    return rasters.item(identifier, of, (west, 0, west + 2, 2), {}, when, **{"platform": PLATFORMS[of], **properties})


@dataclass
class Desk:
    """Does jobs on a catalogue."""

    settings: Settings
    door: Settings
    pool: ConnectionPool[psycopg.Connection]
    runner: Runner

    def do(self, process: Process[Any], inputs: Document) -> jobs.Job:
        with self.pool.connection() as connection:
            job, _ = jobs.accept(connection, process, process.parse(inputs).model_dump(mode="json"), "user:ann")
        self.runner.run(job)
        with self.pool.connection() as connection:
            return jobs.find(connection, job)

    def again(self, job: jobs.Job) -> jobs.Job:
        """Does a job once more that is to be tried again."""
        with database.connect(self.settings, self.settings.database.admin_user) as connection:
            connection.execute("UPDATE almagest.job SET run_after = almagest.clock() WHERE id = %s", (job.id,))
        self.runner.run(job.id)
        with self.pool.connection() as connection:
            return jobs.find(connection, job.id)

    def meanwhile(self, monkeypatch: pytest.MonkeyPatch, happens: Callable[[], object]) -> None:
        """Lets something happen once a job has looked at the catalogue and before it writes, the first time."""
        first, versions = iter([happens]), Catalogued.versions

        def see(catalogued: Catalogued, names: Any) -> Any:
            seen = versions(catalogued, names)
            next(first, lambda: None)()
            return seen

        monkeypatch.setattr(Catalogued, "versions", see)

    def find(self, **inputs: Any) -> jobs.Job:
        return self.do(FINDING, {"collections": ["s2", "l9"], "max_time_difference": 600, **inputs})

    def found(self, **inputs: Any) -> dict[str, int]:
        done = self.find(**inputs)
        assert done.status == "successful", done.error
        return {name: number for name, number in (done.outputs or {}).items() if name != "longest_scene"}

    def changed(self) -> dict[str, int]:
        """Looks only where something has changed, once nobody else in the cluster keeps that from being final."""
        with database.connect(self.settings, self.settings.database.admin_user) as connection:
            following.settle(connection)
        return self.found(only_changes=True)

    def put(self, *items: Document) -> None:
        with self.pool.connection() as connection:
            store = Store(connection)
            batch = store.prepare(items)
            with connection.transaction():
                store.put(batch)

    def delete(self, *names: str) -> None:
        with self.pool.connection() as connection:
            for name in names:
                connection.execute("SELECT almagest.delete_item(%s, %s)", (name.partition("-")[0], name))

    def items(self, collection: str) -> dict[str, Document]:
        with exporting.snapshot(self.settings) as moment:
            if collection not in moment.ids():
                return {}
            return {item["id"]: item for item in moment.items(collection, {})}

    def events(self) -> dict[str, list[str]]:
        """Names of the scenes of each event that there is, by its id without the combination."""
        matchups = self.items(PAIRS)
        told = {}
        for name, event in self.items(EVENTS).items():
            held = [link["href"].rpartition("/")[2] for link in event["links"] if link.get("matchup:role") == "matchup"]
            assert set(held) == {n for n, m in matchups.items() if m["properties"]["matchup:event_id"] == name}
            scenes = sorted({of[1] for each in held for of, _ in derived_from(matchups[each])})
            told[name.removeprefix(f"{PAIRS}_")] = scenes
        return told

    def writes(self) -> int:
        with self.pool.connection() as connection:
            (number,) = connection.execute("SELECT count(*) FROM almagest.change").fetchone() or (0,)
        return int(number)


#: As it is, but within the process of the test.
FINDING, PREDICTING = (
    replace(process, time_limit_s=None, memory_limit_mb=None)
    for process in (find_matchups.PROCESS, predict_crossings.PROCESS)
)


@contextmanager
def opened(settings: Settings, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """A desk over a catalogue with both collections, which everybody sees."""
    own = replace(settings, site=settings.site.model_copy(update={"home": home}))
    monkeypatch.setattr(Settings, "load", classmethod(lambda _: own))
    (home / "work").mkdir()
    loading.load_documents(own, [rasters.collection(name) for name in PLATFORMS], [])
    with database.connect(own, own.database.admin_user) as connection:
        audience.set_collections(connection, "*", "public")
    with ConnectionPool(
        kwargs={**database.parameters(own, "almagest_worker"), "autocommit": True}, min_size=1, max_size=6
    ) as pool:
        processes = {process.id: process for process in (FINDING, PREDICTING)}
        keeper = Keeper(pool, timedelta(seconds=30))
        yield Desk(own, settings, pool, Runner(pool, keeper, processes, own, home / "work"))
        keeper.stop()
