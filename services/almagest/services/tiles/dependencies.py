"""How a request wants things to be shown, completed by how they are shown by default."""

# Annotations are evaluated where they stand: FastAPI could not find the local `path` by its name.

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Path, Query
from rio_tiler.errors import NoAssetFoundError
from rio_tiler.types import AssetType, AssetWithOptions, ColorMapType
from starlette.requests import Request
from titiler.core.dependencies import (
    AssetsExprParams,
    AssetsParams,
    ColorMapParams,
    DatasetParams,
    DefaultDependency,
    ImageRenderingParams,
)

from almagest.catalogue.rendering import Render
from almagest.catalogue.rendering.render import Range
from almagest.core.errors import AlmagestError, BadRequestError, NotFoundError
from almagest.services.tiles import stretch
from almagest.services.tiles.caching import revalidate
from almagest.services.tiles.expressions import checked
from almagest.services.tiles.filters import conditions
from almagest.services.tiles.sources import ItemSource, Mosaic, Source, Tiler

CollectionId = Annotated[str, Path(description="Id of a collection.")]
Names = Annotated[
    list[str] | None,
    Query(
        alias="assets",
        description="Keys of assets, each with its bands if not all: `image`, `image|bidx=3,2,1`. "
        "Without any, what is shown by default.",
    ),
]


def tiler(request: Request) -> Tiler:
    """The tiler of this app."""
    found: Tiler = request.app.state.tiler
    return found


def item_source(
    request: Request, collection_id: CollectionId, item_id: Annotated[str, Path(description="Id of an item.")]
) -> ItemSource:
    """The item in the path.

    Raises:
        NotModified: the client has this answer already.
    """
    item = tiler(request).item(collection_id, item_id)
    if request.method == "GET":
        revalidate(request, item)
    return item


def collection_source(
    request: Request, collection_id: CollectionId, searched: Annotated[dict[str, Any], Depends(conditions)]
) -> Mosaic:
    """The collection in the path, as far as it meets the conditions in the query."""
    return tiler(request).collection(collection_id, searched)


def search_source(
    request: Request, search_id: Annotated[str, Path(description="Id of a registered search.", max_length=64)]
) -> Mosaic:
    """The registered search in the path."""
    return tiler(request).search(search_id)[0]


@dataclass
class MosaicParams(DefaultDependency):
    """How the items of a mosaic are chosen."""

    items_limit: Annotated[int | None, Query(ge=1, description="Items to read at most.")] = None
    exitwhenfull: Annotated[bool | None, Query(description="Stop where everything is covered. Defaults to true.")] = (
        None
    )
    skipcovered: Annotated[bool | None, Query(description="Leave out what cannot be seen. Defaults to true.")] = None


@dataclass
class PictureParams(ImageRenderingParams):
    """How pixels become a picture.

    Attributes:
        stretch: finds out what to show as black and white; asked for what is no picture yet.
    """

    stretch: Annotated[Callable[[], list[Range]] | None, Depends(lambda: None)] = None


@dataclass(frozen=True)
class Showing:
    """Dependencies of the endpoints below one path; they share what they find out about it."""

    layer: Callable[..., AssetsExprParams]
    assets: Callable[..., AssetsParams]
    dataset: Callable[..., DatasetParams]
    colormap: Callable[..., ColorMapType | None]
    picture: Callable[..., PictureParams]


