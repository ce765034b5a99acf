"""The routes of the ops app, and who may use them."""

from almagest.services.web.inventory import Route, Scope

ROUTES = (
    Route(("GET",), "/", Scope.READ),
    Route(("GET",), "/authorize", Scope.NONE),
    Route(("GET",), "/conformance", Scope.READ),
    Route(("GET",), "/counts", Scope.NONE),
    Route(("GET",), "/docs", Scope.PUBLIC),
    Route(("GET",), "/health", Scope.PUBLIC),
    Route(("GET",), "/jobs", Scope.RUN),
    Route(("GET", "DELETE"), "/jobs/{job_id}", Scope.RUN),
    Route(("GET",), "/jobs/{job_id}/log", Scope.RUN),
    Route(("GET",), "/jobs/{job_id}/results", Scope.RUN),
    Route(("GET",), "/metrics", Scope.OPS),
    Route(("GET",), "/openapi.json", Scope.PUBLIC),
    Route(("GET",), "/processes", Scope.READ),
    Route(("GET",), "/processes/{process_id}", Scope.READ),
    Route(("POST",), "/processes/{process_id}/execution", Scope.RUN),
    Route(("GET",), "/ready", Scope.OPS),
)
