"""Tokens: an access token that is signed and short-lived, a refresh token that is good once, and a cookie for pages.

Whoever shows an access token is looked up all the same, so that a login ends at once: the signature only keeps
everybody else from asking.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets as random
import time
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, OKPKey
from joserfc.jwt import JWTClaimsRegistry

from almagest.core import secrets
from almagest.core.errors import ConfigurationError, UnauthorizedError
from almagest.core.settings import Settings

#: An access token is good for so long [s].
ACCESS_S = 600
_ALGORITHM = "Ed25519"
_TYPE = "at+jwt"
_SECRET = re.compile(r"[A-Za-z0-9_-]{43}")
_REFRESH = re.compile(r"alr_([0-9a-f]{32})_([A-Za-z0-9_-]{43})\.([A-Za-z0-9_-]{43})")
_COOKIE = re.compile(r"([0-9a-f]{32})\.([A-Za-z0-9_-]{43})")


@dataclass(frozen=True)
class Secret:
    """A secret of a login, as its owner holds it."""

    session: UUID
    value: str = field(repr=False)

    @property
    def sha256(self) -> bytes:
        """What the database holds of it."""
        return sha256(self.value)

    @property
    def cookie(self) -> str:
        """As the value of a cookie."""
        return f"{self.session.hex}.{self.value}"

    @classmethod
    def of_cookie(cls, text: str) -> Secret:
        """Reads the value of a cookie.

        Raises:
            UnauthorizedError: it is none of ours.
        """
        found = _COOKIE.fullmatch(text)
        if not found:
            raise UnauthorizedError("Log in again.")
        return cls(UUID(found[1]), found[2])


@dataclass(frozen=True)
class Claims:
    """What an access token says: whose login it is of."""

    account: UUID
    session: UUID


class Signer:
    """Signs tokens, and reads what it has signed."""

    def __init__(self, settings: Settings) -> None:
        """Args:
        settings: say where the keys lie, and what we are called.

        Raises:
            ConfigurationError: there is no key, or it is none.
        """
        self._issuer = settings.site.origin
        seeds = [secrets.require(settings.secrets, secrets.JWT_KEY)]
        if former := secrets.read(settings.secrets, secrets.PREVIOUS_JWT_KEY):
            seeds.append(former)
        self._keys = [_key(seed) for seed in seeds]
        self._known = KeySet(list(self._keys))
        self._seeds = [bytes.fromhex(seed) for seed in seeds]
        self._claims = JWTClaimsRegistry(
            iss={"essential": True, "value": self._issuer},
            aud={"essential": True, "value": self._issuer},
            sub={"essential": True},
            sid={"essential": True},
            exp={"essential": True},
        )

    def access_token(self, account: UUID, session: UUID, name: str, scopes: Sequence[str]) -> str:
        """An access token (RFC 9068) of a login."""
        present = int(time.time())
        claims = {
            "iss": self._issuer,
            "aud": self._issuer,
            "sub": f"user:{account}",
            "sid": str(session),
            "client_id": "almagest",
            "jti": random.token_hex(16),
            "iat": present,
            "exp": present + ACCESS_S,
            "name": name,
            "scope": " ".join(scopes),
        }
        key = self._keys[0]
        header = {"alg": _ALGORITHM, "typ": _TYPE, "kid": key.kid}
        return jwt.encode(header, claims, key, algorithms=[_ALGORITHM], default_type=None)

    def read(self, text: str) -> Claims:
        """What an access token of ours says.

        Raises:
            UnauthorizedError: it is none of ours, or no longer good.
        """
        try:
            token = jwt.decode(text, self._known, algorithms=[_ALGORITHM])
            if token.header.get("typ") != _TYPE:
                raise UnauthorizedError()
            self._claims.validate(token.claims)
            kind, _, account = str(token.claims["sub"]).partition(":")
            if kind != "user":
                raise UnauthorizedError()
            return Claims(UUID(account), UUID(str(token.claims["sid"])))
        except (JoseError, ValueError, KeyError, TypeError):
            raise UnauthorizedError("The access token is not, or no longer, good: log in, or refresh it.") from None

    def public_keys(self) -> dict[str, Any]:
        """The keys that check our signatures, as a JWK Set (RFC 7517)."""
        kept = ("kty", "crv", "x", "kid")
        found = [key.as_dict(private=False) for key in self._keys]
        return {"keys": [{**{name: key[name] for name in kept}, "use": "sig", "alg": _ALGORITHM} for key in found]}

    def refresh_token(self, secret: Secret) -> str:
        """A secret as a refresh token. It is signed: who only knows which login it is cannot end that by a guess."""
        text = f"{secret.session.hex}_{secret.value}"
        return f"alr_{text}.{_text(self._mac(b'refresh token', text))}"

    def refresh_secret(self, text: str) -> Secret:
        """Reads a refresh token.

        Raises:
            UnauthorizedError: it is none of ours.
        """
        found = _REFRESH.fullmatch(text)
        if found:
            signed = f"{found[1]}_{found[2]}"
            macs = [_text(self._mac(b"refresh token", signed, seed)) for seed in self._seeds]
            if any(hmac.compare_digest(found[3], mac) for mac in macs):
                return Secret(UUID(found[1]), found[2])
        raise UnauthorizedError("This refresh token is not, or no longer, good: log in again.")

    def successor(self, secret: str) -> str:
        """The secret that comes after one: always the same, and nobody else can tell which."""
        return _text(self._mac(b"refresh", secret))

    def csrf_token(self, cookie: str) -> str:
        """What the forms of a page hold, so that only they can be sent with its cookie."""
        return _text(self._mac(b"csrf", cookie))

    def session_key(self) -> str:
        """What signs the state of a login that goes through a provider."""
        return self._mac(b"oidc", "").hex()

    def _mac(self, purpose: bytes, text: str, seed: bytes | None = None) -> bytes:
        return hmac.digest(seed or self._seeds[0], purpose + b"\0" + text.encode(), hashlib.sha256)


def new_secret() -> str:
    """256 bits of chance."""
    return random.token_urlsafe(32)


def sha256(secret: str) -> bytes:
    """What the database holds of a secret."""
    return hashlib.sha256(secret.encode()).digest()


def _text(digest: bytes) -> str:
    return urlsafe_b64encode(digest).rstrip(b"=").decode()


def _key(seed: str) -> OKPKey:
    try:
        private = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(seed))
    except ValueError:
        raise ConfigurationError(
            f"The secret {secrets.JWT_KEY} is not 32 bytes in hexadecimal: remove the file, and a new one is made."
        ) from None
    key = OKPKey.import_key(private)
    key.ensure_kid()
    return key
