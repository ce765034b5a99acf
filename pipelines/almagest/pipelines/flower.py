"""Flower, Celery's own view of its workers: ``python -m almagest.pipelines.flower --uds PATH``.

It runs only where the settings ask for it, and shows: what it could change is switched off, and the door lets nobody
through to it. What jobs there are, the table knows; this shows what Celery makes of the doorbell.
"""

from __future__ import annotations

import argparse
import signal
import sys

import structlog
from flower.app import Flower
from flower.command import extract_settings
from flower.options import options
from flower.urls import settings as tornado_settings
from tornado.ioloop import IOLoop

from almagest.core import logs
from almagest.core.errors import AlmagestError
from almagest.core.processes import FLOWER_PATH
from almagest.core.settings import Settings
from almagest.pipelines.doorbell import celery

log = structlog.get_logger(__name__)

#: Tasks that are remembered. Each is a ring of the doorbell, and no job is lost with it.
_TASKS = 5000


def serve(settings: Settings, *, uds: str = "", port: int = 0, host: str = "127.0.0.1") -> None:
    """Serves until told to stop.

    Args:
        settings: of the stack.
        uds: path of the Unix socket to listen on.
        port: TCP port to listen on, where there is no such path.
        host: address of that port; only nginx may be able to connect.
    """
    options.url_prefix = FLOWER_PATH.strip("/")
    options.read_only = True
    options.max_tasks = _TASKS
    # Workers send events because the same setting tells them to: nobody has to be asked again and again.
    options.enable_events = False
    if uds:
        options.unix_socket = uds
    else:
        options.port, options.address = port, host
    extract_settings()
    cookies = {"path": FLOWER_PATH, "samesite": "Strict"}
    app = Flower(capp=celery(settings), options=options, **tornado_settings, xsrf_cookie_kwargs=cookies)
    app.start_http_server()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: IOLoop.current().add_callback_from_signal(app.stop))
    log.info("Flower listens", place=uds or f"{host}:{port}")
    app.start()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m almagest.pipelines.flower")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--uds", default="", metavar="PATH", help="listen on this Unix socket")
    where.add_argument("--port", default=0, type=int, help="listen on this TCP port")
    parser.add_argument("--host", default="127.0.0.1", help="address of that port; only nginx may be able to connect")
    arguments = parser.parse_args()
    logs.configure("flower")
    try:
        serve(Settings.load(), uds=arguments.uds, port=arguments.port, host=arguments.host)
    except AlmagestError as error:
        sys.exit(f"flower: {error}")


if __name__ == "__main__":
    main()
