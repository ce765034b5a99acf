"""What a stakeholder sees: STAC Browser in a real browser, from the start page to the tiles of an item."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from support import browser
from support.browser import Watched
from support.stack import Stack

pytestmark = pytest.mark.xdist_group("stack")


@pytest.fixture
def watched(chromium: Any, running: Stack) -> Iterator[Watched]:
    with browser.watching(chromium, running.origin) as opened:
        yield opened


def rendered_item(running: Stack) -> dict[str, Any]:
    """The first item of the public catalogue that can be rendered."""
    with running.client() as client:
        for collection in client.get("/external/collections?limit=100").json()["collections"]:
            if not any(link["rel"] == "xyz" for link in collection["links"]):
                continue
            for item in client.get(f"/external/collections/{collection['id']}/items?limit=1").json()["features"]:
                return {**item, "collection_title": collection.get("title") or collection["id"]}
    raise AssertionError("nothing in the catalogue can be rendered")


def test_from_the_start_page_to_the_tiles_of_an_item(watched: Watched, running: Stack) -> None:
    page, item = watched.page, rendered_item(running)
    page.goto(f"{running.origin}/")
    page.get_by_role("link", name=item["collection_title"], exact=False).first.wait_for()
    watched.picture("start")
    page.get_by_role("link", name=item["collection_title"], exact=False).first.click()
    page.wait_for_url("**/collections/**")
    page.wait_for_load_state("networkidle")
    watched.picture("collection")
    title = item["properties"].get("title") or item["id"]
    page.get_by_role("link", name=title, exact=False).first.click()
    page.wait_for_url("**/items/**")
    page.locator("canvas").first.wait_for()
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(1500)
    watched.picture("item")
    assert 200 in watched.tiles
    assert set(watched.tiles) <= {200, 204, 304}
    assert colours(page.locator("canvas").first.screenshot()) > 200
    assert watched.complaints == []


def test_a_deep_link_and_its_reload(watched: Watched, running: Stack) -> None:
    page, item = watched.page, rendered_item(running)
    address = f"{running.origin}/collections/{item['collection']}/items/{item['id']}"
    for _ in range(2):
        page.goto(address)
        page.locator("canvas").first.wait_for()
        page.wait_for_load_state("networkidle")
    assert 200 in watched.tiles
    assert watched.complaints == []


def test_the_search_page_finds_items(watched: Watched, running: Stack) -> None:
    page = watched.page
    page.goto(f"{running.origin}/search")
    page.get_by_role("tab", name="Search for Items").click()
    page.get_by_role("button", name="Submit").locator("visible=true").click()
    page.locator("a[href*='/items/']").first.wait_for()
    watched.picture("search")
    assert watched.complaints == []


@pytest.mark.parametrize(("audience", "writes"), [("/api", True), ("/external", False)])
def test_the_reference_of_an_api_shows_its_operations(
    watched: Watched, running: Stack, audience: str, writes: bool
) -> None:
    page = watched.page
    page.goto(f"{running.origin}{audience}/docs")
    page.locator(".opblock-get").first.wait_for()
    page.wait_for_load_state("networkidle")
    watched.picture(f"reference{audience.replace('/', '-')}")
    assert (page.locator(".opblock-delete").count() > 0) is writes
    assert (page.get_by_role("button", name="Authorize").count() > 0) is writes
    page.locator(".opblock-get .opblock-summary-control").first.click()
    page.get_by_role("button", name="Try it out").first.wait_for()
    assert watched.complaints == []


def colours(picture: bytes) -> int:
    """How many different colours a picture has: a map without tiles has a handful."""
    import numpy
    from rasterio.io import MemoryFile

    with warnings.catch_warnings(), MemoryFile(picture) as file:
        warnings.simplefilter("ignore")  # a screenshot lies nowhere on earth
        image = file.open()
        return len(numpy.unique(image.read().reshape(image.count, -1), axis=1).T)
