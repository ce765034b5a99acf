"""Coverage of matchups: numbers of a real catalogue against a count over all of its items, for both audiences."""

from __future__ import annotations

import html
import json
import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import Result
from typer.testing import CliRunner

from almagest.catalogue import audience, database, loading, rollups
from almagest.cli.commands import app
from almagest.client import covering
from almagest.core.settings import Settings
from almagest.pipelines.matchups.coverage import survey as surveying
from conftest import stac_client
from support import browser, rasters
from support.browser import Watched
from support.cluster import free_port
from support.serving import listening, served

pytestmark = pytest.mark.xdist_group("coverage")

Document = dict[str, Any]

PAIR, COMING, INNER = "l9-landsat-9-vs-s2-S2A", "l8-landsat-8-vs-s2-S2A", "l9-landsat-9-vs-secret-X"
NAMED = {PAIR: (("l9", "landsat-9"), ("s2", "S2A")), COMING: (("l8", "landsat-8"), ("s2", "S2A"))}
NAMED[INNER] = (("l9", "landsat-9"), ("secret", "X"))
TITLE = '<script>alert("pair")</script>'


def events(of: str) -> str:
    return f"matchup-events-{of}"


def collection(identifier: str, of: str) -> Document:
    sensors = NAMED[of]
    summaries = {
        f"matchup:{kind}": [s[place] for s in sensors] for place, kind in enumerate(("collections", "platforms"))
    }
    return rasters.collection(identifier, title=TITLE, summaries=summaries)


def matchup(number: int, chance: random.Random, origin: str, of: str = PAIR) -> Document:
    west, south = -106 + 4 * chance.random(), 38 + 3 * chance.random()
    when = f"2024-{1 + number % 5:02d}-{1 + chance.randrange(28):02d}T12:00:00Z"
    item = rasters.item(f"m{number}", of, (west, south, west + 0.3, south + 0.3), {}, when)
    item["links"] = [
        {"rel": "derived_from", "href": f"{origin}/api/collections/{name}/items/{name}-{number}"}
        for name in ("l9", "s2")
    ]
    if number % 4 == 0:
        item["assets"]["comparison:latest"] = {"href": "https://example.org/c.nc", "type": "application/x-netcdf"}
    return item


def event(number: int, when: str, of: str = PAIR, **properties: Any) -> Document:
    return rasters.item(f"e{number}", events(of), (-106, 38, -105, 39), {}, when, **properties)


@dataclass
class Site:
    """A catalogue as both audiences ask for it; links in it are those of the inner one."""

    inside: httpx.Client
    outside: httpx.Client

    def items(self, collection: str, **search: Any) -> list[Document]:
        found = self.inside.post("/api/search", json={"collections": [collection], "limit": 1000, **search})
        assert found.status_code == 200, found.text
        return list(found.json()["features"])

    def told(self, prefix: str, *arguments: str) -> Document:
        client = self.inside if prefix == "/api" else self.outside
        return dict(json.loads(run(f"{client.base_url}{prefix}", "--json", *arguments).stdout))


def run(url: str, *arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["coverage", "--api-url", url, *arguments])
    assert result.exit_code == code, result.output
    return result


@pytest.fixture(scope="module")
def site(cluster: Any) -> Iterator[Site]:
    from conftest import TEMPLATE

    with (
        cluster.clone(TEMPLATE) as name,
        served(cluster.settings(name)) as settings,
        served(cluster.settings(name), "external") as outside,
    ):
        origin = settings.site.origin
        chance = random.Random(5)
        scenes = [
            rasters.item(f"{of}-{n}", of, (-106, 38, -105, 39), {}, "2024-01-01T00:00:00Z")
            for of in ("l9", "s2")
            for n in range(60)
        ]
        collections = [rasters.collection(of) for of in ("l9", "s2", "l8", "secret", "notes-vs-code")]
        collections += [collection(of, of) for of in (PAIR, INNER)]
        collections += [collection(events(of), of) for of in (PAIR, COMING, INNER)]
        matchups = [matchup(number, chance, origin) for number in range(60)] + [matchup(1, chance, origin, INNER)]
        seen = [event(number, f"2024-{1 + number % 5:02d}-01T12:00:00Z") for number in range(10)]
        seen += [
            event(20, "2024-02-01T12:00:00Z", deprecated=True),
            event(21, "2024-03-01T12:00:00Z", deprecated=False),
        ]
        predicted: Document = {"matchup:predicted": True}
        seen += [event(30 + month, f"2024-{month:02d}-09T12:00:00Z", **predicted) for month in (7, 7 + 1, 7 + 1 + 1)]
        seen += [event(40, "2024-08-10T12:00:00Z", **predicted, deprecated=True)]
        seen += [event(50, "2031-08-10T12:00:00Z", COMING, **predicted), event(60, "2024-02-01T12:00:00Z", INNER)]
        loading.load_documents(settings, collections, [*scenes, *matchups, *seen])
        with database.connect(settings, "postgres") as connection:
            audience.set_collections(connection, "*", "public")
            audience.set_collections(connection, "*secret*", "internal")
        with database.connect(settings, "almagest_ops") as connection:
            rollups.fold(connection)
        with httpx.Client(base_url=origin) as inside, httpx.Client(base_url=outside.site.origin) as beyond:
            for number in (3, 4, 5, 8):
                scene = inside.get(f"/api/collections/l9/items/l9-{number}").json()
                scene["properties"]["processing:version"] = "2"
                assert inside.put(f"/api/collections/l9/items/l9-{number}", json=scene).is_success
            assert inside.delete("/api/collections/s2/items/s2-4").is_success
            assert inside.delete("/api/collections/s2/items/s2-11").is_success
            yield Site(inside, beyond)


