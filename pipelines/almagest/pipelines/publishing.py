"""What an attempt publishes: files first, then, with the job's end and in its transaction, the items that name them."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import psycopg
from psycopg.types.json import Jsonb

from almagest.catalogue import audience, files, jobs, uploads
from almagest.catalogue.acceptance import Rules, accept_item
from almagest.catalogue.registering.files import asset_of
from almagest.catalogue.reserved import require_changeable
from almagest.catalogue.storing import Store
from almagest.catalogue.versions import moment_of, version_of
from almagest.core.errors import ConflictError, NotFoundError
from almagest.core.jobs import OvertakenError
from almagest.core.settings import Settings
from almagest.pipelines import rooms
from almagest.pipelines.crediting import JOB, Source, credited, located, software
from almagest.pipelines.merging import beside
from almagest.pipelines.spool import Spool

Document = dict[str, Any]

_SOURCES = """
    SELECT n.collection, n.id, almagest.item_document(n.collection, n.id), s.valid_from
    FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS n(collection, id, place),
         LATERAL almagest.item_states(n.collection, n.id, NULL, 1) AS s
    WHERE NOT s.deleted ORDER BY n.place
"""
_PRESENT = """
    SELECT n.place, almagest.item_document(n.collection, n.id)::text
    FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS n(collection, id, place)
"""
#: Each in a statement of its own: the next one sees what others have written before they let go.
_LOCK_COLLECTIONS = "SELECT almagest.lock_collection(n.id) FROM unnest(%s::text[]) AS n(id)"
_LOCK = "SELECT almagest.lock_item(n.collection, n.id) FROM unnest(%s::text[], %s::text[]) AS n(collection, id)"
_REMOVE = """
    SELECT almagest.delete_item(n.collection, n.id)
    FROM unnest(%s::text[], %s::text[], %s::timestamptz[]) AS n(collection, id, seen),
         LATERAL almagest.item_states(n.collection, n.id, NULL, 1) AS s
    WHERE NOT s.deleted AND (n.seen IS NULL OR n.seen = s.valid_from)
