"""Finds matchups among items, wherever they are, and writes what it found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from almagest.catalogue.exchange import Writer
from almagest.catalogue.extents import Extent, cover
from almagest.client.api import Document
from almagest.client.scenery import Name, Scenery
from almagest.pipelines.matchups import documents, naming
from almagest.pipelines.matchups.finding import Event, find
from almagest.pipelines.matchups.gathering import Gathering, Wanted
from almagest.pipelines.matchups.pairing import Limits
from almagest.pipelines.matchups.scenes import Sensor


@dataclass
class Found:
    """What was found.

    Attributes:
        scenes: how many were looked at, by sensor.
        skipped: how many items are no scenes, by the reason.
        events: how many, by combination.
        matchups: how many, by combination.
        sensors: of each combination.
        products: the scenes of which there are matchups.
        extents: of the items of each collection of matchups and of events.
    """

    scenes: dict[Sensor, int] = field(default_factory=dict)
    skipped: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    matchups: Counter[str] = field(default_factory=Counter)
    sensors: dict[str, tuple[Sensor, ...]] = field(default_factory=dict)
    products: set[Name] = field(default_factory=set)
    extents: dict[str, Extent] = field(default_factory=dict)

    def note(self, event: Event) -> list[Document]:
        """Counts an event; answers its item, and those of its matchups."""
        combination = event[0].combination
        self.sensors[combination] = sensors = tuple(product.sensor for product in event[0].products)
        name = naming.event(combination, event[0].start)
        made = [
            documents.event_item(name, sensors, event),
            *(documents.matchup_item(matchup, name) for matchup in event),
        ]
        self.events[combination] += 1
        self.matchups[combination] += len(event)
        self.products |= {(product.sensor.collection, product.id) for matchup in event for product in matchup.products}
        for item in made:
            cover(self.extents, item)
        return made


def search(
    scenery: Scenery,
    wanted: Wanted,
    limits: Limits,
    gap_s: float,
    *,
    writer: Writer | None = None,
    count: Callable[[int], None] = lambda _: None,
) -> Found:
    """Reads items, and finds the matchups of every two sensors among them.

    Args:
        scenery: where the items are.
        wanted: which of them count.
        limits: which two scenes are a matchup.
        gap_s: without a matchup for longer than this, another event begins [s].
        writer: takes events, matchups, and the items that these are made of, each with its collection.
        count: told how many items were read.
    """
    gathering, found = Gathering(wanted), Found()
    for item in scenery.items():
        gathering.add(item)
        count(1)
    scenes = gathering.scenes()
    found.scenes = {sensor: len(scenes[sensor]) for sensor in sorted(scenes)}
    found.skipped = gathering.skipped
    for event in find(scenes, limits, gap_s):
        for item in found.note(event):
            if writer is not None:
                writer.write(item)
    if writer is not None:
        for sensors in found.sensors.values():
            for collection in documents.collections(sensors, found.extents):
                writer.write_collection(collection)
        for collection in scenery.collections({name for name, _ in found.products}):
            writer.write_collection(collection)
        for item in scenery.named(found.products):
            writer.write(item)
    return found
