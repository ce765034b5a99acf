"""The HTTP services behind nginx, each with ``create_app(settings)``."""
