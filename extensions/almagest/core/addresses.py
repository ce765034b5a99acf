"""How names become part of an address, the same wherever one is written."""

from __future__ import annotations

import re
from urllib.parse import quote

#: What a path segment holds as it is (RFC 3986, ``pchar``).
_AS_IT_IS = "!$&'()*+,;=:@~"
_PLAIN = re.compile(r"[A-Za-z0-9_.-]+")


def segment(name: str) -> str:
    """A name as one segment of a path, percent-encoded where it has to be."""
    return name if _PLAIN.fullmatch(name) else quote(name, safe=_AS_IT_IS)
