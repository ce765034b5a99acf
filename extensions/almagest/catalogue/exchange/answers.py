"""Answers from the web, within limits: whoever answers may be broken, or mean ill."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import queue
import threading
import time
import zlib
from collections.abc import Callable, Iterable
from typing import Any

import httpx

from almagest.catalogue.exchange.reading import UnavailableError
from almagest.catalogue.exchange.records import MAX_DOCUMENT_BYTES

#: How long an answer may take in all, however steadily it comes [s].
ANSWER_S = 120.0
_TOO_SLOW = "comes too slowly"
_GZIP = {"gzip", "x-gzip"}
_AS_IT_TRAVELLED = {b"content-encoding", b"content-length", b"transfer-encoding"}


class TooLongError(UnavailableError):
    """An answer is longer than any is taken."""


def answered(
    client: httpx.Client,
    request: httpx.Request,
    *,
    limit: int = MAX_DOCUMENT_BYTES,
    seconds: float = ANSWER_S,
) -> httpx.Response:
    """Sends a request, and what redirects ask for; returns the response with its whole body, decoded.

    Args:
        client: sends it.
        request: to be sent; it may be sent again.
        limit: bytes of a body at most.
        seconds: until all of it has come.

    Raises:
        UnavailableError: the body is longer, or takes longer.
        httpx.HTTPError: there is no answer.
    """
    # The only one whose length is known before it is decoded, since it is asked for once and not within itself.
    request.headers["Accept-Encoding"] = "gzip"
    return _within(seconds, functools.partial(_received, client, request, limit, time.monotonic() + seconds))


def _within(seconds: float, receive: Callable[[], httpx.Response]) -> httpx.Response:
    """What comes in time. httpx only limits single reads: headers, too, may come by one byte after the other."""
    arrived: queue.SimpleQueue[httpx.Response | Exception] = queue.SimpleQueue()

    def wait() -> None:
        try:
            arrived.put(receive())
        except Exception as error:
            arrived.put(error)

    threading.Thread(target=wait, daemon=True).start()  # given up, it does not keep the process from ending
    try:
        result = arrived.get(timeout=seconds)
    except queue.Empty:
        raise UnavailableError(_TOO_SLOW) from None
    if isinstance(result, Exception):
        raise result
    return result


def _received(client: httpx.Client, request: httpx.Request, limit: int, ends: float) -> httpx.Response:
    response = client.send(request, stream=True, follow_redirects=False)
    # httpx would read what comes with a redirect, whatever its length.
    for _ in range(client.max_redirects):
        if response.next_request is None:
            break
        response.close()
        response = client.send(response.next_request, stream=True, follow_redirects=False)
    with contextlib.closing(response):
        # A transport that is no network has it all at once.
        body = response.content if response.is_stream_consumed else _body(response, limit, ends)
    # As bytes: they may be of any encoding, or none.
    headers = [(name, value) for name, value in response.headers.raw if name.lower() not in _AS_IT_TRAVELLED]
    return httpx.Response(response.status_code, headers=headers, content=body, request=response.request)


def _body(response: httpx.Response, limit: int, ends: float) -> bytes:
    body = bytearray()
    for part in response.iter_raw():
        body += part
        if len(body) > limit:
            raise TooLongError(f"is larger than {limit // 2**20} MiB")
        if time.monotonic() > ends:
            raise UnavailableError(_TOO_SLOW)
    coding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if coding in {"", "identity"}:
        return bytes(body)
    if coding not in _GZIP:
        raise UnavailableError(f"is encoded in a way that was not asked for ({coding})")
    try:
        decoded = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(body, limit + 1)
    except zlib.error as error:
        raise UnavailableError(f"cannot be decoded: {error}") from None
    if len(decoded) > limit:
        raise TooLongError(f"is larger than {limit // 2**20} MiB")
    return decoded


class Rounds:
    """Notices a service whose pages go round in circles, each with another address."""

    def __init__(self) -> None:
        self._met: set[bytes] = set()

    def is_new(self, held: Iterable[Any]) -> bool:
        """Whether no page before held the same documents; one that holds none is as good as new."""
        names = sorted(json.dumps(_name(document)) for document in held)
        page = hashlib.sha256("\n".join(names).encode()).digest()
        is_new = not names or page not in self._met
        self._met.add(page)
        return is_new


def _name(document: Any) -> Any:
    return [document.get("collection"), document.get("id")] if isinstance(document, dict) else document
