"""Where a database is: what a connection string says of it, read without libpq."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlsplit

_KNOWN = ("host", "port", "dbname")
_SCHEMES = ("postgresql", "postgres")


@dataclass(frozen=True)
class Place:
    """Where a database is.

    Attributes:
        host: name, address or socket folder.
        port: of PostgreSQL.
        name: of the database.
    """

    host: str
    port: int
    name: str

    def __str__(self) -> str:
        return f"{self.host}, port {self.port}"


def place(dsn: str, name: str) -> Place:
    """The place that a URL or the keywords of libpq name.

    Args:
        dsn: ``postgresql://host:port/dbname`` or ``host=… port=… dbname=…``.
        name: the database, where it names none.

    Raises:
        ValueError: it names no single place, or says more than that.
    """
    told = _of_url(dsn) if dsn.partition("://")[0] in _SCHEMES else _of_keywords(dsn)
    if more := sorted(set(told) - set(_KNOWN)):
        raise ValueError(f"takes {', '.join(_KNOWN)} and nothing else, such as {more[0]}: users and passwords are ours")
    host, port = told.get("host", ""), told.get("port") or "5432"
    if not host or "," in host:
        raise ValueError("names no single host")
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError("names no port")
    return Place(host, int(port), told.get("dbname") or name)


def _of_url(dsn: str) -> dict[str, str]:
    parts = urlsplit(dsn)
    # Not `hostname`, which makes a socket's folder lower-case, and not `port`, which refuses in words of its own.
    user, _, address = parts.netloc.rpartition("@")
    host, port = re.fullmatch(r"(\[.*\]|[^:]*):?(.*)", address).groups()  # type: ignore[union-attr]  # anything does
    told = {
        "user": unquote(user),
        "host": unquote(host).strip("[]"),
        "port": port,
        "dbname": unquote(parts.path[1:]),
        **dict(parse_qsl(parts.query)),
    }
    return {key: value for key, value in told.items() if value}


def _of_keywords(dsn: str) -> dict[str, str]:
    words = [word.partition("=") for word in shlex.split(dsn)]
    if not all(key and equals for key, equals, _ in words):
        raise ValueError("is neither postgresql://host:port/dbname nor host=… port=… dbname=…")
    return {key: value for key, _, value in words}
