"""What a file becomes as an asset, where it may lie, and how a catalogue of files takes it."""

from __future__ import annotations

import concurrent.futures
import hashlib
import io
import os
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import obstore
import pystac
import pytest
from obstore.store import MemoryStore

from almagest.catalogue import validation
from almagest.catalogue.exchange import writer
from almagest.catalogue.registering import files, keys
from almagest.catalogue.registering.local import Catalogue
from almagest.catalogue.registering.stored import Files
from almagest.core.errors import BadRequestError, ConflictError, NotFoundError
from almagest.core.hrefs import HrefRefusedError, s3_href
from almagest.core.settings import S3, Settings, Site, Store
from support import rasters

DAY = date(2024, 5, 1)


@pytest.mark.parametrize(
    ("name", "head", "kind"),
    [
        ("a.nc", b"CDF\x02", "application/x-netcdf"),
        ("a.nc", b"\x89HDF\r\n\x1a\n", "application/x-netcdf"),
        ("a.h5", b"\x89HDF\r\n\x1a\n", "application/x-hdf5"),
        ("a", b"\x89HDF\r\n\x1a\n", "application/x-hdf5"),
        ("a.NC", b"", "application/x-netcdf"),
        ("a.nc", b"\x89PNG\r\n\x1a\n", "image/png"),
        ("a.bin", b"II*\0", "image/tiff; application=geotiff"),
        ("a.gpkg", b"SQLite format 3\0", "application/geopackage+sqlite3"),
        ("a.geojson", b"{", "application/geo+json"),
        ("a.csv", b"a,b", "text/csv"),
        ("a.txt", b"", "text/plain"),
        ("a.unheardof", b"?", "application/octet-stream"),
        ("a", b"", "application/octet-stream"),
    ],
)
def test_the_media_type_is_told_by_content_and_name(name: str, head: bytes, kind: str) -> None:
    assert files.media_type(name, head) == kind


def test_a_file_is_read_once_whatever_its_size(tmp_path: Path) -> None:
    path = tmp_path / "large"
    data = os.urandom(9 << 20)
    path.write_bytes(data)
    os.utime(path, (1_700_000_000, 1_700_000_000))
    content = files.read_file(path)
    assert (content.size, content.checksum) == (len(data), "1220" + hashlib.sha256(data).hexdigest())
    assert content.head == data[: len(content.head)] != b""
    assert files.asset_of(content, "file:///s/large", software={"us": "1"}, lineage="Made.") == {
        "href": "file:///s/large",
        "type": "application/octet-stream",
        "title": "large",
        "roles": ["data"],
        "created": "2023-11-14T22:13:20Z",
        "file:checksum": content.checksum,
        "file:size": len(data),
        "processing:software": {"us": "1"},
        "processing:lineage": "Made.",
    }
    for wrong in (tmp_path, Path("/dev/null")):
        with pytest.raises((BadRequestError, IsADirectoryError)):
            files.read_file(wrong)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "disk").mkdir()
    (tmp_path / "store").symlink_to(tmp_path / "disk")
    store = Store(store=tmp_path / "store")
    return Settings(site=Site(home=tmp_path / "home"), store=store, s3=S3(bucket="b"))


def test_a_file_of_the_store_is_named_as_the_store_is(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "disk" / "a ü.nc").write_bytes(b"CDF")
    href = f"file://{tmp_path}/store/a%20%C3%BC.nc"
    opened = Files(settings)
    assert {opened.href(place) for place in ("a ü.nc", str(tmp_path / "store" / "a ü.nc"), href)} == {href}
    assert opened.href(str(tmp_path / "disk" / "a ü.nc")) == href.replace("/store/", "/disk/")
    assert opened.read(href).size == 3
    for place in ("b.nc", "../home", str(tmp_path), "s3://other/a", "s3://b/../a", "s3://b/"):
        with pytest.raises(HrefRefusedError):
            opened.href(place)
    with pytest.raises(HrefRefusedError):
        opened.read("file:///etc/passwd")


