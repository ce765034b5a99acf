"""Static catalogues: read by their links, and written in eomatch's layout."""

from __future__ import annotations

import functools
import http.server
import json
import os
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pystac
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as budget
from hypothesis import strategies as st

from almagest.catalogue.exchange import Reading, Record, Unreadable, open_source, reading, writer
from almagest.catalogue.extents import around, bare_collection
from almagest.catalogue.links import INFERRED_LINKS, rel
from almagest.core.errors import BadRequestError
from support import data

ORIGIN = "https://eo.example"


def parsed(readings: Any) -> list[Any]:
    return [json.loads(reading.data) for reading in readings if isinstance(reading, Record)]


def unreadable(readings: Any) -> list[Reading]:
    return [reading for reading in readings if isinstance(reading, Unreadable)]


def save(path: Path, document: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))


def link(rel: str, href: str) -> dict[str, str]:
    return {"rel": rel, "href": href}


def catalog(*links: dict[str, str], **members: Any) -> dict[str, Any]:
    return {"type": "Catalog", "id": "k", "stac_version": "1.1.0", "description": "d", "links": list(links), **members}


def item(identifier: str, collection: str | None = "c", *links: dict[str, str], **members: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": identifier,
        "geometry": {"type": "Point", "coordinates": [1.0, 2.0]},
        "bbox": [1.0, 2.0, 1.0, 2.0],
        "properties": {"datetime": "2024-03-09T00:00:00Z"},
        "links": list(links),
        "assets": {},
    }
    return {**made, **({"collection": collection} if collection else {}), **members}


def content(document: dict[str, Any]) -> dict[str, Any]:
    """Without the links that follow from where a document lies."""
    return {**document, "links": [link for link in document["links"] if rel(link) not in INFERRED_LINKS]}


def write(target: Path, *items: dict[str, Any], origin: str = ORIGIN) -> Path:
    with writer("stac", target, origin=origin) as out:
        for one in items:
            out.write(one)
    return target


