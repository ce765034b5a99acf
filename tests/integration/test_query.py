"""`almagest query` and `almagest export` against a real API and database, and what comes of the files."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pystac
import pytest

from almagest.catalogue import database, exchange, exporting, loading
from almagest.core.errors import BadRequestError
from almagest.core.settings import Settings
from conftest import TEMPLATE, stac_client
from support import data, rasters
from support.cluster import Cluster
from support.eomatch import Eomatch
from support.ingests import almagest
from support.serving import served

Document = dict[str, Any]
COMBO = "S2-vs-L8"
REAL = ("landsat-c2-l2", "sentinel-2-l2a")


def stored(settings: Settings) -> list[Document]:
    """Every document as it is stored, in order."""
    with exporting.snapshot(settings) as snapshot:
        return [
            document
            for identifier in snapshot.ids()
            for document in (snapshot.collection(identifier), *snapshot.items(identifier, {}))
        ]


def documents(source: str | Path, kind: str = "items") -> list[Document]:
    opened = exchange.open_source(source)
    readings = opened.items() if kind == "items" else opened.collections()
    return [json.loads(reading.data) for reading in readings if isinstance(reading, exchange.Record)]


def matchups(origin: str) -> tuple[list[Document], list[Document]]:
    """An event, the matchup it is about, and the two scenes of that; and a scene that has nothing to do with it."""
    address = f"{origin}/api/collections/{{}}/items/{{}}"
    box = (9.0, 49.0, 10.0, 50.0)

    def link(rel: str, collection: str, item: str) -> Document:
        return {"rel": rel, "href": address.format(collection, item), "type": "application/geo+json"}

    pair = {"start_datetime": "2024-01-02T10:00:00Z", "end_datetime": "2024-01-02T10:10:00Z", "time_diff_s": 600.0}
    named = {"matchup:platforms": ["S2A", "Landsat-8"], "matchup:collections": ["S2", "L8"]}
    event = rasters.item("event 1", f"matchup-events-{COMBO}", box, {}, **{**pair, **named})
    matchup = rasters.item("matchup_1", COMBO, box, {}, **pair)
    scene = {"data": {"href": "https://data.test/scene.tif", "roles": ["data"]}}
    scenes = [
        rasters.item("S2_A", "S2", box, scene, "2024-01-02T10:00:00Z", **pair),
        rasters.item("L8_é", "L8", box, scene, "2024-01-02T10:10:00Z", note=None, **pair),
        rasters.item("alone", "L8", box, scene, "2023-01-02T10:10:00Z"),
    ]
    event["links"] = [{**link("related", COMBO, "matchup_1"), "matchup:role": "matchup"}]
    matchup["links"] = [link("derived_from", "S2", scenes[0]["id"]), link("derived_from", "L8", "L8_%C3%A9")]
    items = [event, matchup, *scenes]
    return [rasters.collection(name) for name in dict.fromkeys(item["collection"] for item in items)], items


@pytest.fixture
def site(settings: Settings) -> Iterator[Settings]:
    with served(settings) as found:
        loading.load_documents(found, *matchups(found.site.origin))
        yield found


def query(site: Settings, *arguments: str, code: int = 0) -> str:
    return almagest(site, "query", "--api-url", f"{site.site.origin}/api", *arguments, code=code)


def test_a_copy_is_a_catalogue_that_stands_on_its_own(site: Settings, tmp_path: Path) -> None:
    told = query(site, "--collections", f"matchup-events-{COMBO}", "--output", str(tmp_path / "copy"))
    assert told.startswith("1 item of 4 collections, 3 that they lead to: ")
    catalogue = pystac.Catalog.from_file(str(tmp_path / "copy" / "catalog.json"))
    items = {item.id: item for item in catalogue.get_items(recursive=True)}
    assert set(items) == {"event 1", "matchup_1", "S2_A", "L8_é"}
    for item in items.values():
        item.validate()
        assert item.get_collection() is not None
    # By its links, without a network.
    matchup = items["event 1"].get_single_link("related")
    assert matchup is not None
    found = matchup.resolve_stac_object().target
    assert isinstance(found, pystac.Item)
    assert {link.resolve_stac_object().target.id for link in found.get_links("derived_from")} == {"S2_A", "L8_é"}  # type: ignore[union-attr]
    hrefs = [link["href"] for item in documents_in(tmp_path / "copy") for link in item["links"]]
    assert not [href for href in hrefs if "://" in href]


def documents_in(folder: Path) -> list[Document]:
    return [
        json.loads(file.read_text())
        for file in folder.rglob("*.json")
        if file.name not in {"catalog.json", "collection.json"}
    ]


def test_a_copy_may_be_of_what_was_there_at_a_moment(site: Settings, tmp_path: Path) -> None:
    with database.connect(site, site.database.admin_user) as connection:
        (moment,) = connection.execute("SELECT almagest.print_moment(almagest.clock())").fetchone() or ("",)
        connection.execute("SELECT almagest.delete_collection('L8')")
    file = tmp_path / "then.ndjson"
    query(site, "--collections", "L8", "S2", "--as-of", moment, "--no-follow", "--output", str(file))
    assert {item["id"] for item in documents(file)} == {"L8_é", "alone", "S2_A"}
    assert {collection["id"] for collection in documents(file, "collections")} == {"L8", "S2"}
    assert "L8" in query(site, "--collections", "L8", "--output", str(file), code=1)
    said = query(site, "--as-of", "2999-01-01", "--output", str(tmp_path / "never.ndjson"), code=1)
    assert "may still change" in said


def test_a_copy_can_be_added_to(site: Settings, tmp_path: Path) -> None:
    target = tmp_path / "copy"
    query(site, "--collections", "L8", "--end-time", "2023-12-31", "--output", str(target))
    assert len(documents_in(target)) == 1
    query(site, "--ids", "event 1", "--output", str(target))
    assert len(documents_in(target)) == 5


def test_the_found_alone_are_copied_on_request(site: Settings, tmp_path: Path) -> None:
    file = tmp_path / "found.ndjson"
    assert (
        query(site, "--ids", "event 1", "alone", "--no-follow", "-o", str(file))
        == f"2 items of 2 collections: {file}\n"
    )
    assert {item["id"] for item in documents(file)} == {"event 1", "alone"}
    assert {collection["id"] for collection in documents(file, "collections")} == {"L8", f"matchup-events-{COMBO}"}


@pytest.mark.parametrize("name", ["copy", "copy.ndjson", "copy.ndjson.gz", "copy.parquet"])
def test_what_is_copied_goes_into_an_empty_catalogue_and_is_the_same(
    site: Settings, cluster: Cluster, tmp_path: Path, name: str
) -> None:
    query(site, "--output", str(tmp_path / name))
    with cluster.clone(TEMPLATE) as empty:
        other = cluster.settings(empty)
        # Links between items are those of one site, which has moved.
        other = type(other)(site=site.site, database=other.database, store=other.store, api=other.api)
        almagest(other, "ingest", str(tmp_path / name))
        assert stored(other) == stored(site)


@pytest.fixture(scope="module")
def ingested(real_settings: Settings, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A catalogue of real items that came in by `almagest ingest`, which drops what is made on the way out."""
    file = tmp_path_factory.mktemp("real") / "real.ndjson"
    almagest(real_settings, "export", *REAL, "-o", str(file))
    with cluster.clone(TEMPLATE) as name:
        settings = cluster.settings(name)
        almagest(settings, "ingest", str(file))
        yield settings


