"""A worker's parts, with a real database and without a doorbell."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg_pool import ConnectionPool
from pydantic import BaseModel

from almagest.catalogue import audience, database, exporting, jobs, uploads
from almagest.catalogue.storing import Store
from almagest.catalogue.versions import version_of
from almagest.core.errors import NotFoundError, StorageFullError
from almagest.core.jobs import Child, Context, DismissedError, Fanout, Output, Process, ProcessFailedError
from almagest.core.settings import Settings
from almagest.pipelines import echo, runner, spool
from almagest.pipelines.keeper import Keeper
from almagest.pipelines.publishing import Publication
from almagest.pipelines.reconciler import Reconciler
from almagest.pipelines.runner import Runner
from support import rasters

LEASE = timedelta(seconds=2)


class Number(BaseModel):
    """A number."""

    number: int = 1


def process(run: Callable[[Number, Context], Any], **more: Any) -> Process[Number]:
    given: dict[str, Any] = {"id": "made", "outputs": {"number": Output("A number", {"type": "integer"})}, **more}
    return Process(version="1", title="Made", description="By a test.", inputs=Number, run=run, **given)


class Works:
    """A runner, with processes that a test makes."""

    def __init__(self, settings: Settings, pool: ConnectionPool[psycopg.Connection], folder: Path) -> None:
        self.settings = settings
        self.pool = pool
        self.known: dict[str, Process[Any]] = {"echo": echo.PROCESS}
        self.keeper = Keeper(pool, LEASE)
        self.rung: list[UUID] = []
        self.runner = Runner(pool, self.keeper, self.known, settings, folder, self._ring)
        self.folder = folder

    def _ring(self, job: UUID, queue: str) -> bool:
        assert self.job(job).queue == queue
        self.rung.append(job)
        return True

    def accept(self, run: Callable[[Number, Context], Any] | Process[Any], **inputs: Any) -> UUID:
        made = run if isinstance(run, Process) else process(run)
        self.known[made.id] = made
        with self.pool.connection() as connection:
            return jobs.accept(connection, made, inputs, "ann")[0]

    def job(self, identifier: UUID) -> jobs.Job:
        with self.pool.connection() as connection:
            return jobs.find(connection, identifier)

    def lines(self, identifier: UUID) -> list[str]:
        with self.pool.connection() as connection:
            return [event.message for event in jobs.events(connection, identifier) if event.kind == "log"]

    @contextmanager
    def running(self, job: UUID) -> Iterator[threading.Thread]:
        thread = threading.Thread(target=self.runner.run, args=(job,))
        thread.start()
        yield thread
        thread.join(20)
        assert not thread.is_alive()


@pytest.fixture
def works(settings: Settings, tmp_path: Path) -> Iterator[Works]:
    own = replace(
        settings,
        site=settings.site.model_copy(update={"home": tmp_path}),
        work=settings.work.model_copy(update={"lease_s": LEASE.total_seconds()}),
    )
    (tmp_path / "work").mkdir()
    with ConnectionPool(
        kwargs={**database.parameters(own, "almagest_worker"), "autocommit": True}, min_size=1, max_size=6
    ) as pool:
        made = Works(own, pool, tmp_path / "work")
        yield made
        made.keeper.stop()


def eventually(is_so: Callable[[], bool], within_s: float = 10) -> None:
    until = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_job_is_done(works: Works) -> None:
    job = works.accept(echo.PROCESS, message="Hello")
    assert works.runner.run(job)
    done = works.job(job)
    assert (done.status, done.outputs) == ("successful", {"echo": "Hello"})
    assert works.lines(job) == ["said 5 characters"]
    assert not works.runner.run(job), "the bell rang twice"
    assert list(works.folder.iterdir()) == []


def test_progress_is_seen_while_it_runs(works: Works) -> None:
    go_on = threading.Event()

    def run(_: Number, context: Context) -> Mapping[str, Any]:
        (context.workdir / "scratch").write_text("x")
        context.progress(41.7, "under way")
        context.log("a line\0 with a nul, and \ud800")
        go_on.wait(10)
        return {"number": 1}

    job = works.accept(run)
    with works.running(job):
        eventually(lambda: works.job(job).progress == 42)
        assert works.job(job).message == "under way"
        assert works.lines(job) == ["a line� with a nul, and ?"]
        go_on.set()
    assert works.job(job).status == "successful"


def test_a_lease_is_kept_while_a_process_says_nothing(works: Works) -> None:
    def run(_: Number, __: Context) -> Mapping[str, Any]:
        time.sleep(3 * LEASE.total_seconds())
        return {"number": 1}

    job = works.accept(run)
    with works.running(job) as thread:
        eventually(lambda: works.job(job).status == "running")
        while thread.is_alive():
            with works.pool.connection() as connection:
                assert jobs.claim(connection, job, "thief", LEASE, works.known) is None
            time.sleep(0.2)
    assert (works.job(job).status, works.job(job).attempt) == ("successful", 1)


def test_a_process_hears_that_its_job_was_dismissed(works: Works) -> None:
    ended: list[type[BaseException]] = []

    def run(_: Number, context: Context) -> Mapping[str, Any]:
        try:
            while True:
                context.progress(1)
                time.sleep(0.05)
        except DismissedError as error:
            ended.append(type(error))
            raise

    job = works.accept(run)
    with works.running(job):
        eventually(lambda: works.job(job).status == "running")
        with works.pool.connection() as connection:
            jobs.dismiss(connection, job)
    assert ended == [DismissedError]
    assert works.job(job).status == "dismissed"


def test_a_result_that_comes_too_late_is_left_out(works: Works) -> None:
    go_on = threading.Event()

    def run(_: Number, __: Context) -> Mapping[str, Any]:
        go_on.wait(10)
        return {"number": 1}

    job = works.accept(run)
    with works.running(job):
        eventually(lambda: works.job(job).status == "running")
        with works.pool.connection() as connection:
            jobs.dismiss(connection, job)
        go_on.set()
    assert (works.job(job).status, works.job(job).outputs) == ("dismissed", None)


@pytest.mark.parametrize(
    ("error", "status", "title"),
    [
        (ProcessFailedError("no such scene"), "failed", "Process failed"),
        (ValueError("odd"), "accepted", "Internal"),
        (MemoryError(), "accepted", "Internal"),
        (ValueError("\0 and \ud800"), "accepted", "Internal"),
        (StorageFullError("/a/path is full"), "accepted", "Storage full"),
        (psycopg.errors.DeadlockDetected("of its own"), "accepted", "Internal"),
    ],
)
def test_what_may_help_is_tried_again(works: Works, error: Exception, status: str, title: str) -> None:
    def run(_: Number, context: Context) -> Mapping[str, Any]:
        context.log("before it failed")
        raise error

    job = works.accept(run)
    works.runner.run(job)
    failed = works.job(job)
    assert failed.error is not None
    assert (failed.status, failed.error["title"]) == (status, title)
    assert works.lines(job) == ["before it failed"]
    assert ("internal" in failed.error) is (status == "accepted")
    assert (str(error) in failed.error["detail"]) is (status == "failed" or str(error) == "")


def test_a_job_of_a_process_that_is_not_known_is_left_to_others(works: Works) -> None:
    job = works.accept(lambda *_: {"number": 1})
    works.known.clear()
    assert not works.runner.run(job)
    assert not works.runner.run_due(["default"])
    assert (works.job(job).status, works.job(job).attempt) == ("accepted", 0)


def test_an_output_that_was_not_announced_is_a_fault_of_the_process(works: Works) -> None:
    job = works.accept(lambda *_: {"other": 1})
    works.runner.run(job)
    failed = works.job(job)
    assert failed.error is not None
    assert "no output 'other'" in failed.error["internal"]


def test_a_process_gives_others_a_part_and_goes_on(works: Works) -> None:
    def run(inputs: Number, context: Context) -> Mapping[str, Any] | Fanout:
        if inputs.number > 1:
            if not context.children:
                return Fanout([Child("made", {"number": 1})] * inputs.number, checkpoint="left")
            assert context.checkpoint == "left"
            return {"number": sum((child.outputs or {})["number"] for child in context.children)}
        return {"number": 10}

    job = works.accept(run, number=3)
    works.runner.run(job)
    assert works.job(job).pending_children == 3
    while works.runner.run_due(["default"]):
        pass
    assert (works.job(job).status, works.job(job).outputs) == ("successful", {"number": 30})


@pytest.mark.parametrize("fails", [False, True])
def test_workers_are_told_of_what_one_job_makes_due(works: Works, fails: bool) -> None:
    def run(inputs: Number, context: Context) -> Mapping[str, Any] | Fanout:
        if inputs.number > 1 and not context.children:
            return Fanout([Child("made", {}), Child("elsewhere", {"message": "Hi", "fail": fails})])
        return {"number": 1}

    works.known["elsewhere"] = replace(echo.PROCESS, id="elsewhere", queue="gpu")
    job = works.accept(run, number=2)
    works.runner.run(job)
    first, last = works.rung
    works.runner.run(first)
    assert works.rung == [first, last]
    works.runner.run(last)
    assert works.rung == [first, last, job]
    works.runner.run(job)
    assert works.job(job).status == "successful"
    assert len(works.rung) == 3


def test_a_lease_is_not_made_longer_for_a_job_that_ends_and_has_nothing_to_say(
    works: Works, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[object] = []
    monkeypatch.setattr(jobs, "keep", lambda *given: kept.append(given) or True)
    quiet = works.accept(lambda inputs, _: {"number": inputs.number})
    works.runner.run(quiet)
    assert (works.job(quiet).status, kept) == ("successful", [])
    works.runner.run(works.accept(echo.PROCESS, message="Hi"))
    assert len(kept) == 1


def test_jobs_that_nobody_rang_for_are_done(works: Works) -> None:
    ids = [works.accept(echo.PROCESS, message=str(number)) for number in range(20)]
    rung: list[UUID] = []
    slots = threading.BoundedSemaphore(2)
    reconciler = Reconciler(
        works.pool,
        works.runner,
        lambda job, _: not rung.append(job),
        ["default"],
        slots,
        interval_s=0.1,
        retention=timedelta(days=1),
        alive=works.settings.site.home / "alive",
    )
    reconciler.start()
    eventually(lambda: all(works.job(job).status == "successful" for job in ids))
    reconciler.stop()
    assert set(rung) == set(ids)
    assert {works.job(job).attempt for job in ids} == {1}


# ---------------------------------------------------------------------------------------------------------------------
# Publishing


def scene(identifier: str, collection: str = "scenes", **more: Any) -> dict[str, Any]:
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": identifier,
        "collection": collection,
        "geometry": {"type": "Point", "coordinates": [1, 2]},
        "bbox": [1, 2, 1, 2],
        "properties": {"datetime": "2025-06-20T00:00:00Z"},
        "links": [],
        "assets": {},
        **more,
    }


@pytest.fixture
def collections(works: Works) -> Iterator[psycopg.Connection[Any]]:
    """A public and an internal collection with a scene each, and one for results."""
    with database.connect(works.settings, "postgres") as admin:
        admin.execute("SET search_path = almagest, public")
        store = Store(admin)
        for name in ("scenes", "drafts", "products"):
            with admin.transaction():
                store.collections([rasters.collection(name)])
            batch = store.prepare([scene("a", name)])
            with admin.transaction():
                store.put(batch)
        audience.set_collections(admin, "drafts", "internal")
        yield admin


def document(admin: psycopg.Connection[Any], collection: str, identifier: str) -> dict[str, Any] | None:
    row = admin.execute("SELECT almagest.item_document(%s, %s)", (collection, identifier)).fetchone()
    assert row is not None
    return row[0]


def test_results_are_published_with_the_end_of_their_job(works: Works, collections: psycopg.Connection[Any]) -> None:
    def run(_: Number, context: Context) -> Mapping[str, Any]:
        read = context.source("scenes", "a")
        (context.workdir / "out.csv").write_text("a,b\n1,2\n")
        context.publish([scene("made", "products", assets={"table": {"href": "out.csv", "title": read["id"]}})])
        assert document(collections, "products", "made") is None, "not yet"
        return {"number": 1}

    job = works.accept(run)
    works.runner.run(job)
    assert works.job(job).status == "successful", works.job(job).error
    made = document(collections, "products", "made")
    assert made is not None
    table = made["assets"]["table"]
    path = Path(table["href"].removeprefix("file://"))
    assert path.is_relative_to(works.settings.store_path)
    assert path.read_text() == "a,b\n1,2\n"
    assert (table["type"], table["file:size"], table["title"]) == ("text/csv", 8, "a")
    assert made["properties"]["almagest:job"] == str(job)
    assert made["properties"]["processing:software"] == {"almagest/made": "1"}
    (pin,) = [link for link in made["links"] if link["rel"] == "derived_from"]
    assert pin["href"].endswith("/api/collections/scenes/items/a")
    (state,) = collections.execute("SELECT * FROM almagest.item_states('scenes', 'a')").fetchall()
    assert pin["almagest:version"] == version_of(state[0])
    (of,) = collections.execute("SELECT job, actor FROM almagest.item_states('products', 'made')").fetchall()
    assert of == (str(job), "ann")


def test_many_results_are_published_in_parts_and_each_once(
    works: Works, collections: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last part is so small that its items are locked one by one, behind those that lock the collection."""
    monkeypatch.setattr(spool, "_DOCUMENTS", 40)
    names = [(of, f"made-{number:02}") for of in ("products", "scenes") for number in range(45)]

    def run(_: Number, context: Context) -> Mapping[str, Any]:
        for draft in (True, False):
            context.publish(scene(name, of, title=f"{name} {draft}") for of, name in names)
        return {"number": 1}

    job = works.accept(run)
    works.runner.run(job)
    assert {(each["collection"], each["item"]) for each in works.job(job).published or []} == set(names)

    def states() -> list[Any]:
        return [
            row
            for name in names
            for row in collections.execute("SELECT valid_from, job FROM item_states(%s, %s)", name)
        ]

    first = states()
    assert [of for _, of in first] == [str(job)] * len(names)
    made = document(collections, "scenes", "made-44")
    assert made is not None
    assert made["title"] == "made-44 False"
    works.runner.run(works.accept(run))
    assert states() == first, "done again, it leaves no versions"


