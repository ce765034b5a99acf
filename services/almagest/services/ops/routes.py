"""The routes of the ops app, and who may use them."""

from dataclasses import replace

from almagest.services.web.inventory import Route, Scope

#: Bodies and answers here are files, as long as they may be: nginx passes them on as they come.
FILES = (
    Route(("GET", "POST"), "/files", Scope.FILES),
    Route(("GET", "HEAD", "PUT", "DELETE"), "/files/{name}", Scope.FILES),
)

#: Where the pages are, below the app's prefix.
PAGES_AT = "/ui"

#: For programs, and people who write to programs.
API = (
    *FILES,
    Route(("GET",), "/", Scope.READ),
    Route(("GET",), "/authorize", Scope.NONE),
    Route(("GET",), "/conformance", Scope.READ),
    Route(("GET",), "/docs", Scope.PUBLIC),
    Route(("GET",), "/health", Scope.PUBLIC),
    Route(("GET",), "/jobs", Scope.RUN),
    Route(("GET",), "/jobs/statistics", Scope.RUN),
    # Who waits for a job may ask as often as he likes.
    Route(("GET",), "/jobs/{job_id}", Scope.RUN, is_counted=False),
    Route(("DELETE",), "/jobs/{job_id}", Scope.RUN),
    Route(("GET",), "/jobs/{job_id}/log", Scope.RUN, is_counted=False),
    Route(("GET",), "/jobs/{job_id}/results", Scope.RUN),
    Route(("GET",), "/metrics", Scope.OPS),
    Route(("GET",), "/openapi.json", Scope.PUBLIC),
    Route(("GET",), "/processes", Scope.READ),
    Route(("GET",), "/processes/{process_id}", Scope.READ),
    Route(("POST",), "/processes/{process_id}/execution", Scope.RUN),
    Route(("GET",), "/ready", Scope.OPS),
    Route(("GET",), "/schedules", Scope.ADMIN),
    Route(("GET",), "/auth/jwks.json", Scope.PUBLIC),
    Route(("POST",), "/auth/register", Scope.LOGIN),
    Route(("POST",), "/auth/login", Scope.LOGIN),
    Route(("POST",), "/auth/refresh", Scope.LOGIN),
    # What ends access is there for who has nothing left.
    Route(("POST",), "/auth/logout", Scope.ACCOUNT, is_counted=False),
    Route(("PUT",), "/auth/password", Scope.ACCOUNT, is_counted=False),
    Route(("GET",), "/auth/me", Scope.ACCOUNT),
    Route(("GET", "POST"), "/auth/keys", Scope.ACCOUNT),
    Route(("DELETE",), "/auth/keys/{key_id}", Scope.ACCOUNT, is_counted=False),
    Route(("GET",), "/auth/callback-key", Scope.ACCOUNT),
    Route(("GET", "POST"), "/admin/accounts", Scope.ADMIN),
    Route(("GET", "PATCH"), "/admin/accounts/{name}", Scope.ADMIN),
    Route(("POST",), "/admin/accounts/{name}/logout", Scope.ADMIN),
    Route(("GET", "POST"), "/admin/keys", Scope.ADMIN),
    Route(("DELETE",), "/admin/keys/{key_id}", Scope.ADMIN),
    Route(("GET",), "/admin/tiers", Scope.ADMIN),
    Route(("POST",), "/admin/clean-up", Scope.ADMIN),
)

#: For people: pages, whose forms say by a token that they are ours. Looking does not count against quotas.
PAGES = (
    Route(("GET",), "/", Scope.RUN, is_counted=False),
    Route(("GET",), "/static/{file}", Scope.PUBLIC),
    Route(("GET", "POST"), "/login", Scope.LOGIN),
    Route(("GET", "POST"), "/register", Scope.LOGIN),
    Route(("GET",), "/oidc/login", Scope.LOGIN),
    Route(("GET",), "/oidc/callback", Scope.LOGIN),
    Route(("POST",), "/logout", Scope.ACCOUNT, is_counted=False),
    Route(("GET",), "/processes/{process_id}", Scope.RUN, is_counted=False),
    Route(("POST",), "/processes/{process_id}", Scope.RUN),
    Route(("GET",), "/jobs", Scope.RUN, is_counted=False),
    Route(("GET",), "/jobs/{job_id}", Scope.RUN, is_counted=False),
    Route(("GET",), "/jobs/{job_id}/state", Scope.RUN, is_counted=False),
    Route(("POST",), "/jobs/{job_id}/dismiss", Scope.RUN),
    Route(("GET",), "/account", Scope.ACCOUNT, is_counted=False),
    Route(("POST",), "/account/keys", Scope.ACCOUNT),
    Route(("POST",), "/account/keys/{key_id}/revoke", Scope.ACCOUNT, is_counted=False),
    Route(("POST",), "/account/password", Scope.ACCOUNT, is_counted=False),
    Route(("POST",), "/account/logout", Scope.ACCOUNT, is_counted=False),
    Route(("GET",), "/admin", Scope.ADMIN, is_counted=False),
    Route(("POST",), "/admin/clean-up", Scope.ADMIN),
    Route(("POST",), "/admin/accounts", Scope.ADMIN),
    Route(("GET",), "/admin/accounts/{name}", Scope.ADMIN, is_counted=False),
    Route(("POST",), "/admin/accounts/{name}", Scope.ADMIN),
    Route(("POST",), "/admin/keys/{key_id}/revoke", Scope.ADMIN),
)

ROUTES = (*API, *(replace(route, path=f"{PAGES_AT}{route.path}") for route in PAGES))
