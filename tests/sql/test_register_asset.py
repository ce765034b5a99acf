"""`almagest.register_asset`: dated keys that keep what they name, and `latest`."""

from __future__ import annotations

import concurrent.futures
import random
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import orjson
import psycopg
import pytest
from hypothesis import given
from hypothesis import settings as run
from hypothesis import strategies as st

from almagest.catalogue import assets, database
from almagest.catalogue.registering import keys
from almagest.catalogue.storing import Store
from almagest.core.errors import BadRequestError
from almagest.core.settings import Settings
from support import rasters, versions
from support.cluster import Cluster

Document = dict[str, Any]

DAY = date(2024, 5, 1)


def collection() -> Document:
    return rasters.collection(
        "pairs", item_assets={"comparison:latest": {"type": "application/x-netcdf", "roles": ["data"]}}
    )


def pair(name: str = "one", **properties: Any) -> Document:
    return rasters.item(
        name, "pairs", (0, 0, 1, 1), {"note": {"href": "https://a.org/n.txt", "unit": None}}, **properties
    )


def result(content: str, **more: Any) -> Document:
    return {
        "href": f"file:///store/{content}.nc",
        "file:checksum": checksum(content),
        "file:size": len(content),
        **more,
    }


def checksum(content: str) -> str:
    return "1220" + content.encode().hex().rjust(64, "0")


@pytest.fixture
def writer(settings: Settings) -> Any:
    with database.connect(settings, "almagest_writer") as connection:
        store = Store(connection)
        store.collections([collection()])
        store.put([pair()])
        yield connection


def register(
    writer: Any, content: str, day: date | None = DAY, prefix: str = "comparison", name: str = "one", **more: Any
) -> Any:
    given = ("pairs", name, prefix, orjson.dumps(result(content, **more)).decode())
    if day is None:
        return writer.execute("SELECT * FROM register_asset(%s, %s, %s, %s)", given).fetchone()
    return writer.execute("SELECT * FROM register_asset(%s, %s, %s, %s, %s)", (*given, day)).fetchone()


def remove(writer: Any, key: str, name: str = "one") -> Any:
    return writer.execute("SELECT * FROM remove_asset('pairs', %s, %s)", (name, key)).fetchone()


def stored(writer: Any, name: str = "one") -> Document:
    return dict(writer.execute("SELECT item_document('pairs', %s)", (name,)).fetchone()[0])


def contents(writer: Any, name: str = "one") -> dict[str, str]:
    """What stands under which key."""
    found = stored(writer, name)["assets"]
    return {key: asset["href"][len("file:///store/") : -len(".nc")] for key, asset in found.items() if key != "note"}


def test_a_dated_key_and_latest_are_written_at_once(writer: Any) -> None:
    before = stored(writer)
    key, outcome, version = register(writer, "a", title="A", **{"processing:software": {"us": "1"}})
    assert (key, outcome) == ("comparison:2024-05-01", "created")
    found = stored(writer)
    assert (
        found["assets"].pop(key)
        == found["assets"].pop("comparison:latest")
        == result("a", title="A", **{"processing:software": {"us": "1"}})
    )
    assert found.pop("stac_extensions") == [keys.FILE]
    assert found == before
    states = versions.states(writer, "pairs", "one")
    assert [state.document for state in states] == [before, stored(writer)]
    assert states[-1].valid_from == version


def test_it_names_the_extensions_that_it_uses_once(writer: Any) -> None:
    older = "https://stac-extensions.github.io/file/v1.0.0/schema.json"
    Store(writer).put([{**pair(**{"processing:level": "L2"}), "stac_extensions": [older]}])
    register(writer, "a", **{"processing:software": {"us": "1"}})
    register(writer, "b", **{"processing:software": {"us": "1"}})
    assert stored(writer)["stac_extensions"] == [older, keys.PROCESSING]


@pytest.mark.parametrize("member", ["assets", "stac_extensions"])
def test_an_item_whose_members_are_null_takes_one_too(writer: Any, member: str) -> None:
    """Stock pgSTAC stores such items."""
    Store(writer).put([{**pair(), member: None}])
    register(writer, "a")
    assert (contents(writer)["comparison:latest"], stored(writer)["stac_extensions"]) == ("a", [keys.FILE])


