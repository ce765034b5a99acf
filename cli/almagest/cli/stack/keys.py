"""The secrets that the stack makes for itself on its first start."""

from __future__ import annotations

import secrets as random
import string

from almagest.core import secrets
from almagest.core.settings import Settings

_BASE62 = string.ascii_letters + string.digits


def ensure(settings: Settings) -> None:
    """Make what is missing: the key that writes, and the one that signs page tokens."""
    secrets.ensure(settings.secrets, secrets.WRITE_KEY, f"alm_{_base62(8)}_{_base62(43)}")
    secrets.ensure(settings.secrets, secrets.TOKEN_KEY, random.token_hex(32))


def _base62(length: int) -> str:
    return "".join(random.choice(_BASE62) for _ in range(length))
