"""What the audit keeps of nginx's questions: refusals, of which the application that was meant never hears, and who
looked at Flower, which keeps no audit of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import Response

from almagest.services.proxy.policy import FLOWER, MOUNTS
from almagest.services.web.inventory import Inventory
from almagest.services.web.recording import Entry, Recorder
from almagest.services.web.request_id import request_id

#: By these an answer says who is refused, where that is known. They are taken off here: nobody else is told.
_SUBJECT, _NAME, _KEY_ID = "X-Refused-Subject", "X-Refused-Principal", "X-Refused-Key-Id"
#: And by these who is let through.
_GRANTED = ("X-Subject", "X-Principal", "X-Key-Id")
_REFUSED = 400
_FETCHED = ("/static/", "/tasks/datatable")

#: Longer prefixes come first.
_INVENTORIES = [
    (mount.prefix, Inventory(mount.inventory))
    for mount in sorted((*MOUNTS, FLOWER), key=lambda mount: len(mount.prefix), reverse=True)
]


def named(row: Mapping[str, Any], key_id: str) -> dict[str, str]:
    """Headers of a refusal that say who is refused.

    Args:
        row: what the database says of who asked.
        key_id: of the key that he has; empty: of none.
    """
    given = {_SUBJECT: row["subject"], _NAME: row["name"], _KEY_ID: key_id}
    return {header: value for header, value in given.items() if value}


def note(recorder: Recorder, question: Headers, answer: Response) -> None:
    """Leaves a row in the audit where nginx is told to refuse, and of pages of Flower.

    Args:
        recorder: writes it.
        question: nginx's, about a request.
        answer: that nginx gets.
    """
    method, path = question.get("x-original-method", ""), _decoded(question.get("x-original-path", ""))
    is_refused = answer.status_code >= _REFUSED
    if not is_refused and not _is_page_of_flower(path):
        return
    if is_refused:
        subject, name, key_id = (_taken(answer, header) for header in (_SUBJECT, _NAME, _KEY_ID))
    else:
        subject, name, key_id = (answer.headers.get(header, "") for header in _GRANTED)
    entry = Entry(
        subject=subject,
        name=name,
        key_id=key_id,
        request_id=request_id(),
        address=question.get("x-client-address", ""),
        method=method,
        route=route_of(method, path),
        path=path,
        # What Flower answers nobody here hears of: it is let through.
        status=429 if answer.headers.get("X-Refusal") == "quota" else answer.status_code,
    )
    if is_refused:
        recorder.deny(entry)
    else:
        recorder.later(entry)


def _is_page_of_flower(path: str) -> bool:
    """What a page fetches by itself is left out: its files, and the table that it asks for on and on."""
    below = path.removeprefix(FLOWER.prefix)
    return path.startswith(FLOWER.prefix) and below[:1] in {"", "/"} and not below.startswith(_FETCHED)


def route_of(method: str, path: str) -> str:
    """The route that would have answered, with its parameters by name; empty where there is none."""
    for prefix, inventory in _INVENTORIES:
        if path.startswith(f"{prefix}/") and (route := inventory.find(method, path.removeprefix(prefix))):
            return f"{prefix}{route.path}"
    return ""


def _taken(answer: Response, header: str) -> str:
    value = answer.headers.get(header, "")
    del answer.headers[header]
    return value


def _decoded(header: str) -> str:
    return header.encode("latin-1").decode("utf-8", "replace")
