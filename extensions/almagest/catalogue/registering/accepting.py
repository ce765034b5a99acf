"""What an asset has to be before it goes into the catalogue: judged alone, its item was judged before."""

from __future__ import annotations

from typing import Any

from almagest.catalogue.acceptance import Rules, accept_item
from almagest.catalogue.registering.keys import check_prefix
from almagest.catalogue.reserved import require_changeable

_ITEM: dict[str, Any] = {
    "type": "Feature",
    "stac_version": "1.1.0",
    "geometry": {"type": "Point", "coordinates": [0, 0]},
    "bbox": [0, 0, 0, 0],
    "properties": {"datetime": "2000-01-01T00:00:00Z"},
    "links": [],
}


def check(collection: str, item: str, prefix: str, asset: dict[str, Any], rules: Rules) -> None:
    """Refuses what no item should hold.

    Raises:
        BadRequestError: no keys can be made of the prefix.
        InvalidDocumentError: the asset is not valid STAC, or holds what cannot be stored.
        ConflictError: the collection is not anybody's to change.
    """
    check_prefix(prefix)
    require_changeable(collection)
    accept_item({**_ITEM, "id": item, "collection": collection, "assets": {f"{prefix}:latest": asset}}, rules)
