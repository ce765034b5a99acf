"""The rules of the external audience, in SQL: who is hidden, what is left of a document, what may be asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from almagest.catalogue import audience, canary, database, loading
from almagest.catalogue.hydration import documents
from almagest.catalogue.reserved import CANARY
from almagest.core.errors import BadRequestError
from almagest.core.settings import Settings
from conftest import TEMPLATE
from support import cluster as clusters

ORIGIN = "http://127.0.0.1:8080"
MARKER = "𒍟※"


@pytest.fixture
def admin(settings: Settings) -> Iterator[psycopg.Connection]:
    with database.connect(settings, "postgres") as connection:
        connection.execute("SET search_path = almagest, public")
        yield connection


@pytest.fixture(scope="module")
def rules(cluster: clusters.Cluster) -> Iterator[psycopg.Connection]:
    """A database with some rules, shared by questions that change nothing."""
    with cluster.clone(TEMPLATE) as name, database.connect(cluster.settings(name), "postgres") as connection:
        connection.execute("SET search_path = almagest, public")
        connection.execute("UPDATE audience_policy SET visible_buckets = '{open,ours}', own_bucket = 'ours'")
        connection.execute("INSERT INTO exposed VALUES ('scenes', 'a', 'open', 'file:///store/a')")
        audience.set_collections(connection, "secret", "internal")
        yield connection


@pytest.fixture
def outside(settings: Settings) -> Iterator[psycopg.Connection]:
    with database.connect(settings, "almagest_external") as connection:
        yield connection


def queryable(
    admin: psycopg.Connection, name: str, ids: list[str] | None = None, path: list[str] | None = None
) -> None:
    """Registers a queryable as pgSTAC's own tools would."""
    with admin.transaction():
        admin.execute("SET LOCAL search_path = pgstac, public")
        admin.execute(
            "INSERT INTO queryables (name, collection_ids, property_path) VALUES (%s, %s, %s)", (name, ids, path)
        )


def one(connection: psycopg.Connection, statement: str, *values: Any) -> Any:
    row = connection.execute(statement.encode(), values).fetchone()
    return row[0] if row else None


def collection(identifier: str = "scenes", **more: Any) -> dict[str, Any]:
    return {
        "type": "Collection",
        "stac_version": "1.1.0",
        "id": identifier,
        "title": identifier,
        "description": "Scenes",
        "license": "other",
        "extent": {
            "spatial": {"bbox": [[-180, -90, 180, 90]]},
            "temporal": {"interval": [["2020-01-01T00:00:00Z", None]]},
        },
        "links": [],
        **more,
    }


def item(identifier: str = "a", of: str = "scenes", **more: Any) -> dict[str, Any]:
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": identifier,
        "collection": of,
        "geometry": {"type": "Point", "coordinates": [1.5, 2.25]},
        "bbox": [1.5, 2.25, 1.5, 2.25],
        "properties": {"datetime": "2024-05-01T00:00:00Z"},
        "assets": {},
        "links": [],
        **more,
    }


