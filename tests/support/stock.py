"""Stock stac-fastapi.pgstac over the same database: the oracle for our answers."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator

import httpx
from fastapi import FastAPI
from starlette.testclient import TestClient

from almagest.core.settings import Settings


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
