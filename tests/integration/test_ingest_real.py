"""The whole of the real data: eight folders from many producers, and an archive of static catalogues, in and out."""

from __future__ import annotations

import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from almagest.core.settings import Settings
from conftest import TEMPLATE
from support.cluster import Cluster
from support.ingests import Report, almagest, collections, put, stored
from support.serving import served

pytestmark = pytest.mark.xdist_group("everything")

#: How each folder is put in, one after the other, as somebody would who has them.
FOLDERS: dict[str, dict[str, Any]] = {
    "collections": {},
    "colorado": {"workers": 2},
    "misc": {"create_collections": True},
    "mlm": {},
    "odc-stac": {"collection": "mine", "create_collections": True},
    "pgstac": {"create_collections": True},
    "sfeos": {"create_collections": True},
    "spec-examples": {"collection": "examples", "create_collections": True},
}

#: Why documents stay out. Each is right: what is refused is not STAC, or has no place to go.
REASONS = {
    "extensions by name": '/stac_extensions/0: "eo"',
    "an href with spaces": 'is not a "iri-reference"',
    "a url without a colon": 'is not a "iri"',
    "no license": '"license" is a required property',
    "another collection of this id": "another document of this collection stands at",
    "another item of this id": "another item of this id stands at",
    "no collection named": "/collection: the item names none",
    "collection not there": "There is no collection",
    "a license that is an address": "/properties/license",
    "a time without a zone": 'does not match "(\\+00:00|Z)$"',
    "a slash in the id": "must not hold slashes",
    "an empty id": "is shorter than 1 character",
    "a ring that is not closed": "/geometry/coordinates/0",
    "ends before it starts": "is before start_datetime",
    "a time with a space": 'is not a "date-time"',
}


def refusals(report: Report) -> Counter[str]:
    """How many documents stayed out for each reason."""
    found: Counter[str] = Counter()
    for reason in report.reasons().values():
        found[next((name for name, sign in REASONS.items() if sign in reason), reason)] += 1
    return found


@dataclass
class Everything:
    """A catalogue of all the real data.

    Attributes:
        settings: of the catalogue.
        folders: where the data came from, by name.
        reports: what was said of each.
        beginning: how many collections there were after the first.
    """

    settings: Settings
    folders: dict[str, Path]
    reports: dict[str, Report]
    beginning: int = 0


@pytest.fixture(scope="module")
def everything(cluster: Cluster, shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Everything]:
    stac, unpacked = shared_data / "stac", tmp_path_factory.mktemp("archive")
    with tarfile.open(stac / "pystac-static-catalogs.tar.gz") as archive:
        archive.extractall(unpacked)
    folders = {name: stac / name for name in FOLDERS}
    folders |= {root.name: root for root in sorted((unpacked / "catalogs").iterdir())}
    with cluster.clone(TEMPLATE) as name:
        made = Everything(cluster.settings(name), folders, {})
        for folder, path in folders.items():
            options = FOLDERS.get(folder, {"create_collections": True})
            made.reports[folder] = put(made.settings, path, **options)
            made.beginning = made.beginning or len(collections(made.settings))
        yield made


