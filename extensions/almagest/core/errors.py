"""Every error that Almagest raises on purpose, as one tree.

A class's docstring is its default message. ``status`` is the HTTP status it becomes, ``slug`` the last part of its
problem type (RFC 9457). Whatever is not in this tree is a bug, answered by 500 with an id and no internals.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

#: What the ``type`` of every problem begins with, whoever answers it.
PROBLEM_TYPES = "https://almagest.dev/problems/"


class AlmagestError(Exception):
    """Something went wrong."""

    status: ClassVar[int] = 500
    slug: ClassVar[str] = "internal"
    #: The type, where a standard has named it.
    standard_type: ClassVar[str] = ""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self.default_message())

    @classmethod
    def default_message(cls) -> str:
        """The first line of the class's docstring."""
        return (cls.__doc__ or cls.__name__).strip().splitlines()[0]

    @property
    def more(self) -> dict[str, object]:
        """What else a problem document says."""
        return {}

    @property
    def title(self) -> str:
        """A short name of the kind of problem, the same for every instance."""
        return self.slug.replace("-", " ").capitalize()


class ConfigurationError(AlmagestError):
    """A setting has a value that cannot work."""

    slug = "configuration"


class DatabaseUnavailableError(AlmagestError):
    """The database does not answer. Try again in a moment."""

    status = 503
    slug = "database-unavailable"


class OverloadedError(AlmagestError):
    """The query took longer than this service allows. Narrow it down: fewer collections, a smaller area or time."""

    status = 503
    slug = "overloaded"


class StoreUnavailableError(AlmagestError):
    """The store of files does not answer. Try again in a moment."""

    status = 503
    slug = "store-unavailable"


class StorageFullError(AlmagestError):
    """No space is left to store this. Nothing was written."""

    status = 507
    slug = "storage-full"


class BadRequestError(AlmagestError):
    """The request cannot be understood."""

    status = 400
    slug = "bad-request"


class UnauthorizedError(AlmagestError):
    """A key is needed: send `Authorization: Bearer <key>`."""

    status = 401
    slug = "unauthorized"


class ForbiddenError(AlmagestError):
    """You may not do this."""

    status = 403
    slug = "forbidden"


class NotFoundError(AlmagestError):
    """There is nothing here."""

    status = 404
    slug = "not-found"


class GoneError(AlmagestError):
    """What was here was deleted."""

    status = 410
    slug = "gone"

    def __init__(self, message: str, history: str) -> None:
        super().__init__(message)
        #: Address of its former versions.
        self.history = history

    @property
    def more(self) -> dict[str, object]:
        """Where its versions are."""
        return {"links": [{"rel": "version-history", "type": "application/json", "href": self.history}]}


class PreconditionFailedError(AlmagestError):
    """It has changed since you read it: read it again, and repeat your change."""

    status = 412
    slug = "precondition-failed"


class PreconditionRequiredError(AlmagestError):
    """Say which version you change: send `If-Match` with the ETag that you read."""

    status = 428
    slug = "precondition-required"


class ConflictError(AlmagestError):
    """This id is taken."""

    status = 409
    slug = "conflict"


class UnsettledError(AlmagestError):
    """What was there then may still change."""

    status = 409
    slug = "not-settled"

    def __init__(self, latest: str) -> None:
        known = f"as-of is answered up to {latest} now." if latest else "Nothing is known of any moment yet."
        super().__init__(
            f"as-of: what was there then may still change, for somebody is writing, or it is not past yet. {known}"
        )
        #: The latest moment that is answered, as RFC 3339 writes it; empty: there is none yet.
        self.latest = latest

    @property
    def more(self) -> dict[str, object]:
        """What can be asked for instead."""
        return {"latest": self.latest} if self.latest else {}


class ForgottenError(AlmagestError):
    """What was there then is not known any more."""

    status = 410
    slug = "forgotten"

    def __init__(self, earliest: str) -> None:
        super().__init__(
            f"as-of: what was there then is not known, or not any more: versions are kept since {earliest}."
            " Of a single collection more may be known."
        )
        #: The earliest moment that is answered, as RFC 3339 writes it.
        self.earliest = earliest

    @property
    def more(self) -> dict[str, object]:
        """What can be asked for instead."""
        return {"earliest": self.earliest}


class UnreadableError(AlmagestError):
    """What is stored here is no STAC document: replace it, restore a former version, or delete it."""

    status = 409
    slug = "unreadable"


def pointer_step(key: object) -> str:
    """A key as one step of a JSON Pointer (RFC 6901)."""
    return str(key).replace("~", "~0").replace("/", "~1")


@dataclass(frozen=True)
class Violation:
    """One thing that is wrong with a document: where (a JSON Pointer, `""` for the whole) and what."""

    pointer: str
    message: str

    def __str__(self) -> str:
        return f"{self.pointer or '/'}: {self.message}"


class InvalidDocumentError(AlmagestError):
    """The document is not valid STAC."""

    status = 400
    slug = "invalid-document"

    def __init__(
        self, violations: list[Violation], subject: str = "The document", fault: str = "is not valid STAC"
    ) -> None:
        self.violations = violations
        first = violations[0] if violations else Violation("", "unknown")
        more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
        super().__init__(f"{subject} {fault}: {first}{more}")

    @property
    def more(self) -> dict[str, object]:
        """Everything that is wrong."""
        return {"errors": [{"pointer": v.pointer, "detail": v.message} for v in self.violations]}


class TooLargeError(AlmagestError):
    """The body holds more than is taken at once."""

    status = 413
    slug = "content-too-large"


class QuotaExceededError(AlmagestError):
    """This is more than you may keep here. Delete something first."""

    status = 413
    slug = "quota-exceeded"


class UnsupportedMediaTypeError(AlmagestError):
    """The body's media type is not one that this route takes."""

    status = 415
    slug = "unsupported-media-type"


class TooManyRequestsError(AlmagestError):
    """This is more than you may ask for at once. Try again later."""

    status = 429
    slug = "too-many-requests"

    def __init__(self, message: str | None = None, retry_after_s: int = 0) -> None:
        super().__init__(message)
        #: When it can be tried again [s]; 0: nobody knows.
        self.retry_after_s = retry_after_s
