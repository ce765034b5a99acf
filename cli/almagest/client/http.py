"""Requests to a catalogue that runs elsewhere: with the key, and again where it only takes patience."""

from __future__ import annotations

import json as jsonlib
import re
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, NoReturn
from urllib.parse import urljoin, urlsplit

import httpx

from almagest.catalogue.exchange.answers import TooLongError, answered
from almagest.catalogue.exchange.patience import PASSING, PATIENCE_S, Patience
from almagest.catalogue.exchange.reading import UnavailableError
from almagest.core.errors import (
    AlmagestError,
    BadRequestError,
    ConflictError,
    DatabaseUnavailableError,
    NotFoundError,
    PreconditionFailedError,
    TooLargeError,
    UnauthorizedError,
    UnsupportedMediaTypeError,
)

Document = dict[str, Any]

#: A large batch takes a while on the other side.
_TIMEOUT = httpx.Timeout(120.0, connect=10.0)
#: Of one answer: a service that goes on longer does not mean to end.
_ANSWER_S = 300.0
#: Half of a character beyond U+FFFF: JSON can escape it, UTF-8 cannot hold it.
_HALF = re.compile(rb"\\u[dD][89a-fA-F]")
#: What another attempt changes nothing about.
_LASTING = (httpx.UnsupportedProtocol, httpx.LocalProtocolError, httpx.TooManyRedirects, httpx.DecodingError)
_LONGEST_SENTENCE = 1000


class NoMoreError(AlmagestError):
    """What was asked for was there, and is not any more."""

    status = 410


_MEANING: dict[int, type[AlmagestError]] = {
    kind.status: kind
    for kind in (
        BadRequestError,
        NotFoundError,
        ConflictError,
        NoMoreError,
        PreconditionFailedError,
        TooLargeError,
        UnsupportedMediaTypeError,
    )
}


class TimedOutError(DatabaseUnavailableError):
    """The service takes longer than somebody on the way is willing to wait: less at once may do."""


class Http:
    """Asks one catalogue, from any number of threads.

    A request may be sent twice, where the answer to the first was lost: ask for what may be done again.

    Args:
        url: address of the API. Only what has the same scheme, host and port is sent the key.
        key: for whatever is protected.
        say: is told what is waited for.
        patience_s: how long.
        rest: waits; what it raises ends the waiting.
        transport: how requests travel, where not over the network.
        answer_s: how long an answer may take to come in.
        is_bound: nothing else is asked at all, wherever links and redirects in answers lead.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        say: Callable[[str], None] = lambda _: None,
        patience_s: float = PATIENCE_S,
        rest: Callable[[float], None] = time.sleep,
        transport: httpx.BaseTransport | None = None,
        answer_s: float = _ANSWER_S,
        is_bound: bool = False,
    ) -> None:
        self._url, self._key, self._say = url, key, say
        self._patience_s, self._rest, self._answer_s = patience_s, rest, answer_s
        # Called for what a redirect asks for, too.
        hooks = {"request": [self._require_ours]} if is_bound else {}
        self._client = httpx.Client(timeout=_TIMEOUT, transport=transport, event_hooks=hooks)
        self._is_reached = False

    def __call__(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        json: Any = None,
        content: bytes | None = None,
    ) -> Document:
        """Sends a request; returns the JSON object that is answered.

        Args:
            method: of HTTP.
            url: absolute, or below that of the API.
            params: what the address ends with.
            json: the body.
            content: the body as it is sent.

        Raises:
            AlmagestError: the service refuses, or does not answer in time; the class says which.
        """
        content = content if json is None else jsonlib.dumps(json).encode()
        response = self.send(method, url, params=params, content=content)
        try:
            document = jsonlib.loads(response.content)
            if _HALF.search(response.content):
                jsonlib.dumps(document, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            not_stac(response.url, "there is half a character in it (a lone surrogate)")
        except ValueError:
            document = None
        except RecursionError:
            not_stac(response.url, "it is nested too deeply")
        if not isinstance(document, dict):
            not_stac(response.url, "this is no JSON object")
        return document

    def send(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        content: bytes | None = None,
        condition: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Sends a request whose body, if there is one, is JSON; arguments and errors as for calling.

        `condition`: headers that say on which one it is done.
        """
        absolute = joined(f"{self._url.rstrip('/')}/", url)
        headers = {"Authorization": f"Bearer {self._key}"} if self._key and self._is_ours(absolute) else {}
        headers |= {"Content-Type": "application/json"} if content is not None else {}
        headers |= condition or {}
        may_be_done = False
        patience = Patience(self._patience_s)
        while True:
            response: httpx.Response | None = None
            try:
                request = self._client.build_request(method, absolute, params=params, content=content, headers=headers)
                response = answered(self._client, request, seconds=self._answer_s)
            except (httpx.InvalidURL, UnicodeError) as error:
                raise AlmagestError(f"{absolute!r} is no address: {error}.") from None
            except TooLongError as error:
                raise TooLargeError(f"{absolute} does not answer like a STAC API: it {error}.") from None
            except UnavailableError as error:
                not_stac(absolute, f"it {error}")
            except _LASTING as error:
                not_stac(absolute, _reason(error))
            except httpx.HTTPError as error:
                trouble = f"{urlsplit(absolute).netloc} does not answer ({_reason(error)})"
                if isinstance(error, httpx.ConnectError) and not self._is_reached:
                    # Nobody was ever there: rather a wrong address than a service that starts again.
                    raise DatabaseUnavailableError(f"{trouble}. Is it the right address?") from None
                too_long = isinstance(error, httpx.ReadTimeout | httpx.WriteTimeout)
            else:
                self._is_reached = True
                # What is to go and is not there went with an attempt whose answer was lost.
                if response.is_success or (may_be_done and method == "DELETE" and response.status_code in {404, 410}):
                    return response
                if response.status_code not in PASSING:
                    raise refusal(response, with_key="Authorization" in headers)
                trouble, too_long = str(refusal(response)), response.status_code == 504
            if not (pause := patience.pause(response)):
                kind = TimedOutError if too_long else DatabaseUnavailableError
                raise kind(f"For {self._patience_s:.0f} s: {trouble}")
            may_be_done = may_be_done or response is None or response.status_code in {502, 504}
            self._say(f"{trouble}; trying again for {patience.left():.0f} s")
            self._rest(pause)

    def _is_ours(self, url: str) -> bool:
        ours, theirs = urlsplit(self._url), urlsplit(url)
        return (ours.scheme, ours.netloc) == (theirs.scheme, theirs.netloc)

    def _require_ours(self, request: httpx.Request) -> None:
        ours, theirs = httpx.URL(self._url), request.url
        if (ours.scheme, ours.host, ours.port) != (theirs.scheme, theirs.host, theirs.port):
            raise AlmagestError(
                f"{_authority(ours)} leads to {_authority(theirs)}, which is not followed: only what has the scheme,"
                f" host and port of {self._url} is asked."
            )

    def __enter__(self) -> Http:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()


