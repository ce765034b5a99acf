"""Keys, made and ended on behalf of people: the same rules for the API and for the pages."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
from pydantic import AwareDatetime, Field

from almagest.catalogue import keys
from almagest.core.errors import BadRequestError, ConfigurationError, ForbiddenError, NotFoundError
from almagest.services.ops.people import account_id
from almagest.services.ops.records import Records
from almagest.services.ops.requested import Body
from almagest.services.web.caller import Caller


class NewKey(Body):
    """What a key is for, and what it may."""

    name: str = Field(examples=["nightly ingest"])
    scopes: list[str] = Field(min_length=1, max_length=20, examples=[["jobs:run"]])
    expires: AwareDatetime | None = None
    days: float | None = Field(None, gt=0, le=3650, description="How long it holds, where `expires` is not said.")
    addresses: list[str] = Field(default=[], max_length=50, examples=[["192.0.2.0/24"]])

    @property
    def until(self) -> datetime | timedelta | None:
        """When it ends."""
        return self.expires or (timedelta(days=self.days) if self.days else None)


@dataclass(frozen=True)
class Keyring:
    """Makes keys and ends them.

    Attributes:
        records: where they are kept.
    """

    records: Records

    async def own(self, caller: Caller) -> list[keys.Entry]:
        """One's own keys."""
        account = account_id(caller.subject)
        return await self.records.ask(lambda connection: keys.entries(connection, account))

    async def make_own(self, wanted: NewKey, caller: Caller) -> tuple[keys.Key, keys.Entry]:
        """A key that may what its owner may, or less.

        Raises:
            ForbiddenError: its owner may not all of it.
            BadRequestError: it cannot be; says why.
        """
        if missing := [scope for scope in wanted.scopes if not caller.may(scope)]:
            raise ForbiddenError(f"A key cannot allow what you may not: `{missing[0]}`.")
        return await self.make(wanted, account_id(caller.subject))

    async def make(self, wanted: NewKey, account: UUID | None) -> tuple[keys.Key, keys.Entry]:
        """A key of an account, or (None) of nobody.

        Raises:
            BadRequestError: it cannot be; says why.
        """

        def work(connection: psycopg.Connection[Any]) -> tuple[keys.Key, list[keys.Entry]]:
            try:
                key = keys.create(
                    connection,
                    wanted.name,
                    wanted.scopes,
                    expires=wanted.until,
                    addresses=wanted.addresses,
                    account=account,
                )
            except ConfigurationError as error:
                raise BadRequestError(str(error)) from None
            return key, keys.entries(connection, account)

        key, entries = await self.records.ask(work)
        return key, next(entry for entry in entries if entry.id == key.id)

    async def revoke_own(self, key_id: str, caller: Caller) -> None:
        """Ends one of one's own keys.

        Raises:
            NotFoundError: it is none of them.
        """
        if key_id not in {entry.id for entry in await self.own(caller)}:
            raise NotFoundError("You have no such key.")
        await self.revoke(key_id)

    async def revoke(self, key_id: str) -> None:
        """Ends a key, whosever it is.

        Raises:
            NotFoundError: there is none.
        """

        def work(connection: psycopg.Connection[Any]) -> None:
            try:
                keys.revoke(connection, key_id)
            except ConfigurationError:
                raise NotFoundError("There is no such key.") from None

        await self.records.ask(work)
