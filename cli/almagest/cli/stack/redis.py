"""Redis: the doorbell of jobs and the counter of requests. On a Unix socket alone, without any port."""

from __future__ import annotations

from pathlib import Path

from almagest.core import executables
from almagest.core.settings import Settings


def command(settings: Settings) -> tuple[str, ...]:
    """The server's command line.

    Raises:
        ConfigurationError: it is not installed.
    """
    return (executables.find("redis-server", "redis-server"), str(settings.site.home / "redis" / "redis.conf"))


def socket(settings: Settings) -> Path:
    """Where it listens."""
    return settings.run / "redis.sock"


def write_configuration(settings: Settings) -> None:
    """Write what Redis reads."""
    (settings.site.home / "redis" / "redis.conf").write_text(configuration(settings))


def configuration(settings: Settings) -> str:
    """``redis.conf``."""
    lines = [
        "# Rendered by `almagest up`: change the settings (ALMAGEST_*), not this file.",
        "port 0",
        f'unixsocket "{socket(settings)}"',
        "unixsocketperm 700",
        f'dir "{settings.site.home / "redis"}"',
        "daemonize no",
        'logfile ""',
        "loglevel notice",
        "maxmemory 256mb",
        # A queue that silently forgets is worse than one that refuses.
        "maxmemory-policy noeviction",
        "appendonly yes",
        "appendfsync everysec",
        'save ""',
    ]
    return "\n".join(lines) + "\n"
