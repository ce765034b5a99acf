"""The settings, as small frozen classes, one per concern, read from ``ALMAGEST_*`` variables."""

from __future__ import annotations

import ipaddress
import re
import sys
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from almagest.core.places import place

#: Kinds of machines, and so of jobs. A worker takes jobs of those that it was started for.
QUEUES = ("default", "download", "cpu", "gpu")

_ELSEWHERE = re.compile(r"(ops|flower|(?:external-)?(?:stac|tiles))=([A-Za-z0-9._-]+):([0-9]{1,5})")


class Group(BaseSettings):
    """Variables of one concern."""

    model_config = SettingsConfigDict(env_prefix="ALMAGEST_", frozen=True, extra="ignore", env_ignore_empty=True)


def _split(value: object) -> object:
    """Turn ``"a, b"`` into ``("a", "b")``; leave everything else to pydantic."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


class Site(Group):
    """Where the catalogue lives and how it is reached."""

    home: Path = Field(
        Path(".almagest"),
        description="Folder of all state: cluster, store, secrets, logs. Where there is none by this name: the one that"
        " this program is installed in.",
    )
    bind: str = Field("127.0.0.1", description="Address that nginx listens on.")
    port: int = Field(8080, ge=1, le=65535, description="Port that nginx listens on.")
    public_url: str = Field(
        "",
        description="Origin that links are built from; empty: `http://{bind}:{port}`.",
        pattern=r"^(https?://[^/]+)?$",
    )
    browser: Path | None = Field(None, description="Folder of the built STAC Browser; empty: `{home}/browser`.")
    secrets: Path | None = Field(None, description="Folder of secrets, one file each; empty: `{home}/secrets`.")
    user: str = Field("almagest", description="Unprivileged user that everything runs as when started by root.")
    workers: int = Field(2, ge=1, le=64, description="STAC API processes per audience.")
    tile_workers: int = Field(2, ge=1, le=64, description="Tile processes per audience.")
    ops_workers: int = Field(2, ge=1, le=64, description="Processes that check keys and tell about health.")
    flower: bool = Field(
        False,
        description="Run Flower, Celery's own view of its workers, for admins at `/ops/ui/flower/`: one more process,"
        " and workers that tell of each task.",
    )
    services: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Services that answer over TCP elsewhere, as `stac=host:8000` (comma-separated); empty: all on"
        " Unix sockets here.",
    )
    max_body_mb: int = Field(100, ge=1, description="Largest request body that nginx lets through [MB].")
    request_timeout_s: int = Field(60, ge=1, description="Longest time that nginx waits for an answer [s].")
    internal_networks: Annotated[tuple[str, ...], NoDecode] = Field(
        ("127.0.0.0/8", "::1/128"),
        description="Networks from which `/api` and `/ops` may be read without a key (comma-separated).",
    )
    internal_read: Literal["open", "key"] = Field(
        "open", description="`key`: `/api` and `/ops` ask for a key even inside those networks."
    )
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Networks of the proxies in front of nginx, whose X-Forwarded-For is believed."
    )
    public_port: int | None = Field(
        None, ge=1, le=65535, description="Port of a second listener that serves only `/` and `/external`."
    )
    public_bind: str = Field("", description="Address of the second listener; empty: `ALMAGEST_BIND`.")
    anonymous_rate: int = Field(
        50, ge=1, description="Requests a second from one address outside the internal networks."
    )
    anonymous_burst: int = Field(500, ge=0, description="Requests beyond that rate that are still taken at once.")

    _split_lists = field_validator("internal_networks", "trusted_proxies", "services", mode="before")(_split)

    @field_validator("services")
    @classmethod
    def _addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for address in value:
            if not _ELSEWHERE.fullmatch(address):
                raise ValueError(f"{address!r} is not `service=host:port`, with a service behind nginx")
        return value

    @field_validator("internal_networks", "trusted_proxies")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(ipaddress.ip_network(network)) for network in value)

    @field_validator("home")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        around = Path(sys.prefix).parent
        if value == Path(".almagest") == Path(around.name) and not value.exists():
            value = around
        return value.expanduser().resolve()  # sockets are named by it: one place must have one name

    def elsewhere(self, service: str) -> tuple[str, int] | None:
        """Host and port where a service answers over TCP; None where it runs here."""
        found = {match[1]: (match[2], int(match[3])) for match in map(_ELSEWHERE.fullmatch, self.services) if match}
        return found.get(service)

    @property
    def origin(self) -> str:
        """Scheme and authority of the public site, without a trailing slash."""
        if self.public_url:
            return self.public_url
        host = f"[{self.bind}]" if ":" in self.bind else self.bind
        return f"http://{host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach what is internal."""
        return _is_loopback(self.bind)

    @property
    def is_relayed_by_strangers(self) -> bool:
        """Whether others come through a proxy that nobody has named, so that they look like this machine."""
        host = urlsplit(self.public_url).hostname
        return host is not None and self.is_loopback and not _is_loopback(host) and not self.trusted_proxies

    @property
    def is_open_to_the_world(self) -> bool:
        """Whether other machines can connect, and nobody has said which of them may read what is internal."""
        return (
            (not self.is_loopback or self.is_relayed_by_strangers)
            and self.internal_read == "open"
            and "internal_networks" not in self.model_fields_set
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Database(Group):
    """How the catalogue's PostgreSQL is reached. Passwords stand in files, never in variables."""

    model_config = SettingsConfigDict(env_prefix="ALMAGEST_DB_", frozen=True, extra="ignore", env_ignore_empty=True)

    host: str = Field("", description="Host or socket folder; empty: the private cluster's socket.")
    port: int = Field(5439, ge=1, le=65535, description="Port of PostgreSQL (also the name of its socket).")
    name: str = Field("almagest", description="Database.")
    admin_user: str = Field("postgres", description="Role that migrates, a superuser.")
    pool_max: int = Field(8, ge=1, description="Connections each process opens at most.")
    statement_timeout_s: float = Field(30.0, gt=0, description="Longest statement of a read [s].")
    external_timeout_s: float = Field(10.0, gt=0, description="Longest statement of a read from outside [s].")

    def timeout_s(self, role: str) -> float:
        """Longest statement of a role that reads [s]."""
        return self.external_timeout_s if role == "almagest_external" else self.statement_timeout_s


class Replica(Group):
    """A streaming replica that serves reads. It has the roles and passwords of the database that it replicates."""

    model_config = SettingsConfigDict(env_prefix="ALMAGEST_READ_", frozen=True, extra="ignore", env_ignore_empty=True)

    dsn: str = Field(
        "",
        description="Streaming replica that serves reads, as `postgresql://host:port/dbname` or `host=… port=…`; empty:"
        " reads go where writes go.",
    )
    max_age_s: float = Field(
        60.0, gt=0, description="A replica that may be further behind is named by health checks [s]."
    )

    @field_validator("dsn")
    @classmethod
    def _one_place(cls, value: str) -> str:
        if value:
            place(value, "")
        return value


class Store(Group):
    """Where asset bytes lie, and which hrefs may be opened on somebody's behalf."""

    store: Path | None = Field(None, description="Directory store for assets; empty: `{home}/store`.")
    store_roots: Annotated[tuple[Path, ...], NoDecode] = Field(
        (), description="Further folders whose files may be read through `file://` hrefs (comma-separated)."
    )
    asset_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Remote hosts that the tiler may read from over https (comma-separated)."
    )

    _split_lists = field_validator("store_roots", "asset_hosts", mode="before")(_split)


