"""How fast items are found: Almagest, stock stac-fastapi.pgstac and rustac's server, over one database, in turns.

    python tests/bench/reads.py [--items 100000] [--rounds 5] [--clients 4] [--rustac PROGRAM] [--all]
                                [--collections 1]

Adds to results/latest.json. A ratio is our rate by theirs: above 1 we are faster. Each server is one process, without
anything in front of it. No request comes twice, but for those that are to be repeated. Several collections are divided
by month: of twenty with 100,000 items, pgSTAC makes 700 tables.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import shutil
import statistics
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / folder) for folder in ("extensions", "services", "tests")]

from almagest.catalogue import audience, database  # noqa: E402
from almagest.core.settings import Settings  # noqa: E402
from bench import catalogue, load, measuring, servers  # noqa: E402
from bench.load import Request, Server  # noqa: E402
from support import cluster as clusters  # noqa: E402
from support import ingests  # noqa: E402

DATABASE = "reads"
#: A name in the ratios, and the servers whose rates of a set it compares.
RATIOS = {
    **{
        f"{short}_vs_{name}": ((what, "internal"), (what, peer))
        for short, what in (("search10", "search10"), ("page1000", "page1000"))
        for name, peer in (("stock", "stock"), ("hydrate", "hydrate"), ("rustac", "rustac"))
    },
    "external_vs_internal": (("search10", "external"), ("search10", "internal")),
    "external1000_vs_internal": (("page1000", "external"), ("page1000", "internal")),
    "repeat10_vs_first": (("repeat10", "internal"), ("search10", "internal")),
    "repeat1000_vs_first": (("repeat1000", "internal"), ("page1000", "internal")),
}


class Asked(NamedTuple):
    """A set of requests.

    Attributes:
        name: of the set.
        requests: asked in turns.
        seconds: for so long.
        of: servers that are asked; empty: all.
    """

    name: str
    requests: list[Request]
    seconds: float
    of: tuple[str, ...] = ()


def main() -> None:
    """Runs the rounds and adds what they say to the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clients", type=int, nargs="+", default=[4])
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rustac", type=Path, default=shutil.which("rustac"))
    parser.add_argument("--collections", type=int, default=1, help="more than one are divided by month")
    parser.add_argument("--all", action="store_true", help="every set, not only those behind the ratios")
    parser.add_argument("--large", action="store_true", help="keep the figures apart from those of the ratios")
    given = parser.parse_args()
    with measuring.cluster() as (cluster, folder):
        settings = prepared(cluster, folder, given.items, given.collections)
        with logged(folder), contextlib.ExitStack() as stack:
            running = {
                name: stack.enter_context(start()) for name, start in peers(settings, folder, given.rustac).items()
            }
            agree(running)
            for clients in given.clients:
                measured = rounds(cluster, running, given, clients)
                suffix = (
                    f"_{given.items}_items_{given.collections}_collections_{clients}_clients" if given.large else ""
                )
                measuring.add(summarized(measured, given, clients, suffix))


def peers(
    settings: Settings, folder: Path, rustac: Path | None
) -> dict[str, Callable[[], AbstractContextManager[Server]]]:
    """What starts each server."""
    found: dict[str, Callable[[], AbstractContextManager[Server]]] = {
        "internal": lambda: servers.ours(settings, "internal", folder / "internal.log"),
        "external": lambda: servers.ours(settings, "external", folder / "external.log"),
        "stock": lambda: servers.stock(settings, folder / "stock.log"),
        "hydrate": lambda: servers.stock(settings, folder / "hydrate.log", fastest=True),
    }
    if rustac is not None:
        found["rustac"] = lambda: servers.rustac(settings, rustac, folder / "rustac.log")
    else:
        print("rustac is left out: there is no such program", file=sys.stderr)
    return found


