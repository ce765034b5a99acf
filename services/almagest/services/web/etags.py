"""Entity tags of documents, and requests that name them (RFC 9110, section 13).

A tag is the hash of a document as its audience sees it, without the links that are made on the way out: it says nothing
of what that audience cannot see, and stays the same wherever the catalogue moves.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Any

import orjson
from fastapi import Request
from starlette.responses import Response

from almagest.core.errors import BadRequestError, PreconditionFailedError, PreconditionRequiredError

#: nginx weakens a tag where it compresses. Of a document of ours that says nothing: whoever knows it has read it whole.
#: Elements of a list may be empty.
_TAGS = re.compile(r'(?:(?:W/)?"([\x21\x23-\x7e\x80-\xff]*)"|(\*))\s*(?:,[\s,]*|$)')


def etag(document: Any) -> str:
    """The tag of a document, whatever the order of its members; in quotes, as it stands in the header."""
    digest = hashlib.sha256(orjson.dumps(document, option=orjson.OPT_SORT_KEYS)).hexdigest()
    return f'"{digest[:32]}"'


def is_known(request: Request, tag: str) -> bool:
    """Whether the client has what this tag stands for (``If-None-Match``); what is no tag stands for nothing."""
    try:
        named = _named(request.headers.getlist("if-none-match"), "If-None-Match")
    except BadRequestError:
        return False
    return "*" in named or tag in named


def tagged(response: Response, tag: str) -> Response:
    """The answer, with its tag."""
    response.headers["ETag"] = tag
    return response


def not_modified(tag: str) -> Response:
    """Says that the client has it already."""
    return tagged(Response(status_code=304), tag)


class Condition:
    """What a request says about the document that it changes (``If-Match``, and ``If-None-Match: *``: there is none).

    Raises:
        BadRequestError: a header cannot be read.
    """

    def __init__(self, request: Request, *, required: bool = False) -> None:
        given = request.headers.getlist("if-match")
        self._named = _named(given, "If-Match") if given else None
        if self._named is not None and not self._named:
            raise BadRequestError("If-Match: it is empty. Send the ETag that you read, or leave it out.")
        self._excluded = _named(request.headers.getlist("if-none-match"), "If-None-Match")
        self._required = required

    @property
    def is_given(self) -> bool:
        """Whether the request says anything."""
        return self._named is not None or bool(self._excluded)

    def check(self, document: Any) -> None:
        """Compares it with the document as it is; None: there is none.

        Raises:
            PreconditionFailedError: it is another one.
            PreconditionRequiredError: the request says nothing, and must.
        """
        self.check_tag(None if document is None else etag(document))

    def check_tag(self, tag: str | None) -> None:
        """As :meth:`check`, with the tag of what is there."""
        if tag is not None and not self._excluded.isdisjoint({"*", tag}):
            raise PreconditionFailedError(
                "What `If-None-Match` excludes is there: it is only to be changed where it is not."
            )
        if self._named is None:
            if self._required and tag is not None:
                raise PreconditionRequiredError
        elif tag is None:
            raise PreconditionFailedError("There is nothing here that `If-Match` could name.")
        elif self._named.isdisjoint({"*", tag}):
            raise PreconditionFailedError


def _named(headers: Iterable[str], name: str) -> frozenset[str]:
    text = ", ".join(headers).strip(", \t")
    tags, end = set(), 0
    while end < len(text):
        found = _TAGS.match(text, end)
        if not found:
            raise BadRequestError(f'{name}: tags stand in quotes, like "0f3c", with commas between them; or send *.')
        tags.add(found[2] or f'"{found[1]}"')
        end = found.end()
    return frozenset(tags)
