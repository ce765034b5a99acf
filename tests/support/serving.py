"""An app on a port, for clients that are no part of this process, or should not know that it is."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import uvicorn

from almagest.core import secrets
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

    settings = on_a_port(settings)
    headers = [(b"x-scopes", SCOPES)] if audience == "internal" else []
    with listening(create_app(settings, audience), settings.site.port, headers):
        yield settings


@contextlib.contextmanager
def served_ops(settings: Settings, caller: dict[str, str]) -> Iterator[Settings]:
    """The ops app on a port of this machine; everybody is the one whom these headers of nginx name.

    Yields:
        Settings whose origin is that port.
    """
    from almagest.services.ops.app import create_app

    settings = on_a_port(settings)
    secrets.ensure(settings.secrets, secrets.JWT_KEY, "5a" * 32)
    headers = [(name.lower().encode(), value.encode()) for name, value in caller.items()]
    with listening(create_app(settings), settings.site.port, headers):
        yield settings


def on_a_port(settings: Settings) -> Settings:
    """Settings whose origin is a free port of this machine."""
    return replace(settings, site=settings.site.model_copy(update={"port": free_port(), "public_url": ""}))


@contextlib.contextmanager
def listening(app: Any, port: int, headers: Sequence[tuple[bytes, bytes]] = ()) -> Iterator[None]:
    """An app on a port, and what nginx says of whoever comes."""

    async def vouched(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            scope = {**scope, "headers": [*scope["headers"], *headers]}
        await app(scope, receive, send)

    config = uvicorn.Config(vouched, host="127.0.0.1", port=port, log_config=None, lifespan="on")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "it did not start"
        time.sleep(0.01)
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(30)
