"""Processes and jobs over HTTP: OGC API - Processes, Part 1."""

from __future__ import annotations

import re
from typing import Any, get_args

import orjson
import structlog
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from almagest.catalogue.jobs import Job
from almagest.core.errors import BadRequestError, NotFoundError
from almagest.core.jobs import Process, Status
from almagest.pipelines import callbacks, registry, statements
from almagest.pipelines.outbound import Outbound
from almagest.services.ops import descriptions
from almagest.services.ops.answers import json_answer
from almagest.services.ops.asked import behind, interval, note_whose, owner, page_size, page_token
from almagest.services.ops.office import EXCEPTIONS, Office
from almagest.services.web.caller import Caller
from almagest.services.web.problem import problem
from almagest.services.web.request_id import request_id

log = structlog.get_logger(__name__)

#: Who waits for a quick process waits no longer [s].
_PATIENCE_S = 30.0
_PAGE, _LARGEST_PAGE = 20, 100
_MEMBERS = {"inputs", "outputs", "response", "subscriber"}


class NoSuchProcessError(NotFoundError):
    """There is no such process."""

    slug = "no-such-process"
    standard_type = f"{EXCEPTIONS}/no-such-process"


class ResultNotReadyError(NotFoundError):
    """The job has not ended: ask for its status, and for its results when that is `successful`."""

    slug = "result-not-ready"
    standard_type = f"{EXCEPTIONS}/result-not-ready"


class Desk:
    """Answers requests about processes and jobs."""

    def __init__(self, office: Office, base: str, catalogue: str, outbound: Outbound) -> None:
        """Args:
        office: has the jobs.
        base: public address of this API, without a slash at its end.
        catalogue: that of the catalogue's API.
        outbound: the way out, for callbacks.
        """
        self._office = office
        self._base = base
        self._statements = statements.Statements(base, catalogue)
        self._outbound = outbound

    def install(self, app: FastAPI) -> None:
        """Adds the routes."""
        app.add_route("/", self.landing)
        app.add_route("/conformance", self.conformance)
        app.add_route("/processes", self.processes)
        app.add_route("/processes/{process_id}", self.process)
        app.add_route("/processes/{process_id}/execution", self.execute, methods=["POST"])
        app.add_route("/jobs", self.jobs)
        app.add_route("/jobs/{job_id}", self.job)
        app.add_route("/jobs/{job_id}", self.dismiss, methods=["DELETE"])
        app.add_route("/jobs/{job_id}/results", self.results)
        app.add_route("/jobs/{job_id}/log", self.log)

    async def landing(self, _: Request) -> Response:
        """What there is."""
        return json_answer(descriptions.landing(self._base))

    async def conformance(self, _: Request) -> Response:
        """What it conforms to."""
        return json_answer({"conformsTo": list(descriptions.CONFORMANCE)})

    async def processes(self, request: Request) -> Response:
        """All processes; there are few, so that ``limit`` only ever cuts."""
        found = list(registry.processes().values())[: page_size(request, _PAGE, _LARGEST_PAGE)]
        links = [{"rel": "self", "type": "application/json", "href": f"{self._base}/processes"}]
        shown = [descriptions.summary(process, self._base) for process in found]
        return json_answer({"processes": shown, "links": links})

    async def process(self, request: Request) -> Response:
        """One process."""
        return json_answer(descriptions.description(_process(request), self._base))

    async def execute(self, request: Request) -> Response:
        """Takes a job in, and waits for it where it is quick and the client does not mind."""
        process = _process(request)
        caller = Caller.of(request.scope)
        if process.scope and not caller.may(process.scope):
            lacking = f"Your key or login lacks the scope `{process.scope}`, which {process.id} needs."
            return problem(403, "forbidden", lacking)
        inputs, wanted = _execution(await request.body(), process, self._outbound)
        prefers_later = _prefers_later(request)
        job, is_new = await self._office.accept(
            process,
            inputs,
            caller.subject,
            {**wanted, "by": caller.name},
            request.headers.get("idempotency-key"),
            request_id(),
        )
        log.info("job accepted", job=str(job.id), process=process.id, is_new=is_new)
        if process.is_quick and not prefers_later:
            job = await self._office.wait(job, _PATIENCE_S)
            if job.finished_at is not None:
                return _results(job)
        applied = {"Preference-Applied": "respond-async"} if prefers_later else {}
        return json_answer(self._statements.status(job), 201, {"Location": f"{self._base}/jobs/{job.id}", **applied})

    async def jobs(self, request: Request) -> Response:
        """One's own jobs, or all of them for an admin, the newest first."""
        limit = page_size(request, _PAGE, _LARGEST_PAGE)
        found = await self._office.listed(owner(request), _filters(request), behind(request), limit + 1)
        links = [{"rel": "self", "type": "application/json", "href": f"{self._base}/jobs"}]
        if len(found) > limit:
            last = found[limit - 1]
            query = request.url.include_query_params(token=page_token(last.created_at, last.id)).query
            links.append({"rel": "next", "type": "application/json", "href": f"{self._base}/jobs?{query}"})
        return json_answer({"jobs": [self._statements.status(job) for job in found[:limit]], "links": links})

    async def job(self, request: Request) -> Response:
        """How a job is."""
        return json_answer(self._statements.status(await self._find(request)))

    async def dismiss(self, request: Request) -> Response:
        """Ends a job, or removes one that has ended."""
        job = await self._find(request)
        # Whoever meant to end it has not said that its results may go, should it have ended by itself meanwhile.
        became = await self._office.dismiss(job.id, may_remove=job.finished_at is not None)
        if became == "removed":
            return json_answer(
                {**self._statements.status(job), "status": "dismissed", "message": "The job is removed."}
            )
        return json_answer(self._statements.status(await self._office.find(job.id)))

    async def results(self, request: Request) -> Response:
        """What a job gave."""
        job = await self._find(request)
        if job.finished_at is None:
            raise ResultNotReadyError()
        return _results(job)

    async def log(self, request: Request) -> Response:
        """What became of a job, and what it said; behind an event, for who follows it."""
        job = await self._find(request)
        behind = request.query_params.get("after", "0")
        if not re.fullmatch(r"[0-9]{1,18}", behind):
            raise BadRequestError("after: the id of an event, a whole number.")
        events = await self._office.events(job.id, int(behind))
        return json_answer(
            {"events": [{"id": e.id, "at": e.at.isoformat(), "kind": e.kind, "message": e.message} for e in events]}
        )

    async def _find(self, request: Request) -> Job:
        job = await self._office.find_for(Caller.of(request.scope), request.path_params["job_id"])
        note_whose(request, job.principal)
        return job


