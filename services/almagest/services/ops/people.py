"""What people do at the door, whether by JSON or by a page: register, log in, stay logged in, log out."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog

from almagest.catalogue import accounts, passwords
from almagest.catalogue.accounts import Account
from almagest.core.errors import (
    AlmagestError,
    BadRequestError,
    ConflictError,
    NotFoundError,
    TooManyRequestsError,
    UnauthorizedError,
)
from almagest.core.settings import Settings
from almagest.services.ops.login.limiter import Limiter
from almagest.services.ops.login.tokens import Secret, Signer, new_secret, sha256
from almagest.services.ops.records import Records
from almagest.services.web.audited import done_by
from almagest.services.web.denials import network

log = structlog.get_logger(__name__)

#: Who sends the same refresh token twice within this meant it once: two tabs, or an answer that got lost.
_GRACE = timedelta(seconds=10)
#: Each takes 64 MiB for a moment.
_HASHED_AT_ONCE = 2
#: Who waits for that at most, in each process.
_QUEUED = 20
#: Wrong passwords for one name from one network and from everywhere, and logins and registrations from one network,
#: within this.
_WRONG, _WRONG_ANYWHERE, _FROM_ADDRESS, _WITHIN = 10, 200, 100, timedelta(minutes=15)
_LONGEST_NAME = 100


class WrongPasswordError(UnauthorizedError):
    """The name or the password is wrong."""

    slug = "wrong-password"


class RegistrationClosedError(AlmagestError):
    """Accounts are made by an admin here: ask one."""

    status = 403
    slug = "registration-closed"


@dataclass(frozen=True)
class Visitor:
    """From where somebody comes who has not said yet who he is."""

    address: str
    agent: str


@dataclass(frozen=True)
class Entrance:
    """A login: whose, its secret, and until when."""

    account: UUID
    name: str
    scopes: list[str]
    secret: Secret
    expires_at: datetime | None = None


class People:
    """Lets people in and out."""

    def __init__(self, settings: Settings, records: Records, limiter: Limiter, signer: Signer) -> None:
        self._settings = settings.accounts
        self._networks = [ipaddress.ip_network(network) for network in settings.site.internal_networks]
        self._ask = records.ask
        self._limiter = limiter
        self._signer = signer
        self._hashing = asyncio.Semaphore(_HASHED_AT_ONCE)
        self._queued = 0

    @property
    def lasts(self) -> timedelta:
        """How long a login is good."""
        return timedelta(days=self._settings.session_days)

    def may_register(self, visitor: Visitor) -> bool:
        """Whether somebody from there may make an account."""
        if self._settings.registration == "internal":
            return self._is_inside(visitor.address)
        return self._settings.registration == "open"

    async def register(self, name: str, password: str, visitor: Visitor) -> Account:
        """Makes an account.

        Raises:
            RegistrationClosedError: not from there.
            BadRequestError: the name or the password will not do; says why.
            ConflictError: the name is taken.
            TooManyRequestsError: too many come from there.
        """
        if not self.may_register(visitor):
            raise RegistrationClosedError()
        await self._limit("login-address", network(visitor.address), _FROM_ADDRESS)
        account = await self.create(name, password)
        done_by(f"user:{account.id}", account.name)
        return account

    async def create(self, name: str, password: str, role: str = "USER") -> Account:
        """Makes an account on behalf of an admin.

        Raises:
            BadRequestError: the name, the password or the role will not do; says why.
            ConflictError: the name is taken.
        """
        name = accounts.checked_name(name)
        passwords.check(password, name)
        stored = await self._hashed(password)
        account = await self._ask(lambda connection: accounts.create(connection, name, stored, role=role))
        log.info("account made", account=account.name, role=role)
        return account

    async def login(self, name: str, password: str, kind: accounts.Kind, visitor: Visitor) -> Entrance:
        """Lets somebody in who knows the password.

        Raises:
            WrongPasswordError: he does not, or there is no such account, or it is disabled: he is not told which.
            TooManyRequestsError: somebody has been guessing.
        """
        name = name.strip().lower()[:_LONGEST_NAME]
        here = f"{name} {network(visitor.address)}"
        await self._limit("login-address", network(visitor.address), _FROM_ADDRESS)
        # From here few, so that guessing is in vain; from everywhere many, so that nobody locks somebody else out.
        await self._limit("login-here", here, _WRONG)
        await self._limit("login-name", name, _WRONG_ANYWHERE)
        try:
            account = await self._ask(lambda connection: accounts.find(connection, name=name))
        except (NotFoundError, BadRequestError):
            account = None
        is_right, better = await self._verified(password, account.password_hash if account else None)
        if account is None or not is_right or account.disabled_at is not None:
            if account is not None:
                done_by(account.subject, account.name)
            log.warning("login refused", account=account.name if account else None, address=visitor.address)
            raise WrongPasswordError()
        if better is not None:
            hashed, identifier = better, account.id
            former = account.password_hash
            await self._ask(lambda connection: accounts.set_password(connection, identifier, hashed, former=former))
        await self._limiter.forgive("login-here", here, _WRONG, _WITHIN)
        return await self._enter(account, kind, visitor)

    async def login_from(self, issuer: str, subject: str, hint: str, visitor: Visitor) -> Entrance:
        """Lets somebody in whom a provider vouches for; the first time, he is given an account.

        Raises:
            RegistrationClosedError: he has none, and from there none are made.
            WrongPasswordError: it is disabled.
        """
        try:
            account = await self._ask(lambda connection: accounts.find(connection, issuer=issuer, subject=subject))
        except NotFoundError:
            if not self.may_register(visitor):
                raise RegistrationClosedError() from None
            account = await self._adopt(issuer, subject, hint)
        if account.disabled_at is not None:
            raise WrongPasswordError("This account is disabled: ask an admin.")
        return await self._enter(account, "page", visitor)

    async def refresh(self, token: str) -> Entrance:
        """The next tokens of a login.

        Raises:
            UnauthorizedError: this token is not, or no longer, good. One that was used before ends its login.
        """
        given = self._signer.refresh_secret(token)
        successor = self._signer.successor(given.value)
        found = await self._ask(
            lambda connection: accounts.refresh(connection, given.session, given.sha256, sha256(successor), _GRACE)
        )
        if found.reason is not None:
            log.warning("refresh refused", session=given.session.hex, reason=found.reason)
            raise UnauthorizedError("This refresh token is not, or no longer, good: log in again.")
        done_by(f"user:{found.account}", found.name)
        return Entrance(found.account, found.name, found.scopes, Secret(given.session, successor), found.expires_at)

    async def leave(self, session: str) -> None:
        """Ends a login."""
        await self._ask(lambda connection: accounts.end_session(connection, UUID(session)))

    async def leave_everywhere(self, subject: str) -> None:
        """Ends every login of somebody; his keys stay."""
        await self._ask(lambda connection: accounts.end_sessions(connection, account_id(subject)))

    async def change_password(self, subject: str, current: str, new: str) -> None:
        """Gives somebody another password, and ends all his logins.

        Raises:
            WrongPasswordError: the current one is another.
            BadRequestError: the new one will not do; says why.
            TooManyRequestsError: somebody has been guessing.
        """
        account = await self.account(subject)
        await self._limit("password", account.subject, _WRONG)
        is_right, _ = await self._verified(current, account.password_hash)
        if not is_right:
            raise WrongPasswordError("The current password is another.")
        await self.set_password(account, new)

    async def set_password(self, account: Account, new: str) -> None:
        """Gives somebody another password, and ends all his logins.

        Raises:
            BadRequestError: it will not do; says why.
        """
        stored = await self._checked_hash(account, new)
        await self._ask(lambda connection: accounts.set_password(connection, account.id, stored))
        log.info("password changed", account=account.name)

    async def change(self, account: Account, password: str | None = None, **changed: Any) -> Account:
        """Changes what is named of an account, all of it or nothing, on behalf of an admin.

        Args:
            account: which one.
            password: another one; None: it stays.
            changed: as for :func:`almagest.catalogue.accounts.change`.

        Raises:
            BadRequestError: the password will not do, or there is no such role, tier or scope.
            ConflictError: no admin would be left.
        """
        stored = await self._checked_hash(account, password) if password else None
        found = await self._ask(
            lambda connection: accounts.change(connection, account, password_hash=stored, **changed)
        )
        log.info("account changed", account=account.name, what=sorted(changed), password=bool(password))
        return found

    async def account(self, subject: str) -> Account:
        """The account of a caller.

        Raises:
            NotFoundError: he has none.
        """
        return await self._ask(lambda connection: accounts.find(connection, identifier=account_id(subject)))

    async def _checked_hash(self, account: Account, password: str) -> str:
        passwords.check(password, account.name)
        return await self._hashed(password)

    async def _hashed(self, password: str) -> str:
        async with self._turn():
            return await asyncio.to_thread(passwords.hashed, password)

    async def _verified(self, password: str, stored: str | None) -> tuple[bool, str | None]:
        async with self._turn():
            return await asyncio.to_thread(passwords.verified, password, stored)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        if self._queued >= _QUEUED:
            raise TooManyRequestsError("Many log in at this moment: try again in some seconds.", 5)
        self._queued += 1
        try:
            async with self._hashing:
                yield
        finally:
            self._queued -= 1

    async def _enter(self, account: Account, kind: accounts.Kind, visitor: Visitor) -> Entrance:
        value, lasts = new_secret(), self.lasts
        session = await self._ask(
            lambda connection: accounts.open_session(
                connection, account, kind, sha256(value), lasts, visitor.address, visitor.agent
            )
        )
        if session is None:
            raise WrongPasswordError()
        done_by(f"user:{account.id}", account.name)
        log.info("login", account=account.name, session=session.hex, kind=kind)
        return Entrance(account.id, account.name, account.scopes, Secret(session, value))

    async def _adopt(self, issuer: str, subject: str, hint: str) -> Account:
        for name in _names(hint):
            try:
                return await self._ask(
                    lambda connection, name=name: accounts.create(  # type: ignore[misc]
                        connection, name, None, issuer=issuer, subject=subject
                    )
                )
            except ConflictError:
                continue
        raise ConflictError("There is an account of this name already, and it is not yours.")

    async def _limit(self, what: str, who: str, most: int) -> None:
        allowance = await self._limiter.take(what, who or "nobody", most, _WITHIN)
        if not allowance.is_left:
            raise TooManyRequestsError("Too many attempts: wait some minutes.", allowance.reset_s)

    def _is_inside(self, address: str) -> bool:
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(found in network for network in self._networks)


def account_id(subject: str) -> UUID:
    """The id of the account that a subject is.

    Raises:
        NotFoundError: it is none: a key that belongs to nobody.
    """
    kind, _, identifier = subject.partition(":")
    if kind != "user":
        raise NotFoundError("This key belongs to no account.")
    return UUID(identifier)


def _names(hint: str) -> list[str]:
    """Names to try for somebody whom his provider calls so."""
    try:
        name = accounts.checked_name(hint)
    except BadRequestError:
        name = "user"
    return [name, *(f"{name[:90]}-{new_secret()[:6].lower().replace('_', 'x').replace('-', 'x')}" for _ in range(5))]
