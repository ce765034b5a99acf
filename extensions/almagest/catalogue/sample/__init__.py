"""Something to look at: a sample that the project renders itself, or real data wrapped as items.

Importing this package imports nothing heavy; numpy, shapely and GDAL come with the first call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Progress", "Sample", "generate", "generated_ids", "real"]

#: Called with what is being done, how much of it is done, and how much there is.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Sample:
    """Plain STAC documents, ready to be loaded.

    Attributes:
        collections: all collections of the items.
        items: may be gone through more than once.
        internal_keys: assets that outsiders do not get to read, so that a newcomer sees the difference.
    """

    collections: list[dict[str, Any]]
    items: Iterable[dict[str, Any]]
    internal_keys: frozenset[str] = frozenset()


def generate(directory: Path, *, progress: Progress | None = None) -> Sample:
    """Renders the sample: two made-up sensors over the same places and days.

    The same call writes the same bytes. Files are complete before they appear under their names; what is there already
    is not made again, so that a second call takes no time.

    Args:
        directory: where to put about 40 MB of COGs; made if need be. Hrefs are absolute ``file://`` URLs below it.
        progress: told after each scene.

    Raises:
        StorageFullError: the disk is full. What is complete stays, and a later call goes on from there.
        OSError: the directory cannot be written to.
    """
    from almagest.catalogue.sample import _generate

    collections, items = _generate.generate(Path(directory).absolute(), _generate.Selection(), progress)
    return Sample(collections, items, internal_keys=frozenset({"quality"}))


def generated_ids() -> frozenset[str]:
    """The collections that :func:`generate` makes, without making them."""
    from almagest.catalogue.sample import _catalog

    return frozenset(sensor.collection for sensor in _catalog.SENSORS)


def real(data: Path, *, thumbnails: Path | None = None, progress: Progress | None = None) -> Sample:
    """Wraps the project's folder of real data: metadata of Landsat, Sentinel-2 and NAIP over Colorado, and rasters.

    Rasters are described where they lie; nothing is copied or written but thumbnails.

    Args:
        data: the folder, with ``stac`` and ``raster`` in it.
        thumbnails: where to put a small picture of each raster item; without it there are none.
        progress: told after each source.

    Raises:
        FileNotFoundError: a file is missing that the folder should hold.
    """
    from almagest.catalogue.sample import _real

    return _real.load(Path(data).absolute(), thumbnails and Path(thumbnails).absolute(), progress)
