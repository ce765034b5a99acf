"""What requests ask for, where several routes ask it alike."""

from __future__ import annotations

from datetime import UTC, datetime

from starlette.requests import Request

from almagest.core.errors import BadRequestError
from almagest.services.web.caller import Caller
from almagest.services.web.inventory import Scope


def owner(request: Request) -> str | None:
    """Whose jobs a caller may see; None: all."""
    caller = Caller.of(request.scope)
    return None if caller.may(Scope.ADMIN) else caller.subject


def interval(text: str) -> tuple[datetime | None, datetime | None]:
    """Begin and end of a time as OGC APIs write it, None where it is open.

    Raises:
        BadRequestError: it is none.
    """
    begin, slash, end = text.partition("/")
    try:
        return _moment(begin), _moment(end if slash else begin)
    except ValueError:
        raise BadRequestError(
            "datetime: write a time as `2025-06-20T00:00:00Z`, or two of them with a slash between; one may be `..`."
        ) from None


def _moment(text: str) -> datetime | None:
    if text in {"", ".."}:
        return None
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
