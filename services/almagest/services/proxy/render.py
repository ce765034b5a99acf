"""nginx's configuration as text: pure functions of the settings, and the two that touch the disk."""

from __future__ import annotations

import os
import re
import resource
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from almagest.core import executables, processes
from almagest.core.errors import PROBLEM_TYPES, ConfigurationError
from almagest.core.hrefs import OWN_FILES
from almagest.core.settings import Settings
from almagest.services.proxy import policy

_AUTHORITY = re.compile(r"[A-Za-z0-9.\-]+(:\d+)?|\[[0-9A-Fa-f:.]+\](:\d+)?")
_ADDRESS = re.compile(r"[A-Za-z0-9.\-]+|\[?[0-9A-Fa-f:.]+\]?")
# Whatever could end a quoted string of nginx's, or start one of its variables.
_UNQUOTABLE = re.compile(r'["$\\\x00-\x1f\x7f]')


@dataclass(frozen=True)
class Upstream:
    """Processes that answer the same requests."""

    name: str
    processes: tuple[processes.Process, ...]

    @property
    def sockets(self) -> tuple[Path, ...]:
        """The Unix sockets of those that run here."""
        return tuple(process.place for process in self.processes if isinstance(process.place, Path))

    @property
    def servers(self) -> tuple[str, ...]:
        """What nginx calls each of them."""
        places = [process.place for process in self.processes]
        return tuple(f"unix:{place}" if isinstance(place, Path) else place for place in places)


@dataclass(frozen=True)
class Server:
    """One listener.

    Attributes:
        listen: its address and port.
        mounts: what it serves, besides the browser.
        closed: prefixes that others serve.
    """

    listen: str
    mounts: tuple[policy.Mount, ...]
    closed: tuple[str, ...] = ()


def quote(value: object) -> str:
    """A string as nginx reads it back unchanged.

    Raises:
        ConfigurationError: nginx has no way to write it.
    """
    text = str(value)
    if _UNQUOTABLE.search(text):
        raise ConfigurationError(f"{text!r} cannot stand in nginx's configuration: no \\, $ or quotes in paths.")
    return f'"{text}"'


def prefix(settings: Settings) -> Path:
    """The folder that nginx runs in."""
    return settings.site.home / "nginx"


def configuration_path(settings: Settings) -> Path:
    """The rendered file."""
    return prefix(settings) / "conf" / "nginx.conf"


def upstreams(settings: Settings) -> tuple[Upstream, ...]:
    """The services behind nginx, as many processes of each as there are now."""
    found = [*processes.services(settings), *filter(None, [processes.flower(settings)])]
    return tuple(Upstream(service.name, service.processes(settings)) for service in found)


def mounts(settings: Settings) -> tuple[policy.Mount, ...]:
    """What the door serves."""
    return (*policy.MOUNTS, policy.FLOWER) if settings.site.flower else policy.MOUNTS


def servers(settings: Settings) -> tuple[Server, ...]:
    """The listeners: the one for everybody, and perhaps one that has nothing but what is public.

    Raises:
        ConfigurationError: an address cannot be listened on.
    """
    site = settings.site
    made = [Server(_listen(site.bind, site.port, "ALMAGEST_BIND"), mounts(settings))]
    if site.public_port:
        closed = tuple(mount.prefix for mount in policy.INTERNAL if mount.prefix.count("/") == 1)
        listen = _listen(site.public_bind or site.bind, site.public_port, "ALMAGEST_PUBLIC_BIND")
        if listen == made[0].listen:
            raise ConfigurationError("ALMAGEST_PUBLIC_PORT: the second listener needs a port of its own.")
        made.append(Server(listen, policy.EXTERNAL, closed))
    return tuple(made)