@pytest.mark.xdist_group("ingested")
@pytest.mark.parametrize("name", ["all.ndjson", pytest.param("all.ndjson.gz", marks=pytest.mark.soak), "all.parquet"])
def test_an_export_goes_into_an_empty_catalogue_and_is_the_same(
    ingested: Settings, cluster: Cluster, tmp_path: Path, name: str
) -> None:
    file = tmp_path / name
    told = almagest(ingested, "export", "-o", str(file))
    total = sum(len(data.items(f"colorado/{each}")) for each in REAL)
    assert told == f"{total:,} items of {len(REAL)} collections: {file}\n"
    with cluster.clone(TEMPLATE) as empty:
        other = cluster.settings(empty)
        almagest(other, "ingest", str(file))
        assert stored(other) == stored(ingested)
        if name == "all.ndjson":
            again = tmp_path / "again.ndjson"
            almagest(other, "export", "-o", str(again))
            assert again.read_bytes() == file.read_bytes()


def test_an_export_can_be_of_some(site: Settings, tmp_path: Path) -> None:
    file = tmp_path / "some.ndjson.gz"
    assert almagest(
        site, "export", "L8", "S2", "--filter", "datetime > TIMESTAMP('2024-01-01T00:00:00Z')", "-o", str(file)
    ).startswith("2 items of 2")
    lines = [json.loads(line) for line in gzip.decompress(file.read_bytes()).splitlines()]
    assert [line["id"] for line in lines] == ["L8", "L8_é", "S2", "S2_A"]
    # Collections without a hit are none of a search over everything.
    told = almagest(site, "export", "--start-time", "2023-01-01", "--end-time", "2023-12-31", "-o", str(file))
    assert told.startswith("1 item of 1 collection:")


def test_a_folder_gets_a_file_for_each_collection(site: Settings, tmp_path: Path) -> None:
    almagest(site, "export", "-o", f"{tmp_path}/out/")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "L8.parquet", f"{COMBO}.parquet", "S2.parquet", f"matchup-events-{COMBO}.parquet",
    ]  # fmt: skip
    assert {item["id"] for item in documents(tmp_path / "out" / "L8.parquet")} == {"L8_é", "alone"}


def test_files_of_a_folder_have_names_that_can_be_and_are_read_back(site: Settings, tmp_path: Path) -> None:
    names = [".hidden", "x" * 900, "a b", "con"]
    loading.load_documents(site, [rasters.collection(name) for name in names], [])
    almagest(site, "export", "-o", f"{tmp_path}/out/")
    assert {*names} < {collection["id"] for collection in documents(tmp_path / "out", "collections")}


