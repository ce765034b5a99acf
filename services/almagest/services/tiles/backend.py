"""A mosaic whose items the catalogue chooses by one statement, for roles that may read nothing but its functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import attr
from geojson_pydantic import Point, Polygon
from morecantile import Tile, TileMatrixSet
from rasterio.crs import CRS
from rasterio.errors import RasterioIOError
from rasterio.warp import transform, transform_bounds
from rio_tiler.constants import WEB_MERCATOR_TMS, WGS84_CRS
from rio_tiler.errors import MissingAssets, PointOutsideBounds, TileOutsideBounds
from rio_tiler.models import ImageData, PointData
from rio_tiler.mosaic.backend import BaseBackend
from rio_tiler.types import BBox

from almagest.core.errors import BadRequestError
from almagest.core.hrefs import HrefRefusedError
from almagest.services.tiles.errors import SourceUnavailableError, UnreadableAssetError
from almagest.services.tiles.reader import CatalogueItem, ItemReader
from almagest.services.tiles.sources import Mosaic

Result = TypeVar("Result")

#: One item that cannot be read leaves a hole; the others are still worth seeing.
_PASSED_OVER = (
    TileOutsideBounds,
    PointOutsideBounds,
    MissingAssets,
    HrefRefusedError,
    UnreadableAssetError,
    SourceUnavailableError,
    RasterioIOError,
)


@attr.s
class MosaicBackend(BaseBackend):
    """Reads a mosaic."""

    input: Mosaic = attr.ib()
    tms: TileMatrixSet = attr.ib(default=WEB_MERCATOR_TMS)
    reader: type[ItemReader] = attr.ib(default=ItemReader)
    reader_options: dict[str, Any] = attr.ib(factory=dict)

    def __attrs_post_init__(self) -> None:
        """Takes what the mosaic says of itself."""
        self.crs = WGS84_CRS
        self.bounds = self.input.bounds
        smallest, largest = self.input.zooms
        self.minzoom = self.tms.minzoom if smallest is None else smallest
        self.maxzoom = self.tms.maxzoom if largest is None else largest

    def asset_name(self, asset: CatalogueItem) -> str:
        """The item's name."""
        return asset.name

    def assets_for_tile(self, x: int, y: int, z: int, **options: Any) -> list[CatalogueItem]:
        """Items under a tile."""
        return self._items(Polygon.from_bounds(*self.tms.bounds(Tile(x, y, z))), **options)

    def assets_for_bbox(
        self, xmin: float, ymin: float, xmax: float, ymax: float, coord_crs: CRS | None = None, **options: Any
    ) -> list[CatalogueItem]:
        """Items under a box."""
        if coord_crs not in {None, WGS84_CRS}:
            xmin, ymin, xmax, ymax = transform_bounds(coord_crs, WGS84_CRS, xmin, ymin, xmax, ymax)
        return self._items(Polygon.from_bounds(xmin, ymin, xmax, ymax), **options)

    def assets_for_point(
        self, lng: float, lat: float, coord_crs: CRS | None = None, **options: Any
    ) -> list[CatalogueItem]:
        """Items under a point: all of them, since each has a value there."""
        if coord_crs not in {None, WGS84_CRS}:
            (lng,), (lat,) = transform(coord_crs, WGS84_CRS, [lng], [lat])
        return self._items(
            Point(type="Point", coordinates=(lng, lat)),
            **{**options, "exitwhenfull": False, "skipcovered": False},
        )

    def tile(  # type: ignore[override]
        self, x: int, y: int, z: int, **options: Any
    ) -> tuple[ImageData, list[str]]:
        """A tile; see rio-tiler."""
        return self._read(super().tile, x, y, z, **options)

    def part(  # type: ignore[override]
        self, bbox: BBox, bounds_crs: CRS = WGS84_CRS, **options: Any
    ) -> tuple[ImageData, list[str]]:
        """A picture of a box; see rio-tiler."""
        return self._read(super().part, bbox, bounds_crs=bounds_crs, **options)

    def point(  # type: ignore[override]
        self, lon: float, lat: float, coord_crs: CRS = WGS84_CRS, **options: Any
    ) -> list[tuple[str, PointData]]:
        """The values at a point; see rio-tiler."""
        return self._read(super().point, lon, lat, coord_crs=coord_crs, **options)

    def _read(self, read: Callable[..., Result], *arguments: Any, **options: Any) -> Result:
        try:
            return read(*arguments, allowed_exceptions=_PASSED_OVER, **options)
        except AssertionError:
            # rio-tiler's way of saying it.
            raise BadRequestError("These items do not have the same number of bands: name assets or bands.") from None

    def _items(
        self,
        geometry: Point | Polygon,
        items_limit: int | None = None,
        exitwhenfull: bool | None = None,
        skipcovered: bool | None = None,
    ) -> list[CatalogueItem]:
        largest = self.input.tiler.mosaic_items
        return self.input.items(
            geometry.model_dump(mode="json", exclude_none=True),
            min(items_limit or largest, largest),
            exit_when_full=exitwhenfull is not False,
            skip_covered=skipcovered is not False,
        )
