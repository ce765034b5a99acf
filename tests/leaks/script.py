"""A script of writes as data. Replayed whole it makes one catalogue; replayed without what is hidden, the other one.

What is hidden is marked: a write as a whole, or a part of a document by `Hidden`. The rules say what is hidden, so they
are themselves in both catalogues: that a rule exists is no secret of the data.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from support import rasters

ORIGIN = "http://127.0.0.1:8080"
Document = dict[str, Any]

EVERYWHERE = (10.0, 50.0, 13.0, 52.0)
_HIDDEN_ASSETS = {"plan": {"href": "file:///srv/internal/plan.png"}}
PICTURES = {"near": (11.0, 51.0), "far": (11.2, 51.1), "lonely": (11.5, 51.4)}


@dataclass(frozen=True)
class Hidden:
    """A part of a document that the second catalogue never gets."""

    value: Any


@dataclass(frozen=True)
class Api:
    """A write by the STAC API."""

    method: Literal["POST", "PUT", "PATCH", "DELETE"]
    path: str
    body: Any = None
    hidden: bool = False


@dataclass(frozen=True)
class Load:
    """A write by stock pypgstac."""

    collections: tuple[Document, ...]
    items: tuple[Document, ...]
    hidden: bool = False


@dataclass(frozen=True)
class Forget:
    """Former versions are forgotten, but for so many of each; None: all."""

    collection: str
    versions: int | None = None
    hidden: bool = False


@dataclass(frozen=True)
class Expose:
    """An asset that outsiders may read."""

    collection: str
    item: str
    key: str
    hidden: bool = False


@dataclass(frozen=True)
class Register:
    """A search that gets an address."""

    search: Document
    public: bool
    hidden: bool = False


@dataclass(frozen=True)
class Queryable:
    """A row of pgSTAC's queryables, as an operator adds it by hand; no collections: it holds for all."""

    name: str
    collections: tuple[str, ...]
    path: tuple[str, ...] | None = None
    wrapper: str | None = None
    hidden: bool = False


@dataclass(frozen=True)
class Rule:
    """What an operator says of a collection that may not exist yet."""

    pattern: str
    visibility: Literal["public", "internal"]
    hidden: bool = False


Write = Forget | Api | Load | Expose | Register | Queryable | Rule


def revealed(value: Any, *, whole: bool) -> Any:
    """A document with its hidden parts, or without."""
    if isinstance(value, Hidden):
        return revealed(value.value, whole=whole)
    if isinstance(value, dict):
        return {k: revealed(v, whole=whole) for k, v in value.items() if whole or not isinstance(v, Hidden)}
    if isinstance(value, list | tuple):
        return [revealed(v, whole=whole) for v in value if whole or not isinstance(v, Hidden)]
    return value


@dataclass(frozen=True)
class Kind:
    """Of which kind the catalogues are.

    Attributes:
        strict: `keywords` are hidden too, and collections are internal unless a rule says not.
    """

    strict: bool = False

    @property
    def keywords(self) -> Any:
        return Hidden(["classified", "umbra"]) if self.strict else ["lake", "shore"]

    def inside(self, **members: Any) -> Document:
        """Hidden members of a visible property."""
        return {f"almagest:{name}": Hidden(value) for name, value in members.items()}


def script(folder: Path, kind: Kind) -> Iterator[Write]:
    """The writes in order."""
    for pattern in ("secret-*", "later-internal", "almagest-canary"):
        yield Rule(pattern, "internal")
    for pattern in ("open*", "pictures", "plainest", "bare*", "ended", "secret-*-told"):
        yield Rule(pattern, "public")
    # At first, for of what was before that outsiders cannot ask afterwards.
    for collection, versions in (("forgetful", 2), ("oblivious", None)):
        yield from _forgotten(collection, versions)
    yield from _open(kind)
    yield from _pictures(folder)
    yield from _internal(folder)
    yield from _searches()
    yield from _matchups()
    yield from _afterwards(kind)
    yield Forget("secret-mission", hidden=True)


