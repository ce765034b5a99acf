"""The secrets that the stack makes for itself on its first start."""

from __future__ import annotations

import secrets as random
from contextlib import suppress

from almagest.catalogue import accounts, database, passwords
from almagest.catalogue.keys import Key, register
from almagest.core import secrets
from almagest.core.errors import ConfigurationError, ConflictError, UnauthorizedError
from almagest.core.settings import Settings

#: What the first key may: everything but the administration.
_FIRST_SCOPES = ("catalogue:read", "catalogue:write", "ops:read")


def ensure(settings: Settings) -> None:
    """Make what is missing: the first key, and those that sign page tokens, access tokens and callbacks."""
    secrets.ensure(settings.secrets, secrets.WRITE_KEY, Key.make().reveal())
    secrets.ensure(settings.secrets, secrets.TOKEN_KEY, random.token_hex(32))
    secrets.ensure(settings.secrets, secrets.JWT_KEY, random.token_hex(32))
    secrets.ensure(settings.secrets, secrets.CALLBACK_KEY, random.token_hex(32))


def ensure_admin(settings: Settings) -> None:
    """Make the first admin, with the password among the secrets, where there is none yet."""
    password = secrets.ensure(settings.secrets, secrets.ADMIN_PASSWORD)
    with database.translated(), database.connect(settings, settings.database.admin_user) as connection:
        if not accounts.has_admin(connection):
            with suppress(ConflictError):  # somebody who is none is called so: `almagest users` can help
                accounts.create(connection, "admin", passwords.hashed(password), role="ADMIN")


def ensure_registered(settings: Settings) -> None:
    """Make the database know the first key. One that was revoked or rotated stays so.

    Raises:
        ConfigurationError: the file holds something else.
    """
    try:
        key = Key.parse(secrets.require(settings.secrets, secrets.WRITE_KEY))
    except UnauthorizedError:
        raise ConfigurationError(
            f"{settings.secrets / secrets.WRITE_KEY} holds no key: remove it, and a new one is made."
        ) from None
    with database.translated(), database.connect(settings, settings.database.admin_user) as connection:
        register(connection, key, "make up", _FIRST_SCOPES)