@pytest.mark.parametrize("name", ["a b+c.nc", "100%.nc", "a%20b.nc", "ü 日本.nc", "a?b#c.nc"])
def test_a_name_of_any_characters_is_an_href_and_leads_to_its_file(settings: Settings, name: str) -> None:
    bucket = MemoryStore()
    obstore.put(bucket, f"deep/{name}", b"CDF\x01")
    (settings.store_path / name).write_bytes(b"CDF\x01")
    opened = Files(settings, bucket)  # type: ignore[arg-type]
    for href in (opened.href(name), opened.href(s3_href("b", f"deep/{name}"))):
        made = files.asset_of(opened.read(href), href)
        assert (opened.href(href), made["title"], made["type"]) == (href, name, "application/x-netcdf")
        validation.check_asset(made)


def test_a_key_as_people_write_it_becomes_an_href(settings: Settings) -> None:
    opened = Files(settings)
    assert opened.href("s3://b/deep/a b%20.nc") == "s3://b/deep/a%20b%2520.nc"
    assert opened.href("s3://b/deep/a+ü.nc") == "s3://b/deep/a+ü.nc"


def test_an_object_of_the_bucket_is_read_through_it(settings: Settings) -> None:
    bucket = MemoryStore()
    data = os.urandom(20 << 20)
    obstore.put(bucket, "deep/a.nc", io.BytesIO(data))
    opened = Files(settings, bucket)  # type: ignore[arg-type]
    content = opened.read(opened.href("s3://b/deep/a.nc"))
    assert (content.size, content.checksum) == (len(data), "1220" + hashlib.sha256(data).hexdigest())
    assert content.head == data[: len(content.head)]
    with pytest.raises(HrefRefusedError):
        opened.read("s3://b/missing.nc")


@pytest.mark.parametrize(
    "text",
    [
        "2024-5",
        "20240501",
        "2024-02-30",
        "",
        "2024-W18-3",
        "1 May",
        "２０２４-05-01",
        "2024-5-1",
        "2024-05-01\n",
        "0000-01-01",
    ],
)
def test_a_day_is_written_in_one_way(text: str) -> None:
    assert keys.day_of("2024-05-01") == DAY
    with pytest.raises(BadRequestError, match="2024-05-01"):
        keys.day_of(text)


def asset(content: str) -> dict[str, Any]:
    read = files.read([content.encode()], datetime.now(UTC))
    return files.asset_of(read, f"/elsewhere/{content}.nc")


def test_a_key_that_was_chosen_elsewhere_is_taken() -> None:
    document = rasters.item("one", "pairs", (0, 0, 1, 1), {})
    for content in "ab":
        document, _ = keys.register(document, "p", asset(content), DAY)
    assert keys.names(document["assets"], "p", DAY) == {
        "p:2024-05-01": {"file:checksum": asset("a")["file:checksum"]},
        "p:2024-05-01.2": {"file:checksum": asset("b")["file:checksum"]},
    }
    document, done = keys.register(document, "p", asset("a"), DAY, "p:2024-05-01.5")
    assert (done.key, done.outcome, done.latest) == ("p:2024-05-01.5", "created", "p:2024-05-01.5")
    assert keys.register(document, "p", asset("a"), DAY, "p:2024-05-01.5")[1].outcome == "unchanged"
    with pytest.raises(ConflictError, match="other bytes"):
        keys.register(document, "p", asset("a"), DAY, "p:2024-05-01.2")