def seen(connection: psycopg.Connection, search: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """Items as outsiders get them: joined as the services join them."""
    rows = connection.execute("SELECT * FROM search_page(%s::jsonb, NULL, false, 100)", (json.dumps(search or {}),))
    return [*documents(rows.fetchall())]


# ---------------------------------------------------------------------------------------------------------------------
# Which hrefs


@pytest.mark.parametrize(
    ("href", "shown"),
    [
        ("https://example.org/a.tif", "https://example.org/a.tif"),
        ("HTTPS://EXAMPLE.org", "HTTPS://EXAMPLE.org"),
        ("http://example.org:81?x=@", "http://example.org:81?x=@"),
        ("http://example.org/with space", "http://example.org/with space"),
        ("s3://open/a.tif", "s3://open/a.tif"),
        ("s3://closed/a.tif", None),
        ("s3://ours/a.tif", None),
        ("S3://open/a.tif", "S3://open/a.tif"),
        ("file:///a.tif", None),
        ("FILE:/a.tif", None),
        ("/a.tif", None),
        ("a.tif", None),
        ("../a.tif", None),
        ("//example.org/a.tif", None),
        (" https://example.org/a.tif", None),
        ("https:/example.org", None),
        ("https:///example.org", None),
        ("https://", None),
        ("https://user:word@example.org/a.tif", None),
        ("https://example.org\\@inside/", None),
        ("ftp://example.org/a.tif", None),
        ("vrt://https://example.org/a.tif", None),
        ("data:text/plain,a", None),
        ("", None),
        # Our own addresses lead outsiders to what is theirs, or nowhere.
        (f"{ORIGIN}/api/collections/scenes", f"{ORIGIN}/external/collections/scenes"),
        (f"{ORIGIN}/api/collections/scenes/items", f"{ORIGIN}/external/collections/scenes/items"),
        (f"{ORIGIN}/external/collections/scenes/items/a%20b", f"{ORIGIN}/external/collections/scenes/items/a%20b"),
        ("HTTP://127.0.0.1:8080/api/collections/scenes/items/%61", f"{ORIGIN}/external/collections/scenes/items/a"),
        (f"{ORIGIN}/api/collections/secret/items/a", None),
        (f"{ORIGIN}/api/collections/%73ecret/items/a", None),
        (f"{ORIGIN}/api/collections/scenes/../secret", None),
        (f"{ORIGIN}/api/collections/scenes/items/..", None),
        (f"{ORIGIN}/api/collections//items/a", None),
        (f"{ORIGIN}/api/collections/scenes?secret", None),
        (f"{ORIGIN}/api/collections/%ff/items/a", None),
        (f"{ORIGIN}/api/search?collections=secret", None),
        (f"{ORIGIN}/external/assets/scenes/a/data", None),
        (f"{ORIGIN}/external/assets/scenes/a/open", f"{ORIGIN}/external/assets/scenes/a/open"),
        (f"{ORIGIN}/api/assets/scenes/a/open", f"{ORIGIN}/external/assets/scenes/a/open"),
        # From the root of the site on, which is ours.
        ("/api/collections/scenes/items/a%20b", f"{ORIGIN}/external/collections/scenes/items/a%20b"),
        ("/external/collections/scenes", f"{ORIGIN}/external/collections/scenes"),
        ("/api/collections/secret/items/a", None),
        ("/api/collections/%73ecret/items/a", None),
        ("/api/collections/scenes/../secret", None),
        ("/api/assets/scenes/a/data", None),
        ("//api/collections/scenes", None),
        ("/API/collections/scenes", None),
        ("api/collections/scenes", None),
        (f"{ORIGIN}", None),
        (f"{ORIGIN}.example.org/", f"{ORIGIN}.example.org/"),
    ],
)
def test_which_hrefs_outsiders_see(rules: psycopg.Connection, href: str, shown: str | None) -> None:
    assert one(rules, "SELECT public_href(%s, audience_policy())", href) == shown


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=12))
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=100)
def test_an_id_survives_an_address(admin: psycopg.Connection, identifier: str) -> None:
    assert one(admin, "SELECT percent_decoded(percent_encoded(%s))", identifier) == (identifier or None)


@given(
    st.recursive(
        st.sampled_from(["file:///x", "https://example.org/x", "s3://b/x", f"{ORIGIN}/api/", "text", None, 1]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["href", "alternate", "a", "almagest:x", 'almagest:"\\"', "secret"]), inner, max_size=4
            )
        ),
        max_leaves=12,
    )
)
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=200)
def test_what_raises_no_suspicion_holds_nothing_hidden(admin: psycopg.Connection, value: Any) -> None:
    """Documents go out unlooked at where a regular expression finds nothing: it must find whatever is hidden."""

    def hides(part: Any) -> bool:
        if isinstance(part, list):
            return any(map(hides, part))
        if not isinstance(part, dict):
            return False
        href = part.get("href", "https://")
        # An alternate may be called `href`.
        hidden = not isinstance(href, dict) and not (isinstance(href, str) and href.startswith("https://"))
        return hidden or any(key.startswith("almagest:") or hides(inner) for key, inner in part.items())

    text = json.dumps({"value": value})
    suspicious = one(admin, "SELECT %s::jsonb::text ~* suspicion(audience_policy())", text)
    assert suspicious or not hides(value)
    left = one(admin, "SELECT public_document(%s::jsonb, 'item', p, suspicion(p)) FROM audience_policy() AS p", text)
    assert not hides(left)
    if not hides(value) and '"href": {' not in text:
        assert left == json.loads(text)


# ---------------------------------------------------------------------------------------------------------------------
# Which collections


