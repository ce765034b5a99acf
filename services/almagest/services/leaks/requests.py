"""Requests as data, so that one of them can be asked twice, shrunk, printed and asked again."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass, replace
from typing import Literal
from urllib.parse import quote, quote_plus

App = Literal["stac", "tiles"]
Use = Literal["walk", "tamper", "elsewhere", "internal", "etag", "internal-etag"]

PREFIXES: dict[App, str] = {"stac": "/external", "tiles": "/external/tiles"}
_SAFE_IN_PATH = "!$&'()*+,;=:@~"


@dataclass(frozen=True)
class Token:
    """What is done with the paging tokens of a search, the cursors of changes, or the tag of a document.

    Attributes:
        use: `walk`: read the pages behind the first one. `tamper`: change a character of the token. `elsewhere`: hand
            it to another search. `internal`: ask outside with the token that the internal audience gets for the search.
            `etag`: ask again whether the document has changed. `internal-etag`: ask outside with the tag from inside.
        number: how many pages, or which character.
        other: the other search.
    """

    use: Use
    number: int = 1
    other: Request | None = None


@dataclass(frozen=True)
class Request:
    """One request to the external audience.

    Attributes:
        app: who answers.
        method: of HTTP.
        path: decoded segments below the prefix of the app.
        query: parameters in order.
        headers: further headers.
        body: bytes; JSON unless the headers say otherwise.
        token: what is done with the paging tokens, or the tag, of the answer.
    """

    app: App
    method: str
    path: tuple[str, ...]
    query: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    token: Token | None = None

    @property
    def target(self) -> str:
        """Path below the prefix and query, as they go over the wire."""
        path = "/" + "/".join(quote(_printable(part), safe=_SAFE_IN_PATH) for part in self.path)
        pairs = ((_printable(name), _printable(value)) for name, value in self.query)
        query = "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in pairs)
        return f"{path}?{query}" if query else path

    def with_token(self, token: str) -> Request:
        """The same search, from where a paging token says."""
        if self.method == "POST":
            body = {**json.loads(self.body or b"{}"), "token": token}
            return replace(self, body=json.dumps(body).encode(), token=None)
        name = "since" if self.path == ("changes",) else "token"
        kept = tuple(pair for pair in self.query if pair[0] != name)
        return replace(self, query=(*kept, (name, token)), token=None)

    def with_tag(self, tag: str) -> Request:
        """The same, unless it is what this tag stands for."""
        kept = tuple(pair for pair in self.headers if pair[0] != "if-none-match")
        return replace(self, headers=(*kept, ("if-none-match", tag)), token=None)

    def curl(self, origin: str) -> str:
        """A command that asks the same of a running site."""
        words = ["curl", "-i", "-X", self.method] if self.method != "HEAD" else ["curl", "-I"]
        for name, value in self.headers:
            words += ["-H", f"{name}: {value}"]
        if self.body is not None:
            if not any(name.lower() == "content-type" for name, _ in self.headers):
                words += ["-H", "Content-Type: application/json"]
            words += ["--data-binary", self.body.decode("utf-8", "backslashreplace")]
        words.append(f"{origin}{PREFIXES[self.app]}{self.target}")
        return shlex.join(words)


def _printable(text: str) -> str:
    """Half of a surrogate pair has no bytes of its own."""
    return text.encode("utf-8", "replace").decode()
