"""Secrets: one file each under ``{home}/secrets``, readable by their owner alone, never in the environment."""

from __future__ import annotations

import contextlib
import os
import secrets as random
from pathlib import Path

from almagest.core.errors import ConfigurationError

#: The key that writes need.
WRITE_KEY = "write.key"
#: What signs paging tokens.
TOKEN_KEY = "token.key"  # noqa: S105 (a file's name)
#: What signed them before; those are still taken.
PREVIOUS_TOKEN_KEY = "token.key.previous"  # noqa: S105 (a file's name)
#: What the keys are made of that callbacks are signed with.
CALLBACK_KEY = "callback.key"
#: What signs access tokens, 32 bytes in hexadecimal, and what signed them before.
JWT_KEY = "jwt.key"
PREVIOUS_JWT_KEY = "jwt.key.previous"
#: What the first admin logs in with.
ADMIN_PASSWORD = "admin.password"  # noqa: S105 (a file's name)
#: What our client is called by at an OpenID provider, and proves it with.
OIDC_SECRET = "oidc.secret"  # noqa: S105 (a file's name)
#: What the bucket of the S3 store asks for.
S3_ACCESS = "s3.access"
S3_SECRET = "s3.secret"  # noqa: S105 (a file's name)


_REMEDIES = {
    WRITE_KEY: "`almagest up` makes it",
    OIDC_SECRET: "put into it what the OpenID provider knows us by",
    ADMIN_PASSWORD: "`almagest up` and `almagest db migrate` make it",
}


def read(folder: Path, name: str) -> str | None:
    """The secret called ``name``, or None where there is none.

    Raises:
        ConfigurationError: the file is there but cannot be read.
    """
    try:
        return (folder / name).read_text().strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigurationError(f"The secret {folder / name} cannot be read: {error.strerror}.") from None


def require(folder: Path, name: str) -> str:
    """The secret called ``name``.

    Raises:
        ConfigurationError: there is none; says which command makes it.
    """
    value = read(folder, name)
    if not value:
        remedy = _REMEDIES.get(name, "`almagest db credentials` makes it")
        raise ConfigurationError(f"The secret {folder / name} is missing: {remedy}.")
    return value


def bucket_keys(folder: Path) -> tuple[str, str]:
    """Name and secret of the key to the bucket of the S3 store.

    Raises:
        ConfigurationError: one is missing; says where it belongs.
    """
    access, secret = (read(folder, name) for name in (S3_ACCESS, S3_SECRET))
    if not access or not secret:
        raise ConfigurationError(
            f"ALMAGEST_S3_BUCKET is set, but the key to the bucket is missing: put it into {folder / S3_ACCESS} and"
            f" {folder / S3_SECRET}."
        )
    return access, secret


def ensure(folder: Path, name: str, value: str | None = None) -> str:
    """The secret called ``name``, made (random unless given) where there is none yet.

    It is written beside its place and linked there, so that nobody ever reads half of one and of two makers one wins.
    """
    present = read(folder, name)
    if present:
        return present
    draft = _draft(folder, name, value or random.token_urlsafe(32))
    try:
        with contextlib.suppress(FileExistsError):  # somebody was faster; theirs counts
            os.link(draft, folder / name)
    finally:
        draft.unlink(missing_ok=True)
    return require(folder, name)


def replace(folder: Path, name: str, value: str) -> None:
    """Puts a secret in the place of another; readers see the old one or the new one."""
    _draft(folder, name, value).replace(folder / name)


def succeed(folder: Path, name: str, previous: str) -> None:
    """Puts a new random secret in the place of ``name``, which becomes the one called ``previous``.

    Raises:
        ConfigurationError: they cannot be written, as where they are mounted.
    """
    try:
        replace(folder, previous, ensure(folder, name))  # first: who stops in between has lost nothing
        replace(folder, name, random.token_hex(32))
    except OSError as error:
        raise ConfigurationError(f"The secrets in {folder} cannot be written: {error.strerror}.") from None


def _draft(folder: Path, name: str, value: str) -> Path:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = folder / f".{name}.{random.token_hex(8)}"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(value)
        file.flush()
        os.fsync(file.fileno())
    return draft
