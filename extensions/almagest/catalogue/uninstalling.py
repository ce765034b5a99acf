"""Taking Almagest out of a database: what is left is stock pgSTAC, with its items as they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from typing import Any

import psycopg
from psycopg import sql

from almagest.catalogue import keeping, migrate
from almagest.catalogue.reserved import CANARY
from almagest.core.errors import ConfigurationError

_ROLES = (
    "almagest_external",
    "almagest_worker",
    "almagest_ops",
    "almagest_reader",
    "almagest_writer",
    "almagest_external_definer",
    "almagest_admin",
)


@dataclass(frozen=True)
class Extent:
    """What would be lost.

    Attributes:
        former: states of items that are no more.
        keys: keys that open something.
        audited: rows of the audit.
        used_by: roles of ours that are connected now, with how many sessions.
    """

    former: int
    keys: int
    audited: int
    used_by: dict[str, int]


def look(connection: psycopg.Connection[Any]) -> Extent:
    """What there is to take out.

    Raises:
        ConfigurationError: Almagest is not in this database, or another version of it.
    """
    state = migrate.status(connection)
    if not state.applied:
        raise ConfigurationError("Almagest is not installed in this database.")
    if not state.is_current:
        raise ConfigurationError(
            "Another version of Almagest is in this database: run `almagest db migrate` first, then uninstall that."
        )
    former, keys, audited = connection.execute(
        """
        SELECT (SELECT count(*) FROM almagest.item_history WHERE NOT deleted),
               (SELECT count(*) FROM almagest.active_keys()),
               (SELECT count(*) FROM almagest.request_audit)
        """
    ).fetchone() or (0, 0, 0)
    used = connection.execute(
        """
        SELECT usename, count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND usename = ANY (%s) GROUP BY usename ORDER BY usename
        """,
        (list(_ROLES),),
    ).fetchall()
    return Extent(former, keys, audited, dict(used))


def uninstall(
    connection: psycopg.Connection[Any],
    report: Callable[[str], None] = lambda _: None,
    *,
    disconnect: bool = False,
) -> None:
    """Removes all that Almagest has added, former states too; items and collections stay.

    Args:
        connection: in autocommit mode, as a superuser.
        report: called with a sentence before each step.
        disconnect: end the sessions of services that use it.

    Raises:
        ConfigurationError: it is not installed, or it is in use.
        DatabaseUnavailableError: others never left a gap.
    """
    connection.execute("SELECT pg_advisory_lock(%s)", (migrate.ADVISORY_LOCK,))
    try:
        extent = look(connection)
        if extent.used_by and not disconnect:
            who = ", ".join(f"{role} ({count})" for role, count in extent.used_by.items())
            raise ConfigurationError(f"It is in use by {who}: stop the services first, or say --disconnect.")
        if extent.used_by:
            report("ending the sessions of the services")
            connection.execute(
                """
                SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
                WHERE datname = current_database() AND usename = ANY (%s)
                """,
                (list(_ROLES),),
            )
        report("removing triggers, schemas and grants")
        script = (resources.files("almagest.catalogue") / "sql" / "uninstall.sql").read_text(encoding="utf-8")

        def remove() -> None:
            connection.execute("SELECT almagest.port_detach()")
            connection.execute(
                "SELECT almagest.port_delete_collection(%(id)s) WHERE almagest.port_collection_exists(%(id)s)",
                {"id": CANARY},
            )
            connection.execute("RESET ROLE")
            connection.execute(script)

        keeping.patiently(connection, "SELECT almagest.port_hold_everybody()", remove, report)
        _drop_roles(connection, report)
    finally:
        connection.execute("SELECT pg_advisory_unlock(%s)", (migrate.ADVISORY_LOCK,))


def _drop_roles(connection: psycopg.Connection[Any], report: Callable[[str], None]) -> None:
    with connection.transaction():
        connection.execute(migrate.ONE_AT_A_TIME)
        elsewhere = connection.execute(
            """
            SELECT DISTINCT d.datname FROM pg_shdepend AS s
            JOIN pg_roles AS r ON s.refclassid = 'pg_authid'::regclass AND s.refobjid = r.oid
            JOIN pg_database AS d ON d.oid = s.dbid OR s.classid = 'pg_database'::regclass AND s.objid = d.oid
            WHERE r.rolname = ANY (%s) AND d.datname <> current_database() ORDER BY 1
            """,
            (list(_ROLES),),
        ).fetchall()
        if elsewhere:
            report(f"the roles stay: they are used in {', '.join(name for (name,) in elsewhere)} too")
            return
        found = connection.execute("SELECT rolname FROM pg_roles WHERE rolname = ANY (%s)", (list(_ROLES),)).fetchall()
        roles = sql.SQL(", ").join(sql.Identifier(name) for (name,) in found)
        # What somebody made as one of them is not ours to drop.
        connection.execute(sql.SQL("REASSIGN OWNED BY {} TO pgstac_admin").format(roles))
        connection.execute(sql.SQL("DROP OWNED BY {}").format(roles))
        connection.execute(sql.SQL("DROP ROLE {}").format(roles))
