"""Administration over HTTP: `/admin`, for those who may everything."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg
from fastapi import FastAPI
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from almagest.catalogue import accounts, jobs, keys
from almagest.catalogue.accounts import Account
from almagest.core.errors import BadRequestError, ForbiddenError, NotFoundError
from almagest.services.ops.accounts import account_document, key_document, quotas, shown_once
from almagest.services.ops.answers import json_answer
from almagest.services.ops.asked import page_size
from almagest.services.ops.keyring import Keyring, NewKey
from almagest.services.ops.people import People
from almagest.services.ops.requested import Body
from almagest.services.web.caller import Caller

_PAGE, _LARGEST_PAGE = 100, 1000


class NewAccount(Body):
    """An account that an admin makes for somebody."""

    name: str
    password: str
    role: str = "USER"


class Change(Body):
    """What becomes of an account; what is not named stays as it is."""

    role: str | None = None
    tier: str | None = Field(None, description="Its own; null: that of its role.")
    scopes: list[str] | None = Field(None, max_length=20, description="Beside those of its role.")
    disabled: bool | None = None
    password: str | None = None


class CleanUp(Body):
    """What is removed: jobs that ended so long ago."""

    days: float = Field(30, ge=0, le=3650)


class Administration:
    """Answers requests of admins."""

    def __init__(self, people: People, keyring: Keyring, base: str) -> None:
        """Args:
        people: lets others in.
        keyring: makes keys.
        base: public address of this API, without a slash at its end.
        """
        self._people = people
        self._keyring = keyring
        self._records = keyring.records
        self._base = base

    def install(self, app: FastAPI) -> None:
        """Adds the routes."""
        app.add_route("/admin/accounts", self.list_accounts)
        app.add_route("/admin/accounts", self.make_account, methods=["POST"])
        app.add_route("/admin/accounts/{name}", self.account)
        app.add_route("/admin/accounts/{name}", self.change_account, methods=["PATCH"])
        app.add_route("/admin/accounts/{name}/logout", self.log_out, methods=["POST"])
        app.add_route("/admin/keys", self.list_keys)
        app.add_route("/admin/keys", self.make_key, methods=["POST"])
        app.add_route("/admin/keys/{key_id}", self.revoke_key, methods=["DELETE"])
        app.add_route("/admin/tiers", self.tiers)
        app.add_route("/admin/clean-up", self.clean_up, methods=["POST"])

    async def list_accounts(self, request: Request) -> Response:
        """Accounts in the order of their names, or those whose names hold something."""
        limit = page_size(request, _PAGE, _LARGEST_PAGE)
        query = request.query_params
        behind, containing = query.get("after", ""), query.get("q", "").lower()
        found = await self._records.ask(lambda connection: accounts.listed(connection, behind, limit + 1, containing))
        links = []
        if len(found) > limit:
            further = request.url.include_query_params(after=found[limit - 1].name).query
            links.append({"rel": "next", "type": "application/json", "href": f"{self._base}/admin/accounts?{further}"})
        return json_answer({"accounts": [account_document(account) for account in found[:limit]], "links": links})

    async def make_account(self, request: Request) -> Response:
        """An account for somebody."""
        _by_a_person(request)
        body = await NewAccount.of(request)
        account = await self._people.create(body.name, body.password, body.role)
        return json_answer(account_document(account), 201, {"Location": f"{self._base}/admin/accounts/{account.name}"})

    async def account(self, request: Request) -> Response:
        """One account, with its keys."""
        account = await self._find(request)
        found = await self._records.ask(lambda connection: keys.entries(connection, account.id))
        return json_answer({**account_document(account), "keys": [key_document(entry) for entry in found]})

    async def change_account(self, request: Request) -> Response:
        """Another role, tier, scopes or password; and whether it is let in."""
        _by_a_person(request)
        body, account = await Change.of(request), await self._find(request)
        changed = await self._people.change(account, **body.model_dump(exclude_unset=True))
        return json_answer(account_document(changed))

    async def log_out(self, request: Request) -> Response:
        """Ends every login of an account."""
        account = await self._find(request)
        await self._people.leave_everywhere(account.subject)
        return Response(status_code=204)

    async def list_keys(self, _: Request) -> Response:
        """Every key there ever was."""
        found = await self._records.ask(keys.entries)
        return json_answer({"keys": [key_document(entry) for entry in found]})

    async def make_key(self, request: Request) -> Response:
        """A key that belongs to nobody: of a pipeline."""
        _by_a_person(request)
        return shown_once(await self._keyring.make(await NewKey.of(request), None))

    async def revoke_key(self, request: Request) -> Response:
        """Ends a key, whosever it is."""
        await self._keyring.revoke(request.path_params["key_id"])
        return Response(status_code=204)

    async def tiers(self, _: Request) -> Response:
        """What there is: roles with their scopes and tiers, tiers with their quotas."""

        def work(connection: psycopg.Connection[Any]) -> tuple[Any, Any]:
            return accounts.roles(connection), accounts.tiers(connection)

        roles, tiers = await self._records.ask(work)
        return json_answer(
            {
                "roles": {name: {"scopes": scopes, "tier": tier} for name, (scopes, tier) in roles.items()},
                "tiers": {name: quotas(found) for name, found in tiers.items()},
            }
        )

    async def clean_up(self, request: Request) -> Response:
        """Removes jobs that ended long ago, some thousand at a time."""
        body = await CleanUp.of(request)
        removed = await self._records.ask(lambda connection: jobs.expire(connection, timedelta(days=body.days)))
        return json_answer({"jobs": removed})

    async def _find(self, request: Request) -> Account:
        try:
            name = accounts.checked_name(request.path_params["name"])
        except BadRequestError:
            raise NotFoundError("There is no such account.") from None
        return await self._records.ask(lambda connection: accounts.find(connection, name=name))


def _by_a_person(request: Request) -> None:
    """Only who has logged in makes accounts and keys: a key that leaks must not make others, nor outlive itself.

    Raises:
        ForbiddenError: a key asks.
    """
    if not Caller.of(request.scope).session:
        raise ForbiddenError("A key cannot do this: log in, or use the `almagest` command.")
