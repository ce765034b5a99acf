"""Assembles the tiler."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import metadata
from typing import Any

import anyio.to_thread
from fastapi import Depends, FastAPI
from starlette.middleware import Middleware

from almagest.core.processes import Audience
from almagest.core.settings import Settings
from almagest.services.tiles import environment, errors, routes, searches
from almagest.services.tiles.caching import CacheHeaders, NotModified, not_modified
from almagest.services.tiles.database import Catalogue
from almagest.services.tiles.factories import routers
from almagest.services.tiles.limits import few_positions, limits
from almagest.services.tiles.sources import Tiler
from almagest.services.web import docs, inventory
from almagest.services.web.canary import Canary
from almagest.services.web.layers import layers
from almagest.services.web.pool import WritePool
from almagest.services.web.recording import PATIENCE_S, Recorder
from almagest.services.web.replay import Replay

PREFIXES: dict[Audience, str] = {"internal": "/api/tiles", "external": "/external/tiles"}

_ROLES: dict[Audience, str] = {"internal": "almagest_reader", "external": "almagest_external"}
_ROUTES = {"internal": routes.INTERNAL, "external": routes.EXTERNAL}
#: Registering a search is all that is audited here.
_AUDITS_AT_ONCE = 2


def create_app(settings: Settings | None = None, audience: Audience = "internal") -> FastAPI:
    """The tiler of one audience. Only in the internal one searches are registered.

    Raises:
        ConfigurationError: a setting or a secret is missing or wrong.
    """
    settings = settings or Settings.load()
    prefix, table = PREFIXES[audience], _ROUTES[audience]
    writer = "almagest_writer" if audience == "internal" else None
    tiler = Tiler.of(settings, Catalogue(settings, _ROLES[audience], writer), external=audience == "external")
    replay = Replay.of(settings, _ROLES[audience])
    threads = settings.tiles.concurrency
    # Of its own: what reads and registers here does so from threads.
    audits = WritePool(settings, writer, timeout_s=PATIENCE_S, most=_AUDITS_AT_ONCE) if writer else None
    recorder = Recorder.over(audits)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        # Endpoints run in threads: no more of them than this machine can render at once.
        anyio.to_thread.current_default_thread_limiter().total_tokens = threads
        tiler.catalogue.open()
        async with recorder.kept():
            yield
        if audits is not None:
            await audits.close()
        tiler.catalogue.close()
        if replay is not None:
            await replay.close()

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
    checked = [Depends(limits(settings.tiles.max_size_px)), Depends(few_positions)]
    # Before the mosaics: `register` is no search's id.
    app.include_router(searches.router(can_register=writer is not None), tags=["Searches"], dependencies=checked)
    for below, tag, router in routers(environment.gdal_options()):
        app.include_router(router, prefix=below, tags=[tag], dependencies=checked)
    docs.add_docs(app, prefix)
    docs.add_bearer(app, table)
    errors.install(app)
    app.add_exception_handler(NotModified, not_modified)

    async def ready() -> None:
        if replay is not None:
            await replay.check()
        await anyio.to_thread.run_sync(tiler.catalogue.check)

    async def canary_has_passed() -> bool:
        return await anyio.to_thread.run_sync(tiler.catalogue.canary_has_passed)

    canary = Canary(canary_has_passed) if audience == "external" else None

    def facts() -> dict[str, Any]:
        return {"pools": tiler.catalogue.use()}

    app.user_middleware = [
        *layers(
            settings, prefix, table, ready, recorder, canary, replay, facts=lambda: {"pools": tiler.catalogue.use()}
        ),
        Middleware(CacheHeaders, prefix=prefix),
    ]
    inventory.enforce(app, table)
    return app
