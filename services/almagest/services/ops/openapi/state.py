"""How all is, described."""

from __future__ import annotations

from collections.abc import Mapping

from almagest.services.ops import metrics
from almagest.services.ops.openapi.operations import Answer, Operation, ref
from almagest.services.ops.openapi.schemas import STRING

_TAG = "State"

OPERATIONS: Mapping[tuple[str, str], Operation] = {
    ("GET", "/health"): Operation(
        "health", "Whether this process runs", _TAG, {200: Answer("It does.", ref("Health"))}
    ),
    ("GET", "/metrics"): Operation(
        "metrics",
        "Numbers for Prometheus",
        _TAG,
        {200: Answer("In its text format.", STRING, media_type=metrics.MEDIA_TYPE)},
    ),
    ("GET", "/ready"): Operation(
        "ready",
        "Whether every service answers",
        _TAG,
        {
            200: Answer("Each does; reasons name processes that do not.", ref("Readiness")),
            503: Answer("Some service does not; reasons say which and why.", ref("Readiness")),
        },
    ),
}