def test_the_same_bytes_on_the_same_day_change_nothing(writer: Any) -> None:
    first = register(writer, "a", title="A")
    before = versions.documents(writer, "pairs", "one")
    assert register(writer, "a", title="B") == (first[0], "unchanged", first[2])
    assert versions.documents(writer, "pairs", "one") == before
    assert register(writer, "a", DAY + timedelta(1))[:2] == ("comparison:2024-05-02", "created")


def test_other_bytes_on_the_same_day_get_a_sequence(writer: Any) -> None:
    got = [register(writer, content)[0] for content in ("a", "b", "c", "b", "a")]
    assert [key.removeprefix("comparison:2024-05-01") for key in got] == ["", ".2", ".3", ".2", ""]
    assert contents(writer)["comparison:latest"] == "c"
    for number in range(4, 12):
        register(writer, f"n{number}")
    assert contents(writer)["comparison:latest"] == "n11"  # not .9, which is greater as text


def test_a_registration_of_an_earlier_day_does_not_move_latest(writer: Any) -> None:
    register(writer, "new")
    assert register(writer, "old", DAY - timedelta(1))[:2] == ("comparison:2024-04-30", "created")
    assert contents(writer) == {
        "comparison:2024-05-01": "new",
        "comparison:2024-04-30": "old",
        "comparison:latest": "new",
    }


def test_prefixes_do_not_meet(writer: Any) -> None:
    for prefix in ("comparison", "comparison:l8", "comp"):
        register(writer, prefix.replace(":", ""), prefix=prefix)
    assert {key for key in contents(writer) if key.endswith(":latest")} == {
        *("comparison:latest", "comparison:l8:latest", "comp:latest")
    }
    assert contents(writer)["comparison:latest"] == "comparison"


def test_without_a_day_it_is_today_in_utc(writer: Any) -> None:
    writer.execute("SET timezone = 'Pacific/Kiritimati'")
    before = datetime.now(UTC).date()
    key = register(writer, "a", None)[0]
    assert key in {f"comparison:{day.isoformat()}" for day in (before, datetime.now(UTC).date())}


def test_a_latest_that_strayed_is_put_right(writer: Any) -> None:
    register(writer, "a")
    strayed = stored(writer)
    del strayed["assets"]["comparison:latest"]
    Store(writer).put([strayed])
    assert register(writer, "a")[1] == "updated"
    assert contents(writer)["comparison:latest"] == "a"


def test_removing_moves_latest_to_the_next_and_with_the_last_it_goes(writer: Any) -> None:
    for content, day in (("a", DAY), ("b", DAY), ("c", DAY - timedelta(1))):
        register(writer, content, day)
    assert remove(writer, "comparison:2024-05-01.2")[0] == "comparison:2024-05-01"
    assert contents(writer)["comparison:latest"] == "a"
    assert remove(writer, "comparison:2024-04-30")[0] == "comparison:2024-05-01"
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="remove that"):
        remove(writer, "comparison:latest")
    assert remove(writer, "comparison:2024-05-01")[0] is None
    assert set(stored(writer)["assets"]) == {"note"}
    assert remove(writer, "note")[0] is None
    assert stored(writer)["assets"] == {}


def test_what_is_not_there_cannot_be_removed_nor_added_to(writer: Any) -> None:
    for attempt in ("remove_asset('pairs', 'one', 'x')", "remove_asset('pairs', 'no', 'note')"):
        with pytest.raises(psycopg.errors.NoDataFound):
            writer.execute(f"SELECT {attempt}")
    register(writer, "a")
    with pytest.raises(psycopg.errors.NoDataFound, match="Item no does not exist"):
        writer.execute("SELECT register_asset('pairs', 'no', 'p', %s)", (orjson.dumps(result("a")).decode(),))


