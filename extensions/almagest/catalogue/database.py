"""Making a database: create it, install stock pgSTAC, apply our sets, give the roles their passwords."""

from __future__ import annotations

import getpass
import logging
import os
import re
import secrets as random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from almagest.catalogue import audience, canary, migrate
from almagest.core import secrets, sqlstate
from almagest.core.errors import ConfigurationError, DatabaseUnavailableError, StorageFullError

if TYPE_CHECKING:
    from almagest.core.settings import Settings

#: Login roles and what each session of theirs starts with.
ROLES: dict[str, dict[str, str]] = {
    "almagest_reader": {
        "search_path": "almagest, public",
        "default_transaction_read_only": "on",
        "jit": "off",
    },
    "almagest_external": {
        "search_path": "external, public",
        "default_transaction_read_only": "on",
        "jit": "off",
    },
    "almagest_writer": {
        "search_path": "almagest, public",
        "jit": "off",
        "lock_timeout": "30s",
    },
    "almagest_worker": {
        "search_path": "almagest, public",
        "jit": "off",
        "lock_timeout": "30s",
    },
    "almagest_ops": {
        "search_path": "almagest, public",
        "jit": "off",
        "lock_timeout": "2s",
    },
}


def connect(
    settings: Settings, user: str, *, database: str | None = None, autocommit: bool = True
) -> psycopg.Connection:
    """Opens a connection as ``user``, with its password from the secrets where it has one.

    Raises:
        DatabaseUnavailableError: nobody answers, or the role is refused; says where it was looked for.
    """
    try:
        return psycopg.connect(**parameters(settings, user, database), autocommit=autocommit)
    except psycopg.OperationalError as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise DatabaseUnavailableError(
            f"No connection to the database at {settings.db_host}, port {settings.database.port}"
            f" (ALMAGEST_DB_HOST, ALMAGEST_DB_PORT), as {user}: {reason}"
        ) from None


def parameters(settings: Settings, user: str, database: str | None = None) -> dict[str, Any]:
    """What a connection as ``user`` is opened with."""
    return {
        "host": settings.db_host,
        "port": settings.database.port,
        "dbname": database or settings.database.name,
        "user": user,
        "password": secrets.read(settings.secrets, user),
        "connect_timeout": 10,
        "application_name": "almagest",
        "options": authorship(),
    }


def authorship(actor: str | None = None, job: str | None = None) -> str:
    """Options of a session whose changes are made by somebody, or else by whoever runs this program; as which job."""
    return " ".join(
        f"-c almagest.{name}=" + re.sub(r"([\\\s])", r"\\\1", value)
        for name, value in (("actor", actor or _operator()), ("job", job))
        if value
    )


def _operator() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user that the machine has no name for
        return str(os.getuid())


@contextmanager
def translated() -> Iterator[None]:
    """Turns what the database refuses an operator into one sentence.

    Raises:
        AlmagestError: whatever it was, as one of ours.
    """
    try:
        yield
    except psycopg.Error as error:
        sentence = (error.diag.message_primary or str(error).strip() or type(error).__name__).splitlines()[0]
        meant = sqlstate.meaning(error.sqlstate or "08000", sentence)
        if isinstance(meant, StorageFullError | DatabaseUnavailableError):
            raise meant from error
        raise ConfigurationError(f"The database refuses: {sentence} (SQLSTATE {error.sqlstate}).") from error


def prepare(settings: Settings, report: Callable[[str], None] = lambda _: None) -> None:
    """Everything from an empty cluster to a database that the services can use. Idempotent.

    Raises:
        ConfigurationError: the database cannot be migrated; says why.
        DatabaseUnavailableError: it does not answer.
    """
    with translated():
        create(settings, report)
        install_pgstac(settings, report)
        with connect(settings, settings.database.admin_user) as connection:
            migrate.migrate(connection, report)
            audience.apply(settings, connection)
            credentials(settings, connection)
            report("looking whether outsiders see what is hidden")
            leaks = canary.run(connection)
    if leaks:
        raise ConfigurationError(f"Outsiders would see what is hidden, so nothing is served: {'; '.join(leaks)}.")


