"""What items cover, before anybody has checked them: the collection that is made from them goes in first."""

from __future__ import annotations

import math
import re
from typing import Any

from almagest.catalogue import mending
from almagest.catalogue.extents import Extent

#: A time as STAC spells it: others a collection would not be taken with.
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,40})?(Z|\+00:00)", re.ASCII)


def measured(document: dict[str, Any]) -> Extent | None:
    """Where and when an item is, once it is mended; None where it does not say so: the service refuses such an item."""
    try:
        item, _ = mending.mend_times(document)
        box = item.get("bbox") or mending.bounds(item["geometry"])
        if not all(type(side) in {int, float} and math.isfinite(side) for side in box):
            return None
        extent = Extent.of({**item, "bbox": _on_one_globe(box)})
        if not (_TIME.fullmatch(extent.start) and _TIME.fullmatch(extent.end)):
            return None
        # The union raises where a time is on no calendar.
        return extent | extent if mending.is_in_order(extent.start, extent.end) else None
    except (AttributeError, IndexError, KeyError, RecursionError, TypeError, ValueError):
        return None


def _on_one_globe(box: list[float]) -> list[float]:
    """A box whose longitudes are from -180 to 180: mending brings the geometry there, and both sides of 180° count."""
    half = len(box) // 2
    if -180 <= box[0] <= 180 and -180 <= box[half] <= 180:
        return box
    return [-180.0, *box[1:half], 180.0, *box[half + 1 :]]
