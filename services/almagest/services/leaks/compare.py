"""Asks two catalogues the same and tells where they answer differently."""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from almagest.catalogue.exchange import Record, open_source
from almagest.services.leaks.requests import Request
from almagest.services.leaks.sides import Answer, Side
from almagest.services.stac.streaming import NDJSON, PARQUET

_SIGNED = b"X-Amz-Signature="
#: What a presigned link says of the moment at which it was signed.
_MOMENT = re.compile(rb"(X-Amz-Date=)[^&]*|(X-Amz-Signature=)[^&]*|(X-Amz-Credential=[^&%/]*(?:%2F|/))\d{8}")
_OF_BYTES = frozenset({b"content-length", b"etag"})
_SHOWN = 300
#: An error of ours, and an answer that was broken off: that both copies fail alike says nothing of what they hide.
_BROKEN = frozenset({0, 500})


@dataclass(frozen=True)
class Difference:
    """A request by which two catalogues can be told apart.

    Attributes:
        request: as it was asked.
        first: what one of them answers.
        second: what the other one answers.
    """

    request: Request
    first: Answer
    second: Answer

    def describe(self, origin: str) -> str:
        """The request as a command, and the first place where the answers part."""
        lines = [self.request.curl(origin)]
        if self.first.status != self.second.status:
            lines.append(f"  status {self.first.status} against {self.second.status}")
        one, other = dict(self.first.headers), dict(self.second.headers)
        lines += [
            f"  header {name.decode()}: {one.get(name)!r} against {other.get(name)!r}"
            for name in dict.fromkeys((*one, *other))
            if one.get(name) != other.get(name)
        ]
        if self.first.body != self.second.body:
            bodies = self.first.body, self.second.body
            length = min(map(len, bodies))
            start = next((n for n in range(length) if bodies[0][n] != bodies[1][n]), length)
            lines += [f"  body from byte {start}: {body[max(0, start - 80) : start + _SHOWN]!r}" for body in bodies]
        return "\n".join(lines)


@dataclass
class Tally:
    """What came of some requests.

    Attributes:
        asked: how many answers were compared.
        statuses: how often which status came.
        differences: in the order in which they were found.
        broken: requests that were answered by an unexpected error, though by both alike.
    """

    asked: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)
    broken: list[Request] = field(default_factory=list)


@dataclass(frozen=True)
class Pair:
    """Two catalogues that outsiders should not be able to tell apart.

    Attributes:
        first: one of them.
        second: the other one.
        ordered: members of JSON objects have to come in the same order, as if they were bytes.
    """

    first: Side
    second: Side
    ordered: bool = True

    async def compare(self, requests: Iterable[Request], tally: Tally, *, stop_after: int = 1) -> None:
        """Asks both, adds to the tally, and ends after that many differences."""
        for request in requests:
            await self._request(request, tally)
            if len(tally.differences) >= stop_after:
                return

    async def _request(self, request: Request, tally: Tally) -> None:
        token = request.token
        if token is not None and token.use == "internal-etag":
            inside = await asyncio.gather(*(side.ask(request, inside=True) for side in (self.first, self.second)))
            # Whoever has one from inside asks with it wherever he is.
            for tag in {answer.header(b"etag") for answer in inside} - {None}:
                await self._both(request.with_tag(tag or ""), None, tally)
            return
        if token is not None and token.use == "internal":
            inside = await asyncio.gather(*(side.ask(request, inside=True) for side in (self.first, self.second)))
            tokens = [_token(answer, "next") for answer in inside]
            if any(tokens):
                # Nobody has a token from inside a catalogue without further pages; one of the other kind stands for it.
                asked = [request.with_token(own or tokens[0] or tokens[1] or "") for own in tokens]
                await self._both(asked[0], asked[1], tally)
            return
        answer = await self._both(request, request, tally)
        if token is None or answer is None:
            return
        if token.use == "etag":
            if tag := answer.header(b"etag"):
                await self._both(request.with_tag(tag), None, tally)
            return
        handed = _token(answer, "next")
        if handed is None:
            return
        if token.use == "tamper":
            at = token.number % len(handed)
            broken = handed[:at] + ("A" if handed[at] != "A" else "B") + handed[at + 1 :]
            await self._both(request.with_token(broken), None, tally)
        elif token.use == "elsewhere" and token.other is not None:
            await self._both(token.other.with_token(handed), None, tally)
        elif token.use == "walk":
            for page in range(token.number):
                answer = await self._both(request.with_token(handed), None, tally)
                # Forwards, and at last one page back.
                handed = _token(answer, "prev" if page == token.number - 2 else "next") if answer else None
                if handed is None:
                    return

    async def _both(self, request: Request, for_second: Request | None, tally: Tally) -> Answer | None:
        """What both answer; None where that is not the same, or no answer."""
        answers = await asyncio.gather(self.first.ask(request), self.second.ask(for_second or request))
        one, other = map(timeless, answers)
        tally.asked += 1
        tally.statuses[one.status] += 1
        if one.status == other.status and one.status in _BROKEN:
            tally.broken.append(request)
            return None
        if one == other or (not self.ordered and unordered(one) == unordered(other)):
            return answers[0]
        tally.differences.append(Difference(request, one, other))
        return None


def timeless(answer: Answer) -> Answer:
    """The answer without what depends on when it was asked for. Nothing else is left out."""
    headers = tuple(
        (name, _MOMENT.sub(_unsigned, value) if name == b"location" and _SIGNED in value else value)
        for name, value in answer.headers
        if name != b"date"
    )
    return Answer(answer.status, headers, answer.body)


def unordered(answer: Answer) -> Answer:
    """The answer without the order of the members of JSON objects, and without what is made of the bytes of a body."""
    media_type = answer.header(b"content-type") or ""
    try:
        if media_type == PARQUET:
            documents = _rows(answer.body)
        elif media_type == NDJSON:
            documents = [json.loads(line) for line in answer.body.splitlines()]
        elif "json" in media_type:
            documents = [json.loads(answer.body)]
        else:
            return answer
    except ValueError:
        return answer
    headers = tuple((name, value) for name, value in answer.headers if name not in _OF_BYTES)
    return Answer(answer.status, headers, json.dumps(documents, sort_keys=True).encode())


def _rows(table: bytes) -> list[object]:
    """The items in a file of stac-geoparquet, which are columns in an order of their own."""
    with tempfile.NamedTemporaryFile(suffix=".parquet") as file:
        file.write(table)
        file.flush()
        readings = open_source(file.name).items()
        return [json.loads(reading.data) if isinstance(reading, Record) else reading.reason for reading in readings]


def _unsigned(match: re.Match[bytes]) -> bytes:
    return next(group for group in match.groups() if group is not None)


def _token(answer: Answer, rel: str) -> str | None:
    """The paging token in an answer, or the cursor."""
    try:
        links = json.loads(answer.body)["links"]
        link = next(link for link in links if link["rel"] == rel)
        asked = parse_qs(urlsplit(link["href"]).query)
        found = link.get("body", {}).get("token") or asked.get("token", asked.get("since", [None]))[0]
    except (ValueError, KeyError, TypeError, StopIteration, AttributeError):
        return None
    return found if isinstance(found, str) else None
