"""Pages for who has not logged in yet, and the way out."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from almagest.core.errors import AlmagestError, NotFoundError
from almagest.core.settings import Settings
from almagest.services.ops.accounts import visitor
from almagest.services.ops.authorization import COOKIE
from almagest.services.ops.people import Entrance, People
from almagest.services.ops.ui import forms
from almagest.services.ops.ui.rendering import Pages
from almagest.services.web.caller import Caller

_STATIC = Path(__file__).parent / "static"


class EntrancePages:
    """Answers requests for these pages."""

    def __init__(self, settings: Settings, pages: Pages, people: People, prefix: str) -> None:
        """Args:
        settings: of this catalogue.
        pages: makes them.
        people: lets them in.
        prefix: where the pages are, as a browser asks for them.
        """
        self._settings = settings
        self._pages = pages
        self._people = people
        self._prefix = prefix

    def install(self, app: FastAPI, at: str) -> None:
        """Adds the routes."""
        app.add_route(f"{at}/static/{{file}}", self.static)
        app.add_route(f"{at}/login", self.login_page)
        app.add_route(f"{at}/login", self.login, methods=["POST"])
        app.add_route(f"{at}/register", self.register_page)
        app.add_route(f"{at}/register", self.register, methods=["POST"])
        app.add_route(f"{at}/logout", self.logout, methods=["POST"])

    async def static(self, request: Request) -> Response:
        """Style sheets and scripts."""
        path = _STATIC / request.path_params["file"]
        if path.parent != _STATIC or not path.is_file():
            raise NotFoundError()
        return FileResponse(path, headers={"Cache-Control": "no-cache"})

    async def login_page(self, request: Request) -> Response:
        """Where one logs in."""
        return self._login_page(request)

    async def login(self, request: Request) -> Response:
        """Lets somebody in, and to the page that he wanted."""
        form = await forms.read(request, self._settings.site.origin, csrf=None)
        try:
            entrance = await self._people.login(
                form.get("name", ""), form.get("password", ""), "page", visitor(request)
            )
        except AlmagestError as error:
            if error.status >= 500:
                raise
            return self._login_page(request, error, form.get("name", ""))
        return self.let_in(entrance, _wanted(request, self._prefix))

    async def register_page(self, request: Request) -> Response:
        """Where one makes an account."""
        return self._register_page(request)

    async def register(self, request: Request) -> Response:
        """Makes an account, and lets its owner in."""
        form = await forms.read(request, self._settings.site.origin, csrf=None)
        name, password = form.get("name", ""), form.get("password", "")
        try:
            await self._people.register(name, password, visitor(request))
            entrance = await self._people.login(name, password, "page", visitor(request))
        except AlmagestError as error:
            if error.status >= 500:
                raise
            return self._register_page(request, error, name)
        return self.let_in(entrance, "/")

    async def logout(self, request: Request) -> Response:
        """The way out."""
        await self._pages.form(request)
        await self._people.leave(Caller.of(request.scope).session)
        answer = self._pages.go("/login")
        answer.delete_cookie(COOKIE, path=self._prefix)
        return answer

    def let_in(self, entrance: Entrance, path: str) -> Response:
        """Gives the browser the cookie of a login, and sends it on."""
        answer = self._pages.go(path)
        self.give_cookie(answer, entrance)
        return answer

    def give_cookie(self, answer: Response, entrance: Entrance) -> None:
        """Puts the cookie of a login into an answer. It goes to these pages alone, and only from pages of ours."""
        answer.set_cookie(
            COOKIE,
            entrance.secret.cookie,
            max_age=int(self._people.lasts.total_seconds()),
            path=self._prefix,
            secure=self._settings.site.origin.startswith("https:"),
            httponly=True,
            samesite="strict",
        )

    def _login_page(self, request: Request, error: AlmagestError | None = None, name: str = "") -> Response:
        return self._pages.show(
            request,
            "login",
            error.status if error else 200,
            error=str(error) if error else "",
            name=name,
            query=request.scope["query_string"].decode("latin-1"),
            may_register=self._people.may_register(visitor(request)),
            provider=self._settings.accounts.oidc_name if self._settings.accounts.oidc_issuer else "",
        )

    def _register_page(self, request: Request, error: AlmagestError | None = None, name: str = "") -> Response:
        return self._pages.show(
            request,
            "register",
            error.status if error else 200,
            error=str(error) if error else "",
            name=name,
            may_register=self._people.may_register(visitor(request)),
        )


def _wanted(request: Request, prefix: str) -> str:
    """Where somebody wanted to go, below the pages; nowhere else is he sent."""
    # nginx writes the address as it came, behind everything else.
    _, _, wanted = request.scope["query_string"].decode("latin-1").partition("next=")
    wanted = wanted if wanted.startswith("/") else unquote(wanted)
    below = wanted.removeprefix(f"{prefix}/")
    is_plain = ".." not in unquote(below) and bool(re.fullmatch(r"[\w.~%?=&-]+(/[\w.~%?=&-]*)*", below, re.ASCII))
    return f"/{below}" if below != wanted and is_plain else "/"
