"""What an attempt publishes: files first, then, with the job's end and in its transaction, the items that name them."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import psycopg
from psycopg.types.json import Jsonb

from almagest.catalogue import files, uploads
from almagest.catalogue.acceptance import Rules, accept_item
from almagest.catalogue.jobs import Job
from almagest.catalogue.registering.files import asset_of
from almagest.catalogue.reserved import require_changeable
from almagest.catalogue.storing import Batch, Store
from almagest.catalogue.versions import version_of
from almagest.core.errors import ConflictError, NotFoundError
from almagest.core.settings import Settings

Document = dict[str, Any]

_SOURCE = (
    "SELECT almagest.item_document(%(collection)s, %(id)s), s.valid_from"
    " FROM almagest.item_states(%(collection)s, %(id)s, NULL, 1) AS s WHERE NOT s.deleted"
)
_INTERNAL = "SELECT id FROM unnest(%s::text[]) AS c(id) WHERE almagest.is_internal(id)"
_REGISTER = "SELECT key FROM almagest.register_asset(%s, %s, %s, %s::jsonb, %s)"
_PROCESSING = "https://stac-extensions.github.io/processing/v1.2.0/schema.json"


@dataclass(frozen=True)
class Source:
    """An item as a process has read it."""

    collection: str
    id: str
    version: str


class Publication:
    """Gathers what is to be published while a process runs."""

    def __init__(self, settings: Settings, job: Job) -> None:
        self._settings = settings
        self._job = job
        self._lock = threading.Lock()
        self._items: list[Document] = []
        self._assets: list[tuple[str, str, str, Document, date]] = []
        self._sources: list[Source] = []
        #: Where something was published that may not become public against the rules.
        self._guarded: set[str] = set()

    def source(self, connection: psycopg.Connection[Any], collection: str, identifier: str) -> Document:
        """An item, noted with its version as one of what the results are made of.

        Raises:
            NotFoundError: there is none.
        """
        row = connection.execute(_SOURCE, {"collection": collection, "id": identifier}).fetchone()
        if row is None or row[0] is None:
            raise NotFoundError(f"There is no item {identifier!r} in the collection {collection!r}.")
        with self._lock:
            self._sources.append(Source(collection, identifier, version_of(row[1])))
        return dict(row[0])

    def store(self, path: Path) -> Document:
        """Puts a file into the store; answers its asset."""
        href, content = files.keep(self._settings, path)
        return asset_of(content, href, software=self._software)

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

    def items(self, documents: Iterable[Document], workdir: Path, *, public: bool) -> None:
        """Items, of which hrefs of assets that are relative name files in the working folder."""
        rules = Rules(self._settings.site.origin)
        for document in documents:
            require_changeable(str(document.get("collection")))
            whole = self._with_provenance(self._with_files(document, workdir))
            accepted = accept_item(whole, rules).document
            with self._lock:
                self._items.append(dict(accepted))
                if not public:
                    self._guarded.add(accepted["collection"])

    def asset(self, collection: str, item: str, prefix: str, asset: Document, day: date, *, public: bool) -> None:
        """An asset that an item gets under a dated key."""
        require_changeable(collection)
        with self._lock:
            self._assets.append((collection, item, prefix, asset, day))
            if not public:
                self._guarded.add(collection)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to publish."""
        return not self._items and not self._assets

    def prepare(self, store: Store) -> Batch:
        """Makes room for the items; before the transaction that ends the job."""
        return store.prepare(self._items)

    def commit(self, connection: psycopg.Connection[Any], store: Store, batch: Batch) -> list[Document]:
        """Publishes, in the transaction that ends the job. Answers which items it wrote, and keys that assets got.

        Raises:
            ConflictError: something made of what is internal would become public.
        """
        self._check_audience(connection)
        kind, _, identifier = self._job.principal.partition(":")
        actor = self._job.request.get("by") or self._job.principal
        key_id = identifier if kind == "key" else None
        request = self._job.request.get("request_id")
        connection.execute("SELECT almagest.write_as(%s, %s, %s, %s)", (actor, key_id, request, str(self._job.id)))
        if batch.rows:
            store.put(batch)
        written: dict[tuple[str, str], list[str]] = {(item["collection"], item["id"]): [] for item in self._items}
        for collection, item, prefix, asset, day in self._assets:
            row = connection.execute(_REGISTER, (collection, item, prefix, Jsonb(asset), day)).fetchone()
            assert row is not None
            written.setdefault((collection, item), []).append(row[0])
        return [{"collection": of, "item": item, "assets": keys} for (of, item), keys in written.items()]

    def _check_audience(self, connection: psycopg.Connection[Any]) -> None:
        sources = {source.collection for source in self._sources}
        rows = connection.execute(_INTERNAL, (sorted(self._guarded | sources),)).fetchall()
        internal = {identifier for (identifier,) in rows}
        shown = sorted(self._guarded - internal)
        if shown and sources & internal:
            raise ConflictError(
                f"What is made of {sorted(sources & internal)[0]!r}, which is internal, would become public in"
                f" {shown[0]!r}: `almagest audience set --internal {shown[0]}` first, or ask for it to be public."
            )

    @property
    def _software(self) -> dict[str, str]:
        return {f"almagest/{self._job.process}": self._job.process_version}

    def _with_files(self, document: Document, workdir: Path) -> Document:
        assets = {
            key: {**self.store(within(workdir, asset["href"])), **{k: v for k, v in asset.items() if k != "href"}}
            if isinstance(asset, dict) and _is_relative(asset.get("href"))
            else asset
            for key, asset in document.get("assets", {}).items()
        }
        return {**document, "assets": assets}

    def _with_provenance(self, document: Document) -> Document:
        links = [link for link in document.get("links", []) if link.get("rel") != "derived_from"]
        links += [self._pin(source) for source in dict.fromkeys(self._sources)]
        properties: Mapping[str, Any] = {
            **document.get("properties", {}),
            "processing:software": self._software,
            "processing:version": self._job.process_version,
            "almagest:job": str(self._job.id),
        }
        extensions: Sequence[str] = document.get("stac_extensions", [])
        return {
            **document,
            "properties": dict(properties),
            "links": links,
            "stac_extensions": list(dict.fromkeys([*extensions, _PROCESSING])),
        }

    def _pin(self, source: Source) -> Document:
        place = f"/collections/{quote(source.collection, safe='')}/items/{quote(source.id, safe='')}"
        return {
            "rel": "derived_from",
            "type": "application/geo+json",
            "href": f"{self._settings.site.origin}/api{place}",
            "almagest:version": source.version,
        }


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
