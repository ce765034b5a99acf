"""The one place for settings: all groups together, what follows from them, and what is said of those that cannot be.

Nothing else in the house reads the environment. Where a library wants to (titiler, GDAL), the launcher renders its
variables from these values (:mod:`almagest.services.tiles.environment`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import ValidationError

from almagest.core.errors import ConfigurationError
from almagest.core.groups import (
    GROUPS,
    S3,
    SECTIONS,
    Accounts,
    Api,
    Audience,
    Client,
    Database,
    Group,
    Replica,
    Site,
    Store,
    Tiles,
    Work,
)
from almagest.core.places import Place, place

__all__ = [
    "GROUPS",
    "S3",
    "SECTIONS",
    "Accounts",
    "Api",
    "Audience",
    "Client",
    "Database",
    "Replica",
    "Settings",
    "Site",
    "Store",
    "Tiles",
    "Work",
    "brief",
    "explain",
    "is_set",
    "table",
    "variable",
]


@dataclass(frozen=True)
class Settings:
    """All groups together, and the paths that follow from them."""

    site: Site = field(default_factory=Site)
    database: Database = field(default_factory=Database)
    replica: Replica = field(default_factory=Replica)
    store: Store = field(default_factory=Store)
    s3: S3 = field(default_factory=S3)
    audience: Audience = field(default_factory=Audience)
    api: Api = field(default_factory=Api)
    tiles: Tiles = field(default_factory=Tiles)
    work: Work = field(default_factory=Work)
    accounts: Accounts = field(default_factory=Accounts)

    @classmethod
    def load(cls) -> Settings:
        """Read the environment.

        Raises:
            ConfigurationError: a variable has a value that its setting cannot take; names the variable.
        """
        try:
            return cls()
        except ValidationError as error:
            raise ConfigurationError(explain(error)) from None

    @property
    def secrets(self) -> Path:
        """Folder of secrets, one file each; the one that we make ourselves has mode 0700, its files 0600."""
        return self.site.secrets or self.site.home / "secrets"

    @property
    def logs(self) -> Path:
        """Folder of logs, one file per process."""
        return self.site.home / "logs"

    @cached_property
    def run(self) -> Path:
        """Folder of sockets. A path over ~100 bytes does not fit a Unix socket's name, so a long one moves to /tmp."""
        import hashlib

        run = self.site.home / "run"
        if len(str(run)) <= 80:
            return run
        digest = hashlib.sha256(str(run).encode()).hexdigest()[:12]
        return Path("/tmp") / f"almagest-{digest}"  # noqa: S108 (its owner and mode are checked where it is made)

    @property
    def store_path(self) -> Path:
        """The directory store."""
        return self.store.store or self.site.home / "store"

    @property
    def browser_path(self) -> Path:
        """The built STAC Browser."""
        return self.site.browser or self.site.home / "browser"

    @property
    def file_roots(self) -> tuple[Path, ...]:
        """Folders under which a ``file://`` href may be read."""
        return (self.store_path, *self.store.store_roots)

    @property
    def db_host(self) -> str:
        """Host or socket folder of PostgreSQL."""
        return self.database.host or str(self.run)

    @property
    def primary(self) -> Place:
        """The database that takes writes."""
        return Place(self.db_host, self.database.port, self.database.name)

    @property
    def read_replica(self) -> Place | None:
        """The replica that serves reads, if there is one."""
        return place(self.replica.dsn, self.database.name) if self.replica.dsn else None

    @property
    def netloc(self) -> str:
        """Host and port of the public site, as they stand in links."""
        return urlsplit(self.site.origin).netloc


def explain(error: ValidationError, places: Mapping[str, str] | None = None) -> str:
    """One sentence on what cannot be used, and where it stands: in a variable, unless ``places`` says where."""
    group = next((group for group in GROUPS if group.__name__ == error.title), Group)
    told = []
    for problem in error.errors():
        name = str(problem["loc"][0]) if problem["loc"] else "?"
        info = group.model_fields.get(name)
        found = "" if info and "Secret" in str(info.annotation) else f" (it is {brief(problem['input'])})"
        told.append(f"{(places or {}).get(name) or variable(group, name)}: {problem['msg']}{found}")
    return "; ".join(told)


def brief(value: object) -> str:
    """A value as a sentence shows it, however long it is, and without a password in an address."""
    text = re.sub("//[^/]*@", "//…@", re.sub("password=[^ ]*", "password=…", repr(value)))
    return text if len(text) <= 100 else f"{text[:100]}…"


def variable(group: type[Group], name: str) -> str:
    """The environment variable of a setting."""
    return f"{group.model_config.get('env_prefix', '')}{name.upper()}"


def is_set(group: type[Group], name: str) -> bool:
    """Whether the environment says something about a setting. Case does not count, and empty is not set."""
    wanted = variable(group, name)
    return bool(os.environ.get(wanted)) or any(key.upper() == wanted and value for key, value in os.environ.items())


def table() -> list[tuple[str, str, str]]:
    """Rows ``(variable, default, meaning)`` of every setting, in order; the README's table is rendered from it."""
    rows = []
    for group in GROUPS:
        for name, info in group.model_fields.items():
            default = info.default
            if default is None or default in {"", ()}:
                shown = ""
            elif isinstance(default, Path):
                shown = str(default)
            elif isinstance(default, tuple):
                shown = ",".join(map(str, default))
            else:
                shown = str(default).lower() if isinstance(default, bool) else str(default)
            rows.append((variable(group, name), shown, info.description or ""))
    return rows