def test_the_most_telling_rule_holds(admin: psycopg.Connection) -> None:
    for pattern, visibility in {
        "draft-*": "internal",
        "draft-open-*": "public",
        "draft-open-x": "internal",
        "a_b": "internal",
    }.items():
        audience.set_collections(admin, pattern, visibility)  # type: ignore[arg-type]
    internal = {"draft-a", "draft-open-x", "a_b"}
    public = {"other", "draft-open-y", "axb", "draft"}
    rows = admin.execute("SELECT * FROM internal_collections(%s)", ([*internal, *public],)).fetchall()
    assert {identifier for (identifier,) in rows} == internal
    audience.set_collections(admin, "draft-*", None)
    assert not one(admin, "SELECT is_internal('draft-a')")
    admin.execute("UPDATE audience_policy SET internal_by_default = true")
    assert one(admin, "SELECT is_internal('other')")
    assert not one(admin, "SELECT is_internal('draft-open-y')")


def test_of_equally_long_patterns_the_one_that_hides_holds(admin: psycopg.Connection) -> None:
    audience.set_collections(admin, "a*", "public")
    audience.set_collections(admin, "*b", "internal")
    assert one(admin, "SELECT is_internal('ab')")


def test_a_rule_is_there_before_its_collection_and_after(
    settings: Settings, admin: psycopg.Connection, outside: psycopg.Connection
) -> None:
    audience.set_collections(admin, "scenes", "internal")
    for _ in range(2):
        loading.load_documents(settings, [collection()], [item()])
        assert not seen(outside)
        assert one(outside, "SELECT collection_document('scenes')") is None
        admin.execute("SELECT delete_collection('scenes')")
    audience.set_collections(admin, "scenes", "public")
    loading.load_documents(settings, [collection()], [item()])
    assert [found["id"] for found in seen(outside)] == ["a"]


def test_a_change_of_the_settings_reaches_the_policy(settings: Settings, admin: psycopg.Connection) -> None:
    import dataclasses

    from almagest.core.settings import Audience, Site

    closed = dataclasses.replace(
        settings,
        site=Site(home=settings.site.home, public_url="https://stac.example.org"),
        audience=Audience(collections="internal", visible_schemes=("https",), visible_buckets=("open",)),
    )
    audience.apply(closed, admin)
    assert one(admin, "SELECT is_internal('other')")
    assert one(admin, "SELECT public_href('http://example.org/', audience_policy())") is None
    own = "https://stac.example.org/api/collections/x"
    audience.set_collections(admin, "x", "public")
    assert one(admin, "SELECT public_href(%s, audience_policy())", own) == own.replace("api", "external")


@pytest.mark.parametrize("name", ["", 'a"b', "a*b", "*a", "a\\b", "a\nb"])
def test_what_is_no_name_cannot_be_hidden(admin: psycopg.Connection, name: str) -> None:
    with pytest.raises(BadRequestError):
        audience.set_hidden(admin, hide=[name])


def test_members_of_our_own_stay_hidden(admin: psycopg.Connection) -> None:
    with pytest.raises(BadRequestError):
        audience.set_hidden(admin, show=["almagest:*"])
    assert not canary.run(admin)


@pytest.mark.parametrize("origin", ["https://stac.example.org", "https://stac.example.org:443"])
@pytest.mark.parametrize(
    "named",
    [
        "https://stac.example.org",
        "https://stac.example.org:443",
        "https://stac.example.org:0443",
        "https://stac.example.org:",
        "https://stac.example.org.",
        "HTTPS://STAC.example.org",
        "http://stac.example.org",
    ],
)
def test_we_are_ourselves_however_our_port_is_written(
    settings: Settings, admin: psycopg.Connection, outside: psycopg.Connection, origin: str, named: str
) -> None:
    audience.set_collections(admin, "secret", "internal")
    admin.execute("UPDATE audience_policy SET origin = %s", (origin,))
    secret = {"rel": "x", "href": f"{named}/api/collections/secret"}
    loading.load_documents(settings, [collection()], [item(links=[secret])])
    assert seen(outside)[0]["links"] == []


def test_a_name_with_quotation_marks_is_hidden_like_any_other(
    settings: Settings, admin: psycopg.Connection, outside: psycopg.Connection
) -> None:
    """As JSON prints it, a backslash stands before the mark."""
    admin.execute("""UPDATE audience_policy SET hidden_properties = '{secret*,"the \\"one\\""}'""")
    names = {'secret "alpha"': 1, 'the "one"': 2, "secret\\": 3, 'a "secret"': 4, "title": "shown"}
    loading.load_documents(settings, [collection()], [item(properties={"datetime": "2024-01-01T00:00:00Z", **names})])
    assert seen(outside)[0]["properties"].keys() == {"datetime", "title", 'a "secret"'}


