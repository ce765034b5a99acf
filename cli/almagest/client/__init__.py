"""What a notebook imports."""

from almagest.client.results import register_analysis

__all__ = ["register_analysis"]