def test_removing_from_a_document() -> None:
    document = rasters.item("one", "pairs", (0, 0, 1, 1), {"note": {"href": "n"}})
    for content in "abc":
        document, done = keys.register(document, "p", asset(content), DAY)
    assert (done.key, done.latest, done.outcome) == ("p:2024-05-01.3", "p:2024-05-01.3", "created")
    with pytest.raises(BadRequestError):
        keys.remove(document, "p:latest")
    with pytest.raises(NotFoundError):
        keys.remove(document, "p:2024-05-02")
    document, latest = keys.remove(document, "p:2024-05-01.3")
    assert (latest, document["assets"]["p:latest"]["title"]) == ("p:2024-05-01.2", "b.nc")
    document, latest = keys.remove(document, "p:2024-05-01")
    assert latest == "p:2024-05-01.2"
    document, latest = keys.remove(document, "p:2024-05-01.2")
    assert (latest, set(document["assets"])) == (None, {"note"})
    assert keys.remove(document, "note")[0]["assets"] == {}


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31"])
def test_the_first_and_the_last_day_are_days(day: str) -> None:
    document, done = keys.register(rasters.item("one", "pairs", (0, 0, 1, 1), {}), "p", asset("a"), keys.day_of(day))
    assert (done.key, set(document["assets"])) == (f"p:{day}", {f"p:{day}", "p:latest"})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """In the layout of eomatch; one item is written as pystac writes it, the other in one line."""
    folder = tmp_path / "cat"
    with writer("stac", folder, identifier="cat") as out:
        out.write_collection(rasters.collection("pairs"))
        for name in ("one", "two/2"):
            out.write(rasters.item(name, "pairs", (0, 0, 1, 1), {}))
    found(folder, "one").save_object(include_self_link=False)
    return folder


def found(folder: Path, name: str) -> pystac.Item:
    items = pystac.Catalog.from_file(str(folder / "catalog.json")).get_items(recursive=True)
    return next(item for item in items if item.id == name)


@pytest.mark.parametrize("name", ["one", "two/2"])
def test_an_item_of_a_static_catalogue_is_changed_and_nothing_else(folder: Path, name: str) -> None:
    result = folder / "results" / "r.nc"
    result.parent.mkdir()
    result.write_bytes(b"CDF\x01")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    made = files.asset_of(files.read_file(result), str(result))
    done = Catalogue(folder).register("pairs", name, "comparison", made, DAY, result)
    assert (done.key, done.outcome) == ("comparison:2024-05-01", "created")
    after = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    changed = [path for path in after if before.get(path) != after[path]]
    assert len(changed) == 1
    item = found(folder, name)
    assert item.assets["comparison:latest"].href == "../../../../results/r.nc"
    assert item.assets["comparison:latest"].get_absolute_href() == str(result)
    assert item.stac_extensions == [keys.FILE]
    assert (b"\n" in after[changed[0]]) == (b"\n" in before[changed[0]]) == (name == "one")
    again = Catalogue(folder / "catalog.json").register("pairs", name, "comparison", made, DAY, result)
    assert again.outcome == "unchanged"
    assert changed[0].read_bytes() == after[changed[0]]
    assert Catalogue(folder).remove("pairs", name, "comparison:2024-05-01") is None
    assert not found(folder, name).assets


def test_a_file_that_lies_elsewhere_keeps_its_place(folder: Path, tmp_path: Path) -> None:
    made = Catalogue(folder).register("pairs", "one", "p", asset("a"), DAY, tmp_path / "a.nc").asset
    assert made["href"] == str(tmp_path / "a.nc")


def test_what_is_not_in_a_catalogue_is_named(folder: Path, tmp_path: Path) -> None:
    for collection, item, sentence in (("no", "one", "collection no"), ("pairs", "no", "item no")):
        with pytest.raises(NotFoundError, match=sentence):
            Catalogue(folder).register(collection, item, "p", asset("a"), DAY)
    with pytest.raises(BadRequestError, match="no static catalogue"):
        Catalogue(tmp_path)


def test_many_at_once_lose_nothing_in_a_static_catalogue(folder: Path) -> None:
    def work(number: int) -> str:
        return Catalogue(folder).register("pairs", "one", "p", asset(f"n{number}"), DAY).key

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        got = set(pool.map(work, range(32)))
    item = found(folder, "one")
    assert set(item.assets) == {*got, "p:latest"}
    assert len(got) == 32
    assert not list(folder.rglob(".*"))