# ---------------------------------------------------------------------------------------------------------------------
# What is left of documents


def test_hidden_parts_of_an_item_are_gone_and_all_else_is_as_it_was(
    settings: Settings, admin: psycopg.Connection, outside: psycopg.Connection
) -> None:
    audience.set_collections(admin, "secret", "internal")
    remote = {"href": "https://example.org/a.tif", "title": "A", "gsd": None}
    clean = item(
        properties={
            "datetime": None,
            "start_datetime": "2024-05-01T00:00:00Z",
            "end_datetime": "2024-05-02T00:00:00Z",
            "eo:cloud_cover": None,
            "deep": {"x": [1.50, {"y": None}]},
        },
        assets={
            "remote": {**remote, "raster:bands": [{"nodata": None, "scale": 0.0001}]},
            # No assets, but stock writers take them, and they go out where nothing is hidden beside them.
            "no-href": {"title": "nowhere"},
            "no-object": "red",
            "null": None,
        },
        links=[
            {"rel": "derived_from", "href": f"{ORIGIN}/api/collections/scenes/items/b"},
            {"rel": "x", "href": "https://a"},
        ],
    )
    hidden = {"href": "file:///secret.tif"}
    full = json.loads(json.dumps(clean))
    full["properties"]["almagest:job"] = "17"
    full["assets"] |= {
        "stored": hidden,
        "bare": {"href": "secret.tif"},
        "properties": {"href": "s3://bucket/secret.tif", "title": "named like a member of the item"},
        "href": hidden,
    }
    full["assets"]["remote"] |= {"alternate": {"here": hidden, "href": hidden}, "almagest:path": "secret"}
    full["links"] += [
        {"rel": "derived_from", "href": f"{ORIGIN}/api/collections/secret/items/a"},
        {"rel": "source", "href": "file:///secret.json"},
    ]
    full["links"][0]["almagest:version"] = "2024"
    item_assets = {"remote": {"title": "A"}, "stored": {"title": "stored"}, "bare": {"title": "bare"}}
    loading.load_documents(settings, [collection(item_assets=item_assets)], [full])
    expected = clean
    expected["links"][0]["href"] = f"{ORIGIN}/external/collections/scenes/items/b"
    (left,) = seen(outside)
    # The loader drops nulls within the members that it strips; what it stored, comes out.
    (stored,) = _inside(settings)
    for key in ("stored", "bare", "properties", "href"):
        stored["assets"].pop(key, None)
    stored["assets"]["remote"].pop("alternate")
    stored["assets"]["remote"].pop("almagest:path")
    stored["properties"].pop("almagest:job")
    stored["links"] = expected["links"]
    assert left == stored
    assert list(left) == list(stored)
    assert left["properties"]["datetime"] is None


def _inside(settings: Settings) -> list[dict[str, Any]]:
    with database.connect(settings, "almagest_reader") as connection:
        return seen(connection)


def test_an_href_in_item_assets_hides_what_inherits_it(
    settings: Settings, admin: psycopg.Connection, outside: psycopg.Connection
) -> None:
    item_assets = {
        "inherited": {"href": "file:///secret/inherited.tif", "title": "Inherited"},
        "overridden": {"href": "file:///secret/overridden.tif", "title": "Overridden"},
        "shown": {"href": "https://example.org/shown.tif", "title": "Shown"},
    }
    given_assets = {
        "inherited": dict(item_assets["inherited"]),
        "overridden": {**item_assets["overridden"], "href": "https://example.org/mine.tif"},
        "shown": dict(item_assets["shown"]),
    }
    loading.load_documents(settings, [collection(item_assets=item_assets)], [item(assets=given_assets)])
    (left,) = seen(outside)
    assert left["assets"] == {
        "overridden": {"href": "https://example.org/mine.tif", "title": "Overridden"},
        "shown": item_assets["shown"],
    }
    assert one(outside, "SELECT item_document('scenes', 'a')")["assets"] == left["assets"]
    document = one(outside, "SELECT collection_document('scenes')")
    assert document["item_assets"] == {
        "inherited": {"title": "Inherited"},
        "overridden": {"title": "Overridden"},
        "shown": item_assets["shown"],
    }


