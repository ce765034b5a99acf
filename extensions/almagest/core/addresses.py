"""How names become part of an address, the same wherever one is written."""

from __future__ import annotations

from urllib.parse import quote

#: What a path segment holds as it is (RFC 3986, ``pchar``).
_AS_IT_IS = "!$&'()*+,;=:@~"


def segment(name: str) -> str:
    """A name as one segment of a path, percent-encoded where it has to be."""
    return quote(name, safe=_AS_IT_IS)
