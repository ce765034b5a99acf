"""Passwords: argon2id for new ones; those of bcrypt that were brought along are good, and become it at a login."""

from __future__ import annotations

import unicodedata
from functools import cache

from pwdlib import PasswordHash
from pwdlib.exceptions import UnknownHashError
from pwdlib.hashers.argon2 import Argon2Hasher
from pwdlib.hashers.bcrypt import BcryptHasher

from almagest.core.errors import BadRequestError

_SHORTEST, _LONGEST = 12, 200
#: What is longer is not even looked at: normalizing takes the square of it.
_MOST = 1000


def check(password: str, name: str) -> None:
    """Whether a new password will do.

    Raises:
        BadRequestError: says why not.
    """
    plain = _plain(password) if len(password) <= _MOST else ""
    if not _SHORTEST <= len(plain) <= _LONGEST:
        raise BadRequestError(f"A password has {_SHORTEST} to {_LONGEST} characters: a few words make a good one.")
    if name.partition("@")[0] in plain.lower() or len(set(plain)) < 5:
        raise BadRequestError("This password is easy to guess: it holds the name, or is the same few characters.")


def hashed(password: str) -> str:
    """The hash to store."""
    return _hashers().hash(_plain(password))


def verified(password: str, stored: str | None) -> tuple[bool, str | None]:
    """Whether this is the password, and a better hash where there is one. As slow where nothing is stored."""
    if len(password) > _MOST:
        return False, None
    plain = _plain(password)
    if stored is None:  # nobody is to learn from the time that it takes which names there are
        _hashers().verify(plain, _somebody())
        return False, None
    try:
        return _hashers().verify_and_update(plain, stored)
    except (UnknownHashError, ValueError):  # bcrypt takes 72 bytes
        return False, None


def _plain(password: str) -> str:
    # The same characters, however a keyboard composes them (NIST SP 800-63B).
    return unicodedata.normalize("NFKC", password.encode("utf-8", "replace").decode())


@cache
def _hashers() -> PasswordHash:
    return PasswordHash((Argon2Hasher(), BcryptHasher()))


@cache
def _somebody() -> str:
    return _hashers().hash("the password of nobody")