def test_an_exposed_asset_has_the_address_for_outsiders_until_it_moves(
    settings: Settings, admin: psycopg.Connection, outside: psycopg.Connection
) -> None:
    given_assets = {
        "data": {"href": "file:///store/a b.tif", "type": "image/tiff"},
        "other": {"href": "file:///store/o"},
    }
    loading.load_documents(settings, [collection()], [item("ä b/c", assets=given_assets)])
    admin.execute("INSERT INTO exposed VALUES ('scenes', 'ä b/c', 'data', 'file:///store/a b.tif')")
    (left,) = seen(outside)
    address = f"{ORIGIN}/external/assets/scenes/%C3%A4%20b%2Fc/data"
    assert left["assets"] == {"data": {"href": address, "type": "image/tiff"}}
    where = "SELECT location FROM asset_location('scenes', 'ä b/c', %s)"
    assert one(outside, where, "data") == "file:///store/a b.tif"
    assert one(outside, where, "other") is None
    moved = {**given_assets, "data": {"href": "file:///store/new.tif"}}
    loading.load_documents(settings, [], [item("ä b/c", assets=moved)])
    (left,) = seen(outside)
    assert left["assets"] == {}
    assert one(outside, where, "data") is None


def test_a_collection_shows_no_hidden_part(settings: Settings, outside: psycopg.Connection) -> None:
    hidden = {"href": "file:///secret.png"}
    full = collection(
        assets={"thumbnail": hidden, "preview": {"href": "https://example.org/p.png"}},
        links=[{"rel": "about", "href": "/secret"}, {"rel": "license", "href": "https://example.org/l"}],
        summaries={"almagest:job": ["secret"], "gsd": [10]},
        **{"almagest:owner": "secret"},
    )
    loading.load_documents(settings, [full], [])
    left = one(outside, "SELECT collection_document('scenes')")
    assert "secret" not in json.dumps(left)
    assert left["assets"] == {"preview": {"href": "https://example.org/p.png"}}
    assert left["summaries"] == {"gsd": [10]}
    (listed,) = one(outside, "SELECT collection_page('{}')")["collections"]
    assert listed == left


@pytest.mark.parametrize(
    "search",
    [
        {},
        {"fields": {"include": ["assets", "summaries", "summaries.gsd", "providers"]}},
        {"sortby": [{"field": "id", "direction": "asc"}, {"field": "title", "direction": "asc"}]},
        {
            "fields": {"include": ["assets", "summaries", "providers"]},
            "sortby": [{"field": "id", "direction": "asc"}, {"field": "title", "direction": "asc"}],
        },
    ],
)
def test_a_collection_of_which_all_assets_are_hidden_looks_like_one_without(
    settings: Settings, outside: psycopg.Connection, search: dict[str, Any]
) -> None:
    """A map that stays though nothing is left in it, and a null for one that is not there, would tell them apart."""
    same = {"title": "Scenes"}
    hidden = {
        "assets": {"t": {"href": "file:///secret/t.png"}},
        "summaries": {"almagest:job": ["secret"]},
        "item_assets": {"almagest:raw": {"title": "Raw"}},
        "properties": {"almagest:job": "secret"},
        "providers": [{"name": "secret", "href": "file:///secret"}],
    }
    empty = {name: {} for name in ("assets", "summaries", "item_assets", "properties")}
    alike = [
        collection("none", **same),
        collection("empty", **same, **empty),
        collection("full", **same, **hidden),
    ]
    loading.load_documents(settings, alike, [])
    listed = one(outside, "SELECT collection_page(%s::jsonb)", json.dumps(search))["collections"]
    assert {found.pop("id") for found in listed} == {"none", "empty", "full"}
    assert listed[0] == listed[1] == listed[2]
    alone = [one(outside, "SELECT collection_document(%s)", name) for name in ("none", "empty", "full")]
    assert [{**found, "id": "none"} for found in alone] == [alike[0]] * 3


# ---------------------------------------------------------------------------------------------------------------------
# What may be asked for

REFUSED = (
    "assets.data.href",
    "assets",
    "links",
    "links.href",
    "properties.properties.assets.data.href",
    "almagest:job",
    "properties.almagest:job",
    "properties.almagest:job.deep",
    "properties.deep.almagest:job",
    "properties.deep.href",
    "bbox",
    "stac_extensions",
    "pointing",
)


