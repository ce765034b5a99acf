"""Pages for admins: how everything is, and everybody's account and keys."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any

import psycopg
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from almagest.catalogue import accounts, jobs, keys
from almagest.core.errors import AlmagestError, ConfigurationError
from almagest.services.ops.people import People
from almagest.services.ops.records import Records
from almagest.services.ops.survey import Found
from almagest.services.ops.ui.rendering import Pages

_PAGE = 200


class AdminPages:
    """Answers requests for these pages."""

    def __init__(
        self,
        pages: Pages,
        people: People,
        records: Records,
        survey: Callable[[], Awaitable[Sequence[Found]]],
    ) -> None:
        """Args:
        pages: makes them.
        people: makes accounts.
        records: has everything.
        survey: looks how every process is.
        """
        self._pages = pages
        self._people = people
        self._records = records
        self._survey = survey

    def install(self, app: FastAPI, at: str) -> None:
        """Adds the routes."""
        app.add_route(f"{at}/admin", self.dashboard)
        app.add_route(f"{at}/admin/clean-up", self.clean_up, methods=["POST"])
        app.add_route(f"{at}/admin/accounts", self.make_account, methods=["POST"])
        app.add_route(f"{at}/admin/accounts/{{name}}", self.account)
        app.add_route(f"{at}/admin/accounts/{{name}}", self.change_account, methods=["POST"])
        app.add_route(f"{at}/admin/keys/{{key_id}}/revoke", self.revoke_key, methods=["POST"])

    async def dashboard(self, request: Request) -> Response:
        """How everything is."""
        return await self._dashboard(request)

    async def clean_up(self, request: Request) -> Response:
        """Removes jobs that ended long ago."""
        form = await self._pages.form(request)
        days = form.get("days", "")
        if not days.isdecimal() or len(days) > 4:
            return await self._dashboard(request, 400, "Days: a whole number.")
        removed = await self._records.ask(lambda connection: jobs.expire(connection, timedelta(days=int(days))))
        return await self._dashboard(request, done=f"{removed} jobs are removed.")

    async def make_account(self, request: Request) -> Response:
        """An account for somebody."""
        form = await self._pages.form(request)
        try:
            account = await self._people.create(
                form.get("name", ""), form.get("password", ""), form.get("role", "USER")
            )
        except AlmagestError as error:
            if error.status >= 500:
                raise
            return await self._dashboard(request, error.status, str(error))
        return self._pages.go(f"/admin/accounts/{account.name}")

    async def account(self, request: Request) -> Response:
        """Somebody's account."""
        return await self._account(request)

    async def change_account(self, request: Request) -> Response:
        """Another role, tier, scopes or password; and whether it is let in."""
        form = await self._pages.form(request)
        name = request.path_params["name"]
        account = await self._records.ask(lambda connection: accounts.find(connection, name=name))
        scopes = [scope for scope in keys.SCOPES if form.get(f"scope {scope}") == "on"]
        try:
            await self._people.change(
                account,
                form.get("password") or None,
                role=form.get("role"),
                tier=form.get("tier") or None,
                scopes=scopes,
                disabled=form.get("disabled") == "on",
            )
        except AlmagestError as error:
            if error.status >= 500:
                raise
            return await self._account(request, error.status, str(error))
        return await self._account(request, done="It is changed, from the next request on.")

    async def revoke_key(self, request: Request) -> Response:
        """Ends a key, whosever it is."""
        await self._pages.form(request)
        key_id = request.path_params["key_id"]

        def work(connection: psycopg.Connection[Any]) -> str:
            try:
                return f"The key {keys.revoke(connection, key_id)} opens nothing any more."
            except ConfigurationError:
                return "There is no such key."

        return await self._dashboard(request, done=await self._records.ask(work))

    async def _dashboard(self, request: Request, status: int = 200, error: str = "", done: str = "") -> Response:
        behind, containing = request.query_params.get("after", ""), request.query_params.get("q", "").lower()

        def work(connection: psycopg.Connection[Any]) -> tuple[Any, Any, Any, Any]:
            return (
                accounts.listed(connection, behind, _PAGE + 1, containing),
                [entry for entry in keys.entries(connection) if entry.active],
                jobs.counts(connection),
                accounts.roles(connection),
            )

        people, own, counted, roles = await self._records.ask(work)
        return self._pages.show(
            request,
            "admin",
            status,
            processes=await self._survey(),
            people=people[:_PAGE],
            has_more=len(people) > _PAGE,
            containing=containing,
            keys=own,
            jobs=counted,
            roles=roles,
            error=error,
            done=done,
        )

    async def _account(self, request: Request, status: int = 200, error: str = "", done: str = "") -> Response:
        name = request.path_params["name"]

        def work(connection: psycopg.Connection[Any]) -> tuple[Any, Any, Any, Any]:
            account = accounts.find(connection, name=name)
            own = keys.entries(connection, account.id)
            return account, own, accounts.roles(connection), accounts.tiers(connection)

        account, own, roles, tiers = await self._records.ask(work)
        return self._pages.show(
            request,
            "person",
            status,
            account=account,
            keys=own,
            roles=roles,
            tiers=tiers,
            scopes=keys.SCOPES,
            error=error,
            done=done,
        )
