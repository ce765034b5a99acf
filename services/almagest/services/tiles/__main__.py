"""``python -m almagest.services.tiles --uds PATH``."""

from starlette.types import ASGIApp

from almagest.core.processes import Audience
from almagest.core.settings import Settings
from almagest.services.tiles import environment
from almagest.services.web.server import main


def _create_app(audience: Audience) -> ASGIApp:
    settings = Settings.load()
    environment.apply(settings)
    # Not before: GDAL, rio-tiler and titiler read the environment when they are imported.
    from almagest.services.tiles.app import create_app

    return create_app(settings, audience)


if __name__ == "__main__":
    main("tiles", _create_app)