def test_nothing_is_published_of_a_job_that_is_lost(works: Works, collections: psycopg.Connection[Any]) -> None:
    def run(_: Number, context: Context) -> Mapping[str, Any]:
        context.publish([scene("made", "products")])
        with works.pool.connection() as connection:
            jobs.dismiss(connection, UUID(context.job))
        return {"number": 1}

    works.runner.run(works.accept(run))
    assert document(collections, "products", "made") is None


def test_nothing_is_published_of_a_job_that_fails_at_its_end(
    works: Works, collections: psycopg.Connection[Any]
) -> None:
    def run(_: Number, context: Context) -> Mapping[str, Any]:
        context.publish([scene("made", "products")])
        return {"unannounced": 1}

    job = works.accept(run)
    works.runner.run(job)
    assert works.job(job).status == "accepted"
    assert document(collections, "products", "made") is None


@pytest.mark.parametrize("public", [False, True])
def test_what_is_made_of_what_is_internal_stays_so(
    works: Works, collections: psycopg.Connection[Any], public: bool
) -> None:
    def run(_: Number, context: Context) -> Mapping[str, Any]:
        context.source("drafts", "a")
        context.publish([scene("made", "products")], public=public)
        return {"number": 1}

    job = works.accept(run)
    works.runner.run(job)
    assert works.job(job).status == ("successful" if public else "failed")
    assert (document(collections, "products", "made") is not None) is public
    if not public:
        assert "would become public in 'products'" in (works.job(job).error or {})["detail"]


