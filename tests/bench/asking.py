"""A long past through HTTP: what a service has for it, as far as it has it."""

from __future__ import annotations

import random
import statistics
import time
from pathlib import Path
from typing import Any

import httpx

from almagest.core.settings import Settings
from bench import servers
from bench.past import COLLECTION, Past


def measured(settings: Settings, made: Past, times: int, folder: Path) -> dict[str, Any]:
    """One client, one request after the other; routes that are not there (404) are left out."""
    found: dict[str, Any] = {}
    for audience in ("internal", "external"):
        with servers.ours(settings, audience, folder / f"{audience}.log") as server:
            address = f"http://127.0.0.1:{server.port}{server.prefix}"
            with httpx.Client(base_url=address, headers=server.headers, timeout=600) as client:
                found[audience] = _audience(client, made, times)
    return found


def _audience(client: httpx.Client, made: Past, times: int) -> dict[str, Any]:
    chance = random.Random(11)

    def one() -> str:
        return f"/collections/{COLLECTION}/items/i{chance.randrange(made.items):08d}"

    def moment() -> str:
        when = made.moment(chance.randrange(1, made.states), chance.random())
        return when.strftime("%Y-%m-%dT%H:%M:%SZ")

    def box() -> str:
        west, south = chance.randrange(-170, 160), chance.randrange(-80, 70)
        return f"{west},{south},{west + 10},{south + 10}"

    asked = {
        "versions": lambda: (f"{one()}/versions", {"limit": "100"}),
        "as_of_item": lambda: (one(), {"as-of": moment()}),
        "as_of_search_box_10": lambda: ("/search", {"as-of": moment(), "bbox": box(), "limit": "10"}),
        "as_of_items_10": lambda: (f"/collections/{COLLECTION}/items", {"as-of": moment(), "limit": "10"}),
        "search_box_10": lambda: ("/search", {"bbox": box(), "limit": "10"}),
        "changes_100_of_the_walk": lambda: ("/changes", {"limit": "100"}),
        "changes_1000_documents": lambda: ("/changes", {"limit": "1000", "documents": "true"}),
        "changes_now": lambda: ("/changes", {"since": "now"}),
    }
    found: dict[str, Any] = {}
    # Who does not know it ignores it, and answers as of today.
    knows_as_of = client.get("/search", params={"as-of": "no time"}).status_code == 400
    for name, ask in asked.items():
        if name.startswith("as_of") and not knows_as_of:
            continue
        few = times // 10 if "1000" in name or "as_of_" in name else times
        if timing := _timed(client, ask, max(few, 5)):
            found[name] = timing
    if walked := _walk(client):
        found["walk"] = walked
    return found


def _timed(client: httpx.Client, ask: Any, times: int) -> dict[str, float] | None:
    """The median and the 99th of a hundred [ms], after three that count for nothing; None: there is no such thing."""
    durations = []
    for number in range(times + 3):
        path, parameters = ask()
        began = time.perf_counter()
        response = client.get(path, params=parameters)
        if response.status_code == 404:
            return None
        if response.status_code != 200:  # the others are worth as much
            return {"status": response.status_code}
        if number >= 3:
            durations.append((time.perf_counter() - began) * 1000)
    durations.sort()
    return {
        "median": round(statistics.median(durations), 2),
        "p99": round(durations[int(len(durations) * 0.99) - 1], 2),
    }


def _walk(client: httpx.Client, pages: int = 100) -> dict[str, float] | None:
    """From the start of the feed, pages of 1,000 with documents, one after the other."""
    parameters = {"limit": "1000", "documents": "true"}
    durations: list[float] = []
    count = 0
    for _ in range(pages):
        began = time.perf_counter()
        response = client.get("/changes", params=parameters)
        if response.status_code != 200:
            return None
        durations.append(time.perf_counter() - began)
        page = response.json()
        count += len(page["changes"])
        if not page["changes"]:
            break
        parameters["since"] = page["cursor"]
    half = len(durations) // 2 or 1
    return {
        "documents_per_s": round(count / sum(durations)),
        "last_half_against_first": round(
            statistics.median(durations[half:] or durations) / statistics.median(durations[:half]), 2
        ),
    }
