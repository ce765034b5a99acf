"""What stands in an item that a job has made: by what, by whose software, and out of which versions of what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from almagest.catalogue.jobs import Job
from almagest.catalogue.links import item_path

Document = dict[str, Any]

#: Which job has made an item.
JOB = "almagest:job"
_PROCESSING = "https://stac-extensions.github.io/processing/v1.2.0/schema.json"


@dataclass(frozen=True)
class Source:
    """An item as a process has read it."""

    collection: str
    id: str
    version: str


def software(job: Job) -> dict[str, str]:
    """As `processing:software` names the process."""
    return {f"almagest/{job.process}": job.process_version}


def credited(document: Document, job: Job, sources: Sequence[Source], origin: str) -> Document:
    """An item with what made it, and links to what it is made of."""
    links = [link for link in document.get("links", []) if link.get("rel") != "derived_from"]
    return {
        **document,
        "properties": {
            **document.get("properties", {}),
            "processing:software": software(job),
            "processing:version": job.process_version,
            JOB: str(job.id),
        },
        "links": [*links, *(_link(source, origin) for source in dict.fromkeys(sources))],
        "stac_extensions": list(dict.fromkeys([*document.get("stac_extensions", []), _PROCESSING])),
    }


def located(document: Document, origin: str) -> Document:
    """An item whose links to `/collections/…` lead to what is called so in the catalogue."""
    links = [
        {**link, "href": f"{origin}/api{link['href']}"} if str(link.get("href")).startswith("/collections/") else link
        for link in document.get("links", [])
    ]
    return {**document, "links": links}


def _link(source: Source, origin: str) -> Document:
    return {
        "rel": "derived_from",
        "type": "application/geo+json",
        "href": f"{origin}/api{item_path(source.collection, source.id)}",
        "almagest:version": source.version,
    }
