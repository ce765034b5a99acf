"""What goes wrong below the tiler, in the words of our one tree of errors.

The libraries' messages carry paths, so none is passed on but those that speak of nothing but the request.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import structlog
from fastapi import FastAPI
from rasterio._err import CPLE_BaseError
from rasterio.errors import CRSError, RasterioIOError
from rio_tiler import errors as below
from starlette.requests import Request
from starlette.responses import Response

from almagest.core.errors import AlmagestError, BadRequestError, NotFoundError
from almagest.services.web import problem

log = structlog.get_logger(__name__)

#: One transparent pixel; a map stretches it over the tile.
BLANK_PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489"
    "0000000b4944415478da636000020000050001e9fadcd80000000049454e44ae426082"
)
_TILE_PATH = re.compile(r"/tiles/\w+/\d+/\d+/\d+(\.png)?$")


class UnreadableAssetError(NotFoundError):
    """The asset cannot be read as an image."""

    slug = "unreadable-asset"


class SourceUnavailableError(AlmagestError):
    """The server that holds the asset does not give it to us at the moment."""

    status = 502
    slug = "source-unavailable"


def _speaks_of_the_request(error: Exception) -> AlmagestError:
    return BadRequestError(str(error))


#: Most special first. What is not named is a bug of ours: 500, an id and no internals.
TRANSLATIONS: tuple[tuple[type[Exception], Callable[[Exception], AlmagestError]], ...] = (
    (below.TileOutsideBounds, lambda _: NotFoundError("The tile lies outside the data.")),
    (below.PointOutsideBounds, lambda _: NotFoundError("The point lies outside the data.")),
    (below.InvalidBounds, lambda _: NotFoundError("The box lies outside the data.")),
    (below.MissingAssets, lambda _: NotFoundError("This item has no asset that can be shown.")),
    (below.InvalidExpression, _speaks_of_the_request),
    (below.InvalidColorFormat, _speaks_of_the_request),
    (below.InvalidColorMapName, _speaks_of_the_request),
    (below.InvalidBufferSize, _speaks_of_the_request),
    (below.InvalidFormat, _speaks_of_the_request),
    (below.AssetAsBandError, _speaks_of_the_request),
    (below.InvalidBandName, lambda _: BadRequestError("There is no band of this name.")),
    (below.MissingBands, lambda _: BadRequestError("Name the bands.")),
    (below.MaxArraySizeError, lambda _: BadRequestError("This would be too large a picture. Ask for a smaller one.")),
    (below.RioTilerError, lambda _: BadRequestError("This request does not fit the data.")),
    (CRSError, lambda _: BadRequestError("The data cannot be brought to this coordinate reference system.")),
    (CPLE_BaseError, lambda _: BadRequestError("This request does not fit the data.")),
    (RasterioIOError, lambda _: UnreadableAssetError()),
)


def install(app: FastAPI) -> None:
    """Answers with problem documents; an empty tile where there is nothing to see is not a problem."""
    problem.install(app)
    answer_problem = app.exception_handlers[AlmagestError]

    async def answer(request: Request, error: Exception) -> Response:
        if isinstance(error, below.TileOutsideBounds) and wants_blank(request):
            return blank()
        if isinstance(error, below.NoAssetFoundError | below.EmptyMosaicError):
            return blank() if wants_blank(request) else Response(status_code=204)
        translated = next(translate for kind, translate in TRANSLATIONS if isinstance(error, kind))(error)
        if isinstance(error, RasterioIOError | CPLE_BaseError):
            log.warning("GDAL refused", reason=str(error))
        response: Response = await answer_problem(request, translated)  # type: ignore[misc]
        return response

    kinds: list[type[Exception]] = [below.NoAssetFoundError, below.EmptyMosaicError]
    for kind in kinds + [kind for kind, _ in TRANSLATIONS]:
        app.add_exception_handler(kind, answer)


def wants_blank(request: Request) -> bool:
    """Whether the client would rather have an empty tile than an error where there is nothing to see.

    A map asks for every tile in sight; a browser logs an error for each that it is refused.
    """
    asked = request.query_params.get("blank", "").lower() in {"true", "1", "yes"}
    return asked and _TILE_PATH.search(request.scope["path"]) is not None


def blank() -> Response:
    """An empty tile."""
    return Response(BLANK_PNG, media_type="image/png")
