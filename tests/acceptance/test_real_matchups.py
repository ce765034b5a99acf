"""Matchups of what Landsat and Sentinel-2 really saw, as the README finds them and a stakeholder sees them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support import browser, colorado, guide
from support.browser import Watched
from support.stack import HOUSE, Stack

pytestmark = pytest.mark.xdist_group("stack")

README, SECTION = HOUSE / "README.md", "## Matchups of real scenes, from end to end"


@pytest.fixture
def place(running: Stack, shared_data: Path, tmp_path: Path) -> Iterator[Path]:
    """A folder to work in, like a clone in which `make up SAMPLE=…` was called; the stack is left as it was."""
    (tmp_path / ".almagest").symlink_to(running.home)
    yield tmp_path
    with running.client(headers={"Authorization": f"Bearer {running.write_key}"}) as client:
        for name in matchup_collections(client):
            client.delete(f"/api/collections/{name}").raise_for_status()


@pytest.fixture
def watched(chromium: Any, running: Stack) -> Iterator[Watched]:
    with browser.watching(chromium, running.origin) as opened:
        yield opened


def matchup_collections(client: Any) -> list[str]:
    found = client.get("/external/collections?limit=100").json()["collections"]
    return [collection["id"] for collection in found if "-vs-" in collection["id"]]


def test_from_scenes_to_the_page(running: Stack, place: Path, watched: Watched) -> None:
    begin, *rest = guide.blocks(README, SECTION)
    assert begin == ("console", "make clean && make up SAMPLE=../shared/data\n"), "as this stack has begun"
    said = "".join(guide.run(running, place, language, text) for language, text in rest)
    expected = colorado.pairs(900)
    assert f'"matchups": {len(expected)}' in said
    with running.client() as client:
        events, found = [], []
        for name in matchup_collections(client):
            items = client.get(f"/external/collections/{name}/items?limit=1000").json()["features"]
            (events if name.startswith("matchup-events-") else found).extend(items)
    assert sorted(map(sorted, colorado.told(found))) == sorted(map(sorted, expected))
    text = README.read_text(encoding="utf-8")
    (promised,) = re.findall(r"There are (\d+), in (\d+) events", text)
    assert promised == (str(len(found)), str(len(events)))
    (address,) = re.findall(rf"<{guide.ADDRESS}(/collections/matchup-events-[^>]+)>", text)
    walk(watched, f"{running.origin}{address}", [event for event in events if event["collection"] in address])


def walk(watched: Watched, address: str, events: list[dict[str, Any]]) -> None:
    """From the events of a pair to one of them, to its matchup, and to what that is made of."""
    page = watched.page

    def arrive(name: str) -> None:
        page.locator("canvas").first.wait_for()
        page.wait_for_load_state("networkidle")
        page.wait_for_timeout(1000)
        watched.picture(name)

    page.goto(address)
    for event in events:
        page.get_by_role("link", name=event["properties"]["title"]).first.wait_for()
    arrive("real-events")
    event = events[0]
    (matchup, *_) = (link for link in event["links"] if link.get("matchup:role") == "matchup")
    page.get_by_role("link", name=event["properties"]["title"]).first.click()
    page.wait_for_url(f"**/items/{event['id']}")
    arrive("real-event")
    page.get_by_role("link", name=matchup["title"]).first.click()
    page.wait_for_url(f"**/items/{matchup['href'].rpartition('/')[2]}")
    page.get_by_text(event["id"]).first.wait_for()
    arrive("real-matchup")
    for collection in colorado.COLLECTIONS:
        assert page.locator(f"a[href*='/collections/{collection}/items/']").count() == 1
    assert watched.complaints == []
