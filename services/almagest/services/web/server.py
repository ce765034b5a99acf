"""Runs one app in one process, on a Unix socket or a port. Several processes are several programs of the supervisor."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import uvicorn
from starlette.types import ASGIApp

from almagest.core.errors import AlmagestError
from almagest.core.processes import Audience
from almagest.services.web import logs


def run(
    create_app: Callable[[], ASGIApp], *, uds: str | None = None, host: str = "127.0.0.1", port: int | None = None
) -> None:
    """Serves until told to stop.

    Args:
        create_app: makes the app; called once.
        uds: path of the Unix socket to listen on.
        host: address to listen on, where not on a Unix socket. Whoever can connect is believed as nginx is.
        port: TCP port to listen on.
    """
    if uds:
        Path(uds).unlink(missing_ok=True)  # left behind by a process that was killed
    uvicorn.run(
        create_app,
        factory=True,
        uds=uds,
        host=host,
        port=port or 8000,
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=10,
        # nginx keeps connections open for a minute; ours must not close first, or a request falls into the gap.
        timeout_keep_alive=75,
    )


def main(service: str, create_app: Callable[[Audience], ASGIApp]) -> None:
    """The command line of a service: ``python -m almagest.services.<service> --audience external --uds PATH``."""
    parser = argparse.ArgumentParser(prog=f"python -m almagest.services.{service}")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--uds", metavar="PATH", help="listen on this Unix socket")
    where.add_argument("--port", type=int, help="listen on this TCP port")
    parser.add_argument("--host", default="127.0.0.1", help="address of that port; only nginx may be able to connect")
    parser.add_argument("--audience", choices=get_args(Audience), default="internal", help="whom it serves")
    arguments = parser.parse_args()
    logs.configure(service)
    try:
        run(lambda: create_app(arguments.audience), uds=arguments.uds, host=arguments.host, port=arguments.port)
    except AlmagestError as error:
        sys.exit(f"{service}: {error}")
