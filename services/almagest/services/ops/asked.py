"""What requests ask for, where several routes ask it alike."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from uuid import UUID

from starlette.requests import Request

from almagest.core.errors import BadRequestError
from almagest.services.web.audited import of_others
from almagest.services.web.caller import Caller
from almagest.services.web.inventory import Scope


def owner(request: Request) -> str | None:
    """Whose jobs a caller sees in a list; None: all, which the audit keeps."""
    caller = Caller.of(request.scope)
    if not caller.may(Scope.ADMIN):
        return caller.subject
    of_others()
    return None


def note_whose(request: Request, principal: str) -> None:
    """Has the audit keep that a caller sees a job of somebody else."""
    if principal != Caller.of(request.scope).subject:
        of_others()


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


def page_size(request: Request, usual: int, largest: int) -> int:
    """How many of something a request asks for, by `limit`.

    Raises:
        BadRequestError: it is no number.
    """
    given = request.query_params.get("limit", str(usual))
    if not re.fullmatch(r"[0-9]{1,9}", given) or int(given) < 1:
        raise BadRequestError("limit: a whole number, at least 1.")
    return min(int(given), largest)


def page_token(created_at: datetime, identifier: UUID) -> str:
    """What a link to the next page holds: behind which entry it begins."""
    return f"{created_at.timestamp():.6f}_{identifier}"


def behind(request: Request) -> tuple[datetime, UUID] | None:
    """Behind which entry a page begins, by `token`; None: it is the first.

    Raises:
        BadRequestError: no page has given this token.
    """
    token = request.query_params.get("token")
    if not token:
        return None
    moment, _, identifier = token.partition("_")
    try:
        return datetime.fromtimestamp(float(moment), UTC), UUID(identifier)
    except (ValueError, OverflowError, OSError):
        raise BadRequestError("token: it is none that a page gave.") from None
