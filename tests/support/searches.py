"""Item searches of every kind over the mixture, made by hypothesis, and how they are written in an address."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st
from shapely.geometry import shape

from support.mixture import COLLECTIONS, INSTANTS, NAMES, PLATFORMS, WORDS
from support.shapes import box, polygon, several

Search = dict[str, Any]

_TIMES = [
    *INSTANTS[::2],
    "2020-06-01T00:00:00Z",
    "2023-03-01T01:30:00+01:00",
    "2022-05-05T05:05:05Z",
    "2030-01-01T00:00:00Z",
]
_WEST, _SOUTH = [-180, -170, -45.5, 0, 1, 10, 100, 170], [-90, -80, -10, 0, 0.5, 60]
_NUMBERS = [0, 0.5, 1e-7, 1, 2, 10, 33.25, 100, -5]
_SORTABLE = [
    "id", "collection", "datetime", "properties.datetime", "start_datetime", "end_datetime", "cloud",
    "properties.cloud", "level", "platform", "properties.platform", "gsd", "made", "grade", "deep.er", "deep", "tags",
    "title", "geometry", "nothing",
]  # fmt: skip
_FIELDS = [
    "id", "collection", "geometry", "bbox", "assets", "links", "properties", "properties.datetime", "properties.cloud",
    "properties.deep.er", "assets.data.href", "nothing",
]  # fmt: skip
_TEXT = ["=", "<>", "<", ">="]
_ORDER = [*_TEXT, "<=", ">"]
_TEMPORAL = ["t_after", "t_before", "t_intersects", "t_disjoint", "t_equals", "t_during"]
_SPATIAL = ["s_intersects", "s_within", "s_disjoint", "s_equals", "s_touches"]


def _named(name: str) -> dict[str, str]:
    return {"property": name}


def _one(values: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from([*values])


def _many(values: Any, most: int = 4) -> st.SearchStrategy[list[Any]]:
    return st.lists(_one(values), min_size=1, max_size=most, unique_by=str)


@st.composite
def _corners(draw: st.DrawFn) -> tuple[float, float, float, float]:
    """Of a box that does not cross the antimeridian."""
    west, south = draw(_one(_WEST)), draw(_one(_SOUTH))
    return west, south, min(180, west + draw(_one([5, 30, 200]))), min(90, south + draw(_one([5, 30, 120])))


@st.composite
def _bbox(draw: st.DrawFn) -> list[float]:
    west, south, east, north = draw(_corners())
    if draw(st.booleans()):  # across the antimeridian
        west, east = draw(_one([60, 165, 175])), draw(_one([-175, -165, 20]))
    return draw(_one([[west, south, east, north], [west, south, -1, east, north, 9000]]))


_BOXES = _corners().map(lambda corners: polygon(box(*corners)))
_GEOMETRIES = st.one_of(
    _BOXES,
    # No overlapping ones: whether GEOS refuses them depends on which items it compares them with.
    st.builds(several, _BOXES, _BOXES).filter(lambda geometry: shape(geometry).is_valid),
    st.builds(lambda x, y: {"type": "Point", "coordinates": [x, y]}, _one(_WEST), _one(_SOUTH)),
    _corners().map(lambda c: {"type": "LineString", "coordinates": [[c[0], c[1]], [c[2], c[3]]]}),
)


@st.composite
def _interval(draw: st.DrawFn) -> list[str]:
    start, end = sorted(draw(st.lists(_one(INSTANTS), min_size=2, max_size=2, unique=True)))
    return draw(_one([[start, end], [start, end], ["..", end], [start, ".."]]))


_DATETIMES = _one(_TIMES) | _interval().map("/".join)


def _condition(op: Any, *args: Any) -> st.SearchStrategy[Search]:
    return st.builds(lambda op, *args: {"op": op, "args": [*args]}, op, *args)


_NUMERIC, _TEXTUAL = (
    _one(["cloud", "level", "gsd", "grade", "properties.cloud"]),
    _one(["platform", "title", "deep.er"]),
)
_ANY = _one(["cloud", "level", "gsd", "platform", "properties.platform", "tags", "deep.er", "nothing", "made"])
_TIMESTAMPS = _one(_TIMES).map(lambda time: {"timestamp": time})
_VALUES = _one([*PLATFORMS, *WORDS, "one"])
_PATTERNS = _one(["S2%", "%e%", "_", "100\\%", "it''%", "%\\\\%", "É", "", "%"])
_LEAVES = st.one_of(
    _condition(_one(_ORDER), _NUMERIC.map(_named), _one(_NUMBERS)),
    _condition(_one(_TEXT), _TEXTUAL.map(_named), _VALUES),
    _condition(_one(_ORDER), _one([*map(_named, ("datetime", "end_datetime", "made"))]), _TIMESTAMPS),
    _condition(_one(["=", "<>"]), st.just(_named("id")), _one(NAMES)),
    _condition(st.just("="), st.just(_named("collection")), _one(COLLECTIONS)),
    _condition(st.just("between"), _NUMERIC.map(_named), _one([0, 1, 5]), _one([10, 20, 50])),
    _condition(st.just("in"), _NUMERIC.map(_named), _many(_NUMBERS)),
    _condition(st.just("in"), _TEXTUAL.map(_named), _many([*PLATFORMS, "one"])),
    _condition(st.just("in"), st.just(_named("id")), _many(NAMES)),
    _condition(st.just("like"), _TEXTUAL.map(_named), _PATTERNS),
    _condition(st.just("like"), st.just(_named("id")), _PATTERNS),
    _condition(st.just("isNull"), _ANY.map(_named)),
    _condition(_one(_SPATIAL), st.just(_named("geometry")), _GEOMETRIES),
    _condition(_one(_TEMPORAL), _one([*map(_named, ("datetime", "made"))]), _TIMESTAMPS),
    _condition(_one(_TEMPORAL), st.just(_named("datetime")), _interval().map(lambda ends: {"interval": ends})),
    _condition(
        st.just("t_intersects"),
        st.just({"interval": [_named("start_datetime"), _named("end_datetime")]}),
        _interval().map(lambda ends: {"interval": ends}),
    ),
)
FILTERS = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        st.builds(
            lambda op, args: {"op": op, "args": args}, _one(["and", "or"]), st.lists(inner, min_size=2, max_size=3)
        ),
        _condition(st.just("not"), inner),
    ),
    max_leaves=5,
)

_COMPARED = st.one_of(
    st.dictionaries(_one(["eq", "neq", "lt", "lte", "gt", "gte"]), _one(_NUMBERS), min_size=1, max_size=2),
)
_QUERIES = st.fixed_dictionaries(
    {},
    optional={
        "cloud": _COMPARED,
        "gsd": _COMPARED,
        "platform": st.dictionaries(_one(["eq", "neq", "lt"]), _one(PLATFORMS), min_size=1, max_size=1),
    },
).filter(bool)

_SORTS = st.lists(
    st.fixed_dictionaries({"field": _one(_SORTABLE), "direction": _one(["asc", "desc"])}),
    min_size=1, max_size=3, unique_by=lambda key: key["field"],
)  # fmt: skip

FIELDS = st.fixed_dictionaries(
    {}, optional={"include": _many(_FIELDS, most=3), "exclude": _many(_FIELDS, most=3)}
).filter(bool)


@st.composite
def searches(draw: st.DrawFn) -> Search:
    """One that can be run, of one to five members and ``limit``."""
    members: dict[str, st.SearchStrategy[Any]] = {
        "place": st.builds(lambda bbox: ("bbox", bbox), _bbox()) | _GEOMETRIES.map(lambda shape: ("intersects", shape)),
        "datetime": _DATETIMES.map(lambda value: ("datetime", value)),
        "ids": st.lists(_one([*NAMES, "item_30", "nobody"]), min_size=1, max_size=8).map(lambda ids: ("ids", ids)),
        "collections": st.lists(_one([*COLLECTIONS, *COLLECTIONS, "none"]), min_size=1, max_size=3).map(
            lambda names: ("collections", names)
        ),
        "condition": FILTERS.map(lambda condition: ("filter", condition))
        | _QUERIES.map(lambda query: ("query", query)),
        "sortby": _SORTS.map(lambda keys: ("sortby", keys)),
        "fields": FIELDS.map(lambda fields: ("fields", fields)),
        "q": _many(WORDS, most=2).map(lambda words: ("q", words)),
    }
    # An order is in most of them, and what leaves few items in fewer.
    wanted = draw(
        st.sets(_one(["place", "datetime", "ids", "collections", "condition", "condition", "fields", "q"]), max_size=3)
    )
    if draw(_one([True, True, False])):
        wanted.add("sortby")
    search = dict(draw(members[name]) for name in members if name in wanted)
    if "filter" in search:
        search["filter-lang"] = "cql2-json"
    return {**search, "limit": draw(st.integers(1, 50))}


def as_parameters(search: Mapping[str, Any], *, text: bool) -> dict[str, str]:
    """The same search in an address. text: its filter as CQL2 text."""
    parameters = {}
    for name, value in search.items():
        match name:
            case "ids" | "collections" | "bbox" | "q":
                parameters[name] = ",".join(map(str, value))
            case "sortby":
                parameters[name] = ",".join(
                    ("-" if key["direction"] == "desc" else "+") + key["field"] for key in value
                )
            case "fields":
                excluded = [f"-{name}" for name in value.get("exclude", ())]
                parameters[name] = ",".join([*value.get("include", ()), *excluded])
            case "filter":
                parameters[name] = as_text(value) if text else json.dumps(value)
            case "filter-lang":
                parameters[name] = "cql2-text" if text else "cql2-json"
            case "datetime" | "limit" | "as-of":
                parameters[name] = str(value)
            case _:
                parameters[name] = json.dumps(value)
    return parameters


def as_text(part: Any) -> str:
    """A filter of those above as CQL2 text."""
    match part:
        case {"op": ("and" | "or") as op, "args": args}:
            return "(" + f" {op.upper()} ".join(map(as_text, args)) + ")"
        case {"op": "not", "args": [condition]}:
            return f"NOT ({as_text(condition)})"
        case {"op": "between", "args": [value, low, high]}:
            return f"{as_text(value)} BETWEEN {as_text(low)} AND {as_text(high)}"
        case {"op": "in", "args": [value, listed]}:
            return f"{as_text(value)} IN ({', '.join(map(as_text, listed))})"
        case {"op": "isNull", "args": [value]}:
            return f"{as_text(value)} IS NULL"
        case {"op": op, "args": [left, right]}:
            if "_" in op:
                return f"{op.upper()}({as_text(left)}, {as_text(right)})"
            return f"{as_text(left)} {op.upper()} {as_text(right)}"
        case {"property": name}:
            return f'"{name}"'
        case {"timestamp": time}:
            return f"TIMESTAMP('{time}')"
        case {"interval": ends}:
            return f"INTERVAL({', '.join(end['property'] if isinstance(end, dict) else repr(end) for end in ends)})"
        case {"type": str()}:
            return _wkt(part)
        case str():
            return "'" + part.replace("'", "''") + "'"
        case _:
            return repr(part)


def _wkt(geometry: Mapping[str, Any]) -> str:
    def nested(value: Any) -> str:
        if isinstance(value[0], list):
            return "(" + ", ".join(map(nested, value)) + ")"
        return " ".join(map(str, value))

    inner = nested(geometry["coordinates"])
    return geometry["type"].upper() + (f"({inner})" if geometry["type"] == "Point" else inner)
