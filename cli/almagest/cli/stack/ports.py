"""Whether our ports are free, asked before anything is started."""

from __future__ import annotations

import errno
import socket

from almagest.core.errors import ConfigurationError
from almagest.core.settings import Settings


def check(settings: Settings) -> None:
    """Refuse to start where somebody else listens already.

    Raises:
        ConfigurationError: names the port and the variable that moves it, or the address that is open to the world.
    """
    if not settings.site.is_loopback:
        raise ConfigurationError(
            f"ALMAGEST_BIND: {settings.site.bind} can be reached from other machines, and nothing would keep them from"
            " reading everything: use a loopback address, and a proxy that asks who they are in front of it."
        )
    _check(settings.site.bind, settings.site.port, "ALMAGEST_PORT", "the site")
    if not settings.database.host:
        _check("127.0.0.1", settings.database.port, "ALMAGEST_DB_PORT", "PostgreSQL")


def _check(address: str, port: int, variable: str, purpose: str) -> None:
    try:
        found = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror:
        raise ConfigurationError(f"ALMAGEST_BIND: {address!r} is not an address of this machine.") from None
    for family, kind, protocol, _, endpoint in found:
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(endpoint)
            except OSError as error:
                raise ConfigurationError(_explain(error, address, port, variable, purpose)) from None


def _explain(error: OSError, address: str, port: int, variable: str, purpose: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} on {address}, wanted for {purpose}, is taken: set {variable} to a free port."
    if error.errno == errno.EACCES:
        return f"Port {port}, wanted for {purpose}, is open to root alone: set {variable} to 1024 or more."
    if error.errno == errno.EADDRNOTAVAIL:
        return f"ALMAGEST_BIND: this machine has no address {address}."
    return f"Port {port} on {address}, wanted for {purpose}, cannot be used: {error.strerror} ({variable})."