def _open(kind: Kind) -> Iterator[Write]:
    yield Api("POST", "/collections", _collection("plainest", title="Plainest"))
    yield Api("POST", "/collections", _collection("bare"))
    yield Api("POST", "/collections", _collection("bare-maps", assets={}, summaries={}))
    yield Api("POST", "/collections", _collection("bare-born", assets=Hidden(_HIDDEN_ASSETS)))
    # Our own API refuses templates with an href; pgSTAC's loader does not.
    yield Load((_open_collection(kind, "/srv/quality", "department seven"),), ())
    # Values that pgSTAC indexes and shows as queryables, by rows that stand in one catalogue or in both.
    yield Queryable("grade", (), wrapper="to_float")
    yield Queryable("almagest:grade", (), wrapper="to_float", hidden=True)
    # That a row leads to something hidden is told by the refusal of its name; the row is a rule, not data.
    yield Queryable("shortcut", (), path=("properties", "almagest:grade"))
    yield Queryable("asset_href", (), path=("assets", "quality", "href"))
    for number in range(9):
        yield Api("POST", "/collections/open/items", _open_item(number, kind))
    loaded = tuple(_open_item(number, kind) for number in range(9, 14))
    yield Load((), loaded)
    for number in range(3):
        item = rasters.item(
            f"plain-{number}", "plainest", EVERYWHERE, {}, f"2023-0{number + 1}-01T00:00:00Z", grade=number
        )
        item["properties"]["empty"] = None
        yield Api("POST", "/collections/plainest/items", item)


def _open_collection(kind: Kind, shelf: str, owner: str) -> Document:
    return _collection(
        "open",
        title="Open scenes",
        keywords=kind.keywords,
        links=[
            {"rel": "license", "href": "https://example.org/license"},
            Hidden({"rel": "describedby", "href": "file:///srv/internal/manual.pdf"}),
            Hidden({"rel": "related", "href": f"{ORIGIN}/api/collections/secret-mission"}),
            {"rel": "related", "href": f"{ORIGIN}/external/collections/plainest"},
        ],
        assets={
            "thumbnail": {"href": "https://example.org/thumbnail.png", "type": "image/png"},
            "report": Hidden({"href": "file:///srv/internal/report.pdf", "title": "Report"}),
            "plan": {
                "href": "https://example.org/plan.pdf",
                "alternate": {
                    "mirror": {"href": "https://mirror.example.org/plan.pdf"},
                    "nas": Hidden({"href": "/nas/plan"}),
                },
            },
        },
        item_assets={
            "visual": {"title": "Visual", "type": rasters.COG, "roles": ["visual"]},
            "quality": {
                "title": "Quality",
                "type": rasters.COG,
                "roles": ["data"],
                "href": Hidden("file:///srv/quality"),
            },
            "raw": {"title": "Raw", "type": rasters.COG, "almagest:shelf": Hidden("B12"), "description": None},
            "shared": {"title": "Shared", "href": "https://example.org/shared.json", "roles": ["metadata"]},
        },
        summaries={"grade": {"minimum": 0, "maximum": 20}, "almagest:grade": Hidden([7, 9])},
        **{"almagest:owner": Hidden(owner)},
        operator_note=Hidden("move to tape"),
    )


def _open_item(number: int, kind: Kind) -> Document:
    west = 10.0 + number / 5
    item = rasters.item(
        f"scene-{number:02}",
        "open",
        (west, 50.0, west + 0.4, 50.4),
        {
            "visual": {
                "href": f"https://example.org/{number}.tif",
                "title": "Visual",
                "type": rasters.COG,
                "roles": ["visual"],
            },
            "open-data": {"href": f"s3://open-bucket/{number}.tif", "type": rasters.COG},
            "shared": {"title": "Shared", "href": "https://example.org/shared.json", "roles": ["metadata"]},
        },
        f"2024-01-{1 + (number * 7) % 28:02}T00:00:00Z",
        title=f"Scene of the {'lake' if number % 2 else 'shore'}",
        grade=(number * 5) % 11,
        platform="sat-a" if number % 3 else "sat-b",
        sun_angle=number * 1.5,
        processing={"software": {"tool": "1.2"}, **kind.inside(node=f"node-{number}")},
        keywords=kind.keywords,
    )
    properties, assets = item["properties"], item["assets"]
    properties["almagest:grade"] = Hidden((number * 3) % 7)
    properties["almagest:name"] = Hidden(f"umbra-{number}")
    properties["operator_note"] = Hidden(f"see ticket {1000 - number}")
    properties["cloud"] = None if number % 4 == 0 else number
    properties["many"] = [{"label": "one", **kind.inside(mark=True)}, {"label": "two"}]
    assets["quality"] = Hidden(
        {
            "title": "Quality",
            "type": rasters.COG,
            "roles": ["data"],
            "href": f"file:///srv/quality/{'abc'[number % 3]}{number}.tif",
        }
    )
    if number % 2:
        assets["raw"] = Hidden({"title": "Raw", "type": rasters.COG, "href": f"s3://vault/raw/{number}.tif"})
    assets["visual"]["alternate"] = {
        "nas": Hidden({"href": f"/nas/{number}.tif"}),
        "mirror": {"href": f"https://mirror.example.org/{number}.tif"},
        "own": Hidden({"href": f"s3://own-bucket/{number}.tif"}),
    }
    assets["open-data"]["alternate"] = Hidden({"tape": {"href": f"tape://{number}"}})
    item["links"] = [
        {"rel": "derived_from", "href": f"https://example.org/source/{number}"},
        Hidden({"rel": "derived_from", "href": f"file:///srv/source/{number}"}),
        Hidden({"rel": "related", "href": f"{ORIGIN}/api/collections/secret-mission/items/scene-{number:02}"}),
        Hidden({"rel": "related", "href": f"{ORIGIN}/external/collections/secret-mission/items/agent-1"}),
        {"rel": "related", "href": f"{ORIGIN}/external/collections/plainest/items/plain-1"},
        Hidden({"rel": "related", "href": f"/api/collections/secret-mission/items/scene-{number:02}"}),
        {"rel": "related", "href": "/api/collections/plainest/items/plain-1"},
    ]
    return item