class S3(Group):
    """The bucket of an S3 store. Its keys stand among the secrets, as `s3.access` and `s3.secret`."""

    model_config = SettingsConfigDict(env_prefix="ALMAGEST_S3_", frozen=True, extra="ignore", env_ignore_empty=True)

    bucket: str = Field("", description="Bucket of the S3 store; empty: there is none.")
    endpoint: str = Field("", description="Endpoint of the S3 service; empty: AWS.", pattern=r"^(https?://[^/]+)?$")
    region: str = Field("us-east-1", description="Region of the bucket.")
    link_seconds: int = Field(300, ge=1, le=604800, description="How long a presigned link to an asset works [s].")

    @property
    def address(self) -> str:
        """Scheme and authority of the service."""
        return self.endpoint or f"https://s3.{self.region}.amazonaws.com"


class Audience(Group):
    """What the public may see. Rules for collections and properties stand in the database: `almagest audience`."""

    visible_schemes: Annotated[tuple[str, ...], NoDecode] = Field(
        ("http", "https"), description="Schemes of hrefs that outsiders may see (comma-separated)."
    )
    visible_buckets: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="S3 buckets whose `s3://` hrefs outsiders may see; never our own (comma-separated)."
    )
    collections: Literal["public", "internal"] = Field(
        "public", description="What a collection is that no rule of `almagest audience` names."
    )

    model_config = SettingsConfigDict(
        env_prefix="ALMAGEST_AUDIENCE_", frozen=True, extra="ignore", env_ignore_empty=True
    )

    _split_lists = field_validator("visible_schemes", "visible_buckets", mode="before")(_split)

    @field_validator("visible_schemes")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        unknown = sorted(set(value) - {"http", "https"})
        if unknown:
            raise ValueError(f"{unknown[0]} can never be shown to outsiders (s3 is shown by bucket)")
        return value

    @field_validator("visible_buckets")
    @classmethod
    def _buckets(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for bucket in value:
            if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", bucket):
                raise ValueError(f"{bucket!r} is not the name of a bucket")
        return value


class Api(Group):
    """What the STAC API says of itself and what it accepts."""

    title: str = Field("Almagest", description="Title of the catalogue.")
    description: str = Field(
        "STAC-native catalogue of imagery and everything made from it.", description="Description of the catalogue."
    )
    catalog_id: str = Field("almagest", description="Id of the root catalogue.")
    validate_extensions: bool = Field(False, description="Validate extension schemas on every write.")
    schema_mirror: Path | None = Field(
        None, description="Folder of mirrored JSON schemas (`host/path`) for extension validation without a network."
    )
    require_if_match: bool = Field(
        False,
        description="Refuse changes that do not say what they change (`If-Match`); bulk requests only add then. Who"
        " adds or removes one asset by its key need not say it.",
    )
    stream_max_items: int = Field(
        10_000_000, ge=1, description="Items in one stream (ndjson, parquet) at most, for those inside."
    )
    stream_max_items_external: int = Field(
        200_000, ge=1, description="Items in one stream (ndjson, parquet) at most, for outsiders."
    )
    answer_cache_mb: int = Field(
        64,
        ge=0,
        description="Answers that each process keeps, to be sent again while nothing has changed [MiB].",
    )


class Tiles(Group):
    """Limits of the tiler."""

    model_config = SettingsConfigDict(env_prefix="ALMAGEST_TILES_", frozen=True, extra="ignore", env_ignore_empty=True)

    cache_mb: int = Field(128, ge=0, description="GDAL block cache per process [MB].")
    threads: int = Field(4, ge=1, description="Threads that read the assets of one picture at the same time.")
    concurrency: int = Field(8, ge=1, description="Pictures that one process makes at the same time.")
    max_size_px: int = Field(2048, ge=1, description="Largest width or height of a rendered picture [px].")
    mosaic_items: int = Field(50, ge=1, description="Items that one mosaic tile reads at most.")


class Work(Group):
    """Workers, and what tells them of jobs."""

    model_config = SettingsConfigDict(env_prefix="ALMAGEST_WORK_", frozen=True, extra="ignore", env_ignore_empty=True)

    workers: int = Field(1, ge=0, le=64, description="Worker processes on this machine.")
    slots: int = Field(2, ge=1, le=256, description="Jobs that one worker does at the same time.")
    queues: Annotated[tuple[str, ...], NoDecode] = Field(
        ("default", "download", "cpu"), description="Kinds of jobs that workers here do (comma-separated)."
    )
    lease_s: float = Field(
        60.0, ge=2, description="A worker that gives no sign of life for so long has lost its jobs [s]."
    )
    poll_s: float = Field(5.0, gt=0, description="Time between two looks for jobs that nobody rang for [s].")
    retention_days: float = Field(30.0, gt=0, description="How long jobs that have ended are kept [days].")
    callback_networks: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Networks that callbacks may go to although they are private (comma-separated). All others that are"
        " not of the public Internet are refused.",
    )
    callback_ports: Annotated[tuple[int, ...], NoDecode] = Field(
        (80, 443), description="Ports that callbacks may go to (comma-separated)."
    )
    ingest_roots: Annotated[tuple[Path, ...], NoDecode] = Field(
        (), description="Folders of the workers that the process `ingest` may read (comma-separated)."
    )
    ingest_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Hosts that the process `ingest` may read over http or https (comma-separated)."
    )
    redis_host: str = Field("", description="Host of Redis; empty: the private one's socket.")
    redis_port: int = Field(6379, ge=1, le=65535, description="Port of Redis, where it has a host.")

    _split_lists = field_validator(
        "queues", "callback_networks", "callback_ports", "ingest_roots", "ingest_hosts", mode="before"
    )(_split)

    @field_validator("queues")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        unknown = sorted(set(value) - set(QUEUES))
        if unknown or not value:
            raise ValueError(f"there are the queues {', '.join(QUEUES)}")
        return value

    @field_validator("callback_networks")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(ipaddress.ip_network(network)) for network in value)

    @field_validator("callback_ports")
    @classmethod
    def _ports(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not value or not all(0 < port < 65536 for port in value):
            raise ValueError("a port is 1 to 65535, and there is at least one")
        return value


class Accounts(Group):
    """Who may have an account, and who else vouches for people."""

    registration: Literal["internal", "open", "closed"] = Field(
        "internal",
        description="Who may make an account: whoever is in `ALMAGEST_INTERNAL_NETWORKS`, everybody, or only an admin"
        " for somebody.",
    )
    session_days: float = Field(30.0, gt=0, le=365, description="How long somebody stays logged in [days].")
    oidc_issuer: str = Field(
        "",
        description="OpenID provider that people may log in with, as its discovery document names it; empty: none. Its"
        " secret is the file `oidc.secret`.",
        pattern=r"^(https?://[^/?#]+(/[^?#]*)?)?$",
    )
    oidc_client_id: str = Field("almagest", description="What we are called there.", min_length=1)
    oidc_name: str = Field("single sign-on", description="What people call that provider.", min_length=1)


class Client(Group):
    """How commands reach a catalogue that runs elsewhere. Services know nothing of it."""

    api_url: str = Field(
        "", description="STAC API that commands talk to, like `https://host/api`.", pattern=r"^(https?://.+)?$"
    )
    key_file: Path | None = Field(None, description="File with the key for that API.")
    key: SecretStr | None = Field(None, description="The key itself; a file is the better place.")


GROUPS: tuple[type[Group], ...] = (Site, Database, Replica, Store, S3, Audience, Api, Tiles, Work, Accounts, Client)

#: The groups by the names that they have in ``Settings`` and in configuration files.
SECTIONS: dict[str, type[Group]] = {group.__name__.lower(): group for group in GROUPS}