def test_eight_folders_of_real_data_go_in(everything: Everything) -> None:
    reports = everything.reports
    report = reports["collections"]
    assert report.totals.collections_created == everything.beginning == 209
    assert refusals(report) == {"an href with spaces": 6, "no license": 2, "a url without a colon": 1}

    report = reports["colorado"]
    assert (report.totals.items, report.totals.created, report.totals.refused) == (11_180, 11_180, 0)

    report = reports["misc"]
    assert report.totals.items == 108
    assert refusals(report) == {
        "no collection named": 36,
        "extensions by name": 4,
        "a license that is an address": 2,
        "a time without a zone": 2,
        "a slash in the id": 2,
        "an empty id": 1,
        "a ring that is not closed": 1,
        "ends before it starts": 1,
    }
    assert report.totals.created + report.totals.updated + report.totals.repeated == 108 - 49

    report = reports["mlm"]
    assert refusals(report) == {"another item of this id": 4}
    assert (report.totals.items, report.totals.created) == (9, 5)

    report = reports["odc-stac"]
    assert (report.totals.items, report.totals.created, report.totals.refused) == (29, 29, 0)

    report = reports["pgstac"]
    assert refusals(report) == {"a time with a space": 1}
    assert (report.totals.items, report.totals.created + report.totals.updated) == (1107, 1106)

    report = reports["sfeos"]
    assert (report.totals.items, report.totals.created, report.totals.refused) == (100, 100, 0)

    report = reports["spec-examples"]
    assert refusals(report)["another collection of this id"] == 5
    assert set(refusals(report)) <= {"another collection of this id", "another item of this id"}


def test_the_archive_of_static_catalogues_goes_in(everything: Everything) -> None:
    counts = {}
    links = [link for document in stored(everything.settings).values() for link in document["links"]]
    for name, folder in everything.folders.items():
        if name not in FOLDERS:
            report = everything.reports[name]
            assert not report.totals.refused, report.entries
            counts[name] = report.totals.created + report.totals.updated
            within = {link["rel"] for link in links if str(folder) in link["href"]}
            assert within <= {"source"}, "items are found by address"
    assert counts == {
        "planet-example-v1.0.0-beta.2": 5,
        "test-case-1": 8,
        "test-case-2": 2,
        "test-case-4": 62,
        "test-case-5": 1,
    }


def test_what_is_in_stays_as_it_is(everything: Everything) -> None:
    before = stored(everything.settings)
    paths = [everything.folders[name] for name in ("pgstac", "sfeos")]
    again = put(everything.settings, *paths, create_collections=True)
    assert (again.totals.unchanged, again.totals.items, again.totals.refused) == (1206, 1207, 1)
    assert stored(everything.settings) == before


def anchored(documents: dict[tuple[str, str], Any]) -> dict[tuple[str, str], Any]:
    """Those whose hrefs say where they lead. What others are relative to, APIs and files decide for themselves."""

    def hrefs(document: dict[str, Any]) -> Iterator[str]:
        yield from (each["href"] for each in (*document["links"], *document["assets"].values()))

    return {
        name: document for name, document in documents.items() if all(urlsplit(href).scheme for href in hrefs(document))
    }


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("export", "all.ndjson.gz"),
        pytest.param("export", "all.parquet", marks=pytest.mark.soak),
        ("query", "all.ndjson"),
        pytest.param("query", "all.parquet", marks=pytest.mark.soak),
        pytest.param("query", "all", marks=pytest.mark.soak),
    ],
)
def test_all_of_it_comes_out_and_goes_into_an_empty_catalogue_and_is_equal(
    everything: Everything, cluster: Cluster, tmp_path: Path, command: str, name: str
) -> None:
    copy = tmp_path / name
    if command == "export":
        almagest(everything.settings, "export", "-o", str(copy))
    else:
        with served(everything.settings) as site:
            almagest(site, "query", "--api-url", f"{site.site.origin}/api", "--no-follow", "-o", str(copy))
    with cluster.clone(TEMPLATE) as empty:
        other = cluster.settings(empty)
        report = put(other, copy, workers=2)
        assert not report.totals.refused, report.entries
        found, wanted = stored(other), stored(everything.settings)
        assert found.keys() == wanted.keys()
        if command == "query":
            wanted = anchored(wanted)
            found = {item: found[item] for item in wanted}
            assert len(wanted) == 12_553
        assert found == wanted
        copied, whole = collections(other), collections(everything.settings)
        if command == "query":
            # Those that hold something; an API leaves out links to the queryables and tiles of other services.
            assert copied.keys() == {of for of, _ in found}
            copied, whole = ({of: {**each[of], "links": []} for of in copied} for each in (copied, whole))
        assert copied == whole
