"""Who asks, as nginx has set it: what a client says of himself never gets this far."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.types import Scope as Connection

from almagest.services.web.inventory import allows


@dataclass(frozen=True)
class Caller:
    """Who sent a request.

    Attributes:
        subject: `user:<id>`, or `key:<id>` for a key that belongs to no user; empty: somebody inside, without either.
        name: for people.
        key_id: of the key that was used, if any.
        scopes: what he may.
        tier: what his quotas are; empty: he has none.
        session: his login; empty: he came with a key, or without anything.
        address: where he is; empty: at the other end of a Unix socket.
    """

    subject: str
    name: str
    key_id: str
    scopes: frozenset[str]
    tier: str
    session: str
    address: str

    @classmethod
    def of(cls, connection: Connection) -> Caller:
        """The caller of a request. nginx sets one header of each name; two are somebody else's, and say nothing."""
        return cls(
            subject=_header(connection, b"x-subject"),
            name=_header(connection, b"x-principal"),
            key_id=_header(connection, b"x-key-id"),
            scopes=frozenset(_header(connection, b"x-scopes").split()),
            tier=_header(connection, b"x-tier"),
            session=_header(connection, b"x-session"),
            address=_header(connection, b"x-forwarded-for"),
        )

    def may(self, scope: str) -> bool:
        """Whether he has a scope, by itself or as an admin."""
        return allows(self.scopes, scope)


def _header(connection: Connection, name: bytes) -> str:
    values = [value for given, value in connection["headers"] if given == name]
    return values[0].decode("latin-1") if len(values) == 1 else ""
