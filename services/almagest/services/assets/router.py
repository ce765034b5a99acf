"""The addresses of assets. Each request asks the catalogue anew: what is hidden is gone with the next one."""

from __future__ import annotations

from anyio import to_thread
from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from almagest.core.errors import NotFoundError
from almagest.core.hrefs import HrefPolicy, HrefRefusedError
from almagest.core.settings import Settings
from almagest.services.assets.files import Shelf, disposition, harmless
from almagest.services.assets.presign import Method, Presigner
from almagest.services.web.pool import Pool

PATH = "/assets/{collection_id}/{item_id}/{key:path}"


def router(pool: Pool, settings: Settings) -> APIRouter:
    """The route of stored assets.

    Args:
        pool: reads as the role of one audience, which decides what there is.
        settings: where files and objects lie.

    Raises:
        ConfigurationError: a setting would let too much be read, or the keys of the bucket are missing.
    """
    policy, shelf, presigner = HrefPolicy.of(settings), Shelf(settings.file_roots), Presigner(settings)
    routes = APIRouter(tags=["Assets"])

    # Once more for HEAD, which a description of one operation has no place for.
    @routes.api_route(PATH, methods=["GET", "HEAD"], include_in_schema=False)
    @routes.get(
        PATH,
        response_class=Response,
        responses={200: {"content": {"*/*": {}}}, 307: {"description": "It lies there, for a while."}},
    )
    async def asset(collection_id: str, item_id: str, key: str, request: Request) -> Response:
        """The bytes of an asset."""
        async with pool.connection() as connection:
            row = await connection.fetchrow("SELECT * FROM asset_location($1, $2, $3)", collection_id, item_id, key)
        try:
            if row is None:
                raise HrefRefusedError
            if row["location"].startswith("s3://"):
                method: Method = "HEAD" if request.method == "HEAD" else "GET"
                link = presigner.link(row["location"], method)
                return RedirectResponse(link, 307, headers={"Cache-Control": "no-store"})
            path = await to_thread.run_sync(policy.stored, row["location"])
            address = shelf.address(path)
        except HrefRefusedError:
            # The same words whatever the reason, and none about where the bytes should lie.
            raise NotFoundError(f"There is no asset {key!r} of an item {item_id!r} to be read here.") from None
        return Response(
            headers={
                "X-Accel-Redirect": address,
                "Content-Type": harmless(row["media_type"]),
                "Content-Disposition": disposition(item_id, key, path),
                "Cache-Control": "no-cache",
            },
        )

    return routes
