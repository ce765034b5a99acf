"""Assembles the ops app. nginx asks it before it lets a request through; people and monitors ask it how things are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import metadata

import orjson
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from almagest.core.errors import AlmagestError, DatabaseUnavailableError
from almagest.core.settings import Settings
from almagest.services.ops import metrics, openapi
from almagest.services.ops.answers import json_answer
from almagest.services.ops.authorization import Authorizer
from almagest.services.ops.database import Database
from almagest.services.ops.housekeeping import keep_house
from almagest.services.ops.jobs import Desk
from almagest.services.ops.office import Office
from almagest.services.ops.routes import ROUTES
from almagest.services.ops.survey import counts, survey
from almagest.services.web import docs, inventory, problem
from almagest.services.web.layers import layers

PREFIX = "/ops"


def create_app(settings: Settings | None = None) -> FastAPI:
    """The ops app.

    Raises:
        ConfigurationError: a setting or a secret is missing or wrong.
    """
    settings = settings or Settings.load()
    database = Database(settings)
    authorizer = Authorizer(database)
    office = Office(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        housekeeping = asyncio.create_task(keep_house(database))
        yield
        housekeeping.cancel()
        await office.close()
        await database.close()

    app = FastAPI(
        title=openapi.TITLE,
        version=metadata.version("almagest"),
        openapi_url=None,
        lifespan=lifespan,
    )

    async def check() -> None:
        await database.active_keys()

    async def authorize(request: Request) -> Response:
        return await authorizer.answer(request.headers)

    async def own_counts(_: Request) -> Response:
        return json_answer(dict(authorizer.counts))

    async def health(_: Request) -> Response:
        return json_answer({"status": "ok"})

    async def ready(_: Request) -> Response:
        processes = await survey(settings)
        reasons = [f"{found.process}: {found.reason}" for found in processes if found.reason]
        # One process of a service is enough to serve; what is wrong with the others is told all the same.
        alive = {found.service for found in processes if not found.reason}
        is_ready = alive == {found.service for found in processes}
        try:
            await check()
        except AlmagestError as error:
            is_ready = False
            reasons.insert(0, f"database: {error}")
        status = "ready" if is_ready else "unavailable"
        return json_answer({"status": status, "reasons": reasons}, 200 if is_ready else 503)

    async def numbers(_: Request) -> Response:
        try:
            stored = await database.stored()
        except DatabaseUnavailableError:
            stored = None
        text = metrics.render(await survey(settings), await counts(settings), stored)
        return Response(text, media_type=metrics.MEDIA_TYPE)

    base = f"{settings.site.origin}{PREFIX}"
    description = orjson.dumps(openapi.document(base))

    async def described(_: Request) -> Response:
        return Response(description, media_type=openapi.MEDIA_TYPE)

    async def page(_: Request) -> Response:
        return docs.page(openapi.TITLE, f"{PREFIX}/openapi.json")

    app.add_route("/authorize", authorize)
    app.add_route("/counts", own_counts)
    app.add_route("/health", health)
    app.add_route("/metrics", numbers)
    app.add_route("/ready", ready)
    app.add_route("/openapi.json", described)
    app.add_route("/docs", page)
    Desk(office, base, f"{settings.site.origin}/api").install(app)
    problem.install(app)
    app.user_middleware = layers(settings, PREFIX, ROUTES, check)
    inventory.enforce(app, ROUTES)
    return app
