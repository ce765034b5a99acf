"""Logging in with an OpenID provider, by Authlib."""

from __future__ import annotations

from typing import Any

import httpx2
import structlog
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.starlette_client import OAuth
from fastapi import FastAPI
from joserfc.errors import JoseError
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from almagest.core import secrets
from almagest.core.errors import AlmagestError, NotFoundError
from almagest.core.settings import Settings
from almagest.services.ops.accounts import visitor
from almagest.services.ops.login.tokens import Signer
from almagest.services.ops.people import People
from almagest.services.ops.ui.entrance import EntrancePages
from almagest.services.ops.ui.rendering import Pages

log = structlog.get_logger(__name__)

#: Somebody logs in at his provider within this, or begins anew [s].
_PATIENCE_S = 600
_TIMEOUT_S = 10.0


class ProviderUnavailableError(AlmagestError):
    """The provider of logins does not answer, or not as it should. Try again in a moment."""

    status = 503
    slug = "provider-unavailable"


class NotVouchedForError(AlmagestError):
    """The provider did not vouch for you, or the login took too long: begin anew."""

    status = 401
    slug = "not-vouched-for"


class ProviderPages:
    """Answers requests on the way to the provider and back."""

    def __init__(
        self, settings: Settings, pages: Pages, people: People, entrance: EntrancePages, signer: Signer, prefix: str
    ) -> None:
        """Args:
        settings: name the provider.
        pages: makes pages.
        people: lets those in whom it vouches for.
        entrance: gives them their cookie.
        signer: signs what is remembered of a login meanwhile.
        prefix: where the pages are, as a browser asks for them.
        """
        self._issuer = settings.accounts.oidc_issuer.rstrip("/")
        self._pages = pages
        self._people = people
        self._entrance = entrance
        self._callback = f"{settings.site.origin}{prefix}/oidc/callback"
        self._remembered = Middleware(
            SessionMiddleware,
            secret_key=signer.session_key(),
            session_cookie="almagest_oidc",
            max_age=_PATIENCE_S,
            path=f"{prefix}/oidc",
            same_site="lax",  # it has to come back from the provider's page
            https_only=settings.site.origin.startswith("https:"),
        )
        self._client = _client(settings) if self._issuer else None

    def install(self, app: FastAPI, at: str) -> None:
        """Adds the routes."""
        for path, endpoint in (("login", self.login), ("callback", self.callback)):
            app.router.routes.append(Route(f"{at}/oidc/{path}", endpoint, middleware=[self._remembered]))

    async def login(self, request: Request) -> Response:
        """Sends somebody to the provider."""
        if self._client is None:
            raise NotFoundError("There is no provider here: log in with a password.")
        try:
            answer: Response = await self._client.authorize_redirect(request, self._callback)
        except (httpx2.HTTPError, OAuthError, ValueError, KeyError) as error:
            log.error("the provider cannot be asked", issuer=self._issuer, reason=repr(error))
            raise ProviderUnavailableError() from None
        return answer

    async def callback(self, request: Request) -> Response:
        """Lets somebody in who comes back from there."""
        if self._client is None:
            raise NotFoundError("There is no provider here: log in with a password.")
        try:
            token = await self._client.authorize_access_token(request)
        except httpx2.HTTPError as error:
            log.error("the provider cannot be asked", issuer=self._issuer, reason=repr(error))
            raise ProviderUnavailableError() from None
        except (OAuthError, JoseError, ValueError, KeyError) as error:
            log.warning("login refused", issuer=self._issuer, reason=repr(error)[:300])
            raise NotVouchedForError() from None
        claims: dict[str, Any] = token.get("userinfo") or {}
        if not claims.get("sub"):
            raise NotVouchedForError()
        hint = str(claims.get("preferred_username") or claims.get("email") or claims["sub"])
        entrance = await self._people.login_from(self._issuer, str(claims["sub"]), hint, visitor(request))
        # A redirect would still count as coming from the provider's page, and the cookie stay at home.
        answer = self._pages.show(request, "arrived")
        self._entrance.give_cookie(answer, entrance)
        return answer


def _client(settings: Settings) -> Any:
    accounts = settings.accounts
    oauth = OAuth()
    return oauth.register(
        name="provider",
        client_id=accounts.oidc_client_id,
        client_secret=secrets.require(settings.secrets, secrets.OIDC_SECRET),
        server_metadata_url=f"{accounts.oidc_issuer.rstrip('/')}/.well-known/openid-configuration",
        client_kwargs={
            "scope": "openid profile email",
            "code_challenge_method": "S256",
            "timeout": _TIMEOUT_S,
            "trust_env": False,
        },
    )
