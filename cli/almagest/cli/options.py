"""Options that several commands share, and whether a command talks to the database or to an API."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from almagest.cli.output import console
from almagest.core import secrets
from almagest.core.configuration import Configuration
from almagest.core.errors import ConfigurationError
from almagest.core.settings import Settings, brief

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Configuration (YAML); `almagest init` writes one."),
]
DbHost = Annotated[str | None, typer.Option(metavar="HOST", help="Host of the database, or the folder of its socket.")]
DbPort = Annotated[int | None, typer.Option(min=1, max=65535, metavar="PORT", help="Port of the database.")]
DbName = Annotated[str | None, typer.Option(metavar="NAME", help="Name of the database.")]
DbUser = Annotated[
    str | None,
    typer.Option(metavar="USER", help="Role to write as; its password comes from PGPASSWORD, else from the secrets."),
]
ApiUrl = Annotated[str | None, typer.Option(metavar="URL", help="STAC API to talk to, like `https://host/api`.")]
Key = Annotated[
    str | None, typer.Option(metavar="KEY", help="Key for the API. Others can see it: rather use ALMAGEST_KEY.")
]
KeyFile = Annotated[Path | None, typer.Option(metavar="FILE", help="File with the key for the API.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say more of what is done.")]

_WRITER = "almagest_writer"
_KEY = re.compile("[!-~]+")
#: Before the host; behind what would be a port, the password has a slash in it.
_PASSWORD = re.compile(r"\s*[a-z][a-z0-9+.-]*:/*([^/?#]*@|[^/?#\[]*:\d*[^\d/?#].*@)", re.IGNORECASE)


@dataclass(frozen=True)
class Database:
    """A database to write to, and as whom."""

    settings: Settings
    user: str
    #: None: PostgreSQL finds one by its own means, or asks for none.
    password: str | None = field(repr=False)


@dataclass(frozen=True)
class Api:
    """A STAC API, without a slash at its end."""

    url: str
    key: str | None = field(repr=False)


def target(
    configuration: Configuration,
    *,
    db_host: str | None = None,
    db_port: int | None = None,
    db_name: str | None = None,
    db_user: str | None = None,
    api_url: str | None = None,
    key: str | None = None,
    key_file: Path | None = None,
) -> Database | Api:
    """Where a command that can do both writes to.

    Flags decide; without any, the layer of the configuration that says most; the database of the stack here at last.

    Raises:
        ConfigurationError: the configuration cannot be used.
    """
    named = [db_host, db_port, db_name, db_user]
    if api_url and any(value is not None for value in named):
        raise typer.BadParameter("it goes either to an API or to a database.", param_hint="'--api-url' / '--db-…'")
    by_api = configuration.rank("client.api_url") > max(map(configuration.rank, ("database.host", "ingest.db_host")))
    if api_url or (by_api and all(value is None for value in named)):
        return api(configuration, api_url=api_url, key=key, key_file=key_file)
    if key or key_file:
        raise typer.BadParameter("a key is for an API: name it with --api-url.", param_hint="'--key' / '--key-file'")
    return database(configuration, db_host=db_host, db_port=db_port, db_name=db_name, db_user=db_user)


def database(
    configuration: Configuration,
    *,
    db_host: str | None = None,
    db_port: int | None = None,
    db_name: str | None = None,
    db_user: str | None = None,
) -> Database:
    """The database to write to: as flags say, else section `ingest`, else section `database`, else the stack here.

    Raises:
        ConfigurationError: the configuration cannot be used.
    """
    from almagest.cli.stack import session

    ingest = configuration.section("ingest")
    decided = configuration
    for name, flag in {"host": db_host, "port": db_port, "name": db_name}.items():
        ours, theirs = f"database.{name}", f"ingest.db_{name}"
        if flag is not None:
            decided = decided.over({ours: flag})
        elif configuration.rank(theirs) >= max(1, configuration.rank(ours)):
            decided = decided.over({ours: ingest[f"db_{name}"]}, configuration.where(theirs))
    settings = session.look(decided)
    user = db_user or ingest.get("db_user")
    if not user:
        return Database(settings, _WRITER, secrets.read(settings.secrets, _WRITER) or os.environ.get("PGPASSWORD"))
    password = os.environ.get("PGPASSWORD")
    if not password and (password := ingest.get("db_password")):
        place = configuration.where("ingest.db_password")
        console.print(f"{place} holds a password: PGPASSWORD is a better place.", markup=False, soft_wrap=True)
    return Database(settings, str(user), str(password or "") or secrets.read(settings.secrets, str(user)))


def api(
    configuration: Configuration,
    *,
    api_url: str | None = None,
    key: str | None = None,
    key_file: Path | None = None,
) -> Api:
    """The API to talk to: as flags say, else section `client`, else section `query`, else that of the stack here.

    Raises:
        ConfigurationError: the configuration cannot be used, or no address is one.
    """
    from almagest.cli.stack import session

    client = configuration.client
    url = api_url or client.api_url or configuration.section("query").get("api_url")
    url = url or f"{session.look(configuration).site.origin}/api"
    if isinstance(url, str):
        require_address(url)
    if not isinstance(url, str) or not url.startswith(("http://", "https://")):
        raise ConfigurationError(f"{brief(url)} is not the address of an API: it begins with http:// or https://.")
    if not key and not key_file and configuration.rank("client.key") >= configuration.rank("client.key_file"):
        key = client.key.get_secret_value() if client.key else None
    key = key or _key_in(key_file or client.key_file)
    if key and not _KEY.fullmatch(key):
        # Not even a part of it: it may be the whole key, with a line break.
        raise ConfigurationError("That is no key: a key is letters, digits and signs of ASCII, without a space.")
    return Api(url.rstrip("/"), key)


def require_address(location: str) -> None:
    """Refuses what leads nowhere, and addresses with a password: what is said, logged or stored would show it.

    Raises:
        ConfigurationError: it is one of these.
    """
    if not location:
        raise ConfigurationError("An empty name leads nowhere.")
    if _PASSWORD.match(location):
        raise ConfigurationError("An address with a password in it is not taken: a key goes into ALMAGEST_KEY.")


def require_text(text: str, option: str) -> None:
    """Refuses what a terminal of another encoding has made of a text."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise typer.BadParameter("this is not text in UTF-8.", param_hint=f"'{option}'") from None


def _key_in(file: Path | None) -> str | None:
    if file is None:
        return None
    try:
        found = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigurationError(f"The key in {file} cannot be read: {reason}.") from None
    if not found:
        raise ConfigurationError(f"{file} is empty: it should hold a key.")
    return found
