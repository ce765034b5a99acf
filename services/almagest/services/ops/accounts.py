"""Accounts over HTTP: `/auth` for people about themselves."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, TypeVar

import psycopg
from fastapi import FastAPI
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from almagest.catalogue import accounts, keys
from almagest.catalogue.accounts import Account
from almagest.core.errors import BadRequestError, ConfigurationError, NotFoundError, UnsupportedMediaTypeError
from almagest.services.ops.answers import json_answer
from almagest.services.ops.login.tokens import ACCESS_S, Signer
from almagest.services.ops.people import Entrance, People, Visitor, account_id
from almagest.services.ops.records import Records
from almagest.services.web.caller import Caller
from almagest.services.web.inventory import Scope
from almagest.services.web.problem import problem

_Model = TypeVar("_Model", bound=BaseModel)


class Body(BaseModel):
    """What a request may say, and nothing else."""

    model_config = ConfigDict(extra="forbid", str_max_length=1000)

    @classmethod
    async def of(cls: type[_Model], request: Request) -> _Model:
        """Reads it.

        Raises:
            ValidationError: it is not what is asked for; answered as a problem that says where.
            UnsupportedMediaTypeError: it is not said to be JSON.
        """
        content = await request.body()
        # A page of another site can make a browser send text here unasked, but nothing that says it is JSON.
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if content and kind != "application/json":
            raise UnsupportedMediaTypeError("Send JSON, and say so: `Content-Type: application/json`.")
        return cls.model_validate_json(content or b"{}")


class Credentials(Body):
    """Who says he is whom."""

    name: str = Field(examples=["ada@example.org"])
    password: str = Field(examples=["a few words make a good one"])


class Token(Body):
    """What was given at a login."""

    refresh_token: str


class PasswordChange(Body):
    """Another password."""

    current: str
    new: str


class Logout(Body):
    """Which logins are ended: this one, or all."""

    everywhere: bool = False


class NewKey(Body):
    """What a key is for, and what it may."""

    name: str = Field(examples=["nightly ingest"])
    scopes: list[str] = Field(min_length=1, max_length=20, examples=[["jobs:run"]])
    expires: AwareDatetime | None = None
    days: float | None = Field(None, gt=0, le=3650, description="How long it holds, where `expires` is not said.")
    addresses: list[str] = Field(default=[], max_length=50, examples=[["192.0.2.0/24"]])

    @property
    def until(self) -> datetime | timedelta | None:
        """When it ends."""
        return self.expires or (timedelta(days=self.days) if self.days else None)


class Reception:
    """Answers requests of people about themselves."""

    def __init__(self, people: People, records: Records, signer: Signer, base: str) -> None:
        """Args:
        people: lets them in.
        records: has their keys.
        signer: signs their tokens.
        base: public address of this API, without a slash at its end.
        """
        self._people = people
        self._records = records
        self._signer = signer
        self._base = base

    def install(self, app: FastAPI) -> None:
        """Adds the routes."""
        app.add_route("/auth/jwks.json", self.public_keys)
        app.add_route("/auth/register", self.register, methods=["POST"])
        app.add_route("/auth/login", self.login, methods=["POST"])
        app.add_route("/auth/refresh", self.refresh, methods=["POST"])
        app.add_route("/auth/logout", self.logout, methods=["POST"])
        app.add_route("/auth/password", self.change_password, methods=["PUT"])
        app.add_route("/auth/me", self.me)
        app.add_route("/auth/keys", self.list_keys)
        app.add_route("/auth/keys", self.make_key, methods=["POST"])
        app.add_route("/auth/keys/{key_id}", self.revoke_key, methods=["DELETE"])

    async def public_keys(self, _: Request) -> Response:
        """The keys that check our tokens."""
        return json_answer(self._signer.public_keys(), headers={"Cache-Control": "public, max-age=300"})

    async def register(self, request: Request) -> Response:
        """Makes an account for whoever asks."""
        body = await Credentials.of(request)
        account = await self._people.register(body.name, body.password, visitor(request))
        return json_answer(account_document(account), 201, {"Location": f"{self._base}/auth/me"})

    async def login(self, request: Request) -> Response:
        """Tokens for a name and a password."""
        body = await Credentials.of(request)
        return self._tokens(await self._people.login(body.name, body.password, "token", visitor(request)))

    async def refresh(self, request: Request) -> Response:
        """The next tokens for a refresh token, which is good no more."""
        body = await Token.of(request)
        return self._tokens(await self._people.refresh(body.refresh_token))

    async def logout(self, request: Request) -> Response:
        """Ends this login, or all."""
        body, caller = await Logout.of(request), Caller.of(request.scope)
        if body.everywhere:
            await self._people.leave_everywhere(caller.subject)
        else:
            await self._people.leave(caller.session)
        return Response(status_code=204)

    async def change_password(self, request: Request) -> Response:
        """Another password; every login ends, this one as well."""
        body = await PasswordChange.of(request)
        await self._people.change_password(Caller.of(request.scope).subject, body.current, body.new)
        return Response(status_code=204)

    async def me(self, request: Request) -> Response:
        """Who it is, what he may, how much of it, and where he is logged in."""
        caller = Caller.of(request.scope)
        account = await self._people.account(caller.subject)

        def work(connection: psycopg.Connection[Any]) -> tuple[Any, Any]:
            return accounts.logins(connection, account.id), accounts.tiers(connection)

        logins, tiers = await self._records.ask(work)
        shown = [
            {
                "kind": login.kind,
                "since": login.created_at,
                "last_used": login.last_used_at,
                "expires": login.expires_at,
                "address": login.address,
                "agent": login.agent,
                "is_this": str(login.id) == caller.session,
            }
            for login in logins
        ]
        document = {**account_document(account), "quotas": quotas(tiers.get(account.tier, {})), "logins": shown}
        return json_answer(document)

    async def list_keys(self, request: Request) -> Response:
        """One's own keys."""
        account = account_id(Caller.of(request.scope).subject)
        found = await self._records.ask(lambda connection: keys.entries(connection, account))
        return json_answer({"keys": [key_document(entry) for entry in found]})

    async def make_key(self, request: Request) -> Response:
        """A key that may what its owner may, or less. It is shown this once."""
        body, caller = await NewKey.of(request), Caller.of(request.scope)
        if missing := [scope for scope in body.scopes if not caller.may(scope)]:
            return problem(403, "forbidden", f"A key cannot allow what you may not: `{missing[0]}`.")
        return await made_key(self._records, body, account_id(caller.subject))

    async def revoke_key(self, request: Request) -> Response:
        """Ends one of one's own keys."""
        account = account_id(Caller.of(request.scope).subject)
        key_id = request.path_params["key_id"]

        def work(connection: psycopg.Connection[Any]) -> None:
            if key_id not in {entry.id for entry in keys.entries(connection, account)}:
                raise NotFoundError("You have no such key.")
            keys.revoke(connection, key_id)

        await self._records.ask(work)
        return Response(status_code=204)

    def _tokens(self, entrance: Entrance) -> Response:
        """As OAuth 2.0 answers (RFC 6749, 5.1)."""
        scopes = [*entrance.scopes, Scope.ACCOUNT]
        token = self._signer.access_token(entrance.account, entrance.secret.session, entrance.name, scopes)
        return json_answer(
            {
                "access_token": token,
                "token_type": "Bearer",
                "expires_in": ACCESS_S,
                "refresh_token": self._signer.refresh_token(entrance.secret),
                "scope": " ".join(scopes),
            }
        )


