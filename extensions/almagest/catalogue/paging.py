"""Paging tokens: where a page ended, signed, and bound to the search that it belongs to.

A token is ``next:`` or ``prev:`` and then the base64url of an HMAC and a payload. The payload is the keyset of the row
that the page ended at (its sort values as text), so that nothing is looked up again, and a deleted row does no harm.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from almagest.core.errors import BadRequestError

_MAC_BYTES = 16
#: What may differ between the pages of one search.
_FREE = frozenset({"limit", "token", "fields", "conf"})


@dataclass(frozen=True)
class Anchor:
    """Where a page begins.

    Attributes:
        values: the sort values of the row before it, as text, ``None`` for NULL.
        backward: whether the page lies before that row rather than behind it.
    """

    values: tuple[str | None, ...]
    backward: bool


@dataclass(frozen=True)
class TokenKey:
    """Signs and checks the tokens of one audience.

    Attributes:
        secret: the signing key, the same in every process.
        audience: tokens of one audience say nothing to another.
        previous: the key before it, whose tokens are still taken; empty: there was none.
    """

    secret: bytes
    audience: str
    previous: bytes = b""

    def sign(self, anchor: Anchor, search: Mapping[str, Any]) -> str:
        """The token for an anchor in a search."""
        payload = json.dumps(anchor.values, ensure_ascii=False, separators=(",", ":")).encode()
        direction = "prev" if anchor.backward else "next"
        mac = self._mac(self.secret, direction, payload, search)
        return f"{direction}:{base64.urlsafe_b64encode(mac + payload).rstrip(b'=').decode()}"

    def read(self, token: str, search: Mapping[str, Any]) -> Anchor:
        """The anchor in a token.

        Raises:
            BadRequestError: it was not made here, or not for this search.
        """
        direction, _, encoded = token.partition(":")
        try:
            raw = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
        except ValueError:
            raw = b""
        mac, payload = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
        is_ours = any(
            hmac.compare_digest(mac, self._mac(secret, direction, payload, search))
            for secret in (self.secret, self.previous)
            if secret
        )
        if direction not in {"next", "prev"} or not is_ours:
            raise BadRequestError("The paging token is not valid for this search. Start again from the first page.")
        values: Sequence[str | None] = json.loads(payload)
        return Anchor(tuple(values), backward=direction == "prev")

    def _mac(self, secret: bytes, direction: str, payload: bytes, search: Mapping[str, Any]) -> bytes:
        bound = json.dumps(
            {key: value for key, value in search.items() if key not in _FREE}, sort_keys=True, separators=(",", ":")
        )
        message = b"\0".join((self.audience.encode(), direction.encode(), bound.encode(), payload))
        return hmac.new(secret, message, hashlib.sha256).digest()[:_MAC_BYTES]
