"""The whole of the real data goes in: eight folders from many producers, and an archive of static catalogues."""

from __future__ import annotations

import tarfile
from collections import Counter
from pathlib import Path

import pytest

from almagest.core.settings import Settings
from support.ingests import Report, collections, put, stored

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


@pytest.fixture
def stac(shared_data: Path) -> Path:
    return shared_data / "stac"


def test_eight_folders_of_real_data_go_in(settings: Settings, stac: Path) -> None:
    """One after the other, as somebody would who has them: first without, then with collections of their own."""
    report = put(settings, stac / "collections")
    assert report.totals.collections_created == len(collections(settings)) == 209
    assert refusals(report) == {"an href with spaces": 6, "no license": 2, "a url without a colon": 1}

    report = put(settings, stac / "colorado", workers=2)
    assert (report.totals.items, report.totals.created, report.totals.refused) == (11_180, 11_180, 0)

    report = put(settings, stac / "misc", create_collections=True)
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

    report = put(settings, stac / "mlm")
    assert refusals(report) == {"another item of this id": 4}
    assert (report.totals.items, report.totals.created) == (9, 5)

    report = put(settings, stac / "odc-stac", collection="mine", create_collections=True)
    assert (report.totals.items, report.totals.created, report.totals.refused) == (29, 29, 0)

    report = put(settings, stac / "pgstac", create_collections=True)
    assert refusals(report) == {"a time with a space": 1}
    assert (report.totals.items, report.totals.created + report.totals.updated) == (1107, 1106)

    report = put(settings, stac / "sfeos", create_collections=True)
    assert (report.totals.items, report.totals.created, report.totals.refused) == (100, 100, 0)

    report = put(settings, stac / "spec-examples", collection="examples", create_collections=True)
    assert refusals(report)["another collection of this id"] == 5
    assert set(refusals(report)) <= {"another collection of this id", "another item of this id"}

    inside = stored(settings)
    again = put(settings, stac / "pgstac", stac / "sfeos", create_collections=True)
    assert (again.totals.unchanged, again.totals.items, again.totals.refused) == (1206, 1207, 1)
    assert stored(settings) == inside


def test_the_archive_of_static_catalogues_goes_in(settings: Settings, stac: Path, tmp_path: Path) -> None:
    with tarfile.open(stac / "pystac-static-catalogs.tar.gz") as archive:
        archive.extractall(tmp_path)
    counts = {}
    for root in sorted((tmp_path / "catalogs").iterdir()):
        report = put(settings, root, create_collections=True)
        assert not report.totals.refused, report.entries
        counts[root.name] = report.totals.created + report.totals.updated
    assert counts == {
        "planet-example-v1.0.0-beta.2": 5,
        "test-case-1": 8,
        "test-case-2": 2,
        "test-case-4": 62,
        "test-case-5": 1,
    }
    links = [link for document in stored(settings).values() for link in document["links"]]
    assert {link["rel"] for link in links if str(tmp_path) in link["href"]} <= {"source"}, "items are found by address"
