"""One id for a request, from nginx to the last log line."""

from __future__ import annotations

import re
import uuid
from contextvars import ContextVar
from dataclasses import dataclass

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_current: ContextVar[str] = ContextVar("request_id", default="")
_WELL_FORMED = re.compile(rb"[0-9a-f]{32}")


def request_id() -> str:
    """The id of the request being answered, as a UUID; empty outside of one."""
    return _current.get()


@dataclass
class RequestId:
    """Takes the id that nginx gave (it overwrites what clients send), or makes one, and sends it back."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = dict(scope["headers"]).get(b"x-request-id", b"")
        identifier = str(uuid.UUID(given.decode()) if _WELL_FORMED.fullmatch(given) else uuid.uuid4())
        token = _current.set(identifier)

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["X-Request-ID"] = identifier
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        finally:
            _current.reset(token)