def test_a_name_that_was_removed_is_not_given_to_other_bytes(writer: Any) -> None:
    register(writer, "a")
    register(writer, "b")
    remove(writer, "comparison:2024-05-01.2")
    assert register(writer, "c")[0] == "comparison:2024-05-01.3"
    assert register(writer, "b")[:2] == ("comparison:2024-05-01.2", "created")
    for key in ("", ".2", ".3"):
        remove(writer, f"comparison:2024-05-01{key}")
    assert register(writer, "d")[0] == "comparison:2024-05-01.4"


def put_without(writer: Any) -> None:
    """As PUT and PATCH do."""
    found = stored(writer)
    Store(writer).put([{**found, "assets": {"note": found["assets"]["note"]}}])


def load_without(writer: Any) -> None:
    """As pypgstac does it, with its roles and functions alone."""
    found = stored(writer)
    document = orjson.dumps({**found, "assets": {"note": found["assets"]["note"]}}).decode()
    writer.execute("SELECT pgstac.upsert_item(%s)", (document,))


def go_back(writer: Any) -> None:
    """To the version before it, as it is restored."""
    Store(writer).put([versions.states(writer, "pairs", "one")[-2].document])


def delete_and_make_again(writer: Any) -> None:
    """As if it was another item."""
    writer.execute("SELECT delete_item('pairs', 'one')")
    Store(writer).put([pair()])


@pytest.mark.parametrize("lose", [put_without, load_without, go_back, delete_and_make_again])
@pytest.mark.parametrize("is_pruned", [False, True])
def test_whatever_way_a_name_went_it_is_not_given_to_other_bytes(
    writer: Any, settings: Settings, lose: Callable[[Any], None], is_pruned: bool
) -> None:
    """Names are noted when they are given: not every way to lose one comes by here, and versions are forgotten."""
    register(writer, "a")
    lose(writer)
    assert set(stored(writer)["assets"]) == {"note"}
    if is_pruned:
        with database.connect(settings, "postgres") as admin:
            admin.execute("DELETE FROM almagest.item_history")
    assert register(writer, "b")[:2] == ("comparison:2024-05-01.2", "created")
    assert register(writer, "a")[:2] == ("comparison:2024-05-01", "created")


def put_under(writer: Any, key: str, content: str) -> None:
    found = stored(writer)
    Store(writer).put([{**found, "assets": {**found["assets"], key: result(content)}}])


@pytest.mark.parametrize("registered_before", [False, True])
def test_a_name_that_only_a_former_version_has_is_not_given_to_other_bytes(
    writer: Any, registered_before: bool
) -> None:
    """It was written by PUT, never registered, and went again; but whoever read it then has noted it."""
    if registered_before:
        register(writer, "x", DAY + timedelta(1))
    put_under(writer, "comparison:2024-05-01.4", "a")
    put_without(writer)
    assert register(writer, "b")[0] == "comparison:2024-05-01.5"
    assert register(writer, "a")[0] == "comparison:2024-05-01.4"


def test_a_name_whose_bytes_somebody_changed_is_given_to_nobody(writer: Any) -> None:
    """Who puts a document may write what he likes; but the name has stood for two things, and is no name any more."""
    register(writer, "a")
    put_under(writer, "comparison:2024-05-01", "b")
    assert register(writer, "b")[:2] == ("comparison:2024-05-01.2", "created")
    assert register(writer, "a")[:2] == ("comparison:2024-05-01.3", "created")
    assert register(writer, "b")[:2] == ("comparison:2024-05-01.2", "unchanged")
    assert contents(writer)["comparison:2024-05-01"] == "b"


def test_what_only_says_more_of_the_same_bytes_keeps_the_name(writer: Any) -> None:
    key = register(writer, "a")[0]
    found = stored(writer)
    found["assets"][key]["href"] = "file:///elsewhere/a.nc"
    Store(writer).put([found])
    assert register(writer, "a")[:2] == (key, "updated")  # latest has moved along


