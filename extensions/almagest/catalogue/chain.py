"""How the audit is hashed: rows to leaves, leaves to a root, roots to a chain. The database does it in its own words.

Every text that is hashed is made of fields with their length in bytes in front, so that no other fields give the same;
a first byte keeps rows, nodes of the tree and blocks apart.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LEAF, _NODE, _BLOCK = b"\x00", b"\x01", b"\x02"


@dataclass(frozen=True)
class Row:
    """One row of the audit."""

    id: int
    at: datetime
    login: str
    subject: str
    name: str
    key_id: str
    request_id: str
    address: str
    method: str
    route: str
    path: str
    status: int
    duration_us: int
    times: int

    @property
    def leaf(self) -> bytes:
        """Its hash."""
        return hashlib.sha256(
            _LEAF
            + encoded(
                self.id,
                self.at,
                self.login,
                self.subject,
                self.name,
                self.key_id,
                self.request_id,
                self.address,
                self.method,
                self.route,
                self.path,
                self.status,
                self.duration_us,
                self.times,
            )
        ).digest()


@dataclass(frozen=True)
class Block:
    """Rows that were sealed together; see the table of the same name."""

    number: int
    month: date
    forgets: bool
    through_id: int
    rows: int
    leaves: bytes
    root: bytes
    previous: bytes
    hash: bytes
    sealed_at: datetime

    def computed(self) -> bytes:
        """The hash that it should have."""
        return hashlib.sha256(
            _BLOCK
            + encoded(
                self.number,
                f"{self.month:%Y-%m}",
                "forgets" if self.forgets else "holds",
                self.through_id,
                self.rows,
                self.root.hex(),
                self.previous.hex(),
                self.sealed_at,
            )
        ).digest()

    def each_leaf(self) -> list[bytes]:
        """The hashes of its rows."""
        return [self.leaves[start : start + 32] for start in range(0, len(self.leaves), 32)]


def encoded(*fields: str | int | datetime) -> bytes:
    """Fields as bytes that no other fields give; a moment counts as microseconds since 1970."""
    texts = (_text(field).encode() for field in fields)
    return b"".join(b"%d:%b," % (len(text), text) for text in texts)


def root(leaves: Sequence[bytes]) -> bytes:
    """Root of the Merkle tree above leaves, as in RFC 9162: one without a neighbour moves up as it is."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    hashes = list(leaves)
    while len(hashes) > 1:
        left_over = hashes[-1:] if len(hashes) % 2 else []
        pairs = zip(hashes[::2], hashes[1::2], strict=False)
        hashes = [hashlib.sha256(_NODE + one + other).digest() for one, other in pairs] + left_over
    return hashes[0]


def _text(field: str | int | datetime) -> str:
    return str((field - _EPOCH) // timedelta(microseconds=1)) if isinstance(field, datetime) else str(field)
