"""What may be kept, and for how long: a picture may be shown again only after we were asked whether it still may."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from almagest.core.hrefs import HrefRefusedError
from almagest.services.tiles.reader import REMOTE, CatalogueItem

_STATIC = ("/tileMatrixSets", "/colorMaps", "/algorithms")


class NotModified(Exception):  # noqa: N818
    """The client has it already."""


async def not_modified(request: Request, _: Exception) -> Response:
    """The answer to :class:`NotModified`."""
    return Response(status_code=304, headers={"ETag": request.state.etag})


def revalidate(request: Request, item: CatalogueItem) -> None:
    """Gives the answer an ETag, made from the item, its files and the request.

    Raises:
        NotModified: the client has that very answer.
    """
    digest = hashlib.sha256(json.dumps(item.document, sort_keys=True, separators=(",", ":")).encode())
    for key in item.assets:
        try:
            path = item.path(key)
        except HrefRefusedError:
            continue
        if not path.startswith(REMOTE):
            facts = os.stat(path)  # noqa: PTH116
            digest.update(f"{key} {facts.st_mtime_ns} {facts.st_size} ".encode())
    accepted = request.headers.get("accept", "")
    digest.update(f"{request.scope['path']}?{request.scope['query_string'].decode('latin-1')} {accepted}".encode())
    request.state.etag = f'"{digest.hexdigest()[:32]}"'
    if request.headers.get("if-none-match") == request.state.etag:
        raise NotModified


@dataclass
class CacheHeaders:
    """Says what may be kept for a while, and gives pictures their tags; of all else `Revalidated` speaks."""

    app: ASGIApp
    prefix: str

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        static = scope["path"].removeprefix(self.prefix).startswith(_STATIC)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if static:
                    headers.setdefault("Cache-Control", "max-age=3600")
                if message["status"] == 200 and "etag" in state:
                    headers.setdefault("ETag", state["etag"])
            await send(message)

        await self.app(scope, receive, send_with_headers)
