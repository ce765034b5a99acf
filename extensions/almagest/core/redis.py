"""Where Redis is."""

from __future__ import annotations

from urllib.parse import quote

from almagest.core import secrets
from almagest.core.settings import Settings


def address(settings: Settings, over_socket: str) -> str:
    """The URL of Redis, with its password.

    Args:
        settings: say where it is.
        over_socket: the scheme by which a library calls a Unix socket: they do not agree.
    """
    work = settings.work
    password = secrets.read(settings.secrets, "redis")
    who = f":{quote(password, safe='')}@" if password else ""
    if work.redis_host:
        return f"redis://{who}{work.redis_host}:{work.redis_port}/0"
    return f"{over_socket}://{who}{settings.run / 'redis.sock'}"
