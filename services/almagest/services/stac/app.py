"""Assembles the STAC API."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib import metadata
from typing import Any

from fastapi import Depends, FastAPI
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource
from stac_fastapi.api.app import StacApi
from stac_fastapi.types.config import ApiSettings
from stac_fastapi.types.conformance import BASE_CONFORMANCE_CLASSES

from almagest.catalogue.migrate import TESTED_PGSTAC
from almagest.catalogue.paging import TokenKey
from almagest.core import secrets
from almagest.core.errors import DatabaseUnavailableError
from almagest.core.hrefs import HrefPolicy
from almagest.core.processes import Audience
from almagest.core.settings import Settings
from almagest.services.assets.router import router as assets
from almagest.services.stac import (
    aggregating,
    changes,
    coverage,
    describing,
    lineage,
    map_page,
    pairing,
    registering,
    routes,
    streaming,
    transactions,
    versions,
)
from almagest.services.stac.as_of import CollectionAsOf, ItemAsOf, refused
from almagest.services.stac.client import CatalogueClient, QueryablesClient
from almagest.services.stac.collections import CollectionReader
from almagest.services.stac.extensions import SORT_1_0, extensions
from almagest.services.stac.history import History
from almagest.services.stac.links import Links
from almagest.services.stac.search import ItemSearch
from almagest.services.stac.storing import Store
from almagest.services.stac.tiles import TileLinks
from almagest.services.stac.writing import Writer
from almagest.services.web import docs, inventory, problem
from almagest.services.web.canary import Canary
from almagest.services.web.layers import layers
from almagest.services.web.pool import Pool, WritePool
from almagest.services.web.recording import Recorder
from almagest.services.web.replay import Replay
from almagest.services.web.tripwire import HiddenHref

PREFIXES: dict[Audience, str] = {"internal": "/api", "external": "/external"}
STAC_VERSION = "1.1.0"

_ROLES: dict[Audience, str] = {"internal": "almagest_reader", "external": "almagest_external"}
_ROUTES = {"internal": routes.INTERNAL, "external": routes.EXTERNAL}


def create_app(settings: Settings | None = None, audience: Audience = "internal") -> FastAPI:
    """The STAC API of one audience, with its assets. Only the internal one can be written to.

    Raises:
        ConfigurationError: a setting or a secret is missing or wrong.
    """
    settings = settings or Settings.load()
    prefix, table = PREFIXES[audience], _ROUTES[audience]
    reads, replay = Pool(settings, _ROLES[audience]), Replay.of(settings, _ROLES[audience])
    # A write may take as long as its client is given.
    writes = (
        WritePool(settings, "almagest_writer", timeout_s=float(settings.site.request_timeout_s))
        if audience == "internal"
        else None
    )
    recorder = Recorder.over(writes)
    public = Links(f"{settings.site.origin}{prefix}/")
    policy = HrefPolicy.of(settings, external=audience == "external")
    tiles = TileLinks(policy, f"{settings.site.origin}{prefix}/tiles")
    catalogue = CollectionReader(reads, tiles)
    key = TokenKey(
        secrets.ensure(settings.secrets, secrets.TOKEN_KEY).encode(),
        audience,
        (secrets.read(settings.secrets, secrets.PREVIOUS_TOKEN_KEY) or "").encode(),
    )
    offered = extensions(QueryablesClient(catalogue=catalogue))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with recorder.kept():
            yield
        for opened in (reads, writes, replay):
            if opened is not None:
                await opened.close()

    library_settings = _LibrarySettings(
        stac_fastapi_title=settings.api.title,
        stac_fastapi_description=settings.api.description,
        stac_fastapi_version=metadata.version("almagest"),
        stac_fastapi_landing_id=settings.api.catalog_id,
    )
    app = FastAPI(
        title=settings.api.title,
        description=settings.api.description,
        version=metadata.version("almagest"),
        openapi_url=library_settings.openapi_url,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    search = ItemSearch(reads, key, tiles)
    history = History(reads, public)
    client = CatalogueClient(
        search=search,
        streams=streaming.Streams(
            search,
            most=settings.api.stream_max_items if writes else settings.api.stream_max_items_external,
            timeout_s=settings.site.request_timeout_s,
            hidden=None if writes else HiddenHref.of(settings),
        ),
        catalogue=catalogue,
        history=history,
        public=public,
        search_model=offered.search_post,
        base_conformance_classes=[
            *BASE_CONFORMANCE_CLASSES,
            *SORT_1_0,
            *aggregating.CONFORMANCE,
            *pairing.CONFORMANCE,
            *(transactions.CONFORMANCE if writes else ()),
        ],
        landing_page_id=settings.api.catalog_id,
    )
    _Api(
        app=app,
        settings=library_settings,
        stac_version=STAC_VERSION,
        client=client,
        extensions=offered.all,
        exceptions={},
        search_get_request_model=offered.search_get,
        search_post_request_model=offered.search_post,
        items_get_request_model=offered.items_get,
        collections_get_request_model=offered.collections_get,
        collection_get_request_model=CollectionAsOf,
        item_get_request_model=ItemAsOf,
        middlewares=[],
    )
    present_only = [Depends(refused)]
    if writes is not None:
        writer = Writer(Store(writes), settings, public)
        app.include_router(
            transactions.router(writer, public, require_if_match=settings.api.require_if_match),
            dependencies=present_only,
        )
        app.include_router(registering.router(writer, public), dependencies=present_only)
    app.include_router(versions.router(history), dependencies=present_only)
    follower = changes.Follower.of(
        reads, key, public, outside=audience == "external", patience_s=float(settings.site.request_timeout_s)
    )
    app.include_router(changes.router(follower), dependencies=present_only)
    app.include_router(
        lineage.router(
            lineage.Lineage(reads, public, settings.site.origin),
            f"{settings.site.origin}/ops/jobs/",
            tells_stale=audience == "internal",
        ),
        dependencies=present_only,
    )
    aggregator = aggregating.Aggregator(reads, catalogue, public)
    app.include_router(aggregating.router(aggregator, client), dependencies=present_only)
    covering = coverage.Covering(aggregator, settings.site.origin, is_inside=audience == "internal")
    app.include_router(coverage.router(covering, client), dependencies=present_only)
    app.include_router(pairing.router(pairing.PairSearch(reads, key, search, public)), dependencies=present_only)
    app.include_router(assets(reads, settings))
    docs.add_docs(app, prefix)
    map_page.install(app)
    streaming.describe(app)
    describing.describe(app)
    docs.add_bearer(app, table)
    problem.install(app)

    async def ready() -> None:
        if replay is not None:
            await replay.check()
        async with reads.connection() as connection:
            version = await connection.fetchval("SELECT port_version()")
        if version not in TESTED_PGSTAC:
            raise DatabaseUnavailableError(f"pgSTAC {version} was never tested with this Almagest.")

    async def canary_has_passed() -> bool:
        async with reads.connection() as connection:
            return bool(await connection.fetchval("SELECT canary_has_passed()"))

    async def epoch(collections: Sequence[str] | None) -> int:
        async with reads.connection() as connection:
            return int(await connection.fetchval("SELECT epoch($1)", collections))

    def facts() -> dict[str, Any]:
        return {"pools": {"reads": reads.use(), **({"writes": writes.use()} if writes else {})}}

    canary = Canary(canary_has_passed) if audience == "external" else None
    app.user_middleware = layers(settings, prefix, table, ready, recorder, canary, replay, epoch, facts)
    inventory.enforce(app, table)
    return app


class _Api(StacApi):
    """stac-fastapi's assembly without its own health routes: ours tell less to strangers and more to operators."""

    def add_health_check(self) -> None:
        """Adds none."""


class _LibrarySettings(ApiSettings):
    """stac-fastapi's settings, handed over whole: it would read ``.env`` and the environment."""

    openapi_url: str = "/openapi.json"
    docs_url: str = "/docs"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        *_: PydanticBaseSettingsSource,
        **__: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Nothing but what is handed over."""
        return (init_settings,)
