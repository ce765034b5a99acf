"""Versions of items and collections: what they are called, and how they look as documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from almagest.catalogue.moments import printed
from almagest.core.errors import NotFoundError, UnreadableError

Document = dict[str, Any]

EXTENSION = "https://stac-extensions.github.io/version/v1.2.0/schema.json"
#: Links that are made for versions.
PREDECESSOR, SUCCESSOR, LATEST, HISTORY = (
    "predecessor-version",
    "successor-version",
    "latest-version",
    "version-history",
)
RELS = frozenset({PREDECESSOR, SUCCESSOR, LATEST, HISTORY})

_FORMAT = "%Y%m%dT%H%M%S.%fZ"


def version_of(moment: datetime) -> str:
    """The id of the version that begins then. Nothing may be read out of it but by :func:`moment_of`."""
    return moment.astimezone(UTC).strftime(_FORMAT)


def moment_of(version: str) -> datetime:
    """When a version begins.

    Raises:
        NotFoundError: no version is called so.
    """
    try:
        moment = datetime.strptime(version, _FORMAT).replace(tzinfo=UTC)
    except ValueError:
        moment = None
    if moment is None or version_of(moment) != version:
        raise unknown(version)
    return moment


@dataclass(frozen=True)
class State:
    """What something was for a time.

    Attributes:
        valid_from: when it began, and what it goes by.
        valid_to: when it ended, None while it lasts.
        deleted: there was nothing.
        actor: on whose behalf it came about, as far as one may know.
        login: the role of the database that did it.
        key_id: the key that was used.
        request_id: the request that did it.
        job: the job that did it.
    """

    valid_from: datetime
    valid_to: datetime | None
    deleted: bool
    login: str | None = None
    actor: str | None = None
    key_id: str | None = None
    request_id: str | None = None
    job: str | None = None

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """As ``item_states`` tells it."""
        return cls(**{name: row[name] for name in cls.__dataclass_fields__})

    @property
    def version(self) -> str:
        """The id of it."""
        return version_of(self.valid_from)

    def as_json(self) -> Document:
        """As it stands in a list of versions; what nobody knows is left out. What was deleted is no version."""
        who = {name: getattr(self, name) for name in ("actor", "login", "key_id", "request_id", "job")}
        return {
            **({} if self.deleted else {"version": self.version}),
            "valid_from": _text(self.valid_from),
            "valid_to": _text(self.valid_to) if self.valid_to else None,
            "deleted": self.deleted,
            **{name: value for name, value in who.items() if value is not None},
        }


@dataclass(frozen=True)
class Statements:
    """What the database is asked, for whichever audience: each has functions of these names.

    The first parameters are the ids, of the collection and then of the item.

    Attributes:
        states: the latest first; parameters: by when they had ended, how many; None: all.
        at: the document at a moment.
        version: the document of a version that begins at a moment.
        placed: as `version`, with the versions before and after it.
        present: the document as it is, with the version before it; `is_gone`: there was one.
        as_of: the document at a moment, if nothing can be added to that any more.
        hold: keeps others from changing it until the transaction ends.
    """

    states: str
    at: str
    version: str
    placed: str
    present: str
    as_of: str
    hold: str


_OF_ITEMS = Statements(
    states="SELECT * FROM item_states($1, $2, $3, $4)",
    at="SELECT item, base FROM item_row_at($1, $2, $3)",
    version="SELECT item, base FROM item_row_at($1, $2, $3) WHERE is_version($1, $2, $3)",
    placed=(
        "SELECT item, base, predecessor, successor, is_latest FROM item_row_at($1, $2, $3), neighbours($1, $2, $3)"
        " WHERE is_version($1, $2, $3)"
    ),
    present="SELECT item, base, predecessor, is_gone FROM item_with_past($1, $2)",
    as_of="SELECT item, base FROM item_at($1, $2, $3)",
    hold="SELECT hold_item($1, $2)",
)
_OF_COLLECTIONS = Statements(
    states="SELECT * FROM collection_states($1, $2, $3)",
    at="SELECT collection_document_at($1, $2)::text AS document",
    version="SELECT collection_document_at($1, $2)::text AS document WHERE is_version($1, NULL, $2)",
    placed=(
        "SELECT collection_document_at($1, $2)::text AS document, predecessor, successor, is_latest"
        " FROM neighbours($1, NULL, $2) WHERE is_version($1, NULL, $2)"
    ),
    present="SELECT document, predecessor, is_gone FROM collection_with_past($1)",
    as_of="SELECT collection_at($1, $2) AS document",
    hold="SELECT hold_collection($1)",
)


@dataclass(frozen=True)
class Subject:
    """An item, or (without one) a collection.

    Attributes:
        collection: id of the collection.
        item: id of the item.
    """

    collection: str
    item: str | None = None

    def __str__(self) -> str:
        if self.item is None:
            return f"collection {self.collection!r}"
        return f"item {self.item!r} in the collection {self.collection!r}"

    @property
    def path(self) -> tuple[str, ...]:
        """Where it is served, below an API."""
        return ("collections", self.collection, *(("items", self.item) if self.item is not None else ()))

    @property
    def ids(self) -> tuple[str, ...]:
        """What statements begin with."""
        return (self.collection,) if self.item is None else (self.collection, self.item)

    @property
    def ask(self) -> Statements:
        """What the database is asked of it."""
        return _OF_COLLECTIONS if self.item is None else _OF_ITEMS

    def document(self, row: Mapping[str, Any] | None) -> Document | None:
        """The document that a row of a statement tells, None if it tells of none.

        Raises:
            UnreadableError: something else than a document was stored past us.
        """
        import orjson  # with what follows, only where there are rows: clients of an API have none

        from almagest.catalogue.hydration import base_item, join

        if row is None:
            return None
        if self.item is None:
            return dict(orjson.loads(row["document"])) if row["document"] else None
        if not row["item"]:
            return None
        try:
            document = join(orjson.loads(row["item"]), base_item(row["base"]))
        except (AttributeError, TypeError, ValueError):
            raise UnreadableError from None
        if not isinstance(document, dict):
            raise UnreadableError
        return document


@dataclass(frozen=True)
class Place:
    """A version among the others of the same thing.

    Attributes:
        state: the version itself.
        predecessor: the version before it, if there is one.
    """

    state: State
    predecessor: State | None

    @classmethod
    def find(cls, states: Sequence[State], version: str) -> Self:
        """The place of a version among all states, the latest first.

        Raises:
            NotFoundError: there is none that is called so.
        """
        begin = moment_of(version)
        for number, state in enumerate(states):
            if state.valid_from == begin and not state.deleted:
                return cls(state, next((other for other in states[number + 1 :] if not other.deleted), None))
        raise unknown(version)


def unknown(version: str) -> NotFoundError:
    """Says that there is no version of this name, or no longer."""
    return NotFoundError(f"There is no version {version!r}.")


def described(document: Document, version: str, *, deprecated: bool) -> Document:
    """A version as a document of the version extension; what its producer says of versions is left as it is."""
    is_item = document.get("type") == "Feature"
    fields = {"version": version, "deprecated": deprecated}
    extensions = document.get("stac_extensions")
    extensions = extensions if isinstance(extensions, list) else []
    known = any(isinstance(url, str) and url.startswith(EXTENSION.rpartition("/v")[0]) for url in extensions)
    document = {**document, "stac_extensions": [*extensions, *([] if known else [EXTENSION])]}
    if is_item:
        return {**document, "properties": {**fields, **(document.get("properties") or {})}}
    return {**fields, **document}


def _text(moment: datetime) -> str:
    return printed(moment)
