"""Encoding rasters, and storing files so that a reader never meets half of one."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
import rasterio.shutil
from rasterio.enums import ColorInterp
from rasterio.io import MemoryFile
from rasterio.transform import Affine

from almagest.core.disk import flush_folder

COG_TYPE = "image/tiff; application=geotiff; profile=cloud-optimized"
WEBP_TYPE = "image/webp"

_TILE_PX = 256
#: What a machine's environment sets for GDAL must not change the bytes.
_ENVIRONMENT = {"GDAL_NUM_THREADS": "1", "GDAL_PAM_ENABLED": "NO"}


@dataclass(frozen=True)
class Grid:
    """Where pixels lie: a UTM zone, the upper left corner [m], the side of a pixel [m]."""

    epsg: int
    left: float
    top: float
    pixel_m: float

    @property
    def transform(self) -> Affine:
        """From columns and rows to east and north."""
        return Affine(self.pixel_m, 0, self.left, 0, -self.pixel_m, self.top)


def checksum(data: bytes) -> str:
    """As the file extension wants it: a multihash in hex, here sha2-256."""
    return "1220" + hashlib.sha256(data).hexdigest()


def store_folder(target: Path, files: Mapping[str, bytes]) -> None:
    """Stores a new folder of files, which appears under its name when all of them are on the disk.

    An older folder of that name goes first. If anything fails, nothing of the new one is left.

    Raises:
        OSError: it cannot be written.
    """
    draft = target.with_name(f".{target.name}.{os.getpid()}.part")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        draft.mkdir(parents=True)
        for name, data in files.items():
            _write(draft / name, data)
        flush_folder(draft)
        if target.exists():
            shutil.rmtree(target)
        draft.rename(target)
        flush_folder(target.parent)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def store_file(target: Path, data: bytes) -> None:
    """Stores a file, which appears under its name when it is on the disk; one that is the same already stays.

    Raises:
        OSError: it cannot be written.
    """
    if target.is_file() and target.read_bytes() == data:
        return
    draft = target.with_name(f".{target.name}.{os.getpid()}.part")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        _write(draft, data)
        draft.replace(target)
        flush_folder(target.parent)
    finally:
        draft.unlink(missing_ok=True)


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def cog(
    bands: npt.NDArray[Any],
    grid: Grid,
    options: Mapping[str, Any],
    *,
    nodata: int | None = None,
    scale: float | None = None,
    descriptions: Sequence[str] = (),
    colormap: Mapping[int, tuple[int, int, int, int]] | None = None,
) -> bytes:
    """A cloud-optimized GeoTIFF.

    Args:
        bands: (bands, rows, columns); four of them are red, green, blue, and where there is data.
        grid: where they lie.
        options: of GDAL's COG driver, beyond the size of its tiles.
        nodata: the count that means nothing was seen.
        scale: physical value of one count.
        descriptions: of the bands.
        colormap: of the only band.
    """
    with _raster(bands, grid, nodata) as draft:
        if scale is not None:
            draft.scales = (scale,) * draft.count
        for index, text in enumerate(descriptions, start=1):
            draft.set_band_description(index, text)
        if colormap:
            draft.write_colormap(1, dict(colormap))
        return _encoded(draft, driver="COG", BLOCKSIZE=_TILE_PX, **options)


def thumbnail(rgba: npt.NDArray[np.uint8], longest_px: int) -> bytes:
    """A WebP picture with transparent corners, reduced by a whole number so that it is about so large.

    Args:
        rgba: (4, rows, columns).
        longest_px: of its longer side, about.
    """
    factor = max(1, round(max(rgba.shape[1:]) / longest_px))
    rows, columns = rgba.shape[1] // factor, rgba.shape[2] // factor
    blocks = rgba[:, : rows * factor, : columns * factor].astype(np.float32)
    blocks = blocks.reshape(4, rows, factor, columns, factor)
    weight = blocks[3:].sum((2, 4))
    colour = (blocks[:3] * blocks[3:]).sum((2, 4)) / np.maximum(weight, 1)
    small = np.concatenate([colour, weight / factor**2]).round().astype(np.uint8)
    with _raster(small, None, None) as draft:
        return _encoded(draft, driver="WEBP", QUALITY=82)


@contextmanager
def _raster(bands: npt.NDArray[Any], grid: Grid | None, nodata: int | None) -> Iterator[Any]:
    """A plain dataset in memory, open for changes."""
    count, rows, columns = bands.shape
    # Without any transform, or with that of unit pixels, rasterio warns.
    where = {"crs": f"EPSG:{grid.epsg}", "transform": grid.transform} if grid else {"transform": Affine.scale(2, -2)}
    shape = {"count": count, "height": rows, "width": columns, "dtype": bands.dtype.name}
    with (
        rasterio.Env(**_ENVIRONMENT),
        MemoryFile() as memory,
        memory.open(driver="GTiff", nodata=nodata, **shape, **where) as draft,
    ):
        draft.write(bands)
        if count == 4:
            draft.colorinterp = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha]
        yield draft


def _encoded(draft: Any, **options: Any) -> bytes:
    with MemoryFile() as memory:
        rasterio.shutil.copy(draft, memory.name, **options)
        return bytes(memory.read())
