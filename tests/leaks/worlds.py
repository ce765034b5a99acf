"""Two catalogues on databases of their own that differ in nothing but what is hidden."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import singledispatchmethod
from pathlib import Path
from typing import Any

import httpx
from psycopg import Connection, sql

from almagest.catalogue import assets, audience, database, loading, pruning, rollups
from almagest.core.settings import S3, Audience, Settings, Store
from conftest import TEMPLATE, stac_client, tiles_client
from leaks import script
from leaks.script import Api, Expose, Forget, Kind, Load, Queryable, Register, Rule, Write, revealed
from support.cluster import Cluster

_BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
#: When requests are answered. Transactions begin by a clock that nobody replaces, which is behind.
_END = datetime(2060, 1, 1, tzinfo=UTC)
HIDDEN = ("operator_note",)


@contextlib.contextmanager
def two(cluster: Cluster, folder: Path, kind: Kind) -> Iterator[tuple[Settings, Settings]]:
    """Settings of the catalogue that holds everything, and of the one that never got what is hidden.

    It is made by replaying, never by deleting from a copy: a copy has the same sequences, statistics and history, and
    would hide what these tell.
    """
    files = folder / "files"
    files.mkdir()
    script.files(files)
    with cluster.clone(TEMPLATE) as all_of_it, cluster.clone(TEMPLATE) as without:
        sides = []
        for name in (all_of_it, without):
            settings = replace(
                cluster.settings(name),
                store=Store(store_roots=(files,)),
                s3=S3(bucket="own-bucket"),
                audience=Audience(
                    visible_buckets=("open-bucket",), collections="internal" if kind.strict else "public"
                ),
            )
            _bucket_keys(settings)
            replay(settings, list(script.script(files, kind)), whole=name == all_of_it, strict=kind.strict)
            sides.append(settings)
        with _hidden_writer(sides[0]):
            yield sides[0], sides[1]


@contextlib.contextmanager
def _hidden_writer(settings: Settings) -> Iterator[None]:
    """Somebody is writing, all the time, what outsiders do not see."""
    with (
        database.connect(settings, settings.database.admin_user) as connection,
        connection.transaction(force_rollback=True),
    ):
        connection.execute("SELECT almagest.note_commit('secret-mission')")
        yield


def replay(settings: Settings, writes: list[Write], *, whole: bool, strict: bool) -> None:
    """The writes one after the other, at moments that depend on their place in the script alone."""
    with contextlib.ExitStack() as stack:
        connection = stack.enter_context(database.connect(settings, settings.database.admin_user))
        audience.apply(settings, connection)
        audience.set_hidden(connection, hide=(*HIDDEN, "keywords") if strict else HIDDEN)
        connection.execute("UPDATE almagest.versioning SET installed_at = %s", (_BEGINNING,))
        connection.execute("ALTER TABLE almagest.registered_search ALTER created_at SET DEFAULT almagest.clock()")
        clients = stack.enter_context(stac_client(settings)), stack.enter_context(tiles_client(settings))
        writer = Writer(settings, connection, *clients, whole)
        for number, write in enumerate(writes):
            set_clock(connection, _BEGINNING + timedelta(seconds=number))
            if whole or not write.hidden:
                writer.perform(write)
            if number % 5 == 0:
                connection.execute("SELECT almagest.fold_lineage(3)")  # some changes are folded, others are not
            if number == len(writes) // 2:
                rollups.fold(connection)  # and what comes later is added by whoever reads
        set_clock(connection, _END)


def set_clock(connection: Connection, moment: datetime) -> None:
    """Replaces the one clock of whatever is stored or shown."""
    statement = "CREATE OR REPLACE FUNCTION almagest.clock() RETURNS timestamptz LANGUAGE sql AS {}"
    body = sql.SQL("SELECT {}::timestamptz").format(sql.Literal(moment.isoformat())).as_string(connection)
    connection.execute(sql.SQL(statement).format(sql.Literal(body)))


@dataclass(frozen=True)
class Writer:
    """Performs writes on one catalogue."""

    settings: Settings
    connection: Connection
    stac: httpx.Client
    tiles: httpx.Client
    whole: bool

    @singledispatchmethod
    def perform(self, write: Any) -> None:
        raise NotImplementedError(type(write))

    @perform.register
    def _(self, write: Api) -> None:
        kind = "application/merge-patch+json" if write.method == "PATCH" else "application/json"
        body = None if write.body is None else json.dumps(revealed(write.body, whole=self.whole))
        answer = self.stac.request(write.method, write.path, content=body, headers={"content-type": kind})
        assert answer.is_success, f"{write.method} {write.path}: {answer.text}"

    @perform.register
    def _(self, write: Load) -> None:
        loading.load_documents(
            self.settings,
            [revealed(document, whole=self.whole) for document in write.collections],
            [revealed(document, whole=self.whole) for document in write.items],
        )

    @perform.register
    def _(self, write: Forget) -> None:
        days = None if write.versions else 0
        pruning.prune(self.connection, days=days, versions=write.versions, collection=write.collection)

    @perform.register
    def _(self, write: Expose) -> None:
        chosen = assets.Selection(write.collection, items=(write.item,), keys=(write.key,))
        outcome = assets.expose(self.settings, chosen)
        assert outcome == assets.Outcome(changed=1), (write, outcome)

    @perform.register
    def _(self, write: Register) -> None:
        answer = self.tiles.post("/searches/register", json=write.search)
        assert answer.is_success, answer.text
        if write.public:
            audience.set_search(self.connection, answer.json()["id"], "public")

    @perform.register
    def _(self, write: Queryable) -> None:
        row = (write.name, list(write.collections) or None, list(write.path) if write.path else None, write.wrapper)
        with self.connection.transaction():
            self.connection.execute("SET LOCAL search_path = pgstac, public")
            self.connection.execute(
                """
                INSERT INTO queryables (name, collection_ids, property_path, property_wrapper) VALUES (%s, %s, %s, %s)
                """,
                row,
            )

    @perform.register
    def _(self, write: Rule) -> None:
        audience.set_collections(self.connection, write.pattern, write.visibility)


def _bucket_keys(settings: Settings) -> None:
    """Keys that nobody is asked about: signing is arithmetic."""
    for name, value in (("s3.access", "somebody\n"), ("s3.secret", "something\n")):
        (settings.secrets / name).write_text(value)
