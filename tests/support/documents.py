"""The least that a document has to say."""

from __future__ import annotations

from typing import Any

ITEM: dict[str, Any] = {
    "type": "Feature",
    "stac_version": "1.1.0",
    "id": "a",
    "collection": "c",
    "geometry": {"type": "Point", "coordinates": [1, 2]},
    "bbox": [1, 2, 1, 2],
    "properties": {"datetime": "2024-01-01T00:00:00Z"},
    "links": [],
    "assets": {},
}
