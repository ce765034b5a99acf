"""What commands work with that only whoever runs the catalogue may call."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psycopg

    from almagest.core.settings import Settings


@contextmanager
def connected() -> Iterator[tuple[Settings, psycopg.Connection[Any]]]:
    """The settings of the catalogue here, and its database, as its administrator.

    Raises:
        AlmagestError: the database is not there, or refuses something; one sentence.
    """
    from almagest.catalogue import database
    from almagest.cli.stack import session

    settings = session.attach()
    with database.translated(), database.connect(settings, settings.database.admin_user) as connection:
        yield settings, connection
