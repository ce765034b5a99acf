"""The ground of the sample's places: one synthetic world each, which both sensors see.

A world depends on its kind and its seed alone. What changes with the day (snow, sea ice, crops) is left open in it.
"""

from __future__ import annotations

import importlib

from almagest.catalogue.sample.worlds._ground import World

__all__ = ["KINDS", "World", "build"]

#: Kinds of world, each a module of this package.
KINDS = ("arctic", "coast", "delta", "desert")


def build(kind: str, seed: int) -> World:
    """Makes a world of one of :data:`KINDS`; seconds.

    Raises:
        ValueError: there is no such kind.
    """
    if kind not in KINDS:
        raise ValueError(f"there is no world {kind!r}; there are {', '.join(KINDS)}")
    world: World = importlib.import_module(f"{__name__}.{kind}").build(seed)
    return world
