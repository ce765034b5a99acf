"""The whole story of an item: what it was when, who made it so, by which request or job, and who was refused.

States come from the versions, requests from the audit; a request wrote the states that carry its id. The audit is the
admin's alone, and so is a story.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal

import psycopg
from psycopg.rows import dict_row

from almagest.catalogue.history import History, changed
from almagest.catalogue.versions import State, Subject
from almagest.core.addresses import segment
from almagest.core.errors import ConflictError, UnreadableError

Document = dict[str, Any]
Kind = Literal["present", "created", "changed", "deleted", "restored", "came back", "refused", "asked"]

_REFUSED = 400
#: As the audit cuts it.
_LONGEST_PATH = 1000
#: Two questions, each as its index has it; the second finds a few too many at first: "a/b-c", where "a/b" is asked for.
_REQUESTS = """
    SELECT f.at, f.subject, f.name, f.key_id, f.request_id, f.address, f.method, f.route, f.path, f.status
    FROM (
        SELECT r.* FROM almagest.request_audit AS r WHERE r.request_id = ANY (%(ids)s) AND r.request_id <> ''
        UNION
        SELECT r.* FROM unnest(%(paths)s::text[]) AS p(path) JOIN almagest.request_audit AS r
            ON left(r.path, 500) COLLATE "C" >= left(p.path, 500)
            AND left(r.path, 500) COLLATE "C" <= left(p.path, 500) || '0' -- which comes next after '/'
        WHERE r.path = p.path OR starts_with(r.path, p.path || '/')
    ) AS f
    ORDER BY f.id
