"""Keeps the external audience shut until the canary has passed with what is applied to the database."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from starlette.types import ASGIApp, Receive, Scope, Send

from almagest.core.errors import AlmagestError, DatabaseUnavailableError
from almagest.services.web.problem import problem

_BELIEVED_S = 60.0


@dataclass
class Canary:
    """Asks before the first request is answered, with each one until the answer is yes, and then once a minute.

    Attributes:
        has_passed: asks the database.
    """

    has_passed: Callable[[], Awaitable[bool]]
    _known_until: float = field(default=0.0, init=False)

    async def check(self) -> None:
        """Raises unless it has passed.

        Raises:
            DatabaseUnavailableError: it has not, or the database does not answer.
        """
        now = time.monotonic()
        if now < self._known_until:
            return
        if not await self.has_passed():
            raise DatabaseUnavailableError("Nobody outside is served before `almagest audience canary` has passed.")
        # A process may outlive a migration.
        self._known_until = now + _BELIEVED_S


@dataclass
class CanaryGate:
    """Answers 503 in place of the app while the canary has not passed."""

    app: ASGIApp
    canary: Canary

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http":
            try:
                await self.canary.check()
            except AlmagestError:
                refusal = problem(503, "unavailable", "The service is not ready.", headers={"Retry-After": "5"})
                await refusal(scope, receive, send)
                return
        await self.app(scope, receive, send)