@pytest.mark.parametrize(
    "search",
    [
        lambda name: {"filter": {"op": "like", "args": [{"property": name}, "f%"]}, "filter-lang": "cql2-json"},
        lambda name: {
            "filter": {"op": "not", "args": [{"op": "or", "args": [{"op": "isNull", "args": [{"property": name}]}]}]}
        },
        lambda name: {"filter": {"like": [{"property": name}, "f%"]}, "filter-lang": "cql-json"},
        lambda name: {"filter": {"op": "=", "args": [{"op": "casei", "args": [{"property": name}]}, "f"]}},
        lambda name: {
            "filter": {"op": "t_before", "args": [{"property": name}, {"timestamp": "2020-01-01T00:00:00Z"}]}
        },
        lambda name: {"filter": {"op": "a_contains", "args": [{"property": name}, ["f"]]}},
        lambda name: {"query": {name: {"eq": "f"}}},
        lambda name: {"query": {"id": {"eq": {"property": name}}}},
        lambda name: {"sortby": [{"field": "id", "direction": "asc"}, {"field": name, "direction": "asc"}]},
        lambda name: {"sortby": {"field": name, "direction": "asc"}},
    ],
)
def test_outsiders_cannot_ask_for_what_they_cannot_see(
    admin: psycopg.Connection, outside: psycopg.Connection, search: Any
) -> None:
    # A queryable may point anywhere, whatever its name.
    queryable(admin, "pointing", path=["assets", "data", "href"])
    for name in REFUSED:
        asked = json.dumps(search(name))
        with pytest.raises(psycopg.errors.RaiseException, match="cannot be asked for"):
            outside.execute("SELECT * FROM search_page(%s::jsonb, NULL, false, 1)", (asked,))
        with pytest.raises(psycopg.errors.RaiseException, match="cannot be asked for"):
            outside.execute("SELECT * FROM mosaic_items(%s::jsonb, NULL, 1, true, true)", (asked,))


def test_outsiders_cannot_choose_hidden_fields(outside: psycopg.Connection) -> None:
    for name in ("assets.data.href", "links.href", "almagest:job", "properties.almagest:job"):
        for kind in ("include", "exclude"):
            asked = json.dumps({"fields": {kind: [name]}})
            with pytest.raises(psycopg.errors.RaiseException, match="cannot be asked for"):
                outside.execute("SELECT * FROM search_page(%s::jsonb, NULL, false, 1)", (asked,))


def test_collections_cannot_be_searched_by_what_is_hidden(outside: psycopg.Connection) -> None:
    names = ("item_assets.x.href", "summaries", "summaries.almagest:job", "links", "assets.x", "almagest:owner")
    for name in names:
        for search in (
            {"filter": {"op": "isNull", "args": [{"property": name}]}},
            {"sortby": [{"field": name}]},
            {"query": {name: {"eq": 1}}},
        ):
            with pytest.raises(psycopg.errors.RaiseException, match="cannot be asked for"):
                outside.execute("SELECT collection_page(%s::jsonb)", (json.dumps(search),))


def test_what_may_be_asked_for(settings: Settings, outside: psycopg.Connection) -> None:
    documents = [
        item(name, properties={"datetime": "2024-05-01T00:00:00Z", "eo:cloud_cover": n, "title": name})
        for n, name in enumerate("abc")
    ]
    loading.load_documents(settings, [collection(), collection("other")], documents)

    def ids(**search: Any) -> list[str]:
        return [found["id"] for found in seen(outside, search)]

    assert ids(
        filter={"op": ">", "args": [{"property": "eo:cloud_cover"}, 0]},
        sortby=[{"field": "properties.eo:cloud_cover", "direction": "desc"}],
    ) == ["c", "b"]
    assert ids(query={"properties.title": {"eq": "b"}}) == ["b"]
    assert ids(q=["b"]) == ["b"]
    assert ids(collections=["scenes", "other", "nothing"], ids=["a"]) == ["a"]
    assert ids(collections=["nothing"]) == ids(collections=[]) == []
    assert [
        found.keys()
        for found in seen(
            outside, {"fields": {"include": ["id", "properties.title"], "exclude": ["assets", "links"]}, "ids": ["a"]}
        )
    ]


def test_collections_are_found_as_pgstac_finds_them(settings: Settings, admin: psycopg.Connection) -> None:
    """Outsiders' collections are searched by a query of ours, where it reads more than columns."""
    made = [collection(f"c{n}", title=f"Title {n % 3}", keywords=["odd" if n % 2 else "even"], gsd=n) for n in range(7)]
    loading.load_documents(settings, made, [])
    searches: list[dict[str, Any]] = [
        {"limit": limit, "offset": offset, "sortby": sortby, **more}
        for limit in (0, 3, 10)
        for offset in (0, 2, 6, 20)
        for sortby in ([], [{"field": "title", "direction": "desc"}, {"field": "id", "direction": "asc"}])
        for more in ({}, {"q": "odd"}, {"query": {"gsd": {"gt": 2}}}, {"fields": {"include": ["id", "title"]}})
    ]
    for search in searches:
        text = json.dumps(search)
        stock = one(admin, "SELECT port_collection_search(%s::jsonb)", text)
        ours = one(admin, "SELECT port_collection_search_in('pgstac.' || 'collections_asitems', %s::jsonb)", text)
        links = [{"rel": link["rel"], "body": link["body"]} for link in stock["links"]]
        assert ours == {**stock, "links": links}, search


