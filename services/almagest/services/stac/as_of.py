"""``as-of``: which requests may ask for what was there at a moment, and how."""

from datetime import datetime
from typing import Annotated, Any

import attr
from fastapi import FastAPI, Query, Request
from pydantic import AfterValidator, BaseModel, Field
from stac_fastapi.api.models import CollectionUri, ItemUri
from stac_fastapi.types.extension import ApiExtension
from stac_fastapi.types.search import APIRequest

from almagest.catalogue.moments import CONFORMANCE, parsed, printed
from almagest.core.errors import BadRequestError

#: The parameter of an address, and the member of a body.
NAME = "as-of"

_DESCRIPTION = (
    "Answers as of this moment (RFC 3339): with what was there then, as it was then. Where not everything is known for "
    "good yet, the answer is 409, with the `latest` moment that can be asked for; where something may have been "
    "forgotten, it is 410, with the `earliest`."
)
_SCHEMA: dict[str, Any] = {"format": "date-time"}

# Annotations are evaluated here, for models that are put together elsewhere.
_Parameter = Annotated[str | None, Query(alias=NAME, description=_DESCRIPTION, json_schema_extra=_SCHEMA)]


@attr.s
class _Get(APIRequest):
    """The parameter, for models that are put together."""

    as_of: _Parameter = attr.ib(default=None)


@attr.s
class ItemAsOf(ItemUri):
    """An item, perhaps as it was."""

    as_of: _Parameter = attr.ib(default=None)


@attr.s
class CollectionAsOf(CollectionUri):
    """A collection, perhaps as it was."""

    as_of: _Parameter = attr.ib(default=None)


def _canonical(text: str | None) -> str | None:
    return None if text is None else printed(parsed(text))


class _Post(BaseModel):
    as_of: Annotated[str | None, AfterValidator(_canonical)] = Field(
        None, alias=NAME, description=_DESCRIPTION, json_schema_extra=_SCHEMA
    )


@attr.s
class AsOfExtension(ApiExtension):
    """Adds it to a search."""

    GET: type[APIRequest] = _Get
    POST: type[BaseModel] = _Post

    conformance_classes: list[str] = attr.ib(factory=lambda: [CONFORMANCE])
    schema_href: str | None = attr.ib(default=None)

    def register(self, app: FastAPI) -> None:
        """Adds no routes."""


def moment_of(text: str | None) -> datetime | None:
    """The moment of a parameter; None: it is the present that is asked for.

    Raises:
        BadRequestError: it is no moment.
    """
    try:
        return None if text is None else parsed(text)
    except ValueError as error:
        raise BadRequestError(f"{NAME}: {error}.") from None


async def refused(request: Request) -> None:
    """Refuses the parameter where it would not be heeded.

    Raises:
        BadRequestError: it is there.
    """
    if NAME in request.query_params:
        raise BadRequestError(f"{NAME} goes with items, collections and searches: of this address it cannot be asked.")
