"""``python -m almagest.services.stac --uds PATH``."""

from almagest.services.stac.app import create_app
from almagest.services.web.server import main

if __name__ == "__main__":
    main("stac", lambda audience: create_app(audience=audience))
