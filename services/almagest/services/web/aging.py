"""Answers read from a replica say how old they may be: ``Age``, in whole seconds (RFC 9111)."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: What RFC 9111 has everybody take for "longer than can be told".
_UNTOLD = 2**31


@dataclass
class _Answer:
    is_from_replica: bool = False


_ANSWER: ContextVar[_Answer | None] = ContextVar("answer", default=None)


def read_from_replica() -> None:
    """Notes, in any thread, that the answer under way is made from what a replica told."""
    answer = _ANSWER.get()
    if answer is not None:
        answer.is_from_replica = True


@dataclass
class Aged:
    """Gives answers their ``Age``.

    Attributes:
        app: the app behind it.
        complete_until: the moment (of the monotonic clock) before which the replica lacks nothing; None: nobody knows.
    """

    app: ASGIApp
    complete_until: Callable[[], Awaitable[float | None]]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        # Before anything is read: what the replica has by then, every answer has.
        complete = await self.complete_until()
        answer = _Answer()

        async def send_with_age(message: Message) -> None:
            if message["type"] == "http.response.start" and answer.is_from_replica:
                age = _UNTOLD if complete is None else int(time.monotonic() - complete)
                MutableHeaders(scope=message)["Age"] = str(min(age, _UNTOLD))
            await send(message)

        token = _ANSWER.set(answer)
        try:
            await self.app(scope, receive, send_with_age)
        finally:
            _ANSWER.reset(token)
