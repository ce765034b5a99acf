"""Pages of processes and jobs."""

from __future__ import annotations

from uuid import uuid4

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from almagest.catalogue.jobs import Job
from almagest.core.errors import AlmagestError, InvalidDocumentError
from almagest.core.jobs import ENDED
from almagest.pipelines import registry
from almagest.services.ops.answers import json_answer
from almagest.services.ops.asked import note_whose
from almagest.services.ops.office import Office
from almagest.services.ops.ui import forms
from almagest.services.ops.ui.rendering import Pages
from almagest.services.web.audited import of_others
from almagest.services.web.caller import Caller
from almagest.services.web.inventory import Scope
from almagest.services.web.request_id import request_id

_JOBS, _RECENT, _LINKED = 50, 8, 100
#: Lines of a log that are read at once, and shown at most.
_LINES, _MOST_LINES = 1000, 10_000


class WorkPages:
    """Answers requests for these pages."""

    def __init__(self, pages: Pages, office: Office) -> None:
        """Args:
        pages: makes them.
        office: has the jobs.
        """
        self._pages = pages
        self._office = office

    def install(self, app: FastAPI, at: str) -> None:
        """Adds the routes."""
        app.add_route(f"{at}/", self.home)
        app.add_route(f"{at}/processes/{{process_id}}", self.process)
        app.add_route(f"{at}/processes/{{process_id}}", self.execute, methods=["POST"])
        app.add_route(f"{at}/jobs", self.jobs)
        app.add_route(f"{at}/jobs/{{job_id}}", self.job)
        app.add_route(f"{at}/jobs/{{job_id}}/state", self.state)
        app.add_route(f"{at}/jobs/{{job_id}}/dismiss", self.dismiss, methods=["POST"])

    async def home(self, request: Request) -> Response:
        """What can be run, and what was run lately."""
        jobs = await self._office.listed(Caller.of(request.scope).subject, {}, None, _RECENT)
        return self._pages.show(request, "home", processes=list(registry.processes().values()), jobs=jobs)

    async def process(self, request: Request) -> Response:
        """The form of a process."""
        process = registry.find(request.path_params["process_id"])
        return self._pages.show(
            request, "process", process=process, fields=forms.fields(process), error="", once=uuid4()
        )

    async def execute(self, request: Request) -> Response:
        """Takes a job in, or shows what is wrong with the inputs."""
        process = registry.find(request.path_params["process_id"])
        form, caller = await self._pages.form(request), Caller.of(request.scope)
        status, error, faults = 200, "", None
        if process.scope and not caller.may(process.scope):
            status, error = 403, f"You need the scope {process.scope} for this: ask an admin to grant it."
        else:
            try:
                inputs = forms.inputs(process, form)
                job, _ = await self._office.accept(
                    process, inputs, caller.subject, {"by": caller.name}, form.get("once") or None, request_id()
                )
                return self._pages.go(f"/jobs/{job.id}")
            except InvalidDocumentError as found:
                status, error, faults = 400, "Some inputs are not what the process takes.", found
            except AlmagestError as found:
                if found.status >= 500:
                    raise
                status, error = found.status, str(found)
        fields = forms.fields(process, form, faults)
        return self._pages.show(request, "process", status, process=process, fields=fields, error=error, once=uuid4())

    async def jobs(self, request: Request) -> Response:
        """One's own jobs, the newest first; an admin's page has everybody's."""
        caller = Caller.of(request.scope)
        everybody = caller.may(Scope.ADMIN) and "all" in request.query_params
        if everybody:
            of_others()
        found = await self._office.listed(None if everybody else caller.subject, {}, None, _JOBS)
        return self._pages.show(request, "jobs", jobs=found, everybody=everybody, most=_JOBS)

    async def job(self, request: Request) -> Response:
        """How a job is, what it says, and what it gave."""
        job = await self._find(request)
        note_whose(request, job.principal)  # noted here: the page itself asks on and on how it is
        events = await self._office.events(job.id, 0)
        while len(events) % _LINES == 0 and 0 < len(events) < _MOST_LINES:
            events += await self._office.events(job.id, events[-1].id)
        wrote = (job.published or [])[:_LINKED]
        public = await self._office.public_among({entry["collection"] for entry in wrote}) if wrote else set()
        return self._pages.show(
            request, "job", job=job, events=events, wrote=wrote, public=public, has_ended=job.status in ENDED
        )

    async def state(self, request: Request) -> Response:
        """What of a job changes while one looks at it."""
        job = await self._find(request)
        behind = request.query_params.get("after", "0")
        events = await self._office.events(job.id, int(behind) if behind.isdecimal() and len(behind) < 19 else 0)
        return json_answer(
            {
                "status": job.status,
                "progress": job.progress,
                "message": job.message or "",
                "has_ended": job.status in ENDED,
                "events": [{"id": e.id, "at": e.at, "message": e.message} for e in events],
            }
        )

    async def dismiss(self, request: Request) -> Response:
        """Ends a job that has not ended."""
        await self._pages.form(request)
        job = await self._find(request)
        await self._office.dismiss(job.id, may_remove=False)
        return self._pages.go(f"/jobs/{job.id}")

    async def _find(self, request: Request) -> Job:
        return await self._office.find_for(Caller.of(request.scope), request.path_params["job_id"])
