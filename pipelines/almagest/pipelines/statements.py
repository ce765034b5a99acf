"""What is said of a job to those outside: whoever asks for it, and whoever asked to be called back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from almagest.catalogue.jobs import Job, Listed
from almagest.core.errors import PROBLEM_TYPES

#: Items that a job has written and that its status links to.
_LINKED = 100
_RESULTS = "http://www.opengis.net/def/rel/ogc/1.0/results"


@dataclass(frozen=True)
class Statements:
    """Says how jobs are.

    Attributes:
        base: public address of the jobs' API, without a slash at its end.
        catalogue: that of the catalogue's.
    """

    base: str
    catalogue: str

    def status(self, job: Listed) -> dict[str, Any]:
        """A statusInfo, with the names of both versions of the standard."""
        here = f"{self.base}/jobs/{job.id}"
        links = [
            _link("self", here, "This document"),
            _link("monitor", here, "How it is"),
            _link("log", f"{here}/log", "Log"),
        ]
        if job.status == "successful":
            links.append(_link(_RESULTS, f"{here}/results", "What it gave"))
        for wrote in (job.published or ())[:_LINKED]:
            item = f"{quote(wrote['collection'], safe='')}/items/{quote(wrote['item'], safe='')}"
            links.append(_link("item", f"{self.catalogue}/collections/{item}", wrote["item"]))
        moments = {
            "created": job.created_at,
            "started": job.started_at,
            "finished": job.finished_at,
            "updated": job.updated_at,
        }
        told = {name: moment_text(moment) for name, moment in moments.items() if moment is not None}
        error = {"exception": exception(job)} if job.status == "failed" else {}
        return {
            "jobID": str(job.id),
            "id": str(job.id),
            "type": "process",
            "processingEntityType": "ogc-api-processes",
            "processID": job.process,
            "status": job.status,
            "message": job.message or (job.error or {}).get("detail", ""),
            "progress": job.progress,
            **told,
            **error,
            "links": links,
        }


def exception(job: Listed) -> dict[str, Any]:
    """Why there are no results, without what only operators should see (`internal`)."""
    error = job.error or {}
    is_failed = job.status == "failed"
    return {
        "type": f"{PROBLEM_TYPES}{'process-failed' if is_failed else 'dismissed'}",
        "title": error.get("title", "Process failed") if is_failed else "Dismissed",
        "status": error.get("status", 500) if is_failed else 410,
        "detail": error.get("detail") or f"The job was {job.status}.",
    }


def wanted(job: Job) -> Mapping[str, Any]:
    """Of what a successful job gave, that which was asked for."""
    outputs = job.outputs or {}
    names = job.request.get("outputs") or outputs
    return {name: value for name, value in outputs.items() if name in names}


def _link(rel: str, href: str, title: str) -> dict[str, str]:
    return {"rel": rel, "type": "application/json", "title": title, "href": href}


def moment_text(moment: datetime) -> str:
    """A moment as answers have it."""
    return moment.isoformat().replace("+00:00", "Z")