def _pictures(folder: Path) -> Iterator[Write]:
    yield Api("POST", "/collections", _collection("pictures", title="Pictures"))
    for number, (name, corner) in enumerate(PICTURES.items()):
        item = _picture(folder, name, "pictures", corner, f"2024-03-0{number + 1}T00:00:00Z")
        item["assets"]["quality"] = Hidden(rasters.asset(folder / "hidden.tif"))
        item["assets"]["moved"] = Hidden(rasters.asset(folder / "visual.tif"))
        item["assets"]["object"] = {"href": "s3://own-bucket/visual.tif", "type": rasters.COG}
        item["assets"]["vault"] = Hidden({"href": "s3://own-bucket/vault.tif", "type": rasters.COG})
        yield Api("POST", "/collections/pictures/items", item)
        yield Expose("pictures", name, "visual")
        yield Expose("pictures", name, "object")
    # Exposed, but it names another place by now.
    yield Expose("pictures", "near", "moved", hidden=True)
    place = {"assets": {"moved": rasters.asset(folder / "hidden.tif")}}
    yield Api("PATCH", "/collections/pictures/items/near", place, hidden=True)


def _internal(folder: Path) -> Iterator[Write]:
    """A collection of which nothing may be seen, though its items come first in many orders and cover the others."""
    mission = _collection("secret-mission", title="Umbra", keywords=["lake", "umbra"], summaries={"agent": ["seven"]})
    yield Api("POST", "/collections", mission, hidden=True)
    yield Queryable("agent", ("secret-mission",), hidden=True)
    yield Queryable("sun_angle", ("secret-mission",), wrapper="to_text", hidden=True)
    for number in range(4):
        item = _picture(
            folder, f"scene-{number:02}", "secret-mission", (11.0, 51.0), f"2030-01-0{number + 1}T00:00:00Z"
        )
        item["properties"] |= {
            "grade": 3 + number,
            "agent": "seven",
            "sun_angle": "behind",
            "title": "Lake of the umbra",
        }
        yield Api("POST", "/collections/secret-mission/items", item, hidden=True)
        yield Expose("secret-mission", f"scene-{number:02}", "visual", hidden=True)
    told = _collection("secret-and-told", title="Told after all")
    yield Load((told,), ())
    first = rasters.item(
        "agent-1", "secret-mission", EVERYWHERE, {}, "1999-01-01T00:00:00Z", grade="not a number", platform=7
    )
    other = rasters.item("agent-2", "secret-mission", EVERYWHERE, {}, "2031-01-01T00:00:00Z", grade=None, cloud="yes")
    yield Load((), (first, other), hidden=True)
    yield Api("POST", "/collections", _collection("later-internal", title="Later"), hidden=True)
    yield Api("POST", "/collections/later-internal/items", {**other, "collection": "later-internal"}, hidden=True)
    deleted = _collection("secret-gone", title="Gone")
    yield Api("POST", "/collections", deleted, hidden=True)
    yield Api("POST", "/collections/secret-gone/items", {**other, "collection": "secret-gone"}, hidden=True)
    yield Api("DELETE", "/collections/secret-gone", hidden=True)
    yield Api("DELETE", "/collections/later-internal/items/agent-2", hidden=True)


