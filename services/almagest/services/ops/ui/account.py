"""The page of one's own account: quotas, keys, logins, password."""

from __future__ import annotations

import contextlib
from typing import Any

import psycopg
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from almagest.catalogue import accounts, keys
from almagest.core.errors import AlmagestError, BadRequestError, NotFoundError
from almagest.services.ops.authorization import COOKIE
from almagest.services.ops.keyring import Keyring, NewKey
from almagest.services.ops.people import People
from almagest.services.ops.ui.rendering import Pages
from almagest.services.web.caller import Caller


class AccountPages:
    """Answers requests for this page."""

    def __init__(self, pages: Pages, people: People, keyring: Keyring) -> None:
        """Args:
        pages: makes them.
        people: knows passwords.
        keyring: makes keys.
        """
        self._pages = pages
        self._people = people
        self._keyring = keyring

    def install(self, app: FastAPI, at: str) -> None:
        """Adds the routes."""
        app.add_route(f"{at}/account", self.account)
        app.add_route(f"{at}/account/keys", self.make_key, methods=["POST"])
        app.add_route(f"{at}/account/keys/{{key_id}}/revoke", self.revoke_key, methods=["POST"])
        app.add_route(f"{at}/account/password", self.change_password, methods=["POST"])
        app.add_route(f"{at}/account/logout", self.leave_everywhere, methods=["POST"])

    async def account(self, request: Request) -> Response:
        """The page."""
        return await self._show(request)

    async def make_key(self, request: Request) -> Response:
        """A key, shown this once."""
        form, caller = await self._pages.form(request), Caller.of(request.scope)
        scopes = [scope for scope in keys.SCOPES if form.get(f"scope {scope}") == "on" and caller.may(scope)]
        try:
            wanted = NewKey.model_validate(
                {"name": form.get("name", ""), "scopes": scopes, "days": form.get("days") or None}
            )
            key, _ = await self._keyring.make_own(wanted, caller)
        except (BadRequestError, ValueError):
            error = "A key needs a name in plain letters, at least one scope, and a number of days, or none."
            return await self._show(request, 400, error=error)
        return await self._show(request, made=key.reveal())

    async def revoke_key(self, request: Request) -> Response:
        """Ends one of one's own keys."""
        await self._pages.form(request)
        with contextlib.suppress(NotFoundError):  # somebody was quicker
            await self._keyring.revoke_own(request.path_params["key_id"], Caller.of(request.scope))
        return self._pages.go("/account")

    async def change_password(self, request: Request) -> Response:
        """Another password, with which one logs in again."""
        form = await self._pages.form(request)
        try:
            await self._people.change_password(
                Caller.of(request.scope).subject, form.get("current", ""), form.get("new", "")
            )
        except AlmagestError as error:
            if error.status >= 500:
                raise
            return await self._show(request, error.status, error=str(error))
        return self._out()

    async def leave_everywhere(self, request: Request) -> Response:
        """Ends every login."""
        await self._pages.form(request)
        await self._people.leave_everywhere(Caller.of(request.scope).subject)
        return self._out()

    def _out(self) -> Response:
        answer = self._pages.go("/login")
        answer.delete_cookie(COOKIE, path=self._pages.prefix)
        return answer

    async def _show(self, request: Request, status: int = 200, error: str = "", made: str = "") -> Response:
        caller = Caller.of(request.scope)
        account = await self._people.account(caller.subject)

        def work(connection: psycopg.Connection[Any]) -> tuple[Any, Any, Any]:
            return (
                keys.entries(connection, account.id),
                accounts.logins(connection, account.id),
                accounts.tiers(connection),
            )

        own, logins, tiers = await self._keyring.records.ask(work)
        return self._pages.show(
            request,
            "account",
            status,
            account=account,
            keys=[entry for entry in own if entry.active],
            logins=logins,
            quotas=tiers.get(account.tier, {}),
            scopes=[scope for scope in keys.SCOPES if caller.may(scope)],
            error=error,
            made=made,
        )
