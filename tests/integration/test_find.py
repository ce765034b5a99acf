"""`almagest find` among files and over an API, and what comes of what it wrote."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from almagest.catalogue import exchange, loading
from almagest.core.settings import Settings
from conftest import stac_client
from support import colorado, rasters
from support.eomatch import Eomatch
from support.ingests import almagest
from support.serving import served

Document = dict[str, Any]

COMBINATION = "l9-landsat-9-vs-s2-S2A"


def scene(identifier: str, collection: str, platform: str, west: float, minute: int) -> Document:
    box = (west, 0.0, west + 2, 2.0)
    when = f"2024-05-01T10:{minute:02}:00Z"
    # eomatch reads no scene that does not say when it ended.
    times = {"start_datetime": when, "end_datetime": when}
    return rasters.item(identifier, collection, box, {}, when, platform=platform, cloud=minute, **times)


#: Two of the first event, one of a later one; of the others one is too far away, one too late, one of no platform.
SCENES = [
    scene("s2-a", "s2", "S2A", 10, 0),
    scene("s2-b", "s2", "S2A", 11, 1),
    scene("s2-c", "s2", "S2A", 10, 40),
    scene("s2-far", "s2", "S2A", 100, 0),
    scene("l9-a", "l9", "landsat-9", 11, 3),
    scene("l9-late", "l9", "landsat-9", 10, 30),
    rasters.item("dem", "dem", (10, 0, 12, 2), {}),
]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    file = tmp_path / "scenes.ndjson"
    collections = [rasters.collection(name) for name in ("s2", "l9", "dem")]
    file.write_text("".join(f"{json.dumps(document)}\n" for document in (*collections, *SCENES)))
    return file


@pytest.fixture
def api(settings: Settings) -> Iterator[Settings]:
    loading.load_documents(settings, [rasters.collection(name) for name in ("s2", "l9", "dem")], SCENES)
    with served(settings) as found:
        yield found


def documents(source: Path) -> dict[tuple[str, str], Document]:
    readings = exchange.open_source(source, origin="https://here.test").items()
    found = [json.loads(reading.data) for reading in readings if isinstance(reading, exchange.Record)]
    return {(document["collection"], document["id"]): document for document in found}


def test_among_files_it_finds_every_pair_and_writes_what_it_is_made_of(
    settings: Settings, files: Path, tmp_path: Path
) -> None:
    told = json.loads(
        almagest(
            settings, "find", "--items", files, "--max-time-difference", "600", "--json", "--output", tmp_path / "o"
        )
    )
    assert (told["events"], told["matchups"]) == (2, 3)
    assert told["combinations"] == {COMBINATION: {"events": 2, "matchups": 3}}
    assert told["skipped"] == {"names no platform": 1}
    found = documents(tmp_path / "o")
    events = [document for (of, _), document in found.items() if of == f"matchup-events-{COMBINATION}"]
    assert [event["properties"]["matchup:n_matchups"] for event in events] == [2, 1]
    assert {name for of, name in found if of in {"s2", "l9"}} == {"s2-a", "s2-b", "s2-c", "l9-a", "l9-late"}
    for (of, _), document in found.items():
        if of != COMBINATION:
            continue
        sources = [urlsplit(link["href"]).path for link in document["links"] if link["rel"] == "derived_from"]
        assert [path.split("/")[3] for path in sources] == ["l9", "s2"]
        assert all((path.split("/")[3], path.split("/")[5]) in found for path in sources)
    collections = exchange.open_source(tmp_path / "o").collections()
    named = {json.loads(reading.data)["id"] for reading in collections if isinstance(reading, exchange.Record)}
    assert named == {"s2", "l9", COMBINATION, f"matchup-events-{COMBINATION}"}


def test_the_same_is_found_over_an_api(settings: Settings, api: Settings, files: Path, tmp_path: Path) -> None:
    options = ("--max-time-difference", "600", "--filter", "cloud < 35", "--json")
    url = f"{api.site.origin}/api"
    over_api = json.loads(almagest(settings, "find", "--api-url", url, *options, "--output", tmp_path / "api.ndjson"))
    of_files = json.loads(almagest(settings, "find", "--items", files, *options, "--output", tmp_path / "files.ndjson"))
    assert (of_files["events"], of_files["matchups"]) == (1, 2)
    assert over_api["combinations"] == of_files["combinations"]
    assert sorted(documents(tmp_path / "api.ndjson")) == sorted(documents(tmp_path / "files.ndjson"))


def test_what_was_written_goes_in_and_leads_to_its_scenes(settings: Settings, files: Path, tmp_path: Path) -> None:
    almagest(settings, "find", "--items", files, "--max-time-difference", "600", "--output", tmp_path / "o")
    almagest(settings, "ingest", tmp_path / "o")
    with stac_client(settings) as client:
        found = client.get(f"/api/collections/{COMBINATION}/items").json()["features"]
        assert len(found) == 3
        sources = set()
        for matchup in found:
            address = f"/api/collections/{COMBINATION}/items/{matchup['id']}/lineage"
            told = client.get(address, params={"direction": "up"}).json()
            sources |= {(node["collection"], node["id"]) for node in told["nodes"]}
        assert sources >= {("s2", "s2-a"), ("s2", "s2-b"), ("s2", "s2-c"), ("l9", "l9-a"), ("l9", "l9-late")}
        # By its time all of a matchup is found, of which the end lies later than the start.
        at_its_end = client.get("/api/search", params={"collections": COMBINATION, "datetime": "2024-05-01T10:03:00Z"})
        assert len(at_its_end.json()["features"]) == 2
    again = almagest(settings, "ingest", tmp_path / "o")
    assert "unchanged" in again


@pytest.mark.soak
def test_eomatch_opens_what_was_written(settings: Settings, files: Path, tmp_path: Path, peer: Eomatch) -> None:
    almagest(settings, "find", "--items", files, "--max-time-difference", "600", "--output", tmp_path / "o")
    script = (
        "import sys; from eomatch.mu_stac import MatchupCatalogue;"
        "found = MatchupCatalogue.open(sys.argv[1]).get_events(properties={'time_diff_s': {'lt': 0}});"
        "print([[e.platforms, sorted([p.id for p in m.products] for m in e.matchup_set)] for e in found])"
    )
    found = peer.run("-c", script, str(tmp_path / "o")).strip().splitlines()[-1]
    assert found == "[[['landsat-9', 'S2A'], [['l9-a', 's2-a'], ['l9-a', 's2-b']]]]"


def test_a_configuration_of_eomatch_says_the_same(settings: Settings, files: Path, tmp_path: Path) -> None:
    """A bound of 0 is one: eomatch takes it for none."""
    config = tmp_path / "config.yaml"
    config.write_text(
        "platforms: S2A, landsat-9\ncollections: s2, l9\ntime_diff_threshold: 600\nmin_lat: 0\nmax_lat: 2\n"
        "min_lon:\nmax_lon: 0\nstart_time: '2024-05-01 10:00:00'\nend_time: '2024-05-01 10:30:00'\n"
    )
    told = json.loads(almagest(settings, "find", "--items", files, "--config", config, "--json"))
    assert told["matchups"] == 0, "all lie east of the meridian of Greenwich"
    config.write_text(config.read_text().replace("max_lon: 0", "max_lon:"))
    told = json.loads(almagest(settings, "find", "--items", files, "--config", config, "--json"))
    assert (told["events"], told["matchups"]) == (1, 2)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--items", "nowhere"), "There is no file or folder nowhere."),
        (("--items", "x", "--api-url", "https://a.test"), "in files, or in an API"),
        (("--items", "{files}", "--filter", "cloud <"), "filter: this is not cql2-text"),
        (("--items", "{files}", "--max-time-difference", "-1"), "--max-time-difference"),
        (("--items", "{files}", "--start-time", "soon"), "is no time like"),
    ],
)
def test_what_cannot_be_looked_for_is_refused(
    settings: Settings, files: Path, options: tuple[str, ...], sentence: str
) -> None:
    named = [option.format(files=files) for option in options]
    code = 1 if "nowhere" in options or "cloud <" in options else 2
    assert sentence in " ".join(almagest(settings, "find", *named, code=code).replace("│", "").split())


@pytest.mark.parametrize("seconds", colorado.SECONDS)
def test_over_colorado_it_finds_what_brute_force_does(settings: Settings, tmp_path: Path, seconds: int) -> None:
    expected = colorado.pairs(seconds)
    options = ("--max-time-difference", str(seconds), "--json", "--output", tmp_path / "found.ndjson")
    told = json.loads(almagest(settings, "find", "--items", colorado.FOLDER, *options))
    matchups = [
        document for (of, _), document in documents(tmp_path / "found.ndjson").items() if of in told["combinations"]
    ]
    found = colorado.told(matchups)
    assert set(found) == expected
    assert len(found) == told["matchups"] == len(expected) > 0, "each once"
    assert all(abs(matchup["properties"]["time_diff_s"]) <= seconds for matchup in matchups)
