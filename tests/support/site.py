"""nginx itself in front of the real ops app, where it matters what both make of one request."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import httpx
import uvicorn

from almagest.core import processes
from almagest.core.settings import Settings
from almagest.services.ops.app import create_app
from almagest.services.proxy import render
from support.cluster import free_port, unprivileged_user


@contextlib.contextmanager
def opened(settings: Settings) -> Iterator[Settings]:
    """A site of nginx and one ops process; its home must be a short path that everybody may enter.

    Yields:
        Settings with the port that it listens on.
    """
    site = settings.site.model_copy(update={"port": free_port(), "public_url": "", "ops_workers": 1})
    settings = replace(settings, site=site)
    settings.run.mkdir(exist_ok=True)
    (settings.browser_path / "js").mkdir(parents=True, exist_ok=True)
    render.write(settings)
    place = next(service for service in processes.services(settings) if service.name == "ops").processes(settings)[0]
    server = uvicorn.Server(uvicorn.Config(create_app(settings), uds=str(place.place), log_config=None, lifespan="on"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    user = unprivileged_user()
    for path in (settings.site.home, *(settings.site.home / "nginx").rglob("*"), settings.site.home / "nginx"):
        if user:
            shutil.chown(path, user, user)
    output = settings.site.home / "nginx.log"
    with output.open("wb") as file:
        if user:
            shutil.chown(output, user, user)
        nginx = subprocess.Popen(render.command(settings), stdout=file, stderr=file, user=user, group=user)
    try:
        until = time.monotonic() + 20
        while not server.started or not _listens(site.port):
            assert thread.is_alive(), "ops did not start"
            assert nginx.poll() is None, output.read_text()
            assert time.monotonic() < until, output.read_text()
            time.sleep(0.02)
        yield settings
    finally:
        nginx.terminate()
        nginx.wait(20)
        server.should_exit = True
        thread.join(30)


def client(settings: Settings, key: str) -> httpx.Client:
    """Whoever has this key."""
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.Client(base_url=settings.site.origin, headers=headers, trust_env=False, timeout=30)


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    return False