def put(settings: Settings, identifier: str, collection: str, job: str | None = None, **more: Any) -> None:
    """As somebody who has nothing to do with the job, or on behalf of one."""
    with database.connect(settings, "postgres") as admin, admin.transaction():
        admin.execute("SELECT almagest.write_as('bob', NULL, NULL, %s)", (job,))
        admin.execute("SELECT almagest.put_item(%s::jsonb)", (json.dumps(scene(identifier, collection, **more)),))


def counting(works: Works, meanwhile: Callable[[], object]) -> Callable[[Number, Context], Mapping[str, Any]]:
    """A process that counts products; something happens between that and its end, the first time."""
    first = iter([meanwhile])

    def run(_: Number, context: Context) -> Mapping[str, Any]:
        with exporting.snapshot(works.settings, "almagest_worker") as moment:
            counted = len(list(moment.items("products", {})))
            context.rely_on(["products", "scenes"], moment.mark())
        context.publish([scene(f"counted-{counted}", "products")])
        next(first, lambda: None)()
        return {"number": counted}

    return run


def test_what_follows_from_what_others_have_changed_since_is_not_published(
    works: Works, collections: psycopg.Connection[Any]
) -> None:
    job = works.accept(counting(works, lambda: put(works.settings, "theirs", "products")))
    works.runner.run(job)
    found = works.job(job)
    assert (found.status, found.attempt) == ("accepted", 0), "which does not count"
    assert (found.error or {})["title"] == "Overtaken"
    assert "products/theirs was changed by others" in (found.error or {})["internal"]
    assert document(collections, "products", "counted-1") is None
    collections.execute("UPDATE almagest.job SET run_after = almagest.clock()")
    works.runner.run(job)
    assert works.job(job).outputs == {"number": 2}
    assert document(collections, "products", "counted-2") is not None


