"""Conditions in the query of a collection's mosaic, as a STAC item search."""

import math
import re
from typing import Annotated, Any, Literal

from fastapi import Query

from almagest.catalogue.filters import parse
from almagest.core.errors import BadRequestError

_SORT_KEY = re.compile(r"\s*(?P<sign>[+-]?)(?P<name>[\w:.-]+)\s*")


def conditions(
    ids: Annotated[str | None, Query(description="Ids of items, separated by commas.")] = None,
    bbox: Annotated[str | None, Query(description="west,south,east,north in degrees.")] = None,
    datetime: Annotated[str | None, Query(description="A time or an interval, as in an item search.")] = None,
    sortby: Annotated[
        str | None, Query(description="Properties, + or - in front; what comes first lies on top.")
    ] = None,
    filter_expression: Annotated[str | None, Query(alias="filter", description="CQL2.")] = None,
    filter_language: Annotated[Literal["cql2-text", "cql2-json"], Query(alias="filter-lang")] = "cql2-text",
) -> dict[str, Any]:
    """The search that a query describes, without its collections.

    Raises:
        BadRequestError: a parameter is malformed.
    """
    search: dict[str, Any] = {}
    if ids:
        search["ids"] = ids.split(",")
    if bbox:
        search["bbox"] = _numbers(bbox)
    if datetime:
        search["datetime"] = datetime
    if sortby:
        search["sortby"] = [_sort_key(key) for key in sortby.split(",")]
    if filter_expression:
        search["filter"] = parse(filter_expression, filter_language)
        search["filter-lang"] = "cql2-json"
    return search


def _numbers(bbox: str) -> list[float]:
    try:
        numbers = [float(part) for part in bbox.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in {4, 6} or not all(map(math.isfinite, numbers)):
        raise BadRequestError("bbox: give four numbers, west,south,east,north, in degrees.")
    return numbers


def _sort_key(key: str) -> dict[str, str]:
    match = _SORT_KEY.fullmatch(key)
    if match is None:
        raise BadRequestError(f"sortby: {key!r} is not the name of a property.")
    return {"field": match["name"], "direction": "desc" if match["sign"] == "-" else "asc"}
