"""Versions of items and collections: what they are called, and how they look as documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from almagest.core.errors import NotFoundError

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
        raise NotFoundError(f"There is no version {version!r}.")
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
        """As it stands in a list of versions; what nobody knows is left out."""
        who = {name: getattr(self, name) for name in ("actor", "login", "key_id", "request_id", "job")}
        return {
            "version": self.version,
            "valid_from": _text(self.valid_from),
            "valid_to": _text(self.valid_to) if self.valid_to else None,
            "deleted": self.deleted,
            **{name: value for name, value in who.items() if value is not None},
        }


@dataclass(frozen=True)
class Place:
    """A version among the others of the same thing.

    Attributes:
        state: the version itself.
        predecessor: the version before it, if there is one.
        successor: the version after it, if there is one.
        is_latest: whether nothing came after it, not even a deletion.
    """

    state: State
    predecessor: State | None
    successor: State | None
    is_latest: bool

    @classmethod
    def find(cls, states: Sequence[State], version: str) -> Self:
        """The place of a version among all states, the latest first.

        Raises:
            NotFoundError: there is none that is called so.
        """
        begin = moment_of(version)
        for number, state in enumerate(states):
            if state.valid_from == begin and not state.deleted:
                return cls(
                    state,
                    predecessor=next((other for other in states[number + 1 :] if not other.deleted), None),
                    successor=next((other for other in reversed(states[:number]) if not other.deleted), None),
                    is_latest=number == 0,
                )
        raise NotFoundError(f"There is no version {version!r}.")


def described(document: Document, place: Place) -> Document:
    """A version as a document of the version extension; what its producer says of versions is left as it is."""
    is_item = document.get("type") == "Feature"
    fields = {"version": place.state.version, "deprecated": not place.is_latest}
    extensions = document.get("stac_extensions") or []
    known = any(isinstance(url, str) and url.startswith(EXTENSION.rpartition("/v")[0]) for url in extensions)
    document = {**document, "stac_extensions": [*extensions, *([] if known else [EXTENSION])]}
    if is_item:
        return {**document, "properties": {**fields, **document["properties"]}}
    return {**fields, **document}


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
