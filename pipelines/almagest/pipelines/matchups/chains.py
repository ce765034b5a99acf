"""Events that go on: matchups that were found now and before, in the events that they make, by the names these have."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Any

from almagest.pipelines.matchups import naming
from almagest.pipelines.matchups.documents import Matchup


@dataclass(frozen=True)
class Entry:
    """A matchup in an event.

    Attributes:
        id: of its item.
        start: when the earlier scene began.
        stop: when the later scene ended.
        overlap: what both saw.
        event: the one that it is catalogued as part of; None: it is not catalogued.
        found: the matchup, where it was found now; None: it was found before.
    """

    id: str
    start: datetime
    stop: datetime
    overlap: Any
    event: str | None = None
    found: Matchup | None = None


@dataclass(frozen=True)
class Event:
    """An event, and what becomes of others.

    Attributes:
        id: of its item.
        entries: in the order of time.
        merged: events that it has come to hold, and that are none any more.
    """

    id: str
    entries: Sequence[Entry]
    merged: Sequence[str]


def merge(found: Sequence[Matchup], known: Sequence[Entry]) -> list[Entry]:
    """What was found now and what was found before, each once, in the order of time.

    Args:
        found: of one combination.
        known: that are catalogued, and still true.
    """
    events = {entry.id: entry.event for entry in known}
    here = [Entry(m.id, m.start, m.stop, m.overlap, events.get(m.id), m) for m in found]
    ids = {entry.id for entry in here}
    return sorted(
        [*here, *(entry for entry in known if entry.id not in ids)], key=lambda entry: (entry.start, entry.id)
    )


def named(combination: str, chains: Sequence[Sequence[Entry]], others: Collection[str] = ()) -> Iterator[Event]:
    """The events that chains of matchups are, in the order of time.

    A chain that has matchups of an event that is catalogued is this event, grown, shrunk or moved: it keeps the id. Of
    several events it keeps the id of the first, and the others have become part of it. Of several chains of one event
    the first keeps the id.

    Args:
        combination: of the sensors.
        chains: in the order of time, all that hold matchups of any of these events.
        others: events that none of these has matchups of, whose ids no new one may take.
    """
    former = [sorted({entry.event for entry in chain if entry.event}) for chain in chains]
    kept: list[str | None] = []
    for events in former:
        kept.append(next((event for event in events if event not in kept), None))
    taken = {event for event in kept if event}
    given = taken.union(others, *former)
    for chain, events, own in zip(chains, former, kept, strict=True):
        name = own or _fresh(naming.event(combination, chain[0].start), given)
        given.add(name)
        yield Event(name, chain, [event for event in events if event not in taken])
        taken.update(events)  # which becomes part of one alone


def _fresh(name: str, others: set[str]) -> str:
    """The name, or with a number behind it: of two events that begin in one second each is called otherwise."""
    names = (name if number == 1 else f"{name}_{number}" for number in count(1))
    return next(each for each in names if each not in others)
