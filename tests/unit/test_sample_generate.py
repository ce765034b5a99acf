"""The generated sample: one day of one place, which has a scene of each sensor ten minutes apart."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
import rasterio
import rasterio.features
import rasterio.warp
import shapely

from almagest.catalogue import sample, validation
from almagest.catalogue.sample import _catalog as catalog
from almagest.catalogue.sample import _documents, _files, _generate, _rasters, _render, _spectra
from almagest.core.errors import StorageFullError
from support import data

DAY = _generate.Selection(
    places=tuple(place for place in catalog.PLACES if place.name == "delta"),
    first=datetime(2025, 6, 27, tzinfo=UTC),
    last=datetime(2025, 6, 28, tzinfo=UTC),
)

Document = dict[str, Any]


class Made:
    """The sample of a day."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.steps: list[tuple[str, int, int]] = []
        self.collections, self.items = _generate.generate(directory, DAY, lambda *step: self.steps.append(step))

    def item(self, collection: str) -> Document:
        return next(
            item
            for item in self.items
            if item["collection"] == collection and not item.get("properties", {}).get("grid:code", "").endswith(".e")
        )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("a sample"))


def path_of(asset: Document) -> Path:
    return Path(unquote(urlsplit(asset["href"]).path))


def files_of(made: Made) -> Iterator[tuple[Path, Document]]:
    for document in [*made.items, *made.collections]:
        for asset in document["assets"].values():
            yield path_of(asset), asset


def test_documents_are_valid_stac(made: Made) -> None:
    assert {item["collection"] for item in made.items} == {"sample-msi-l1c", "sample-oli-l1"}
    for item in made.items:
        validation.check_item(item)
    for collection in made.collections:
        validation.check_collection(collection)


def test_scenes_say_when_they_began_and_ended(made: Made) -> None:
    """There are readers that pass by a scene that does not."""
    for item in made.items:
        said = item["properties"]
        begin, middle, end = (datetime.fromisoformat(said[f"{name}datetime"]) for name in ("start_", "", "end_"))
        assert end - middle == middle - begin
        assert 10 < (end - begin).total_seconds() < 30, "as a real one takes"
    for collection in made.collections:
        (interval,) = collection["extent"]["temporal"]["interval"]
        own = [item["properties"] for item in made.items if item["collection"] == collection["id"]]
        assert interval == [min(p["start_datetime"] for p in own), max(p["end_datetime"] for p in own)]


def test_documents_follow_their_extensions(made: Made) -> None:
    mirror = data.DATA / "schemas"
    if not mirror.is_dir():
        pytest.skip("the schema mirror is not beside this checkout")
    # The projection extension's schema refers to one of PROJ that the mirror lacks.
    for document in [*made.items, *made.collections]:
        extensions = [url for url in document["stac_extensions"] if "/projection/" not in url]
        check = validation.check_item if document["type"] == "Feature" else validation.check_collection
        check({**document, "stac_extensions": extensions}, mirror=mirror, extensions=True)


def test_files_are_what_the_documents_say(made: Made) -> None:
    for path, asset in files_of(made):
        assert path.is_relative_to(made.directory)
        content = path.read_bytes()
        assert len(content) == asset["file:size"]
        assert _files.checksum(content) == asset["file:checksum"]
    assert not list(made.directory.rglob("*.part"))


def test_rasters_are_cogs_on_the_grid_that_the_item_gives(made: Made) -> None:
    for item in made.items:
        for key, asset in item["assets"].items():
            if asset["type"] != _files.COG_TYPE:
                continue
            with rasterio.open(path_of(asset)) as dataset:
                assert _rasters.is_cog(dataset), key
                assert dataset.block_shapes[0] == (256, 256)
                assert dataset.overviews(1) or max(dataset.shape) <= 256
                assert list(dataset.shape) == asset["proj:shape"]
                assert list(dataset.transform)[:6] == asset["proj:transform"]
                assert f"EPSG:{dataset.crs.to_epsg()}" == item["properties"]["proj:code"]
                assert dataset.dtypes[0] == asset["bands"][0]["data_type"]
                assert dataset.count == len(asset["bands"])
                if "reflectance" in asset["roles"]:
                    assert (dataset.scales, dataset.nodata) == ((_documents.SCALE,), 0)


def test_the_footprint_is_where_the_data_is(made: Made) -> None:
    for item in made.items:
        with rasterio.open(path_of(item["assets"]["visual"])) as dataset:
            outline = rasterio.warp.transform_geom("EPSG:4326", dataset.crs, item["geometry"])
            inside = rasterio.features.geometry_mask([outline], dataset.shape, dataset.transform, invert=True)
            seen = dataset.dataset_mask() > 0
        with rasterio.open(path_of(item["assets"]["red"])) as dataset:
            assert np.array_equal(seen, dataset.read(1) > 0)
        # Edges in longitude and latitude deviate by a tenth of a pixel.
        assert (inside != seen).mean() < 1e-3
        polygon = shapely.geometry.shape(item["geometry"])
        assert polygon.is_valid
        assert item["bbox"] == pytest.approx(polygon.bounds)


def test_cloud_cover_is_measured(made: Made) -> None:
    for item in made.items:
        with rasterio.open(path_of(item["assets"]["quality"])) as dataset:
            classes = dataset.read(1)
        seen = (classes > 0).sum()
        for name, kind in (("eo:cloud_cover", _render.Quality.CLOUD), ("eo:snow_cover", _render.Quality.SNOW)):
            assert item["properties"][name] == pytest.approx(100 * (classes == kind).sum() / seen, abs=0.006)