def test_free_text_reads_no_hidden_property(
    settings: Settings, admin: psycopg.Connection, outside: psycopg.Connection
) -> None:
    named = item(properties={"datetime": "2024-05-01T00:00:00Z", "title": "glacier", "description": "river"})
    loading.load_documents(settings, [collection()], [named])
    audience.set_hidden(admin, hide=["description"])
    assert len(seen(outside, {"q": "glacier"})) == 1
    assert not seen(outside, {"q": "river"})
    assert not seen(outside, {"q": "river", "q_in": ["description"]})


def test_queryables_name_nothing_hidden(
    settings: Settings, admin: psycopg.Connection, outside: psycopg.Connection
) -> None:
    loading.load_documents(settings, [collection(), collection("secret")], [])
    audience.set_collections(admin, "secret", "internal")
    queryable(admin, "secret-only", ids=["secret"])
    queryable(admin, "shared")
    queryable(admin, "almagest:job")
    queryable(admin, "pointing", path=["assets", "x"])
    names = set(one(outside, "SELECT queryables(NULL)")["properties"])
    assert "shared" in names
    assert not names & {"secret-only", "almagest:job", "pointing"}
    assert one(outside, "SELECT queryables(ARRAY['secret'])") is None
    assert one(outside, "SELECT queryables(ARRAY['nothing'])") is None


def test_only_public_searches_that_name_nothing_hidden_exist_outside(
    admin: psycopg.Connection, outside: psycopg.Connection
) -> None:
    audience.set_collections(admin, "secret", "internal")

    def registered(**search: Any) -> str:
        identifier: str = one(admin, "SELECT register_search(%s::jsonb, NULL)", json.dumps(search))["id"]
        return identifier

    open_one, internal = registered(collections=["scenes"]), registered(collections=["others"])
    named, by_name = registered(collections=["scenes", "secret"]), registered(query={"almagest:job": {"eq": "1"}})
    for identifier in (open_one, named, by_name):
        assert audience.set_search(admin, identifier, "public")
    found = [one(outside, "SELECT registered_search(%s)", each) for each in (open_one, internal, named, by_name)]
    assert [each is not None for each in found] == [True, False, False, False]


# ---------------------------------------------------------------------------------------------------------------------
# The canary


def test_the_canary_does_not_wait_for_readers(settings: Settings, admin: psycopg.Connection) -> None:
    with database.connect(settings, "almagest_reader") as reader, reader.transaction():
        reader.execute("SELECT * FROM search_page('{}', NULL, false, 1)")
        admin.execute("SET lock_timeout = '2s'")
        assert not canary.run(admin)
    assert (
        one(
            admin,
            "SELECT count(*) FROM search_page(%s::jsonb, NULL, false, 1)",
            json.dumps({"collections": [CANARY]}),
        )
        == 0
    )


def test_the_canary_passes_and_leaves_nothing(settings: Settings, admin: psycopg.Connection) -> None:
    assert canary.run(admin) == []
    assert one(admin, "SELECT count(*) FROM search_page('{}', NULL, false, 10)") == 0
    assert one(admin, "SELECT is_internal(%s)", CANARY)
    assert one(admin, "SELECT count(*) FROM registered_search") == 0


#: Functions that hide nothing, and other ways to open a hole.
HOLES = {
    "collections": ("almagest.internal_collections(ids text[])", "SETOF text", "SELECT NULL::text WHERE false"),
    "hrefs": ("almagest.public_href(href text, policy almagest.audience_policy)", "text", "SELECT href"),
    "names": ("almagest.is_hidden_name(name text, hidden text[])", "boolean", "SELECT false"),
    "paths": ("almagest.is_public_path(keys text[], policy almagest.audience_policy)", "boolean", "SELECT true"),
    "aggregations": (
        "external.aggregate(search jsonb, asked jsonb)",
        "TABLE (place int, key text, frequency bigint, value jsonb)",
        "SELECT * FROM almagest.aggregate(search, asked)",
    ),
    "past": (
        "external.collection_document_at(of_id text, moment timestamptz)",
        "jsonb",
        "SELECT almagest.collection_document_at(of_id, moment)",
    ),
    "wrapper": ("external.collection_document(id text)", "jsonb", "SELECT almagest.collection_document(id)"),
}