def _searches() -> Iterator[Write]:
    newest = [{"field": "datetime", "direction": "desc"}]
    yield Register({"sortby": newest}, public=True)
    yield Register({"collections": ["pictures"], "sortby": newest}, public=True)
    yield Register({"collections": ["pictures"]}, public=False, hidden=True)
    yield Register({"collections": ["pictures", "secret-mission"], "sortby": newest}, public=True, hidden=True)
    named = {"op": "=", "args": [{"property": "almagest:name"}, "umbra-1"]}
    yield Register({"filter": named, "filter-lang": "cql2-json"}, public=True, hidden=True)


def _afterwards(kind: Kind) -> Iterator[Write]:
    """Changes of what is there: public ones, hidden ones, and what is deleted again."""
    yield Api("PATCH", "/collections/open/items/scene-03", {"properties": {"grade": 20}})
    yield Api("PATCH", "/collections/open/items/scene-04", {"properties": {"almagest:grade": 99}}, hidden=True)
    secret = {"assets": {"extra": {"href": "file:///srv/extra.tif"}}, "properties": {"operator_note": None}}
    yield Api("PATCH", "/collections/open/items/scene-05", secret, hidden=True)
    yield Load((_open_collection(kind, "/srv/elsewhere", "department eight"),), (), hidden=True)
    yield Api("DELETE", "/collections/open/items/scene-06")
    yield Api("POST", "/collections", _collection("ended", title="Ended"))
    yield Api("DELETE", "/collections/ended")
    # Of some items several versions; of what changes in between outsiders see nothing.
    for number, grade in enumerate((1, 2, 1)):
        yield Api("PATCH", "/collections/open/items/scene-04", {"properties": {"almagest:grade": number}}, hidden=True)
        yield Api("PATCH", "/collections/open/items/scene-04", {"properties": {"grade": grade}})
        yield Api(
            "PATCH", "/collections/open/items/scene-07", {"properties": {"operator_note": str(number)}}, hidden=True
        )
    yield Api("POST", "/collections/open/items", _open_item(6, kind))
    yield Api("POST", "/collections/plainest/items", rasters.item("brief", "plainest", EVERYWHERE, {}, grade=1))
    yield Api("PATCH", "/collections/plainest/items/brief", {"properties": {"almagest:why": "error"}}, hidden=True)
    yield Api("DELETE", "/collections/plainest/items/brief")
    yield Api("PATCH", "/collections/plainest", {"almagest:owner": "department nine"}, hidden=True)
    yield Api("PATCH", "/collections/plainest", {"title": "Plain"})
    # What is not there, or empty, comes to hold something hidden and nothing else.
    for collection in ("bare", "bare-maps"):
        filled = {"assets": _HIDDEN_ASSETS, "summaries": {"almagest:grade": [7]}}
        yield Api("PATCH", f"/collections/{collection}", filled, hidden=True)
    yield from _derived()
    late = _open_item(20, kind)
    yield Api("POST", "/collections/open/items", late)
    nothing = rasters.item("nothing-visible", "open", EVERYWHERE, {"quality": Hidden({"href": "file:///srv/q.tif"})})
    nothing["properties"]["almagest:only"] = Hidden(1)
    yield Load((), (nothing,))


def _matchups() -> Iterator[Write]:
    """Matchups of what all may see, of which only those inside know what is compared; and of what is hidden."""
    sensors = {"open": "sat-a", "plainest": "sat-b", "secret-mission": "umbra"}
    for pair in (("open", "plainest"), ("secret-mission", "plainest")):
        is_hidden = "secret-mission" in pair
        name = "-vs-".join(f"{collection}-{sensors[collection]}" for collection in pair)
        summaries = {"matchup:collections": list(pair), "matchup:platforms": [sensors[one] for one in pair]}
        yield Api("POST", "/collections", _collection(name, title=name, summaries=summaries), hidden=is_hidden)
        for number in range(3):
            compared = {"comparison:latest": Hidden({"href": f"file:///srv/compared/{number}.nc"})} if number else {}
            item = rasters.item(f"m-{number}", name, EVERYWHERE, compared, f"2024-0{number + 1}-01T00:00:00Z")
            yield Api("POST", f"/collections/{name}/items", item, hidden=is_hidden)


