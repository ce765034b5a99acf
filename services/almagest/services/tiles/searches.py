"""Searches with an address: registering one, and what is kept of it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel
from starlette.requests import Request
from titiler.pgstac.model import Link, RegisterMosaic, RegisterResponse

from almagest.catalogue.rendering import renders
from almagest.services.tiles.dependencies import tiler
from almagest.services.tiles.sources import Mosaic

_GRID = "WebMercatorQuad"


class SearchInfo(BaseModel):
    """A registered search."""

    id: str
    search: dict[str, Any]
    metadata: dict[str, Any]
    created: str


class Info(BaseModel):
    """A registered search, and where its pictures are."""

    search: SearchInfo
    links: list[Link]


def router(*, can_register: bool) -> APIRouter:
    """The routes about searches themselves.

    Args:
        can_register: whether new ones may be registered here; who may is nginx's business.
    """
    made = APIRouter()

    @made.get("/searches/{search_id}/info", response_model=Info, response_model_exclude_none=True)
    def search_info(
        request: Request, search_id: Annotated[str, Path(description="Id of a registered search.", max_length=64)]
    ) -> Info:
        """What is kept of a registered search."""
        mosaic, registered = tiler(request).search(search_id)
        return Info(search=SearchInfo.model_validate(registered), links=_links(request, search_id, mosaic))

    if can_register:

        @made.post("/searches/register", response_model=RegisterResponse, response_model_exclude_none=True)
        def register_search(request: Request, body: Annotated[RegisterMosaic, Depends(_body)]) -> RegisterResponse:
            """Gives a search an address. The same search and metadata have the same one."""
            search = body.model_dump(mode="json", exclude_none=True, exclude={"metadata"}, by_alias=True)
            metadata = body.metadata.model_dump(mode="json", exclude_none=True)
            registered = tiler(request).catalogue.register(search, metadata)
            mosaic = tiler(request).mosaic(registered)  # a replica may not have it yet
            return RegisterResponse(id=registered["id"], links=_links(request, registered["id"], mosaic))

    return made


def _body(body: RegisterMosaic) -> RegisterMosaic:
    return body


def _links(request: Request, search_id: str, mosaic: Mosaic) -> list[Link]:
    here = f"{str(request.base_url).rstrip('/')}/searches/{search_id}"
    tilejson = f"{here}/{_GRID}/tilejson.json"
    links = [
        Link(rel="metadata", title="What is kept of this search", href=f"{here}/info"),
        Link(rel="tilejson", title=mosaic.title, href=tilejson),
    ]
    example = mosaic.example()
    named = renders(example.document, mosaic.tiler.policy, mosaic.about) if example else []
    return links + [
        Link(rel="tilejson", title=way.title, href=f"{tilejson}?{way.query()}") for way in named if way.name
    ]
