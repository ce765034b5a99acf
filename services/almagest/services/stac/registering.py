"""Results become assets of items: files that lie in the store already, under keys that nothing changes afterwards."""

from __future__ import annotations

from typing import Any

import orjson
from anyio import to_thread
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.responses import Response

from almagest.catalogue.acceptance import check_asset
from almagest.catalogue.registering import keys
from almagest.catalogue.registering.files import asset_of
from almagest.catalogue.registering.stored import Files
from almagest.catalogue.versions import Subject
from almagest.core.errors import BadRequestError, ConflictError
from almagest.core.hrefs import HrefRefusedError
from almagest.services.stac.client import answer
from almagest.services.stac.links import Links
from almagest.services.stac.transactions import author_of
from almagest.services.stac.writing import Writer
from almagest.services.web.etags import Condition, tagged

#: The day as text: for asyncpg the first and the last one of Python are minus and plus infinity.
_REGISTER = "SELECT key, outcome FROM register_asset($1, $2, $3, $4::jsonb, $5::text::date, $6::jsonb)"
_REMOVE = "SELECT latest FROM remove_asset($1, $2, $3)"
#: What is read from the file, whatever a request says.
_MEASURED = ("href", "file:checksum", "file:size")


class Registration(BaseModel):
    """A file of the store that becomes an asset: its `href`, or the whole `asset`."""

    model_config = ConfigDict(extra="forbid")

    prefix: str = Field(keys.PREFIX, description="What its keys begin with: `comparison` for `comparison:2024-05-01`.")
    href: str | None = Field(
        None,
        description="Where it lies: a path below the store, `file:///…` or `s3://…`.",
        examples=["results/a.nc"],
    )
    asset: dict[str, Any] | None = Field(None, description="The asset; what it does not say is read from the file.")
    title: str | None = Field(None, description="For people; else the name of the file.")
    media_type: str | None = Field(None, description="Of the file; else as its content and name tell it.")
    roles: list[str] = Field(["data"], description="What it is for.")
    date: str | None = Field(None, description="Day of its key; else today, in UTC.", examples=["2024-05-01"])
    software: dict[str, str] | None = Field(None, description="What made it, and in which version.")
    lineage: str | None = Field(None, description="How it was made.")

    others: dict[str, dict[str, Any]] = Field(
        {},
        max_length=keys.MOST,
        description="Dated assets of this item in another catalogue: no key is chosen that stands there for other"
        " bytes, as far as each `file:checksum` tells.",
        examples=[{"comparison:2024-05-01": {"file:checksum": "1220…"}}],
    )

    @model_validator(mode="after")
    def _names_a_file(self) -> Registration:
        if (self.href is None) == (self.asset is None):
            raise ValueError("say where the file lies: either `href` or `asset`, which has one")
        return self


def router(writer: Writer, public: Links) -> APIRouter:
    """Routes of results.

    None of them must say which version of the item it changes, whatever the site asks of others: what stands beside the
    asset stays as whoever changed it meanwhile has it. Who does say it (``If-Match``) is held to it.

    Args:
        writer: checks and stores.
        public: makes the links of what is answered.
    """
    routes = APIRouter(tags=["Results"])
    files = Files(writer.settings)

    @routes.post("/collections/{collection_id}/items/{item_id}/assets", status_code=201)
    async def register(collection_id: str, item_id: str, given: Registration, request: Request) -> Response:
        """Add a file of the store to an item: under a key with its day, and as the latest, if no later one is there.

        The same bytes on the same day change nothing (200); others get a key of their own, `comparison:2024-05-01.2`.
        """
        day = keys.day_of(given.date) if given.date is not None else keys.today()
        keys.check_prefix(given.prefix)
        keys.check_names(given.others, given.prefix)
        # Before the item is locked: a large file takes its time.
        asset = await to_thread.run_sync(_asset, files, given)
        check_asset(asset)
        row, stored = await writer.of(author_of(request)).apply(
            Subject(collection_id, item_id),
            Condition(request),
            _REGISTER,
            given.prefix,
            orjson.dumps(asset).decode(),
            day.isoformat(),
            orjson.dumps(keys.names(given.others, given.prefix, day)).decode(),
        )
        assets = stored.document["assets"]
        told = {**row, "latest": keys.latest(assets, given.prefix), "asset": assets[row["key"]]}
        response = answer(told, status=201 if row["outcome"] == "created" else 200)
        response.headers["Location"] = public.href("assets", collection_id, item_id, row["key"])
        return tagged(response, stored.etag)

    @routes.delete("/collections/{collection_id}/items/{item_id}/assets/{key:path}")
    async def remove(collection_id: str, item_id: str, key: str, request: Request) -> Response:
        """Take an asset out of an item; the file stays. What is the latest then, is so from now on."""
        row, stored = await writer.of(author_of(request)).apply(
            Subject(collection_id, item_id), Condition(request), _REMOVE, key
        )
        return tagged(answer({"latest": row["latest"]}), stored.etag)

    return routes


def _asset(files: Files, given: Registration) -> dict[str, Any]:
    """The asset that is meant, with what its file tells."""
    said = given.asset or {}
    place = given.href if given.href is not None else said.get("href")
    try:
        if not isinstance(place, str):
            raise HrefRefusedError
        href = files.href(place)
        content = files.read(href)
    except HrefRefusedError:
        raise BadRequestError(
            f"/href: {place!r} is no file of the store. Name one by its path below it, like `results/a.nc`, or by"
            " `file:///…` or `s3://…`; what lies elsewhere is added by changing the item."
        ) from None
    asset = asset_of(
        content,
        href,
        kind=given.media_type,
        title=given.title,
        roles=given.roles,
        software=given.software,
        lineage=given.lineage,
    )
    if said.get("file:checksum", content.checksum) != content.checksum:
        raise ConflictError(f"The file in the store is another one: its file:checksum is {content.checksum}.")
    return {**asset, **{name: value for name, value in said.items() if name not in _MEASURED}}
