"""Answers nginx, which asks before it passes a request on: who is it, may he do that, and how often?

Nothing is remembered from one request to the next, so that what was revoked, has ended or has expired is refused at
once. Only how often somebody asked is counted, by :mod:`almagest.services.ops.login.limiter`.
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from typing import Any

import structlog
from starlette.datastructures import Headers
from starlette.responses import Response

from almagest.catalogue.keys import Key
from almagest.core.errors import ConfigurationError, DatabaseUnavailableError, UnauthorizedError
from almagest.services.ops import refusals
from almagest.services.ops.database import Database
from almagest.services.ops.login.limiter import Allowance, Limiter
from almagest.services.ops.login.tokens import Secret, Signer
from almagest.services.web.gate import CHALLENGE
from almagest.services.web.inventory import Scope, allows
from almagest.services.web.problem import problem

log = structlog.get_logger(__name__)

#: What can come of a question. Those that the database finds out are its own words.
OUTCOMES = (
    *("granted", "missing", "malformed", "unknown", "revoked", "expired", "ended", "disabled", "address"),
    *("scope", "quota", "unavailable"),
)
#: The cookie of the pages. nginx passes it on for these alone.
COOKIE = "almagest_session"

_BEARER = re.compile(r"[Bb][Ee][Aa][Rr][Ee][Rr] +(\S+)")


@dataclass(frozen=True)
class _Found:
    """What the database says of what somebody showed; ``id`` may be written into logs."""

    row: Any
    id: str
    key_id: str = ""


@dataclass
class Authorizer:
    """Decides, and counts what it decided.

    Attributes:
        database: is asked who it is.
        signer: has signed access tokens.
        limiter: counts requests.
        counts: how often what came of a question, since this process began.
    """

    database: Database
    signer: Signer
    limiter: Limiter
    counts: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(OUTCOMES, 0)))

    async def answer(self, headers: Headers) -> Response:
        """204 with who it is and what he may; 401; or 403, which stands for 429 where it says so.

        Raises:
            DatabaseUnavailableError: nobody can tell.
            ConfigurationError: nginx does not say which scope is needed.
        """
        required = _required(headers.get("x-required-scope", ""))
        given, cookie = headers.getlist("authorization"), _cookie(headers)
        if not given and not cookie:
            return self._refuse("missing")
        try:
            found = await self._find(given, cookie, headers)
        except UnauthorizedError:
            return self._refuse("malformed")
        except DatabaseUnavailableError:
            self._count("unavailable")
            raise
        row = found.row
        if reason := row["reason"]:
            return self._refuse(reason, found)
        if not allows(row["scopes"], required):
            self._count("scope", found.id)
            detail = f"Your key or login lacks the scope `{required}`."
            return problem(403, "forbidden", detail, headers=refusals.named(row, found.key_id))
        allowance = await self._counted(row, headers)
        if allowance is not None and not allowance.is_left:
            self._count("quota", found.id)
            # nginx knows no third way to say no.
            return Response(
                status_code=403,
                headers={"X-Refusal": "quota", **allowance.headers, **refusals.named(row, found.key_id)},
            )
        self._count("granted")
        granted = {
            "X-Subject": row["subject"],
            "X-Principal": row["name"],
            "X-Key-Id": found.key_id,
            "X-Scopes": " ".join(row["scopes"]),
            "X-Tier": row["tier"] or "",
            "X-Session": str(row.get("session") or ""),
        }
        told = {name: value for name, value in granted.items() if value}
        return Response(status_code=204, headers={**told, **(allowance.headers if allowance else {})})

    async def _find(self, given: list[str], cookie: str, headers: Headers) -> _Found:
        if not given:
            secret = Secret.of_cookie(cookie)
            return _Found(await self.database.authorize_page(secret.session, secret.sha256), secret.session.hex)
        # Two headers are as many as none: who reads the first and who the last might differ.
        bearer = _BEARER.fullmatch(given[0]) if len(given) == 1 else None
        text = bearer[1] if bearer else ""
        if text.startswith("ey"):
            claims = self.signer.read(text)
            return _Found(await self.database.authorize_token(claims.session, claims.account), claims.session.hex)
        key = Key.parse(text)
        address = client_address(headers.get("x-client-address", ""))
        return _Found(await self.database.authorize(key, address), key.id, key.id)

    async def _counted(self, row: Any, headers: Headers) -> Allowance | None:
        if row["calls"] is None or not headers.get("x-counted"):
            return None
        return await self.limiter.take("calls", row["subject"], row["calls"], row["calls_per"])

    def _refuse(self, outcome: str, found: _Found | None = None) -> Response:
        # One sentence for all, so that a stranger does not learn which ids there are.
        known = found if found is not None and outcome != "unknown" else None
        self._count(outcome, known.id if known else "")
        who = refusals.named(known.row, known.key_id) if known else {}
        return problem(401, UnauthorizedError.slug, "A valid key or token is needed.", headers={**CHALLENGE, **who})

    def _count(self, outcome: str, refused: str = "") -> None:
        self.counts[outcome] += 1
        if refused:
            log.warning("refused", id=refused, reason=outcome)


def client_address(text: str) -> str | None:
    """An address as the lists of keys hold it; None where there is none, as behind a Unix socket."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return str(getattr(address, "ipv4_mapped", None) or address)


def _cookie(headers: Headers) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""


def _required(text: str) -> Scope:
    try:
        scope = Scope(text)
    except ValueError:
        scope = Scope.NONE
    if scope.is_open:
        raise ConfigurationError(f"nginx asks for the scope {text!r}, which no key has.")
    return scope
