"""Applies the SQL sets: immutable migrations once, repeatable functions whenever they change, a ledger of both.

Each file is one transaction together with its ledger row. An advisory lock keeps two runners apart; ``lock_timeout``
keeps a migration from queueing in front of everybody else's reads.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata, resources
from importlib.resources.abc import Traversable
from typing import Literal

import psycopg
from psycopg import sql

from almagest.catalogue import keeping, lineage
from almagest.core.errors import ConfigurationError

#: The SQL sets, in the order in which they build on each other.
SETS = (
    "pgstac_port",
    "search",
    "versions",
    "rollups",
    "writes",
    "accounts",
    "audit",
    "files",
    "outbox",
    "jobs",
    "audience",
    "lineage",
    "assets",
    "asof",
    "followers",
    "mirror",
)

#: Versions of pgSTAC that the tests run against. Any other is refused, because pgstac_port knows its internals.
TESTED_PGSTAC = ("0.10.0",)

#: Roles belong to the cluster: two of its databases prepared at once would change the same rows, which PostgreSQL
#: answers with "tuple concurrently updated". An advisory lock holds in one database only.
ONE_AT_A_TIME = "LOCK TABLE pg_catalog.pg_authid IN SHARE ROW EXCLUSIVE MODE"
#: Any number, as long as no other program takes advisory locks by it: "almagest" in ASCII, folded into 63 bits.
ADVISORY_LOCK = int.from_bytes(b"almagest", "big") >> 1

Kind = Literal["migration", "function"]

_WRAPPER = re.compile(r"CREATE OR REPLACE FUNCTION external\.(\w+)")


@dataclass(frozen=True)
class Script:
    """One SQL file of a set."""

    set_name: str
    name: str
    kind: Kind
    text: str

    @property
    def sha256(self) -> str:
        """Hash of the text, as the ledger holds it."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def __str__(self) -> str:
        return f"{self.set_name}/{self.name}"


@dataclass(frozen=True)
class Status:
    """What a database has and lacks."""

    pgstac_version: str | None
    applied: tuple[str, ...]
    pending: tuple[str, ...]
    problems: tuple[str, ...]

    @property
    def is_current(self) -> bool:
        """Whether there is nothing to do and nothing wrong."""
        return not self.pending and not self.problems


def _sql_root() -> Traversable:
    return resources.files("almagest.catalogue") / "sql"


def scripts() -> Iterator[Script]:
    """Every script of every set, in the order of application."""
    kinds: tuple[tuple[str, Kind], ...] = (("migrations", "migration"), ("functions", "function"))
    for set_name in SETS:
        for folder, kind in kinds:
            directory = _sql_root() / set_name / folder
            if not directory.is_dir():
                continue
            for file in sorted(directory.iterdir(), key=lambda entry: entry.name):
                if file.name.endswith(".sql"):
                    yield Script(set_name, f"{folder}/{file.name}", kind, file.read_text(encoding="utf-8"))


def status(connection: psycopg.Connection) -> Status:
    """Compares the ledger with the scripts; changes nothing."""
    version = pgstac_version(connection)
    known = {(script.set_name, script.name): script for script in scripts()}
    applied = _ledger(connection)
    # A function file that is gone was renamed or split: its functions are those of other files now.
    problems = [
        f"{set_name}/{name} was applied, but this Almagest does not have it: it is older than the database"
        for (set_name, name), (kind, _) in applied.items()
        if kind == "migration" and (set_name, name) not in known
    ]
    pending = []
    for key, script in known.items():
        if key not in applied:
            pending.append(str(script))
        elif applied[key][1] != script.sha256:
            if script.kind == "migration":
                problems.append(
                    f"{script} has changed since it was applied: migrations are never edited, add a new one"
                )
            else:
                pending.append(str(script))
    if version is None:
        problems.append("pgSTAC is not installed")
    elif version not in TESTED_PGSTAC:
        problems.append(f"pgSTAC {version} is not among the tested versions ({', '.join(TESTED_PGSTAC)})")
    return Status(version, tuple(f"{s}/{n}" for s, n in applied), tuple(pending), tuple(problems))


