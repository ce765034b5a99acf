"""Which values to show as black and white where neither the document nor the request says."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache

import numpy
from rio_tiler.types import AssetType

from almagest.catalogue.rendering.render import Range
from almagest.services.tiles.reader import CatalogueItem, RasterReader, open_raster

_SAMPLE_PX = 256
_PERCENTILES = (2.0, 98.0)


def ranges(item: CatalogueItem, assets: Sequence[AssetType]) -> list[Range]:
    """A range for each band of the assets; empty where they are 8 bit pictures, to be shown as they are.

    Raises:
        AlmagestError: an asset cannot be read.
    """
    found: list[Range] = []
    for asset in assets:
        name, indexes = (asset, None) if isinstance(asset, str) else (asset["name"], asset.get("indexes"))
        if name not in item.assets or (not isinstance(asset, str) and ("expression" in asset or "bands" in asset)):
            return []
        wanted = (indexes,) if isinstance(indexes, int) else tuple(indexes or ())
        path = item.path(name)
        measured = _measured(path, _identity(path), wanted)
        if measured is None:
            return []
        found += measured
    return found


def _identity(path: str) -> tuple[int, ...]:
    """What changes when a file does. Of what lies elsewhere we know nothing: it is measured once."""
    if path.startswith("/vsicurl/"):
        return ()
    facts = os.stat(path)  # noqa: PTH116
    return (facts.st_ino, facts.st_mtime_ns, facts.st_size)


@lru_cache(maxsize=4096)
def _measured(path: str, _: tuple[int, ...], indexes: tuple[int, ...]) -> tuple[Range, ...] | None:
    """Numbers only, and only asked for after the policy has let the item's asset through."""
    with open_raster(path) as dataset:
        wanted = indexes or dataset.indexes
        if any(index not in dataset.indexes for index in wanted):
            return None  # the reader says it better
        if all(dataset.dtypes[index - 1] == "uint8" for index in wanted):
            return None
        with RasterReader(None, dataset=dataset) as reader:
            sample = reader.read(indexes=indexes or None, max_size=_SAMPLE_PX).array
    return tuple(_range(band.compressed()) for band in sample)


def _range(values: numpy.ndarray) -> Range:
    finite = values[numpy.isfinite(values)]
    if not finite.size:
        return (0.0, 1.0)
    low, high = (float(value) for value in numpy.percentile(finite, _PERCENTILES))
    return (low, high) if low < high else (low, low + 1.0)