def test_an_export_over_http_is_the_same(site: Settings, tmp_path: Path) -> None:
    near, far = tmp_path / "near.ndjson", tmp_path / "far.ndjson"
    almagest(site, "export", "-o", str(near))
    almagest(site, "export", "--api-url", f"{site.site.origin}/api", "-o", str(far))
    theirs, ours = ([json.loads(line) for line in file.read_bytes().splitlines()] for file in (far, near))
    assert theirs == ours
    assert almagest(site, "export", "none", "--api-url", f"{site.site.origin}/api", "-o", str(far), code=1).startswith(
        "Error: There is no collection 'none'"
    )


@pytest.mark.parametrize(
    "bbox",
    [("nan", "0", "1", "1"), ("-inf", "-90", "inf", "90"), ("-500", "0", "500", "1"), ("0", "2", "1", "1"),
     ("170", "0", "190", "1"), ("0", "-91", "1", "0")],
)  # fmt: skip
def test_a_box_is_judged_as_the_api_judges_it(site: Settings, tmp_path: Path, bbox: tuple[str, ...]) -> None:
    refused = httpx.get(f"{site.site.origin}/api/search", params={"bbox": ",".join(bbox)})
    assert refused.status_code == 400
    with pytest.raises(BadRequestError) as raised, exporting.snapshot(site) as snapshot:
        next(snapshot.items("L8", {"bbox": [*map(float, bbox)]}))
    assert str(raised.value).removeprefix("bbox: ") in refused.json()["detail"]


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (("export", "none", "-o", "x.ndjson"), 1, "none"),
        (("export", "-o", "x.csv"), 2, ".parquet"),
        (("export", "--bbox", "170", "0", "190", "1", "-o", "x.ndjson"), 1, "bbox: Bounding box must be within"),
        (("export", "--filter", "a b", "-o", "x.ndjson"), 1, "cql2-text"),
        (("query", "--filter", "a b", "-o", "x.ndjson"), 1, "cql2-text"),
        (("query", "--bbox", "1", "2", "3", "-o", "x.ndjson"), 2, "bbox"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence_and_leaves_nothing(
    site: Settings, tmp_path: Path, arguments: tuple[str, ...], code: int, word: str
) -> None:
    address = ("--api-url", f"{site.site.origin}/api") if arguments[0] == "query" else ()
    given = [str(tmp_path / each) if each.startswith("x.") else each for each in arguments]
    assert word in almagest(site, *given, *address, code=code)
    assert [*tmp_path.iterdir()] == []


def test_a_stock_api_is_copied_alike(real_settings: Settings, tmp_path: Path) -> None:
    """Of stac-fastapi as it comes, which knows neither our streams nor our links."""
    from almagest.client.api import StacApi
    from support.stock import stock_client

    chosen = {"collections": ["sentinel-2-l2a"], "bbox": [-105.5, 39.5, -105.0, 40.0]}

    def found(client: httpx.Client, path: str) -> list[Document]:
        def ask(method: str, url: str, *, params: Any = None, json: Any = None) -> Document:
            return client.request(method, url, params=params, json=json).raise_for_status().json()  # type: ignore[no-any-return]

        return [*StacApi.open(ask, f"{client.base_url}{path}").search(chosen, most=700)]

    with stock_client(real_settings, api_hydrate=True) as stock, stac_client(real_settings) as ours:
        theirs = found(stock, "")
        assert len(theirs) > 100
        assert theirs == found(ours, "/api")


@pytest.mark.soak
def test_eomatch_opens_a_copy(site: Settings, tmp_path: Path, peer: Eomatch) -> None:
    query(site, "--collections", f"matchup-events-{COMBO}", "--output", str(tmp_path / "copy"))
    script = (
        "import sys; from eomatch.mu_stac import MatchupCatalogue;"
        "events = MatchupCatalogue.open(sys.argv[1]).get_events();"
        "print([[e.platforms, [[p.collection for p in m.products] for m in e.matchup_set]] for e in events])"
    )
    found = peer.run("-c", script, str(tmp_path / "copy")).strip().splitlines()[-1]
    assert found == "[[['S2A', 'Landsat-8'], [['L8', 'S2']]]]"


def test_a_collection_that_is_not_there_is_refused_before_anything_is_written(site: Settings, tmp_path: Path) -> None:
    told = query(site, "--collections", "S2", "nope", "--output", str(tmp_path / "copy"), code=1)
    assert "There is no collection 'nope'." in told
    assert not (tmp_path / "copy").exists()


def test_the_outsiders_copy_of_a_catalogue_does_not_go_into_it(site: Settings, tmp_path: Path) -> None:
    before = stored(site)
    address = f"{site.site.origin}/external/collections/S2"
    document = {**rasters.collection("S2"), "title": "Less", "links": [{"rel": "via", "href": address}]}
    (tmp_path / "copy.ndjson").write_text(json.dumps(document))
    for target in ((), ("--api-url", f"{site.site.origin}/api")):
        almagest(site, "ingest", tmp_path / "copy.ndjson", *target, "--report", tmp_path / "report.ndjson", code=1)
        assert "is the copy that outsiders see: /links/0/href" in (tmp_path / "report.ndjson").read_text()
    assert stored(site) == before