def test_a_name_fits_another_catalogue_of_the_item(writer: Any) -> None:
    """One where an asset was registered that is not here yet: the same key must not mean two things in the two."""
    others = {"comparison:2024-05-01": result("a"), "comparison:latest": result("a"), "note": None}

    def with_others(content: str) -> Any:
        given = (orjson.dumps(result(content)).decode(), DAY, orjson.dumps(others).decode())
        return writer.execute(
            "SELECT * FROM register_asset('pairs', 'one', 'comparison', %s, %s, %s)", given
        ).fetchone()

    assert with_others("b")[:2] == ("comparison:2024-05-01.2", "created")
    assert with_others("a")[:2] == ("comparison:2024-05-01", "created")
    assert with_others("a")[1] == "unchanged"


def test_a_day_has_9999_names_and_no_more(writer: Any) -> None:
    put_under(writer, "comparison:2024-05-01.9998", "a")
    assert register(writer, "b")[0] == "comparison:2024-05-01.9999"
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="no day has more names"):
        register(writer, "c")
    assert contents(writer)["comparison:latest"] == "b"
    assert register(writer, "c", DAY + timedelta(1))[0] == "comparison:2024-05-02"
    document = stored(writer)
    with pytest.raises(BadRequestError, match="no day has more names"):
        keys.register(document, "comparison", result("c"), DAY)


@pytest.mark.parametrize("key", ["comparison:2024-05-01.10000", "comparison:2024-05-01.1000000000"])
def test_a_key_beyond_them_is_no_dated_one(writer: Any, key: str) -> None:
    put_under(writer, key, "a")
    assert register(writer, "b")[0] == "comparison:2024-05-01"
    assert keys.latest(stored(writer)["assets"], "comparison") == "comparison:2024-05-01"
    assert contents(writer)["comparison:latest"] == "b"


def test_a_former_name_of_any_length_is_in_nobodys_way(writer: Any) -> None:
    """An index takes 2,700 bytes; a document may have had anything."""
    found = stored(writer)
    long = random.Random(1).randbytes(3000).hex()
    named = {"comparison:2024-05-01": {**result("a"), "file:checksum": long}, f"{long}:2024-05-01": result("a")}
    Store(writer).put([{**found, "assets": {**found["assets"], **named}}])
    put_without(writer)
    assert register(writer, "a")[0] == "comparison:2024-05-01.2"


@pytest.mark.parametrize(
    ("prefix", "day", "asset"),
    [
        ("", DAY, result("a")),
        ("a b", DAY, result("a")),
        ("*", DAY, result("a")),
        ("p", None, result("a")),
        ("p", "infinity", result("a")),
        ("p", DAY, {"href": "file:///a"}),
        ("p", DAY, {"href": "file:///a", "file:checksum": "1220AB"}),
        ("p", DAY, {"file:checksum": checksum("a")}),
        ("p", DAY, []),
    ],
)
def test_what_would_be_no_registration_is_refused(writer: Any, prefix: str, day: Any, asset: Any) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue):
        writer.execute("SELECT register_asset('pairs', 'one', %s, %s, %s)", (prefix, orjson.dumps(asset).decode(), day))


def test_what_is_removed_is_exposed_no_longer(writer: Any, settings: Settings) -> None:
    register(writer, "a")
    for key in ("comparison:2024-05-01", "comparison:latest", "note"):
        given = ("pairs", ["one"], [key], ["file:///store/a.nc"])
        writer.execute("SELECT expose_assets(%s, %s, %s, %s)", given)
    remove(writer, "comparison:2024-05-01")
    assert [row[2] for row in assets.exposed(settings)] == ["note"]


def test_sixty_four_at_once_leave_sixty_four_and_latest(writer: Any, settings: Settings) -> None:
    def work(number: int) -> str:
        with database.connect(settings, "almagest_writer") as connection:
            return str(register(connection, f"n{number}", DAY + timedelta(number % 4))[0])

    with concurrent.futures.ThreadPoolExecutor(64) as pool:
        got = list(pool.map(work, range(64)))
    assert len(set(got)) == 64
    found = contents(writer)
    assert set(found) == {*got, "comparison:latest"}
    assert found["comparison:latest"] == found["comparison:2024-05-04.16"]
    assert len(versions.documents(writer, "pairs", "one")) == 65


