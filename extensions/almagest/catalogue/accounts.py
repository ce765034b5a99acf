"""People: who they are, what they may, and where they are logged in.

Passwords come here as hashes and secrets as SHA-256: who makes and checks them stands above.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, TypeAlias
from uuid import UUID

import psycopg
from psycopg.rows import class_row

from almagest.catalogue.keys import SCOPES
from almagest.core.errors import BadRequestError, ConflictError, NotFoundError

Connection: TypeAlias = psycopg.Connection[Any]
Kind = Literal["token", "page"]
#: Why a login ended.
Reason = Literal["logout", "reuse", "everywhere", "password", "disabled"]

_NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{1,98}[a-z0-9]")


@dataclass(frozen=True)
class Account:
    """Somebody.

    Attributes:
        tier: what limits him: his own, or that of his role.
        scopes: what he may, by his role and beside it.
        own_tier: his own, if he has one.
        own_scopes: what he was granted beside his role.
        epoch: how often all his logins were ended, when he was looked up.
    """

    id: UUID
    name: str
    issuer: str | None
    role: str
    own_tier: str | None
    tier: str
    own_scopes: list[str]
    scopes: list[str]
    created_at: datetime
    password_changed_at: datetime | None
    last_login_at: datetime | None
    disabled_at: datetime | None
    password_hash: str | None = field(default=None, repr=False)
    epoch: int = 0

    @property
    def subject(self) -> str:
        """As the door names him."""
        return f"user:{self.id}"


@dataclass(frozen=True)
class Login:
    """Where somebody is logged in."""

    id: UUID
    kind: Kind
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    address: str | None
    agent: str | None


@dataclass(frozen=True)
class Refreshed:
    """What came of a refresh token: whose it is and what he may; or why it opens nothing."""

    account: UUID
    name: str
    scopes: list[str]
    epoch: int
    expires_at: datetime
    reason: str | None


def checked_name(name: str) -> str:
    """The name of an account as it is stored: in lower case.

    Raises:
        BadRequestError: it cannot be one; says what can.
    """
    lowered = name.strip().lower()
    if not _NAME.fullmatch(lowered):
        raise BadRequestError(
            "A name has 3 to 100 of the letters a-z, digits and `._@+-`, and begins and ends with a letter or digit:"
            " an address of mail will do."
        )
    return lowered


def create(
    connection: Connection,
    name: str,
    password_hash: str | None,
    *,
    role: str = "USER",
    issuer: str | None = None,
    subject: str | None = None,
) -> Account:
    """Makes an account.

    Raises:
        BadRequestError: its name cannot be one, or there is no such role.
        ConflictError: the name is taken.
    """
    name = checked_name(name)
    try:
        row = connection.execute(
            "SELECT almagest.create_account(%s, %s, %s, %s, %s)", (name, password_hash, role, issuer, subject)
        ).fetchone()
    except psycopg.errors.ForeignKeyViolation:
        raise BadRequestError(f"There is no role {role!r}.") from None
    if row is None or row[0] is None:
        raise ConflictError(f"There is an account {name!r} already.")
    return find(connection, identifier=row[0])


def has_admin(connection: Connection) -> bool:
    """Whether there is anybody who may everything, and is let in."""
    row = connection.execute("SELECT almagest.has_admin()").fetchone()
    return bool(row and row[0])


def find(
    connection: Connection,
    *,
    identifier: UUID | None = None,
    name: str | None = None,
    issuer: str | None = None,
    subject: str | None = None,
) -> Account:
    """An account by its id, by its name, or by what its provider calls it.

    Raises:
        NotFoundError: there is none.
    """
    with connection.cursor(row_factory=class_row(Account)) as cursor:
        found = cursor.execute(
            "SELECT * FROM almagest.find_account(%s, %s, %s, %s)", (identifier, name, issuer, subject)
        ).fetchone()
    if found is None:
        raise NotFoundError("There is no such account.")
    return found


def listed(connection: Connection, behind: str = "", most: int = 100, containing: str = "") -> list[Account]:
    """Accounts in the order of their names."""
    with connection.cursor(row_factory=class_row(Account)) as cursor:
        return cursor.execute("SELECT * FROM almagest.list_accounts(%s, %s, %s)", (behind, most, containing)).fetchall()


def change(
    connection: Connection,
    account: Account,
    *,
    role: str | None = None,
    tier: str | Literal[False] | None = False,
    scopes: Sequence[str] | None = None,
    disabled: bool | None = None,
    password_hash: str | None = None,
) -> Account:
    """Changes what is named of an account, and nothing else, whoever changes something of it at the same time.

    Args:
        connection: of a role that may.
        account: which one.
        role: what it is.
        tier: its own; None: that of its role; False: as it is.
        scopes: what it may beside its role.
        disabled: whether neither logins nor keys open anything; its jobs are dismissed then.
        password_hash: of another password, which ends all logins.

    Raises:
        BadRequestError: there is no such role, tier or scope.
        ConflictError: no admin would be left.
    """
    if unknown := set(scopes or ()) - set(SCOPES):
        raise BadRequestError(f"{sorted(unknown)[0]!r} is not a scope: there are {', '.join(SCOPES)}.")
    try:
        connection.execute(
            "SELECT almagest.change_account(%s, %s, %s, %s, %s, %s, %s)",
            (
                account.id,
                role,
                tier is not False,
                tier or None,
                None if scopes is None else list(dict.fromkeys(scopes)),
                disabled,
                password_hash,
            ),
        )
    except psycopg.errors.ForeignKeyViolation as error:
        what = f"tier {tier!r}" if "tier" in str(error.diag.constraint_name) else f"role {role!r}"
        raise BadRequestError(f"There is no {what}.") from None
    except psycopg.errors.RaiseException as error:
        raise ConflictError(error.diag.message_primary) from None
    return find(connection, identifier=account.id)


def set_password(connection: Connection, account: UUID, password_hash: str, *, former: str | None = None) -> None:
    """Stores another password, which ends all logins; or another hash of the password that had the former one."""
    connection.execute("SELECT almagest.set_password(%s, %s, %s)", (account, password_hash, former))


def open_session(
    connection: Connection, account: Account, kind: Kind, sha256: bytes, lasts: timedelta, address: str, agent: str
) -> UUID | None:
    """Begins a login and answers its id; None where the account is disabled, or was logged out everywhere meanwhile."""
    row = connection.execute(
        "SELECT almagest.open_session(%s, %s, %s, %s, %s, %s, %s)",
        (account.id, account.epoch, kind, sha256, lasts, address or None, agent or None),
    ).fetchone()
    return row[0] if row else None


def why_not(connection: Connection, subject: str, scope: str) -> str | None:
    """Why a caller may not do something now, in a sentence; None where he may."""
    row = connection.execute("SELECT almagest.why_not(%s, %s)", (subject, scope)).fetchone()
    return row[0] if row else None


def refresh(connection: Connection, session: UUID, sha256: bytes, successor: bytes, grace: timedelta) -> Refreshed:
    """Puts the next secret of a login in the place of this one."""
    with connection.cursor(row_factory=class_row(Refreshed)) as cursor:
        found = cursor.execute(
            "SELECT * FROM almagest.refresh_session(%s, %s, %s, %s)", (session, sha256, successor, grace)
        ).fetchone()
    assert found is not None
    return found


def end_session(connection: Connection, session: UUID, why: Reason = "logout") -> None:
    """Ends a login."""
    connection.execute("SELECT almagest.end_session(%s, %s)", (session, why))


def end_sessions(connection: Connection, account: UUID, why: Reason = "everywhere") -> None:
    """Ends every login of an account."""
    connection.execute("SELECT almagest.end_sessions(%s, %s)", (account, why))


def logins(connection: Connection, account: UUID) -> list[Login]:
    """Where an account is logged in, the latest first."""
    with connection.cursor(row_factory=class_row(Login)) as cursor:
        return cursor.execute("SELECT * FROM almagest.list_sessions(%s)", (account,)).fetchall()


def roles(connection: Connection) -> dict[str, tuple[list[str], str]]:
    """What people can be: scopes and tier of each role."""
    rows = connection.execute("SELECT name, scopes, tier FROM almagest.list_roles()").fetchall()
    return {name: (scopes, tier) for name, scopes, tier in rows}


def tiers(connection: Connection) -> dict[str, dict[str, tuple[int, timedelta | None]]]:
    """How much of what each tier allows: number and span of each class."""
    found: dict[str, dict[str, tuple[int, timedelta | None]]] = {}
    for name, kind, most, per in connection.execute("SELECT name, class, most, per FROM almagest.list_tiers()"):
        quotas = found.setdefault(name, {})
        if kind is not None:
            quotas[kind] = (most, per)
    return found
