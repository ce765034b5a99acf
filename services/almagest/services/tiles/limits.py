"""What a request may ask for. Checked before any other dependency, because some of those already act on it."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Annotated

from fastapi import Query
from starlette.requests import Request

from almagest.core.errors import BadRequestError, NotFoundError, TooLargeError

#: PROJ and GDAL take a path, an address or a pipeline for a CRS as well, and would open what they are given.
_CRS = re.compile(r"(EPSG:\d{4,6}|OGC:CRS84|https?://www\.opengis\.net/def/crs/(EPSG/0/\d{4,6}|OGC/1\.3/CRS84))", re.I)
_CRS_PARAMETERS = ("crs", "coord_crs", "dst_crs")

_MAX_ZOOM = 30
_MAX_BUFFER_PX = 256
_MAX_PADDING_PX = 64
_MAX_COVER_SCALE = 10
_MAX_BINS = 1024
_MAX_ASSETS = 16
#: Of two numbers each. What becomes of them is made while nobody else is answered.
_MAX_POSITIONS = 5_000
#: Corners of boxes, in whatever unit their reference system has.
_BOUNDS = frozenset({"minx", "miny", "maxx", "maxy", "lon", "lat"})
_MAX_COORDINATE = 1e9


def limits(max_size_px: int) -> Callable[..., None]:
    """A dependency that refuses what would cost too much, or reach where it must not."""
    largest = {
        "tilesize": max_size_px,
        "max_size": max_size_px,
        "width": max_size_px,
        "height": max_size_px,
        "buffer": _MAX_BUFFER_PX,
        "padding": _MAX_PADDING_PX,
        "cover_scale": _MAX_COVER_SCALE,
    }

    def check(
        request: Request,
        _: Annotated[
            bool, Query(alias="blank", description="Answer a tile where there is nothing to see with an empty picture.")
        ] = False,
    ) -> None:
        given = [*request.query_params.multi_items(), *((k, str(v)) for k, v in request.path_params.items())]
        for name, value in given:
            if name in largest:
                _check_size(name, value, largest[name])
            elif name in _CRS_PARAMETERS and not _CRS.fullmatch(value):
                raise BadRequestError(f"{name}: give the coordinate reference system as `EPSG:4326` or `OGC:CRS84`.")
            elif name == "histogram_bins" and not _are_bins(value):
                raise BadRequestError(f"histogram_bins: give 1 to {_MAX_BINS} bins, or their rising edges.")
            elif name == "histogram_range" and not _is_rising(value):
                raise BadRequestError("histogram_range: give two numbers, the smaller first.")
            elif name == "p" and not (value.isdecimal() and int(value) <= 100):
                raise BadRequestError("p: a percentile is a whole number from 0 to 100.")
            elif name in _BOUNDS:
                _check_bound(name, value)
        names = [name for name, _ in given]
        if ("width" in names) != ("height" in names):
            raise BadRequestError("Give width and height together, or max_size alone.")
        if names.count("assets") > _MAX_ASSETS:
            raise BadRequestError(f"assets: at most {_MAX_ASSETS} at once.")
        if "z" in request.path_params:
            _check_tile(request)

    return check


async def few_positions(request: Request) -> None:
    """Refuses a body of too many values, before models are made of them, or a fault is found in each.

    Two values have a comma between them, whatever they are meant to be: no need to look into the body.

    Raises:
        TooLargeError: the body has more.
    """
    if (await request.body()).count(b",") > 2 * _MAX_POSITIONS:
        raise TooLargeError(
            f"A body has at most {2 * _MAX_POSITIONS:,} values here, a shape {_MAX_POSITIONS:,} positions. Simplify it."
        )


def _check_bound(name: str, value: str) -> None:
    try:
        number = float(value)
    except ValueError:
        return  # said better by the parameter's own type
    if not abs(number) <= _MAX_COORDINATE:
        raise BadRequestError(f"{name}: {value} is not a place.")


def _check_size(name: str, value: str, largest: int) -> None:
    try:
        size = float(value)
    except ValueError:
        return  # said better by the parameter's own type
    if not 0 < size <= largest:
        raise BadRequestError(f"{name}: {value} is not between 1 and {largest}.")


def _are_bins(value: str) -> bool:
    edges = value.split(",")
    if len(edges) > 1:
        return len(edges) <= _MAX_BINS and _is_rising(value)
    return value.isdecimal() and 1 <= int(value) <= _MAX_BINS


def _is_rising(value: str) -> bool:
    try:
        numbers = [float(part) for part in value.split(",")]
    except ValueError:
        return False
    return len(numbers) > 1 and all(low < high for low, high in pairwise(numbers))


def _check_tile(request: Request) -> None:
    try:
        z, x, y = (int(request.path_params[name]) for name in ("z", "x", "y"))
    except ValueError:
        return
    # No grid that is offered has more than two tiles in the first row of its first zoom.
    if not 0 <= z <= _MAX_ZOOM or not 0 <= x < 2 << z or not 0 <= y < 2 << z:
        raise NotFoundError("There is no such tile.")