def test_spectra_are_plausible(made: Made) -> None:
    item = made.item("sample-oli-l1")
    counts = {key: read(item, key) for key in ("blue", "red", "nir08", "swir16", "quality")}
    water = counts["quality"] == _render.Quality.WATER
    land = counts["quality"] == _render.Quality.LAND
    assert counts["nir08"][water].mean() < 0.8 * counts["blue"][water].mean() < 2000
    assert counts["nir08"][land].mean() > 1.2 * counts["red"][land].mean()
    reflects = dict(
        zip(_spectra.NAMES, zip(_spectra.reflectance(0.56), _spectra.reflectance(1.61), strict=True), strict=True)
    )
    assert reflects["snow"][0] > 5 * reflects["snow"][1]
    assert reflects["cloud"][1] > 5 * reflects["snow"][1]


def test_both_sensors_see_the_same_ground(made: Made) -> None:
    """On what both see without clouds they differ by their calibration: 0.994 to 1.006, and a little by the sun."""
    msi, oli = made.item("sample-msi-l1c"), made.item("sample-oli-l1")
    assert abs(when(msi) - when(oli)) < 1300
    with rasterio.open(path_of(oli["assets"]["red"])) as grid:
        target = {"dst_crs": grid.crs, "dst_transform": grid.transform}
        red, clear = grid.read(1).astype(np.float32), read(oli, "quality") == _render.Quality.LAND
    source = {"src_crs": target["dst_crs"], "src_transform": rasterio.Affine(*msi["assets"]["red"]["proj:transform"])}
    other, also = np.zeros_like(red), np.zeros_like(red)
    average = rasterio.warp.Resampling.average
    unclear = (read(msi, "quality") != _render.Quality.LAND).astype(np.float32)
    rasterio.warp.reproject(read(msi, "red").astype(np.float32), other, resampling=average, **source, **target)
    rasterio.warp.reproject(unclear + 1, also, resampling=average, **source, **target)
    both = clear & (also == 1)
    assert both.sum() > 5000
    assert np.corrcoef(red[both], other[both])[0, 1] > 0.95
    assert red[both].mean() / other[both].mean() == pytest.approx(0.994 / 1.006, abs=0.02)


def test_the_same_call_makes_the_same_bytes(made: Made) -> None:
    """A file that lost its end is made again with the rest of its scene: the same as before, and nothing else is."""
    item = made.item("sample-msi-l1c")
    damaged = path_of(item["assets"]["nir"])
    before = {path: path.read_bytes() for path in damaged.parent.iterdir()}
    others = {path: path.stat().st_mtime_ns for path, _ in files_of(made) if path not in before}
    damaged.write_bytes(before[damaged][:1000])
    again = Made(made.directory)
    assert {path: path.read_bytes() for path in damaged.parent.iterdir()} == before
    assert {path: path.stat().st_mtime_ns for path in others} == others
    assert (again.items, again.collections) == (made.items, made.collections)
    assert again.steps == [
        ("rendering the sample", len(made.items) - 1, len(made.items)),
        ("rendering the sample", len(made.items), len(made.items)),
    ]


def test_a_second_call_needs_nothing_heavy(made: Made) -> None:
    code = (
        (
            "import sys; from pathlib import Path; from datetime import datetime, UTC;"
            "from almagest.catalogue.sample import _catalog, _generate;"
            "place = [p for p in _catalog.PLACES if p.name == 'delta'];"
            f"day = _generate.Selection(tuple(place), {DAY.first!r}, {DAY.last!r}.replace());"
            "_, items = _generate.generate(Path(sys.argv[1]), day, None);"
            "print(len(items), {'numpy', 'rasterio', 'shapely'} & set(sys.modules))"
        )
        .replace("datetime.datetime(", "datetime(")
        .replace("tzinfo=datetime.timezone.utc", "tzinfo=UTC")
    )
    found = subprocess.run(
        [sys.executable, "-c", code, str(made.directory)],
        env={"PYTHONPATH": os.pathsep.join(sys.path), "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == f"{len(made.items)} set()"


def test_items_are_found_where_the_folder_is(made: Made) -> None:
    """What is stored names files by where they lie to each other: a sample can be moved."""
    stored = json.loads((made.directory / "sample.json").read_text())
    assert all("/" not in asset["href"] for item in stored["items"] for asset in item["assets"].values())
    assert str(made.directory) not in json.dumps(stored)


def test_a_folder_appears_complete_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = _files._write
    written: list[Path] = []

    def full(path: Path, content: bytes) -> None:
        if len(written) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(path)
        write(path, content)

    monkeypatch.setattr(_files, "_write", full)
    with pytest.raises(OSError, match="No space left"):
        _files.store_folder(tmp_path / "scene", {"a": b"1", "b": b"2", "c": b"3"})
    assert list(tmp_path.iterdir()) == []
    written.clear()
    _files.store_folder(tmp_path / "scene", {"a": b"1", "b": b"2"})
    assert sorted(path.name for path in (tmp_path / "scene").iterdir()) == ["a", "b"]


def test_a_full_disk_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(_generate, "_make", full)
    with pytest.raises(StorageFullError, match=str(tmp_path)):
        sample.generate(tmp_path)


def read(item: Document, key: str) -> Any:
    with rasterio.open(path_of(item["assets"][key])) as dataset:
        return dataset.read(1)


def when(item: Document) -> float:
    return datetime.fromisoformat(item["properties"]["datetime"]).timestamp()
