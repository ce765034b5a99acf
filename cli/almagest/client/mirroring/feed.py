"""Another Almagest, which tells what has changed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from almagest.catalogue.acceptance import Rules, accept_copy
from almagest.catalogue.mirroring import BeginAnewError, Entry, Page
from almagest.client.http import Http, NoMoreError, not_stac
from almagest.core.addresses import segment
from almagest.core.errors import AlmagestError, NotFoundError, TooLargeError

Document = dict[str, Any]

_PAGE = 500
#: How long it is asked to wait for something new [s].
_WAIT_S = 30
_TYPES = frozenset({"created", "updated", "deleted", "restored"})


class ChangesFeed:
    """The feed of changes of a catalogue.

    Args:
        http: asks it.
        url: its address, without a slash at the end.
        rules: what its documents are judged by.
        origin: public address of that catalogue, by which the links that it adds are known.
        collections: of these; None: of all.
    """

    waits = True

    def __init__(
        self, http: Http, url: str, rules: Rules, origin: str, collections: Sequence[str] | None = None
    ) -> None:
        self.name = url
        self._http, self._rules, self._origin = http, rules, origin
        self._selected = {"collections": ",".join(collections)} if collections is not None else {}
        self._limit = _PAGE

    def page(self, cursor: str | None, *, wait: bool) -> Page:
        """What comes behind a cursor; as for any source."""
        asked = {"documents": "true", **self._selected}
        if cursor is not None:
            asked["since"] = cursor
        if wait:
            asked["wait"] = str(_WAIT_S)
        while True:
            try:
                answer = self._http("GET", f"{self.name}/changes", params={**asked, "limit": str(self._limit)})
                break
            except NoMoreError as error:
                raise BeginAnewError(str(error)) from None
            except TooLargeError:
                # Of an answer, whoever reads it; documents may be of any length.
                if self._limit == 1:
                    raise
                self._limit = max(1, self._limit // 5)
        try:
            entries = tuple(map(_entry, answer["changes"]))
            behind = answer["cursor"]
            if not isinstance(behind, str):
                raise TypeError
        except (AttributeError, LookupError, TypeError, ValueError):
            not_stac(f"{self.name}/changes", "this is no page of changes")
        return Page(entries, behind, is_end=not entries)

    def collection(self, identifier: str) -> Document | None:
        """A collection as it is now."""
        try:
            return self._http("GET", f"{self.name}/collections/{segment(identifier)}")
        except NotFoundError:
            return None

    def still(self, collection: str, item: str) -> Entry | None:  # noqa: ARG002 (as for any source)
        """What is there was told."""
        return None

    def judge(self, document: Document) -> Document:
        """As it is stored there, where it could be stored here as well: whoever answers may be no Almagest at all."""
        return accept_copy(document, self._rules, self._origin)


def speaks(http: Http, url: str) -> bool:
    """Whether a catalogue tells what has changed.

    Raises:
        UnauthorizedError: it does, but not to everybody.
        DatabaseUnavailableError: it does not answer.
    """
    try:
        answer = http("GET", f"{url}/changes", params={"since": "now"})
    except AlmagestError as error:
        if error.status in {401, 403, 503}:
            raise
        return False
    return isinstance(answer.get("cursor"), str) and isinstance(answer.get("changes"), list)


def _entry(told: Document) -> Entry:
    collection, item, kind, document = told["collection"], told.get("item"), told["type"], told.get("document")
    if not isinstance(collection, str) or not isinstance(item, str | None) or not isinstance(document, dict | None):
        raise TypeError
    if kind not in _TYPES:
        raise ValueError
    is_gone = kind == "deleted"
    return Entry(collection, item, None if is_gone else document, is_gone, datetime.fromisoformat(told["datetime"]))