def agree(running: dict[str, Server]) -> None:
    """Compares what all of them find.

    Raises:
        SystemExit: it is not the same.
    """
    chance = random.Random("agree")
    asked = [search(bbox=box(chance), limit=10) for _ in range(20)]
    found = {
        name: [[item["id"] for item in json.loads(body)["features"]] for body in load.answers(server, asked)]
        for name, server in running.items()
    }
    for name, ids in found.items():
        if ids != found["internal"]:
            raise SystemExit(f"{name} does not find what we find.")


def rounds(
    cluster: clusters.Cluster, running: dict[str, Server], given: argparse.Namespace, clients: int
) -> dict[tuple[str, str], list[load.Load]]:
    """What was measured, by set and server; `wal` of a load is what one request writes [bytes]."""
    measured: dict[tuple[str, str], list[load.Load]] = {}
    for number in range(given.rounds):
        for asked in sets(number, given):
            for name, server in running.items():
                if asked.of and name not in asked.of:
                    continue
                before = wal(cluster)
                done = load.run(server, asked.requests, clients, asked.seconds)
                written = (wal(cluster) - before) / len(done.latencies)
                measured.setdefault((asked.name, name), []).append(done._replace(wal=written))
                print(
                    f"round {number + 1}, {asked.name}, {name}: {done.rate:.1f}/s, "
                    f"median {done.percentile(0.5) * 1e3:.1f} ms, p99 {done.percentile(0.99) * 1e3:.1f} ms, "
                    f"WAL {written:.0f} bytes",
                    file=sys.stderr,
                )
    return measured


def sets(number: int, given: argparse.Namespace) -> Iterator[Asked]:
    """The sets of a round."""
    chance = random.Random(number)
    seconds = given.seconds
    yield Asked("search10", [search(bbox=box(chance), limit=10) for _ in range(20_000)], seconds)
    yield Asked("page1000", [search(bbox=box(chance, 90, 60), limit=1000) for _ in range(1000)], 2 * seconds)
    repeated = [search(bbox=box(chance), limit=10)]
    yield Asked("repeat10", repeated, seconds, ("internal", "external"))
    repeated = [search(bbox=box(chance, 90, 60), limit=1000)]
    yield Asked("repeat1000", repeated, seconds, ("internal", "external"))
    if not given.all:
        return
    paths = [
        f"/collections/{item['collection']}/items/{item['id']}"
        for item in catalogue.items(min(given.items, 20_000), among=given.collections)
    ]
    yield Asked("item", [Request(chance.choice(paths)) for _ in range(20_000)], seconds)
    yield Asked("collections", [Request("/collections")], seconds)
    yield Asked("datetime10", [search(datetime=month(chance), limit=10) for _ in range(20_000)], seconds)
    yield Asked("both10", [search(bbox=box(chance), datetime=month(chance), limit=10) for _ in range(20_000)], seconds)
    for name, what in (("unindexed10", "view:off_nadir"), ("indexed10", "eo:cloud_cover")):
        yield Asked(name, [search(limit=10, **below(what, chance)) for _ in range(20_000)], seconds)
    yield Asked("search100", [search(bbox=box(chance, 60, 40), limit=100) for _ in range(5000)], seconds)
    yield Asked("deep10", [search(bbox=box(chance, 60, 40), limit=10, follow=20) for _ in range(1000)], seconds)


def search(follow: int = 0, **body: Any) -> Request:
    """A search by POST; rustac's server takes no box by GET."""
    return Request("/search", json.dumps(body).encode(), follow)


def box(chance: random.Random, width: float = 20, height: float = 10) -> list[float]:
    """A box somewhere, of that many degrees."""
    west, south = chance.uniform(-180, 180 - width), chance.uniform(-80, 80 - height)
    return [round(edge, 4) for edge in (west, south, west + width, south + height)]


