"""Logs of a service: each line with the id of its request."""

from __future__ import annotations

from almagest.core import logs
from almagest.services.web.request_id import request_id


def configure(service: str) -> None:
    """Sends everything, the libraries' messages too, through one JSON formatter."""
    logs.configure(service, _request)


def _request() -> dict[str, str]:
    identifier = request_id()
    return {"request_id": identifier} if identifier else {}
