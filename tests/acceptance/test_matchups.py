"""Matchups from end to end: scenes that are there, the process that finds them, and what a stakeholder sees of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support import browser
from support.browser import Watched
from support.stack import Stack

pytestmark = pytest.mark.xdist_group("site")

PAIRS = "sample-msi-l1c-sample-msi-b-vs-sample-oli-l1-sample-oli-8"


@pytest.fixture
def watched(chromium: Any, site: Stack) -> Iterator[Watched]:
    with browser.watching(chromium, site.origin) as opened:
        yield opened


def find(site: Stack, *more: str) -> dict[str, Any]:
    scenes = 'collections=["sample-msi-l1c", "sample-oli-l1"]'
    done = site.run("jobs", "submit", "find-matchups", "--input", scenes, *more, "--wait")
    return dict(json.loads(done.stdout))


def test_scenes_become_events_and_matchups_that_everybody_sees(site: Stack, watched: Watched) -> None:
    """In a child of a worker, as it is meant to run."""
    found = find(site)
    told = json.loads(site.run("find", "--api-url", f"{site.origin}/external", "--json").stdout)
    assert found["matchups"] == told["matchups"] > 5
    assert found["events"] == told["events"] > 3
    assert find(site, "--input", "only_changes=true")["matchups"] == 0, "nothing has changed"
    with site.client() as client:
        matchup = client.get(f"/external/collections/{PAIRS}/items?limit=1").json()["features"][0]
        related = [link["href"] for link in matchup["links"] if link["rel"] in {"related", "derived_from"}]
        assert len(related) == 3
        for href in related:
            assert href.startswith(f"{site.origin}/external/")
            assert client.get(href.removeprefix(site.origin)).status_code == 200
        title = client.get(f"/external/collections/{PAIRS}").json()["title"]
    page = watched.page
    page.goto(f"{site.origin}/collections/{PAIRS}")
    page.get_by_role("heading", name=title).first.wait_for()
    page.wait_for_load_state("networkidle")
    watched.picture("matchups")
    page.goto(f"{site.origin}/collections/{PAIRS}/items/{matchup['id']}")
    page.locator("canvas").first.wait_for()
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(1000)
    watched.picture("matchup")
    assert page.get_by_text(matchup["properties"]["matchup:event_id"]).count() > 0
    told = json.loads(site.run("coverage", "--api-url", f"{site.origin}/api", "--json").stdout)
    assert sum(pair["matchups"]["total"] for pair in told["pairs"]) == found["matchups"]
    assert sum(pair["events"]["seen"] for pair in told["pairs"]) == found["events"]
    assert {pair["matchups"][kind] for pair in told["pairs"] for kind in ("compared", "stale")} == {0}
    page.goto(f"{site.origin}/api/coverage")
    page.get_by_role("img", name="where matchups are").first.wait_for()
    watched.picture("coverage-site", whole=True)
    page.goto(f"{site.origin}/external/coverage")
    page.get_by_role("row", name=PAIRS).get_by_role("link").nth(1).click()
    page.get_by_role("heading", name=title).first.wait_for()
    assert watched.complaints == []


def test_an_event_across_the_antimeridian_is_zoomed_to(site: Stack, watched: Watched, tmp_path: Path) -> None:
    """Its box has the greater number in the west (RFC 7946): the map took that for an empty one."""
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    inputs = re.search(r"crossings\.json <<'END'\n(.*?)\nEND", readme, re.DOTALL)
    assert inputs is not None
    (tmp_path / "crossings.json").write_text(inputs[1])
    site.run("jobs", "submit", "predict-crossings", "--inputs", str(tmp_path / "crossings.json"), "--wait")
    with site.client() as client:
        found = client.get("/external/search?filter=matchup:predicted=true&limit=100").json()["features"]
    across = next(item for item in found if item["bbox"][0] > item["bbox"][2])
    page = watched.page
    page.goto(f"{site.origin}/collections/{across['collection']}/items/{across['id']}")
    page.locator("canvas").first.wait_for()
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(1500)
    watched.picture("across")
    assert page.get_by_text("No spatial information").count() == 0
    assert watched.complaints == []
