"""The process `ingest`, in a worker: what may be read goes in, and nothing else is looked at."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from almagest.catalogue import database, jobs
from almagest.core.jobs import Process
from almagest.core.settings import Settings
from almagest.pipelines import ingest
from support import ingests
from support.serving import served
from support.works import Processes, processes

Run = Callable[..., jobs.Job]
NDJSON = "\n".join(json.dumps(document) for document in [ingests.collection(), *map(ingests.item, range(25))])


@pytest.fixture
def incoming(tmp_path: Path) -> Path:
    folder = tmp_path / "incoming"
    folder.mkdir()
    return folder


@pytest.fixture
def works(settings: Settings, tmp_path: Path, incoming: Path) -> Iterator[Processes]:
    own = replace(settings, site=settings.site.model_copy(update={"home": tmp_path / "home"}))
    variables = {"ALMAGEST_WORK_INGEST_ROOTS": str(incoming), "ALMAGEST_WORK_INGEST_HOSTS": "127.0.0.1"}
    with processes(own, **variables) as made:
        yield made


@pytest.fixture
def run(works: Processes) -> Iterator[Run]:
    with database.connect(works.settings, "almagest_worker") as connection:
        works.start_worker("w1")

        def submit(process: Process[Any] = ingest.PROCESS, **inputs: Any) -> jobs.Job:
            job, _ = jobs.accept(connection, process, inputs, "user:ann", request={"by": "ann"})
            until = time.monotonic() + 60
            while (found := jobs.find(connection, job)).finished_at is None:
                assert time.monotonic() < until, works.log("w1")
                time.sleep(0.1)
            return found

        submit.log = lambda job: "\n".join(e.message for e in jobs.events(connection, job.id))  # type: ignore[attr-defined]
        yield submit


def test_a_folder_goes_in_as_the_one_whose_job_it_is(run: Run, incoming: Path, settings: Settings) -> None:
    (incoming / "scenes.ndjson").write_text(NDJSON)
    done = run(source=str(incoming))
    assert (done.status, done.error) == ("successful", None)
    assert done.outputs is not None
    totals = done.outputs["totals"]
    assert (totals["created"], totals["collections_created"], totals["refused"]) == (25, 1, 0)
    again = run(source=str(incoming / "scenes.ndjson"))
    assert again.outputs is not None
    assert (again.outputs["totals"]["created"], again.outputs["totals"]["unchanged"]) == (0, 25)
    with database.connect(settings, settings.database.admin_user) as connection:
        rows = connection.execute("SELECT DISTINCT actor, job FROM almagest.item_head").fetchall()
    assert rows == [("ann", str(done.id))]


def test_what_is_refused_fails_the_job_and_the_rest_goes_in(run: Run, incoming: Path) -> None:
    (incoming / "scenes.ndjson").write_text(f"{NDJSON}\n{json.dumps(ingests.item(99, geometry='flat'))}\n")
    done = run(source=str(incoming))
    assert (done.status, done.is_dead) == ("failed", False)
    assert "1 refused" in str(done.error)
    assert "i000099" in run.log(done)  # type: ignore[attr-defined]


def test_an_api_goes_in(run: Run, cluster: Any, tmp_path: Path) -> None:
    with cluster.clone("template_almagest") as name:
        other = cluster.settings(name)
        path = ingests.write(tmp_path / "other.ndjson", [ingests.collection(), *map(ingests.item, range(7))])
        ingests.put(other, path)
        with served(other) as source:
            done = run(source=f"{source.site.origin}/collections/scenes")
    assert done.status == "successful", done.error
    assert done.outputs is not None
    assert done.outputs["totals"]["created"] == 7


def test_nothing_else_is_looked_at(run: Run, incoming: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text(json.dumps(ingests.item(1, id="secret", properties={"datetime": "2025-01-01T00:00:00Z"})))
    (incoming / "link.json").symlink_to(secret)
    (incoming / "folder").mkdir()
    (incoming / "folder" / "link.json").symlink_to(secret)
    links = [str(secret), "../../secret.json", "http://localhost:9/item.json", "http://169.254.169.254/latest"]
    (incoming / "catalogue").mkdir()
    (incoming / "catalogue" / "catalog.json").write_text(
        json.dumps(
            {
                "type": "Catalog",
                "stac_version": "1.1.0",
                "id": "c",
                "description": "Leads elsewhere.",
                "links": [{"rel": "item", "href": href} for href in links],
            }
        )
    )
    for source in (
        str(secret),
        str(incoming / "link.json"),
        f"{incoming}/../secret.json",
        "/etc/passwd",
        "relative",
        "-",
    ):
        failed = run(source=source)
        assert "no folder that may be read" in str(failed.error), source
    for source in ("http://localhost:9/", "http://169.254.169.254/"):
        assert "no host that may be read" in str(run(source=source).error), source
    assert "with a user" in str(run(source="http://a:b@127.0.0.1/").error)
    assert "There is no file" in str(run(source=str(incoming / "nothing")).error)
    for name, refused in (("folder", 1), ("catalogue", 4)):
        failed = run(source=str(incoming / name))
        assert f"{refused} refused" in str(failed.error), name
        assert run.log(failed).count("may be read here") == refused  # type: ignore[attr-defined]


def test_nobody_has_named_a_folder(settings: Settings, tmp_path: Path) -> None:
    with processes(replace(settings, site=settings.site.model_copy(update={"home": tmp_path}))) as works:
        works.start_worker("w1")
        with database.connect(works.settings, "almagest_worker") as connection:
            job, _ = jobs.accept(connection, ingest.PROCESS, {"source": str(tmp_path)}, "user:ann")
            until = time.monotonic() + 60
            while (found := jobs.find(connection, job)).finished_at is None:
                assert time.monotonic() < until
                time.sleep(0.1)
    assert "ALMAGEST_WORK_INGEST_ROOTS" in str(found.error)
