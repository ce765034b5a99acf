"""nginx's configuration as text: pure functions of the settings, and the two that touch the disk."""

from __future__ import annotations

import hashlib
import os
import re
import resource
import subprocess
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from urllib.parse import urlsplit

from almagest.core import executables, processes, secrets
from almagest.core.errors import PROBLEM_TYPES, ConfigurationError
from almagest.core.settings import Settings
from almagest.services.proxy import policy

_JS_MODULE = "ngx_http_js_module.so"
_MODULE_FOLDERS = (Path("/usr/lib/nginx/modules"), Path("/usr/lib64/nginx/modules"), Path("/etc/nginx/modules"))
_AUTHORITY = re.compile(r"[A-Za-z0-9.\-]+(:\d+)?|\[[0-9A-Fa-f:.]+\](:\d+)?")
_ADDRESS = re.compile(r"[A-Za-z0-9.\-]+|\[?[0-9A-Fa-f:.]+\]?")
# Whatever could end a quoted string of nginx's, or start one of its variables.
_UNQUOTABLE = re.compile(r'["$\\\x00-\x1f\x7f]')


@dataclass(frozen=True)
class Upstream:
    """Processes that answer the same requests, each on its own Unix socket."""

    name: str
    sockets: tuple[Path, ...]


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


def find_js_module() -> Path:
    """The module by which nginx runs JavaScript.

    Raises:
        ConfigurationError: it is not installed.
    """
    for folder in _MODULE_FOLDERS:
        if (folder / _JS_MODULE).exists():
            return folder / _JS_MODULE
    raise ConfigurationError(
        "nginx's JavaScript module is not installed; `make up` installs it (Debian package `libnginx-mod-http-js`)."
    )


def upstreams(settings: Settings) -> tuple[Upstream, ...]:
    """The services behind nginx."""
    return tuple(Upstream(service.name, service.sockets(settings)) for service in processes.services(settings))


def configuration(settings: Settings, js_module: Path) -> str:
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
    environment.filters["regex"] = re.escape
    open_files = min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 16384)
    return environment.get_template("nginx.conf.j2").render(
        js_module=js_module,
        prefix=prefix(settings),
        browser=settings.browser_path,
        listen=_listen(settings),
        netloc=_authority(settings),
        scheme=urlsplit(settings.site.origin).scheme,
        upstreams=upstreams(settings),
        audiences=policy.AUDIENCES,
        refusals=policy.REFUSALS,
        problem_types=PROBLEM_TYPES,
        passed_headers=policy.PASSED_HEADERS,
        content_policies=policy.CONTENT_POLICIES,
        worker_processes=min(os.cpu_count() or 1, 4),
        open_files=open_files,
        max_body_mb=settings.site.max_body_mb,
        request_timeout_s=settings.site.request_timeout_s,
    )


def key_map(settings: Settings) -> str:
    """The include file of the map ``$is_unknown``: the write key is the one known, by its SHA-256 alone."""
    key = secrets.read(settings.secrets, secrets.WRITE_KEY)
    return f"{hashlib.sha256(key.encode()).hexdigest()} 0;\n" if key else ""


def write(settings: Settings) -> Path:
    """Write everything that nginx reads; return the configuration's path.

    Raises:
        ConfigurationError: a setting cannot be written into it, the folder cannot be written, or nginx is missing.
    """
    text = configuration(settings, find_js_module())
    target = configuration_path(settings)
    script = resources.files("almagest.services.proxy").joinpath("bearer.js").read_text()
    try:
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        (prefix(settings) / "tmp").mkdir(exist_ok=True, mode=0o700)
        for name, content in (("keys.map", key_map(settings)), ("bearer.js", script), (target.name, text)):
            _replace(target.parent / name, content)
    except OSError as error:
        raise ConfigurationError(f"{target.parent} cannot be written: {error.strerror}.") from None
    return target


def check(settings: Settings) -> None:
    """Let nginx read what :func:`write` wrote.

    Raises:
        ConfigurationError: it would not start with it; quotes nginx.
    """
    options = ["-p", f"{prefix(settings)}/", "-c", str(configuration_path(settings)), "-e", "stderr"]
    result = subprocess.run(  # noqa: S603
        [executables.find("nginx", "nginx"), "-t", *options],
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        lines = [line for line in result.stderr.splitlines() if "[emerg]" in line] or result.stderr.splitlines()
        raise ConfigurationError(f"nginx refuses its configuration: {lines[0] if lines else 'it says nothing'}")


def _listen(settings: Settings) -> str:
    bind = settings.site.bind
    if not _ADDRESS.fullmatch(bind):
        raise ConfigurationError(f"ALMAGEST_BIND: {bind!r} is not an address to listen on.")
    address = f"[{bind}]" if ":" in bind and not bind.startswith("[") else bind
    return f"{address}:{settings.site.port}"


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