def showing(path: Callable[..., Source]) -> Showing:
    """The dependencies for sources that ``path`` finds."""

    def by_default(source: Annotated[Source, Depends(path)], names: Names = None) -> Render | None:
        """How the source is shown by default; None where the request names assets."""
        if names:
            return None
        render = source.default()
        if render is None:
            if source.example() is None:
                raise NoAssetFoundError
            raise NotFoundError("Nothing here can be shown: no asset is an image that may be read.")
        return render

    ByDefault = Annotated[Render | None, Depends(by_default)]  # noqa: N806

    def layer(
        default: ByDefault,
        names: Names = None,
        expression: Annotated[str | None, Query(description="Band maths: `(b2-b1)/(b2+b1)`.")] = None,
        asset_as_band: Annotated[bool | None, Query(description="Take each asset as one band.")] = None,
    ) -> AssetsExprParams:
        if default is not None:
            names, expression = list(default.assets), expression or default.expression
        return AssetsExprParams(
            assets=parse_assets(names or []),  # type: ignore[arg-type]
            expression=checked(expression) if expression else None,
            asset_as_band=asset_as_band,
        )

    def assets(source: Annotated[Source, Depends(path)], names: Names = None) -> AssetsParams:
        example = source.example()
        chosen = names or (list(example.assets) if example else [])
        if not chosen:
            raise NotFoundError("Nothing here can be shown: no asset is an image that may be read.")
        return AssetsParams(assets=parse_assets(chosen))  # type: ignore[arg-type]

    def dataset(default: ByDefault, given: Annotated[DatasetParams, Depends()]) -> DatasetParams:
        if default is not None:
            if given.nodata is None and default.nodata is not None:
                given.nodata = float(default.nodata)
            given.resampling_method = given.resampling_method or default.resampling  # type: ignore[assignment]
        return given

    def colormap(
        default: ByDefault,
        colormap_name: Annotated[str | None, Query(description="Name of a colour map.")] = None,
        colormap: Annotated[str | None, Query(description="A colour map of one's own, as JSON.")] = None,
    ) -> ColorMapType | None:
        if default is not None and not colormap_name and not colormap:
            colormap_name, colormap = default.colormap_name, default.colormap
        return parse_colormap(colormap_name, colormap)

    def picture(
        request: Request,
        source: Annotated[Source, Depends(path)],
        default: ByDefault,
        chosen: Annotated[AssetsExprParams, Depends(layer)],
        given: Annotated[PictureParams, Depends()],
    ) -> PictureParams:
        if request.query_params.get("algorithm"):
            return given  # what comes out of one has nothing to do with the values that went in
        if default is not None:
            given.color_formula = given.color_formula or default.color_formula
            given.rescale = given.rescale or [*default.rescale] or None  # type: ignore[list-item]
        classes = "colormap" in request.query_params or (default is not None and default.colormap is not None)
        if not given.rescale and not classes:
            given.stretch = lambda: stretch.ranges(example, chosen) if (example := source.example()) else []
        return given

    return Showing(layer, assets, dataset, colormap, picture)


def parse_assets(names: list[str]) -> list[AssetType]:
    """``image|bidx=3,2,1`` as rio-tiler takes it.

    Raises:
        BadRequestError: an option is unknown or malformed.
    """
    return [_parse_asset(name) for name in names]


def _parse_asset(text: str) -> AssetType:
    name, *options = text.split("|")
    if not options:
        return name
    parsed = AssetWithOptions(name=name)
    for option in options:
        key, _, value = option.partition("=")
        match key:
            case "bidx" if all(part.isdecimal() for part in value.split(",")):
                parsed["indexes"] = [int(part) for part in value.split(",")]
            case "expression" if value:
                parsed["expression"] = checked(value)
            case "bands" if value:
                parsed["bands"] = value.split(",")
            case _:
                raise BadRequestError(
                    f"assets: {option!r} is none of bidx=1,2,3, bands=red,green and expression=b1/b2."
                )
    return parsed


def parse_colormap(name: str | None, custom: str | None) -> ColorMapType | None:
    """The colour map asked for.

    Raises:
        BadRequestError: there is none of this name, or it is malformed.
    """
    try:
        found: ColorMapType | None = ColorMapParams(colormap_name=name, colormap=custom)
    except AlmagestError:
        raise
    except Exception as error:  # titiler's parser lets through whatever a malformed one leads to
        raise BadRequestError("The colour map is unknown or malformed: see /colorMaps.") from error
    return found
