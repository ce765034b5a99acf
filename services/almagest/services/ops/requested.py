"""What the body of a request may say, in JSON."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel, ConfigDict
from starlette.requests import Request

from almagest.core.errors import UnsupportedMediaTypeError

_Model = TypeVar("_Model", bound=BaseModel)


class Body(BaseModel):
    """What a request may say, and nothing else."""

    model_config = ConfigDict(extra="forbid", str_max_length=1000)

    @classmethod
    async def of(cls: type[_Model], request: Request) -> _Model:
        """Reads it.

        Raises:
            ValidationError: it is not what is asked for; answered as a problem that says where.
            UnsupportedMediaTypeError: it is not said to be JSON.
        """
        content = await request.body()
        # A page of another site can make a browser send text here unasked, but nothing that says it is JSON.
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if content and kind != "application/json":
            raise UnsupportedMediaTypeError("Send JSON, and say so: `Content-Type: application/json`.")
        return cls.model_validate_json(content or b"{}")
