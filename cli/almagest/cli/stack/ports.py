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
    site = settings.site
    if site.is_open_to_the_world and site.is_relayed_by_strangers:
        raise ConfigurationError(
            f"ALMAGEST_PUBLIC_URL: others reach {site.public_url} through a proxy, and all of them would look like this"
            " machine, which may read everything: name the proxy in ALMAGEST_TRUSTED_PROXIES, or set"
            " ALMAGEST_INTERNAL_READ=key, or ALMAGEST_INTERNAL_NETWORKS if the proxy asks who they are."
        )
    if site.is_open_to_the_world:
        raise ConfigurationError(
            f"ALMAGEST_BIND: {site.bind} can be reached from other machines, and nobody has said which of them may read"
            " everything: set ALMAGEST_INTERNAL_NETWORKS to their networks, or ALMAGEST_INTERNAL_READ=key to ask each"
            " of them for a key."
        )
    _check(site.bind, site.port, "ALMAGEST_PORT", "the site")
    if site.public_port:
        address = site.public_bind or site.bind
        _check(address, site.public_port, "ALMAGEST_PUBLIC_PORT", "the public listener", "ALMAGEST_PUBLIC_BIND")
    if not settings.database.host:
        _check("127.0.0.1", settings.database.port, "ALMAGEST_DB_PORT", "PostgreSQL")


def _check(address: str, port: int, variable: str, purpose: str, where: str = "ALMAGEST_BIND") -> None:
    try:
        found = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror:
        raise ConfigurationError(f"{where}: {address!r} is not an address of this machine.") from None
    for family, kind, protocol, _, endpoint in found:
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(endpoint)
            except OSError as error:
                raise ConfigurationError(_explain(error, address, port, variable, purpose, where)) from None


def _explain(error: OSError, address: str, port: int, variable: str, purpose: str, where: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} on {address}, wanted for {purpose}, is taken: set {variable} to a free port."
    if error.errno == errno.EACCES:
        return f"Port {port}, wanted for {purpose}, is open to root alone: set {variable} to 1024 or more."
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{where}: this machine has no address {address}."
    return f"Port {port} on {address}, wanted for {purpose}, cannot be used: {error.strerror} ({variable})."