"""
_REGISTER = "SELECT key FROM almagest.register_asset(%s, %s, %s, %s::jsonb, %s)"


class Publication:
    """Gathers what is to be published while a process runs."""

    def __init__(self, settings: Settings, job: jobs.Job, folder: Path) -> None:
        """Args:
        settings: of the stack.
        job: whose results these are.
        folder: where results may wait for its end.
        """
        self._settings = settings
        self._job = job
        self._lock = threading.Lock()
        self._items = Spool(folder)
        #: Members of each item that are the process's; None: all of it.
        self._own: dict[tuple[str, str], tuple[str, ...] | None] = {}
        self._assets: list[tuple[str, str, str, Document, date]] = []
        #: And when the version began that it has to be still; None: any.
        self._removed: dict[tuple[str, str], datetime | None] = {}
        self._noted: dict[str, Any] = {}
        #: Collections that all of it follows from, by the mark of the snapshot in which they were read.
        self._relied_on: dict[str, set[str]] = {}
        self._rooms: list[tuple[Document, frozenset[str], bool]] = []
        #: All that was read, and by name how it was read last.
        self._sources: dict[Source, None] = {}
        self._read: dict[tuple[str, str], Source] = {}
        #: Where something was published that may not become public against the rules, and out of which collections it
        #: was made; None: of all that was read.
        self._guarded: set[tuple[str, frozenset[str] | None]] = set()

    def source(self, connection: psycopg.Connection[Any], collection: str, identifier: str) -> Document:
        """An item, noted with its version as one of what the results are made of.

        Raises:
            NotFoundError: there is none.
        """
        found = self.sources(connection, [(collection, identifier)])
        if not found:
            raise NotFoundError(f"There is no item {identifier!r} in the collection {collection!r}.")
        return found[0]

    def sources(self, connection: psycopg.Connection[Any], names: Sequence[tuple[str, str]]) -> list[Document]:
        """Items that are there, noted as :meth:`source` notes one."""
        rows = [row for row in connection.execute(_SOURCES, _columns(names)).fetchall() if row[2] is not None]
        with self._lock:
            for of, item, _, began in rows:
                self._read[of, item] = source = Source(of, item, version_of(began))
                self._sources[source] = None
        return [dict(document) for _, _, document, _ in rows]

    def pin(self, sources: Sequence[tuple[str, str, str]]) -> None:
        """Notes items that the process has read by itself: collection, id and version of each."""
        with self._lock:
            for named in sources:
                self._read[named[0], named[1]] = source = Source(*named)
                self._sources[source] = None

    def collection(self, document: Document, made_of: Sequence[str], *, public: bool) -> None:
        """A collection that results go into, and those out of which they are made."""
        with self._lock:
            self._rooms.append((document, frozenset(made_of), public))
            if not public:
                self._guarded.add((str(document.get("id")), frozenset(made_of)))

    def rely_on(self, collections: Iterable[str], mark: str) -> None:
        """What is published follows from these collections, as a snapshot with this mark shows them."""
        with self._lock:
            self._relied_on.setdefault(mark, set()).update(collections)

    def remove(self, versions: Mapping[tuple[str, str], str | None]) -> None:
        """Items that are no longer true, by collection and id, each with the version that it has to be still, if any.

        One that is gone anyway, or another version by then, is no matter.
        """
        for collection in {collection for collection, _ in versions}:
            require_changeable(collection)
        with self._lock:
            self._removed |= {name: moment_of(version) if version else None for name, version in versions.items()}

    def recall(self, connection: psycopg.Connection[Any], key: str) -> Any:
        """What the process has noted before."""
        row = connection.execute("SELECT almagest.recall(%s, %s)", (self._job.process, key)).fetchone()
        return row[0] if row else None

    def remember(self, key: str, value: Any) -> None:
        """Something to be noted for the next time."""
        with self._lock:
            self._noted[key] = value

    def store(self, path: Path) -> Document:
        """Puts a file into the store; answers its asset."""
        href, content = files.keep(self._settings, path)
        return asset_of(content, href, software=software(self._job))

    def stored(self, href: str, workdir: Path) -> Document:
        """The asset of a file that lies in the store already; of a copy, where it is one that its owner may remove.

        Raises:
            NotFoundError: there is no such file in the store, or it is not for who wants the job done.
        """
        if uploads.key_of(self._settings, href):
            kept, content = files.keep(self._settings, self.fetch(href, workdir))
            return asset_of(content, kept)
        return asset_of(files.look(self._settings, href), href)

    def fetch(self, href: str, workdir: Path) -> Path:
        """Where a file of the store can be read: where it lies, or in the working folder.

        Raises:
            NotFoundError: there is no such file in the store, or it is not for who wants the job done.
        """
        if key := uploads.key_of(self._settings, href):
            return uploads.fetch(self._settings, key, self._job.principal, workdir)
        return files.fetch(self._settings, href, workdir)

    def items(
        self,
        documents: Iterable[Document],
        workdir: Path,
        *,
        public: bool,
        sources: Sequence[tuple[str, str]] | None = None,
        own: Sequence[str] | None = None,
    ) -> None:
        """Items, of which hrefs of assets that are relative name files in the working folder.

        Raises:
            NotFoundError: a file is not there, or a source was not read.
        """
        origin = self._settings.site.origin
        rules = Rules(origin)
        made_of = [*self._sources] if sources is None else self._named(sources)
        collections = None if sources is None else frozenset(source.collection for source in made_of)
        for document in documents:
            require_changeable(str(document.get("collection")))
            whole = credited(located(self._with_files(document, workdir), origin), self._job, made_of, origin)
            accepted = accept_item(whole, rules).document
            with self._lock:
                self._items.add(dict(accepted))
                self._own[accepted["collection"], accepted["id"]] = own if own is None else tuple(own)
                if not public:
                    self._guarded.add((accepted["collection"], collections))

    def asset(self, collection: str, item: str, prefix: str, asset: Document, day: date, *, public: bool) -> None:
        """An asset that an item gets under a dated key."""
        require_changeable(collection)
        with self._lock:
            self._assets.append((collection, item, prefix, asset, day))
            if not public:
                self._guarded.add((collection, None))

    @property
    def is_empty(self) -> bool:
        """Whether the job may end as it is: there is nothing to publish, and nothing that its outputs follow from."""
        return not any(
            (len(self._items), self._assets, self._removed, self._rooms, self._noted, self._relied_on),
        )

    def close(self) -> None:
        """Lets go of what has not been published."""
        self._items.close()

    def prepare(self, connection: psycopg.Connection[Any], store: Store) -> None:
        """Makes room for the items; before the transaction that ends the job.

        Raises:
            OvertakenError: others have changed what it follows from.
        """
        self._check_overtaken(connection)
        rules = Rules(self._settings.site.origin)
        for document, made_of, public in self._rooms:
            with connection.transaction():
                self._write_as_who_wants_it(connection)
                rooms.provide(connection, document, made_of, rules, public=public)
        for items in self._items.parts():
            store.prepare(self._met(connection, items))

    def secure(self, connection: psycopg.Connection[Any]) -> None:
        """Makes sure that it may be published, until the transaction ends; waits for others who are publishing.

        Raises:
            ConflictError: something made of what is internal would become public.
            OvertakenError: others have changed what it follows from.
        """
        relied_on = set().union(*self._relied_on.values())
        touched = {of for of, _ in (*self._items.names, *self._removed)} | {asset[0] for asset in self._assets}
        if relied_on or len(touched) > 1:
            # All at once, in one order for all: nobody waits for somebody who waits for him.
            connection.execute(_LOCK_COLLECTIONS, (sorted(relied_on | touched),))
        self._check_audience(connection)
        self._check_overtaken(connection)

    def commit(self, connection: psycopg.Connection[Any], store: Store) -> list[Document]:
        """Publishes, in the transaction that ends the job. Answers which items it wrote, and keys that assets got."""
        self._write_as_who_wants_it(connection)
        for items in self._items.parts():
            store.put(store.batch(items))
        if self._removed:
            names = sorted(self._removed)
            connection.execute(_LOCK, _columns(names))
            connection.execute(_REMOVE, [*_columns(names), [self._removed[name] for name in names]])
        for key, value in self._noted.items():
            connection.execute("SELECT almagest.remember(%s, %s, %s)", (self._job.process, key, Jsonb(value)))
        written: dict[tuple[str, str], list[str]] = {name: [] for name in self._items.names}
        for collection, item, prefix, asset, day in self._assets:
            row = connection.execute(_REGISTER, (collection, item, prefix, Jsonb(asset), day)).fetchone()
            assert row is not None
            written.setdefault((collection, item), []).append(row[0])
        return [{"collection": of, "item": item, "assets": keys} for (of, item), keys in written.items()]

    def _write_as_who_wants_it(self, connection: psycopg.Connection[Any]) -> None:
        kind, _, identifier = self._job.principal.partition(":")
        actor = self._job.request.get("by") or self._job.principal
        key_id = identifier if kind == "key" else None
        request = self._job.request.get("request_id")
        connection.execute("SELECT almagest.write_as(%s, %s, %s, %s)", (actor, key_id, request, str(self._job.id)))

    def _met(self, connection: psycopg.Connection[Any], items: Sequence[Document]) -> list[Document]:
        """Items as they will be beside what is there already.

        It keeps what is not the process's. What is as it was but for the job that made it, keeps that: who does the
        same again changes nothing.
        """
        met = list(items)
        names = _columns([(item["collection"], item["id"]) for item in items])
        for place, text in connection.execute(_PRESENT, names).fetchall():
            if text is None:
                continue
            # Numbers that no 64 bits hold become floats: what was read can be written.
            item, present = items[place - 1], orjson.loads(text)
            own = self._own[item["collection"], item["id"]]
            kept = item if own is None else beside(present, item, own)
            made_by = present["properties"].get(JOB)
            if made_by and (same := {**kept, "properties": {**kept["properties"], JOB: made_by}}) == present:
                kept = same
            if kept is not item:
                met[place - 1] = kept
                self._items.add(kept)
        return met

    def _check_audience(self, connection: psycopg.Connection[Any]) -> None:
        everything = frozenset(source.collection for source in self._sources)
        made = {(name, everything if sources is None else sources) for name, sources in self._guarded}
        named = {name for name, _ in made}.union(*(sources for _, sources in made))
        internal = audience.internal_among(connection, named)
        for name, sources in sorted(made, key=lambda each: (each[0], sorted(each[1]))):
            if name not in internal and sources & internal:
                raise ConflictError(
                    f"What is made of {sorted(sources & internal)[0]!r}, which is internal, would become public in"
                    f" {name!r}: `almagest audience set --internal {name}` first, or ask for it to be public."
                )

    def _check_overtaken(self, connection: psycopg.Connection[Any]) -> None:
        for mark, collections in self._relied_on.items():
            if changed := jobs.overtaken(connection, self._job.id, collections, mark):
                raise OvertakenError(f"{changed} was changed by others while job {self._job.id} ran.")

    def _with_files(self, document: Document, workdir: Path) -> Document:
        assets = {
            key: {**self.store(within(workdir, asset["href"])), **{k: v for k, v in asset.items() if k != "href"}}
            if isinstance(asset, dict) and _is_relative(asset.get("href"))
            else asset
            for key, asset in document.get("assets", {}).items()
        }
        return {**document, "assets": assets}

    def _named(self, names: Sequence[tuple[str, str]]) -> list[Source]:
        try:
            return [self._read[collection, identifier] for collection, identifier in names]
        except KeyError as error:
            collection, identifier = error.args[0]
            raise NotFoundError(f"Nothing is made of {identifier!r} of {collection!r}, which was not read.") from None


def _columns(names: Sequence[tuple[str, str]]) -> list[list[str]]:
    """Collections and ids, as the statements above take them."""
    return [list(column) for column in zip(*names, strict=True)] or [[], []]


def _is_relative(href: object) -> bool:
    return isinstance(href, str) and not urlsplit(href).scheme and not href.startswith("/")


def within(workdir: Path, href: str) -> Path:
    """A file of the working folder.

    Raises:
        NotFoundError: it leads elsewhere, or is not there.
    """
    path = (workdir / href).resolve()
    if not path.is_relative_to(workdir.resolve()):
        raise NotFoundError(f"{href} leads out of the working folder of its job.")
    if not path.is_file():
        raise NotFoundError(f"There is no file {href} in the working folder of the job.")
    return path