STALE = {"m3", "m4", "m5", "m8", "m11"}


def month_of(item: Document) -> str:
    return str(item["properties"]["datetime"][:7])


def expected(site: Site, **search: Any) -> Document:
    """Of the pair, by going through every item."""
    found, seen = site.items(PAIR, **search), site.items(events(PAIR), **search)
    compared = [item for item in found if "comparison:latest" in item["assets"]]
    living = [item for item in seen if not item["properties"].get("deprecated")]
    coming = [item for item in living if item["properties"].get("matchup:predicted")]
    by_month = [Counter(map(month_of, some)) for some in (found, compared, coming)]
    stale = Counter(month_of(item) for item in found if item["id"] in STALE)
    times = sorted(item["properties"]["datetime"] for item in found)
    return {
        "events": {
            "seen": len(living) - len(coming),
            "predicted": len(coming),
            "deprecated": len(seen) - len(living),
        },
        "matchups": {
            "total": len(found),
            "compared": len(compared),
            "stale": sum(stale.values()),
            "has_more_stale": False,
        },
        "start": times[0],
        "end": times[-1],
        "months": {
            month: (by_month[0][month], by_month[1][month], stale[month], by_month[2][month])
            for month in {*by_month[0], *by_month[2]}
        },
    }


def brief(told: Document) -> Document:
    """A pair as it is told, as far as `expected` knows it."""
    months = {
        month["month"]: tuple(month[name] for name in ("matchups", "compared", "stale", "predicted"))
        for month in told["months"]
    }
    assert list(months) == sorted(months)
    months = {month: numbers for month, numbers in months.items() if any(numbers)}
    return {**{name: told[name] for name in ("events", "matchups", "start", "end")}, "months": months}


@pytest.mark.parametrize(
    ("arguments", "search"),
    [
        ((), {}),
        (("--datetime", "2024-02-01/2024-03-31"), {"datetime": "2024-02-01T00:00:00Z/2024-03-31T23:59:59Z"}),
        (("--datetime", "2024-02-10/.."), {"datetime": "2024-02-10T00:00:00Z/.."}),
        (("--bbox", "-106", "38", "-104.5", "39"), {"bbox": [-106, 38, -104.5, 39]}),
    ],
    ids=["all", "two months", "from then on", "a box"],
)
def test_numbers_are_those_of_the_items(site: Site, arguments: tuple[str, ...], search: Document) -> None:
    told = site.told("/api", "--collections", "s2", *arguments)
    assert [pair["pair"] for pair in told["pairs"]] == [PAIR, COMING]
    assert brief(told["pairs"][0]) == expected(site, **search)
    cells = told["pairs"][0]["cells"]
    assert sum(cell["matchups"] for cell in cells) == told["pairs"][0]["matchups"]["total"]
    for cell in cells:  # by the middle, which is 0.15 degrees from each side
        west, south, east, north = cell["bbox"]
        middles = [
            (item["bbox"][0] + item["bbox"][2], item["bbox"][1] + item["bbox"][3])
            for item in site.items(PAIR, **search)
        ]
        assert cell["matchups"] == sum(west <= x / 2 < east and south <= y / 2 < north for x, y in middles)


