"""``python -m almagest.services.proxy [--check]``: writes nginx's configuration and prints where it lies."""

import argparse
import sys

from almagest.core.errors import AlmagestError
from almagest.core.settings import Settings
from almagest.services.proxy import render


def main() -> None:
    """Render from the environment's settings."""
    parser = argparse.ArgumentParser(prog="python -m almagest.services.proxy", description=main.__doc__)
    parser.add_argument("--check", action="store_true", help="let `nginx -t` read it, fail where it would not start")
    arguments = parser.parse_args()
    try:
        settings = Settings.load()
        configuration = render.write(settings)
        if arguments.check:
            render.check(settings)
    except AlmagestError as error:
        sys.exit(str(error))
    sys.stdout.write(f"{configuration}\n")


if __name__ == "__main__":
    main()
