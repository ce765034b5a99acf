"""What of Flower can be reached: pages to look at. Whatever it could change with has no entry."""

from almagest.services.web.inventory import Route, Scope

ROUTES = (
    Route(("GET",), "/", Scope.ADMIN),
    Route(("GET",), "/broker", Scope.ADMIN),
    Route(("GET",), "/static/{path:path}", Scope.ADMIN),
    Route(("GET",), "/task/{task_id}", Scope.ADMIN),
    Route(("GET",), "/tasks", Scope.ADMIN),
    # The page of tasks asks by POST for what it shows; the same by GET.
    Route(("GET", "POST"), "/tasks/datatable", Scope.ADMIN),
    Route(("GET",), "/worker/{name}", Scope.ADMIN),
    Route(("GET",), "/workers", Scope.ADMIN),
)