def test_what_is_there_is_told_as_what_it_is(site: Site) -> None:
    told = site.told("/api")
    assert {pair["pair"] for pair in told["pairs"]} == {PAIR, COMING, INNER}, "notes are no pair"
    assert (told["datetime"], told["bbox"], told["left_out"]) == (None, None, 0)
    coming = next(pair for pair in told["pairs"] if pair["pair"] == COMING)
    assert coming["collections"] == {"matchups": None, "events": events(COMING)}
    assert coming["events"] == {"seen": 0, "predicted": 1, "deprecated": 0}
    assert coming["matchups"] == {"total": 0, "compared": 0, "stale": 0, "has_more_stale": False}
    assert coming["months"] == [{"month": "2031-08", "matchups": 0, "compared": 0, "stale": 0, "predicted": 1}]
    assert (coming["start"], coming["cells"]) == (None, [])
    (pair,) = (pair for pair in told["pairs"] if pair["pair"] == PAIR)
    assert pair["sensors"] == [{"collection": "l9", "platform": "landsat-9"}, {"collection": "s2", "platform": "S2A"}]


def test_outsiders_are_told_what_they_may_count(site: Site) -> None:
    told = site.told("/external")
    assert [pair["pair"] for pair in told["pairs"]] == [PAIR, COMING], "the third is made of what is internal"
    pair, everything = brief(told["pairs"][0]), expected(site)
    assert pair["matchups"] == {"total": 60, "compared": None, "stale": None, "has_more_stale": False}
    assert (pair["events"], pair["start"], pair["end"]) == tuple(everything[n] for n in ("events", "start", "end"))
    assert pair["months"] == {m: (n[0], None, None, n[3]) for m, n in everything["months"].items()}


