"""Processes and jobs, described."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from almagest.core.jobs import Status
from almagest.services.ops.openapi.operations import Answer, Operation, Parameter, ref
from almagest.services.ops.openapi.schemas import STRING, many, one_of

_PROCESSES, _JOBS = "Processes", "Jobs"
_SECONDS = {"type": "integer", "minimum": 0, "maximum": 999_999_999}

_LIMIT = Parameter("limit", "So many at most.", {"type": "integer", "minimum": 1, "maximum": 100, "default": 20})
_RESULTS = Answer("What it gave. Several raw outputs come as one document.", ref("Results"))
_NOTHING = Answer("It gave nothing that was asked for.")
#: What a process says that fails: each a status of its own (RFC 9457), with 500 for one that broke.
_FAILURES = ("4XX", 500)

OPERATIONS: Mapping[tuple[str, str], Operation] = {
    ("GET", "/"): Operation(
        "landing", "What there is", _PROCESSES, {200: Answer("Links to all else.", ref("Landing"))}
    ),
    ("GET", "/conformance"): Operation(
        "conformance",
        "What it conforms to",
        _PROCESSES,
        {200: Answer("Addresses of conformance classes.", ref("Conformance"))},
    ),
    ("GET", "/processes"): Operation(
        "processes",
        "What can be asked for",
        _PROCESSES,
        {200: Answer("All processes, without their inputs.", ref("Processes"))},
        problems=(400,),
        parameters=(_LIMIT,),
    ),
    ("GET", "/processes/{process_id}"): Operation(
        "process",
        "What a process takes and gives",
        _PROCESSES,
        {200: Answer("Its inputs and outputs, each with a JSON Schema.", ref("Process"))},
        problems=(404,),
    ),
    ("POST", "/processes/{process_id}/execution"): Operation(
        "execute",
        "Ask for it to be done",
        _PROCESSES,
        {
            200: _RESULTS,
            201: Answer(
                "A job is accepted, and looked after by its status.",
                ref("StatusInfo"),
                headers={"Location": "Address of the job."},
            ),
            204: _NOTHING,
        },
        problems=(400, 404, 409, 429, *_FAILURES),
        parameters=(
            Parameter("Prefer", "`respond-async` to be answered at once.", STRING, "header", "respond-async"),
            Parameter(
                "Idempotency-Key",
                "The same request with the same key is the same job, however often it is sent.",
                {**STRING, "minLength": 1, "maxLength": 255},
                place="header",
            ),
        ),
        body=ref("Execution"),
        example={"inputs": {"message": "Hello"}},
        description="What `inputs` holds, the description of the process says, which has a JSON Schema of each. Where "
        "`jobControlOptions` has `sync-execute`, the answer waits for the results, unless `Prefer: respond-async` is "
        "sent or it takes too long; else, it is the job.",
    ),
    ("GET", "/jobs"): Operation(
        "jobs",
        "One's own jobs; an admin's are all",
        _JOBS,
        {200: Answer("The newest first, with a link to the next page.", ref("Jobs"))},
        problems=(400,),
        parameters=(
            Parameter("processID", "Of these processes.", many(STRING)),
            Parameter("status", "Of one of these.", many(one_of(get_args(Status)))),
            Parameter("datetime", "Accepted at this time, or between two with a slash between; `..` is open.", STRING),
            Parameter("minDuration", "Ran for so long at least [s].", _SECONDS),
            Parameter("maxDuration", "Ran for so long at most [s].", _SECONDS),
            _LIMIT,
            Parameter("token", "As the `next` link has it.", STRING),
        ),
    ),
    ("GET", "/jobs/{job_id}"): Operation(
        "job", "How a job is", _JOBS, {200: Answer("Its status.", ref("StatusInfo"))}, problems=(404,)
    ),
    ("DELETE", "/jobs/{job_id}"): Operation(
        "dismiss",
        "End a job, or remove one that has ended",
        _JOBS,
        {200: Answer("How it is now, or was before it was removed.", ref("StatusInfo"))},
        problems=(404,),
    ),
    ("GET", "/jobs/{job_id}/log"): Operation(
        "log",
        "What became of a job, and what it said",
        _JOBS,
        {200: Answer("The oldest first.", ref("Log"))},
        problems=(400, 404),
        parameters=(
            Parameter(
                "after", "Only what is behind this event.", {**STRING, "pattern": "^[0-9]{1,18}$", "default": "0"}
            ),
        ),
    ),
    ("GET", "/jobs/{job_id}/results"): Operation(
        "results",
        "What a job gave",
        _JOBS,
        {200: _RESULTS, 204: _NOTHING},
        problems=(404, 410, *_FAILURES),
    ),
}