@pytest.mark.parametrize(
    "change", ["DELETE FROM items WHERE collection = 'scenes'", "UPDATE items SET content = content || '{\"a\": 1}'"]
)
def test_it_does_not_matter_how_they_have_changed_it(
    works: Works, collections: psycopg.Connection[Any], change: str
) -> None:
    job = works.accept(counting(works, lambda: collections.execute(f"SET search_path = pgstac, public; {change}")))
    works.runner.run(job)
    assert (works.job(job).error or {})["title"] == "Overtaken"


def test_what_others_change_elsewhere_does_not_matter(works: Works, collections: psycopg.Connection[Any]) -> None:
    job = works.accept(counting(works, lambda: put(works.settings, "theirs", "drafts")))
    works.runner.run(job)
    assert works.job(job).status == "successful", works.job(job).error


def test_what_was_seen_is_no_reason_to_look_again(works: Works, collections: psycopg.Connection[Any]) -> None:
    """Somebody began before the change that was seen, and is still at it: by the horizon alone it came later.

    What he writes himself, after that, has not been seen.
    """
    with database.connect(works.settings, "postgres", autocommit=False) as slow:
        slow.execute("SELECT pg_current_xact_id()")
        put(works.settings, "before", "products")
        job = works.accept(counting(works, lambda: None))
        works.runner.run(job)
        assert works.job(job).outputs == {"number": 2}, works.job(job).error

        def end() -> None:
            slow.execute("SELECT almagest.put_item(%s::jsonb)", (json.dumps(scene("late", "products")),))
            slow.commit()

        job = works.accept(counting(works, end))
        works.runner.run(job)
        assert "products/late" in (works.job(job).error or {})["internal"]


