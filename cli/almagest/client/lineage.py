"""What is out of date, as an API tells it."""

from __future__ import annotations

import json
from collections.abc import Iterator

from almagest.catalogue.lineage import Stale
from almagest.client.http import Http

_PAGE = 500


def stale(http: Http, collection: str | None = None) -> Iterator[Stale]:
    """Items that are derived from what has a newer version, or is gone; of one collection or (None) of all."""
    params = {"limit": str(_PAGE)} | ({"collection": collection} if collection else {})
    while True:
        found = http("GET", "stale", params=params)["products"]
        yield from (
            Stale.from_json({name: item[name] for name in ("collection", "id", "version", "sources")}) for item in found
        )
        if len(found) < _PAGE:
            return
        params["after"] = json.dumps([found[-1]["collection"], found[-1]["id"]])
