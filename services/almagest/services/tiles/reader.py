"""Opening assets: only what the policy lets through, only by drivers that read nothing else than the file itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import attr
import numpy
import rasterio
import structlog
from rasterio.errors import RasterioIOError
from rasterio.io import DatasetReader
from rio_tiler.constants import WGS84_CRS
from rio_tiler.errors import MissingAssets
from rio_tiler.io import BaseReader, Reader
from rio_tiler.models import ImageData, Info, PointData
from rio_tiler.types import AssetInfo, AssetType, AssetWithOptions, BBox
from titiler.pgstac.reader import SimpleSTACReader

from almagest.catalogue.rendering import default_render
from almagest.catalogue.rendering.assets import number, raster_href
from almagest.core.errors import BadRequestError
from almagest.core.hrefs import AssetName, HrefPolicy
from almagest.services.tiles.database import Catalogue
from almagest.services.tiles.environment import gdal_options
from almagest.services.tiles.errors import SourceUnavailableError, UnreadableAssetError

log = structlog.get_logger(__name__)

Pixels = TypeVar("Pixels", ImageData, PointData)

#: Formats whose files stand for themselves.
DRIVERS = ("GTiff", "JP2OpenJPEG")

#: What the paths begin with by which GDAL asks another host.
REMOTE = ("/vsicurl/", "/vsis3/")

WORLD: BBox = (-180.0, -90.0, 180.0, 90.0)

#: Metadata domains by which such a file can still name others that GDAL would open, by any driver: a TIFF whose
#: ``OVERVIEW_FILE`` is a VRT over ``/etc/passwd`` is a proper TIFF.
_POINTING_DOMAINS = frozenset({"OVERVIEWS", "GEOLOCATION", "SUBDATASETS", "xml:VRT", "PROXY_OVERVIEW_REQUEST"})


@dataclass(frozen=True)
class CatalogueItem:
    """An item, by which rules its assets may be read, and the catalogue that knows where the exposed ones lie."""

    document: Mapping[str, Any]
    policy: HrefPolicy
    max_size_px: int
    catalogue: Catalogue

    @cached_property
    def assets(self) -> dict[str, Mapping[str, Any]]:
        """Assets that can be opened; the others are as if absent."""
        given = self.document.get("assets")
        return {
            key: asset
            for key, asset in (given.items() if isinstance(given, Mapping) else ())
            if isinstance(asset, Mapping) and raster_href(asset, self.policy)
        }

    @cached_property
    def bounds(self) -> BBox:
        """Bounding box in degrees, without heights; the world where there is none."""
        return box(self.document.get("bbox")) or WORLD

    def path(self, asset: str) -> str:
        """Where GDAL finds an asset.

        Raises:
            HrefRefusedError: it cannot be opened.
        """
        href = self.policy.choose(self.assets[asset])
        exposed = self.policy.own(href)
        return gdal_path(self.policy.resolve(self._locations.get(exposed) if exposed else href))

    @cached_property
    def _locations(self) -> dict[AssetName, str]:
        """Where the exposed assets lie, asked once for all of them: an item lives no longer than a request."""
        hrefs = (self.policy.choose(asset) for asset in self.assets.values())
        return self.catalogue.asset_locations({name for href in hrefs if (name := self.policy.own(href))})

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.document.get('collection')}/{self.document.get('id')}"


def box(value: object) -> BBox | None:
    """West, south, east, north of a bounding box with or without heights; None if it is none.

    One that crosses the date line becomes as wide as the world: the libraries know no other.
    """
    if not isinstance(value, Sequence) or len(value) not in {4, 6} or not all(number(v) is not None for v in value):
        return None
    west, south = float(value[0]), float(value[1])
    east, north = float(value[len(value) // 2]), float(value[len(value) // 2 + 1])
    return (west, south, east, north) if west <= east else (-180.0, south, 180.0, north)


def gdal_path(resolved: str) -> str:
    """The spelling that leaves rasterio nothing to interpret."""
    return f"/vsicurl/{resolved}" if resolved.startswith("https:") else resolved


def open_raster(path: str) -> DatasetReader:
    """Opens a dataset.

    Raises:
        UnreadableAssetError: it is not one of ours to read.
        SourceUnavailableError: another host does not give it to us.
    """
    with rasterio.Env(**gdal_options()):
        try:
            dataset = DatasetReader(path, driver=list(DRIVERS))
        except RasterioIOError as error:
            log.warning("asset cannot be opened", path=path, reason=str(error))
            if path.startswith(REMOTE):
                raise SourceUnavailableError from None
            raise UnreadableAssetError from None
        if not _POINTING_DOMAINS.isdisjoint(dataset.tag_namespaces()):
            dataset.close()
            log.warning("asset points to other files", path=path)
            raise UnreadableAssetError
        if dataset.crs is None and not dataset.gcps[0]:
            dataset.close()
            raise UnreadableAssetError("This asset says nowhere in the file itself where on Earth it lies.")
        return dataset


@attr.s
class RasterReader(Reader):
    """Reads one asset, never more pixels than allowed."""

    dataset: DatasetReader
    max_size_px: int = attr.ib(default=2048, kw_only=True)

    def __attrs_post_init__(self) -> None:
        """Opens the dataset our way."""
        if self.dataset is None:
            self.dataset = self._ctx_stack.enter_context(open_raster(str(self.input)))
        super().__attrs_post_init__()  # type: ignore[no-untyped-call]

    def info(self, **options: Any) -> Info:
        """What the file says of itself, all of it whatever is asked of its pixels: rio-tiler takes no options here."""
        self._check_bands(options)
        return super().info()

    def part(self, bbox: BBox, **options: Any) -> ImageData:  # type: ignore[override]
        """Part of the dataset; see rio-tiler."""
        west, south, east, north = bbox
        if not all(map(math.isfinite, bbox)) or west == east or south == north:
            raise BadRequestError("This box has no area.")
        return self._shown(super().part, bbox, **self._bounded(options))

    def read(self, **options: Any) -> ImageData:  # type: ignore[override]
        """The whole dataset, reduced; see rio-tiler."""
        return self._shown(super().read, **self._bounded(options))

    def point(self, lon: float, lat: float, **options: Any) -> PointData:  # type: ignore[override]
        """One pixel; see rio-tiler."""
        self._check_bands(options)
        return self._shown(super().point, lon, lat, **options)

    @staticmethod
    def _shown(read: Callable[..., Pixels], *arguments: Any, **options: Any) -> Pixels:
        try:
            pixels = read(*arguments, **options)
        except (TypeError, ValueError, OverflowError):
            if options.get("nodata") is None:
                raise
            raise BadRequestError("nodata: the type of these pixels has no such value.") from None
        if numpy.iscomplexobj(pixels.array):
            # Of radar, how much came back; nothing behind us knows complex numbers.
            pixels.array = numpy.ma.abs(pixels.array)
        return pixels

    def _bounded(self, options: dict[str, Any]) -> dict[str, Any]:
        self._check_bands(options)
        if self.dataset.nodata is None and self.dataset.dtypes[0].startswith("complex"):
            # With a mask of its own making, rio-tiler fails on complex numbers.
            options = {"nodata": 0, **options}
        if options.get("height") or options.get("width"):
            return options
        return {**options, "max_size": min(options.get("max_size") or self.max_size_px, self.max_size_px)}

    def _check_bands(self, options: Mapping[str, Any]) -> None:
        asked = options.get("indexes") or ()
        for index in [asked] if isinstance(asked, int) else asked:
            if index not in self.dataset.indexes:
                raise BadRequestError(f"There is no band {index}: this asset has {self.dataset.count}.")


@attr.s
class ItemReader(SimpleSTACReader):
    """Reads the assets of an item together. Its list of assets is what can be opened, and says nothing of the rest."""

    input: CatalogueItem  # type: ignore[assignment]
    reader: type[BaseReader] = attr.ib(default=RasterReader)

    def __attrs_post_init__(self) -> None:
        """Takes what the item says of itself; no asset is opened yet."""
        self.bounds = self.input.bounds
        self.crs = WGS84_CRS
        self.assets = list(self.input.assets)
        if not self.assets:
            raise MissingAssets("This item has no asset that can be shown.")

    @property
    def minzoom(self) -> int:
        """Smallest zoom at which the item is more than a speck."""
        return self._zooms[0]

    @minzoom.setter
    def minzoom(self, _: int | None) -> None:
        """The base class's initialiser sets it."""

    @property
    def maxzoom(self) -> int:
        """Zoom at which the pixels are shown in full."""
        return self._zooms[1]

    @maxzoom.setter
    def maxzoom(self, _: int | None) -> None:
        """The base class's initialiser sets it."""

    @cached_property
    def _zooms(self) -> tuple[int, int]:
        """Those of the asset shown by default: only the file itself knows its resolution for certain."""
        shown = default_render(self.input.document, self.input.policy)
        name = shown.assets[0].split("|")[0] if shown else self.assets[0]
        with RasterReader(self.input.path(name), tms=self.tms) as reader:
            return reader.minzoom, reader.maxzoom

    def _get_asset_info(self, asset: AssetType) -> AssetInfo:
        options: AssetWithOptions = {"name": asset} if isinstance(asset, str) else asset
        name = options["name"]
        if name not in self.assets:
            raise UnreadableAssetError(f"This item has no asset {name!r} that can be shown.")
        try:
            _, method_options = self._get_options(options, dict(self.input.assets[name]))
        except ValueError as error:
            raise BadRequestError(str(error)) from None
        return AssetInfo(
            url=self.input.path(name),
            name=name,
            media_type=self.input.assets[name].get("type"),
            reader_options={"max_size_px": self.input.max_size_px},
            method_options=method_options,
        )
