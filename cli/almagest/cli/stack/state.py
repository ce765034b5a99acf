"""Where the stack's state lies, and the settings it was started with."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import almagest
from almagest.core.configuration import Configuration
from almagest.core.errors import ConfigurationError
from almagest.core.settings import SECTIONS, Settings, variable

# Characters that some of the configuration files (nginx, supervisor, redis, shells) cannot carry unharmed.
_UNSAFE = re.compile(r"""["'$;{}#%*?<>|&`\\\x00-\x1f\x7f]""")

#: Folders in the home that belong to the user whom everything runs as, and their modes.
OWNED: dict[str, int] = {
    "logs": 0o750,
    "nginx": 0o700,
    "postgres": 0o700,
    "redis": 0o700,
    "run": 0o700,
    "secrets": 0o700,
    "state": 0o700,
    "store": 0o755,
    "work": 0o700,
}


def folder(settings: Settings) -> Path:
    """What the stack remembers between commands."""
    return settings.site.home / "state"


def environment(settings: Settings) -> dict[str, str]:
    """The ``ALMAGEST_*`` variables that mean exactly these settings, wherever they are read."""
    return dict(_variables(settings))


def _variables(settings: Settings) -> Iterator[tuple[str, str]]:
    for group in (getattr(settings, field.name) for field in dataclasses.fields(settings)):
        for name in type(group).model_fields:
            value = getattr(group, name)
            if value is not None:
                yield variable(type(group), name), _text(value)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(_text(part) for part in value)
    # A relative path means another place in a process that runs elsewhere.
    return str(value.absolute() if isinstance(value, Path) else value)


def pin(settings: Settings) -> None:
    """Make the variables that were given mean the same from another folder and as another user."""
    for name, value in _variables(settings):
        if name in os.environ or name == "ALMAGEST_HOME":
            os.environ[name] = value


def adopt(configuration: Configuration | None = None) -> Settings:
    """The settings of files, environment and flags together, said in this shell's own words from here on.

    All that asks later what this shell says, and all children, need to know no files.
    """
    configuration = configuration or Configuration.load()
    settings = configuration.settings()
    meant = environment(settings)
    for name in configuration.given():
        section, _, key = name.partition(".")
        if (said := variable(SECTIONS[section], key)) in meant:
            os.environ[said] = meant[said]
    return settings


def load(overrides: Mapping[str, str] | None = None) -> Settings:
    """The settings of the environment, with some variables replaced (for this process and its children)."""
    os.environ.update(overrides or {})
    return Settings.load()


def remember(settings: Settings, **more: Any) -> None:
    """Keep the settings the stack was started with, so that other shells find it."""
    target = folder(settings) / "stack.json"
    draft = target.with_suffix(".new")
    draft.write_text(json.dumps({**recall(settings), "settings": environment(settings), **more}, indent=2) + "\n")
    draft.replace(target)


def recall(settings: Settings) -> dict[str, Any]:
    """What :func:`remember` kept, or nothing."""
    try:
        kept = json.loads((folder(settings) / "stack.json").read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return kept if isinstance(kept, dict) else {}


def effective() -> Settings:
    """The settings of the stack that was started here, else those of the environment."""
    settings = Settings.load()
    return load(recall(settings).get("settings"))


def code() -> str:
    """What changes when a file of ours does: a running stack with other code than this is an old one."""
    digest = hashlib.sha256()
    for path in sorted(path for root in almagest.__path__ for path in Path(root).rglob("*")):
        if path.suffix != ".pyc" and path.is_file():
            found = path.stat()
            digest.update(f"{path} {found.st_size} {found.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def differences(settings: Settings) -> list[tuple[str, str, str]]:
    """Variables set in this shell that the running stack was started without: name, its value, ours."""
    running = recall(settings).get("settings", {})
    wanted = environment(settings)
    return [
        (name, running[name], wanted[name])
        for name in sorted(wanted)
        if name in os.environ and name in running and running[name] != wanted[name]
    ]


def check_home(settings: Settings) -> None:
    """Refuse a home that cannot work.

    Raises:
        ConfigurationError: a character in its path would break a configuration file.
    """
    if found := _UNSAFE.search(str(settings.site.home)):
        raise ConfigurationError(
            f"ALMAGEST_HOME: {settings.site.home} contains {found.group()!r}, which not every program here can handle."
        )
