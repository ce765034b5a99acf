"""Runs nginx where the services answer over TCP: a container that is started anew, or once more, has another address.

nginx looks a name up once, when it reads its configuration. So the names are looked up here, again and again, and nginx
reads a new configuration whenever the answer is another one. Requests under way are not disturbed by that.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from types import FrameType

from almagest.core.settings import Settings
from almagest.services.proxy import render

_LOOK_EVERY_S = 1.0


def serve(settings: Settings) -> int:
    """Run nginx until it is told to stop; return its exit code.

    Raises:
        ConfigurationError: nginx cannot be started with these settings.
    """
    known = render.upstreams(settings)
    render.write(settings)
    render.check(settings)
    nginx = subprocess.Popen(render.command(settings))  # noqa: S603

    def stop(_: int, __: FrameType | None) -> None:
        nginx.send_signal(signal.SIGQUIT)  # answers what it has begun

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    while True:
        try:
            return nginx.wait(_LOOK_EVERY_S)
        except subprocess.TimeoutExpired:
            found = render.upstreams(settings)
        if found != known:
            render.write(settings)
            nginx.send_signal(signal.SIGHUP)
            known = found
            places = [process.name for upstream in found for process in upstream.processes]
            sys.stderr.write(f"nginx asks {', '.join(places) or 'nobody'}\n")
