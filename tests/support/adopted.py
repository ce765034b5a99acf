"""A stock pgSTAC database that others have filled, before Almagest came."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from typing import Any

import orjson
import psycopg
from pypgstac.db import PgstacDB
from pypgstac.load import Loader

from almagest.catalogue import database
from almagest.core.settings import Settings
from support import cluster as clusters
from support.cluster import Cluster

Document = dict[str, Any]

STOCK, ADOPTED = "template_stock", "template_adopted"
#: One whose items all lie in one partition, and one with a partition for each month.
WHOLE, MONTHLY = "whole", "monthly"
ASSETS: Document = {"red": {"title": "Red", "roles": ["data"], "type": "image/tiff"}}


def collection(identifier: str, item_assets: Document = ASSETS) -> Document:
    return {
        "type": "Collection",
        "stac_version": "1.1.0",
        "id": identifier,
        "description": "d",
        "license": "other",
        "links": [],
        "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}},
        "item_assets": item_assets,
    }


def item(of: str, number: int, /, month: int | None = None, **properties: Any) -> Document:
    month = number % 12 if month is None else month
    x, y = number % 360 - 180, number % 179 - 89
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": f"i{number}",
        "collection": of,
        "geometry": {"type": "Point", "coordinates": [x, y]},
        "bbox": [x, y, x, y],
        "properties": {"datetime": f"{2020 + month // 12}-{month % 12 + 1:02}-05T00:00:00Z", **properties},
        "links": [],
        "assets": {"red": {**ASSETS["red"], "href": f"https://a.org/{number}.tif"}},
    }


def prepare(cluster: Cluster) -> None:
    """Makes the templates: stock pgSTAC, nothing of ours, three items of each collection; and the same after us."""
    with clusters.lock(cluster.root, "stock"):
        if cluster.has(ADOPTED):
            return
        cluster.copy("template0", STOCK)
        fill(cluster.settings(STOCK))
        cluster.seal(STOCK)
        cluster.copy(STOCK, ADOPTED)
        database.prepare(cluster.settings(ADOPTED))
        with cluster.connect(ADOPTED) as connection:
            forget(connection)
        cluster.seal(ADOPTED)


def forget(connection: psycopg.Connection[Any]) -> None:
    """As it is before it was noted which items there were at first."""
    connection.execute("DELETE FROM almagest.item_head")
    connection.execute("INSERT INTO almagest.adopted_collection VALUES (%s), (%s)", (WHOLE, MONTHLY))


def fill(settings: Settings) -> None:
    """Makes an empty database one of stock pgSTAC with some items."""
    database.install_pgstac(settings)
    with database.connect(settings, "postgres") as connection:
        for identifier in (WHOLE, MONTHLY):
            add_collection(connection, collection(identifier))
        connection.execute("UPDATE pgstac.collections SET partition_trunc = 'month' WHERE id = %s", (MONTHLY,))
    for identifier in (WHOLE, MONTHLY):
        load(settings, [item(identifier, number) for number in range(3)])


@contextlib.contextmanager
def stock(cluster: Cluster, template: str = STOCK) -> Iterator[Settings]:
    """Settings of a copy of one of them."""
    prepare(cluster)
    with cluster.clone(template) as name:
        yield cluster.settings(name)


def add_collection(connection: psycopg.Connection[Any], document: Document) -> None:
    with connection.transaction():
        connection.execute("SET LOCAL search_path = pgstac, public")
        connection.execute("SELECT create_collection(%s::jsonb)", (orjson.dumps(document).decode(),))


def load(settings: Settings, items: list[Document], method: str = "insert", user: str = "postgres") -> None:
    """As ``pypgstac load`` does it."""
    stock = PgstacDB(
        dsn=f"postgresql://{user}@/{settings.database.name}?host={settings.db_host}&port={settings.database.port}"
    )
    with tempfile.NamedTemporaryFile("wb", suffix=".ndjson") as file:
        file.write(b"\n".join(orjson.dumps(document) for document in items))
        file.flush()
        try:
            Loader(stock).load_items(file.name, insert_mode=method)
        finally:
            stock.close()
