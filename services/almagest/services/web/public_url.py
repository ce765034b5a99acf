"""Links are built from the configured public address, so that no header a client sends can bend them."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

_FORGEABLE = frozenset(
    {b"host", b"forwarded", b"x-forwarded-host", b"x-forwarded-proto", b"x-forwarded-port", b"x-forwarded-prefix"}
)


@dataclass
class PublicUrl:
    """Replaces scheme, host and root path of every request by those of the public site.

    Attributes:
        app: the app behind it.
        origin: scheme and authority, as in ``https://stac.example.org``.
        prefix: where nginx mounts the app, as in ``/api``.
    """

    app: ASGIApp
    origin: str
    prefix: str

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http":
            public = urlsplit(self.origin)
            headers = [(name, value) for name, value in scope["headers"] if name not in _FORGEABLE]
            scope = {
                **scope,
                "scheme": public.scheme,
                "root_path": self.prefix,
                "headers": [*headers, (b"host", public.netloc.encode())],
            }
        await self.app(scope, receive, send)
