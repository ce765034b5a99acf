"""A connection to the catalogue's database that is made anew when it breaks."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import psycopg

from almagest.catalogue.database import authorship
from almagest.core import secrets
from almagest.core.errors import DatabaseUnavailableError

if TYPE_CHECKING:
    from almagest.core.settings import Settings

T = TypeVar("T")

#: How long a database that went away is waited for [s]: a restart, or the promotion of a standby.
PATIENCE_S = 60.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 5.0
#: Classes and codes that say that the server goes, comes or has no room for another session, ...
_AWAY = ("08", "57P", "53300")
#: ... or that others are at the same rows.
_BUSY = ("40", "55P03")


@dataclass(frozen=True)
class Access:
    """Where the database is and as whom it is written to.

    Attributes:
        host: name or socket folder.
        port, database: of the server.
        user: a role that may write: a member of ``almagest_writer``, or a superuser.
        password: the role's; None where the server asks for none.
        patience_s: how long a database that went away is waited for.
        actor: who makes the changes; None: whoever runs this program.
        job: as which job.
    """

    host: str
    port: int
    database: str
    user: str = "almagest_writer"
    password: str | None = None
    patience_s: float = PATIENCE_S
    actor: str | None = None
    job: str | None = None

    @classmethod
    def of(cls, settings: Settings, user: str = "almagest_writer", password: str | None = None) -> Access:
        """The database of an installation; the role's password is among the secrets, unless it is given."""
        known = password or secrets.read(settings.secrets, user)
        return cls(settings.db_host, settings.database.port, settings.database.name, user, known)

    def __repr__(self) -> str:
        return f"{self.user} at {self.host}, port {self.port}, database {self.database}"

    def connect(self) -> psycopg.Connection:
        """Opens a connection that commits each statement by itself unless told otherwise.

        Raises:
            DatabaseUnavailableError: nobody answers, or the role is refused; says where it was looked for.
        """
        try:
            return psycopg.connect(
                host=self.host,
                port=self.port,
                dbname=self.database,
                user=self.user,
                password=self.password,
                connect_timeout=10,
                application_name="almagest ingest",
                autocommit=True,
                # What the role of the services starts with; another role starts with something else.
                options="-c search_path=almagest,public -c jit=off -c lock_timeout=30s -c timezone=UTC "
                + authorship(self.actor, self.job),
            )
        except psycopg.OperationalError as error:
            reason = str(error).strip().splitlines()[-1]
            raise DatabaseUnavailableError(f"No connection to the database as {self!r}: {reason}") from None


class Line:
    """Runs work on a connection, again on a new one where it broke.

    Args:
        access: how to connect.
        say: is told when the database is away.
        rest: waits; what it raises ends the waiting.
        proven: whether somebody has reached the database already, so that it is worth waiting for.
    """

    def __init__(
        self,
        access: Access,
        say: Callable[[str], None] = lambda _: None,
        rest: Callable[[float], None] = time.sleep,
        *,
        proven: bool = False,
    ) -> None:
        self._access, self._say, self._rest = access, say, rest
        self._connection: psycopg.Connection | None = None
        self._worked = proven

    def run(self, work: Callable[[psycopg.Connection], T]) -> T:
        """What ``work`` answers. It may be called several times: whatever it changes, it changes in one transaction.

        Raises:
            DatabaseUnavailableError: the database did not come back in time, or was never there.
        """
        since: float | None = None
        pause = _FIRST_PAUSE_S
        while True:
            try:
                if self._connection is None or self._connection.closed:
                    self._connection = self._access.connect()
                answer = work(self._connection)
            except (psycopg.OperationalError, psycopg.InterfaceError, DatabaseUnavailableError) as error:
                # Not from the start: work may well take longer than a database is waited for.
                since = since or time.monotonic()
                if _is_busy(error):
                    self._wait("others are changing the same collections", error, since, pause)
                elif self._worked and is_away(error):
                    self.close()
                    self._wait("the database is away", error, since, pause)
                else:
                    raise
                pause = min(2 * pause, _LONGEST_PAUSE_S)
            else:
                self._worked = True
                return answer

    def _wait(self, what: str, error: Exception, since: float, pause: float) -> None:
        reason = (str(error).strip() or type(error).__name__).splitlines()[-1].rstrip(".")
        left = self._access.patience_s - (time.monotonic() - since)
        if left <= 0:
            raise DatabaseUnavailableError(
                f"For {self._access.patience_s:.0f} s {what}: {reason}. What was stored stays: the same command goes on"
                " from there."
            ) from error
        self._say(f"{what} ({reason}); trying again for {left:.0f} s")
        self._rest(min(pause, left))

    def close(self) -> None:
        """Ends the connection, if there is one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def is_away(error: Exception) -> bool:
    """Whether an error says that the database is not there, rather than that it refuses something."""
    if isinstance(error, DatabaseUnavailableError):
        return True
    state = getattr(error, "sqlstate", None)
    return state is None or state.startswith(_AWAY)


def _is_busy(error: Exception) -> bool:
    return (getattr(error, "sqlstate", None) or "").startswith(_BUSY)
