"""Brings the matchups of a stretch of time up to date: what is found now, with what was found before."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property

import numpy as np
import orjson

from almagest.catalogue.acceptance import MAX_DOCUMENT
from almagest.catalogue.extents import Extent, cover
from almagest.core.jobs import Context, ProcessFailedError
from almagest.pipelines.matchups import documents, naming
from almagest.pipelines.matchups.catalogued import Catalogued
from almagest.pipelines.matchups.chains import Entry, Event, merge, named
from almagest.pipelines.matchups.documents import Document, Matchup
from almagest.pipelines.matchups.finding import grouped, matchups
from almagest.pipelines.matchups.kept import PREDICTING, Name, derived_from, is_own
from almagest.pipelines.matchups.pairing import Limits
from almagest.pipelines.matchups.predictions import Happening, answered, around
from almagest.pipelines.matchups.scenes import Scenes, Sensor
from almagest.pipelines.matchups.stretches import Stretch

#: What is looked at beyond a stretch at first, to see where its last event ends.
_BEYOND = timedelta(hours=1)
#: With fewer matchups, an event is never too large to be stored.
_MANY = 5000
_TICK = timedelta(microseconds=1)
_SECOND = np.timedelta64(1, "s")


@dataclass
class Done:
    """What came of it.

    Attributes:
        events: how many there are now.
        matchups: how many there are in them.
        removed: how many matchups are no longer true.
        scenes: how many were looked at, by sensor.
        longest: what the longest of them took.
    """

    events: int = 0
    matchups: int = 0
    removed: int = 0
    scenes: Counter[Sensor] = field(default_factory=Counter)
    longest: timedelta = timedelta(0)


@dataclass(frozen=True)
class Share:
    """Which events a run sees to.

    Attributes:
        stretch: of time.
        is_touched: all that reach into it; otherwise those that begin in it, so that none belongs to two stretches.
    """

    stretch: Stretch
    is_touched: bool = False

    def __contains__(self, span: Stretch) -> bool:
        if self.is_touched:
            return span.overlaps(self.stretch)
        return span.begin is not None and span.begin in self.stretch


@dataclass(frozen=True)
class Timeline:
    """All matchups of two sensors that begin within a window.

    Attributes:
        sensors: both, in the order of names.
        chains: of what is true, in the order of time.
        untrue: what is catalogued and is not true any more: when each began.
        events: that are catalogued, and when each is.
        others: that are catalogued and lie elsewhere, though new ones would be called so.
    """

    sensors: tuple[Sensor, Sensor]
    chains: Sequence[Sequence[Entry]]
    untrue: dict[str, datetime]
    events: dict[str, Stretch]
    others: frozenset[str]

    @cached_property
    def combination(self) -> str:
        """Of the sensors."""
        return naming.combination(self.sensors)

    @cached_property
    def named(self) -> Sequence[Event]:
        """The events that the chains are."""
        return list(named(self.combination, self.chains, self.others))

    def of(self, share: Share) -> Iterator[Event]:
        """The events of a share."""
        return (event for event in self.named if self._is_of(share, event.entries))

    def empty(self, share: Share) -> list[str]:
        """Events of a share that are catalogued and have no matchups left."""
        held = {entry.event for chain in self.chains for entry in chain}.union(event.id for event in self.named)
        return sorted(event for event, span in self.events.items() if span in share and event not in held)

    def _is_of(self, share: Share, chain: Sequence[Entry]) -> bool:
        """Whether a chain is of a share; it is, too, where what has gone from its event, or left it, was."""
        if _span(chain) in share:
            return True
        events = {entry.event for entry in chain if entry.event in self.events}
        return share.is_touched and any(self.events[event] in share for event in events if event)

    def window(self, share: Share, window: Stretch, gap: timedelta) -> Stretch:
        """The window that shows all that the events of a share follow from; the same one, where that does."""
        begin, end, stretch = window.begin, window.end, share.stretch
        mine = [chain for chain in self.chains if self._is_of(share, chain)]
        for span in map(_span, mine):
            if span.begin is not None and span.end is not None:
                if end is not None and stretch.end is not None and span.end + gap > end:
                    end += end - stretch.end
                if begin is not None and stretch.begin is not None and share.is_touched and span.begin - gap < begin:
                    begin -= stretch.begin - begin
        around = Stretch(begin, end)
        held = {entry.event for chain in mine for entry in chain}
        for event, span in self.events.items():  # which id a chain has may depend on any matchup of that event
            if event in held or span.overlaps(stretch):
                around |= span
        return around


@dataclass
class Update:
    """Finds matchups among what is catalogued.

    Attributes:
        catalogued: scenes, and what was found before.
        limits: which two scenes are a matchup.
        gap_s: without a matchup for longer than this, another event begins [s].
        context: publishes and removes.
        public: whether outsiders may see matchups, though they may not see all of the scenes.
    """

    catalogued: Catalogued
    limits: Limits
    gap_s: float
    context: Context
    public: bool = False
    done: Done = field(default_factory=Done)
    _published: set[Name] = field(default_factory=set)
    _answered: set[Name] = field(default_factory=set)

    def run(self, share: Share) -> Done:
        """Publishes events and their matchups; adds to what was done before."""
        for timeline in self._timelines(share):
            self._publish(timeline, share)
        return self.done

    def finish(self) -> int:
        """Removes predictions in whose place something was found; answers how many, of those that go by their ids, too.

        An event that is called as a prediction was has taken its place already.
        """
        seen = self.catalogued.versions(self._answered - self._published)
        self.context.remove([(*name, version) for name, version in sorted(seen.items())])
        return len(self._answered)

    def _timelines(self, share: Share) -> list[Timeline]:
        stretch = share.stretch
        gap, reach = timedelta(seconds=self.gap_s), timedelta(seconds=self.limits.max_time_difference_s)
        window = Stretch(stretch.begin and stretch.begin - gap, stretch.end and stretch.end + max(_BEYOND, 2 * gap))
        while True:
            scenes = self.catalogued.scenes(window, reach)
            pairs = sorted({*itertools.combinations(sorted(scenes), 2), *self.catalogued.combinations})
            timelines = [self._timeline(pair, scenes, window) for pair in pairs]
            wider = window
            for timeline in timelines:
                wider |= timeline.window(share, window, gap)
            if wider == window:
                for sensor in sorted(scenes):
                    self.done.scenes[sensor] += len(scenes[sensor])
                    self.done.longest = max(self.done.longest, timedelta(seconds=scenes[sensor].longest / _SECOND))
                return timelines
            window = wider

    def _timeline(self, sensors: tuple[Sensor, Sensor], scenes: dict[Sensor, Scenes], window: Stretch) -> Timeline:
        combination = naming.combination(sensors)
        found: list[Matchup] = []
        if all(sensor in scenes for sensor in sensors):
            # What lies behind the window was read for the sake of what lies within.
            one, other = (scenes[sensor] for sensor in sensors)
            found = [matchup for matchup in matchups(one, other, self.limits) if matchup.start in window]
        known = {entry.id: entry for entry in self.catalogued.matchups(combination, window)}
        doubtful = known.keys() - {matchup.id for matchup in found}
        untrue = {
            identifier: known.pop(identifier).start for identifier in self.catalogued.untrue(combination, doubtful)
        }
        chains = list(grouped(merge(found, list(known.values())), self.gap_s))
        events = self.catalogued.events(combination, window)
        new = {naming.event(combination, chain[0].start) for chain in chains} - events.keys()
        return Timeline(sensors, chains, untrue, events, self.catalogued.living(combination, new))

    def _publish(self, timeline: Timeline, share: Share) -> None:
        combination, events_of = timeline.combination, naming.events_collection(timeline.combination)
        self.catalogued.require_own(combination, timeline.sensors)
        self.context.rely_on([combination, events_of], self.catalogued.mark)
        extents: dict[str, Extent] = {}
        versions = self._versions(timeline)
        found: list[Happening] = []
        for event in timeline.of(share):
            self.done.events += 1
            self.done.matchups += len(event.entries)
            item = documents.event_item(event.id, timeline.sensors, event.entries)
            _require_storable(item, len(event.entries))
            self.context.publish([item], sources=[], public=self.public, own=documents.OWN)
            cover(extents, item)
            found.append(_happening(event))
            for entry in event.entries:
                if entry.found is not None:
                    cover(extents, self._publish_found(entry.found, event.id, versions))
            self._rename(
                combination, [e.id for e in event.entries if e.found is None and e.event != event.id], event.id
            )
            self._deprecate(events_of, event)
        gone = sorted(identifier for identifier, begin in timeline.untrue.items() if begin in share.stretch)
        self.done.removed += len(gone)
        self.context.remove([(combination, identifier) for identifier in gone])
        empty = self.catalogued.own(events_of, timeline.empty(share))
        self.context.remove([(events_of, identifier) for identifier in empty])
        made_of = sorted({sensor.collection for sensor in timeline.sensors})
        for collection in documents.collections(timeline.sensors, extents):
            self.context.collection(collection, made_of, public=self.public)
        self._note_answered(combination, found)

    def _note_answered(self, combination: str, found: Sequence[Happening]) -> None:
        """Predictions in whose place something was found; those of others are theirs."""
        if not found:
            return
        events_of = naming.events_collection(combination)
        predicted = self.catalogued.happenings(combination, around(found), predicted=True)
        names = self.catalogued.own(events_of, [*answered(predicted, found)], PREDICTING)
        self._answered.update((events_of, name) for name in names)
        self._published.update((events_of, each.id) for each in found)

    def _versions(self, timeline: Timeline) -> dict[Name, str]:
        """Of the scenes of all matchups that were found now."""
        entries = itertools.chain.from_iterable(timeline.chains)
        names = {product.name for entry in entries if entry.found for product in entry.found.products}
        return self.catalogued.versions(names)

    def _publish_found(self, matchup: Matchup, event: str, versions: Mapping[Name, str]) -> Document:
        item = documents.matchup_item(matchup, event)
        names = [product.name for product in matchup.products]
        self.context.pin([(*name, versions[name]) for name in names])
        self.context.publish([item], sources=names, public=self.public, own=documents.OWN)
        return item

    def _rename(self, combination: str, ids: Sequence[str], event: str) -> None:
        """Matchups that were found before, and have come into another event."""
        for item in filter(is_own, self.catalogued.documents(combination, ids)):
            made_of = derived_from(item)
            self.context.pin([(*name, version) for name, version in made_of if version])
            moved = documents.of_event(item, event)
            self.context.publish([moved], sources=[name for name, version in made_of if version], public=self.public)

    def _deprecate(self, collection: str, event: Event) -> None:
        """Events that have become part of another one stay, and lead to it."""
        for item in filter(is_own, self.catalogued.documents(collection, event.merged)):
            self.context.publish([documents.merged_into(item, event.id)], sources=[], public=self.public)


def _happening(event: Event) -> Happening:
    """When the first matchup of an event begins, and where all are."""
    return Happening(event.id, event.entries[0].start, [entry.overlap for entry in event.entries])


def _require_storable(event: Document, matchups: int) -> None:
    if matchups > _MANY and len(orjson.dumps(event)) > 0.9 * MAX_DOCUMENT:  # there is more to come, such as its job
        raise ProcessFailedError(
            f"The event {event['id']} has {matchups:,} matchups, more than an item can hold links to: ask for a smaller"
            " event_gap or max_time_difference."
        )


def _span(chain: Sequence[Entry]) -> Stretch:
    """When the matchups of a chain begin."""
    return Stretch(chain[0].start, chain[-1].start + _TICK)