def verify(connection: psycopg.Connection) -> list[str]:
    """Everything wrong with an installed database, in sentences; an empty list is a healthy one."""
    state = status(connection)
    problems = list(state.problems)
    problems += [f"{name} is not applied: run `almagest db migrate`" for name in state.pending]
    granted = connection.execute(
        """
        SELECT p.oid::regprocedure::text FROM pg_proc p
        WHERE p.pronamespace IN (to_regnamespace('almagest'), to_regnamespace('external'))
          AND has_function_privilege('public', p.oid, 'execute')
        """
    ).fetchall()
    problems += [f"{name} may be executed by everybody" for (name,) in granted]
    known = {name for script in scripts() for name in _WRAPPER.findall(script.text)}
    wrappers = connection.execute(
        "SELECT proname FROM pg_proc WHERE pronamespace = to_regnamespace('external') ORDER BY 1"
    ).fetchall()
    problems += [
        f"external.{name} can be called by outsiders, and is none of ours: drop it"
        for (name,) in wrappers
        if name not in known
    ]
    # A database restored without its own grants has lost this one.
    row = connection.execute(
        """
        SELECT has_database_privilege(r.oid, current_database(), 'temporary')
        FROM pg_roles AS r WHERE r.rolname = 'almagest_external'
        """
    ).fetchone()
    if row and row[0]:
        problems.append("almagest_external may make temporary tables: run `almagest db migrate`")
    return problems if state.pending else problems + keeping.problems(connection)


def migrate(connection: psycopg.Connection, report: Callable[[str], None] = lambda _: None) -> Status:
    """Brings the database up to date.

    Args:
        connection: in autocommit mode, as a superuser.
        report: called with a sentence before each step.

    Raises:
        ConfigurationError: an applied migration was edited, the database is newer than this code, or its pgSTAC is a
            version that was never tested.
        DatabaseUnavailableError: others write without a gap.
    """
    version = pgstac_version(connection)
    if version is None:
        raise ConfigurationError(
            "pgSTAC is not installed in this database: run `pypgstac migrate` or `almagest db migrate`."
        )
    connection.execute("SELECT pg_advisory_lock(%s)", (ADVISORY_LOCK,))
    try:
        # Only now: another runner may be waited for as long as it takes, a lock on a table not.
        connection.execute("SELECT set_config('lock_timeout', '4s', false)")
        with connection.transaction():
            connection.execute(ONE_AT_A_TIME)
            connection.execute(_script_text("bootstrap.sql"))
        state = status(connection)
        if state.problems:
            raise ConfigurationError("The database cannot be migrated: " + "; ".join(state.problems) + ".")
        pending = set(state.pending)
        for script in scripts():
            if str(script) in pending:
                report(f"applying {script}")
                _apply(connection, script, version)
        with connection.transaction():
            connection.execute("SET LOCAL ROLE almagest_admin")
            connection.execute(_script_text("grants.sql"))
            connection.execute("SELECT almagest.extend_audit()")  # before anybody writes
            if pending:
                connection.execute("SELECT almagest.note_commit('')")  # answers may be others now
        keeping.keep(connection, report)
        keeping.adopt(connection, report)
        lineage.gather(connection, report)
        return status(connection)
    finally:
        connection.execute("SELECT pg_advisory_unlock(%s)", (ADVISORY_LOCK,))
        connection.execute("RESET lock_timeout")


def pgstac_version(connection: psycopg.Connection) -> str | None:
    """Version of the installed pgSTAC, None where there is none."""
    row = connection.execute("SELECT to_regclass('pgstac' || '.migrations') IS NOT NULL").fetchone()
    if not row or not row[0]:
        return None
    table = sql.Identifier("pgstac", "migrations")
    row = connection.execute(
        sql.SQL("SELECT version FROM {} ORDER BY datetime DESC, version DESC LIMIT 1").format(table)
    ).fetchone()
    return str(row[0]) if row else None


def _apply(connection: psycopg.Connection, script: Script, version: str) -> None:
    with connection.transaction():
        connection.execute("SET LOCAL ROLE almagest_admin")
        connection.execute(script.text)
        connection.execute(
            """
            INSERT INTO almagest.ledger (set_name, name, kind, sha256, app_version, pgstac_version)
            VALUES (%s, %s, %s, %s, %s, %s)
            ON CONFLICT (set_name, name) DO UPDATE
            SET sha256 = EXCLUDED.sha256, applied_at = clock_timestamp(),
                app_version = EXCLUDED.app_version, pgstac_version = EXCLUDED.pgstac_version
            """,
            (script.set_name, script.name, script.kind, script.sha256, metadata.version("almagest"), version),
        )


def _ledger(connection: psycopg.Connection) -> dict[tuple[str, str], tuple[str, str]]:
    """Kind and hash of every applied script, by set and name."""
    row = connection.execute("SELECT to_regclass('almagest.ledger') IS NOT NULL").fetchone()
    if not row or not row[0]:
        return {}
    rows = connection.execute("SELECT set_name, name, kind, sha256 FROM almagest.ledger ORDER BY 1, 2").fetchall()
    return {(set_name, name): (kind, digest) for set_name, name, kind, digest in rows}


def _script_text(name: str) -> str:
    return (_sql_root() / name).read_text(encoding="utf-8")
