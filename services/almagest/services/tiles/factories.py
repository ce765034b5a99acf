"""titiler's endpoints, with our ways to find things, read them and show them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import morecantile
from attrs import define
from fastapi import APIRouter
from morecantile.defaults import TileMatrixSets
from titiler.core.dependencies import DefaultDependency
from titiler.core.factory import AlgorithmFactory, ColorMapFactory, MultiBaseTilerFactory, TMSFactory
from titiler.pgstac.factory import MosaicTilerFactory

from almagest.services.tiles import algorithms, pictures
from almagest.services.tiles import dependencies as ours
from almagest.services.tiles.backend import MosaicBackend
from almagest.services.tiles.reader import ItemReader

#: Grids of the whole world.
GRIDS = TileMatrixSets(
    {
        name: morecantile.tms.get(name)
        for name in ("WebMercatorQuad", "WGS1984Quad", "WorldCRS84Quad", "WorldMercatorWGS84Quad")
    }
)


@define(kw_only=True)
class MosaicFactory(MosaicTilerFactory):
    """Mosaics, without the endpoints that list the items under a tile with their hrefs."""

    def register_routes(self) -> None:
        """The endpoints that are offered."""
        self.tilesets()  # type: ignore[no-untyped-call]
        self.tile()  # type: ignore[no-untyped-call]
        self.tilejson()  # type: ignore[no-untyped-call]
        self.point()  # type: ignore[no-untyped-call]
        self.part()  # type: ignore[no-untyped-call]
        self.statistics()  # type: ignore[no-untyped-call]


def routers(gdal_options: dict[str, str]) -> list[tuple[str, str, APIRouter]]:
    """Prefix, tag and router of everything that is offered."""
    # Where the bands' number or type does not suit a picture, ours decides; see pictures.
    common: dict[str, Any] = {
        "environment_dependency": lambda: gdal_options,
        "supported_tms": GRIDS,
        "process_dependency": algorithms.process,
        "render_func": pictures.render,
        "add_viewer": False,
    }
    item = ours.showing(ours.item_source)
    items = MultiBaseTilerFactory(
        reader=ItemReader,
        path_dependency=ours.item_source,
        layer_dependency=item.layer,  # type: ignore[arg-type]
        assets_dependency=item.assets,  # type: ignore[arg-type]
        dataset_dependency=item.dataset,  # type: ignore[arg-type]
        colormap_dependency=item.colormap,
        render_dependency=item.picture,  # type: ignore[arg-type]
        router_prefix="/collections/{collection_id}/items/{item_id}",
        **common,
    )
    made = [("/collections/{collection_id}/items/{item_id}", "Items", items.router)]
    sources: tuple[tuple[str, str, Callable[..., Any]], ...] = (
        ("/collections/{collection_id}", "Collections", ours.collection_source),
        ("/searches/{search_id}", "Searches", ours.search_source),
    )
    for prefix, tag, source in sources:
        shown = ours.showing(source)
        mosaics = MosaicFactory(
            backend=MosaicBackend,  # type: ignore[arg-type]
            dataset_reader=ItemReader,
            path_dependency=source,
            backend_dependency=DefaultDependency,
            assets_accessor_dependency=ours.MosaicParams,
            layer_dependency=shown.layer,  # type: ignore[arg-type]
            dataset_dependency=shown.dataset,  # type: ignore[arg-type]
            colormap_dependency=shown.colormap,
            render_dependency=shown.picture,  # type: ignore[arg-type]
            router_prefix=prefix,
            add_part=True,
            add_statistics=True,
            **common,
        )
        made.append((prefix, tag, mosaics.router))
    return [
        *made,
        ("", "Grids", TMSFactory(supported_tms=GRIDS).router),
        ("", "Colour maps", ColorMapFactory().router),
        ("", "Algorithms", AlgorithmFactory().router),
    ]
