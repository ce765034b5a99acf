"""Names in the catalogue that are Almagest's own."""

from almagest.core.errors import ConflictError

#: The collection by which it checks itself (:mod:`almagest.catalogue.canary`); nobody else's to read, write or copy.
CANARY = "almagest-canary"


def require_changeable(collection: str) -> None:
    """Refuses to change a collection, or items of it, that is nobody's to change.

    Raises:
        ConflictError: it is the canary's.
    """
    if collection == CANARY:
        raise ConflictError(f"{CANARY} is not anybody's to change: outsiders are served only while it is there.")
