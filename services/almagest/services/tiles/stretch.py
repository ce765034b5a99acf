"""Which values to show as black and as white where neither the document nor the request says."""

from __future__ import annotations

import os
from collections.abc import Hashable

import numpy
import rasterio
from rio_tiler.types import AssetType
from titiler.core.dependencies import AssetsExprParams

from almagest.catalogue.rendering.render import Range
from almagest.services.tiles.environment import gdal_options
from almagest.services.tiles.reader import REMOTE, CatalogueItem, ItemReader

_SAMPLE_PX = 256
_PERCENTILES = (2.0, 98.0)

_KEPT = 4096

#: Numbers by what they were measured on; only asked after the policy has let the item's assets through.
_measured: dict[Hashable, tuple[Range, ...]] = {}


def ranges(item: CatalogueItem, shown: AssetsExprParams) -> list[Range]:
    """A range for each band; empty where they are 8 bit pictures, to be shown as they are.

    Raises:
        AlmagestError: an asset cannot be read.
    """
    names = {_name(asset) for asset in shown.assets}
    if not names <= item.assets.keys():
        return []
    files = tuple(_identity(item.path(name)) for name in sorted(names))
    key = (files, repr(shown.assets), shown.expression, shown.asset_as_band)
    found = _measured.get(key)
    if found is None:
        found = _measure(item, shown)
        if len(_measured) >= _KEPT:
            _measured.clear()
        _measured[key] = found
    return list(found)


def _name(asset: AssetType) -> str:
    return asset if isinstance(asset, str) else asset["name"]


def _identity(path: str) -> Hashable:
    """What changes when a file does. Of what lies elsewhere we know nothing: it is measured once."""
    if path.startswith(REMOTE):
        return path
    facts = os.stat(path)  # noqa: PTH116
    return (path, facts.st_ino, facts.st_mtime_ns, facts.st_size)


def _measure(item: CatalogueItem, shown: AssetsExprParams) -> tuple[Range, ...]:
    # Outside of the endpoint, and so of its options.
    with rasterio.Env(**gdal_options()), ItemReader(item) as reader:  # type: ignore[arg-type]
        sample = reader.preview(max_size=_SAMPLE_PX, **shown.as_dict()).array
    return () if sample.dtype == numpy.uint8 else tuple(_range(band.compressed()) for band in sample)


def _range(values: numpy.ndarray) -> Range:
    finite = values[numpy.isfinite(values)]
    if not finite.size:
        return (0.0, 1.0)
    low, high = (float(value) for value in numpy.percentile(finite, _PERCENTILES))
    return (low, high) if low < high else (low, low + 1.0)
