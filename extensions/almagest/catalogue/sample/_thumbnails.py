"""Small pictures of rasters that have none."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.enums import Resampling

from almagest.catalogue.sample import _files

_SIDE_PX = 256
_COLOURS = ("red", "green", "blue")


def make(item: Mapping[str, Any], target: Path) -> dict[str, Any] | None:
    """Stores a thumbnail of an item, unless it is there, and returns its asset; None where there is nothing to show.

    Raises:
        OSError: it cannot be written.
    """
    if not target.is_file():
        layers = _layers(item["assets"])
        if layers is None:
            return None
        _files.store_file(target, _files.thumbnail(_picture(layers), _SIDE_PX))
    data = target.read_bytes()
    return {
        "href": target.as_uri(),
        "type": _files.WEBP_TYPE,
        "title": "Thumbnail",
        "roles": ["thumbnail"],
        "file:size": len(data),
        "file:checksum": _files.checksum(data),
    }


def _layers(assets: Mapping[str, Mapping[str, Any]]) -> list[tuple[Path, int]] | None:
    """File and band of red, green and blue; the same three times where only one can be shown."""
    bands = [
        (asset, index, band)
        for asset in assets.values()
        if "metadata" not in asset["roles"]
        for index, band in enumerate(asset.get("bands", ()), start=1)
    ]
    by_colour = {band.get("eo:common_name"): (_path(asset), index) for asset, index, band in bands}
    if all(colour in by_colour for colour in _COLOURS):
        return [by_colour[colour] for colour in _COLOURS]
    return [(_path(bands[0][0]), bands[0][1])] * 3 if bands else None


def _path(asset: Mapping[str, Any]) -> Path:
    return Path(unquote(urlsplit(asset["href"]).path))


def _picture(layers: list[tuple[Path, int]]) -> npt.NDArray[np.uint8]:
    """(4, rows, columns), stretched between the darkest and the brightest two percent."""
    channels, masks = [], []
    for path, index in layers:
        with rasterio.open(path) as dataset:
            factor = max(1.0, max(dataset.shape) / _SIDE_PX)
            shape = (max(1, round(dataset.height / factor)), max(1, round(dataset.width / factor)))
            values = dataset.read(index, out_shape=shape, resampling=Resampling.nearest)
            mask = dataset.dataset_mask(out_shape=shape) > 0
        channels.append(np.abs(values).astype(np.float32) if np.iscomplexobj(values) else values)
        masks.append(mask)
    visible = np.logical_and.reduce(masks)
    if all(channel.dtype == np.uint8 for channel in channels):
        shown = channels
    else:
        known = np.concatenate([channel[visible].ravel() for channel in channels])
        low, high = np.percentile(known, (2, 98)) if known.size else (0.0, 1.0)
        shown = [np.clip((channel - low) / max(high - low, 1e-9) * 255, 0, 255) for channel in channels]
    return np.stack([*shown, np.where(visible, 255, 0)]).astype(np.uint8)
