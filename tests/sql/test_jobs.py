"""The table of jobs: what is accepted is done once, whoever dies, comes late or comes twice."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from pydantic import BaseModel

from almagest.catalogue import accounts, database, jobs
from almagest.core.errors import ConflictError, InvalidDocumentError, NotFoundError, TooManyRequestsError
from almagest.core.jobs import Output, Process
from almagest.core.settings import Settings

LEASE = timedelta(minutes=1)
KNOWN = ("test",)


class Inputs(BaseModel):
    """Anything."""

    number: int = 0


PROCESS = Process(
    id="test",
    version="1",
    title="Test",
    description="Does nothing.",
    inputs=Inputs,
    outputs={"number": Output("A number", {"type": "integer"})},
    run=lambda inputs, context: {"number": inputs.number},
    max_attempts=3,
)
Connect = Callable[[str], psycopg.Connection[Any]]


@pytest.fixture
def connect(settings: Settings) -> Iterator[Connect]:
    opened: list[psycopg.Connection[Any]] = []

    def open_as(role: str) -> psycopg.Connection[Any]:
        opened.append(database.connect(settings, role))
        return opened[-1]

    yield open_as
    for connection in opened:
        connection.close()


@pytest.fixture
def worker(connect: Connect) -> psycopg.Connection[Any]:
    return connect("almagest_worker")


@pytest.fixture
def later(settings: Settings) -> Callable[[float], None]:
    """Puts the clock forward [s]."""

    def move(seconds: float) -> None:
        with database.connect(settings, settings.database.admin_user) as admin:
            admin.execute(
                "CREATE OR REPLACE FUNCTION almagest.clock() RETURNS timestamptz LANGUAGE sql VOLATILE PARALLEL SAFE AS"
                f" $$ SELECT pg_catalog.clock_timestamp() + interval '{seconds} seconds' $$"
            )

    return move


def accept(connection: psycopg.Connection[Any], number: int = 0, **more: Any) -> UUID:
    return jobs.accept(connection, PROCESS, {"number": number}, "ann", **more)[0]


def test_a_job_goes_from_accepted_to_successful(worker: psycopg.Connection[Any]) -> None:
    job = accept(worker, 7)
    assert jobs.find(worker, job).status == "accepted"
    claimed = jobs.claim(worker, job, "w1", LEASE, KNOWN)
    assert claimed is not None
    assert (claimed.status, claimed.attempt, claimed.inputs) == ("running", 1, {"number": 7})
    assert jobs.keep(worker, job, "w1", LEASE, 40, "nearly", ["one", "two"])
    assert jobs.finish(worker, job, "w1", {"number": 7})
    done = jobs.find(worker, job)
    assert (done.status, done.progress, done.outputs, done.message) == ("successful", 100, {"number": 7}, "nearly")
    assert done.started_at is not None
    assert done.finished_at is not None
    lines = [(event.kind, event.message) for event in jobs.events(worker, job)]
    assert lines == [
        ("state", "accepted"),
        ("state", "attempt 1 of 3"),
        ("log", "one"),
        ("log", "two"),
        ("state", "successful"),
    ]


def test_inputs_are_checked_before_anything_is_stored(worker: psycopg.Connection[Any]) -> None:
    with pytest.raises(InvalidDocumentError, match=r"/inputs/number: .*integer"):
        jobs.accept(worker, PROCESS, {"number": "x"}, "ann")
    assert jobs.listed(worker) == []


def test_of_two_who_hear_the_bell_one_gets_the_job(worker: psycopg.Connection[Any], connect: Connect) -> None:
    ids = [accept(worker) for _ in range(20)]
    start = threading.Barrier(4)
    got: list[UUID] = []

    def race(connection: psycopg.Connection[Any], name: str) -> None:
        for job in ids:
            start.wait()
            if jobs.claim(connection, job, name, LEASE, KNOWN) is not None:
                got.append(job)

    threads = [threading.Thread(target=race, args=(connect("almagest_worker"), f"w{number}")) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == ids


def test_who_lost_his_lease_changes_nothing(worker: psycopg.Connection[Any], later: Callable[[float], None]) -> None:
    job = accept(worker)
    jobs.claim(worker, job, "slow", LEASE, KNOWN)
    assert jobs.claim(worker, job, "eager", LEASE, KNOWN) is None, "while the lease lasts"
    later(61)
    assert jobs.claim(worker, job, "eager", LEASE, KNOWN) is not None
    assert not jobs.keep(worker, job, "slow", LEASE, 99, "mine", ["still here"])
    assert not jobs.hold(worker, job, "slow")
    assert not jobs.finish(worker, job, "slow", {"number": 1})
    assert jobs.fail(worker, job, "slow", {"detail": "no"}) is None
    assert jobs.suspend(worker, job, "slow", [(PROCESS, {})]) == []
    assert jobs.find(worker, job).status == "running"
    assert jobs.finish(worker, job, "eager", {"number": 2})
    assert jobs.find(worker, job).outputs == {"number": 2}
    assert "still here" not in [event.message for event in jobs.events(worker, job)]


def test_a_kept_lease_lasts(worker: psycopg.Connection[Any], later: Callable[[float], None]) -> None:
    job = accept(worker)
    jobs.claim(worker, job, "w", LEASE, KNOWN)
    later(50)
    assert jobs.keep(worker, job, "w", LEASE)
    later(100)
    assert jobs.claim(worker, job, "other", LEASE, KNOWN) is None
    assert jobs.claim_due(worker, ["default"], "x", LEASE, KNOWN) is None


def test_what_failed_is_tried_again_later_and_then_buried(
    worker: psycopg.Connection[Any], later: Callable[[float], None]
) -> None:
    job = accept(worker)
    again = timedelta(seconds=10)
    for attempt in (1, 2):
        assert jobs.claim(worker, job, f"w{attempt}", LEASE, KNOWN) is not None
        assert jobs.fail(worker, job, f"w{attempt}", {"detail": "no luck"}, again) == "accepted"
        assert jobs.claim(worker, job, "early", LEASE, KNOWN) is None
        later(11 * attempt)
    assert jobs.claim(worker, job, "w3", LEASE, KNOWN) is not None
    assert jobs.fail(worker, job, "w3", {"detail": "never", "internal": "Traceback…"}, again) == "failed"
    dead = jobs.find(worker, job)
    assert (dead.status, dead.is_dead, dead.error) == ("failed", True, {"detail": "never", "internal": "Traceback…"})
    assert [found.id for found in jobs.listed(worker, filters={"dead": True})] == [job]
    assert jobs.retry(worker, job)
    assert jobs.claim(worker, job, "w4", LEASE, KNOWN) is not None
    assert not jobs.retry(worker, job), "it runs"


def test_what_cannot_work_is_not_tried_again(worker: psycopg.Connection[Any]) -> None:
    job = accept(worker)
    jobs.claim(worker, job, "w", LEASE, KNOWN)
    assert jobs.fail(worker, job, "w", {"detail": "bad inputs"}) == "failed"
    found = jobs.find(worker, job)
    assert (found.status, found.is_dead, found.attempt) == ("failed", False, 1)


def test_what_kills_its_workers_is_buried(worker: psycopg.Connection[Any], later: Callable[[float], None]) -> None:
    job = accept(worker)
    for attempt in range(3):
        later(61 * attempt)
        assert jobs.claim(worker, job, f"w{attempt}", LEASE, KNOWN) is not None
        assert jobs.bury(worker) == 0
    later(61 * 3)
    assert jobs.claim(worker, job, "w4", LEASE, KNOWN) is None
    assert jobs.bury(worker) == 1
    dead = jobs.find(worker, job)
    assert (dead.status, dead.is_dead) == ("failed", True)
    assert dead.error is not None
    assert "died or was cut off 3 times" in dead.error["detail"]


def losses(connection: psycopg.Connection[Any]) -> list[tuple[str, int, int]]:
    return connection.execute("SELECT process, lease_expiries, dead FROM almagest.job_losses()").fetchall()


def test_leases_that_run_out_are_counted_and_the_count_stays(
    worker: psycopg.Connection[Any], later: Callable[[float], None]
) -> None:
    job, other = accept(worker), accept(worker)
    jobs.claim(worker, job, "w1", LEASE, KNOWN)
    assert losses(worker) == []
    later(61)
    jobs.claim(worker, job, "w2", LEASE, KNOWN)
    assert losses(worker) == [("test", 1, 0)]
    # What is given back, or fails, is not lost.
    jobs.claim(worker, other, "w1", LEASE, KNOWN)
    jobs.release(worker, other, "w1")
    jobs.claim(worker, other, "w2", LEASE, KNOWN)
    jobs.fail(worker, other, "w2", {}, timedelta(0))
    assert jobs.claim(worker, other, "w3", LEASE, KNOWN)
    assert losses(worker) == [("test", 1, 0)]
    # Whoever comes late to his own job has not lost it while nobody else has it.
    later(200)
    assert jobs.finish(worker, other, "w3", {})
    assert jobs.claim(worker, job, "w3", LEASE, KNOWN)
    assert losses(worker) == [("test", 2, 0)]
    later(300)
    assert jobs.bury(worker) == 1
    assert losses(worker) == [("test", 3, 1)]
    jobs.retry(worker, job)
    jobs.dismiss(worker, job, may_remove=True)
    jobs.dismiss(worker, job, may_remove=True)
    assert losses(worker) == [("test", 3, 0)]


def test_what_waits_is_counted_by_queue(worker: psycopg.Connection[Any], later: Callable[[float], None]) -> None:
    def waiting() -> list[tuple[str, int]]:
        return worker.execute("SELECT * FROM almagest.job_queues()").fetchall()

    first, second, third = accept(worker), accept(worker), accept(worker)
    assert waiting() == [("default", 3)]
    jobs.claim(worker, first, "w1", LEASE, KNOWN)
    jobs.claim(worker, second, "w1", LEASE, KNOWN)
    jobs.fail(worker, second, "w1", {}, timedelta(seconds=30))  # its time has not come
    jobs.dismiss(worker, third, may_remove=False)
    assert waiting() == []
    later(61)
    assert waiting() == [("default", 2)]


def test_children_are_found_by_the_request_of_their_parent(worker: psycopg.Connection[Any]) -> None:
    job = accept(worker, request={"outputs": [], "by": "Ann"}, request_id="r1", key="k")
    assert jobs.find(worker, job).request == {"outputs": [], "by": "Ann", "request_id": "r1"}
    jobs.claim(worker, job, "w1", LEASE, KNOWN)
    (child,) = jobs.suspend(worker, job, "w1", [(PROCESS, {})])
    assert jobs.find(worker, child).request == {"by": "Ann", "request_id": "r1"}
    # A request that is sent again has another id, and is the same all the same.
    assert accept(worker, request={"outputs": [], "by": "Ann"}, request_id="r2", key="k") == job
    orphan = accept(worker)
    jobs.claim(worker, orphan, "w1", LEASE, KNOWN)
    (child,) = jobs.suspend(worker, orphan, "w1", [(PROCESS, {})])
    assert jobs.find(worker, child).request == {}


def test_a_bell_that_nobody_heard_rings_again(worker: psycopg.Connection[Any], later: Callable[[float], None]) -> None:
    age = timedelta(seconds=5)
    first, second = accept(worker), accept(worker)
    assert sorted(jobs.to_ring(worker, age)) == sorted([(first, "default"), (second, "default")])
    assert jobs.to_ring(worker, age) == []
    jobs.claim(worker, first, "w", LEASE, KNOWN)
    later(6)
    assert jobs.to_ring(worker, age) == [(second, "default")]
    later(70)
    assert sorted(jobs.to_ring(worker, age)) == sorted([(first, "default"), (second, "default")])


def test_a_job_goes_to_its_kind_of_machine(worker: psycopg.Connection[Any]) -> None:
    job = accept(worker)
    assert jobs.claim_due(worker, ["gpu"], "x", LEASE, KNOWN) is None
    assert jobs.claim_due(worker, ["gpu", "default"], "x", LEASE, ["other"]) is None
    claimed = jobs.claim_due(worker, ["gpu", "default"], "x", LEASE, KNOWN)
    assert claimed is not None
    assert claimed.id == job


def test_a_key_makes_the_same_request_the_same_job(worker: psycopg.Connection[Any]) -> None:
    job, is_new = jobs.accept(worker, PROCESS, {"number": 1}, "ann", key="k")
    assert is_new
    assert jobs.accept(worker, PROCESS, {"number": 1}, "ann", key="k") == (job, False)
    with pytest.raises(ConflictError, match="another request"):
        jobs.accept(worker, PROCESS, {"number": 2}, "ann", key="k")
    with pytest.raises(ConflictError):
        jobs.accept(worker, PROCESS, {"number": 1}, "ann", request={"response": "raw"}, key="k")
    assert jobs.accept(worker, PROCESS, {"number": 1}, "bob", key="k")[0] != job
    assert accept(worker, 1) != job


def test_one_key_sent_at_once_is_one_job(connect: Connect) -> None:
    found: list[tuple[UUID, bool]] = []
    start = threading.Barrier(8)

    def send(connection: psycopg.Connection[Any]) -> None:
        start.wait()
        found.append(jobs.accept(connection, PROCESS, {}, "ann", key="once"))

    threads = [threading.Thread(target=send, args=(connect("almagest_ops"),)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({job for job, _ in found}) == 1
    assert [is_new for _, is_new in found].count(True) == 1


def test_a_dismissed_job_is_fenced_off_and_then_removed(worker: psycopg.Connection[Any]) -> None:
    job = accept(worker)
    jobs.claim(worker, job, "w", LEASE, KNOWN)
    assert jobs.dismiss(worker, job) == "dismissed"
    assert jobs.find(worker, job).status == "dismissed"
    assert not jobs.keep(worker, job, "w", LEASE)
    assert not jobs.finish(worker, job, "w", {})
    assert jobs.dismiss(worker, job, may_remove=False) == "dismissed"
    assert jobs.dismiss(worker, job) == "removed"
    with pytest.raises(NotFoundError):
        jobs.find(worker, job)
    with pytest.raises(NotFoundError):
        jobs.dismiss(worker, uuid4())


def test_a_dismissal_that_comes_twice_removes_nothing(worker: psycopg.Connection[Any]) -> None:
    job, done = accept(worker), accept(worker)
    assert jobs.dismiss(worker, job, may_remove=False, request="a") == "dismissed"
    assert jobs.dismiss(worker, job, request="a") == "dismissed", "the same request, sent again"
    assert jobs.dismiss(worker, job, request="b") == "removed"
    # It had ended before it was dismissed: whoever asked did not know.
    jobs.claim(worker, done, "w", LEASE, KNOWN)
    jobs.finish(worker, done, "w", {})
    assert jobs.dismiss(worker, done, may_remove=False, request="a") == "successful"
    assert jobs.dismiss(worker, done, request="a") == "successful"
    assert jobs.dismiss(worker, done, request="b") == "removed"


def test_a_parent_goes_on_when_its_last_child_has_ended(worker: psycopg.Connection[Any]) -> None:
    parent = accept(worker)
    jobs.claim(worker, parent, "p", LEASE, KNOWN)
    ids = jobs.suspend(worker, parent, "p", [(PROCESS, {"number": n}) for n in range(3)], {"seen": 3})
    assert len(ids) == 3
    assert jobs.find(worker, parent).status == "running"
    assert {found.principal for found in jobs.listed(worker)} == {"ann"}
    for number, child in enumerate(ids):
        assert jobs.claim(worker, parent, "early", LEASE, KNOWN) is None
        jobs.claim(worker, child, f"c{number}", LEASE, KNOWN)
        if number == 1:
            jobs.fail(worker, child, f"c{number}", {"detail": "broken"})
        else:
            jobs.finish(worker, child, f"c{number}", {"number": number})
    again = jobs.claim(worker, parent, "p2", LEASE, KNOWN)
    assert again is not None
    assert (again.checkpoint, again.attempt) == ({"seen": 3}, 1)
    assert [(child.status, child.outputs) for child in jobs.children(worker, parent)] == [
        ("successful", {"number": 0}), ("failed", None), ("successful", {"number": 2}),
    ]  # fmt: skip
    assert not jobs.retry(worker, ids[1]), "its parent was told of its end"


def test_a_parent_that_is_retried_begins_anew(worker: psycopg.Connection[Any]) -> None:
    parent = accept(worker)
    jobs.claim(worker, parent, "p", LEASE, KNOWN)
    (child,) = jobs.suspend(worker, parent, "p", [(PROCESS, {})])
    jobs.claim(worker, child, "c", LEASE, KNOWN)
    jobs.fail(worker, child, "c", {"detail": "broken"})
    assert jobs.dismiss(worker, child) == "failed", "its parent has yet to see it"
    jobs.claim(worker, parent, "p2", LEASE, KNOWN)
    jobs.fail(worker, parent, "p2", {"detail": "a child is broken"})
    assert jobs.retry(worker, parent)
    assert jobs.children(worker, parent) == []


def test_nobody_waits_for_nobody(worker: psycopg.Connection[Any]) -> None:
    parent = accept(worker)
    jobs.claim(worker, parent, "p", LEASE, KNOWN)
    with pytest.raises(psycopg.DataError, match="at least one"):
        jobs.suspend(worker, parent, "p", [])


def test_somebody_who_ends_a_job_is_not_waited_for(worker: psycopg.Connection[Any], connect: Connect) -> None:
    job = accept(worker)
    jobs.claim(worker, job, "w", LEASE, KNOWN)
    other = connect("almagest_worker")
    with other.transaction():
        assert jobs.hold(other, job, "w")
        assert jobs.keep(worker, job, "w", LEASE, 50, None, ["a line"]) is None
        assert jobs.finish(other, job, "w", {})
    assert jobs.keep(worker, job, "w", LEASE) is False


def test_nobody_has_more_than_so_many_jobs_open(worker: psycopg.Connection[Any], settings: Settings) -> None:
    with database.connect(settings, "postgres") as admin:
        admin.execute(
            "INSERT INTO almagest.job (process, process_version, queue, principal, inputs, max_attempts)"
            " SELECT 'test', '1', 'default', 'ann', '{}', 1 FROM generate_series(1, 999)"
        )
    accept(worker)
    with pytest.raises(TooManyRequestsError, match="1000 jobs of yours"):
        accept(worker)
    jobs.accept(worker, PROCESS, {}, "bob")


def test_children_that_end_at_once_wake_their_parent_once(worker: psycopg.Connection[Any], connect: Connect) -> None:
    parent = accept(worker)
    jobs.claim(worker, parent, "p", LEASE, KNOWN)
    ids = jobs.suspend(worker, parent, "p", [(PROCESS, {})] * 8)
    start = threading.Barrier(8)

    def end(connection: psycopg.Connection[Any], child: UUID) -> None:
        jobs.claim(connection, child, str(child), LEASE, KNOWN)
        start.wait()
        jobs.finish(connection, child, str(child), {})

    threads = [threading.Thread(target=end, args=(connect("almagest_worker"), child)) for child in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert jobs.find(worker, parent).pending_children == 0
    claimed = jobs.claim_due(worker, ["default"], "x", LEASE, KNOWN)
    assert claimed is not None
    assert claimed.id == parent


def test_the_children_of_a_dismissed_job_are_dismissed(worker: psycopg.Connection[Any]) -> None:
    parent = accept(worker)
    jobs.claim(worker, parent, "p", LEASE, KNOWN)
    first, second = jobs.suspend(worker, parent, "p", [(PROCESS, {})] * 2)
    jobs.claim(worker, first, "c", LEASE, KNOWN)
    jobs.dismiss(worker, parent)
    assert jobs.bury(worker) == 2
    assert {jobs.find(worker, child).status for child in (first, second)} == {"dismissed"}
    assert not jobs.finish(worker, first, "c", {})


def test_old_jobs_are_forgotten_but_for_the_dead(
    worker: psycopg.Connection[Any], later: Callable[[float], None]
) -> None:
    done, failed, fresh = accept(worker), accept(worker), accept(worker)
    jobs.claim(worker, done, "w", LEASE, KNOWN)
    jobs.finish(worker, done, "w", {})
    for attempt in range(3):
        later(attempt * 10)
        jobs.claim(worker, failed, f"w{attempt}", LEASE, KNOWN)
        jobs.fail(worker, failed, f"w{attempt}", {"detail": "x"}, timedelta(seconds=1))
    later(3600)
    assert jobs.expire(worker, timedelta(minutes=50)) == 1
    assert {found.id for found in jobs.listed(worker)} == {failed, fresh}


def test_what_others_did_does_not_count_for_a_day(
    worker: psycopg.Connection[Any], later: Callable[[float], None]
) -> None:
    job = accept(worker)
    for number in range(10):
        later(100 * number)
        assert jobs.claim(worker, job, f"w{number}", LEASE, KNOWN)
        assert jobs.postpone(worker, job, f"w{number}", {"detail": "x"}, timedelta(seconds=1)) == "accepted"
        assert jobs.postpone(worker, job, f"w{number}", {"detail": "x"}, timedelta(seconds=1)) is None
    assert jobs.find(worker, job).attempt == 0
    for number, status in enumerate(("accepted", "accepted", "failed")):
        later(86_400 + 100 * number)
        assert jobs.claim(worker, job, "w", LEASE, KNOWN)
        assert jobs.postpone(worker, job, "w", {"detail": "x"}, timedelta(seconds=1)) == status
    assert jobs.find(worker, job).is_dead


def test_what_nobody_has_noted_anew_for_a_year_is_forgotten(
    worker: psycopg.Connection[Any], later: Callable[[float], None]
) -> None:
    for key in ("old", "renewed"):
        worker.execute("SELECT almagest.remember('test', %s, '1')", (key,))
    later(200 * 86400)
    worker.execute("SELECT almagest.remember('test', 'renewed', '2')")
    assert jobs.expire_memory(worker, timedelta(days=30)) == 0
    later(366 * 86400)
    assert jobs.expire_memory(worker, timedelta(days=400)) == 0
    assert jobs.expire_memory(worker, timedelta(days=30)) == 1
    row = worker.execute("SELECT almagest.recall('test', 'old'), almagest.recall('test', 'renewed')").fetchone()
    assert row == (None, 2)


def test_everybody_lists_his_own(worker: psycopg.Connection[Any]) -> None:
    mine = [accept(worker, number) for number in range(5)]
    jobs.accept(worker, PROCESS, {}, "bob")
    page = jobs.listed(worker, "ann", limit=3)
    rest = jobs.listed(worker, "ann", before=(page[-1].created_at, page[-1].id), limit=3)
    assert [found.id for found in (*page, *rest)] == mine[::-1]
    jobs.claim(worker, mine[0], "w", LEASE, KNOWN)
    assert [found.id for found in jobs.listed(worker, "ann", {"status": ["running"]})] == [mine[0]]
    assert jobs.listed(worker, "ann", {"process": ["other"]}) == []


def test_a_list_has_not_what_is_long_or_for_operators(worker: psycopg.Connection[Any]) -> None:
    job = accept(worker)
    jobs.claim(worker, job, "w", LEASE, KNOWN)
    jobs.fail(worker, job, "w", {"title": "Broke", "internal": "a long story"})
    (listed,) = jobs.listed(worker)
    assert (listed.id, listed.error) == (job, {"title": "Broke"})
    assert not hasattr(listed, "inputs")
    assert jobs.find(worker, job).error == {"title": "Broke", "internal": "a long story"}


@pytest.mark.parametrize("role", ["almagest_reader", "almagest_writer", "almagest_external", "almagest_ops"])
def test_only_workers_do_jobs(connect: Connect, worker: psycopg.Connection[Any], role: str) -> None:
    job = accept(worker)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        jobs.claim(connect(role), job, "w", LEASE, KNOWN)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        connect(role).execute("SELECT * FROM almagest.job")


LEARNING = replace(PROCESS, id="learn", quota="ml")


def test_fifty_at_once_at_the_edge_of_a_quota_and_exactly_so_many_are_accepted(
    settings: Settings, connect: Connect
) -> None:
    admin = connect("postgres")
    ada, bob = (accounts.create(admin, name, None).subject for name in ("ada", "bob"))
    outcomes: list[str] = []

    def ask(number: int) -> None:
        with database.connect(settings, "almagest_ops") as connection:
            for turn in range(5):
                # The same request with the same key is the same job, and counts once.
                key = f"{number}-{turn}" if number < 5 else None
                try:
                    jobs.accept(connection, LEARNING, {"number": number}, ada, key=key)
                    outcomes.append("accepted")
                except TooManyRequestsError as error:
                    is_told = "5 ml jobs" in str(error) and 3500 < error.retry_after_s <= 3600
                    outcomes.append("refused" if is_told else str(error))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["accepted"] * 5 + ["refused"] * 45
    assert len(jobs.listed(admin, ada, {}, None, 100)) == 5
    jobs.accept(admin, LEARNING, {}, bob)
    jobs.accept(admin, LEARNING, {}, "key:4fJk29Zq")  # of nobody's account: it is not limited
    jobs.accept(admin, PROCESS, {}, ada)  # of no class


def test_who_removes_his_jobs_has_had_them_all_the_same(connect: Connect) -> None:
    admin = connect("postgres")
    ada = accounts.create(admin, "ada", None).subject
    for number in range(5):
        identifier, _ = jobs.accept(admin, LEARNING, {"number": number}, ada, key=f"k{number}")
        assert jobs.dismiss(admin, identifier) == "dismissed"
        assert jobs.dismiss(admin, identifier) == "removed"
    with pytest.raises(TooManyRequestsError):
        jobs.accept(admin, LEARNING, {}, ada)
    # What was asked for an hour ago makes room.
    admin.execute("UPDATE almagest.quota_use SET at = at - interval '1 hour'")
    jobs.accept(admin, LEARNING, {}, ada)


def test_a_request_that_is_sent_again_counts_once_and_one_that_fails_not_at_all(connect: Connect) -> None:
    admin = connect("postgres")
    ada = accounts.create(admin, "ada", None).subject
    for _ in range(20):
        jobs.accept(admin, LEARNING, {"number": 1}, ada, key="the same")
        with pytest.raises(ConflictError):
            jobs.accept(admin, LEARNING, {"number": 2}, ada, key="the same")
        with pytest.raises(InvalidDocumentError):
            jobs.accept(admin, LEARNING, {"number": "x"}, ada)
    for number in range(4):
        jobs.accept(admin, LEARNING, {"number": number}, ada)
    with pytest.raises(TooManyRequestsError):
        jobs.accept(admin, LEARNING, {}, ada)


def test_a_tier_is_what_its_rows_say(connect: Connect) -> None:
    admin = connect("postgres")
    ada = accounts.create(admin, "ada", None)
    for tier, most in (("free", 5), ("premium", 50), ("enterprise", 60)):
        ada = accounts.change(admin, ada, role="USER", tier=tier, scopes=(), disabled=False)
        admin.execute("DELETE FROM almagest.quota_use")
        admin.execute("DELETE FROM almagest.job")
        accepted = 0
        for _ in range(60):
            try:
                jobs.accept(admin, LEARNING, {}, ada.subject)
                accepted += 1
            except TooManyRequestsError:
                break
        assert accepted == most
