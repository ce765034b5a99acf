"""Which moments can be asked for: those before which nobody who is still writing can have begun anything."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from almagest.catalogue import audience, database, pruning
from almagest.core.settings import Settings
from support import cluster as clusters
from support import ingests
from support.rasters import collection

Connection = psycopg.Connection[Any]
#: Never comes.
LATER = datetime(2100, 1, 1, tzinfo=UTC)
TEMPLATE = "template_alone"


@pytest.fixture
def open_one(settings: Settings) -> Iterator[Callable[[], Connection]]:
    """More than one of them: each is a session of its own."""
    with contextlib.ExitStack() as stack:

        def opened() -> Connection:
            connection = stack.enter_context(database.connect(settings, settings.database.admin_user))
            connection.execute("SET search_path = almagest, public")
            return connection

        connection = opened()
        for name in ("scenes", "drafts"):
            make(connection, name)
        audience.set_collections(connection, "drafts", "internal")
        yield opened


def make(connection: Connection, name: str) -> None:
    connection.execute("SELECT put_collection(%s::jsonb)", (json.dumps(collection(name)),))


def change(connection: Connection, name: str) -> None:
    document = json.dumps(collection(name, title=str(now(connection))))
    connection.execute("SELECT put_collection(%s::jsonb)", (document,))


def one(connection: Connection, statement: str, *values: object) -> Any:
    row = connection.execute(statement.encode(), values).fetchone()
    assert row is not None
    return row[0]


def now(connection: Connection) -> datetime:
    found: datetime = one(connection, "SELECT clock()")
    return found


def stable(connection: Connection, outside: bool = False) -> datetime:
    found: datetime = one(connection, "SELECT stable_until(%s, %s)", LATER, outside)
    return found


@contextlib.contextmanager
def writing(connection: Connection, name: str) -> Iterator[None]:
    """A transaction that writes, and goes on."""
    with connection.transaction(force_rollback=True):
        change(connection, name)
        yield


def test_nothing_but_the_present_is_unknown_while_nobody_writes(open_one: Callable[[], Connection]) -> None:
    reader = open_one()
    before = now(reader)
    assert before <= stable(reader) < now(reader)


def test_whoever_writes_holds_it_up_from_the_beginning_of_his_transaction(
    open_one: Callable[[], Connection],
) -> None:
    reader, writer = open_one(), open_one()
    with writer.transaction(force_rollback=True):
        began = one(writer, "SELECT now()")
        assert stable(reader) > began, "it has written nothing yet"
        change(writer, "scenes")
        assert stable(reader) == began - timedelta(microseconds=1)
        one(reader, "SELECT keep_time()")
        assert stable(reader) == began - timedelta(microseconds=1)
    assert stable(reader) > began


def test_what_was_written_down_stays_true_though_an_old_transaction_writes_later(
    open_one: Callable[[], Connection],
) -> None:
    reader, writer = open_one(), open_one()
    with writer.transaction(force_rollback=True):
        began = one(writer, "SELECT now()")
        noted = one(reader, "SELECT keep_time()")
        change(writer, "scenes")
        state = one(writer, "SELECT valid_from FROM collection_head WHERE id = 'scenes'")
        assert began < noted < state
        assert stable(reader) == noted - timedelta(microseconds=1)


def test_items_and_all_ways_of_writing_count(open_one: Callable[[], Connection]) -> None:
    reader, writer = open_one(), open_one()
    item = ingests.item()
    statements = (
        ("SET LOCAL search_path = pgstac, public", ()),
        ("SELECT create_item(%s::jsonb)", (json.dumps(item),)),
        ("DELETE FROM pgstac.items WHERE collection = 'scenes'", ()),
        ("SELECT delete_collection('scenes')", ()),
        ("SELECT create_collection(%s::jsonb)", (json.dumps(collection("another")),)),
    )
    for number in range(1, len(statements)):
        with writer.transaction(force_rollback=True):
            began = one(writer, "SELECT now()")
            for statement, values in statements[: number + 1]:
                writer.execute(statement.encode(), values)
            assert stable(reader) < began, statements[number]


def test_what_was_undone_within_a_transaction_holds_nothing_up(open_one: Callable[[], Connection]) -> None:
    reader, writer = open_one(), open_one()
    with writer.transaction(force_rollback=True):
        began = one(writer, "SELECT now()")
        with writing(writer, "scenes"):
            assert stable(reader) < began
        assert stable(reader) > began
        change(writer, "scenes")
        assert stable(reader) < began, "it is noted anew"


def test_outside_it_is_a_whole_minute_and_hidden_writers_do_not_count(open_one: Callable[[], Connection]) -> None:
    reader, hidden, public = open_one(), open_one(), open_one()
    move_clock(reader, "90 minutes")  # so that an open transaction is well over a minute old
    quiet = stable(reader, outside=True)
    assert quiet.second == quiet.microsecond == 0
    assert now(reader) - quiet < timedelta(seconds=62)
    with writing(hidden, "drafts"):
        assert stable(reader, outside=True) >= quiet
        assert stable(reader) < quiet
        with writing(public, "scenes"):
            assert stable(reader, outside=True) < quiet
            one(reader, "SELECT keep_time()")
            assert stable(reader, outside=True) < quiet
        assert stable(reader, outside=True) >= quiet
        one(reader, "SELECT keep_time()")
        assert stable(reader, outside=True) >= quiet
        assert stable(reader) < quiet


def test_of_a_collection_that_is_being_made_its_writer_says_whether_outsiders_will_see_it(
    open_one: Callable[[], Connection],
) -> None:
    reader, writer = open_one(), open_one()
    audience.set_collections(reader, "draft-*", "internal")
    move_clock(reader, "90 minutes")
    quiet = stable(reader, outside=True)
    for name, counts in (("draft-1", False), ("new", True)):
        with writer.transaction(force_rollback=True):
            make(writer, name)
            assert (stable(reader, outside=True) < quiet) == counts


def test_rules_of_today_say_who_counts_outside(open_one: Callable[[], Connection]) -> None:
    reader, writer = open_one(), open_one()
    audience.set_collections(reader, "drafts", "public")
    move_clock(reader, "90 minutes")
    quiet = stable(reader, outside=True)
    with writing(writer, "drafts"):
        assert stable(reader, outside=True) < quiet
        audience.set_collections(reader, "drafts", "internal")
        assert stable(reader, outside=True) >= quiet


def test_a_collection_is_made_public_when_nobody_writes_it(open_one: Callable[[], Connection]) -> None:
    """What a writer has not yet committed could not be announced to those outside who follow changes."""
    reader, writer = open_one(), open_one()
    reader.execute("SET lock_timeout = '100ms'")
    with writing(writer, "drafts"), pytest.raises(psycopg.errors.LockNotAvailable):
        reader.execute("SELECT announce_collections(ARRAY['drafts'])")
    reader.execute("SELECT announce_collections(ARRAY['drafts'])")


@pytest.mark.parametrize("role", ["almagest_reader", "almagest_external"])
def test_each_audience_may_ask_again_and_again(
    settings: Settings, open_one: Callable[[], Connection], role: str
) -> None:
    """PostgreSQL plans anew a few times, and then for all cases."""
    admin = open_one()
    moment = now(admin)
    move_clock(admin, "2 minutes")
    with database.connect(settings, role) as reader, writing(open_one(), "drafts"):
        for number in range(12):
            if number % 3 == 2:
                one(admin, "SELECT keep_time()")
            assert reader.execute("SELECT search_page_at('{}', NULL, false, 1, %s)", (moment,)).fetchall() == []
            assert reader.execute("SELECT item_at('scenes', 'a', %s)", (moment,)).fetchall() == []
            assert one(reader, "SELECT collection_at('scenes', %s)", moment) is not None
            assert one(reader, "SELECT collection_page_at('{}', %s)", moment)["numberMatched"] > 0


def test_what_is_forgotten_cannot_be_asked_for(open_one: Callable[[], Connection]) -> None:
    connection = open_one()
    installed = one(connection, "SELECT installed_at FROM versioning")
    assert one(connection, "SELECT kept_since(NULL)") == installed
    for _ in range(3):
        change(connection, "scenes")
    began = one(connection, "SELECT valid_from FROM collection_head WHERE id = 'scenes'")
    pruning.prune(connection, versions=1, dry_run=True)
    assert one(connection, "SELECT kept_since(NULL)") == installed
    pruning.prune(connection, versions=1)
    assert one(connection, "SELECT kept_since(NULL)") == began
    assert one(connection, "SELECT kept_since(ARRAY['scenes'])") == began
    assert one(connection, "SELECT kept_since(ARRAY['drafts'])") == installed
    epoch = one(connection, "SELECT epoch(ARRAY['drafts'])")
    before = now(connection)
    pruning.prune(connection, days=0)
    assert one(connection, "SELECT kept_since(ARRAY['drafts'])") >= before
    assert one(connection, "SELECT epoch(ARRAY['drafts'])") > epoch, "what was answered before is refused now"


def test_a_prepared_transaction_holds_it_up_and_so_does_one_of_which_nobody_knows_when_it_began() -> None:
    with contextlib.ExitStack() as stack:
        running = stack.enter_context(clusters.alone(TEMPLATE, max_prepared_transactions="2"))
        name = stack.enter_context(running.clone(TEMPLATE))
        reader, writer = (stack.enter_context(running.connect(name)) for _ in range(2))
        for connection in (reader, writer):
            connection.execute("SET search_path = almagest, public")
        make(reader, "scenes")
        for is_told in (True, False):
            if not is_told:
                reader.execute("REVOKE pg_read_all_stats FROM almagest_admin")
            for is_noted in (True, False):
                before = one(reader, "SELECT keep_time()") - timedelta(microseconds=1)
                writer.execute("BEGIN")
                change(writer, "scenes")
                state = one(writer, "SELECT valid_from FROM collection_head WHERE id = 'scenes'")
                assert before <= stable(reader) < state
                if is_noted:
                    one(reader, "SELECT keep_time()")
                    assert before <= stable(reader) < state
                writer.execute("PREPARE TRANSACTION 'one'")
                for _ in range(3):
                    assert before <= stable(reader) < state
                    one(reader, "SELECT keep_time()")
                writer.execute("COMMIT PREPARED 'one'")
                assert stable(reader) > state


def move_clock(connection: Connection, interval: str) -> None:
    connection.execute(
        "CREATE OR REPLACE FUNCTION almagest.clock() RETURNS timestamptz LANGUAGE sql AS"
        f" 'SELECT pg_catalog.clock_timestamp() + interval ''{interval}'''".encode()
    )
