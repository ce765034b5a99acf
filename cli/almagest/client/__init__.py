"""What a notebook imports."""

from almagest.client.jobs import Client, Event, Job
from almagest.client.results import register_analysis

__all__ = ["Client", "Event", "Job", "register_analysis"]
