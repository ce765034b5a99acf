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
from typing import Any, NamedTuple, Self

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

    @classmethod
    def at(cls, row: Mapping[str, Any], *, backward: bool) -> Self:
        """At a row of the search core."""
        return cls(tuple(json.loads(row["sort_values"])), backward)


class Leaf(NamedTuple):
    """Where a page leads.

    Attributes:
        next: token of the page behind this one, None on the last.
        prev: token of the page before this one, None on the first.
    """

    next: str | None
    prev: str | None


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
        return f"{direction}:{self.seal(payload, *self._bound(direction, search))}"

    def leaf(
        self, rows: Sequence[Mapping[str, Any]], limit: int, anchor: Anchor | None, search: Mapping[str, Any]
    ) -> Leaf:
        """Where the page leads that begins at an anchor (None: the first one).

        Args:
            rows: of the search core, in the order in which it gave them, one more than fit where there are more.
            limit: so many fit.
            anchor: where it begins.
            search: which search's it is.
        """
        backward = anchor is not None and anchor.backward
        more, rows = len(rows) > limit, rows[:limit]
        if not rows:
            return Leaf(None, None)
        first, last = (rows[-1], rows[0]) if backward else (rows[0], rows[-1])
        return Leaf(
            next=self._token(last, search, backward=False) if more or backward else None,
            prev=self._token(first, search, backward=True) if anchor is not None and (more or not backward) else None,
        )

    def _token(self, row: Mapping[str, Any], search: Mapping[str, Any], *, backward: bool) -> str:
        return self.sign(Anchor.at(row, backward=backward), search)

    def read(self, token: str, search: Mapping[str, Any]) -> Anchor:
        """The anchor in a token.

        Raises:
            BadRequestError: it was not made here, or not for this search.
        """
        direction, _, sealed = token.partition(":")
        opened = self.unseal(sealed, *self._bound(direction, search)) if direction in {"next", "prev"} else None
        if opened is None:
            raise BadRequestError("The paging token is not valid for this search. Start again from the first page.")
        values: Sequence[str | None] = json.loads(opened[0])
        return Anchor(tuple(values), backward=direction == "prev")

    def seal(self, payload: bytes, *bound: str) -> str:
        """The base64url of a payload behind an HMAC of it and of what it is bound to."""
        return base64.urlsafe_b64encode(_mac(self.secret, payload, bound) + payload).rstrip(b"=").decode()

    def unseal(self, sealed: str, *bound: str) -> tuple[bytes, bytes] | None:
        """The payload, and by which key it was sealed; None: it was not sealed here, or not bound to this."""
        try:
            raw = base64.b64decode(sealed + "=" * (-len(sealed) % 4), altchars=b"-_", validate=True)
        except ValueError:
            return None
        mac, payload = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
        for secret in (self.secret, self.previous):
            if secret and hmac.compare_digest(mac, _mac(secret, payload, bound)):
                return payload, secret
        return None

    def _bound(self, direction: str, search: Mapping[str, Any]) -> tuple[str, str, str]:
        told = {key: value for key, value in search.items() if key not in _FREE}
        return self.audience, direction, json.dumps(told, sort_keys=True, separators=(",", ":"))


def _mac(secret: bytes, payload: bytes, bound: Sequence[str]) -> bytes:
    message = b"\0".join((*(each.encode() for each in bound), payload))
    return hmac.new(secret, message, hashlib.sha256).digest()[:_MAC_BYTES]
