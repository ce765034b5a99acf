"""Faults planted on purpose. A harness that lets one of them pass would let a real one pass."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from importlib import resources
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.types import Message, Receive, Scope, Send

from almagest.catalogue import database
from almagest.catalogue.changes import Feed
from almagest.catalogue.paging import TokenKey
from almagest.core.settings import Settings
from almagest.services.leaks.grammar import TOPICS, Topic
from almagest.services.web.unchanged import Unchanged

_SQL = resources.files("almagest.catalogue") / "sql"
_POLICY = "audience/functions/10_policy.sql"
_PROJECTION = "audience/functions/20_projection.sql"
_SEARCH = "audience/functions/30_search.sql"
_EXTERNAL = "audience/functions/40_external.sql"
_VERSIONS = "audience/functions/45_versions.sql"
_MOMENTS = "asof/functions/10_moments.sql"
_AS_OF = "asof/functions/30_external.sql"
_CHANGES = "audience/functions/47_changes.sql"
_LINKS = "lineage/functions/10_links.sql"
_WALK = "lineage/functions/30_walk.sql"
_PAIRS = "audience/functions/43_pairs.sql"
_AGGREGATE = "audience/functions/47_aggregate.sql"


@dataclass(frozen=True)
class Mutant:
    """A fault.

    Attributes:
        leak: what becomes visible.
        file: of the SQL sets; empty where the fault is in Python.
        edits: what stands in the file exactly once, and what stands there instead.
        patch: plants a fault in Python.
        topics: requests that look for it in `make test`; all of them do in `make soak`.
        strict: in which of the two worlds it is planted.
    """

    leak: str
    file: str
    edits: tuple[tuple[str, str], ...]
    topics: tuple[Topic, ...] = TOPICS
    strict: bool = False
    patch: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext

    @contextlib.contextmanager
    def planted(self, catalogues: tuple[Settings, ...]) -> Iterator[None]:
        """Both catalogues have the fault."""
        if not self.file:
            with self.patch():
                yield
            return
        sound = (_SQL / self.file).read_text(encoding="utf-8")
        try:
            _apply(catalogues, self.mutated(sound))
            yield
        finally:
            _apply(catalogues, sound)

    def mutated(self, text: str) -> str:
        """The file with the fault."""
        for old, new in self.edits:
            found = text.count(old)
            assert found == 1, (
                f"{self.leak}: {self.file} holds {old!r} {found} times; the mutant must follow its change"
            )
            text = text.replace(old, new)
        return text


def _apply(catalogues: tuple[Settings, ...], text: str) -> None:
    for settings in catalogues:
        with database.connect(settings, settings.database.admin_user) as connection, connection.transaction():
            connection.execute(text.encode())


@contextlib.contextmanager
def _audience_forgotten() -> Iterator[None]:
    """Tokens are signed as if there were one audience."""
    bound = TokenKey._bound

    def forgetful(key: TokenKey, direction: str, search: Mapping[str, Any]) -> tuple[str, str, str]:
        return bound(TokenKey(key.secret, "any"), direction, search)

    TokenKey._bound = forgetful  # type: ignore[method-assign]
    try:
        yield
    finally:
        TokenKey._bound = bound  # type: ignore[method-assign]


@contextlib.contextmanager
def _epochs_told() -> Iterator[None]:
    """Tags of pages are made of the epoch by which they are kept."""
    make = Unchanged._made

    async def telling(self: Unchanged, scope: Scope, receive: Receive, send: Send, *rest: Any) -> None:
        epoch = await self.epoch(None)

        async def tagged(message: Message) -> None:
            if message["type"] == "http.response.start" and "etag" in (
                headers := MutableHeaders(raw=message["headers"])
            ):
                headers["etag"] = f'"{epoch}"'
            await send(message)

        await make(self, scope, receive, tagged, *rest)

    Unchanged._made = telling  # type: ignore[method-assign]
    try:
        yield
    finally:
        Unchanged._made = make  # type: ignore[method-assign]


@contextlib.contextmanager
def _places_told() -> Iterator[None]:
    """Cursors of outsiders are made of places in the log, as those of insiders are."""
    log = Feed._log

    async def telling(feed: Feed, *arguments: Any) -> Any:
        return await log(replace(feed, outside=False), *arguments)

    Feed._log = telling  # type: ignore[method-assign]
    try:
        yield
    finally:
        Feed._log = log  # type: ignore[method-assign]


_NAMED = "    IF keys IS NULL OR almagest.is_public_path(keys, policy)"


def _asked_for(purpose: str) -> tuple[str, str]:
    """Outsiders may name hidden properties for one purpose."""
    return _NAMED, f"    IF purpose = '{purpose}' AND keys[1] = 'properties' OR{_NAMED.removeprefix('    IF')}"


_EVERYTHING = "ARRAY(SELECT almagest.port_collection_ids())"

_COLLECTION = (
    "    SELECT almagest.public_document("
    "almagest.collection_document($1), 'collection', p, almagest.suspicion(p))\n"
    "    FROM almagest.audience_policy() AS p\n"
)
_GATE = "    IF almagest.is_internal(of_collection) THEN\n        RETURN;\n    ELSIF forward THEN"
_COMPARED = "        ELSIF NOT almagest.looks_alike("


_BOTH_NAMED = "ARRAY(SELECT jsonb_array_elements_text(side.narrowed->'collections')), policy)"
_NARROWED = "narrowed || jsonb_build_object(member, side.narrowed)"


def _unnarrowed(side: str) -> tuple[str, str]:
    """One side of a pair search is not narrowed."""
    wide = f"CASE WHEN member = '{side}' THEN coalesce(asked->member, '{{}}') ELSE side.narrowed END"
    return _NARROWED, _NARROWED.replace("side.narrowed", wide)


_PRODUCT = "        CONTINUE WHEN is_same OR version IS NULL OR NOT outside"

#: Too seldom does chance ask for what stands in a list.
IN_LISTS = Mutant(
    "what is hidden in a list, by what both items of a pair are compared by",
    _PAIRS,
    (("page_size, almagest.suspicion(policy));", "page_size, NULL);"),),
)

MUTANTS: tuple[Mutant, ...] = (
    *(
        Mutant(
            f"hidden properties of the {side} item of a pair, by what it is filtered by",
            _PAIRS,
            ((_BOTH_NAMED, f"{_BOTH_NAMED} WHERE member <> '{side}'"),),
            ("pairs",),
            strict=side == "second",
        )
        for side in ("first", "second")
    ),
    *(
        Mutant(
            f"that an internal item is the {side} of a pair",
            _PAIRS,
            (_unnarrowed(side),),
            ("pairs",),
            strict=side == "first",
        )
        for side in ("first", "second")
    ),
    Mutant("where hidden pairs are, by cursors from inside", "", (), ("pairs",), patch=_audience_forgotten),
    Mutant(
        "what was hidden in what a search finds as of a moment",
        _AS_OF,
        (("IF base_is_suspect OR item ~* suspicion THEN", "IF false THEN"),),
        ("as-of",),
    ),
    Mutant(
        "what was exposed once, in what a search finds as of a moment",
        _AS_OF,
        (("IF withdrawn IS NOT NULL THEN", "IF false THEN"),),
        ("as-of",),
        strict=True,
    ),
    Mutant(
        "what internal collections held at a moment",
        _POLICY,
        (
            (
                "judged_collections(known) AS j WHERE NOT j.internal ORDER BY j.id",
                "judged_collections(known) AS j ORDER BY j.id",
            ),
        ),
        ("as-of",),
        strict=True,
    ),
    Mutant(
        "that somebody writes what is hidden, by the moments that can be asked for",
        _MOMENTS,
        (("key = ANY (visible) OR was_public AND key <> ALL (existing)", "true"),),
        ("as-of",),
    ),
    Mutant(
        "that something internal was forgotten, by the moments that can be asked for",
        _MOMENTS,
        (("f.collection = ANY (of_collections)))", "true))"),),
        ("as-of",),
    ),
    Mutant(
        "what is hidden in collections as they were",
        _AS_OF,
        (
            (
                "LATERAL almagest.public_document(c.document, 'collection', s.policy, s.suspicion) AS d(document)",
                "LATERAL (SELECT c.document) AS d(document)",
            ),
        ),
        ("as-of",),
        strict=True,
    ),
    Mutant(
        "what is made of something, though it is hidden",
        _WALK,
        (
            ("here.valid_from, true, outside);", "here.valid_from, true, false);"),
            (
                "almagest.lineage_document(collection, item, version, outside)->'links', version, origin, outside)",
                "almagest.lineage_document(collection, item, version, false)->'links', version, origin, outside)",
            ),
        ),
        ("lineage",),
    ),
    Mutant(
        "that something hidden stands between two, whose path is not cut",
        _WALK,
        (
            (
                "        of_version := CASE WHEN NOT state.deleted THEN state.valid_from END;\n"
                "    ELSIF NOT external.is_version",
                "        of_version := CASE WHEN NOT state.deleted THEN state.valid_from END;\n"
                "        SELECT jsonb_set(l.lineage, '{nodes}', coalesce((\n"
                "            SELECT jsonb_agg(n) FROM jsonb_array_elements(l.lineage->'nodes') AS n\n"
                "            WHERE n->>'collection' IS NULL OR NOT almagest.is_internal(n->>'collection')), '[]'))\n"
                "        INTO lineage FROM almagest.walk_lineage(\n"
                "            of_collection, of_id, of_version, upward, depth, most, origin, false) AS l(lineage)\n"
                "        WHERE of_version IS NOT NULL AND NOT almagest.is_internal(of_collection);\n"
                "        RETURN;\n"
                "    ELSIF NOT external.is_version",
            ),
        ),
        ("lineage",),
        strict=True,
    ),
    Mutant(
        "how many hidden things were made of something, by where its lineage is cut",
        _WALK,
        (
            (
                _PRODUCT,
                "        IF version IS NULL THEN few := few - 1; END IF;\n        EXIT WHEN few = 0;\n" + _PRODUCT,
            ),
        ),
        ("lineage",),
    ),
    Mutant(
        "what something was made of, though it is hidden",
        _LINKS,
        (("    IF outside THEN\n        RETURN (SELECT r.item", "    IF false THEN\n        RETURN (SELECT r.item"),),
        ("lineage",),
        strict=True,
    ),
    Mutant(
        "when something hidden has changed in what something was made of",
        _LINKS,
        (
            (
                "    IF outside THEN\n        SELECT c.moment AS begins",
                "    IF outside AND almagest.is_internal(of_collection) THEN\n        SELECT c.moment AS begins",
            ),
        ),
        ("lineage",),
    ),
    Mutant(
        "that internal items were there, by their versions",
        _VERSIONS,
        ((_GATE, _GATE.replace("IF almagest", "IF of_id IS NULL AND almagest")),),
        ("versions", "item"),
    ),
    Mutant(
        "that internal collections were there, by their versions",
        _VERSIONS,
        ((_GATE, _GATE.replace("IF almagest", "IF of_id IS NOT NULL AND almagest")),),
        ("versions", "collection"),
        strict=True,
    ),
    Mutant(
        "when something hidden has changed in an item",
        _VERSIONS,
        ((_COMPARED, _COMPARED.replace("NOT", "of_id IS NOT NULL OR NOT")),),
        ("versions", "item"),
        strict=True,
    ),
    Mutant(
        "when something hidden has changed in a collection",
        _VERSIONS,
        ((_COMPARED, _COMPARED.replace("NOT", "of_id IS NULL OR NOT")),),
        ("versions", "collection"),
    ),
    Mutant(
        "when something hidden has changed, by what was not forgotten",
        _VERSIONS,
        (("SELECT s.since FROM", "SELECT s.valid_from FROM"),),
        ("versions",),
    ),
    Mutant(
        "what was hidden in former versions",
        _VERSIONS,
        (
            (
                "almagest.suspicion(p) AS suspicion FROM almagest.audience_policy() AS p) AS s, former AS r",
                "'^$' AS suspicion FROM almagest.audience_policy() AS p) AS s, former AS r",
            ),
        ),
        ("versions",),
        strict=True,
    ),
    Mutant(
        "what was exposed once, in former versions",
        _VERSIONS,
        (("AND (asset->>'href' IS DISTINCT", "AND false AND (asset->>'href' IS DISTINCT"),),
        ("versions", "item"),
    ),
    Mutant(
        "former versions of internal items",
        _VERSIONS,
        (
            (_GATE, "    IF forward THEN"),
            ("AS w(assets)\n        WHERE NOT almagest.is_internal($1)", "AS w(assets)"),
        ),
        ("versions",),
        strict=True,
    ),
    Mutant(
        "what stands inside of visible properties, in filters and sorts",
        _SEARCH,
        (
            ("    RETURN statement;", "    RETURN original;"),
            ("    shown text;\n", "    shown text;\n    original text := statement;\n"),
        ),
        ("search", "items"),
    ),
    Mutant(
        "assets of items",
        _PROJECTION,
        (("ELSE almagest.public_href(j.href, policy) END AS public_href", "ELSE j.href END AS public_href"),),
        ("item", "items", "search"),
    ),
    Mutant(
        "alternates of assets",
        _PROJECTION,
        (
            (
                "CASE WHEN almagest.is_hidden_name(e.key, policy.hidden_properties) THEN NULL",
                "CASE WHEN almagest.is_hidden_name(e.key, policy.hidden_properties) THEN NULL\n"
                "                    WHEN e.key = 'alternate' THEN e.value",
            ),
        ),
        ("item", "items"),
    ),
    Mutant(
        "links of items",
        _PROJECTION,
        (
            (
                "CASE WHEN almagest.is_hidden_name(e.key, policy.hidden_properties) THEN NULL",
                "CASE WHEN almagest.is_hidden_name(e.key, policy.hidden_properties) THEN NULL\n"
                "                    WHEN e.key = 'links' AND of_an_item THEN e.value",
            ),
            (
                "    href text;\n    result jsonb;",
                "    href text;\n    result jsonb;\n    of_an_item boolean := value ? 'bbox';",
            ),
        ),
        ("item", "items"),
        strict=True,
    ),
    Mutant(
        "links to internal items",
        _PROJECTION,
        (("IN ('', '.', '..') OR almagest.is_internal(names[1]) THEN", "IN ('', '.', '..') THEN"),),
        ("item", "items", "collection"),
        strict=True,
    ),
    Mutant(
        "assets of collections",
        _PROJECTION,
        (
            (
                "CASE WHEN almagest.is_hidden_name(e.key, policy.hidden_properties) THEN NULL",
                "CASE WHEN almagest.is_hidden_name(e.key, policy.hidden_properties) THEN NULL\n"
                "                    WHEN place = 'collection' AND e.key = 'assets' THEN e.value",
            ),
        ),
        ("collection", "collections"),
    ),
    Mutant(
        "that a collection has hidden assets, by what is empty without them",
        _PROJECTION,
        (("    IF place = 'collection' THEN", "    IF false THEN"),),
        ("collection", "collections"),
    ),
    Mutant(
        "when a collection got hidden assets, by its versions",
        _PROJECTION,
        (("    IF place = 'collection' THEN", "    IF false THEN"),),
        ("versions",),
        strict=True,
    ),
    Mutant(
        "assets that come back from item_assets",
        _PROJECTION,
        (
            (
                "WHEN j.public_href IS NULL THEN CASE WHEN j.in_base THEN almagest.port_marker() END",
                "WHEN j.public_href IS NULL THEN NULL",
            ),
        ),
        ("item", "items"),
        strict=True,
    ),
    Mutant(
        "hrefs of item_assets",
        _PROJECTION,
        (
            (
                "WHEN place = 'collection' AND e.key = 'item_assets' THEN 'templates'",
                "WHEN e.key = 'item_assets' THEN 'map'",
            ),
        ),
        ("collection", "collections"),
        strict=True,
    ),
    Mutant(
        "internal collections in searches",
        _SEARCH,
        (
            (
                "ids := almagest.visible_collections(ids);",
                f"ids := coalesce(ids, {_EVERYTHING});",
            ),
        ),
        ("search", "items"),
    ),
    Mutant(
        "internal collections among collections",
        _SEARCH,
        (
            (
                "ids := almagest.visible_collections(CASE WHEN search ? 'ids' THEN\n"
                "        ARRAY(SELECT jsonb_path_query(search->'ids', '$[*]') #>> '{}') END);",
                f"ids := {_EVERYTHING};",
            ),
        ),
        ("collections", "plain"),
        strict=True,
    ),
    Mutant(
        "an internal collection by its id",
        _EXTERNAL,
        (
            (
                f"{_COLLECTION}    WHERE NOT almagest.is_internal($1)",
                _COLLECTION,
            ),
        ),
        ("collection", "items", "mosaics"),
    ),
    Mutant(
        "internal items by their ids",
        _EXTERNAL,
        (
            (
                "LATERAL almagest.item_row($1, $2) AS r\n    WHERE NOT almagest.is_internal($1)",
                "LATERAL almagest.item_row($1, $2) AS r",
            ),
        ),
        ("item",),
        strict=True,
    ),
    Mutant(
        "queryables of internal collections",
        _EXTERNAL,
        (
            (
                "         almagest.visible_collections($1) AS ids,",
                f"         LATERAL (SELECT coalesce($1, {_EVERYTHING})) AS i(ids),",
            ),
        ),
        ("queryables",),
    ),
    Mutant(
        "hidden queryables",
        _EXTERNAL,
        (("        WHERE keys IS NULL OR almagest.is_public_path(keys, p)", "        WHERE true"),),
        ("queryables",),
        strict=True,
    ),
    Mutant(
        "tiles of internal items",
        _EXTERNAL,
        (
            (
                "LATERAL almagest.item_row($1, $2) AS r\n    WHERE NOT almagest.is_internal($1)",
                "LATERAL almagest.item_row($1, $2) AS r",
            ),
        ),
        ("pictures",),
    ),
    Mutant(
        "internal items in mosaics",
        _EXTERNAL,
        (
            (
                "almagest.mosaic_query(narrowed, ",
                "almagest.mosaic_query(search, ",
            ),
        ),
        ("searches",),
        strict=True,
    ),
    Mutant("filters by hidden properties", _SEARCH, (_asked_for("filter"),), ("search", "items", "mosaics")),
    Mutant("sorting by hidden properties", _SEARCH, (_asked_for("sortby"),), ("search", "items"), strict=True),
    Mutant("queries of hidden properties", _SEARCH, (_asked_for("query"),), ("search", "items"), strict=True),
    Mutant(
        "filters by assets",
        _SEARCH,
        ((_NAMED, f"    IF keys[1] = 'assets' OR{_NAMED.removeprefix('    IF')}"),),
        ("search", "items", "mosaics"),
    ),
    Mutant(
        "free text in hidden properties",
        _SEARCH,
        (
            (
                "FROM unnest(ARRAY['title', 'description', 'keywords']) AS n(word)\n"
                "            WHERE NOT almagest.is_hidden_name(word, policy.hidden_properties)));",
                "FROM unnest(ARRAY['title', 'description', 'keywords']) AS n(word)));",
            ),
        ),
        ("search", "items"),
        strict=True,
    ),
    Mutant(
        "hidden properties in answers",
        _PROJECTION,
        (
            (
                "CASE WHEN almagest.is_hidden_name(e.key, policy.hidden_properties) THEN NULL",
                "CASE WHEN false THEN NULL",
            ),
        ),
        ("item", "items", "collection"),
    ),
    Mutant(
        "internal registered searches",
        _EXTERNAL,
        (("WHERE r.id = search_id AND r.audience = 'public'", "WHERE r.id = search_id"),),
        ("searches",),
    ),
    Mutant(
        "registered searches that name internal collections",
        _EXTERNAL,
        (
            (
                "      AND NOT EXISTS (SELECT FROM almagest.internal_collections(\n"
                "          ARRAY(SELECT jsonb_path_query(r.search->'collections', '$[*]') #>> '{}')));",
                ";",
            ),
        ),
        ("searches",),
    ),
    Mutant(
        "what exists, by the words of an error",
        _SEARCH,
        (
            (
                "    is_empty := ids = '{}';",
                "    IF ids = '{}' AND EXISTS (SELECT FROM almagest.port_collection_ids() AS c(id)\n"
                "                              WHERE search->'collections' ? c.id) THEN\n"
                "        RAISE EXCEPTION 'collections: these are not for you.';\n"
                "    END IF;\n"
                "    is_empty := ids = '{}';",
            ),
        ),
        ("search", "items"),
        strict=True,
    ),
    Mutant("how much is hidden, by cursors of changes", "", (), ("changes",), patch=_places_told),
    Mutant(
        "that something hidden has changed, among changes",
        _CHANGES,
        (("    ), 'infinity'), false, 1) AS c\n    WHERE c.moment = at;", "    ), 'infinity'), false, 1) AS c;"),),
        ("changes",),
        strict=True,
    ),
    Mutant(
        "internal collections and items, among changes",
        _CHANGES,
        (
            (
                "almagest.public_collections_ever(of_collections);",
                "ARRAY(SELECT h.id FROM almagest.collection_head AS h);",
            ),
            (
                "        RETURN QUERY\n        SELECT b.moment, CASE",
                "        RETURN QUERY SELECT entry.at, 'updated' WHERE almagest.is_internal(entry.collection);\n"
                "        RETURN QUERY\n        SELECT b.moment, CASE",
            ),
        ),
        ("changes",),
    ),
    Mutant(
        "how much there is in internal collections, by what is counted beforehand",
        _AGGREGATE,
        (
            (
                "        ids := ARRAY(SELECT jsonb_array_elements_text(narrowed->'collections'));",
                f"        ids := {_EVERYTHING};",
            ),
        ),
        ("aggregations",),
    ),
    Mutant(
        "how much there is in internal collections, by counting it",
        _AGGREGATE,
        (
            (
                "almagest.as_outsiders_read(almagest.port_where(narrowed), narrowed,",
                "almagest.as_outsiders_read(almagest.port_where(narrowed - 'collections'), narrowed,",
            ),
        ),
        ("aggregations",),
        strict=True,
    ),
    Mutant(
        "hidden properties, by aggregations",
        _AGGREGATE,
        (
            (
                "        IF NOT almagest.is_public_path(ARRAY['properties', name], policy) THEN",
                "        IF name = 'href' THEN",
            ),
        ),
        ("aggregations",),
        strict=True,
    ),
    Mutant(
        "which matchups are compared, by their coverage",
        _SEARCH,
        (("IF keys IS NULL OR almagest", "IF keys IS NULL OR keys[1] = 'assets' OR almagest"),),
        ("coverage",),
    ),
    Mutant("where pages end, by tokens of the other audience", "", (), ("search", "items"), patch=_audience_forgotten),
    Mutant("how often something was written, by tags of pages", "", (), ("search", "items"), patch=_epochs_told),
    Mutant(
        "files that were never exposed",
        _EXTERNAL,
        (
            (
                "    JOIN almagest.exposed AS e ON (e.collection",
                "    LEFT JOIN almagest.exposed AS e ON (e.collection",
            ),
        ),
        ("assets",),
    ),
    Mutant(
        "files of internal collections",
        _EXTERNAL,
        (
            (
                "    WHERE NOT almagest.is_internal($1) AND NOT almagest.is_hidden_name($3,",
                "    WHERE NOT almagest.is_hidden_name($3,",
            ),
        ),
        ("assets",),
        strict=True,
    ),
    Mutant(
        "what stands in the place of an exposed file by now",
        _EXTERNAL,
        ((" AND e.location = a.location", ""),),
        ("assets",),
        strict=True,
    ),
    Mutant(
        "that an asset was exposed once",
        _PROJECTION,
        (("WHEN e.location = j.href THEN", "WHEN e.location IS NOT NULL THEN"),),
        ("item", "items", "pictures"),
    ),
)
