"""``python -m almagest.services.proxy [--check | --serve]``: writes nginx's configuration and prints where it lies."""

import argparse
import sys

from almagest.core.errors import AlmagestError
from almagest.core.settings import Settings
from almagest.services.proxy import keeper, render


def main() -> None:
    """Render from the environment's settings."""
    parser = argparse.ArgumentParser(prog="python -m almagest.services.proxy", description=main.__doc__)
    more = parser.add_mutually_exclusive_group()
    more.add_argument("--check", action="store_true", help="let `nginx -t` read it, fail where it would not start")
    more.add_argument("--serve", action="store_true", help="run nginx, and follow services that move or multiply")
    arguments = parser.parse_args()
    try:
        settings = Settings.load()
        if arguments.serve:
            sys.exit(keeper.serve(settings))
        configuration = render.write(settings)
        if arguments.check:
            render.check(settings)
    except AlmagestError as error:
        sys.exit(str(error))
    sys.stdout.write(f"{configuration}\n")


if __name__ == "__main__":
    main()
