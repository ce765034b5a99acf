"""Brings the predictions of an interval up to date: what will be, with what was predicted and found before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shapely.geometry import shape

from almagest.catalogue.extents import Extent, cover
from almagest.catalogue.moments import parsed
from almagest.core.jobs import Context
from almagest.pipelines.matchups import documents, naming
from almagest.pipelines.matchups.boxes import Box
from almagest.pipelines.matchups.catalogued import Catalogued
from almagest.pipelines.matchups.documents import Document
from almagest.pipelines.matchups.kept import PREDICTING
from almagest.pipelines.matchups.predictions import Happening, answered, around
from almagest.pipelines.matchups.scenes import Sensor
from almagest.pipelines.matchups.stretches import Stretch


@dataclass
class Prediction:
    """Publishes crossings, and removes those that were predicted before and will not be.

    Attributes:
        catalogued: what was found and predicted before.
        interval: in which crossings begin.
        bbox: where it is looked: at whole crossings whose boxes overlap it, so that each has one id whoever looks at
            it, and replaces what was predicted in its place before; None: anywhere.
        context: publishes and removes.
        public: whether outsiders may see events, though they may not see all of the scenes.
        events: how many crossings there will be.
        found: how many more there are of which events were found.
        removed: how many were predicted before and will not be.
    """

    catalogued: Catalogued
    interval: Stretch
    bbox: Sequence[float] | None
    context: Context
    public: bool = False
    events: int = 0
    found: int = 0
    removed: int = 0

    def run(self, sensors: Sequence[Sensor], items: Sequence[Document]) -> None:
        """All crossings of two sensors, which stand in the order of names."""
        combination = naming.combination(sensors)
        events_of = naming.events_collection(combination)
        self.catalogued.require_own(combination, sensors)
        self.context.rely_on([events_of], self.catalogued.mark)
        items = [item for item in items if self._is_looked_at(Box.of(item["bbox"]))]
        done = self._found(combination, items)
        new = [item for item in items if item["id"] not in done]
        extents: dict[str, Extent] = {}
        for item in new:
            cover(extents, item)
            self.context.publish([item], sources=[], public=self.public, own=documents.OWN)
        made_of = sorted({sensor.collection for sensor in sensors})
        for collection in documents.collections(sensors, extents):
            self.context.collection(collection, made_of, public=self.public)
        gone = self.catalogued.own(events_of, self._before(combination) - {item["id"] for item in new}, PREDICTING)
        seen = self.catalogued.versions([(events_of, identifier) for identifier in gone])
        self.context.remove([(*name, version) for name, version in seen.items()])  # not what is found there meanwhile
        self.events += len(new)
        self.found += len(done)
        self.removed += len(gone)

    def _found(self, combination: str, items: Sequence[Document]) -> set[str]:
        """Those of some crossings of which an event was found, or which are called as one is."""
        if not items:
            return set()
        new = list(map(_happening, items))
        found = self.catalogued.happenings(combination, around(new), predicted=False)
        return {*answered(new, found), *self.catalogued.found(combination, [each.id for each in new])}

    def _before(self, combination: str) -> set[str]:
        """What was predicted to begin in the interval, where it is looked."""
        return {
            each.id
            for each in self.catalogued.happenings(combination, self.interval, predicted=True)
            if each.begin in self.interval and self._is_looked_at(each.box)
        }

    def _is_looked_at(self, box: Box) -> bool:
        return self.bbox is None or Box.of(self.bbox).overlaps(box)


def _happening(item: Mapping[str, Any]) -> Happening:
    said = item["properties"]
    return Happening(item["id"], parsed(said["start_datetime"]), [shape(item["geometry"])])
