"""How jobs fare, and what brings them, described."""

from __future__ import annotations

from collections.abc import Mapping

from almagest.services.ops.openapi.operations import Answer, Operation, Parameter, Schema, ref
from almagest.services.ops.openapi.schemas import MOMENT, STRING, WHOLE, many, nullable, of

_JOBS = "Jobs"
_SHARE = {"type": "number", "minimum": 0, "maximum": 1}
_SECONDS = nullable({"type": "number"})

SCHEMAS: Mapping[str, Schema] = {
    "Percentiles": of({"p50": _SECONDS, "p90": _SECONDS, "p99": _SECONDS}),
    "Schedule": of(
        {
            "name": STRING,
            "processID": STRING,
            "inputs": {"type": "object"},
            "cron": STRING,
            "zone": STRING,
            "subject": STRING,
            "enabled": {"type": "boolean"},
            "lastAt": nullable(MOMENT),
            "lastJob": nullable(STRING),
            "lastError": nullable(STRING),
            "next": many(of({"utc": MOMENT, "local": MOMENT})),
        }
    ),
    "Schedules": of({"schedules": many(ref("Schedule"))}),
    "Statistics": of(
        {
            "datetime": STRING,
            "processes": many(
                of(
                    {
                        "processID": STRING,
                        "total": WHOLE,
                        "statuses": {"type": "object", "additionalProperties": WHOLE},
                        "dead": WHOLE,
                        "failureRate": nullable(_SHARE),
                        "waitedSeconds": ref("Percentiles"),
                        "ranSeconds": ref("Percentiles"),
                    }
                )
            ),
        }
    ),
}

OPERATIONS: Mapping[tuple[str, str], Operation] = {
    ("GET", "/jobs/statistics"): Operation(
        "statistics",
        "How one's own jobs fared; an admin's are all",
        _JOBS,
        {200: Answer("By process.", ref("Statistics"))},
        problems=(400,),
        parameters=(
            Parameter("datetime", "Accepted at this time, or between two with a slash between; `..` is open.", STRING),
        ),
    ),
    ("GET", "/schedules"): Operation(
        "schedules",
        "What brings jobs by itself",
        _JOBS,
        {200: Answer("All, with their next moments.", ref("Schedules"))},
    ),
}
