"""An app on a port, for clients that are no part of this process, or should not know that it is."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import uvicorn

from almagest.core.processes import Audience
from almagest.core.settings import Settings
from support.cluster import free_port

SCOPES = b"catalogue:read catalogue:write"


@contextlib.contextmanager
def served(settings: Settings, audience: Audience = "internal") -> Iterator[Settings]:
    """The STAC API of one audience on a port of this machine; inside, everybody comes as nginx sends on a good key.

    Yields:
        Settings whose origin is that port.
    """
    from almagest.services.stac.app import create_app

    settings = replace(settings, site=settings.site.model_copy(update={"port": free_port(), "public_url": ""}))
    app = create_app(settings, audience)

    async def vouched(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and audience == "internal":
            scope = {**scope, "headers": [*scope["headers"], (b"x-scopes", SCOPES)]}
        await app(scope, receive, send)

    config = uvicorn.Config(vouched, host="127.0.0.1", port=settings.site.port, log_config=None, lifespan="on")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "it did not start"
        time.sleep(0.01)
    try:
        yield settings
    finally:
        server.should_exit = True
        thread.join(30)