class Model:
    """The rules once more, in other words: what happened is a list, and everything is looked up in it."""

    def __init__(self) -> None:
        self.present: list[tuple[date, int, str]] = []
        self.ever: list[tuple[date, int, str]] = []

    def register(self, content: str, day: date) -> tuple[str, str]:
        for entries, outcome in ((self.present, "unchanged"), (self.ever, "created")):
            for entry in sorted(entries):
                if (entry[0], entry[2]) == (day, content):
                    if outcome == "created":
                        self.present.append(entry)
                    return self.name(entry), outcome
        entry = (day, 1 + max((number for when, number, _ in self.ever if when == day), default=0), content)
        self.present.append(entry)
        self.ever.append(entry)
        return self.name(entry), "created"

    def remove(self, index: int) -> str | None:
        if not self.present:
            return None
        return self.name(self.present.pop(index % len(self.present)))

    @staticmethod
    def name(entry: tuple[date, int, str]) -> str:
        return f"comparison:{entry[0]}" if entry[1] == 1 else f"comparison:{entry[0]}.{entry[1]}"

    @property
    def contents(self) -> dict[str, str]:
        found = {self.name(entry): entry[2] for entry in self.present}
        return {**found, "comparison:latest": max(self.present)[2]} if found else {}


days = st.sampled_from([date(999, 12, 31), date(2024, 1, 31), date(2024, 2, 1), date(2024, 10, 1)])
steps = st.lists(
    st.one_of(
        st.tuples(st.just("register"), days, st.sampled_from("abcd")), st.tuples(st.just("remove"), st.integers(0, 9))
    ),
    max_size=14,
)


@pytest.fixture(scope="module")
def place(cluster: Cluster) -> Any:
    with cluster.clone("template_almagest") as name:
        settings = cluster.settings(name)
        with database.connect(settings, "almagest_writer") as connection:
            Store(connection).collections([collection()])
            yield connection


@run(max_examples=60, deadline=None)
@given(steps=steps)
def test_it_is_as_an_independent_model_says(place: Any, steps: Any) -> None:
    model, name = Model(), uuid.uuid4().hex
    Store(place).put([pair(name)])
    document = stored(place, name)
    for step in steps:
        if step[0] == "register":
            expected = model.register(step[2], step[1])
            assert register(place, step[2], step[1], name=name)[:2] == expected
        elif (key := model.remove(step[1])) is not None:
            remove(place, key, name)
        assert contents(place, name) == model.contents
    if all(step[0] == "register" for step in steps):  # documents at hand do not know what was removed from them
        for _, day, content in steps:
            document, _ = keys.register(document, "comparison", result(content), day)
        assert stored(place, name) == document


both = st.lists(
    st.tuples(st.sampled_from(["here", "there", "both", "gone here", "gone there"]), st.sampled_from("abc")),
    max_size=12,
)


@run(max_examples=40, deadline=None)
@given(steps=both)
def test_a_key_that_two_catalogues_choose_together_means_the_same_in_both(place: Any, steps: Any) -> None:
    """Whatever each of them has been told, and has lost, alone before."""
    name = uuid.uuid4().hex
    Store(place).put([pair(name)])
    here = stored(place, name)
    for where, content in steps:
        asset = result(content)
        if where == "here":
            here, _ = keys.register(here, "comparison", asset, DAY)
        elif where == "there":
            register(place, content, name=name)
        elif where == "both":
            others = orjson.dumps(keys.names(here["assets"], "comparison", DAY)).decode()
            given = (name, orjson.dumps(asset).decode(), DAY, others)
            key = place.execute(
                "SELECT key FROM register_asset('pairs', %s, 'comparison', %s, %s, %s)", given
            ).fetchone()[0]
            here, done = keys.register(here, "comparison", asset, DAY, key)
            assert done.asset["href"] == stored(place, name)["assets"][key]["href"] == asset["href"]
        else:
            document = here if where == "gone here" else stored(place, name)
            if key := keys.latest(document["assets"], "comparison"):
                if where == "gone here":
                    here, _ = keys.remove(here, key)
                else:
                    remove(place, key, name)
