"""The private PostgreSQL cluster: made once, configured on every start."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
from pathlib import Path

from almagest.core.errors import ConfigurationError
from almagest.core.settings import Settings

OLDEST = 15

_ROOT = Path("/usr/lib/postgresql")
_SHARE = Path("/usr/share/postgresql")
_GIB = 1024**3


def data(settings: Settings) -> Path:
    """The cluster."""
    return settings.site.home / "postgres" / "data"


def binaries(settings: Settings) -> Path:
    """The folder of programs that fits the cluster, or the newest one with PostGIS where there is no cluster yet.

    Raises:
        ConfigurationError: it is not installed.
    """
    version_file = data(settings) / "PG_VERSION"
    if version_file.exists():
        version = version_file.read_text().strip()
        if not (_ROOT / version / "bin" / "postgres").exists():
            raise ConfigurationError(
                f"The cluster in {data(settings)} was made by PostgreSQL {version}, which is not installed:"
                f" install postgresql-{version} and postgresql-{version}-postgis-3."
            )
        return _ROOT / version / "bin"
    versions = [int(folder.name) for folder in _ROOT.glob("*") if folder.name.isdigit()]
    usable = [
        version
        for version in versions
        if version >= OLDEST
        and (_ROOT / str(version) / "bin" / "initdb").exists()
        and (_SHARE / str(version) / "extension" / "postgis.control").exists()
    ]
    if not usable:
        raise ConfigurationError(
            f"PostgreSQL {OLDEST} or newer with PostGIS is not installed; `make up` installs it"
            " (Debian packages `postgresql-15`, `postgresql-15-postgis-3` or newer)."
        )
    return _ROOT / str(max(usable)) / "bin"


def command(settings: Settings) -> tuple[str, ...]:
    """The server's command line; everything else stands in its configuration."""
    folder = settings.site.home / "postgres"
    return (
        str(binaries(settings) / "postgres"),
        "-D",
        str(data(settings)),
        "-c",
        f"config_file={folder}/postgresql.conf",
    )


def ensure_cluster(settings: Settings) -> bool:
    """Make the cluster where there is none; say whether it was made.

    Raises:
        ConfigurationError: `initdb` fails; quotes it.
    """
    if (data(settings) / "PG_VERSION").exists():
        return False
    draft = data(settings).with_name("data.new")  # renamed when complete: half a cluster is never taken for one
    shutil.rmtree(draft, ignore_errors=True)
    options = ["--username=postgres", "--auth=peer", "--encoding=UTF8", "--locale=C.UTF-8", "--data-checksums"]
    result = subprocess.run(  # noqa: S603
        [str(binaries(settings) / "initdb"), f"--pgdata={draft}", *options],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C.UTF-8"},
    )
    if result.returncode != 0:
        shutil.rmtree(draft, ignore_errors=True)
        lines = result.stderr.strip().splitlines() or ["it says nothing"]
        raise ConfigurationError(f"The database cluster cannot be made in {data(settings).parent}: {lines[-1]}")
    draft.rename(data(settings))
    return True


def write_configuration(settings: Settings) -> None:
    """Write the three files that PostgreSQL reads."""
    folder = settings.site.home / "postgres"
    texts = {
        "postgresql.conf": configuration(settings, _memory()),
        "pg_hba.conf": access_rules(settings.database.admin_user),
        "pg_ident.conf": identities(getpass.getuser(), settings.database.admin_user),
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o600)


def configuration(settings: Settings, memory: int) -> str:
    """``postgresql.conf`` for a machine with this much memory [bytes]."""
    folder = settings.site.home / "postgres"
    shared_mb = min(memory // 4, _GIB) // 1024**2
    values: dict[str, str | int] = {
        "hba_file": _quote(folder / "pg_hba.conf"),
        "ident_file": _quote(folder / "pg_ident.conf"),
        "listen_addresses": "'127.0.0.1'",
        "port": settings.database.port,
        "unix_socket_directories": _quote(settings.run),
        "unix_socket_permissions": "0700",
        "max_connections": 100,
        "max_locks_per_transaction": 256,
        "password_encryption": "scram-sha-256",
        "shared_buffers": f"{shared_mb}MB",
        "effective_cache_size": f"{memory // 2 // 1024**2}MB",
        "work_mem": "16MB",
        "maintenance_work_mem": f"{max(64, min(256, shared_mb // 2))}MB",
        "random_page_cost": "1.1",
        "effective_io_concurrency": 100,
        # Documents are stored compressed: with lz4 they go in, and come out, in much less time than with pglz.
        "default_toast_compression": "lz4",
        # Compiling a query costs more than running it here.
        "jit": "off",
        "wal_compression": "on",
        "max_wal_size": "2GB",
        "min_wal_size": "160MB",
        "checkpoint_timeout": "15min",
        "timezone": "'UTC'",
        "log_timezone": "'UTC'",
        "log_destination": "'stderr'",
        "logging_collector": "off",
        "log_line_prefix": "'%m [%p] %u@%d '",
        "log_lock_waits": "on",
        "log_checkpoints": "off",
    }
    lines = [f"{name} = {value}" for name, value in values.items()]
    return "# Rendered by `almagest up`: change the settings (ALMAGEST_*), not this file.\n" + "\n".join(lines) + "\n"


def access_rules(admin: str) -> str:
    """``pg_hba.conf``: the administrator by operating-system user over the socket alone, roles by password."""
    rules = [
        ("local", "all", f'"{admin}"', "", "peer map=almagest"),
        ("local", "all", "all", "", "scram-sha-256"),
        ("host", "all", f'"{admin}"', "all", "reject"),
        ("host", "all", "all", "127.0.0.1/32", "scram-sha-256"),
        ("host", "all", "all", "::1/128", "scram-sha-256"),
    ]
    return "".join(" ".join(part for part in rule if part) + "\n" for rule in rules)


def identities(user: str, admin: str) -> str:
    """``pg_ident.conf``: whom the machine knows as administrators of this cluster."""
    return "".join(f'almagest "{name}" "{admin}"\n' for name in dict.fromkeys((user, "root")))


def _quote(value: object) -> str:
    return "'{}'".format(str(value).replace("'", "''"))


def _memory() -> int:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
    except OSError:
        return total
    return min(total, int(limit)) if limit.isdigit() else total