def test_parts_of_one_job_do_not_overtake_each_other(works: Works, collections: psycopg.Connection[Any]) -> None:
    children: list[UUID] = []
    steps = iter([lambda: works.runner.run(children[1]), lambda: None])

    def count(_: Number, context: Context) -> Mapping[str, Any]:
        return counting(works, next(steps))(_, context)

    part = process(count, id="part")
    works.known["part"] = part

    def run(_: Number, context: Context) -> Mapping[str, Any] | Fanout:
        if context.children:
            return {"number": len(context.children)}
        return Fanout([Child("part", {}), Child("part", {})])

    job = works.accept(run)
    works.runner.run(job)
    with works.pool.connection() as connection:
        rows = connection.execute("SELECT id FROM almagest.job_children(%s)", (job,)).fetchall()
    children += [child for (child,) in rows]
    works.runner.run(children[0])
    assert [works.job(child).status for child in children] == ["successful"] * 2
    # Another job is not one of them, whatever it says of itself.
    steps = iter([lambda: put(works.settings, "theirs", "products", str(works.accept(run)))])
    single = works.accept(part)
    works.runner.run(single)
    assert works.job(single).status == "accepted"


def test_whoever_is_kept_from_publishing_for_long_is_tried_again(
    works: Works, collections: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "_PATIENCE", "200ms")
    job = works.accept(counting(works, lambda: None))
    with collections.transaction():
        collections.execute("SELECT almagest.lock_collection('products')")
        works.runner.run(job)
    found = works.job(job)
    assert (found.status, found.attempt, (found.error or {})["title"]) == ("accepted", 0, "Overtaken")


