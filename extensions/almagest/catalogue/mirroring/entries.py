"""What a source tells, and what it is asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from almagest.core.errors import AlmagestError

Document = dict[str, Any]
#: A document as it will be stored here; raises one of `checking.Refusals` where it cannot be.
Judge = Callable[[Document], Document]
#: Collection and item; None: the collection itself.
Key = tuple[str, str | None]


class BeginAnewError(AlmagestError):
    """What comes then cannot be told any more: all that is there has to be gone through again."""


@dataclass(frozen=True)
class Entry:
    """Something that is there, or is gone.

    Attributes:
        collection: id of the collection.
        item: id of the item; None: the collection itself.
        document: what it is; None: it is gone, or nobody can say what it is.
        is_gone: whether it is gone.
        moment: since when, by the clock of the source; None where it does not tell.
    """

    collection: str
    item: str | None
    document: Document | None
    is_gone: bool = False
    moment: datetime | None = None

    @property
    def key(self) -> Key:
        """What it is of."""
        return self.collection, self.item


@dataclass(frozen=True)
class Page:
    """What is told at once.

    Attributes:
        entries: in the order in which they are to be applied.
        cursor: what to ask for what comes then.
        is_end: nothing more is there for now. The first time since a walk began, all that is there has been told.
    """

    entries: tuple[Entry, ...]
    cursor: str
    is_end: bool


class Source(Protocol):
    """A catalogue elsewhere.

    Attributes:
        name: its address.
        waits: whether it answers late where there is nothing new, rather than being asked again and again.
    """

    name: str
    waits: bool

    def page(self, cursor: str | None, *, wait: bool) -> Page:
        """What comes behind a cursor; without one, what is there from the beginning: collections before their items.

        Raises:
            BeginAnewError: that cannot be told any more.
            AlmagestError: it refuses, or cannot be reached (DatabaseUnavailableError).
        """
        ...

    def collection(self, identifier: str) -> Document | None:
        """A collection as it is now; None if there is none."""
        ...

    def still(self, collection: str, item: str) -> Entry | None:
        """An item that was not met in a walk, if it is there all the same; None: it is gone."""
        ...

    def judge(self, document: Document) -> Document:
        """A document of the source as it is to be stored here.

        Raises:
            BadRequestError, ConflictError, InvalidDocumentError, TooLargeError: it cannot be.
        """
        ...