def _derived() -> Iterator[Write]:
    """Items that were made of others, some by way of what is hidden, and versions that only hidden changes part."""

    def made(collection: str, identifier: str, *sources: Any) -> Api:
        item = rasters.item(identifier, collection, EVERYWHERE, {}, grade=1)
        item["links"] = list(sources)
        hidden = collection in {"secret-mission", "later-internal"}
        return Api("POST", f"/collections/{collection}/items", item, hidden=hidden)

    def source(collection: str, identifier: str, api: str = "api", pin: Any = None) -> Document:
        href = f"{ORIGIN}/{api}/collections/{collection}/items/{identifier}"
        return {"rel": "derived_from", "href": href, **({"almagest:version": pin} if pin else {})}

    early = Hidden("20260101T000120.000000Z")
    for number in range(3):
        yield made("secret-mission", f"before-{number}", source("open", "scene-04"))
    yield made("plainest", "made-1", source("open", "scene-04", pin=early), source("open", "scene-03", "external"))
    yield made("secret-mission", "between", source("plainest", "made-1"), source("open", "scene-07"))
    # Hidden ones that come first in the order of ids.
    for number in range(2):
        yield made("later-internal", f"first-{number}", source("plainest", "made-1"), source("open", "scene-04"))
    yield made("plainest", "made-2", source("plainest", "made-1"), Hidden(source("secret-mission", "between")))
    yield made("plainest", "made-3", Hidden(source("secret-mission", "between")), source("plainest", "no-such-item"))
    yield Api("PATCH", "/collections/plainest/items/made-1", {"properties": {"almagest:why": "seven"}}, hidden=True)
    yield Api("PATCH", "/collections/plainest/items/made-2", {"properties": {"operator_note": "eight"}}, hidden=True)
    yield made("plainest", "made-4", source("plainest", "made-2"), source("plainest", "made-1", pin=early))
    yield made("secret-mission", "after", source("plainest", "made-4"))
    yield Api("PATCH", "/collections/plainest/items/made-1", {"properties": {"grade": 2}})
    yield Api("DELETE", "/collections/plainest/items/made-2")
    # The only one that was made of it is hidden.
    yield made("plainest", "alone")
    yield made("secret-mission", "of-alone", source("plainest", "alone"))
    # A circle.
    yield Api("PATCH", "/collections/plainest/items/made-1", {"links": [source("plainest", "made-4")]})


def _forgotten(collection: str, versions: int | None) -> Iterator[Write]:
    """Versions between which hidden things change, so that what is left begins with such a change."""
    item = f"/collections/{collection}/items/often"
    yield Api("POST", "/collections", _collection(collection))
    yield Api("POST", f"/collections/{collection}/items", rasters.item("often", collection, EVERYWHERE, {}, grade=0))
    for number in range(4):
        yield Api("PATCH", item, {"properties": {"grade": number + 1}})
        yield Api("PATCH", f"/collections/{collection}", {"title": f"Number {number}"})
        for hidden in range(2):
            yield Api("PATCH", item, {"properties": {"operator_note": f"{number} {hidden}"}}, hidden=True)
            yield Api("PATCH", f"/collections/{collection}", {"almagest:owner": f"{number} {hidden}"}, hidden=True)
    yield Forget(collection, versions)
    yield Api("PATCH", item, {"properties": {"operator_note": "late"}}, hidden=True)


def _collection(identifier: str, **more: Any) -> Document:
    return rasters.collection(identifier, **more)


def _picture(folder: Path, identifier: str, collection: str, corner: tuple[float, float], when: str) -> Document:
    west, north = corner
    file = folder / ("covering.tif" if collection == "secret-mission" else "visual.tif")
    return rasters.item(
        identifier,
        collection,
        (west, north - 0.32, west + 0.32, north),
        {"visual": rasters.asset(file)},
        when,
        grade=5,
    )


def files(folder: Path) -> None:
    """The rasters that assets name."""
    place: dict[str, Any] = {"crs": "EPSG:4326", "west": 11.0, "north": 51.0, "size": 0.005}
    rasters.write(folder / "visual.tif", rasters.gradient(3, 64), **place)
    rasters.write(folder / "hidden.tif", 255 - rasters.gradient(1, 64), **place)
    rasters.write(folder / "covering.tif", 128 + rasters.gradient(3, 64) // 4, **place)