@pytest.mark.parametrize("hole", [*HOLES, "grant"])
def test_the_canary_finds_a_hole(admin: psycopg.Connection, outside: psycopg.Connection, hole: str) -> None:
    assert one(outside, "SELECT canary_has_passed()")
    if hole == "grant":
        admin.execute("GRANT USAGE ON SCHEMA almagest TO almagest_external")
        admin.execute("GRANT SELECT ON almagest.exposed TO almagest_external")
    else:
        signature, returned, body = HOLES[hole]
        kind = "SECURITY DEFINER" if signature.startswith("external") else ""
        function = f"FUNCTION {signature} RETURNS {returned} LANGUAGE sql STABLE {kind} AS $${body}$$"
        admin.execute(f"CREATE OR REPLACE {function}".encode())
    assert canary.run(admin)
    assert not one(outside, "SELECT canary_has_passed()")


def test_other_functions_must_pass_anew(admin: psycopg.Connection, outside: psycopg.Connection) -> None:
    assert one(outside, "SELECT canary_has_passed()")
    admin.execute("UPDATE almagest.ledger SET sha256 = 'other' WHERE set_name = 'audience'")
    assert not one(outside, "SELECT canary_has_passed()")


@pytest.mark.parametrize("assets", [None, [1], "red", {}])
def test_assets_that_are_none_hide_nothing_and_break_nothing(
    settings: Settings, admin: psycopg.Connection, outside: psycopg.Connection, assets: Any
) -> None:
    """Stock writers take them; and an item without any is stored with a mark, where its collection has item_assets."""
    loading.load_documents(settings, [collection(item_assets={"red": {"title": "Red"}})], [item()])
    shown = []
    for hidden in ({}, {"almagest:job": "17"}):
        document = item(properties={"datetime": "2024-05-01T00:00:00Z", **hidden}, assets=assets)
        if assets is None:
            del document["assets"]
        with admin.transaction():
            admin.execute("SET LOCAL search_path = pgstac, public")
            admin.execute("SELECT upsert_item(%s::jsonb)", (json.dumps(document),))
        shown += seen(outside)
        states = outside.execute("SELECT valid_from FROM item_states('scenes', 'a')").fetchall()
        assert states
    assert shown[0] == shown[1]
    assert len(states) == 2 - (assets == {})


def test_public_collections_that_are_made_of_internal_ones_are_named(admin: psycopg.Connection) -> None:
    """By their links; stock writers take anything for these."""

    def add(identifier: str, *links: Any, everything: Any = None) -> None:
        document = {**collection(identifier), "links": list(links) if everything is None else everything}
        with admin.transaction():
            admin.execute("SET LOCAL search_path = pgstac, public")
            admin.execute("SELECT create_collection(%s::jsonb)", (json.dumps(document),))

    def derived(href: Any) -> dict[str, Any]:
        return {"rel": "derived_from", "href": href}

    here = f"{ORIGIN}/api/collections"
    admin.execute("UPDATE audience_policy SET origin = %s", (ORIGIN,))
    for name in ("secret", "sécret/1", "open"):
        add(name)
    audience.set_collections(admin, "*", "public")
    for name in ("secret", "sécret/1", "gone"):
        audience.set_collections(admin, name, "internal")
    add("a", derived(f"{here}/secret"), derived(f"{here}/open"))
    add("b", derived(f"{ORIGIN}/external/collections/s%C3%A9cret%2F1/"), derived("/api/collections/secret"))
    add("c", derived("https://elsewhere.org/api/collections/secret"), derived(f"{here}/secret/items/x"))
    add("d", {"rel": "related", "href": f"{here}/secret"})
    add("e", derived("http://℀.x/collections/secret"), derived("http://[x"), derived(5), derived(None), "x", None, 7)
    add("f", everything={"rel": "derived_from"})
    add("g", derived(f"{here}/gone"))
    assert audience.made_of_internal(admin) == {"a": ["secret"], "b": ["secret", "sécret/1"], "g": ["gone"]}
    audience.set_collections(admin, "a", "internal")
    assert "a" not in audience.made_of_internal(admin)