def _authority(url: httpx.URL) -> str:
    return f"{url.scheme}://{url.netloc.decode()}"


def joined(base: str, href: str) -> str:
    """An address that stands in an answer.

    Raises:
        AlmagestError: it is none that can be asked.
    """
    try:
        found = urljoin(base, href)
        parts = urlsplit(found)
    except ValueError:
        not_stac(base, f"{href[:200]!r} is no address")
    if parts.scheme not in {"http", "https"} or "@" in parts.netloc:
        not_stac(base, f"an address of the scheme {parts.scheme[:20]!r}, or with a password, is not followed")
    return found


def not_stac(where: object, reason: str) -> NoReturn:
    """Raises for an answer that no STAC API gives."""
    raise AlmagestError(f"{where} does not answer like a STAC API: {reason}.")


def refusal(response: httpx.Response, *, with_key: bool = False) -> AlmagestError:
    """The error that an answer stands for, in the words of the service; whether a key went with the request."""
    status = response.status_code
    try:
        said = response.json()
        detail = said.get("detail") or said.get("description") or said.get("message") or said.get("title")
    except (ValueError, AttributeError, RecursionError):
        detail = None
    said = detail if isinstance(detail, str) else f"{response.url} answers {status} {response.reason_phrase}"
    sentence = said[:_LONGEST_SENTENCE]
    if status == 401 and with_key:
        return UnauthorizedError(f"The key was refused: {sentence}")
    if status == 403 and with_key:
        return UnauthorizedError(f"The key does not open this: {sentence}")
    if status == 405:
        return AlmagestError(
            f"{response.url} takes no {response.request.method}: a catalogue is written to at its /api."
        )
    if status in {401, 403}:
        return UnauthorizedError(f"{sentence.rstrip('.')}. Name a key with --key-file or ALMAGEST_KEY.")
    return _MEANING.get(status, AlmagestError)(sentence)


def _reason(error: httpx.HTTPError) -> str:
    return str(error).strip().rstrip(".") or type(error).__name__
