"""Requests to servers that a user has named: none of them reaches what the user could not reach by himself.

The name is resolved once, and the connection goes to the address that was looked at. No redirect is followed, no proxy
of the environment is asked, and little is read of the answer.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from almagest.core.errors import AlmagestError, BadRequestError
from almagest.core.settings import Settings

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
#: Addresses of a name, as text.
Resolve = Callable[[str, int], Iterable[str]]

_LONGEST_URL = 2000
#: Of an answer, that is how much is read [bytes].
_ANSWER = 4096
_DEFAULT_PORTS = {"http": 80, "https": 443}
#: What an address holds beside letters, digits and signs of their own would have to be escaped.
_VISIBLE = re.compile(r"[\x21-\x7e]+")
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
#: Programs read a host that ends so as a number, in whatever spelling: decimal, octal, hexadecimal, two parts of four.
_NUMBER = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)")

#: Not of the public Internet, or of it and yet nobody's server: IANA's registries of special purposes, and the services
#: that one large cloud gives its machines.
_SPECIAL_4 = tuple(
    map(
        ipaddress.IPv4Network,
        (
            *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
            *("192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16"),
            *("192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
            "168.63.129.16/32",
        ),
    )
)
#: Global unicast; what embeds an IPv4 address elsewhere (mapped, compatible, NAT64) lies outside.
_UNICAST_6 = ipaddress.IPv6Network("2000::/3")
#: Within it: Teredo and other protocols, 6to4, documentation, AS112.
_SPECIAL_6 = tuple(
    map(
        ipaddress.IPv6Network,
        ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "2620:4f:8000::/48"),
    )
)
#: The second half of an ISATAP address, but for the bit that says whether it is unique, and the IPv4 address.
_ISATAP, _ISATAP_MASK = 0x00005EFE, 0xFDFFFFFF


class RefusedError(AlmagestError):
    """This address is not called from here."""

    status = 422
    slug = "address-refused"


class UndeliveredError(AlmagestError):
    """The server did not take it."""

    status = 502
    slug = "undelivered"


@dataclass(frozen=True)
class Target:
    """A server and what is asked of it."""

    scheme: str
    host: str
    port: int
    path: str


def _resolved(host: str, port: int) -> list[str]:
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


@dataclass(frozen=True)
class Outbound:
    """The way out.

    Attributes:
        networks: that may be called although they are not of the public Internet, or ours.
        ports: that may be called.
        patience_s: how long all of it may take, once the name is resolved [s].
        resolve: says which addresses a name has.
        trust: whom to believe that he is a host.
        ours: networks of our own, which may have public addresses and are not called all the same.
    """

    networks: tuple[Network, ...] = ()
    ports: tuple[int, ...] = (80, 443)
    patience_s: float = 10.0
    resolve: Resolve = _resolved
    trust: ssl.SSLContext = field(default_factory=ssl.create_default_context)
    ours: tuple[Network, ...] = ()

    @classmethod
    def of(cls, settings: Settings) -> Outbound:
        """As the settings allow."""
        work = settings.work
        allowed, ours = (
            tuple(map(ipaddress.ip_network, networks))
            for networks in (work.callback_networks, settings.site.internal_networks)
        )
        return cls(allowed, work.callback_ports, ours=ours)

    def target(self, url: str) -> Target:
        """What an address leads to, as far as it says so itself.

        Raises:
            BadRequestError: it cannot be called; says why.
        """
        if len(url) > _LONGEST_URL or not _VISIBLE.fullmatch(url):
            raise BadRequestError(f"An address has at most {_LONGEST_URL} characters of ASCII, and no spaces.")
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise BadRequestError(f"{url!r} is no address: {error}.") from None
        if parts.scheme not in _DEFAULT_PORTS:
            raise BadRequestError(f"{url!r} is not of the scheme http or https.")
        if "@" in parts.netloc or "\\" in url:
            raise BadRequestError("The address holds a user, a password or a backslash, which are not sent.")
        if parts.fragment:
            raise BadRequestError(f"{url!r} has a fragment, which no server is told.")
        port = _DEFAULT_PORTS[parts.scheme] if port is None else port
        if port not in self.ports:
            raise BadRequestError(f"Port {port} is not called: only {', '.join(map(str, self.ports))}.")
        host = (parts.hostname or "").removesuffix(".")
        literal = _literal(host, is_bracketed="[" in parts.netloc)
        if literal and not self.permits(literal):
            raise BadRequestError(f"{host} is no address of the public Internet.")
        return Target(parts.scheme, host, port, (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))

    def permits(self, address: Address) -> bool:
        """Whether an address may be called."""
        if any(address in network for network in self.networks):
            return True
        return _is_public(address) and not any(address in network for network in self.ours)

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        """Sends a body; answers the status, which is one of success.

        Raises:
            BadRequestError, RefusedError: nobody is called: trying again would not help.
            UndeliveredError: the server is not there, or did not take it.
        """
        target = self.target(url)
        address = self._address(target)
        until = time.monotonic() + self.patience_s
        try:
            line = socket.create_connection((str(address), target.port), timeout=self.patience_s)
        except OSError as error:
            raise UndeliveredError(f"{address} does not answer: {_reason(error)}") from None
        # Whatever comes in drop by drop ends all the same: both ends of a copy are the same connection.
        with line, line.dup() as handle:
            watch = threading.Timer(until - time.monotonic(), _cut, (handle,))
            watch.daemon = True
            watch.start()
            try:
                status = self._exchange(target, line, body, headers)
            except (OSError, http.client.HTTPException) as error:
                late = time.monotonic() >= until
                why = f"it took longer than {self.patience_s:g} s" if late else _reason(error)
                raise UndeliveredError(f"{address} did not take it: {why}") from None
            finally:
                watch.cancel()
        if not 200 <= status < 300:
            told = "; redirects are not followed" if 300 <= status < 400 else ""
            raise UndeliveredError(f"{address} answered {status}{told}.")
        return status

    def _address(self, target: Target) -> Address:
        try:
            found = [ipaddress.ip_address(text) for text in self.resolve(target.host, target.port)]
        except (OSError, UnicodeError) as error:
            raise UndeliveredError(f"{target.host} is not known: {_reason(error)}") from None
        except ValueError:  # an address that is good on one of our own links only
            found = []
        permitted = [address for address in found if self.permits(address)]
        if not permitted:
            raise RefusedError(f"{target.host} leads to no address of the public Internet.")
        return permitted[0]

    def _exchange(self, target: Target, line: socket.socket, body: bytes, headers: Mapping[str, str]) -> int:
        connection: http.client.HTTPConnection
        if target.scheme == "https":
            connection = http.client.HTTPSConnection(target.host, target.port, context=self.trust)
            line = self.trust.wrap_socket(line, server_hostname=target.host)
        else:
            connection = http.client.HTTPConnection(target.host, target.port)
        connection.sock = line  # it has no other way to connect than this
        try:
            connection.request("POST", target.path, body, {**headers, "Connection": "close"})
            answer = connection.getresponse()
            answer.read(_ANSWER)
            return answer.status
        finally:
            connection.close()


def _literal(host: str, *, is_bracketed: bool) -> Address | None:
    """The address that a host is, if it is none with a name.

    Raises:
        BadRequestError: it is neither, or some other spelling of an address.
    """
    try:
        if is_bracketed:
            return ipaddress.IPv6Address(host)  # with a zone, it is a link's and as such not public
        labels = host.split(".")
        if _NUMBER.fullmatch(labels[-1]):
            return ipaddress.IPv4Address(host)
    except ValueError:
        raise BadRequestError(f"{host!r} is no host: write an address as 192.0.2.1 or [2001:db8::1].") from None
    if len(host) > 253 or not all(map(_LABEL.fullmatch, labels)):
        raise BadRequestError(f"{host!r} is no name of a host.")
    return None


def _is_public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _SPECIAL_4)
    return (
        address in _UNICAST_6
        and address.scope_id is None
        and not any(address in network for network in _SPECIAL_6)
        and int(address) >> 32 & _ISATAP_MASK != _ISATAP
    )


def _cut(line: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it is over already
        line.shutdown(socket.SHUT_RDWR)


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__)[:300]
