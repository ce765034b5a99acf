"""Assembles the tiler."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import metadata

import anyio.to_thread
from fastapi import Depends, FastAPI
from starlette.middleware import Middleware

from almagest.core.settings import Settings
from almagest.services.tiles import environment, errors, searches
from almagest.services.tiles.caching import CacheHeaders, NotModified, not_modified
from almagest.services.tiles.database import Catalogue
from almagest.services.tiles.factories import routers
from almagest.services.tiles.limits import limits
from almagest.services.tiles.sources import Tiler
from almagest.services.web import problem
from almagest.services.web.health import Health
from almagest.services.web.public_url import PublicUrl
from almagest.services.web.request_id import RequestId

PREFIX = "/api/tiles"


def create_app(
    settings: Settings | None = None,
    *,
    role: str = "almagest_reader",
    writer: str | None = "almagest_writer",
    prefix: str = PREFIX,
) -> FastAPI:
    """The tiler of one audience.

    Args:
        settings: read from the environment if not given.
        role: reads the catalogue as this role; what it sees is what is shown.
        writer: registers searches as this role; None offers no registering.
        prefix: where nginx mounts it.

    Raises:
        ConfigurationError: a setting or a secret is missing or wrong.
    """
    settings = settings or Settings.load()
    tiler = Tiler.of(settings, Catalogue(settings, role, writer))
    threads = settings.tiles.concurrency

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        # Endpoints run in threads: no more of them than this machine can render at once.
        anyio.to_thread.current_default_thread_limiter().total_tokens = threads
        tiler.catalogue.open()
        yield
        tiler.catalogue.close()

    app = FastAPI(
        title=f"{settings.api.title}: tiles",
        description="Pictures of items, of collections and of registered searches.",
        version=metadata.version("almagest"),
        openapi_url="/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.tiler = tiler
    checked = [Depends(limits(settings.tiles.max_size_px))]
    # Before the mosaics: `register` is no search's id.
    app.include_router(searches.router(can_register=writer is not None), tags=["Searches"], dependencies=checked)
    for below, tag, router in routers(environment.gdal_options()):
        app.include_router(router, prefix=below, tags=[tag], dependencies=checked)
    errors.install(app)
    app.add_exception_handler(NotModified, not_modified)

    async def ready() -> None:
        await anyio.to_thread.run_sync(tiler.catalogue.check)

    # In the order in which a request meets them.
    app.user_middleware = [
        Middleware(RequestId),
        Middleware(Health, check=ready),
        Middleware(problem.LastResort),
        Middleware(PublicUrl, origin=settings.site.origin, prefix=prefix),
        Middleware(CacheHeaders, prefix=prefix),
    ]
    return app
