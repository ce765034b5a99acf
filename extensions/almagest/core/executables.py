"""Finding the programs of the operating system that we start."""

from __future__ import annotations

import os
import shutil

from almagest.core.errors import ConfigurationError


def find(name: str, package: str) -> str:
    """The path of a program.

    Raises:
        ConfigurationError: it is not installed; names the Debian package.
    """
    # /usr/sbin does not stand in the PATH of an ordinary user on Debian.
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/bin:/usr/sbin:/sbin:/usr/local/sbin")
    if path is None:
        raise ConfigurationError(f"`{name}` is not installed; `make up` installs it (Debian package `{package}`).")
    return path
