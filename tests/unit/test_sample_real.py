"""Real rasters as items: what files say of themselves, and the folder beside the checkout where it is there."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from rasterio.transform import Affine

from almagest.catalogue import sample, validation
from almagest.catalogue.sample import _files, _rasters, _real, _thumbnails
from support import data

needs_data = pytest.mark.skipif(
    not (data.DATA / "raster").is_dir(), reason="the real data is not beside this checkout (../shared/data)"
)


def write(
    path: Path, *, left: float = 500_000, crs: str = "EPSG:32660", valid: slice | None = None, **profile: Any
) -> Path:
    pixels = np.full((1, 600, 600), 7, np.uint16)
    if valid is not None:
        pixels[:] = 0
        pixels[:, :, valid] = 7
    shape = {"count": 1, "height": 600, "width": 600, "dtype": "uint16"}
    with rasterio.open(
        path, "w", driver="GTiff", crs=crs, transform=Affine(1000, 0, left, 0, -1000, 5_000_000), **shape, **profile
    ) as dataset:
        dataset.write(pixels)
    return path


def test_only_a_cog_is_called_one(tmp_path: Path) -> None:
    striped, tiled = write(tmp_path / "striped.tif"), write(tmp_path / "tiled.tif", tiled=True)
    late = write(tmp_path / "late.tif", tiled=True)
    with rasterio.open(late, "r+") as dataset:
        # Overviews that are added behind the pixels make a file that must be read from both ends.
        dataset.build_overviews([2, 4])
    proper = tmp_path / "cog.tif"
    proper.write_bytes(_files.cog(np.ones((1, 600, 600), np.uint16), _files.Grid(32660, 0, 0, 10.0), {}))
    found = {path.stem: _rasters.describe(path).asset["type"] for path in (striped, tiled, late, proper)}
    plain = "image/tiff; application=geotiff"
    assert found == {"striped": plain, "tiled": plain, "late": plain, "cog": _files.COG_TYPE}


def test_a_footprint_across_180_degrees_is_cut_there(tmp_path: Path) -> None:
    raster = _rasters.describe(write(tmp_path / "a.tif"))
    shape, bbox = _rasters.geometry([raster.footprint])
    assert shape["type"] == "MultiPolygon"
    west, south, east, north = bbox
    assert west > 0 > east
    assert (south, north) == pytest.approx((39.5, 45.1), abs=0.3)
    parts = shapely.geometry.shape(shape)
    assert parts.is_valid
    assert parts.area == pytest.approx(raster.footprint.area, rel=1e-6)
    assert all(part.bounds[0] >= -180 and part.bounds[2] <= 180 and part.exterior.is_ccw for part in parts.geoms)
    assert sorted(round(edge, 6) for part in parts.geoms for edge in (part.bounds[0], part.bounds[2]))[::3] == [
        -180,
        180,
    ]


def test_a_footprint_is_that_of_the_valid_pixels(tmp_path: Path) -> None:
    whole = _rasters.describe(write(tmp_path / "a.tif", left=200_000)).footprint
    part = _rasters.describe(write(tmp_path / "b.tif", left=200_000, valid=slice(0, 300), nodata=0)).footprint
    assert part.area == pytest.approx(whole.area / 2, rel=0.03)


def test_a_raster_without_a_place_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "nowhere.tif"
    path.write_bytes(b"")
    with pytest.raises(rasterio.errors.RasterioIOError):
        _rasters.describe(path)
    with pytest.raises(FileNotFoundError, match=r"gone\.tif"):
        _rasters.describe(tmp_path / "gone.tif")


@pytest.fixture(scope="module")
def real() -> sample.Sample:
    return sample.real(data.DATA)


@pytest.fixture(scope="module")
def own(real: sample.Sample) -> dict[str, dict[str, Any]]:
    """The items that are not Colorado's, by id."""
    remote = {"landsat-c2-l2", "sentinel-2-l2a", "naip"}
    return {item["id"]: item for item in itertools.takewhile(lambda item: item["collection"] not in remote, real.items)}


@needs_data
def test_the_whole_folder_is_there(real: sample.Sample) -> None:
    counts = _real.counts(real)
    assert {name: counts[name] for name in ("landsat-c2-l2", "sentinel-2-l2a", "naip")} == {
        "landsat-c2-l2": 100,
        "sentinel-2-l2a": 1080,
        "naip": 10_000,
    }
    assert all(counts.values())
    identifiers = [(item["collection"], item["id"]) for item in real.items]
    assert len(set(identifiers)) == len(identifiers) == sum(counts.values())


@needs_data
def test_all_documents_are_valid(real: sample.Sample, own: dict[str, dict[str, Any]]) -> None:
    for collection in real.collections:
        validation.check_collection(collection)
        assert collection["license"]
    for item in own.values():
        validation.check_item(item)
    mirror = data.DATA / "schemas"
    for item in own.values():
        extensions = [url for url in item["stac_extensions"] if "/projection/" not in url]
        validation.check_item({**item, "stac_extensions": extensions}, mirror=mirror, extensions=True)


@needs_data
def test_rasters_are_described_in_place(own: dict[str, dict[str, Any]]) -> None:
    local = [asset for item in own.values() for asset in item["assets"].values() if asset["href"].startswith("file:")]
    assert len(local) > 70
    assert all(Path(asset["href"].removeprefix("file://")).is_file() for asset in local)
    dateline = own["landsat-8-dateline"]
    assert dateline["geometry"]["type"] == "MultiPolygon"
    assert dateline["bbox"][0] > dateline["bbox"][2]
    # Called jp2, and a striped GeoTIFF.
    assert own["S2A_20160112_T18SVG_part"]["assets"]["B05"]["type"] == "image/tiff; application=geotiff"
    assert own["sentinel-2-true-colour"]["assets"]["visual"]["type"] == _files.COG_TYPE
    unnamed = own["sentinel-2-scaled"]["properties"]
    assert unnamed["proj:code"] is None
    assert unnamed["proj:wkt2"].startswith("PROJCRS")
    nashville = [item for item in own.values() if item["collection"] == "noaa-emergency-response"]
    assert sum(item["assets"]["cog"]["href"].startswith("file:") for item in nashville) == 1


@needs_data
def test_a_thumbnail_is_made_once(own: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    item = own["LC80200392015216LGN00"]
    target = tmp_path / "of" / "it.webp"
    picture = _thumbnails.make(item, target)
    assert picture is not None
    assert picture["file:checksum"] == _files.checksum(target.read_bytes())
    assert target.read_bytes()[8:12] == b"WEBP"
    written = target.stat().st_mtime_ns
    assert _thumbnails.make(item, target) == picture
    assert target.stat().st_mtime_ns == written


@needs_data
def test_the_radar_lies_where_the_picture_lies(own: dict[str, dict[str, Any]]) -> None:
    rgb, sar = (shapely.geometry.shape(own[f"rotterdam-{name}"]["geometry"]) for name in ("rgb", "sar"))
    assert rgb.contains(sar.centroid)
