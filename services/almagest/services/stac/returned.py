"""Versions that come back as they were served: what was added to them on the way out is not stored."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from almagest.catalogue.links import rel
from almagest.catalogue.versions import EXTENSION, RELS, Document, Subject, moment_of
from almagest.core.addresses import segment
from almagest.core.errors import NotFoundError


def version_of(document: Any, subject: Subject, origin: str) -> datetime | None:
    """The version of the subject that a document says that it is; None where it does not have our links to others.

    A producer may name versions as it likes: only whoever read it here has both.
    """
    if not isinstance(document, dict) or not isinstance(document.get("links"), list):
        return None
    here = f"/{'/'.join(map(segment, subject.path))}"

    def is_ours(link: Any) -> bool:
        href = link.get("href") if rel(link) in RELS else None
        return isinstance(href, str) and href.startswith(f"{origin}/") and here in href

    said = _told(document, subject).get("version")
    if not isinstance(said, str) or not any(map(is_ours, document["links"])):
        return None
    try:
        return moment_of(said)
    except NotFoundError:
        return None


def without_version(document: Document, stored: Document, subject: Subject) -> Document:
    """What came back, without what the version was not stored with, but served with."""
    before = _told(stored, subject)
    made = {name for name in ("version", "deprecated") if name not in before}
    told = {name: value for name, value in _told(document, subject).items() if name not in made}
    document = told if subject.item is None else {**document, "properties": told}
    if EXTENSION in (stored.get("stac_extensions") or ()):
        return document
    extensions = [url for url in document.get("stac_extensions") or () if url != EXTENSION]
    if extensions or "stac_extensions" in stored:
        return {**document, "stac_extensions": extensions}
    return {name: value for name, value in document.items() if name != "stac_extensions"}


def _told(document: Document, subject: Subject) -> Document:
    """Where a document speaks of its version."""
    told = document if subject.item is None else document.get("properties")
    return told if isinstance(told, dict) else {}
