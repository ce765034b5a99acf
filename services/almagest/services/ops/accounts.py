"""Accounts over HTTP: `/auth` for people about themselves."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psycopg
from fastapi import FastAPI
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from almagest.catalogue import accounts, keys
from almagest.catalogue.accounts import Account
from almagest.services.ops.answers import json_answer
from almagest.services.ops.keyring import Keyring, NewKey
from almagest.services.ops.login.tokens import ACCESS_S, Signer
from almagest.services.ops.people import Entrance, People, Visitor
from almagest.services.ops.requested import Body
from almagest.services.web.caller import Caller
from almagest.services.web.inventory import Scope


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


class Reception:
    """Answers requests of people about themselves."""

    def __init__(
        self, people: People, keyring: Keyring, signer: Signer, callback_key: Callable[[str], str], base: str
    ) -> None:
        """Args:
        people: lets them in.
        keyring: makes their keys.
        signer: signs their tokens.
        callback_key: what the callbacks of somebody's jobs are signed with.
        base: public address of this API, without a slash at its end.
        """
        self._people = people
        self._keyring = keyring
        self._signer = signer
        self._callback_key = callback_key
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
        app.add_route("/auth/callback-key", self.callback_key)

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

        logins, tiers = await self._keyring.records.ask(work)
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
        found = await self._keyring.own(Caller.of(request.scope))
        return json_answer({"keys": [key_document(entry) for entry in found]})

    async def make_key(self, request: Request) -> Response:
        """A key that may what its owner may, or less. It is shown this once."""
        return shown_once(await self._keyring.make_own(await NewKey.of(request), Caller.of(request.scope)))

    async def revoke_key(self, request: Request) -> Response:
        """Ends one of one's own keys."""
        await self._keyring.revoke_own(request.path_params["key_id"], Caller.of(request.scope))
        return Response(status_code=204)

    async def callback_key(self, request: Request) -> Response:
        """What callbacks of one's jobs are signed with: their receiver checks them by it."""
        return json_answer({"key": self._callback_key(Caller.of(request.scope).subject)})

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


def shown_once(made: tuple[keys.Key, keys.Entry]) -> Response:
    """A key that was made, with its secret."""
    key, entry = made
    return json_answer({**key_document(entry), "key": key.reveal()}, 201)


def quotas(tier: dict[str, tuple[int, timedelta | None]]) -> dict[str, dict[str, int | None]]:
    """What a tier allows: how many, and within how many seconds."""
    return {
        name: {"most": most, "per_s": int(per.total_seconds()) if per else None} for name, (most, per) in tier.items()
    }
