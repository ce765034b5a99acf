"""A real browser, and all that it complains of."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
#: Where to leave screenshots for a person to look at.
PICTURES = os.environ.get("PICTURES")


class Watched:
    """A page, and everything about it that nobody should have to see."""

    def __init__(self, page: Any, origin: str) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.tiles: list[int] = []
        page.on("console", lambda message: message.type == "error" and self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self._asked(request.url, origin))
        page.on("response", self._answered)

    def _asked(self, url: str, origin: str) -> None:
        if not url.startswith((f"{origin}/", "data:", "blob:")):
            self.complaints.append(f"a request left the origin: {url}")

    def _answered(self, response: Any) -> None:
        if "/tiles/WebMercatorQuad/" in response.url:
            self.tiles.append(response.status)

    def picture(self, name: str, *, whole: bool = False) -> None:
        if PICTURES:
            self.page.screenshot(path=f"{PICTURES}/{name}.png", full_page=whole)


@contextmanager
def opened() -> Iterator[Any]:
    """A context of Chromium, with a profile of its own; the test is skipped where there is no Chromium."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium is installed; on Debian `make test` installs it")
    from playwright.sync_api import sync_playwright

    profile = tempfile.mkdtemp(prefix="alm-chromium-")
    try:
        with sync_playwright() as playwright:
            context = playwright.chromium.launch_persistent_context(
                profile, executable_path=program, args=FLAGS, viewport={"width": 1400, "height": 900}
            )
            yield context
            context.close()
    finally:
        shutil.rmtree(profile, ignore_errors=True)


@contextmanager
def watching(context: Any, origin: str) -> Iterator[Watched]:
    """A new page of a browser in which nobody is logged in."""
    context.clear_cookies()
    page = context.new_page()
    page.set_default_timeout(30_000)
    yield Watched(page, origin)
    page.close()
