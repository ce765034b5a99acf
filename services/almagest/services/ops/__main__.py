"""``python -m almagest.services.ops --uds PATH``."""

from almagest.services.ops.app import create_app
from almagest.services.web.server import main

if __name__ == "__main__":
    main("ops", lambda _: create_app())