def month(chance: random.Random) -> str:
    """Thirty days of 2019."""
    day = chance.randrange(300)
    at = f"{chance.randrange(24):02}:{chance.randrange(60):02}:{chance.randrange(60):02}Z"
    return f"2019-{day // 28 + 1:02}-{day % 28 + 1:02}T{at}/2019-{day // 28 + 2:02}-{day % 28 + 1:02}T{at}"


def below(name: str, chance: random.Random) -> dict[str, Any]:
    """A filter by a number."""
    value = round(chance.uniform(1, 9), 4)
    return {"filter": {"op": "<", "args": [{"property": name}, value]}, "filter-lang": "cql2-json"}


def prepared(cluster: clusters.Cluster, folder: Path, items: int, collections: int = 1) -> Settings:
    """A catalogue of ours with the items, which stock servers read as theirs."""
    settings = cluster.settings(DATABASE)
    database.prepare(settings)
    file = folder / "items.ndjson"
    catalogue.write(file, items, collections)
    with cluster.connect(DATABASE) as connection:
        connection.execute("SET search_path = pgstac, public")
        for name in catalogue.collections(collections):
            connection.execute("SELECT create_collection(%s::jsonb)", (json.dumps(catalogue.collection(name)),))
        if collections > 1:
            connection.execute("UPDATE collections SET partition_trunc = 'month'")
        connection.execute(
            """
            INSERT INTO queryables (name, property_wrapper, property_index_type)
            VALUES ('eo:cloud_cover', 'to_float', 'BTREE')
            """
        )
        for role, readonly in zip(servers.STOCK_ROLES, ("false", "true"), strict=True):
            connection.execute(f"CREATE ROLE {role} LOGIN SUPERUSER")
            connection.execute(f"ALTER ROLE {role} SET search_path = pgstac, public")
            connection.execute(f"ALTER ROLE {role} SET pgstac.readonly = '{readonly}'")
        audience.apply(settings, connection)
        audience.set_collections(connection, "*", "public")
    ingests.almagest(settings, "ingest", file, "--json")
    ingests.almagest(settings, "audience", "canary")
    with cluster.connect(DATABASE) as connection:
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")
    return settings


def wal(cluster: clusters.Cluster) -> int:
    """How much the cluster has written ahead so far [bytes]."""
    with cluster.connect() as connection:
        (written,) = connection.execute("SELECT pg_current_wal_insert_lsn() - '0/0'").fetchone() or (0,)
    return int(written)


def summarized(
    measured: dict[tuple[str, str], list[load.Load]], given: argparse.Namespace, clients: int, suffix: str
) -> dict[str, Any]:
    """Medians of the rounds, and the ratios of what was measured in the same run."""
    table: dict[str, dict[str, Any]] = {}
    for (what, name), loads in measured.items():
        table.setdefault(what, {})[name] = {
            "per_s": round(statistics.median(done.rate for done in loads), 2),
            "median_ms": round(statistics.median(done.percentile(0.5) for done in loads) * 1e3, 2),
            "p99_ms": round(statistics.median(done.percentile(0.99) for done in loads) * 1e3, 2),
            "body_bytes": round(statistics.median(done.bytes for done in loads)),
            "wal_bytes": round(statistics.median(done.wal for done in loads)),
        }
    ratios = {
        name: measuring.ratio([done.rate for done in measured[ours]], [done.rate for done in measured[theirs]])
        for name, (ours, theirs) in RATIOS.items()
        if ours in measured and theirs in measured
    }
    about = {"items": given.items, "rounds": given.rounds, "clients": clients}
    return {**({} if suffix else {"ratios": ratios}), f"reads{suffix}": {**about, "ratios": ratios, **table}}


@contextlib.contextmanager
def logged(folder: Path) -> Iterator[None]:
    """Tells what the servers said where something fails."""
    try:
        yield
    except BaseException:
        for log in folder.glob("*.log"):
            print(f"{log.name}: {log.read_text()[-2000:]}", file=sys.stderr)
        raise


if __name__ == "__main__":
    main()