def test_it_is_the_same_where_an_api_takes_no_bodies(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The extension asks for GET alone."""
    by_post, known = site.told("/api"), covering.Counting.of
    without = classmethod(lambda _, api: replace(known(api), takes_posts=False))
    monkeypatch.setattr(covering.Counting, "of", without)
    assert site.told("/api") == by_post


def test_of_what_is_stale_no_more_is_looked_for_than_is_bearable(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surveying, "MOST_STALE", len(STALE) - 1)
    (pair,) = site.told("/api", "--collections", PAIR)["pairs"]
    assert (pair["matchups"]["stale"], pair["matchups"]["has_more_stale"]) == (len(STALE) - 1, True)
    assert {month["stale"] for month in pair["months"]} == {None}
    monkeypatch.setattr(surveying, "MOST_STALE", len(STALE) + 1)
    (pair,) = site.told("/api", "--collections", PAIR)["pairs"]
    assert (pair["matchups"]["stale"], pair["matchups"]["has_more_stale"]) == (len(STALE), False)


def test_where_there_is_nothing_it_says_so(settings: Settings) -> None:
    for audience_of, prefix in (("internal", "/api"), ("external", "/external")):
        with stac_client(settings, audience_of) as client:  # type: ignore[arg-type]
            answer = client.get(f"{prefix}/coverage")
            assert (answer.status_code, "no matchups here" in answer.text) == (200, True)


def test_a_terminal_gets_a_table_and_bars(site: Site, tmp_path: Path) -> None:
    url, file = f"{site.inside.base_url}/api", tmp_path / "coverage.html"
    lines = run(url, "--collections", "l9", "--output", str(file)).stdout.splitlines()
    row = next(line for line in lines if line.strip().startswith(PAIR))
    assert row.split()[1:] == ["11", "3", "2", "60", "15", "(25%)", "5", "(8%)", "2024-01-04", "2024-05-18"]
    assert next(line for line in lines if line.startswith("2024  ")).endswith("·  60, 15 compared")
    text = file.read_text()
    assert f"{url}/search?collections={PAIR}" in text
    assert f"{url}/stale?collection={PAIR}" in text
    assert "yesterday" in run(url, "--datetime", "yesterday", code=2).output


@pytest.mark.parametrize("prefix", ["/api", "/external"])
def test_the_page_shows_it_to_each_audience(site: Site, prefix: str) -> None:
    client = site.inside if prefix == "/api" else site.outside
    answer = client.get(f"{prefix}/coverage")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert TITLE not in answer.text
    assert "<script" not in answer.text
    assert (INNER in answer.text) == (prefix == "/api")
    assert f'href="../collections/{PAIR}"' in answer.text
    assert ("stale?collection=" in answer.text) == (prefix == "/api")
    if prefix == "/api":
        assert f'href="collections/{INNER}"' in answer.text, "STAC Browser does not show it"
    narrow = client.get(f"{prefix}/coverage", params={"collections": COMING, "bbox": "-107,37,-104,40"}).text
    assert (COMING in narrow, PAIR in narrow) == (True, False)
    for wrong in ({"bbox": "1,2"}, {"bbox": "a"}, {"datetime": "x"}, {"as-of": "2024-01-01T00:00:00Z"}):
        assert client.get(f"{prefix}/coverage", params=wrong).status_code == 400, wrong
    # To a browser the page says so, with what was asked for; and it takes a day, as the command does.
    as_browser = {"Accept": "text/html,*/*;q=0.8"}
    for wrong in ({"bbox": "1,2"}, {"bbox": "a"}, {"datetime": "<x>"}):
        answer = client.get(f"{prefix}/coverage", params=wrong, headers=as_browser)
        assert answer.status_code == 400
        assert 'role="alert"' in answer.text
        assert all(f'value="{html.escape(value)}"' in answer.text for value in wrong.values())
    answer = client.get(f"{prefix}/coverage", params={"datetime": "2024-03-01/.."}, headers=as_browser)
    assert (answer.status_code, 'role="alert"' in answer.text) == (200, False)


def test_links_of_the_page_lead_to_what_they_say(site: Site) -> None:
    text = site.inside.get("/api/coverage", params={"collections": PAIR}).text
    row = next(line for line in text.splitlines() if '<th scope="row">2024-03</th>' in line)
    links = [unescape(link) for link in re.findall(r'href="([^"]+)"', text)]
    of_march = unescape(re.search(r'href="([^"]+)"', row)[1])  # type: ignore[index]
    march = site.inside.get(f"/api/{of_march}&limit=1000").json()["features"]
    (compared,) = {link for link in links if "comparison" in link}
    assert len(site.inside.get(f"/api/{compared}&limit=1000").json()["features"]) == 15
    (stale,) = {link for link in links if link.startswith("stale")}
    assert {item["id"] for item in site.inside.get(f"/api/{stale}").json()["products"]} == STALE
    assert f">{len(march)}</a>" in row
    assert {item["id"] for item in march} == {item["id"] for item in site.items(PAIR) if month_of(item) == "2024-03"}


def test_links_of_a_part_lead_to_as_many_as_they_say(site: Site) -> None:
    asked = {"collections": PAIR, "bbox": "-106,38,-104,39.5", "datetime": "2024-02-01T00:00:00Z/2024-07-31T00:00:00Z"}
    text = site.inside.get("/api/coverage", params=asked).text
    links = {(unescape(link), int(number)) for link, number in re.findall(r'href="(search[^"]+)">(\d+)<', text)}
    assert len(links) >= 7
    assert sum("matchup-events" in link for link, _ in links) == 2
    for link, number in links:
        found = site.inside.get(f"/api/{link}&limit=1000").json()["features"]
        # By the middle, of all that meet a cell.
        assert len(found) >= number if "POLYGON" in link else len(found) == number, link
    assert "stale?collection" not in text, "where all of it is listed"


def test_an_api_that_does_not_count_is_told_from_one_that_does() -> None:
    async def foreign(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while (message := await receive())["type"] != "lifespan.shutdown":
                await send({"type": f"{message['type']}.complete"})
            await send({"type": "lifespan.shutdown.complete"})
            return
        body = json.dumps({"conformsTo": [], "links": [{"rel": "search", "href": "search"}]}).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": body})

    port = free_port()
    with listening(foreign, port):
        result = run(f"http://127.0.0.1:{port}", code=1)
    assert "aggregation" in str(result.exception)


def test_somebody_looks_at_the_page(site: Site) -> None:
    with browser.opened() as context:
        origin, page = str(site.inside.base_url), context.new_page()
        watched = Watched(page, origin)
        page.goto(f"{origin}/api/coverage")
        page.get_by_role("heading", name="landsat-9 and S2A").wait_for()
        page.get_by_text("Months as a table").first.click()
        assert page.get_by_role("row", name="2024-03").get_by_role("link").is_visible()
        assert page.get_by_role("img", name="landsat-9 and S2A: where matchups are").is_visible()
        watched.picture("coverage", whole=True)
        page.emulate_media(color_scheme="dark")
        page.set_viewport_size({"width": 420, "height": 900})
        watched.picture("coverage-dark", whole=True)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert [text for text in watched.complaints if "404" not in text] == []


def test_the_page_is_made_anew_when_something_has_changed(site: Site) -> None:
    first = site.inside.get("/api/coverage")
    assert site.inside.get("/api/coverage").headers["etag"] == first.headers["etag"]
    known = {"If-None-Match": first.headers["etag"]}
    assert site.inside.get("/api/coverage", headers=known).status_code == 304
    scene = site.inside.get("/api/collections/l9/items/l9-30").json()
    scene["properties"]["processing:version"] = "2"
    assert site.inside.put("/api/collections/l9/items/l9-30", json=scene).is_success
    changed = site.inside.get("/api/coverage", headers=known)
    assert changed.status_code == 200
    assert changed.text.count(">6</a>") > first.text.count(">6</a>")