"""
_JOBS = "SELECT id::text, process, process_version, principal FROM almagest.job WHERE id::text = ANY (%s)"
_EXPOSED = "SELECT key FROM almagest.exposed WHERE collection = %s AND item = %s ORDER BY 1"


@dataclass(frozen=True)
class Asked:
    """A request, as the audit has it.

    Attributes:
        method: of HTTP.
        path: what was asked for.
        status: what was answered.
        address: from where.
        request_id: its id.
        name: who asked, for people; empty where nobody knows.
        subject: who asked.
        key_id: with which key.
        route: the kind of address.
    """

    method: str
    path: str
    status: int
    address: str
    request_id: str
    name: str
    subject: str
    key_id: str
    route: str

    @property
    def restored(self) -> str | None:
        """The version that was to be made new; None: none was."""
        before, _, last = self.path.rpartition("/restore")
        return before.rpartition("/versions/")[2] if not last and "/versions/" in before else None


@dataclass(frozen=True)
class Made:
    """A job.

    Attributes:
        id: its id.
        process: of which process; None: the job is forgotten.
        version: of the process.
        principal: for whom.
    """

    id: str
    process: str | None = None
    version: str | None = None
    principal: str | None = None


@dataclass(frozen=True)
class Event:
    """Something that happened to the item.

    Attributes:
        at: when.
        kind: what. `present`: it was there before anybody kept versions, or what came before is forgotten. `asked`: a
            request that was answered, and left everything as it was.
        version: that it made; None: none.
        actor: on whose behalf.
        key_id: the key that was used.
        login: the role of the database that wrote.
        changed: what differs from the version before: `+` added, `-` removed.
        as_in: the earlier version that it is like again.
        request: as the audit has it; None: there is no such row.
        job: that wrote it.
    """

    at: datetime
    kind: Kind
    version: str | None = None
    actor: str | None = None
    key_id: str | None = None
    login: str | None = None
    changed: tuple[str, ...] = ()
    as_in: str | None = None
    request: Asked | None = None
    job: Made | None = None

    @property
    def assets(self) -> list[str]:
        """Keys of assets that came with it."""
        return [name.removeprefix("+assets.") for name in self.changed if name.startswith("+assets.")]

    def as_json(self) -> Document:
        """What is known of it."""
        told = {**asdict(self), "at": self.at.isoformat(), "changed": list(self.changed)}
        return {name: value for name, value in told.items() if value is not None}


@dataclass(frozen=True)
class Story:
    """All that is known of an item.

    Attributes:
        collection: id of its collection.
        item: its own.
        events: the first first.
        exposed: keys of assets that outsiders may read today.
    """

    collection: str
    item: str
    events: Sequence[Event]
    exposed: Sequence[str] = field(default=())

    def as_json(self) -> Document:
        """All of it."""
        events = [event.as_json() for event in self.events]
        return {"collection": self.collection, "item": self.item, "events": events, "exposed": list(self.exposed)}


def read(connection: psycopg.Connection[Any], collection: str, item: str) -> Story:
    """The story of an item.

    Args:
        connection: as the admin, in autocommit mode; its search_path is not used.

    Raises:
        NotFoundError: there never was one.
    """
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")  # one moment for all of it
        connection.execute("SET LOCAL search_path = almagest, public")
        connection.execute("SET LOCAL TIME ZONE 'UTC'")
        history = History(connection, collection, item)
        states = list(reversed(history.states()))
        requests = _requests(connection, Subject(collection, item), states)
        jobs = _jobs(connection, states)
        exposed = [key for (key,) in connection.execute(_EXPOSED, (collection, item))]
        events = [*_changes(history, states, {asked.request_id: asked for _, asked in requests}, jobs)]
    wrote = {event.request.request_id for event in events if event.request}
    events += [
        Event(at, "refused" if asked.status >= _REFUSED else "asked", request=asked)
        for at, asked in requests
        if asked.request_id not in wrote or asked.status >= _REFUSED
    ]
    return Story(collection, item, sorted(events, key=lambda event: event.at), exposed)


def _changes(
    history: History, states: Sequence[State], requests: Mapping[str, Asked], jobs: Mapping[str, Made]
) -> Iterator[Event]:
    before: Document | None = None
    known: list[tuple[str, Document]] = []
    for number, state in enumerate(states):
        try:
            document = history.at(state)
        except (ConflictError, UnreadableError):  # the others are told all the same
            document = {}
        asked = requests.get(state.request_id or "")
        kind, as_in = _kind(number, state, before, asked), None
        if kind in {"came back", "restored", "changed"}:
            as_in = next((name for name, former in reversed(known) if former == document), None)
        if kind == "came back" and as_in:
            kind = "restored"
        yield Event(
            at=state.valid_from,
            kind=kind,
            version=None if state.deleted else state.version,
            actor=state.actor,
            key_id=state.key_id,
            login=state.login,
            changed=tuple(changed(before, document)) if before is not None and document is not None else (),
            as_in=as_in,
            request=asked,
            job=jobs.get(state.job, Made(state.job)) if state.job else None,
        )
        before = document
        if document is not None:
            known.append((state.version, document))


def _kind(number: int, state: State, before: Document | None, asked: Asked | None) -> Kind:
    if state.deleted:
        return "deleted"
    if asked is not None and asked.restored:
        return "restored"
    if number and before is None:
        return "came back"
    if number:
        return "changed"
    return "created" if state.login else "present"


def _requests(
    connection: psycopg.Connection[Any], subject: Subject, states: Sequence[State]
) -> list[tuple[datetime, Asked]]:
    """Those that wrote a state, and all others that were about this item alone."""
    paths = [f"/api/{'/'.join(path)}"[:_LONGEST_PATH] for path in (subject.path, tuple(map(segment, subject.path)))]
    ids = [state.request_id for state in states if state.request_id]
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(_REQUESTS, {"ids": ids, "paths": paths}).fetchall()
    return [(row.pop("at"), Asked(**row)) for row in rows]


def _jobs(connection: psycopg.Connection[Any], states: Sequence[State]) -> dict[str, Made]:
    ids = [state.job for state in states if state.job]
    return {row[0]: Made(*row) for row in connection.execute(_JOBS, (ids,))}