def create(settings: Settings, report: Callable[[str], None] = lambda _: None) -> None:
    """Creates the database where it is missing."""
    name = settings.database.name
    with connect(settings, settings.database.admin_user, database="postgres") as connection:
        row = connection.execute(
            "SELECT pg_encoding_to_char(encoding) FROM pg_database WHERE datname = %s", (name,)
        ).fetchone()
        if row is None:
            report(f"creating the database {name}")
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'").format(sql.Identifier(name))
            )
        elif row[0] != "UTF8":
            raise ConfigurationError(f"The database {name} is encoded in {row[0]}; pgSTAC needs UTF8.")


def install_pgstac(settings: Settings, report: Callable[[str], None] = lambda _: None) -> None:
    """Installs or upgrades stock pgSTAC to the version of the installed pypgstac, where it is not there yet.

    Raises:
        ConfigurationError: that version is not among the tested ones, or the database holds a newer one.
    """
    wanted = metadata.version("pypgstac")
    with connect(settings, settings.database.admin_user) as connection:
        present = migrate.pgstac_version(connection)
    if present == wanted:
        return
    if wanted not in migrate.TESTED_PGSTAC:
        raise ConfigurationError(
            f"pypgstac {wanted} is installed, but only {', '.join(migrate.TESTED_PGSTAC)} is tested: install that one."
        )
    if present is not None and _numbers(present) > _numbers(wanted):
        raise ConfigurationError(f"The database holds pgSTAC {present}, newer than the installed pypgstac {wanted}.")
    report(f"installing pgSTAC {wanted}" if present is None else f"upgrading pgSTAC {present} to {wanted}")
    from pypgstac.migrate import Migrate

    with pgstac(settings, settings.database.admin_user) as database:
        Migrate(database).run_migration(toversion=wanted)


@contextmanager
def pgstac(settings: Settings, user: str, **options: str) -> Iterator[Any]:
    """pypgstac's own handle of the database, as ``user``; ``options`` are libpq's."""
    from pypgstac.db import PgstacDB

    logging.getLogger("pypgstac").setLevel(logging.WARNING)
    # libpq reads a connection string of its own kind: values in quotes, with quotes and backslashes escaped.
    dsn = psycopg.conninfo.make_conninfo(
        host=settings.db_host,
        port=settings.database.port,
        dbname=settings.database.name,
        user=user,
        password=secrets.read(settings.secrets, user),
        **options,
    )
    database = PgstacDB(dsn=dsn)
    try:
        yield database
    finally:
        database.close()


def credentials(settings: Settings, connection: psycopg.Connection, *, rotate: bool = False) -> list[str]:
    """Gives each login role its password (made where it is missing, new ones with ``rotate``) and session settings.

    What signs access tokens is made here, too, where it is missing.

    Returns:
        The names of the roles.
    """
    secrets.ensure(settings.secrets, secrets.JWT_KEY, random.token_hex(32))
    for role, session in ROLES.items():
        password = random.token_urlsafe(32) if rotate else secrets.ensure(settings.secrets, role)
        name = sql.Identifier(role)
        with connection.transaction():
            # A parameter cannot stand in ALTER ROLE; sql.Literal quotes. The statement must not reach the server's log.
            connection.execute("SET LOCAL log_statement = 'none'")
            connection.execute(migrate.ONE_AT_A_TIME)
            connection.execute("SET LOCAL log_min_error_statement = 'panic'")
            connection.execute(sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(name, sql.Literal(password)))
            for key, value in session.items():
                setting = sql.SQL(", ").join(map(sql.Literal, value.split(", ")))
                connection.execute(sql.SQL("ALTER ROLE {} SET {} = {}").format(name, sql.Identifier(key), setting))
            if rotate:  # within the transaction: where the file cannot be written, the old password goes on
                secrets.replace(settings.secrets, role, password)
    return list(ROLES)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())
