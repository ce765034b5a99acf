"""eomatch 0.2 beside us: it reads what outsiders see and what our commands wrote, and writes into our database."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from support import colorado, eomatch, guide, rasters
from support.eomatch import Eomatch
from support.stack import HOUSE, Stack

pytestmark = [pytest.mark.soak, pytest.mark.xdist_group("site")]

Document = dict[str, Any]
README, SECTION = HOUSE / "README.md", "## Beside eomatch"

PAIRS = "peer-l9-Landsat-9-vs-peer-s2-S2A"
#: Ids of an event's matchups, each as those of its scenes, for every event.
READ = (
    "import json, sys; from eomatch.mu_stac import MatchupCatalogue;"
    "found = MatchupCatalogue.open(sys.argv[1]).get_events();"
    "print(json.dumps([[[p.id for p in m.products] for m in event.matchup_set or ()] for event in found]))"
)


def scene(identifier: str, platform: str, minute: int, west: float = 10) -> Document:
    """Of the collection that its id begins with; it says when it ended, since eomatch reads no others."""
    start = datetime.fromisoformat("2024-05-01T10:00:00Z") + timedelta(minutes=minute)
    times = [moment.isoformat().replace("+00:00", "Z") for moment in (start, start + timedelta(seconds=24))]
    named = {"platform": platform, "start_datetime": times[0], "end_datetime": times[1]}
    of = identifier.rpartition("-")[0]
    return rasters.item(identifier, of, (west, 0, west + 2, 2), {}, times[0], **named)


SCENES = [
    scene("peer-s2-a", "S2A", 0),
    scene("peer-s2-b", "S2A", 1, 11),
    scene("peer-s2-c", "S2A", 40),
    scene("peer-l9-a", "Landsat-9", 3, 11),
    scene("peer-l9-c", "Landsat-9", 44),
]
EVENTS = [[["peer-l9-a", "peer-s2-a"], ["peer-l9-a", "peer-s2-b"]], [["peer-l9-c", "peer-s2-c"]]]


@pytest.fixture
def found(site: Stack, tmp_path: Path) -> Path:
    """What `almagest find` wrote of the scenes."""
    file = tmp_path / "scenes.ndjson"
    collections = [rasters.collection(name) for name in ("peer-s2", "peer-l9")]
    file.write_text("".join(f"{json.dumps(document)}\n" for document in (*collections, *SCENES)))
    site.run("find", "--items", str(file), "--max-time-difference", "600", "--output", str(tmp_path / "found"))
    return tmp_path / "found"


def read(peer: Eomatch, catalogue: Path) -> list[Any]:
    """The events in it, for eomatch, in an order of their own."""
    told = json.loads(peer.run("-c", READ, str(catalogue)).strip().splitlines()[-1])
    return sorted(sorted(event) for event in told)


def ingest(site: Stack, peer: Eomatch, catalogue: Path, role: str = "almagest_writer") -> str:
    place = ["--db-host", "127.0.0.1", "--db-port", str(site.database_port), "--db-name", "almagest"]
    password = (site.home / "secrets" / role).read_text().strip()
    options = ["--catalogue", str(catalogue), *place, "--db-user", role]
    return peer.run("-m", "eomatch.ingest", *options, PGPASSWORD=password)


def versions(site: Stack) -> dict[str, int]:
    """How many each event, matchup and scene has, for outsiders."""
    counted = {}
    with site.client() as client:
        for of in ("peer-s2", "peer-l9", PAIRS, f"matchup-events-{PAIRS}"):
            for item in client.get(f"/external/collections/{of}/items?limit=100").json()["features"]:
                address = f"/external/collections/{of}/items/{item['id']}/versions"
                counted[item["id"]] = len(client.get(address).json()["versions"])
    return counted


def test_it_writes_into_our_database_and_reads_it_again(site: Stack, peer: Eomatch, found: Path) -> None:
    assert read(peer, found) == EVENTS, "what `almagest find` wrote"
    ingest(site, peer, found)
    before = versions(site)
    assert len(before) == 5 + 3 + 2
    assert set(before.values()) == {1}
    with site.client() as client:
        matchup = client.get(f"/external/collections/{PAIRS}/items?limit=1").json()["features"][0]
        address = f"collections/{PAIRS}/items/{matchup['id']}"
        # It writes links from the root of the site on, for a proxy that turns them into those of outsiders.
        linked = [link["href"] for link in matchup["links"] if link["rel"] in {"derived_from", "related"}]
        assert len(linked) == 3
        for href in linked:
            assert client.get(href.removeprefix(site.origin)).status_code == 200
        lineage = client.get(f"/external/{address}/lineage?direction=up").json()["nodes"]
        assert {node["collection"] for node in lineage} == {PAIRS, "peer-s2", "peer-l9"}
        (version,) = client.get(f"/api/{address}/versions").json()["versions"]
        assert version["login"] == "almagest_writer"
        assert str(found) not in client.get(f"/external/{address}").text
    ingest(site, peer, found)
    assert versions(site) == before, "what is as it was makes none"
    (file,) = found.rglob(f"{matchup['id']}.json")
    document = json.loads(file.read_text())
    document["properties"]["land_fraction"] = 0.25
    file.write_text(json.dumps(document))
    ingest(site, peer, found)
    assert versions(site) == {**before, matchup["id"]: 2}

    events = f"matchup-events-{PAIRS}"
    seen, copied = found.with_name("seen"), found.with_name("copied")
    peer.run(
        "-m", "eomatch.query", "--api-url", f"{site.origin}/external", "--collections", events, "--output", str(seen)
    )
    assert read(peer, seen) == EVENTS
    outside = ("--api-url", f"{site.origin}/external", "--collections", events)
    site.run("query", *outside, "--output", str(copied))
    assert read(peer, copied) == EVENTS
    layout = [
        sorted(str(file.relative_to(folder)) for file in folder.rglob("*.json")) for folder in (seen, copied, found)
    ]
    assert layout[0] == layout[1] == layout[2], "files lie where eomatch puts them"


@pytest.mark.parametrize("role", ["almagest_reader", "almagest_external"])
def test_roles_that_read_do_not_write(site: Stack, peer: Eomatch, found: Path, role: str) -> None:
    with pytest.raises(AssertionError, match=r"permission denied|read-only"):
        ingest(site, peer, found, role)


def test_it_asks_with_its_own_options(site: Stack, peer: Eomatch, tmp_path: Path) -> None:
    scenes = 'collections=["sample-msi-l1c", "sample-oli-l1"]'
    site.run("jobs", "submit", "find-matchups", "--input", scenes, "--wait")
    pairs = "sample-msi-l1c-sample-msi-b-vs-sample-oli-l1-sample-oli-8"
    with site.client() as client:
        found = client.get(f"/external/collections/{pairs}/items?limit=1000").json()["features"]
    wanted = {item["id"]: item["properties"] for item in found if item["properties"]["collocation_area_km2"] > 400}
    assert 0 < len(wanted) < len(found)
    options = ["--collections", pairs, "--bbox", "-180", "-90", "180", "90", "--start-time", "2025-06-01"]
    options += ["--filter", "collocation_area_km2 > 400", "--output", str(tmp_path / "large")]
    peer.run("-m", "eomatch.query", "--api-url", f"{site.origin}/external", *options)
    # It follows links: from matchups to their events, and from these to all matchups of theirs.
    events = {properties["matchup:event_id"] for properties in wanted.values()}
    of_events = {item["id"] for item in found if item["properties"]["matchup:event_id"] in events}
    assert {file.stem for file in (tmp_path / "large" / pairs).glob("*/*/*/*.json")} == of_events
    assert sum(map(len, read(peer, tmp_path / "large"))) == len(of_events)


def test_what_the_readme_says_of_it(site: Stack, peer: Eomatch, tmp_path: Path) -> None:
    (_, install), (_, commands), (_, script) = guide.blocks(README, SECTION)
    assert all(f"'{wanted}'" in install for wanted in eomatch.WANTED)
    (tmp_path / ".almagest").symlink_to(site.home)
    (tmp_path / "peer").symlink_to(peer.python.parents[1])
    guide.run(site, tmp_path, "sh", commands)
    printed = peer.run("-c", script).splitlines()
    assert any("['sample-msi-b', 'sample-oli-8']" in line for line in printed)


def test_of_real_scenes_it_reads_matchups_where_these_say_when_they_ended(
    site: Stack, peer: Eomatch, tmp_path: Path
) -> None:
    """STAC asks for no end where there is a `datetime`; scrappi, by which eomatch reads scenes, cannot do without.

    It takes an end that is not there for an empty text, and looks at the last letter of it.
    """
    expected = colorado.pairs(900)
    site.run(
        "find", "--items", str(colorado.FOLDER), "--max-time-difference", "900", "--output", str(tmp_path / "real")
    )
    events = read(peer, tmp_path / "real")
    assert len(events) > 20
    assert not any(events)
    for file in (file for name in colorado.COLLECTIONS for file in (tmp_path / "real" / name).glob("*/*/*/*.json")):
        document = json.loads(file.read_text())
        document["properties"]["end_datetime"] = document["properties"]["datetime"]
        file.write_text(json.dumps(document))
    events = read(peer, tmp_path / "real")
    told = {frozenset(matchup) for event in events for matchup in event}
    assert told == {frozenset(identifier for _, identifier in pair) for pair in expected}
