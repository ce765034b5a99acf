"""API keys: ``alm_<id>_<secret>``, of which the database holds the id and the SHA-256 of the secret.

The functions take a connection of the admin, or of the ops processes, which make keys on behalf of people; everybody
else is refused by the database.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
import secrets as random
import string
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
from psycopg.rows import class_row

from almagest.core.errors import ConfigurationError, UnauthorizedError

#: What a key can be made for. ``admin`` stands for all the others too.
SCOPES = ("catalogue:read", "catalogue:write", "ops:read", "jobs:run", "files:write", "admin")

_BASE62 = string.digits + string.ascii_letters
_ID = re.compile(r"[0-9A-Za-z]{8}")
_KEY = re.compile(r"alm_([0-9A-Za-z]{8})_([0-9A-Za-z]{43})")
_NAME = re.compile(r"[!-~]([ -~]{0,98}[!-~])?")


@dataclass(frozen=True)
class Key:
    """A key as its owner holds it. Only :meth:`reveal` shows the secret."""

    id: str
    secret: str = field(repr=False)

    @classmethod
    def make(cls) -> Key:
        """A new key; 43 characters of 62 are 256 bits of chance."""
        return cls(_random(8), _random(43))

    @classmethod
    def parse(cls, text: str) -> Key:
        """The key that a text is.

        Raises:
            UnauthorizedError: it is none.
        """
        found = _KEY.fullmatch(text)
        if not found:
            raise UnauthorizedError("This is not a key: one reads `alm_<8 characters>_<43 characters>`.")
        return cls(*found.groups())

    @property
    def sha256(self) -> bytes:
        """What the database holds of the secret."""
        return hashlib.sha256(self.secret.encode()).digest()

    def reveal(self) -> str:
        """The whole key."""
        return f"alm_{self.id}_{self.secret}"


@dataclass(frozen=True)
class Entry:
    """What is known of a key, but for its secret."""

    id: str
    name: str
    owner: str | None
    scopes: list[str]
    addresses: list[str]
    created_at: datetime
    expires_at: datetime | None
    rotated_at: datetime | None
    previous_until: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    active: bool


def create(
    connection: psycopg.Connection,
    name: str,
    scopes: Sequence[str],
    *,
    expires: datetime | timedelta | None = None,
    addresses: Sequence[str] = (),
    account: UUID | None = None,
) -> Key:
    """Makes a key.

    Args:
        connection: as the admin.
        name: whom or what it is for.
        scopes: what it may, of :data:`SCOPES`.
        expires: when it ends, or how long from now.
        addresses: networks that it may be used from; none: from anywhere.
        account: whose it is: it never allows more than he may; None: nobody's.

    Raises:
        ConfigurationError: one of these cannot be; says which and why.
    """
    until = _expiry(connection, expires)
    networks = [_network(address) for address in addresses]
    while True:
        key = Key.make()
        if register(connection, key, name, scopes, until, networks, account):
            return key


def register(
    connection: psycopg.Connection,
    key: Key,
    name: str,
    scopes: Sequence[str],
    expires_at: datetime | None = None,
    addresses: Sequence[str] = (),
    account: UUID | None = None,
) -> bool:
    """Stores a key that exists already; False, and nothing changes, where its id was ever used.

    Raises:
        ConfigurationError: its name or a scope cannot be, or its owner has too many.
    """
    if not _NAME.fullmatch(name):
        raise ConfigurationError(f"A key's name is 1 to 100 printable ASCII characters, which {name!r} is not.")
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown or not scopes:
        what = f"{unknown[0]!r} is not a scope" if unknown else "A key needs a scope"
        raise ConfigurationError(f"{what}: there are {', '.join(SCOPES)}.")
    with _refusals():
        row = connection.execute(
            "SELECT almagest.create_key(%s, %s, %s, %s, %s, %s::cidr[], %s)",
            (
                key.id,
                key.sha256,
                name,
                list(dict.fromkeys(scopes)),
                expires_at,
                list(dict.fromkeys(addresses)),
                account,
            ),
        ).fetchone()
    return bool(row and row[0])


def rotate(connection: psycopg.Connection, key_id: str, overlap: timedelta = timedelta()) -> Key:
    """Gives a key a new secret; the old one goes on for ``overlap``, the one before it ends.

    Raises:
        ConfigurationError: there is no such key, or it has ended.
    """
    key = Key(_checked(key_id), _random(43))
    with _refusals():
        connection.execute("SELECT almagest.rotate_key(%s, %s, %s)", (key.id, key.sha256, overlap))
    return key


def revoke(connection: psycopg.Connection, key_id: str) -> str:
    """Ends a key for good, from the next request on; returns its name.

    Raises:
        ConfigurationError: there is no such key.
    """
    with _refusals():
        row = connection.execute("SELECT almagest.revoke_key(%s)", (_checked(key_id),)).fetchone()
    assert row is not None
    return str(row[0])


def entries(connection: psycopg.Connection, account: UUID | None = None) -> list[Entry]:
    """Every key there ever was, or of an account, in the order in which they were made."""
    with connection.cursor(row_factory=class_row(Entry)) as cursor:
        return cursor.execute(
            """
            SELECT id, name, owner, scopes, addresses::text[] AS addresses, created_at, expires_at, rotated_at,
                   previous_until, revoked_at, last_used_at, active
            FROM almagest.list_keys(%s)
            """,
            (account,),
        ).fetchall()


def _random(length: int) -> str:
    return "".join(random.choice(_BASE62) for _ in range(length))


def _checked(key_id: str) -> str:
    if not _ID.fullmatch(key_id):
        # It is not quoted: somebody may have given the whole key.
        raise ConfigurationError("A key is named by its id, the 8 characters after `alm_` (`almagest keys list`).")
    return key_id


def _expiry(connection: psycopg.Connection, expires: datetime | timedelta | None) -> datetime | None:
    if expires is None:
        return None
    row = connection.execute("SELECT almagest.clock()").fetchone()
    assert row is not None
    present: datetime = row[0]
    try:
        until = present + expires if isinstance(expires, timedelta) else expires
        until = until if until.tzinfo else until.replace(tzinfo=UTC)
    except OverflowError:
        raise ConfigurationError("The key would expire beyond the end of the calendar.") from None
    if until <= present:
        raise ConfigurationError(f"The key would have expired before it was made: {until:%Y-%m-%d %H:%M} UTC.")
    return until


def _network(address: str) -> str:
    try:
        network = ipaddress.ip_network(address.strip())
    except ValueError as error:
        raise ConfigurationError(f"{address!r} is neither an address nor a network: {error}.") from None
    if isinstance(network, ipaddress.IPv6Network) and network.network_address.ipv4_mapped:
        raise ConfigurationError(f"{address!r} is an IPv4 address in IPv6's clothes: write it as IPv4.")
    return str(network)


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except (psycopg.errors.NoDataFound, psycopg.errors.RaiseException) as error:
        raise ConfigurationError(error.diag.message_primary) from error
