"""Counts requests by the route that answered, and how long they took, and tells the numbers of this process.

``/counts`` stands outside the app's public path, as the health paths do. Whoever gathers the numbers asks each process
there: nothing lies in files that one could leave behind, and one that starts anew counts from zero under its name.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from almagest.services.web.inventory import Route

#: Upper ends of what durations are sorted into [s]; one more is for what took longer.
BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
#: The route of what no route answered: addresses that strangers make up must not become names of numbers.
NO_ROUTE = "(none)"
#: Likewise for methods, and for requests whose client left before there was an answer.
OTHER_METHOD, NO_STATUS = "other", "none"

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_CLASSES = {0: NO_STATUS, **{first: f"{first}xx" for first in range(1, 6)}}
_KEY = "almagest.measured"


@dataclass
class Durations:
    """How long requests took: how many by :data:`BUCKETS_S`, and all together [s]."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_S) + 1))
    total_s: float = 0.0


class Tally:
    """What a process has counted."""

    def __init__(self) -> None:
        self._requests: dict[tuple[str, str, str], int] = {}
        self._durations: dict[tuple[str, str], Durations] = {}

    def note(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request has been answered (status 0: it has not been)."""
        method = method if method in _METHODS else OTHER_METHOD
        key = (method, route, _CLASSES.get(status // 100, NO_STATUS))
        self._requests[key] = self._requests.get(key, 0) + 1
        durations = self._durations.get(key[:2])
        if durations is None:
            durations = self._durations[key[:2]] = Durations()
        durations.counts[bisect_left(BUCKETS_S, seconds)] += 1
        durations.total_s += seconds

    def told(self) -> dict[str, Any]:
        """The numbers, as JSON can hold them."""
        return {
            "requests": [[*key, number] for key, number in self._requests.items()],
            "durations": [[*key, took.counts, took.total_s] for key, took in self._durations.items()],
        }


@dataclass
class Measured:
    """Counts what is answered behind it, and answers ``/counts`` itself. nginx does not let that path through.

    Attributes:
        app: the app behind it.
        facts: what else the process tells in numbers.
    """

    app: ASGIApp
    facts: Callable[[], Mapping[str, Any]]
    _tally: Tally = field(init=False, default_factory=Tally, repr=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
        elif scope["path"] == "/counts":
            told = orjson.dumps({**self._tally.told(), **self.facts()})
            await Response(told, media_type="application/json")(scope, receive, send)
        else:
            await self._measure(scope, receive, send)

    async def _measure(self, scope: Scope, receive: Receive, send: Send) -> None:
        began, status = time.perf_counter(), 0

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        found = scope[_KEY] = [NO_ROUTE]  # the gate learns which it is; scopes are copied on their way there
        try:
            await self.app(scope, receive, noting)
        finally:
            self._tally.note(scope["method"], found[0], status, time.perf_counter() - began)


def note_route(scope: Scope, route: Route) -> None:
    """Says which route a request is for."""
    if _KEY in scope:
        scope[_KEY][0] = route.path
