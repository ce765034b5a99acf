"""Which refusals are told one by one, and which only counted: whoever is refused a million times writes few rows."""

from __future__ import annotations

import ipaddress
from collections import Counter

#: Refusals of one address, and of all, that are told one by one in a minute.
OF_ONE, OF_ALL = 10, 300
#: Addresses that are counted one by one in a minute; the others are counted together.
ADDRESSES = 500
OTHERS = "others"
_MINUTE_S = 60.0


class Denials:
    """Counts refusals by the minute."""

    def __init__(self) -> None:
        self._until = 0.0
        self._told: Counter[str] = Counter()
        self._counted: Counter[str] = Counter()
        self._over: list[tuple[str, int]] = []

    def is_told(self, address: str, now: float) -> bool:
        """Whether one more refusal is told by itself; else it is counted."""
        self._turn(now)
        subscriber = network(address)
        if self._told[subscriber] < OF_ONE and self._told.total() < OF_ALL:
            self._told[subscriber] += 1
            return True
        is_one_of_many = subscriber not in self._counted and len(self._counted) >= ADDRESSES
        self._counted[OTHERS if is_one_of_many else subscriber] += 1
        return False

    def over(self, now: float) -> list[tuple[str, int]]:
        """Who was counted in minutes that are over by now, and how often. Each is answered once."""
        self._turn(now)
        told, self._over = self._over, []
        return told

    def _turn(self, now: float) -> None:
        if now >= self._until:
            self._over += self._counted.items()
            self._told.clear()
            self._counted.clear()
            self._until = now + _MINUTE_S


def network(address: str) -> str:
    """Who is one subscriber: an IPv4 address, of IPv6 a /64."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        return str(found.ipv4_mapped or ipaddress.ip_network((found, 64), strict=False))
    return str(found)
