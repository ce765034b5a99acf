"""Answers nginx, which asks before it passes a request on: whose key is this, and may it do that?

Nothing is remembered from one request to the next, so that what was revoked or has expired is refused at once.
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from dataclasses import dataclass, field

import structlog
from starlette.datastructures import Headers
from starlette.responses import Response

from almagest.catalogue.keys import Key
from almagest.core.errors import ConfigurationError, DatabaseUnavailableError, UnauthorizedError
from almagest.services.ops import refusals
from almagest.services.ops.database import Database
from almagest.services.web.gate import CHALLENGE
from almagest.services.web.inventory import Scope
from almagest.services.web.problem import problem

log = structlog.get_logger(__name__)

#: What can come of a question. Those that the database finds out are its own words.
OUTCOMES = ("granted", "missing", "malformed", "unknown", "revoked", "expired", "address", "scope", "unavailable")

_BEARER = re.compile(r"[Bb][Ee][Aa][Rr][Ee][Rr] +(\S+)")


@dataclass
class Authorizer:
    """Decides, and counts what it decided.

    Attributes:
        database: is asked about keys.
        counts: how often what came of a question, since this process began.
    """

    database: Database
    counts: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(OUTCOMES, 0)))

    async def answer(self, headers: Headers) -> Response:
        """204 with the key's name, id and scopes; 401; or 403.

        Raises:
            DatabaseUnavailableError: nobody can tell.
            ConfigurationError: nginx does not say which scope is needed.
        """
        required = _required(headers.get("x-required-scope", ""))
        given = headers.getlist("authorization")
        if not given:
            return self._refuse("missing")
        # Two headers are as many as none: who reads the first and who the last might differ.
        found = _BEARER.fullmatch(given[0]) if len(given) == 1 else None
        try:
            key = Key.parse(found[1] if found else "")
        except UnauthorizedError:
            return self._refuse("malformed")
        try:
            row = await self.database.authorize(key, client_address(headers.get("x-client-address", "")))
        except DatabaseUnavailableError:
            self._count("unavailable")
            raise
        if reason := row["reason"]:
            return self._refuse(reason, key)
        if required not in row["scopes"] and Scope.ADMIN not in row["scopes"]:
            self._count("scope", key)
            who = refusals.named(subject=f"key:{key.id}", name=row["name"], key_id=key.id)
            return problem(403, "forbidden", f"The key lacks the scope `{required}`.", headers=who)
        self._count("granted")
        granted = {
            "X-Subject": f"key:{key.id}",
            "X-Principal": row["name"],
            "X-Key-Id": key.id,
            "X-Scopes": " ".join(row["scopes"]),
        }
        return Response(status_code=204, headers=granted)

    def _refuse(self, outcome: str, key: Key | None = None) -> Response:
        # One sentence for all, so that a stranger does not learn which ids there are.
        known = key if outcome != "unknown" else None
        self._count(outcome, known)
        who = refusals.named(subject=f"key:{known.id}", key_id=known.id) if known else {}
        return problem(401, UnauthorizedError.slug, "A valid key is needed.", headers={**CHALLENGE, **who})

    def _count(self, outcome: str, refused: Key | None = None) -> None:
        self.counts[outcome] += 1
        if refused:
            log.warning("key refused", key_id=refused.id, reason=outcome)


def client_address(text: str) -> str | None:
    """An address as the lists of keys hold it; None where there is none, as behind a Unix socket."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return str(getattr(address, "ipv4_mapped", None) or address)


def _required(text: str) -> Scope:
    try:
        scope = Scope(text)
    except ValueError:
        scope = Scope.NONE
    if scope.is_open:
        raise ConfigurationError(f"nginx asks for the scope {text!r}, which no key has.")
    return scope
