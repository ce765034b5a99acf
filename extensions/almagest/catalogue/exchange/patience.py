"""Asking again what only takes patience."""

from __future__ import annotations

import email.utils
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx

#: How long a service that does not answer, or has too much to do, is asked again [s].
PATIENCE_S = 60.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 10.0
#: What passes: too many requests, and what proxies say while a service starts.
PASSING = frozenset({429, 502, 503, 504})


class Patience:
    """Pauses between the attempts at one request, each longer than the one before.

    It counts from the first failure: a single attempt may take longer than all of it.

    Args:
        seconds: how long.
    """

    def __init__(self, seconds: float = PATIENCE_S) -> None:
        self._seconds, self._pause = seconds, _FIRST_PAUSE_S
        self._since: float | None = None

    def left(self) -> float:
        """Seconds that are left after a failure."""
        now = time.monotonic()
        if self._since is None:
            self._since = now
        return self._seconds - (now - self._since)

    def pause(self, response: httpx.Response | None = None) -> float:
        """Seconds to wait after a failure, at least what its answer asks for; none where patience is at its end."""
        asked_for = _retry_after(response) if response is not None else None
        pause = min(max(self._pause, asked_for or 0), self.left())
        self._pause = min(2 * self._pause, _LONGEST_PAUSE_S)
        return max(pause, 0)


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds that the service asks to wait, as a number or a date."""
    said = response.headers.get("Retry-After", "")
    try:
        if said.isdigit():  # of any script: not all of them are numbers
            return float(said)
        return email.utils.parsedate_to_datetime(said).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None
