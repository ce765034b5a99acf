"""One document at an href: a path, a `file://` address or an http(s) URL."""

from __future__ import annotations

import functools
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urljoin

from almagest.catalogue.exchange import bounds
from almagest.catalogue.exchange.records import MAX_DOCUMENT_BYTES, MAX_HOLDER_BYTES
from almagest.core.errors import NotFoundError

if TYPE_CHECKING:
    import httpx

_WEB = ("http://", "https://")
_TIMEOUT_S = 60
#: What documents that lead to others are called, by everybody.
_HOLDERS = ("/catalog.json", "/collection.json")


class UnavailableError(NotFoundError):
    """No document could be read there."""


def is_web(href: str) -> bool:
    """Whether an href is an address on the web."""
    return href.lower().startswith(_WEB)


def has_scheme(href: str) -> bool:
    """Whether an href says by itself what kind of address it is (`s3://`, `urn:`, …)."""
    scheme, colon, _ = href.partition(":")
    # One letter would be a drive, a slash before the colon belongs to a path.
    return bool(colon) and len(scheme) > 1 and scheme.isascii() and scheme.replace("+", "").replace("-", "").isalnum()


def absolute(href: str, base: str) -> str:
    """What an href means in a document that stands at `base`: a URL or an absolute path.

    Files of this machine are none of the web's business: there, `file://` is a scheme like any other.
    """
    if href.startswith("file://") and not is_web(base):
        return unquote(href.removeprefix("file://"))
    if has_scheme(href):
        return href
    if is_web(base):
        try:
            return urljoin(base, href)
        except ValueError:
            return f"invalid:{href}"
    return os.path.normpath(os.path.join(os.path.dirname(base), href))  # noqa: PTH118, PTH120 (paths as text, by lakhs)


def read(href: str) -> bytes:
    """The bytes of a document.

    Raises:
        UnavailableError: there is none, with the reason.
    """
    if is_web(href):
        return _fetched(href)
    path = Path(href)
    if not path.is_absolute():
        raise UnavailableError("is no address that can be read")
    try:
        if not path.exists() and "%" in href:
            path = Path(unquote(href))
        bounds.check_file(path)
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):  # a pipe, for one, might keep us for ever
            raise UnavailableError("is no file")
        if found.st_size > _limit(href):
            raise UnavailableError(f"is larger than {_limit(href) // 2**20} MiB")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise UnavailableError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _fetched(url: str) -> bytes:
    import httpx

    from almagest.catalogue.exchange.answers import answered

    try:
        response = answered(client(), client().build_request("GET", url), limit=_limit(url))
        response.raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:  # half a surrogate pair in an address, for one
        raise UnavailableError(f"cannot be read: {error}") from None
    return response.content


def _limit(href: str) -> int:
    return MAX_HOLDER_BYTES if href.endswith(_HOLDERS) else MAX_DOCUMENT_BYTES


@functools.cache
def client() -> httpx.Client:
    """One client, so that connections are used again. It sends no key: what it reads is public."""
    import httpx

    return httpx.Client(timeout=_TIMEOUT_S, follow_redirects=True, event_hooks={"request": [bounds.check_request]})
