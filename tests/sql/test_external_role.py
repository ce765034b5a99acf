"""The database attacked with psql as almagest_external: nothing of what is hidden is ever read.

There are twins: two databases that differ only in the words that stand in hidden places. Every question is put to both,
and what comes back (rows, notices, every field of an error) must be the same, without any of those words.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as limits
from hypothesis import strategies as st

from almagest.catalogue import audience, database, loading
from almagest.core.settings import Settings
from conftest import TEMPLATE
from support.cluster import Cluster

pytestmark = pytest.mark.xdist_group("external-role")

#: Far apart in the order of text, and unlike in length. What is asked never holds them, since an error may quote that.
MARKS = ("AHUSHone", "YHUSHother97")
ITEMS = ("one", "two", "three")
REFUSED = "42501"

Answer = tuple[str, ...]


def collection(identifier: str, word: str) -> dict[str, Any]:
    """A collection with a word in everything that is hidden of it."""
    return {
        "type": "Collection",
        "stac_version": "1.1.0",
        "id": identifier,
        "title": "Plain",
        "description": "Seen by everybody",
        "license": "other",
        "keywords": ["plain"],
        "almagest:owner": word,
        "providers": [{"name": "ESA", "almagest:contact": word}],
        "via": {"href": f"file:///{word}", "note": word},
        "extent": {
            "spatial": {"bbox": [[0, 0, 10, 10]]},
            "temporal": {"interval": [["2020-01-01T00:00:00Z", None]]},
        },
        "summaries": {"almagest:level": [word], "gsd": [10, 20]},
        "links": [{"rel": "via", "href": f"file:///{word}", "title": word}],
        "assets": {
            "local": {"href": f"file:///{word}/thumb.png", "title": word},
            "open": {"href": "https://data.example/thumb.png", "alternate": {"s3": {"href": f"s3://{word}/t.png"}}},
        },
        "item_assets": {
            "local": {"type": "image/tiff", "almagest:note": word},
            "open": {"type": "image/tiff", "alternate": {"s3": {"href": f"s3://{word}/base", "note": word}}},
        },
    }


def item(identifier: str, word: str, number: int) -> dict[str, Any]:
    """An item with a word in everything that is hidden of it."""
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": identifier,
        "collection": "plain",
        "almagest:raw": word,
        "via": {"href": f"file:///{word}", "note": word},
        "bbox": [number, number, number + 1, number + 1],
        "geometry": {
            "type": "Polygon",
            "coordinates": [
                [
                    [number, number],
                    [number + 1, number],
                    [number + 1, number + 1],
                    [number, number + 1],
                    [number, number],
                ]
            ],
        },
        "properties": {
            "datetime": f"2024-01-0{number + 1}T00:00:00Z",
            "title": f"Number {number}",
            "gsd": 10 * number,
            "almagest:secret": word,
            "almagest": {"deep": number},
            "thing": {"almagest:deep": word, "inner": {"almagest:deeper": word}},
            "providers": [{"name": "ESA", "almagest:contact": word}],
            "listed": [{"almagest:first": word}, "second"],
            "via": {"href": f"file:///{word}", "note": word},
            "keywords": ["field", {"almagest:x": word}],
        },
        "links": [{"rel": "via", "href": f"file:///{word}", "title": word}],
        "assets": {
            "local": {
                "href": f"file:///{word}/a.tif",
                "title": word,
                "alternate": {"s3": {"href": f"s3://{word}/a.tif"}},
            },
            "open": {
                "href": "https://data.example/a.tif",
                "title": "Open",
                "alternate": {"s3": {"href": f"s3://{word}/a.tif", "note": word}},
            },
            "shown": {"href": f"file:///shown/{identifier}.tif", "almagest:checksum": word},
            "moved": {"href": f"file:///{word}/moved.tif"},
            "almagest:odd": {"href": "https://data.example/odd.tif", "title": word},
        },
    }


def vault(word: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """An internal-only collection: all of it is hidden."""
    kept = collection("vault", word) | {"title": word, "description": word, "keywords": [word], "gsd": word}
    items = [item(f"kept-{n}", word, n) | {"collection": "vault"} for n in range(3)]
    for entry in items:
        entry["properties"] |= {"title": word, "description": word, "gsd": word, "keywords": [word]}
    return kept, items


class Outsider:
    """Sessions of almagest_external on both twins, which see everything that comes back."""

    def __init__(self, twins: list[Settings]) -> None:
        self._notices: list[str] = []
        self.connections = [database.connect(settings, "almagest_external") for settings in twins]
        for connection in self.connections:
            connection.add_notice_handler(lambda told: self._notices.append(fields_of(told)))
            connection.execute("SET default_transaction_read_only = off")

    def close(self) -> None:
        for connection in self.connections:
            connection.close()

    def ask(self, query: str, *values: Any) -> Answer:
        """What both answer; it is the same."""
        answers = [self._answer(connection, query, values) for connection in self.connections]
        assert answers[0] == answers[1], f"the answer to {query} {values} depends on what is hidden"
        return answers[0]

    def peek(self, query: str, *values: Any) -> Answer:
        """What the first answers to a question about the database itself, in which twins may differ."""
        return self._answer(self.connections[0], query, values)

    def _answer(self, connection: psycopg.Connection, query: str, values: tuple[Any, ...]) -> Answer:
        self._notices.clear()
        try:
            with connection.cursor() as cursor:
                # Without values, % stands for itself.
                cursor.execute(query, values or None)
                rows = cursor.fetchall() if cursor.description else []
                named = [column.name for column in cursor.description or []]
                answer = ("", *named, *(repr(row) for row in rows), *self._notices)
        except psycopg.Error as error:
            answer = (error.sqlstate or "no state", fields_of(error.diag), str(error), *self._notices)
        assert not hushed("\n".join(answer)), f"{query} {values} reads what is hidden"
        return answer


def fields_of(told: psycopg.errors.Diagnostic) -> str:
    names = [name for name in dir(told) if not name.startswith("_") and name not in ("encoding", "source_line")]
    return "\n".join(f"{name}: {getattr(told, name)}" for name in names)


def hushed(text: str) -> bool:
    """Whether a hidden word stands in it: as it is, in hexadecimal, or byte for byte as plans are printed."""
    return any(
        form in text.lower() for form in ("hush", b"HUSH".hex(), b"hush".hex(), "72 85 83 72", "104 117 115 104")
    )


@pytest.fixture(scope="module")
def twins(cluster: Cluster) -> Iterator[list[Settings]]:
    """Two databases with the same visible things and other hidden ones."""
    with ExitStack() as stack:
        prepared = [cluster.settings(stack.enter_context(cluster.clone(TEMPLATE))) for _ in MARKS]
        for settings, word in zip(prepared, MARKS, strict=True):
            database.prepare(settings)
            fill(settings, word)
        yield prepared


def fill(settings: Settings, word: str) -> None:
    kept, hidden_items = vault(word)
    items = [item(identifier, word, n) for n, identifier in enumerate(ITEMS)]
    loading.load_documents(settings, [collection("plain", word), kept], [*items, *hidden_items])
    with closing(database.connect(settings, "postgres")) as admin:
        audience.set_collections(admin, "vault", "internal")
        for identifier in ITEMS:
            admin.execute(
                "INSERT INTO almagest.exposed VALUES ('plain', %(i)s, 'shown', 'file:///shown/' || %(i)s || '.tif'),"
                " ('plain', %(i)s, 'moved', 'file:///' || %(w)s || '/before.tif')",
                {"i": identifier, "w": word},
            )
        admin.execute("INSERT INTO almagest.exposed VALUES ('vault', 'kept-0', 'shown', 'file:///shown/kept-0.tif')")
        for number, (visible, search) in enumerate(
            [
                ("internal", {"collections": ["plain"], "q": word}),
                ("public", {"collections": ["vault"], "q": word}),
                ("public", {"filter": {"op": "=", "args": [{"property": "almagest:secret"}, word]}}),
            ]
        ):
            admin.execute(
                "INSERT INTO almagest.registered_search (id, search, metadata, audience) VALUES (%s, %s, %s, %s)",
                (f"{number:064x}", json.dumps(search), json.dumps({"name": word}), visible),
            )
        admin.execute("SET search_path = pgstac, public")
        admin.execute(
            """
            INSERT INTO pgstac.queryables (name, property_path, definition, collection_ids, property_wrapper) VALUES
                ('sneaky', '{assets,local,title}', '{"type": "string"}', NULL, NULL),
                ('sly', '{properties,almagest:secret}', '{"type": "string"}', NULL, NULL),
                ('number', '{properties,listed}', '{"type": "number"}', NULL, 'to_float'),
                (%(w)s, NULL, jsonb_build_object('type', 'string', 'title', %(w)s::text), '{vault}', NULL),
                ('gsd', NULL, jsonb_build_object('type', 'string', 'title', %(w)s::text), '{vault}', NULL)
            """,
            {"w": word},
        )
        admin.execute(
            "INSERT INTO almagest.api_key (id, secret_sha256, name, scopes) VALUES (%s, %s, %s, '{admin}')",
            (secrets.token_hex(4), secrets.token_bytes(32), word),
        )
        admin.execute("ANALYZE")


@pytest.fixture
def outsider(twins: list[Settings]) -> Iterator[Outsider]:
    session = Outsider(twins)
    yield session
    session.close()


SEARCH = "SELECT * FROM external.search_page(%s, %s, %s, %s)"


def search(outsider: Outsider, body: Any, *rest: Any) -> Answer:
    return outsider.ask(SEARCH, json.dumps(body), *(rest or (None, False, 10)))


def test_what_is_visible_is_read(outsider: Outsider) -> None:
    found = search(outsider, {})
    assert len([row for row in found if "Number" in row]) == len(ITEMS)
    assert "external/assets/plain/one/shown" in "\n".join(found)
    assert "file:///shown/one.tif" in "\n".join(outsider.ask("SELECT asset_location('plain', 'one', 'shown')"))


CALLS = (
    "port_version()",
    "item_row('plain', 'one')",
    "item_row('vault', 'kept-0')",
    "item_row(NULL, NULL)",
    "item_document('plain', 'one')",
    "item_document('vault', 'kept-0')",
    "asset_location('plain', 'one', 'moved')",
    "asset_location('plain', 'one', 'local')",
    "asset_location('plain', 'one', 'almagest:odd')",
    "asset_location('vault', 'kept-0', 'shown')",
    "collection_ids()",
    "collection_document('plain')",
    "collection_document('vault')",
    "collection_document(NULL)",
    "queryables(NULL)",
    "queryables('{}')",
    "queryables('{plain}')",
    "queryables('{vault}')",
    "queryables('{vault,plain,NULL}')",
    *(f"registered_search('{n:064x}')" for n in range(4)),
    "registered_search(NULL)",
    "mosaic_items('{}', NULL, 10, false, false)",
    "mosaic_items('{}', NULL, NULL, NULL, NULL)",
    """mosaic_items('{}', '{"type": "Point", "coordinates": [0.5, 0.5]}', 10, true, true)""",
    """mosaic_items('{}', '{"type": "Polygon", "coordinates": [[[0, 0], [9, 0], [9, 9], [0, 0]]]}', 9, true, true)""",
    """mosaic_items('{"collections": ["vault"]}', NULL, 10, false, false)""",
    """mosaic_items('{"collections": ["plain", "vault"]}', '"no shape"', -1, false, false)""",
    *(
        f"collection_page('{body}')"
        for body in (
            "{}",
            '{"ids": ["vault"]}',
            '{"ids": "vault"}',
            '{"collections": ["vault"]}',
            '{"q": "Seen"}',
            '{"q": "A:*"}',
            '{"fields": {"include": ["title", "links", "assets"]}}',
            '{"fields": {"include": ["via.note"]}}',
            '{"fields": {"include": ["almagest:owner"]}}',
            '{"sortby": [{"field": "providers"}]}',
            '{"sortby": [{"field": "title"}], "limit": 1, "offset": 1}',
            '{"filter": {"op": "like", "args": [{"property": "providers"}, "%AH%"]}}',
            '{"filter": {"op": ">", "args": [{"property": "providers"}, 5]}}',
            '{"filter": {"op": ">", "args": [{"property": "title"}, 5]}}',
            '{"filter": {"op": "like", "args": [{"property": "summaries.almagest:level"}, "%AH%"]}}',
            '{"filter": {"op": "=", "args": [{"property": "via.note"}, "M"]}}',
            '{"conf": {"base_url": "x", "nohydrate": true}, "token": "next:vault"}',
        )
    ),
)


@pytest.mark.parametrize("call", CALLS)
def test_a_wrapper_answers_without_what_is_hidden(outsider: Outsider, call: str) -> None:
    outsider.ask(f"SELECT * FROM external.{call}")


#: Names of places in which something hidden stands, and beside which.
NAMES = (
    "assets.local.title",
    "properties.properties.assets.local.title",
    "links",
    "almagest:secret",
    "properties.properties.almagest:secret",
    "almagest.deep",
    "sneaky",
    "sly",
    "number",
    "gsd",
    "thing",
    "thing.almagest:deep",
    "thing.inner",
    "providers",
    "listed",
    "via",
    "via.note",
    "keywords",
)
#: Names that are no names, or not what they seem.
ODD_NAMES = (
    "Assets.local.title",
    "links.0.title",
    "bbox",
    "content",
    "collection",
    "geometry",
    "",
    ".",
    " ",
    "properties",
    "properties.",
    " properties",
    "..assets",
    "properties..almagest:secret",
    "'||(SELECT 1)||'",
    "x') OR true --",
    'x"; SELECT 1; --',
    "\\'x",
    "%s%L%1$s",
    "\\u0061ssets.local",
    "assets\n.local",
    "pgstac:base_item",
    "{assets,local}",
    '["assets", "local"]',
)

#: Between the two words.
MIDDLE = "M"


def conditions(name: Any) -> Iterator[Any]:
    """Filters that name it, in all forms."""
    this = {"property": name}
    yield this
    for operator, *others in (
        ("like", "%AH%"),
        ("<", MIDDLE),
        (">", 5),
        ("in", [MIDDLE, "x"]),
        ("between", "A", MIDDLE),
        ("isNull",),
        ("a_overlaps", [MIDDLE, json.dumps({"almagest:first": MIDDLE})]),
        ("t_after", "2020-01-01T00:00:00Z"),
        ("s_intersects", {"type": "Point", "coordinates": [0, 0]}),
    ):
        yield {"op": operator, "args": [this, *others]}
    yield {"op": "<", "args": [{"op": "casei", "args": [this]}, MIDDLE]}
    yield {"op": "<", "args": [{"lower": this}, "m"]}
    yield {"op": "<", "args": [{"op": "+", "args": [this, 5]}, 50]}
    yield {"op": "not", "args": [{"op": "like", "args": [this, "%AH%"]}]}
    yield {"op": "t_during", "args": [{"interval": [this, ".."]}, {"interval": ["..", this]}]}
    yield {"filter": {"filter": {"op": "like", "args": [this, "%AH%"]}}}
    yield {"and": [{"lt": [this, MIDDLE]}, {"eq": [1, 1]}]}
    yield {"op": "<", "args": [{"property": this}, MIDDLE]}
    yield {"op": "<", "args": [{"property": [name]}, MIDDLE]}
    yield {"op": "or", "args": [{"op": "<", "args": [this, MIDDLE]}, {"op": "=", "args": [1, 2]}]}


def bodies(name: Any) -> Iterator[dict[str, Any]]:
    """Searches that name it, in all places."""
    yield from ({"filter": condition} for condition in conditions(name))
    for operator, value in (("like", "%AH%"), ("lt", MIDDLE), ("gt", 5), ("filter", {"property": name})):
        yield {"query": {name: {operator: value}}}
        yield {"query": {"title": {operator: {"property": name}}}}
    for order in ([{"field": name}], {"field": name, "direction": "desc"}, [{"field": [name]}], [[{"field": name}]]):
        yield {"sortby": order}
    yield {"sortby": [{"field": "title", "direction": name}]}
    for fields in (
        {"include": [name]},
        {"include": [[name]]},
        {"include": name},
        {"include": ["properties", "assets"], "exclude": [name, f"{name}.href"]},
        {"include": [f"{name}.note"], "exclude": ["id", "collection"]},
        [{"include": [name]}],
    ):
        yield {"fields": fields}


@pytest.mark.parametrize("name", NAMES)
def test_no_name_reads_what_is_hidden(outsider: Outsider, name: str) -> None:
    for body in bodies(name):
        search(outsider, body)
    search(outsider, {"sortby": [{"field": name}]}, json.dumps([MIDDLE, "plain", "one"]), True, 10)
    for condition in (
        {"op": "like", "args": [{"property": name}, "%AH%"]},
        {"op": ">", "args": [{"property": name}, 5]},
    ):
        outsider.ask("SELECT external.mosaic_items(%s, NULL, 9, true, true)", json.dumps({"filter": condition}))


@pytest.mark.parametrize("name", ODD_NAMES)
def test_no_odd_name_reads_what_is_hidden(outsider: Outsider, name: str) -> None:
    this = {"property": name}
    for condition in (
        {"op": "like", "args": [this, "%AH%"]},
        {"op": "<", "args": [this, MIDDLE]},
        {"op": ">", "args": [this, 5]},
        {"op": "a_overlaps", "args": [this, [MIDDLE]]},
        {"op": "t_after", "args": [this, "2020-01-01T00:00:00Z"]},
        {"not": {"isnull": this}},
    ):
        search(outsider, {"filter": condition})
    search(outsider, {"query": {name: {"lt": MIDDLE}}})
    search(outsider, {"sortby": [{"field": name}]})
    search(outsider, {"fields": {"include": [name]}})


@pytest.mark.parametrize("name", ["providers", "via.note", "almagest:owner", "summaries.almagest:level"])
def test_no_name_reads_what_is_hidden_of_collections(outsider: Outsider, name: str) -> None:
    for body in bodies(name):
        outsider.ask("SELECT external.collection_page(%s)", json.dumps(body))


OPEN = {
    "type": "Collection",
    "stac_version": "1.1.0",
    "description": "Nothing is hidden of it",
    "license": "other",
    "gsd": 10,
    "extent": {"spatial": {"bbox": [[0, 0, 1, 1]]}, "temporal": {"interval": [[None, None]]}},
    "links": [],
}


def test_a_filter_never_meets_rows_of_hidden_collections(outsider: Outsider, twins: list[Settings]) -> None:
    # In the hidden collection this is no number: whoever looks at it fails.
    looks = json.dumps({"filter": {"op": ">", "args": [{"property": "gsd"}, 5]}})
    settings = ("enable_partition_pruning = off", "cpu_operator_cost = 1e10", "enable_indexscan = off")
    # The more collections are visible, the dearer it is to ask whether a row is of one of them.
    for number in (1, 3, 5, 7, 8, 12):
        for twin in twins:
            loading.load_documents(twin, [{**OPEN, "id": f"open-{n:02}"} for n in range(number)], [])
        for setting in settings:
            for connection in outsider.connections:
                connection.execute(f"RESET ALL; SET {setting}")
            assert outsider.ask("SELECT external.collection_page(%s)", looks)[0] == ""
            assert outsider.ask(SEARCH, looks, None, False, 10)[0] == ""


INJECTIONS = (
    "'",
    "\\'",
    "''; SELECT 1; --",
    "$query$",
    "%s %L %1$s",
    '"',
    "\u0001",
    "x' OR true --",
    "(",
    "*",
    "%",
    "",
)


@pytest.mark.parametrize("text", INJECTIONS)
def test_no_text_becomes_sql(outsider: Outsider, text: str) -> None:
    for call, count in (
        ("item_row(%s, %s)", 2),
        ("item_document(%s, %s)", 2),
        ("asset_location(%s, %s, %s)", 3),
        ("collection_document(%s)", 1),
        ("registered_search(%s)", 1),
        ("queryables(ARRAY[%s])", 1),
    ):
        assert outsider.ask(f"SELECT * FROM external.{call}", *[text] * count)[0] == ""
    for body in (
        *(
            {key: text}
            for key in ("ids", "collections", "datetime", "bbox", "intersects", "filter", "q", "filter-lang")
        ),
        {"ids": [text], "collections": [text, "vault", None, {"id": "vault"}, ["vault"]]},
        {"filter": {"op": text, "args": [text, text]}},
        {"filter": {"op": "=", "args": [text, text]}},
        {"filter": {"op": "s_intersects", "args": [{"property": "geometry"}, text]}},
        {"filter": {"op": "t_after", "args": [{"property": "datetime"}, {"timestamp": text}]}},
        {"filter": {text: [text]}, "filter-lang": "cql-json"},
        {"query": {"gsd": {text: text}}},
        {"sortby": [{"field": "gsd", "direction": text}]},
        {"q": [text], "q_in": [text, "almagest:secret", "'||content||'"]},
        {"conf": {text: text}, "token": text, text: text},
    ):
        search(outsider, body)
        outsider.ask("SELECT external.collection_page(%s)", json.dumps(body))
        outsider.ask("SELECT external.mosaic_items(%s, %s, 9, true, true)", json.dumps(body), json.dumps(text))
    for anchor in ([text, text, text], [None, None, None], {"0": text}, text, [], [[text], {}, text]):
        for backward, size in ((True, 3), (None, None), (False, -1), (False, 2147483647)):
            search(outsider, {"sortby": [{"field": "gsd"}]}, json.dumps(anchor), backward, size)


def test_free_text_reads_only_what_is_visible(outsider: Outsider) -> None:
    for words in ("field", "AHUS:*", "A:*", "Y:*", "!A:*", "A* | Y*", '"A"', ["A:*"], "almagest", "x"):
        search(outsider, {"q": words})
        search(outsider, {"q": words, "q_in": ["almagest:secret"]})


VALUES = st.sampled_from(
    [*NAMES, *ODD_NAMES, *ITEMS, "plain", "vault", "%AH%", MIDDLE, 5, None, True, "2024-01-01T00:00:00Z", ".."]
)
KEYS = st.sampled_from(
    ["op", "args", "property", "filter", "and", "not", "interval", "timestamp", "upper", "field", "include", "type"]
)
OPERATORS = st.sampled_from(
    ["=", "<", "like", "in", "and", "or", "not", "between", "isnull", "a_contains", "t_before", "/"]
)
TREES = st.recursive(
    VALUES | st.fixed_dictionaries({"property": VALUES}),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(KEYS, inner, max_size=3)
        | st.fixed_dictionaries({"op": OPERATORS, "args": st.lists(inner, max_size=3)})
    ),
    max_leaves=8,
)
MEMBERS = st.sampled_from(
    ["filter", "filter", "query", "sortby", "fields", "q", "ids", "collections", "datetime", "bbox"]
)


@given(body=st.dictionaries(MEMBERS, TREES, max_size=3) | TREES)
@limits(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_search_that_can_be_thought_up_reads_what_is_hidden(outsider: Outsider, body: Any) -> None:
    search(outsider, body)
    outsider.ask("SELECT external.collection_page(%s)", json.dumps(body))


SEARCHES: tuple[dict[str, Any], ...] = (
    {},
    {"q": "field"},
    {"sortby": [{"field": "listed"}]},
    {"filter": {"op": ">", "args": [{"property": "gsd"}, 5]}},
    {"filter": {"op": ">", "args": [{"property": "listed"}, 5]}},
    {"filter": {"op": "=", "args": [{"op": "/", "args": [1, {"property": "title"}]}, 1]}},
    {"filter": {"op": "t_after", "args": [{"property": "title"}, "2020-01-01"]}},
    {"collections": ["plain", "vault"], "filter": {"op": "isNull", "args": [{"property": "description"}]}},
)

# What a session may set, and what it could be good for.
SETTINGS = (
    "client_min_messages = log; SET debug_print_parse = on; SET debug_print_rewritten = on; SET debug_print_plan = on",
    "client_min_messages = debug5; SET debug_print_plan = on; SET debug_pretty_print = off",
    "client_min_messages = debug1; SET plpgsql.extra_warnings = 'all'; SET plpgsql.print_strict_params = on",
    "standard_conforming_strings = off",
    "standard_conforming_strings = off; SET backslash_quote = on; SET escape_string_warning = on",
    "search_path = pgstac, almagest, pg_temp",
    "search_path = ''",
    "pgstac.additional_properties = 'false'",
    "pgstac.default_filter_lang = 'cql2-json'; SET pgstac.context = 'on'; SET pgstac.base_url = '//x'",
    "enable_partition_pruning = off; SET constraint_exclusion = off",
    "enable_seqscan = off; SET enable_indexscan = off; SET enable_bitmapscan = off; SET enable_sort = off",
    "cpu_operator_cost = 0; SET cpu_tuple_cost = 0; SET seq_page_cost = 0",
    "cpu_operator_cost = 1e10; SET random_page_cost = 1e10",
    "plan_cache_mode = force_custom_plan",
    "plan_cache_mode = force_generic_plan",
    "force_parallel_mode = regress; SET parallel_setup_cost = 0; SET min_parallel_table_scan_size = 0",
    "row_security = off",
    "transform_null_equals = on; SET array_nulls = off; SET quote_all_identifiers = on",
    "TimeZone = 'Asia/Kathmandu'; SET DateStyle = 'SQL, DMY'; SET IntervalStyle = sql_standard",
    "extra_float_digits = -15; SET bytea_output = escape; SET default_text_search_config = simple",
    "statement_timeout = 1",
    "work_mem = 64; SET log_parameter_max_length_on_error = -1",
    "trace_sort = on; SET client_min_messages = log",
    "from_collapse_limit = 1; SET join_collapse_limit = 1; SET geqo_threshold = 2; SET jit = on",
)


@pytest.mark.parametrize("setting", SETTINGS)
def test_no_setting_of_a_session_shows_more(outsider: Outsider, setting: str) -> None:
    for connection in outsider.connections:
        connection.execute(f"SET {setting}")
    # Twins may differ in what a plan costs, so that only words count.
    for call in (
        "item_row('plain', 'one')",
        "item_document('plain', 'one')",
        "collection_document('plain')",
        "asset_location('plain', 'one', 'local')",
        "collection_page('{}')",
        "queryables(NULL)",
        f"registered_search('{0:064x}')",
        "mosaic_items('{}', NULL, 10, false, false)",
    ):
        outsider.peek(f"SELECT * FROM external.{call}")
    for body in SEARCHES:
        outsider.peek(SEARCH, json.dumps(body), None, False, 10)
    if "standard_conforming" in setting:
        # Things are as hidden as they are without it.
        assert "almagest:" not in "".join(search(outsider, {}))


REACHABLE = """
    SELECT c.oid::regclass::text FROM pg_class AS c
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND has_schema_privilege(c.relnamespace, 'USAGE')
      AND (has_table_privilege(c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')
           OR has_any_column_privilege(c.oid, 'SELECT, INSERT, UPDATE, REFERENCES'))
"""


def test_the_role_reaches_nothing_but_its_schema_and_the_catalogues(outsider: Outsider) -> None:
    connection = outsider.connections[0]

    def listed(query: str) -> set[str]:
        return {text for (text,) in connection.execute(query).fetchall()}

    own = ("pg_catalog", "information_schema")
    assert listed("SELECT nspname::text FROM pg_namespace WHERE has_schema_privilege(oid, 'USAGE')") == {
        *own,
        "public",
        "external",
    }
    assert not listed("SELECT nspname::text FROM pg_namespace WHERE has_schema_privilege(oid, 'CREATE')")
    system = "('pg_catalog'::regnamespace, 'information_schema'::regnamespace)"
    assert listed(f"{REACHABLE} AND c.relnamespace NOT IN {system}") == {
        "geography_columns",
        "geometry_columns",
        "spatial_ref_sys",
    }
    assert not listed(
        "SELECT oid::regclass::text FROM pg_class"
        " WHERE CASE WHEN relkind = 'S' THEN has_sequence_privilege(oid, 'USAGE, SELECT, UPDATE') END"
    )
    assert not listed(
        "SELECT oid::regclass::text FROM pg_class WHERE relkind IN ('r', 'p', 'v') AND oid >= 16384"
        " AND has_table_privilege(oid, 'INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')"
    )
    assert not listed(
        "SELECT oid::regprocedure::text FROM pg_proc WHERE prosecdef AND has_function_privilege(oid, 'EXECUTE')"
        " AND pronamespace <> 'external'::regnamespace"
    )
    assert not listed("SELECT roleid::regrole::text FROM pg_auth_members WHERE member = 'almagest_external'::regrole")
    assert not listed(
        "SELECT datname::text FROM pg_database WHERE datname = current_database()"
        " AND has_database_privilege(oid, 'CREATE, TEMPORARY')"
    )
    assert listed("SELECT lanname::text FROM pg_language WHERE has_language_privilege(oid, 'USAGE')") == {
        "c",  # trusted for nobody but superusers, whatever the privilege says
        "internal",
        "plpgsql",
        "sql",
    }
    assert not listed("SELECT srvname::text FROM pg_foreign_server")
    assert not listed("SELECT fdwname::text FROM pg_foreign_data_wrapper")
    assert not listed("SELECT oid::text FROM pg_largeobject_metadata")


def test_every_wrapper_is_pinned(outsider: Outsider) -> None:
    rows = outsider.connections[0].execute(
        """
        SELECT oid::regprocedure::text, prosecdef, proowner::regrole::text, array_to_string(proconfig, ';')
        FROM pg_proc WHERE pronamespace = 'external'::regnamespace
        """
    )
    for name, is_definer, owner, pinned in rows.fetchall():
        assert (is_definer, owner) == (True, "almagest_external_definer"), name
        assert "client_min_messages=error" in pinned, name
        assert "standard_conforming_strings=on" in pinned, name
        path = next(setting for setting in pinned.split(";") if setting.startswith("search_path="))
        assert path.endswith(", pg_temp"), name


def test_catalogues_and_statistics_hold_nothing_that_is_hidden(outsider: Outsider) -> None:
    relations = [name for (name,) in outsider.connections[0].execute(REACHABLE).fetchall()]
    assert len(relations) > 100
    for name in relations:
        # The words in parts, or the list of running statements would show this very one.
        found = outsider.peek(f"SELECT count(*) FROM {name} AS r WHERE r::text ~* 'hu[s]h|4855534[8]|72 85 83 7[2]'")
        assert found[0] == REFUSED or "(0,)" in found, name


def test_nothing_that_a_session_makes_stands_in_for_our_tables(outsider: Outsider, twins: list[Settings]) -> None:
    name = twins[0].database.name
    with closing(database.connect(twins[0], "postgres")) as admin:
        # As in a database that was restored without its own privileges.
        admin.execute(f'GRANT TEMPORARY ON DATABASE "{name}" TO PUBLIC')
        try:
            outsider.peek(
                "CREATE FUNCTION pg_temp.spy() RETURNS jsonb LANGUAGE plpgsql AS"
                " 'BEGIN RETURN (SELECT jsonb_agg(content) FROM pgstac.items); END'"
            )
            tables = "collections queryables cql2_ops pgstac_settings items exposed audience_policy registered_search"
            for table in tables.split():
                made = outsider.peek(
                    f"CREATE TEMP VIEW {table} AS SELECT 'plain'::text AS id, 'x'::text AS name, 'x'::text AS op,"
                    " pg_temp.spy()::text AS template, pg_temp.spy()::text AS value, pg_temp.spy() AS content"
                )
                assert made == ("",)
                outsider.peek(f"GRANT SELECT ON pg_temp.{table} TO PUBLIC")
            for call in CALLS:
                outsider.peek(f"SELECT * FROM external.{call}")
            for body in SEARCHES:
                outsider.peek(SEARCH, json.dumps(body), None, False, 10)
        finally:
            admin.execute(f'REVOKE TEMPORARY ON DATABASE "{name}" FROM PUBLIC')


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM pgstac.items",
        "EXPLAIN SELECT * FROM pgstac.items WHERE id > 'a'",
        "SELECT * FROM pgstac.collections_asitems",
        "SELECT pgstac.get_item('kept-0', 'vault')",
        "SELECT almagest.item_document('vault', 'kept-0')",
        "SELECT * FROM almagest.api_key",
        "SELECT * FROM almagest.registered_search",
        "LOCK TABLE pgstac.items",
        "COPY pgstac.items TO STDOUT",
        "COPY (SELECT 1) TO '/tmp/nothing'",
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "COPY spatial_ref_sys FROM PROGRAM 'true'",
        "SET ROLE almagest_admin",
        "SET ROLE pgstac_read",
        "SET ROLE almagest_external_definer",
        "SET SESSION AUTHORIZATION postgres",
        "SET session_preload_libraries = 'auto_explain'",
        "SET lc_messages = 'C'",
        "ALTER SYSTEM SET jit = on",
        "LOAD 'auto_explain'",
        "CREATE TEMP TABLE collections (id text, content jsonb)",
        "CREATE TEMP VIEW queryables AS SELECT 1",
        "CREATE TEMP SEQUENCE s",
        "CREATE FUNCTION pg_temp.to_text(jsonb) RETURNS text LANGUAGE sql AS 'SELECT 1::text'",
        "CREATE TYPE pg_temp.box AS (a int)",
        "CREATE DOMAIN pg_temp.text AS int",
        "CREATE FUNCTION public.to_text(jsonb) RETURNS text LANGUAGE sql AS 'SELECT 1::text'",
        "CREATE FUNCTION external.to_text(jsonb) RETURNS text LANGUAGE sql AS 'SELECT 1::text'",
        "CREATE OPERATOR public.~~ (leftarg = jsonb, rightarg = jsonb, function = jsonb_contains)",
        "CREATE TABLE public.items (id text)",
        "CREATE SCHEMA pgstac2",
        "CREATE EXTENSION dblink",
        "CREATE EVENT TRIGGER e ON ddl_command_start EXECUTE FUNCTION pg_notify()",
        "CREATE SERVER s FOREIGN DATA WRAPPER w",
        "CREATE PUBLICATION p FOR TABLE pgstac.items",
        "CREATE STATISTICS public.s ON id, collection FROM pgstac.items",
        "ALTER FUNCTION external.collection_ids() SECURITY INVOKER",
        "ALTER FUNCTION external.collection_ids() RESET ALL",
        "GRANT pgstac_read TO almagest_external",
        "ALTER ROLE almagest_admin SET jit = on",
        "ANALYZE pgstac.items",
        "SELECT pg_read_file('PG_VERSION')",
        "SELECT pg_ls_dir('.')",
        "SELECT pg_stat_file('PG_VERSION')",
        "SELECT lo_import('/etc/hostname')",
        "SELECT lo_export(1, '/tmp/nothing')",
        "SELECT query_to_xml('SELECT * FROM pgstac.items', true, false, '')",
        "SELECT table_to_xml('pgstac.items'::regclass, true, false, '')",
        "SELECT query_to_xml('TABLE almagest.api_key', true, false, '')",
        "SELECT * FROM ts_stat('SELECT to_tsvector(content::text) FROM pgstac.items')",
        "SELECT currtid2('pgstac.items', '(0,1)')",
        "SELECT pg_sequence_last_value(pg_get_serial_sequence('pgstac.collections', 'key')::regclass)",
        "SELECT _postgis_stats('pgstac.items'::regclass, 'geometry')",
        "SELECT ST_EstimatedExtent('pgstac', 'items', 'geometry')",
        "SELECT _postgis_index_extent('pgstac.items'::regclass, 'geometry')",
        "SELECT _postgis_selectivity('pgstac.items'::regclass, 'geometry', ST_MakeEnvelope(0, 0, 1, 1, 4326))",
        "SELECT ST_FindExtent('pgstac', 'items', 'geometry')",
        "SELECT postgis_extensions_upgrade()",
        "SELECT UpdateGeometrySRID('pgstac', 'items', 'geometry', 3857)",
        "SELECT pg_export_snapshot(), pg_switch_wal()",
        "SELECT pg_promote()",
        "SELECT * FROM pg_logical_slot_peek_changes('s', NULL, NULL)",
    ],
)
def test_a_statement_is_refused(outsider: Outsider, statement: str) -> None:
    # Refused by right, or because there is no such thing.
    assert outsider.peek(statement)[0] != ""


@pytest.mark.parametrize(
    "statement",
    [
        "EXPLAIN (ANALYZE, VERBOSE, BUFFERS, SETTINGS) SELECT * FROM external.item_row('plain', 'one')",
        "EXPLAIN (ANALYZE, VERBOSE) SELECT external.collection_page('{}')",
        "DECLARE held CURSOR WITH HOLD FOR SELECT * FROM external.search_page('{}', NULL, false, 3); FETCH 9 FROM held",
        "SELECT cursor_to_xml('held', 10, true, false, '')",
        "PREPARE asked AS SELECT * FROM external.item_row($1, $2); EXECUTE asked('vault', 'kept-0')",
        "SELECT database_to_xml(true, false, '')",
        "SELECT schema_to_xml('external', true, false, '')",
        "SELECT query_to_xml('SELECT external.item_document(''plain'', ''one'')', true, false, '')",
        "SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'external'::regnamespace",
        "SELECT pg_get_viewdef('pgstac.collections_asitems'::regclass)",
        "SELECT pg_stat_get_activity(NULL)",
        "SELECT has_table_privilege('pgstac.items', 'SELECT'), pg_relation_size('pgstac.items')",
    ],
)
def test_what_a_statement_shows_is_visible(outsider: Outsider, statement: str) -> None:
    for part in statement.split("; "):
        outsider.peek(part)
    outsider.peek("SELECT * FROM pg_cursors")
    outsider.peek("SELECT * FROM pg_prepared_statements")
