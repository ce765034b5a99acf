"""``/healthz``: the process runs. ``/readyz``: what it depends on answers. Both stand outside the app's public path."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import orjson
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

#: Raises where something is missing.
Check = Callable[[], Awaitable[None]]


@dataclass
class Health:
    """Answers the two health paths before any other part of the app sees them. nginx does not let them through."""

    app: ASGIApp
    check: Check
    timeout_s: float = 3.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        path = scope["path"] if scope["type"] == "http" else ""
        if path == "/healthz":
            await Response(b'{"status":"ok"}', media_type="application/json")(scope, receive, send)
        elif path == "/readyz":
            await (await self._ready())(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _ready(self) -> Response:
        try:
            await asyncio.wait_for(self.check(), self.timeout_s)
        except Exception as error:  # whatever it is, it is the reason
            reason = str(error) or type(error).__name__
            body = {"status": "unavailable", "reasons": [reason]}
            return Response(orjson.dumps(body), status_code=503, media_type="application/json")
        return Response(b'{"status":"ready"}', media_type="application/json")
