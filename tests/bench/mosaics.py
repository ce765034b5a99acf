"""How fast a picture of many scenes is made: Almagest and stock titiler-pgstac, over one database, in turns.

    python tests/bench/mosaics.py [--items 10000] [--rounds 5] [--clients 4]

Adds to results/latest.json. Under one tile, which they do not fill, lie 25 places of a grid as missions have one, each
photographed again and again: all but the last picture of each are covered, which has to be found out. Every request is
for another registered search, each of nearly all items, so that no cache knows its answer.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import json
import statistics
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / folder) for folder in ("extensions", "services", "tests")]

import httpx  # noqa: E402
import morecantile  # noqa: E402
import numpy  # noqa: E402
import rasterio  # noqa: E402

from almagest.catalogue import database  # noqa: E402
from almagest.core.settings import Settings  # noqa: E402
from bench import load, measuring, servers  # noqa: E402
from bench.load import Request, Server  # noqa: E402
from support import cluster as clusters  # noqa: E402
from support import ingests, rasters  # noqa: E402

DATABASE, COLLECTION = "mosaics", "passes"
TILE = morecantile.Tile(17, 11, 5)
#: Places lie in so many rows and columns, in the western part of the tile.
EDGE, PART = 5, 0.7
LAST = datetime(2024, 12, 31, tzinfo=UTC)


def main() -> None:
    """Runs the rounds and adds what they say to the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=8.0)
    given = parser.parse_args()
    with measuring.cluster() as (cluster, folder):
        settings = prepared(cluster, folder, given.items)
        with contextlib.ExitStack() as stack:
            running = {
                "almagest": stack.enter_context(servers.our_tiles(settings, folder / "tiles.log")),
                "titiler": stack.enter_context(servers.stock_tiles(settings, folder / "titiler.log")),
            }
            addresses = {name: registered(server) for name, server in running.items()}
            agree(running, {name: next(paths) for name, paths in addresses.items()})
            measured: dict[str, list[load.Load]] = {name: [] for name in running}
            for number in range(given.rounds):
                for name in running if number % 2 == 0 else reversed(running):
                    few = [Request(path) for path in itertools.islice(addresses[name], 400)]
                    done = load.run(running[name], few, given.clients, given.seconds)
                    measured[name].append(done)
                    median = done.percentile(0.5) * 1e3
                    print(f"round {number + 1}, {name}: {done.rate:.2f}/s, median {median:.0f} ms", file=sys.stderr)
    measuring.add(summarized(measured, given))


def prepared(cluster: clusters.Cluster, folder: Path, items: int) -> Settings:
    """A catalogue of ours with the passes, which titiler-pgstac reads as its own."""
    settings = cluster.settings(DATABASE)
    database.prepare(settings)
    store = settings.site.home / "store"
    store.mkdir(parents=True)
    pictures = [picture(store, place) for place in range(EDGE**2)]
    file = folder / "passes.ndjson"
    file.write_text("".join(json.dumps(item) + "\n" for item in passes(pictures, items)))
    with cluster.connect(DATABASE) as connection:
        connection.execute("SET search_path = pgstac, public")
        connection.execute("SELECT create_collection(%s::jsonb)", (json.dumps(rasters.collection(COLLECTION)),))
        connection.execute(f"CREATE ROLE {servers.STOCK_ROLES[0]} LOGIN SUPERUSER")
        connection.execute(f"ALTER ROLE {servers.STOCK_ROLES[0]} SET search_path = pgstac, public")
    ingests.almagest(settings, "ingest", file, "--json")
    with cluster.connect(DATABASE) as connection:
        connection.execute("VACUUM ANALYZE")
    return settings


def place_bounds(place: int) -> tuple[float, float, float, float]:
    """West, south, east and north of a place; neighbours overlap a little."""
    west, south, east, north = morecantile.tms.get("WebMercatorQuad").bounds(TILE)
    row, column = divmod(place, EDGE)
    width, height = (east - west) * PART / EDGE, (north - south) / EDGE
    return (
        west + (column - 0.1) * width,
        south + (row - 0.1) * height,
        west + (column + 1.1) * width,
        south + (row + 1.1) * height,
    )


def picture(store: Path, place: int) -> Path:
    """The raster of a place, in its own grey."""
    west, _, east, north = place_bounds(place)
    pixels = numpy.full((1, 128, 128), 50 + place, "uint8")
    file = store / f"place-{place}.tif"
    rasters.write(file, pixels, crs="EPSG:4326", west=west, north=north, size=(east - west) / 128)
    return file


def passes(pictures: list[Path], count: int) -> Iterator[dict[str, Any]]:
    """One place after the other, again and again."""
    for number in range(count):
        place = number % len(pictures)
        moment = LAST - timedelta(minutes=10 * (count - number))
        yield rasters.item(
            f"pass-{number:05}",
            COLLECTION,
            place_bounds(place),
            {"visual": rasters.asset(pictures[place])},
            f"{moment:%Y-%m-%dT%H:%M:%SZ}",
        )


def registered(server: Server) -> Iterator[str]:
    """Paths of the tile, each of a search of its own, as many as are asked for."""
    with httpx.Client(base_url=f"http://127.0.0.1:{server.port}{server.prefix}", headers=server.headers) as client:
        for number in itertools.count():
            until = LAST + timedelta(seconds=number)
            body = {"collections": [COLLECTION], "datetime": f"../{until:%Y-%m-%dT%H:%M:%SZ}"}
            answer = client.post("/searches/register", json=body).raise_for_status()
            address = f"/searches/{answer.json()['id']}/tiles/WebMercatorQuad/{TILE.z}/{TILE.x}/{TILE.y}.png"
            yield f"{address}?assets=visual"


def agree(running: dict[str, Server], paths: dict[str, str]) -> None:
    """Compares the picture of the one with that of the other.

    Raises:
        SystemExit: they differ by more than what is resampled at edges.
    """
    seen = {}
    for name, server in running.items():
        (body,) = load.answers(server, [Request(paths[name])])
        with rasterio.open(io.BytesIO(body)) as opened:
            seen[name] = opened.read()
    ours, theirs = seen["almagest"], seen["titiler"]
    shown = (ours[-1] > 0).mean()
    same = (ours == theirs).all(axis=0).mean()
    print(f"{shown:.0%} of the tile has a picture, {same:.1%} of both pictures are the same", file=sys.stderr)
    if shown < PART - 0.05 or same < 0.98:
        raise SystemExit("They do not show the same.")


def summarized(measured: dict[str, list[load.Load]], given: argparse.Namespace) -> dict[str, Any]:
    """Medians, and the ratio of the rates."""
    rates = {name: statistics.median(done.rate for done in loads) for name, loads in measured.items()}
    median = {
        f"{name}_median_ms": round(statistics.median(done.percentile(0.5) for done in loads) * 1e3, 1)
        for name, loads in measured.items()
    }
    return {
        "ratios": {
            "mosaic_vs_titiler": measuring.ratio(
                *([done.rate for done in measured[name]] for name in ("almagest", "titiler"))
            )
        },
        "mosaics": {
            "items": given.items,
            "rounds": given.rounds,
            "clients": given.clients,
            **{f"{name}_per_s": round(rate, 3) for name, rate in rates.items()},
            **median,
        },
    }


if __name__ == "__main__":
    main()
