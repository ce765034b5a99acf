"""Puts the pages together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from almagest.core.errors import AlmagestError
from almagest.core.settings import Settings
from almagest.services.ops.keyring import Keyring
from almagest.services.ops.login.tokens import Signer
from almagest.services.ops.office import Office
from almagest.services.ops.people import People
from almagest.services.ops.records import Records
from almagest.services.ops.survey import Found
from almagest.services.ops.ui.account import AccountPages
from almagest.services.ops.ui.admin import AdminPages
from almagest.services.ops.ui.entrance import EntrancePages
from almagest.services.ops.ui.provider import ProviderPages
from almagest.services.ops.ui.rendering import Pages
from almagest.services.ops.ui.work import WorkPages
from almagest.services.web import problem
from almagest.services.web.request_id import request_id


def install(
    app: FastAPI,
    settings: Settings,
    at: str,
    prefix: str,
    *,
    people: People,
    records: Records,
    office: Office,
    signer: Signer,
    survey: Callable[[], Awaitable[Sequence[Found]]],
) -> None:
    """Adds the pages to an app.

    Args:
        app: that serves them.
        settings: of this catalogue.
        at: where they are, below the app's prefix.
        prefix: where they are, as a browser asks for them.
        people: lets people in.
        records: has keys and accounts.
        office: has jobs.
        signer: signs what forms hold.
        survey: looks how every process is.
    """
    origin = settings.site.origin
    pages = Pages(signer, prefix, origin, settings.api.title)
    entrance = EntrancePages(settings, pages, people, prefix)
    entrance.install(app, at)
    ProviderPages(settings, pages, people, entrance, signer, prefix).install(app, at)
    WorkPages(pages, office).install(app, at)
    AccountPages(pages, people, Keyring(records)).install(app, at)
    AdminPages(pages, people, records, survey).install(app, at)

    async def told(request: Request, error: Exception) -> Response:
        assert isinstance(error, AlmagestError)
        if not request.scope["path"].startswith(f"{prefix}/"):
            return await problem.answer(request, error)
        # What went wrong on our side is told by its id alone.
        detail = str(error) if error.status < 500 or error.status == 503 else f"Quote {request_id()} to the operator."
        return pages.show(request, "error", error.status, title=error.title, detail=detail)

    app.add_exception_handler(AlmagestError, told)
