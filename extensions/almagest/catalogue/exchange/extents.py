"""What items cover, for collections that nobody described."""

from __future__ import annotations

from typing import Any

from almagest.catalogue.exchange.records import Document


class Extent:
    """The area and time of some items."""

    def __init__(self) -> None:
        self._box: list[float] | None = None
        self._start: str | None = None
        self._end: str | None = None

    def add(self, item: Document) -> None:
        """Takes note of an item."""
        self._add_box(item.get("bbox"))
        properties = item.get("properties")
        held = properties if isinstance(properties, dict) else {}
        start = held.get("start_datetime") or held.get("datetime")
        end = held.get("end_datetime") or held.get("datetime")
        # Times in UTC are ordered as their texts are.
        if isinstance(start, str) and (self._start is None or start < self._start):
            self._start = start
        if isinstance(end, str) and (self._end is None or end > self._end):
            self._end = end

    def _add_box(self, box: Any) -> None:
        if not isinstance(box, list) or len(box) not in {4, 6}:
            return
        half = len(box) // 2
        west, south, east, north = box[0], box[1], box[half], box[half + 1]
        # Across 180° no single box is as small as the truth.
        if west > east:
            west, east = -180.0, 180.0
        if self._box is None:
            self._box = [west, south, east, north]
        else:
            known = self._box
            self._box = [min(known[0], west), min(known[1], south), max(known[2], east), max(known[3], north)]

    def collection(self, identifier: str) -> Document:
        """A collection of these items, with what can be told of it."""
        return {
            "type": "Collection",
            "id": identifier,
            "stac_version": "1.1.0",
            "description": identifier,
            "license": "other",
            "extent": {
                "spatial": {"bbox": [self._box or [-180.0, -90.0, 180.0, 90.0]]},
                "temporal": {"interval": [[self._start, self._end]]},
            },
        }
