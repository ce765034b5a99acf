"""How much one search may ask for. Checked on what came, before anything is made of it that takes long."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from almagest.core.errors import BadRequestError

MAX_FIELDS = 100
MAX_SORT_KEYS = 16
MAX_COLLECTIONS = 1_000
MAX_IDS = 10_000
#: Of a place. A country's border has some thousand.
MAX_POSITIONS = 10_000
#: Names, operators, lists and values of a filter or query. So many cost a second before a single row is read.
MAX_PARTS = 10_000
MAX_OPERATORS = 200
#: The one relation that PostGIS finds out fast whatever a geometry looks like.
_INTERSECTS = "s_intersects"


def check_search(search: Mapping[str, Any]) -> None:
    """Refuses what costs much by itself, and lists whose cost grows with every row of the page.

    Args:
        search: the body of a search, as it came; what is malformed is left for others to refuse.

    Raises:
        BadRequestError: says what there is too much of.
    """
    for name in ("filter", "query"):
        if _are_more(_parts(search.get(name)), MAX_PARTS):
            raise BadRequestError(f"{name}: at most {MAX_PARTS:,} names, operators and values at once.")
    # Each is asked of every item; a list of values after `in` is one.
    if sum(isinstance(part, dict) and "op" in part for part in _parts(search.get("filter"))) > MAX_OPERATORS:
        raise BadRequestError(f"filter: at most {MAX_OPERATORS} operators at once; `in` takes a list of values.")
    fields = search.get("fields")
    if isinstance(fields, dict) and sum(_length(fields.get(name)) for name in ("include", "exclude")) > MAX_FIELDS:
        raise BadRequestError(f"fields: at most {MAX_FIELDS} at once.")
    for name, most in (("sortby", MAX_SORT_KEYS), ("collections", MAX_COLLECTIONS), ("ids", MAX_IDS)):
        if _length(search.get(name)) > most:
            raise BadRequestError(f"{name}: at most {most:,} at once.")
    _check_place(search.get("intersects"))
    # After what counts, for it looks at everything.
    for name in ("filter", "query", "fields", "sortby", "intersects"):
        # It would stand in the links of the page, where no address may stand that is not ours to give.
        if any(isinstance(part, dict) and isinstance(part.get("href"), str) for part in _parts(search.get(name))):
            raise BadRequestError(f"{name}: `href` is no member of a search.")
    for operator, geometry in _operands(search.get("filter")):
        if operator != _INTERSECTS and not _is_simple(geometry):
            raise BadRequestError(
                f"filter: the geometry of `{operator}` crosses itself; only `{_INTERSECTS}` takes such a one."
            )


def _length(value: Any) -> int:
    return len(value) if isinstance(value, list | tuple | set) else 0


def _are_more(values: Iterator[Any], most: int) -> bool:
    return any(number == most for number, _ in enumerate(values))


def _check_place(geometry: Any) -> None:
    """Refuses too many positions; and what is none, for of all that is wrong in it its model would make a long list."""
    positions = others = 0
    for part in _parts(geometry):
        if not isinstance(part, list):
            continue
        if all(isinstance(value, list | dict) for value in part):
            others += 1
        elif len(part) <= 6 and all(isinstance(value, int | float) for value in part):  # six has a bbox with heights
            positions += 1
        else:
            raise BadRequestError("intersects: a position is a list of two or three numbers.")
        if max(positions, others) > MAX_POSITIONS:
            raise BadRequestError(f"intersects: at most {MAX_POSITIONS:,} positions.")


def _parts(value: Any) -> Iterator[Any]:
    """A value and all that it holds."""
    waiting = [value]
    while waiting:
        part = waiting.pop()
        yield part
        if isinstance(part, dict | list):
            waiting.extend(part.values() if isinstance(part, dict) else part)


def _operands(expression: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The geometries of a filter, and what is asked of each. pgSTAC reads older CQL too, where operators are keys."""
    for part in _parts(expression):
        if isinstance(part, dict):
            named = {str(part["op"]): part.get("args")} if "op" in part else part
            for operator, operands in named.items():
                for operand in operands if isinstance(operands, list) else ():
                    if isinstance(operand, dict) and "coordinates" in operand:
                        yield operator, operand


def _is_simple(geometry: Mapping[str, Any]) -> bool:
    """Whether a geometry does not cross itself. Of one that does, 600 positions keep GEOS busy for a second an item."""
    import shapely

    try:
        shape = shapely.from_geojson(orjson.dumps(geometry))
    except (shapely.errors.ShapelyError, orjson.JSONEncodeError):
        return True  # it is none, which the database says
    return bool(shape.is_simple and shape.is_valid)
