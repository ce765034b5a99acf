"""What follows from what a primary and a replica say, without either."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from almagest.services.web.replay import Progress

#: Of the primary's clock, ahead of the process's own; the replica's goes an hour wrong.
AHEAD, WRONG = 1e9, 3600.0


def primary(progress: Progress, when: float, lsn: int) -> None:
    progress.primary_ended(when, lsn, when + AHEAD)


def replica(progress: Progress, when: float, lsn: int, stamp: float | None = None) -> bool:
    return progress.replica_came(when, lsn, None if stamp is None else stamp + AHEAD, when + AHEAD + WRONG)


def test_a_replica_that_is_where_the_primary_was_lacks_nothing_until_then() -> None:
    progress = Progress()
    primary(progress, 10, 100)
    assert replica(progress, 11, 100)
    assert progress.complete_until == 10
    primary(progress, 20, 100)  # idle
    assert replica(progress, 21, 100)
    assert progress.complete_until == 20


def test_one_that_stands_still_grows_old_from_the_last_moment_that_it_has_reached() -> None:
    progress = Progress()
    for when, lsn in ((10, 100), (20, 200), (30, 300), (40, 400)):
        primary(progress, when, lsn)
        assert replica(progress, when + 1, min(lsn, 250)) == (lsn <= 250)
    assert progress.complete_until == 20
    assert not replica(progress, 50, 399)
    assert progress.complete_until == 30
    assert replica(progress, 60, 400)
    assert progress.complete_until == 40


def test_the_last_transaction_tells_where_nothing_else_does_and_no_clock_but_the_primarys_counts() -> None:
    progress = Progress()
    primary(progress, 100, 500)
    assert not replica(progress, 101, 400, stamp=70)
    assert progress.complete_until == 70
    progress = Progress()
    assert not replica(progress, 100, 400)
    assert progress.complete_until is None
    assert not replica(progress, 100, 400, stamp=70)  # the primary was never reached: nothing but the replica's clock
    assert progress.complete_until == 70 - WRONG


def test_nothing_is_known_of_the_future() -> None:
    progress = Progress()
    primary(progress, 10, 500)
    replica(progress, 11, 400, stamp=99)
    assert progress.complete_until == 11


def test_one_that_was_set_back_is_no_longer_believed() -> None:
    progress = Progress()
    primary(progress, 10, 100)
    assert replica(progress, 11, 100, stamp=9)
    assert not replica(progress, 12, 50, stamp=4)
    assert progress.complete_until == 4


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 1)), min_size=1, max_size=2500))
def test_it_never_claims_more_than_there_is_however_long_it_rests(steps: list[tuple[int, float]]) -> None:
    progress, written, replayed = Progress(), 0, 0
    ends: list[tuple[float, int]] = []
    for second, (grown, share) in enumerate(steps):
        written += grown
        replayed += int((written - replayed) * share)
        primary(progress, second, written)
        ends.append((second, written))
        replica(progress, second + 0.5, replayed)
        if progress.complete_until is not None:
            # Whatever was there at that moment has been replayed.
            assert max(lsn for when, lsn in ends if when <= progress.complete_until) <= replayed
    assert len(progress._ends) <= 1000
