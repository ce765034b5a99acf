"""What a collection covers, from its items: for collections that came without a document of their own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

Document = dict[str, Any]

_ANYWHERE = {"spatial": {"bbox": [[-180.0, -90.0, 180.0, 90.0]]}, "temporal": {"interval": [[None, None]]}}


@dataclass(frozen=True)
class Extent:
    """The smallest box and span around some items; in whatever order they come, the result is the same.

    Attributes:
        west, south, east, north: in degrees.
        start, end: as the items spell them.
    """

    west: float
    south: float
    east: float
    north: float
    start: str
    end: str

    @classmethod
    def of(cls, item: Mapping[str, Any]) -> Extent:
        """That of one valid item."""
        west, south, east, north = _box(item["bbox"])
        said = item["properties"]
        moment = said.get("datetime")
        return cls(west, south, east, north, said.get("start_datetime") or moment, said.get("end_datetime") or moment)

    @classmethod
    def of_collection(cls, collection: Mapping[str, Any]) -> Extent | None:
        """That which a collection states; None where it leaves an end open, or says less than it must."""
        match collection.get("extent"):
            # What other tools have stored need not be valid.
            case {"spatial": {"bbox": [[*box], *_]}, "temporal": {"interval": [[str(start), str(end)], *_]}} if len(
                box
            ) in {4, 6} and all(isinstance(each, int | float) for each in box):
                return cls(*_box(box), start, end)
        return None

    def __or__(self, other: Extent) -> Extent:
        """Around both."""
        return Extent(
            min(self.west, other.west),
            min(self.south, other.south),
            max(self.east, other.east),
            max(self.north, other.north),
            min(self.start, other.start, key=_moment),
            max(self.end, other.end, key=_moment),
        )

    def as_json(self) -> Document:
        """As it stands in a collection."""
        box = [self.west, self.south, self.east, self.north]
        return {"spatial": {"bbox": [box]}, "temporal": {"interval": [[self.start, self.end]]}}


def around(items: Iterable[Mapping[str, Any]]) -> Extent:
    """Around all of the items, of which there is at least one."""
    parts = (Extent.of(item) for item in items)
    found = next(parts)
    for part in parts:
        found |= part
    return found


def cover(extents: dict[str, Extent], item: Mapping[str, Any]) -> None:
    """Widens the extent of an item's collection, by its id, by that of the item."""
    extent, known = Extent.of(item), extents.get(item["collection"])
    extents[item["collection"]] = extent if known is None else known | extent


def bare_collection(name: str, extent: Extent | None) -> Document:
    """The least that a collection must say; without an extent its items may be anywhere."""
    return {
        "type": "Collection",
        "stac_version": "1.1.0",
        "id": name,
        "description": f"Items of {name}; no document of the collection came with them.",
        "license": "other",
        "extent": extent.as_json() if extent else _ANYWHERE,
        "links": [],
    }


def is_bare(collection: Mapping[str, Any]) -> bool:
    """Whether a document says no more than :func:`bare_collection` does, so that its extent is ours to widen."""
    extent = Extent.of_collection(collection)
    return extent is not None and bare_collection(collection["id"], extent) == collection


def _box(bbox: list[float]) -> tuple[float, float, float, float]:
    west, south, *_ = bbox
    east, north = (bbox[2], bbox[3]) if len(bbox) == 4 else (bbox[3], bbox[4])
    # A bbox whose west is greater than its east goes around the back of the map: so does the union of any with it.
    return (-180.0, south, 180.0, north) if west > east else (west, south, east, north)


def _moment(text: str) -> tuple[datetime, str]:
    # 23:59:60 is a time that Python does not know. Equal times in two spellings are ordered by these.
    moment = datetime.fromisoformat(text.upper().replace(":60", ":59", 1) if ":60" in text else text.upper())
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC), text