def configuration(settings: Settings) -> str:
    """The text of ``nginx.conf``.

    Raises:
        ConfigurationError: a setting cannot be written into it.
    """
    import jinja2

    environment = jinja2.Environment(  # noqa: S701 -- this is no HTML; `quote` is what escapes here
        loader=jinja2.PackageLoader("almagest.services.proxy"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["quote"] = quote
    open_files = min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 16384)
    return environment.get_template("nginx.conf.j2").render(
        prefix=prefix(settings),
        browser=settings.browser_path,
        servers=servers(settings),
        netloc=_authority(settings),
        scheme=urlsplit(settings.site.origin).scheme,
        upstreams=upstreams(settings),
        mounts=mounts(settings),
        own_files=settings.store_path / OWN_FILES,
        file_kb=policy.FILE_KB,
        file_timeout_s=max(settings.site.request_timeout_s, policy.FILE_TIMEOUT_S),
        file_roots=[str(root).rstrip("/") for root in settings.file_roots],
        internal_networks=settings.site.internal_networks,
        free_scopes=policy.FREE_SCOPES if settings.site.internal_read == "open" else (),
        trusted_proxies=settings.site.trusted_proxies,
        anonymous_rate=settings.site.anonymous_rate,
        anonymous_burst=settings.site.anonymous_burst,
        searches_at_once=policy.SEARCHES_AT_ONCE,
        followers_at_once=policy.FOLLOWERS_AT_ONCE,
        exposed_headers=policy.EXPOSED_HEADERS,
        shared_headers=policy.SHARED_HEADERS,
        refusals=policy.REFUSALS,
        pages=policy.PAGES,
        login_page=policy.LOGIN_PAGE,
        problem_types=PROBLEM_TYPES,
        passed_headers=policy.PASSED_HEADERS,
        content_policies=policy.CONTENT_POLICIES,
        worker_processes=min(os.cpu_count() or 1, 4),
        open_files=open_files,
        max_body_mb=settings.site.max_body_mb,
        request_timeout_s=settings.site.request_timeout_s,
    )


def write(settings: Settings) -> Path:
    """Write what nginx reads; return the configuration's path.

    Raises:
        ConfigurationError: a setting cannot be written into it, the folder cannot be written.
    """
    text = configuration(settings)
    target = configuration_path(settings)
    try:
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        (prefix(settings) / "tmp").mkdir(exist_ok=True, mode=0o700)
        _replace(target, text)
    except OSError as error:
        raise ConfigurationError(f"{target.parent} cannot be written: {error.strerror}.") from None
    return target


def command(settings: Settings) -> list[str]:
    """The command line of nginx with what :func:`write` wrote.

    Raises:
        ConfigurationError: it is not installed.
    """
    options = ["-p", f"{prefix(settings)}/", "-c", str(configuration_path(settings)), "-e", "stderr"]
    return [executables.find("nginx", "nginx"), *options]


def check(settings: Settings) -> None:
    """Let nginx read what :func:`write` wrote.

    Raises:
        ConfigurationError: it would not start with it; quotes nginx.
    """
    result = subprocess.run(  # noqa: S603
        [*command(settings), "-t"],
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        lines = [line for line in result.stderr.splitlines() if "[emerg]" in line] or result.stderr.splitlines()
        raise ConfigurationError(f"nginx refuses its configuration: {lines[0] if lines else 'it says nothing'}")


def _listen(bind: str, port: int, variable: str) -> str:
    if not _ADDRESS.fullmatch(bind):
        raise ConfigurationError(f"{variable}: {bind!r} is not an address to listen on.")
    address = f"[{bind}]" if ":" in bind and not bind.startswith("[") else bind
    return f"{address}:{port}"


def _authority(settings: Settings) -> str:
    if not _AUTHORITY.fullmatch(settings.netloc):
        raise ConfigurationError(f"ALMAGEST_PUBLIC_URL: {settings.netloc!r} is not `host` or `host:port`.")
    return settings.netloc


def _replace(path: Path, content: str) -> None:
    draft = path.with_name(f".{path.name}.new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(content)
    draft.replace(path)