def test_a_lease_is_kept_while_results_are_made_ready(
    works: Works, collections: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def slowly(do: Callable[..., Any]) -> Callable[..., Any]:
        def wait_and_do(*given: Any) -> Any:
            time.sleep(1.5 * LEASE.total_seconds())
            return do(*given)

        return wait_and_do

    for name in ("prepare", "secure"):
        monkeypatch.setattr(Publication, name, slowly(getattr(Publication, name)))
    job = works.accept(counting(works, lambda: None))
    with works.running(job):
        eventually(lambda: works.job(job).status == "running")
        while works.job(job).status == "running":
            assert not works.runner.run(job), "nobody else takes it up"
            time.sleep(0.1)
    assert works.job(job).status == "successful", works.job(job).error


def test_an_overtaken_job_makes_no_collections(works: Works, collections: psycopg.Connection[Any]) -> None:
    counted = counting(works, lambda: put(works.settings, "theirs", "products"))

    def run(inputs: Number, context: Context) -> Mapping[str, Any]:
        context.collection(rasters.collection("made"), ["scenes"])
        return counted(inputs, context)

    job = works.accept(run)
    works.runner.run(job)
    assert (works.job(job).error or {})["title"] == "Overtaken"
    assert collections.execute("SELECT almagest.collection_document('made')").fetchone() == (None,)


def test_outputs_follow_from_what_was_read_as_well(works: Works, collections: psycopg.Connection[Any]) -> None:
    def run(_: Number, context: Context) -> Mapping[str, Any]:
        with exporting.snapshot(works.settings, "almagest_worker") as moment:
            context.rely_on(["products"], moment.mark())
        put(works.settings, "theirs", "products")
        return {"number": 1}

    job = works.accept(run)
    works.runner.run(job)
    assert (works.job(job).error or {})["title"] == "Overtaken"


def test_what_they_have_changed_is_seen_though_a_part_of_ours_has_written_over_it(
    works: Works, collections: psycopg.Connection[Any]
) -> None:
    """Whose that state was stands in history by then."""
    job = works.accept(lambda *_: {"number": 1})

    def both() -> None:
        put(works.settings, "theirs", "products")
        put(works.settings, "theirs", "products", str(job), title="anew")

    works.known["made"] = process(counting(works, both))
    works.runner.run(job)
    assert "products/theirs" in (works.job(job).error or {})["internal"]


@pytest.mark.parametrize(("before", "after", "states"), [(1e20, 1e20, 1), (0, 1, 2)])
def test_what_comes_out_as_it_was_stays_whatever_it_is(
    works: Works, collections: psycopg.Connection[Any], before: float, after: float, states: int
) -> None:
    """A database has numbers that no integer of 64 bits can hold, and gives them back as integers."""
    for value in (before, after):

        def run(_: Number, context: Context, value: float = value) -> Mapping[str, Any]:
            context.publish(
                [scene("made", "products", properties={"datetime": "2025-06-20T00:00:00Z", "nodata": value})]
            )
            return {"number": 1}

        job = works.accept(run)
        works.runner.run(job)
        assert works.job(job).status == "successful", works.job(job).error
    found = collections.execute("SELECT * FROM almagest.item_states('products', 'made')").fetchall()
    assert len(found) == states


def test_of_two_that_end_at_once_one_overtakes_the_other(
    works: Works, collections: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither sees the other one's items when it looks whether there are any, unless one waits for the other."""
    both, secure = threading.Barrier(2), Publication.secure

    def meet(publication: Publication, connection: psycopg.Connection[Any]) -> None:
        secure(publication, connection)
        with suppress(threading.BrokenBarrierError):
            both.wait(1)

    monkeypatch.setattr(Publication, "secure", meet)
    one, other = (works.accept(counting(works, both.reset)) for _ in range(2))
    with works.running(one), works.running(other):
        pass
    assert sorted(works.job(job).status for job in (one, other)) == ["accepted", "successful"]


def test_each_result_says_of_what_alone_it_is_made(works: Works, collections: psycopg.Connection[Any]) -> None:
    def run(_: Number, context: Context) -> Mapping[str, Any]:
        read = context.sources([("scenes", "a"), ("scenes", "none"), ("drafts", "a"), ("products", "a")])
        assert [(item["collection"], item["id"]) for item in read] == [
            ("scenes", "a"),
            ("drafts", "a"),
            ("products", "a"),
        ]
        context.publish([scene("one", "products")], sources=[("scenes", "a")])
        # What is made of the internal one goes where nobody outside sees it.
        context.publish([scene("two", "drafts")], sources=[("drafts", "a"), ("products", "a")])
        with pytest.raises(NotFoundError, match="'none' of 'scenes', which was not read"):
            context.publish([scene("three", "products")], sources=[("scenes", "none")])
        return {"number": 1}

    job = works.accept(run)
    works.runner.run(job)
    assert works.job(job).status == "successful", works.job(job).error
    made = {name: document(collections, *name) or {} for name in (("products", "one"), ("drafts", "two"))}
    told = {name: [link["href"].split("/collections/")[1] for link in made[name]["links"]] for name in made}
    assert told == {
        ("products", "one"): ["scenes/items/a"],
        ("drafts", "two"): ["drafts/items/a", "products/items/a"],
    }


def test_a_result_becomes_a_dated_asset(works: Works, collections: psycopg.Connection[Any]) -> None:
    def run(_: Number, context: Context) -> Mapping[str, Any]:
        (context.workdir / "c.nc").write_bytes(b"CDF\x01 and more")
        context.register("scenes", "a", "c.nc", prefix="comparison", day=date(2025, 6, 20), asset={"title": "T"})
        return {"number": 1}

    for _ in range(2):
        works.runner.run(works.accept(run))
    made = document(collections, "scenes", "a")
    assert made is not None
    assert sorted(made["assets"]) == ["comparison:2025-06-20", "comparison:latest"], "the same bytes are one"
    assert made["assets"]["comparison:latest"]["title"] == "T"


def kept_by(subject: str, works: Works, content: bytes) -> str:
    """The href of a file that somebody keeps."""
    with uploads.Incoming(works.settings, None, "") as incoming:
        incoming.write(content)
        return uploads.href(works.settings, incoming.keep(subject, "c.nc").key)


def test_a_job_reads_files_of_who_wants_it_done_and_of_nobody_else(works: Works) -> None:
    own, other = kept_by("ann", works, b"hers"), kept_by("bob", works, b"his")
    climbing = own.rpartition("/")[0] + "/../" + other.partition("own-files/")[2]
    read: list[bytes] = []

    def reading(href: str) -> str:
        def run(_: Number, context: Context) -> Mapping[str, Any]:
            read.append(context.fetch(href).read_bytes())
            return {"number": 1}

        job = works.accept(process(run, id=f"p{len(works.known)}"))
        works.runner.run(job)
        return works.job(job).status

    assert reading(own) == "successful"
    assert read == [b"hers"]
    link = works.settings.store_path / "link.nc"
    link.symlink_to(Path(other.removeprefix("file://")))
    for href in (other, climbing, link.as_uri(), other.replace("own-files", "%6Fwn-files")):
        assert reading(href) == "failed", href
    assert read == [b"hers"]


def test_an_asset_made_of_a_file_outlives_it(works: Works, collections: psycopg.Connection[Any]) -> None:
    own = kept_by("ann", works, b"CDF\x01 and more")

    def run(_: Number, context: Context) -> Mapping[str, Any]:
        context.register("scenes", "a", own, prefix="comparison", day=date(2025, 6, 20))
        return {"number": 1}

    works.runner.run(works.accept(run))
    Path(own.removeprefix("file://")).unlink()
    made = document(collections, "scenes", "a")
    assert made is not None
    asset = made["assets"]["comparison:latest"]
    assert Path(asset["href"].removeprefix("file://")).read_bytes() == b"CDF\x01 and more"
    assert "own-files" not in asset["href"]


@pytest.mark.parametrize("name", ["../../../etc/passwd", "not-there.csv"])
def test_files_come_from_the_working_folder_alone(
    works: Works, collections: psycopg.Connection[Any], name: str
) -> None:
    def run(_: Number, context: Context) -> Mapping[str, Any]:
        context.publish([scene("made", "products", assets={"x": {"href": name}})])
        return {"number": 1}

    job = works.accept(run)
    works.runner.run(job)
    assert works.job(job).status == "failed"
    assert document(collections, "products", "made") is None
