"""Stock stac-fastapi.pgstac over the same database: the oracle for our answers."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import psycopg
from fastapi import FastAPI
from starlette.testclient import TestClient

from almagest.core.settings import Settings
from support.cluster import Cluster

Document = dict[str, Any]


@contextlib.contextmanager
def stock_client(
    settings: Settings, *, api_hydrate: bool = False, transactions: bool = False
) -> Iterator[httpx.Client]:
    """The unmodified server as an operator would start it, with its default extensions."""
    from stac_fastapi.pgstac.app import instantiate_api
    from stac_fastapi.pgstac.config import PostgresSettings
    from stac_fastapi.pgstac.config import Settings as StockSettings
    from stac_fastapi.pgstac.db import close_db_connection, connect_to_db
    from stac_fastapi.pgstac.models.extensions import Extensions

    database = PostgresSettings(
        pguser="postgres",
        pgpassword="unused",
        pghost="127.0.0.1",
        pgport=settings.database.port,
        pgdatabase=settings.database.name,
    )

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await connect_to_db(app, postgres_settings=database, add_write_connection_pool=transactions)
        yield
        await close_db_connection(app)

    stock = StockSettings(use_api_hydrate=api_hydrate, enable_transactions_extensions=transactions)
    app = instantiate_api(lifespan=lifespan, settings=stock, extensions=Extensions(settings=stock)).app
    with TestClient(app, base_url="http://stock.test") as client:
        yield client


@dataclass(frozen=True)
class StockSearch:
    """pgSTAC's own ``search()``, without a server before it.

    Attributes:
        connection: sees pgSTAC's functions by their bare names, and writes no statistics.
    """

    connection: psycopg.Connection[Any]

    @classmethod
    @contextlib.contextmanager
    def over(cls, cluster: Cluster, database: str) -> Iterator[StockSearch]:
        with cluster.connect(database) as connection:
            connection.execute("SET search_path = pgstac, public")
            connection.execute("SET pgstac.readonly = 'true'")
            yield cls(connection)

    def page(self, search: Mapping[str, Any]) -> Document:
        """The answer as it is."""
        row = self.connection.execute("SELECT search(%s::jsonb)", (json.dumps(search),)).fetchone()
        assert row is not None
        return dict(row[0])

    def whole(self, search: Mapping[str, Any]) -> list[Document]:
        """All items in order."""
        found = self.page({**search, "limit": 10_000})
        assert not any(link["rel"] == "next" for link in found["links"])
        return list(found["features"])

    def pages(self, search: Mapping[str, Any]) -> list[list[Document]]:
        """All items, a page of ``limit`` at a time, by its own tokens."""
        pages, token = [], None
        while True:
            answer = self.page({**search, **({"token": token} if token else {})})
            pages.append(answer["features"])
            following = [link["href"].split("token=")[1] for link in answer["links"] if link["rel"] == "next"]
            if not following:
                return pages
            (token,) = following
