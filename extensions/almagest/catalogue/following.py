"""Cursors of `/changes`: how far somebody has come, signed, and bound to an audience and the collections asked for.

One from outside names the last change that was seen there, never a place in the log: what is hidden moves places, and
must not move a cursor. It is bound to the rules by which documents are shown, too: by others, what was told before
would look different.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from almagest.catalogue.paging import TokenKey
from almagest.core.errors import AlmagestError, BadRequestError

#: An id may have 1,024 bytes, some of which take two in JSON, and one who walks names five ids. nginx takes addresses
#: and headers that are twice as long.
_LONGEST = 16_000


class CursorGoneError(AlmagestError):
    """What came after this cursor cannot be told any more. Begin anew: ask without `since`."""

    status = 410
    slug = "cursor-gone"


@dataclass(frozen=True, order=True)
class Place:
    """A place in the log of changes, or of none yet (era 0).

    Attributes:
        era: of the numbers of transactions.
        xact: number of the transaction.
        sequence: of the change; 0: before all of this transaction.
    """

    era: int = 0
    xact: int = 0
    sequence: int = 0


@dataclass(frozen=True)
class Seen:
    """A change that somebody outside was told of.

    Attributes:
        collection: id of the collection.
        item: id of the item; None: the collection itself.
        at: when the state began, or was announced.
    """

    collection: str
    item: str | None
    at: datetime


@dataclass(frozen=True)
class Nothing:
    """Somebody outside was told of no change yet.

    Attributes:
        dropped: until when the log was gone when he began; None: all of it was there.
    """

    dropped: datetime | None = None


@dataclass(frozen=True)
class Walk:
    """How far the walk through what is there has come.

    Attributes:
        collection: which has been told of, and all before it.
        anchor: sort values of the last of its items; None: none of them was told of.
    """

    collection: str
    anchor: tuple[str | None, ...] | None = None


@dataclass(frozen=True)
class Position:
    """How far somebody has come.

    Attributes:
        log: where the log goes on.
        walk: before that: the rest of what is there; None: it is done.
        rules: what documents were shown by, as a hash; empty: not bound.
        begun: until when deletions had been forgotten when he began; None: none had, or it is said otherwise.
    """

    log: Place | Seen | Nothing
    walk: Walk | None = None
    rules: str = ""
    begun: datetime | None = None

    def after(self, log: Place | Seen | Nothing) -> Position:
        """The same, further on in the log."""
        return replace(self, log=log, walk=None)


@dataclass(frozen=True)
class CursorKey:
    """Signs and reads the cursors of one audience.

    Attributes:
        tokens: the key of its paging tokens.
    """

    tokens: TokenKey

    def print(self, position: Position, collections: Sequence[str] | None) -> str:
        """The cursor of a position. The same position always has the same one."""
        log = position.log
        told: list[Any] = [
            position.rules and self._rules(position.rules, self.tokens.secret),
            position.begun and _printed(position.begun),
        ]
        if isinstance(log, Place):
            told += ["p", log.era, str(log.xact), log.sequence]
        elif isinstance(log, Seen):
            told += ["s", log.collection, log.item, _printed(log.at)]
        else:
            told += ["n", log.dropped and _printed(log.dropped)]
        if position.walk is not None:
            anchor = position.walk.anchor
            told.append([position.walk.collection, None if anchor is None else list(anchor)])
        payload = json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()
        return self.tokens.seal(payload, *self._bound(collections))

    def read(self, cursor: str, collections: Sequence[str] | None, rules: str) -> Position:
        """The position of a cursor.

        Args:
            cursor: as it was handed out.
            collections: asked for now.
            rules: what documents are shown by now, as a hash.

        Raises:
            BadRequestError: it was not made here, or not for these collections or this audience.
            CursorGoneError: documents are shown by other rules by now.
        """
        opened = self.tokens.unseal(cursor, *self._bound(collections)) if len(cursor) <= _LONGEST else None
        if opened is None:
            raise BadRequestError(
                "since: this cursor is not valid here, or not for these collections. Take it as it was handed out, with"
                " the same `collections`, or begin anew: ask without `since`."
            )
        payload, secret = opened
        under, begun, kind, *told = json.loads(payload)
        if under != (rules and self._rules(rules, secret)):
            raise CursorGoneError(
                "Documents are shown otherwise since this cursor was made. Begin anew: ask without `since`."
            )
        length = {"p": 3, "s": 3, "n": 1}[kind]
        walked = told[length] if len(told) > length else None
        log: Place | Seen | Nothing
        if kind == "p":
            log = Place(told[0], int(told[1]), told[2])
        elif kind == "s":
            log = Seen(told[0], told[1], datetime.fromisoformat(told[2]))
        else:
            log = Nothing(told[0] and datetime.fromisoformat(told[0]))
        walk = None
        if walked is not None:
            walk = Walk(walked[0], None if walked[1] is None else tuple(walked[1]))
        return Position(log, walk, rules, begun and datetime.fromisoformat(begun))

    def _rules(self, rules: str, secret: bytes) -> str:
        """What says that rules are the same, and not which they are."""
        return hmac.new(secret, f"rules {rules}".encode(), hashlib.sha256).hexdigest()[:16]

    def _bound(self, collections: Sequence[str] | None) -> tuple[str, str, str]:
        return "changes", self.tokens.audience, json.dumps(None if collections is None else sorted(set(collections)))


def _printed(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()
