"""Who is called back about a job, what he is told, and how he can know that it is from here."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

from pydantic import TypeAdapter

from almagest.catalogue.jobs import Job
from almagest.core.errors import BadRequestError
from almagest.core.settings import Settings
from almagest.pipelines import statements
from almagest.pipelines.outbound import Outbound
from almagest.pipelines.statements import Statements

#: As OGC API - Processes names them: which of them is called, and when.
URIS = ("successUri", "inProgressUri", "failedUri")

_JOB: TypeAdapter[Job] = TypeAdapter(Job)


def subscriber(given: object, outbound: Outbound) -> dict[str, str]:
    """A subscriber as it is asked for, checked.

    Raises:
        BadRequestError: it is none, or an address of it is not called from here.
    """
    if not isinstance(given, dict) or not given:
        raise BadRequestError(f"`subscriber` is an object with {', '.join(URIS)}.")
    for name, uri in given.items():
        if name not in URIS:
            raise BadRequestError(f"subscriber: there is no {name!r}, only {', '.join(URIS)}.")
        if not isinstance(uri, str):
            raise BadRequestError(f"subscriber: {name} is an address.")
        try:
            outbound.target(uri)
        except BadRequestError as error:
            raise BadRequestError(f"subscriber: {name}: {error}") from None
    if "successUri" not in given:
        raise BadRequestError("subscriber: the standard asks for a `successUri`.")
    return given


def subscriber_at(url: str, settings: Settings) -> dict[str, str]:
    """One address that is told how a job ended, well or not.

    Raises:
        BadRequestError: it is not called from here.
    """
    return subscriber({"successUri": url, "failedUri": url}, Outbound.of(settings))


def body(payload: Any, said: Statements) -> Any:
    """What the subscriber of a job is told: its results, or how it is.

    Args:
        payload: the job as it was then.
        said: how jobs are spoken of.
    """
    job = _JOB.validate_python(payload)
    return statements.wanted(job) if job.status == "successful" else said.status(job)


def key(secret: str, principal: str) -> str:
    """What callbacks on behalf of somebody are signed with: his own, so that none of those called can pass for us."""
    return hmac.new(secret.encode(), f"callback {principal}".encode(), hashlib.sha256).hexdigest()


def signature(of_key: str, content: bytes) -> str:
    """The header that a receiver computes too, and compares."""
    return f"sha256={hmac.new(of_key.encode(), content, hashlib.sha256).hexdigest()}"
