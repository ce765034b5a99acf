"""The real data beside the checkout, where it is there."""

from __future__ import annotations

import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any

DATA = Path(__file__).parents[3] / "shared" / "data"
COLORADO = ("landsat-c2-l2", "sentinel-2-l2a", "naip")


@cache
def items(name: str) -> list[dict[str, Any]]:
    """Items of ``stac/<name>.ndjson.gz``."""
    with gzip.open(DATA / "stac" / f"{name}.ndjson.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


@cache
def collections() -> dict[str, dict[str, Any]]:
    """The first document of each collection."""
    found: dict[str, dict[str, Any]] = {}
    for document in items("collections/collections"):
        found.setdefault(document["id"], document)
    return found
