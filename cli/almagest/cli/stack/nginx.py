"""nginx as a program of the stack. What its configuration says is the business of `almagest.services.proxy`."""

from __future__ import annotations

import subprocess
import sys

from almagest.core import executables
from almagest.core.errors import ConfigurationError
from almagest.core.settings import Settings


def command(settings: Settings) -> tuple[str, ...]:
    """The server's command line.

    Raises:
        ConfigurationError: it is not installed.
    """
    program = executables.find("nginx", "nginx")
    return (program, "-p", f"{settings.site.home}/nginx/", "-c", "conf/nginx.conf", "-e", "stderr")


def write_configuration(environment: dict[str, str]) -> None:
    """Have the services' side write the configuration and nginx read it.

    The command line and the services are neighbours, neither above the other: they meet as processes.

    Raises:
        ConfigurationError: nginx would not start with it.
    """
    result = subprocess.run(
        [sys.executable, "-P", "-m", "almagest.services.proxy", "--check"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        lines = result.stderr.strip().splitlines() or ["the configuration of nginx cannot be written"]
        raise ConfigurationError(lines[-1])
