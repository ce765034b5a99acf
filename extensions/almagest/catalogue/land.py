"""Where land is: outlines for maps of the world (Natural Earth, 1:110 million, in the public domain)."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources


def as_json() -> bytes:
    """Rings; of each, longitudes and latitudes in turn [tenths of a degree]."""
    return (resources.files("almagest.catalogue") / "land.json").read_bytes()


@cache
def as_path() -> str:
    """Rings as the path of an SVG whose unit is a degree, with the north above."""
    return "".join(f"M{_points(ring)}Z" for ring in json.loads(as_json()))


def _points(ring: list[int]) -> str:
    return " ".join(f"{x / 10:g} {-y / 10:g}" for x, y in zip(ring[::2], ring[1::2], strict=True))
