"""The routes of the ops app, and who may use them."""

from almagest.services.web.inventory import Route, Scope

ROUTES = (
    Route(("GET",), "/authorize", Scope.NONE),
    Route(("GET",), "/counts", Scope.NONE),
    Route(("GET",), "/health", Scope.PUBLIC),
    Route(("GET",), "/metrics", Scope.OPS),
    Route(("GET",), "/ready", Scope.OPS),
)
