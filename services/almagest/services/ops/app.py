"""Assembles the ops app. nginx asks it before it lets a request through; people and monitors ask it how things are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from importlib import metadata
from typing import Any

import orjson
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from almagest.core import secrets
from almagest.core.errors import AlmagestError, DatabaseUnavailableError
from almagest.core.settings import Settings
from almagest.pipelines import callbacks
from almagest.pipelines.outbound import Outbound
from almagest.services.ops import metrics, openapi, refusals
from almagest.services.ops.accounts import Reception
from almagest.services.ops.administration import Administration
from almagest.services.ops.answers import json_answer
from almagest.services.ops.authorization import Authorizer
from almagest.services.ops.cabinet import Cabinet
from almagest.services.ops.database import Database
from almagest.services.ops.figures import Figures
from almagest.services.ops.files import FileDesk
from almagest.services.ops.folding import keep_folding
from almagest.services.ops.housekeeping import collect, keep_house, keep_time
from almagest.services.ops.jobs import Desk
from almagest.services.ops.keyring import Keyring
from almagest.services.ops.login.limiter import Limiter
from almagest.services.ops.login.tokens import Signer
from almagest.services.ops.office import Office
from almagest.services.ops.people import People
from almagest.services.ops.records import Records
from almagest.services.ops.routes import PAGES_AT, ROUTES
from almagest.services.ops.sealing import keep_sealing
from almagest.services.ops.survey import counts, survey
from almagest.services.ops.ui import site
from almagest.services.web import docs, inventory, problem
from almagest.services.web.layers import layers
from almagest.services.web.recording import Recorder

PREFIX = "/ops"


def create_app(settings: Settings | None = None) -> FastAPI:
    """The ops app.

    Raises:
        ConfigurationError: a setting or a secret is missing or wrong.
    """
    settings = settings or Settings.load()
    database = Database(settings)
    recorder = Recorder(database.note_requests)
    signer, limiter = Signer(settings), Limiter(settings)
    authorizer = Authorizer(database, signer, limiter)
    records = Records(settings)
    office = Office(settings, records)
    cabinet = Cabinet(settings, records)
    people = People(settings, records, limiter, signer)
    here = f"{settings.site.origin}{PREFIX}"

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        tending = [
            keep_house(database),
            keep_time(database),
            keep_sealing(database),
            keep_folding(settings),
            collect(cabinet),
        ]
        chores = [asyncio.create_task(each) for each in tending]
        async with recorder.kept():
            yield
        for chore in chores:
            chore.cancel()
        await asyncio.gather(*chores, return_exceptions=True)
        await cabinet.close()
        await records.close()
        await limiter.close()
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
        answer = await authorizer.answer(request.headers)
        refusals.note(recorder, request.headers, answer)
        return answer

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
        found, told = await asyncio.gather(survey(settings), counts(settings))
        text = metrics.render(found, told, stored)
        return Response(text, media_type=metrics.MEDIA_TYPE)

    description = orjson.dumps(openapi.document(here))

    async def described(_: Request) -> Response:
        return Response(description, media_type=openapi.MEDIA_TYPE)

    async def page(_: Request) -> Response:
        return docs.page(openapi.TITLE, f"{PREFIX}/openapi.json")

    app.add_route("/authorize", authorize)
    app.add_route("/health", health)
    app.add_route("/metrics", numbers)
    app.add_route("/ready", ready)
    app.add_route("/openapi.json", described)
    app.add_route("/docs", page)
    Figures(office).install(app)
    Desk(office, here, f"{settings.site.origin}/api", Outbound.of(settings)).install(app)
    keyring = Keyring(records)
    callback_key = partial(callbacks.key, secrets.ensure(settings.secrets, secrets.CALLBACK_KEY))
    Reception(people, keyring, signer, callback_key, here).install(app)
    Administration(people, keyring, here).install(app)
    FileDesk(cabinet, settings, here).install(app)
    problem.install(app)
    site.install(
        app,
        settings,
        PAGES_AT,
        f"{PREFIX}{PAGES_AT}",
        people=people,
        records=records,
        office=office,
        signer=signer,
        survey=lambda: survey(settings),
    )

    def facts() -> dict[str, Any]:
        return {
            "pools": {"ops": database.use(), "records": records.use()},
            "authorizations": dict(authorizer.counts),
            "limits": dict(limiter.counts),
        }

    app.user_middleware = layers(settings, PREFIX, ROUTES, check, recorder, facts=facts)
    inventory.enforce(app, ROUTES)
    return app