async def made_key(records: Records, body: NewKey, account: Any) -> Response:
    """Makes a key and shows it.

    Raises:
        BadRequestError: it cannot be; says why.
    """

    def work(connection: psycopg.Connection[Any]) -> tuple[keys.Key, list[keys.Entry]]:
        try:
            key = keys.create(
                connection, body.name, body.scopes, expires=body.until, addresses=body.addresses, account=account
            )
        except ConfigurationError as error:
            raise BadRequestError(str(error)) from None
        return key, keys.entries(connection, account)

    key, entries = await records.ask(work)
    entry = next(entry for entry in entries if entry.id == key.id)
    return json_answer({**key_document(entry), "key": key.reveal()}, 201)


def visitor(request: Request) -> Visitor:
    """From where a request comes."""
    return Visitor(Caller.of(request.scope).address, request.headers.get("user-agent", ""))


def account_document(account: Account) -> dict[str, Any]:
    """An account, for whoever it is and for admins."""
    return {
        "id": account.subject,
        "name": account.name,
        "role": account.role,
        "tier": account.tier,
        "scopes": account.scopes,
        "own_tier": account.own_tier,
        "own_scopes": account.own_scopes,
        "provider": account.issuer,
        "created": account.created_at,
        "last_login": account.last_login_at,
        "disabled": account.disabled_at,
    }


def key_document(entry: keys.Entry) -> dict[str, Any]:
    """A key, without its secret."""
    return {
        "id": entry.id,
        "name": entry.name,
        "owner": entry.owner,
        "scopes": entry.scopes,
        "addresses": entry.addresses,
        "created": entry.created_at,
        "expires": entry.expires_at,
        "revoked": entry.revoked_at,
        "last_used": entry.last_used_at,
        "active": entry.active,
    }


def quotas(tier: dict[str, tuple[int, timedelta | None]]) -> dict[str, dict[str, int | None]]:
    """What a tier allows: how many, and within how many seconds."""
    return {
        name: {"most": most, "per_s": int(per.total_seconds()) if per else None} for name, (most, per) in tier.items()
    }
