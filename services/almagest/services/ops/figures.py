"""Figures of jobs, and the schedules that bring them."""

from __future__ import annotations

from datetime import UTC
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from almagest.catalogue.schedules import Schedule
from almagest.catalogue.statistics import Fared, Percentiles
from almagest.pipelines.statements import moment_text
from almagest.services.ops.answers import json_answer
from almagest.services.ops.asked import interval, owner
from almagest.services.ops.office import Office

#: Moments to come that are told of a schedule.
_SHOWN = 5


class Figures:
    """Answers requests about how jobs fare, and when they come by themselves."""

    def __init__(self, office: Office) -> None:
        self._office = office

    def install(self, app: FastAPI) -> None:
        """Adds the routes; to be called before those whose addresses are less exact."""
        app.add_route("/jobs/statistics", self.statistics)
        app.add_route("/schedules", self.schedules)

    async def statistics(self, request: Request) -> Response:
        """How one's own jobs fared, or all of them for an admin: those that were accepted in a time."""
        begin, end = interval(request.query_params.get("datetime", "../.."))
        found = await self._office.statistics(owner(request), begin, end)
        within = "/".join(moment_text(moment) if moment else ".." for moment in (begin, end))
        return json_answer({"datetime": within, "processes": [_fared(each) for each in found]})

    async def schedules(self, _: Request) -> Response:
        """All schedules, with their next moments in UTC and where they are."""
        return json_answer({"schedules": [_schedule(each) for each in await self._office.schedules()]})


def _fared(fared: Fared) -> dict[str, Any]:
    return {
        "processID": fared.process,
        "total": fared.total,
        "statuses": fared.statuses,
        "dead": fared.dead,
        "failureRate": fared.failures,
        "waitedSeconds": _percentiles(fared.waited),
        "ranSeconds": _percentiles(fared.ran),
    }


def _percentiles(found: Percentiles) -> dict[str, float | None]:
    return dict(zip(("p50", "p90", "p99"), found, strict=True))


def _schedule(schedule: Schedule) -> dict[str, Any]:
    return {
        "name": schedule.name,
        "processID": schedule.process,
        "inputs": schedule.inputs,
        "cron": schedule.cron,
        "zone": schedule.zone,
        "subject": schedule.principal,
        "enabled": schedule.enabled,
        "lastAt": moment_text(schedule.last_at) if schedule.last_at else None,
        "lastJob": schedule.last_job,
        "lastError": schedule.last_error,
        "next": [
            {"utc": moment_text(moment.astimezone(UTC)), "local": moment.isoformat()}
            for moment in schedule.coming(_SHOWN)
        ],
    }
