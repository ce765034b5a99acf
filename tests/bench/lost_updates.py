"""What becomes of 64 changes of one item at once: stock stac-fastapi.pgstac, and Almagest.

    python tests/bench/lost_updates.py [--writers 64]

Each writer adds one asset. A change is lost when its writer was told that it is made, and it is not there afterwards.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import logging
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / folder) for folder in ("extensions", "services", "tests")]

from almagest.catalogue import database  # noqa: E402
from almagest.core.settings import Settings, Store  # noqa: E402
from bench import measuring  # noqa: E402
from conftest import stac_client  # noqa: E402
from support import cluster as clusters  # noqa: E402
from support import ingests  # noqa: E402
from support.stock import stock_client  # noqa: E402

ITEM = "collections/scenes/items/i000000"

Client = httpx.Client


def put(client: Client, number: int) -> int:
    """Reads the item, and writes it with an asset more; where the server can tell that it has changed, again."""
    while True:
        found = client.get(ITEM)
        document = found.json()
        if found.status_code == 200:
            document["assets"][f"a{number}"] = {"href": f"https://example.org/{number}.nc"}
            headers = {"If-Match": found.headers["etag"]} if "etag" in found.headers else {}
            status = client.put(ITEM, json=document, headers=headers).status_code
            if status != 412:
                return status
            time.sleep(random.uniform(0, 0.5))
        else:
            return found.status_code


def patch(client: Client, number: int) -> int:
    """Sends the asset alone."""
    body = {"assets": {f"a{number}": {"href": f"https://example.org/{number}.nc"}}}
    return client.patch(ITEM, json=body, headers={"Content-Type": "application/merge-patch+json"}).status_code


def add_asset(client: Client, number: int) -> int:
    """Registers a file of the store, as `almagest add-asset --api-url` does it."""
    return client.post(f"{ITEM}/assets", json={"href": f"{number}.nc", "date": "2024-05-01"}).status_code


Way = Callable[[Client, int], int]
WAYS: dict[str, dict[str, Way]] = {
    # Who wants to add an asset there has nothing else.
    "stock": {"GET, then PUT": put, "PATCH": patch, "add-asset": put},
    "ours": {"GET, then PUT": put, "PATCH": patch, "add-asset": add_asset},
}


def stock(settings: Settings) -> AbstractContextManager[Client]:
    """The server of others, which can be written to."""
    return stock_client(settings, transactions=True)


def ours(settings: Settings) -> AbstractContextManager[Client]:
    """Ours."""
    return stac_client(settings)


def main() -> None:
    """Prints a line for each server and way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--writers", type=int, default=64)
    given = parser.parse_args()
    logging.disable()  # of each refusal stock's server tells at length
    with measuring.cluster() as (cluster, _), tempfile.TemporaryDirectory() as store:
        for number in range(given.writers):
            (Path(store) / f"{number}.nc").write_text(str(number))
        database.prepare(cluster.settings("ours"))
        plain = cluster.settings("stock")
        database.create(plain)
        database.install_pgstac(plain)
        for template, serve in (("stock", stock), ("ours", ours)):
            cluster.seal(template)
            for name, way in WAYS[template].items():
                told = tried(cluster, template, serve, way, given.writers, Path(store))
                print(f"{template:5}  {name:13}  {told}", flush=True)


def tried(
    cluster: clusters.Cluster,
    template: str,
    serve: Callable[[Settings], AbstractContextManager[Client]],
    way: Way,
    writers: int,
    store: Path,
) -> str:
    """What the writers were told, and what was kept."""
    with (
        cluster.clone(template) as name,
        serve(replace(cluster.settings(name), store=Store(store=store))) as client,
    ):
        if template == "ours":
            client.base_url = client.base_url.join("/api/")
        for path, document in (("collections", ingests.collection()), ("collections/scenes/items", ingests.item())):
            made = client.post(path, json=document)
            assert made.status_code == 201, made.text
        with concurrent.futures.ThreadPoolExecutor(writers) as threads:
            told = Counter(threads.map(lambda number: way(client, number), range(writers)))
        kept = len(client.get(ITEM).json()["assets"].keys() - {"comparison:latest"}) - 1
    answers = ", ".join(f"{count} × {status}" for status, count in sorted(told.items()))
    lost = sum(count for status, count in told.items() if status < 300) - kept
    return f"answered {answers}; {kept} of {writers} kept, {lost} lost"


if __name__ == "__main__":
    main()
