"""The page that shows where items lie, in a real browser."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from almagest.catalogue import loading
from almagest.core.settings import Settings
from conftest import stac_client
from support import adopted, browser
from support.aggregating import item
from support.browser import Watched
from support.cluster import Cluster
from support.serving import served

pytestmark = pytest.mark.xdist_group("map")


@pytest.fixture(scope="module")
def filled(cluster: Cluster) -> Iterator[Settings]:
    from conftest import TEMPLATE

    with cluster.clone(TEMPLATE) as name:
        settings = cluster.settings(name)
        chance = random.Random(3)
        items = [item(chance, number, "scenes") for number in range(400)]
        items += [{**item(chance, number, "few"), "id": f"f{number}"} for number in range(9)]
        loading.load_documents(settings, [adopted.collection("scenes"), adopted.collection("few")], items)
        yield settings


def test_it_is_served_to_both_audiences_without_a_key(filled: Settings) -> None:
    for audience, prefix in (("internal", "/api"), ("external", "/external")):
        with stac_client(filled, audience) as client:  # type: ignore[arg-type]
            client.headers.clear()
            for path, kind in (("map", "text/html"), ("map/map.js", "text/javascript"), ("map/map.css", "text/css")):
                answer = client.get(f"{prefix}/{path}")
                assert (answer.status_code, answer.headers["content-type"].split(";")[0]) == (200, kind)
            assert len(client.get(f"{prefix}/map/land.json").json()) > 100


def test_somebody_looks_at_the_map(filled: Settings) -> None:
    with browser.opened() as context, served(filled, "external") as there:
        origin = there.site.origin
        page = context.new_page()
        watched = Watched(page, origin)
        page.goto(f"{origin}/external/map")
        told = page.locator("#told")
        told.get_by_text("409 items in").wait_for()
        page.locator("#collection option", has_text="few").wait_for(state="attached")
        page.wait_for_timeout(300)
        watched.picture("map-world")
        assert page.locator("#cells tr").count() == 10
        assert page.locator("#bars rect").count() > 1
        # By the keyboard alone.
        page.locator("#map").focus()
        for _ in range(4):
            page.keyboard.press("+")
        page.keyboard.press("ArrowRight")
        told.get_by_text("409 items").wait_for(state="detached")
        page.wait_for_timeout(800)
        watched.picture("map-zoomed")
        page.keyboard.press("0")
        told.get_by_text("409 items in").wait_for()
        page.locator("#grid").select_option("geohash")
        page.locator("#collection").select_option("few")
        told.get_by_text("9 items in").wait_for()
        page.wait_for_timeout(300)
        watched.picture("map-few")
        page.emulate_media(color_scheme="dark")
        page.set_viewport_size({"width": 420, "height": 900})
        page.wait_for_timeout(500)
        watched.picture("map-dark")
        assert [text for text in watched.complaints if "almagest.svg" not in text and "404" not in text] == []