@pytest.fixture(scope="session")
def catalogues(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("catalogues")
    with tarfile.open(shared_data / "stac" / "pystac-static-catalogs.tar.gz") as archive:
        archive.extractall(folder)
    return folder


@pytest.mark.filterwarnings("ignore")
def test_real_catalogues_hold_what_pystac_finds_in_them(catalogues: Path, shared_data: Path) -> None:
    roots = [*catalogues.rglob("catalog.json"), *(shared_data / "stac" / "spec-examples").rglob("catalog.json")]
    assert len(roots) > 10
    for root in roots:
        theirs = pystac.Catalog.from_file(str(root))
        source = open_source(root)
        readings = list(source.items())
        assert not unreadable(readings)
        assert sorted(one["id"] for one in parsed(readings)) == sorted(
            one.id for one in theirs.get_items(recursive=True)
        )
        assert source.fraction() == pytest.approx(1)
        assert {one["id"] for one in parsed(source.collections())} == {
            one.id for one, _, _ in theirs.walk() if isinstance(one, pystac.Collection)
        }


def test_circles_and_broken_links_stop_nothing(tmp_path: Path) -> None:
    save(
        tmp_path / "catalog.json",
        catalog(link("child", "a/catalog.json"), link("child", "./gone.json"), link("item", "i.json")),
    )
    save(
        tmp_path / "a/catalog.json",
        catalog(link("child", "../catalog.json"), link("child", "catalog.json"), link("item", "bad.json")),
    )
    (tmp_path / "a/bad.json").write_text("{")
    save(tmp_path / "i.json", item("i", None))
    found = list(open_source(tmp_path).items())
    assert [one["id"] for one in parsed(found)] == ["i"]
    assert sorted(reading.where for reading in unreadable(found)) == ["a/bad.json", "gone.json"]


def test_an_item_belongs_to_the_collection_above_unless_it_says_otherwise(tmp_path: Path) -> None:
    below = [link("item", "i.json"), link("item", "j.json"), link("child", "sub/catalog.json")]
    save(tmp_path / "collection.json", catalog(*below, type="Collection", id="above"))
    save(tmp_path / "i.json", item("i", None))
    save(tmp_path / "j.json", item("j", "own"))
    save(tmp_path / "sub/catalog.json", catalog(link("item", "k.json")))
    save(tmp_path / "sub/k.json", item("k", None))
    found = {one["id"]: one["collection"] for one in parsed(open_source(tmp_path).items())}
    assert found == {"i": "above", "j": "own", "k": "above"}
    [collection] = parsed(open_source(tmp_path).collections())
    assert collection["links"] == [], "a million links to items are no part of a collection"


def test_a_folder_with_a_collection_that_leads_nowhere_is_a_folder(tmp_path: Path) -> None:
    save(tmp_path / "collection.json", catalog(type="Collection", id="c"))
    save(tmp_path / "i.json", item("i"))
    assert [one["id"] for one in parsed(open_source(tmp_path).items())] == ["i"]


@pytest.mark.parametrize("base", [None, "http://files.example/catalogue/"])
def test_assets_keep_their_meaning(base: str | None, tmp_path: Path) -> None:
    root = tmp_path / "cat"
    hrefs = [
        "./a b.tif",
        "../../up.tif",
        "https://x.example/a.tif",
        "s3://b/a.tif",
        f"{root.as_uri()}/d/e.tif",
        "/data/x.tif",
    ]
    assets = {str(n): {"href": href} for n, href in enumerate(hrefs)}
    save(root / "catalog.json", catalog(link("item", "d/i.json")))
    save(root / "d/i.json", item("i", assets=assets))
    [found] = parsed(open_source(root, assets_base_url=base).items())
    here = "http://files.example/catalogue" if base else root.as_uri()
    assert [asset["href"] for asset in found["assets"].values()] == [
        f"{here}/d/a%20b.tif",
        f"{tmp_path.as_uri()}/up.tif",
        *hrefs[2:4],
        f"{here}/d/e.tif",
        hrefs[5],
    ]


def test_links_between_items_lead_to_where_the_service_has_them(tmp_path: Path) -> None:
    first = [
        link("derived_from", "b.json"),
        link("related", "https://x.example/y"),
        link("license", "LICENSE"),
        link("via", "gone.json"),
    ]
    save(tmp_path / "catalog.json", catalog(link("item", "a.json"), link("item", "b.json")))
    save(tmp_path / "a.json", item("a", "c", *first))
    save(tmp_path / "b.json", item("b ü", "c/d"))
    found = parsed(open_source(tmp_path, origin=ORIGIN).items())[0]
    assert [one["href"] for one in found["links"]] == [
        f"{ORIGIN}/api/collections/c%2Fd/items/b%20%C3%BC",
        "https://x.example/y",
        f"{tmp_path.as_uri()}/LICENSE",
        f"{tmp_path.as_uri()}/gone.json",
    ]


def test_documents_of_an_old_stac_come_as_they_are(tmp_path: Path) -> None:
    # Whoever takes them migrates them, and says so. Until 1.0 only items said what they are.
    old = {"stac_version": "0.9.0"}
    above = catalog(link("child", "c/collection.json"), **old)
    collection = catalog(link("item", "i.json"), id="c", license="MIT", extent={}, **old)
    bands = {"eo:bands": [{"name": "B1"}], "datetime": "2020-01-01T00:00:00Z"}
    one = item("i", "c", stac_extensions=["eo"], properties=bands, **old)
    del above["type"], collection["type"]
    save(tmp_path / "catalog.json", above)
    save(tmp_path / "c/collection.json", collection)
    save(tmp_path / "c/i.json", one)
    source = open_source(tmp_path)
    assert parsed(source.items()) == [one]
    assert parsed(source.collections()) == [{**collection, "links": []}]


@pytest.mark.parametrize("is_on_the_web", [False, True])
def test_what_leads_to_others_may_be_longer_than_a_document(
    is_on_the_web: bool, web: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MAX_DOCUMENT_BYTES", 2**20)
    save(tmp_path / "collection.json", catalog(link("item", "a.json"), link("item", "b.json"), type="Collection"))
    for name in ("a", "b"):
        save(tmp_path / f"{name}.json", item(name))
    for name in ("collection", "b"):
        with (tmp_path / f"{name}.json").open("ab") as file:
            file.write(b" " * 2**20)
    found = list(open_source(f"{web}/collection.json" if is_on_the_web else tmp_path).items())
    assert [one["id"] for one in parsed(found)] == ["a"]
    assert unreadable(found) == [Unreadable("b.json", "is larger than 1 MiB")]


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_catalogue_on_the_web_is_read_by_its_links(web: str, tmp_path: Path) -> None:
    save(tmp_path / "cat/catalog.json", catalog(link("item", "./d/i.json"), link("item", f"{web}/cat/gone.json")))
    save(tmp_path / "cat/d/i.json", item("i", assets={"data": {"href": "./a.tif"}}))
    source = open_source(f"{web}/cat/catalog.json")
    found = list(source.items())
    assert source.name == f"{web}/cat/catalog.json"
    assert parsed(found)[0]["assets"]["data"]["href"] == f"{web}/cat/d/a.tif"
    assert [reading.where for reading in unreadable(found)] == ["gone.json"]


def test_a_catalogue_on_the_web_cannot_have_files_of_this_machine_read(web: str, tmp_path: Path) -> None:
    save(tmp_path / "mine/secret.json", item("secret", assets={"data": {"href": "x"}}))
    href = (tmp_path / "mine/secret.json").as_uri()
    theirs = catalog(*(link("item", odd) for odd in (href, href.upper(), f" {href}", f"x.y:{href}")))
    save(tmp_path / "web/catalog.json", theirs)
    # Nor can it where a catalogue of this machine leads there.
    save(tmp_path / "mine/catalog.json", catalog(link("child", f"{web}/web/catalog.json")))
    for location in (f"{web}/web/catalog.json", tmp_path / "mine"):
        found = list(open_source(location).items())
        assert [getattr(reading, "reason", None) for reading in found] == ["is no address that can be read"] * 4
    save(tmp_path / "mine/catalog.json", catalog(link("item", href)))
    assert [one["id"] for one in parsed(open_source(tmp_path / "mine").items())] == ["secret"]


def test_the_layout_is_that_of_eomatch_and_links_within_are_relative(tmp_path: Path) -> None:
    there = f"{ORIGIN}/api/collections/products/items"
    links = [
        link("derived_from", f"{there}/p%201"),
        link("derived_from", f"{there}/p2"),
        link("related", f"{there}/gone"),
    ]
    other = link("related", "https://elsewhere.example/api/collections/products/items/p2")
    # The first refers to what comes after it.
    target = write(
        tmp_path / "out", item("mu", "a-vs-b", *links, other), item("p 1", "products"), item("p2", "products")
    )
    assert (target / "products/2024/3/9/p2.json").is_file()
    written = json.loads((target / "a-vs-b/2024/3/9/mu.json").read_bytes())
    within = [one["href"] for one in written["links"] if one["rel"] == "derived_from"]
    assert [(target / "a-vs-b/2024/3/9" / href).resolve().is_file() for href in within] == [True, True]
    assert [one for one in written["links"] if one["rel"] == "related"] == [links[2], other]
    back = parsed(open_source(target, origin=ORIGIN).items())
    assert content(back[0])["links"] == [*links, other]


def test_pystac_reads_and_validates_what_was_written(tmp_path: Path) -> None:
    target = write(tmp_path / "out", item("a"), item("b c"), item("alone", None))
    root = pystac.Catalog.from_file(str(target / "catalog.json"))
    assert sorted(one.id for one in root.get_items(recursive=True)) == ["a", "alone", "b c"]
    assert [child.id for child in root.get_children()] == ["c"]
    assert next(iter(root.get_children())).extent.spatial.bboxes == [[1.0, 2.0, 1.0, 2.0]]  # type: ignore[attr-defined]
    assert root.validate_all() == 3, "the items"


def names() -> list[str]:
    folder = data.DATA / "stac"
    found = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.ndjson.gz"))
    return [name for name in found if "collections" not in name] or [""]


@pytest.mark.parametrize("name", names())
def test_all_real_items_come_back_as_they_were(name: str, shared_data: Path, tmp_path: Path) -> None:
    items = {(one.get("collection"), one["id"]): one for one in data.items(name.removesuffix(".ndjson.gz"))[:300]}
    # A relative href means another file from another place.
    items = {
        key: one
        for key, one in items.items()
        if all("://" in part["href"] for part in (*one["assets"].values(), *one["links"]))
    }
    found = parsed(open_source(write(tmp_path / "out", *items.values())).items())
    assert {(one.get("collection"), one["id"]): content(one) for one in found} == {
        key: content(one) for key, one in items.items()
    }


@given(
    st.lists(
        st.tuples(st.sampled_from(["c", "C", "catalog.json", "ü", "a/b", ".."]), st.text(min_size=1, max_size=6)),
        unique=True,
        max_size=8,
    )
)
@budget(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_ids_may_be_anything(tmp_path_factory: pytest.TempPathFactory, ids: list[tuple[str, str]]) -> None:
    odd = [
        ("c", "A"),
        ("c", "a"),
        ("c", "x" * 400),
        ("c", "CON"),
        ("c", ".."),
        ("c", "%41"),
        ("c", "a:b?#"),
        ("c", "\ud800"),
    ]
    items = {(collection, identifier): item(identifier, collection) for collection, identifier in [*odd, *ids]}
    target = write(tmp_path_factory.mktemp("odd") / "out", *items.values())
    found = parsed(open_source(target).items())
    assert {(one["collection"], one["id"]): content(one) for one in found} == items
    files = [str(path.relative_to(target)) for path in target.rglob("*.json")]
    assert (
        len({name.casefold() for name in files})
        == len(files)
        == len(items) + len(set(next(zip(*items, strict=True)))) + 1
    )
    assert all(len(part.encode()) < 200 and part.isascii() for name in files for part in name.split("/"))


def test_a_collection_that_nobody_described_is_what_ingest_makes_of_its_items(tmp_path: Path) -> None:
    # So that ingest knows it again, and goes on to widen it.
    times = ["2024-03-09T00:00:00Z", "2024-03-09T00:00:00.5Z", "2024-03-09T00:00:00.25Z"]
    items = [item(str(n), properties={"datetime": time}) for n, time in enumerate(times)]
    # The geometry may be null in STAC, and then there is no bbox; and nobody has checked what is written here.
    odd = [item("o", properties={"datetime": "yesterday"}), item("p", bbox=None), item("q", bbox=[1])]
    target = write(tmp_path / "out", *odd, *items, item("n", "nowhere", bbox=None))
    found = {one["id"]: one for one in parsed(open_source(target).collections())}
    assert found["c"] == bare_collection("c", around(items))
    assert found["c"]["extent"]["temporal"]["interval"] == [[times[0], times[1]]]
    assert found["nowhere"]["extent"]["temporal"]["interval"] == [[None, None]]
    assert pystac.Catalog.from_file(str(target / "catalog.json")).get_child("nowhere") is not None
    later = item("l", properties={"datetime": "2025-01-01T00:00:00Z"})
    assert parsed(open_source(write(target, later)).collections())[0] == bare_collection("c", around([*items, later]))


def test_a_catalogue_that_is_there_is_added_to(tmp_path: Path) -> None:
    target = write(tmp_path / "out", item("a"), item("b"), item("alone", None))
    (target / "c/2024/3/9/a-thumbnail.png").write_bytes(b"png")
    described = {"type": "Collection", "id": "c", "stac_version": "1.1.0", "description": "described", "links": []}
    with writer("stac", target) as out:
        out.write_collection(described)
        out.write(item("b", properties={"datetime": "2024-03-09T00:00:00Z", "new": True}))
        out.write(item("n", "other"))
    found = {one["id"]: one for one in parsed(open_source(target).items())}
    assert set(found) == {"a", "b", "alone", "n"}
    assert found["b"]["properties"]["new"]
    assert (target / "c/2024/3/9/a-thumbnail.png").is_file()
    assert json.loads((target / "c/collection.json").read_bytes())["description"] == "described"
    assert not list(tmp_path.rglob(".*"))


def test_files_are_as_public_as_the_user_wants_and_the_umask_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It belongs to the process: another thread would write its own files by whatever it is set to meanwhile.
    with monkeypatch.context() as patched:
        before = os.umask(0o027)
        patched.setattr(os, "umask", None)
        try:
            write(tmp_path / "out", item("a"))
            with writer("ndjson", tmp_path / "out.ndjson") as lines:
                lines.write(item("a"))
        finally:
            patched.undo()
            os.umask(before)
    modes = (
        {path.stat().st_mode & 0o777 for path in tmp_path.rglob("*") if path.is_dir()},
        {path.stat().st_mode & 0o777 for path in tmp_path.rglob("*") if path.is_file()},
    )
    assert modes == ({0o750}, {0o640})


def test_nothing_else_is_overwritten_and_nothing_is_left_of_a_failure(tmp_path: Path) -> None:
    save(tmp_path / "mine/notes.json", {})
    with pytest.raises(BadRequestError):
        writer("stac", tmp_path / "mine")
    with pytest.raises(KeyError):
        write(tmp_path / "out", item("a"), {"collection": "c"})
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize(
    ("broken", "text"),
    [
        ("catalog.json", "nope"),
        ("catalog.json", "[1]"),
        ("catalog.json", '{"id": "k", "links": 5}'),
        ("c/collection.json", None),
        ("c/collection.json", "{}"),
        ("c/2024/3/9/a.json", "[" * 100_000),
        ("c/2024/3/9/a.json", '{"id": ["a"]}'),
    ],
)
def test_a_broken_catalogue_is_not_added_to(broken: str, text: str | None, tmp_path: Path) -> None:
    target = write(tmp_path / "out", item("a"))
    (target / broken).unlink()
    if text is not None:
        (target / broken).write_text(text)
    with pytest.raises(BadRequestError, match="out"):
        writer("stac", target)
    assert [path.name for path in tmp_path.rglob("*partial*")] == []


def test_addresses_that_are_none_and_names_that_are_no_text_stop_nothing(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"\xff")
    os.mkfifo(tmp_path / "pipe")  # nobody writes to it
    links = [link("item", href) for href in ("i.json", "\ud800.json", "http://[x", "http://x/\ud800", "../pipe")]
    save(folder / "catalog.json", catalog(*links))
    save(folder / "i.json", item("i", None, assets={"data": {"href": "a.tif"}}))
    source = open_source(folder)
    found = list(source.items())
    assert parsed(found)[0]["assets"]["data"]["href"] == f"{tmp_path.as_uri()}/%FF/a.tif"
    assert len(unreadable(found)) == 4
    assert all(text.encode() for text in (source.name, *(reading.where for reading in found)))