def _results(job: Job) -> Response:
    """The outputs that were asked for: one by itself, several as a document, and one, too, where that was asked for."""
    if job.status != "successful":
        told = statements.exception(job)
        status, detail = int(told["status"]), str(told["detail"])
        return problem(status, "process-failed", detail, title=str(told["title"]), standard=str(told["type"]))
    shown = statements.wanted(job)
    if job.request.get("response") == "document" or len(shown) > 1:
        return json_answer(shown)
    if not shown:
        return Response(status_code=204)
    return json_answer(next(iter(shown.values())))


def _process(request: Request) -> Process[Any]:
    identifier = request.path_params["process_id"]
    try:
        return registry.find(identifier)
    except NotFoundError as error:
        raise NoSuchProcessError(str(error)) from None


def _execution(body: bytes, process: Process[Any], outbound: Outbound) -> tuple[dict[str, Any], dict[str, Any]]:
    """Inputs, and what else is asked for, of the body of a request."""
    try:
        document = orjson.loads(body)
    except ValueError as error:
        raise BadRequestError(f"The body is not JSON: {error}.") from None
    if not isinstance(document, dict):
        raise BadRequestError("The body is a JSON object with `inputs`.")
    inputs = document.get("inputs") or {}
    outputs = document.get("outputs") or {}
    response = document.get("response", "raw")
    if not isinstance(inputs, dict) or not isinstance(outputs, dict):
        raise BadRequestError("`inputs` and `outputs` are JSON objects.")
    if unknown := set(document) - _MEMBERS:
        raise BadRequestError(
            f"The body has no member {sorted(unknown)[0]!r}: there are {', '.join(sorted(_MEMBERS))}."
        )
    if unknown := set(outputs) - set(process.outputs):
        raise BadRequestError(f"Process {process.id} has no output {sorted(unknown)[0]!r}.")
    if response not in ("raw", "document"):  # no set: the client may have sent what cannot be in one
        raise BadRequestError("`response` is `raw` or `document`.")
    called = {}
    if "subscriber" in document:
        called["subscriber"] = callbacks.subscriber(document["subscriber"], outbound)
    for name, wanted in outputs.items():
        if isinstance(wanted, dict) and wanted.get("transmissionMode", "value") != "value":
            raise BadRequestError(f"outputs: {name} is given by value alone.")
    given = {name: _inline(value) for name, value in inputs.items()}
    return given, {"outputs": sorted(outputs), "response": response, **called}


def _inline(value: Any) -> Any:
    """A value may stand within an object that says more about it."""
    is_qualified = (
        isinstance(value, dict) and "value" in value and set(value) <= {"value", "mediaType", "encoding", "schema"}
    )
    return value["value"] if is_qualified else value


def _prefers_later(request: Request) -> bool:
    given = ",".join(request.headers.getlist("prefer"))
    return "respond-async" in {preference.partition(";")[0].strip().lower() for preference in given.split(",")}


def _filters(request: Request) -> dict[str, Any]:
    query = request.query_params
    filters: dict[str, Any] = {}
    for name, key in (("processID", "process"), ("status", "status")):
        if values := [value for part in query.getlist(name) for value in part.split(",") if value]:
            filters[key] = values
    if unknown := set(filters.get("status", ())) - set(get_args(Status)):
        raise BadRequestError(f"status: {sorted(unknown)[0]!r} is none; there are {', '.join(get_args(Status))}.")
    for name, key in (("minDuration", "min_s"), ("maxDuration", "max_s")):
        if name in query:
            if not re.fullmatch(r"[0-9]{1,9}", query[name]):
                raise BadRequestError(f"{name}: whole seconds.")
            filters[key] = int(query[name])
    if "datetime" in query:
        ends = zip(("from", "to"), interval(query["datetime"]), strict=True)
        filters |= {name: moment.isoformat() for name, moment in ends if moment is not None}
    return filters
