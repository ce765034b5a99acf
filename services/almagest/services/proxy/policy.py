"""What the door lets through, as data. The template turns it into nginx's words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from almagest.core.processes import FLOWER_PATH
from almagest.services.ops import routes as ops
from almagest.services.proxy import flower
from almagest.services.stac import routes as stac
from almagest.services.tiles import routes as tiles
from almagest.services.web.inventory import Inventory, Route, Scope


@dataclass(frozen=True)
class Mount:
    """Where an app stands, and what of it can be reached.

    Attributes:
        prefix: its first path segments, with a slash in front.
        upstream: the processes that answer.
        inventory: the app's routes.
        is_shared: pages of other sites may read it.
        serves_files: its answers may name a file that nginx sends.
        max_body_kb: its largest request body; None: the site's.
        files: those of its routes whose bodies and answers are files of callers.
        is_counted: its requests count against quotas of calls.
        is_for_people: it has pages, whose cookie is passed on; who is not logged in is sent to where he can.
        pages: what a page of it may load, where it has any: one of `CONTENT_POLICIES`.
    """

    prefix: str
    upstream: str
    inventory: tuple[Route, ...]
    is_shared: bool = False
    serves_files: bool = False
    max_body_kb: int | None = None
    files: tuple[Route, ...] = ()
    is_counted: bool = True
    is_for_people: bool = False
    pages: str = ""

    @property
    def name(self) -> str:
        """A word for it that can stand in a variable's name."""
        return self.prefix.strip("/").replace("/", "_")

    @property
    def routes(self) -> list[Route]:
        """What a client may ask for, in the order in which it is looked for."""
        return [route for route in Inventory(self.inventory).routes if route.scope is not Scope.NONE]

    @property
    def has_root(self) -> bool:
        """Whether the prefix itself, with a slash behind it, is an address."""
        return any(route.path == "/" for route in self.routes)

    @property
    def asks_for_keys(self) -> bool:
        """Whether some route is not for everybody."""
        return any(route.scope is not Scope.PUBLIC for route in self.routes)

    @property
    def only_reads(self) -> bool:
        """Whether each request may be sent to a second process where the first one died."""
        return all(route.scope.is_read for route in self.routes)

    @property
    def reading_posts(self) -> list[Route]:
        """Routes whose POST only reads."""
        return [route for route in self.routes if "POST" in route.methods and route.scope.is_read]

    def rules(self) -> Iterator[tuple[str, str]]:
        """Regular expressions of method and path, and the scope that each asks for."""
        for route in self.routes:
            yield f"({'|'.join(_with_head(route.methods))}) {self.expression(route)}", route.scope

    def addresses(self) -> Iterator[tuple[str, str]]:
        """Regular expressions of paths, and the methods that each takes."""
        methods: dict[str, set[str]] = {}
        for route in self.routes:
            methods.setdefault(self.expression(route), set()).update(_with_head(route.methods))
        for expression, taken in methods.items():
            yield expression, ", ".join(sorted(taken | {"OPTIONS"} if self.is_shared else taken))

    def counted(self) -> Iterator[tuple[str, bool]]:
        """Regular expressions of method and path, and whether such a request counts; the first that fits decides."""
        for route in self.routes:
            is_counted = self.is_counted and route.is_counted
            yield f"({'|'.join(_with_head(route.methods))}) {self.expression(route)}", is_counted

    def expression(self, route: Route) -> str:
        """The regular expression of a route's path. nginx compares the decoded path with it."""
        return f"{self.prefix}{route.pattern}"


def _with_head(methods: tuple[str, ...]) -> tuple[str, ...]:
    return (*methods, "HEAD") if "GET" in methods and "HEAD" not in methods else methods


#: A search, or a shape for statistics: nobody means more by what only reads, nor by the inputs of a process. The tiler
#: takes few positions.
_SEARCH_KB, _SHAPE_KB = 4096, 512
#: The largest file that anybody may bring, whatever his tier, and the form around it.
FILE_KB = (1 << 20) + 64
#: Once the whole of it has come in, it may have to go on to a bucket [s].
FILE_TIMEOUT_S = 300

#: What anybody may see. Longer prefixes come first.
EXTERNAL: tuple[Mount, ...] = (
    Mount("/external/tiles", "external-tiles", tiles.EXTERNAL, is_shared=True, max_body_kb=_SHAPE_KB),
    Mount("/external", "external-stac", stac.EXTERNAL, is_shared=True, serves_files=True, max_body_kb=_SEARCH_KB),
)
#: Where people have pages.
PAGES = f"/ops{ops.PAGES_AT}"
#: Where they log in.
LOGIN_PAGE = f"{PAGES}/login"
#: What is for those inside, and those with a key.
INTERNAL: tuple[Mount, ...] = (
    Mount("/api/tiles", "tiles", tiles.INTERNAL, max_body_kb=_SHAPE_KB, is_counted=False),
    Mount("/api", "stac", stac.INTERNAL, serves_files=True),
    Mount(PAGES, "ops", ops.PAGES, max_body_kb=_SEARCH_KB, is_for_people=True),
    Mount("/ops", "ops", ops.API, max_body_kb=_SEARCH_KB, files=ops.FILES),
)
MOUNTS: tuple[Mount, ...] = (*EXTERNAL, *INTERNAL)

#: Only where somebody wants it.
FLOWER = Mount(
    FLOWER_PATH, "flower", flower.ROUTES, max_body_kb=64, is_counted=False, is_for_people=True, pages="flower"
)

#: What is given to a reader from the internal networks where nobody is asked there for a key.
FREE_SCOPES: tuple[Scope, ...] = (Scope.READ, Scope.OPS)

#: As many requests of one address outside may look through the catalogue at a time: half of the connections to the
#: database that its processes have.
SEARCHES_AT_ONCE = 8
#: As many may wait for changes at a time from one address outside. Who waits holds no connection to the database, but
#: one of ours. Applications end a wait, or say something, before nginx is out of patience, and ask it not to gather.
FOLLOWERS_AT_ONCE = 8

#: What a page of another site may read of an answer, and send with a question.
EXPOSED_HEADERS: tuple[str, ...] = ("Age", "Content-Range", "ETag", "Link", "Retry-After", "X-Request-ID")
SHARED_HEADERS: tuple[str, ...] = ("Accept", "Content-Type", "If-Match", "If-None-Match", "Prefer", "Range")

#: The only headers of a client that reach an application. Whoever would name himself (X-Principal, X-Role, X-Tier,
#: X-Scopes), his way here (X-Forwarded-*, Forwarded, X-Real-IP) or another method (X-HTTP-Method-Override) is not
#: heard, because nobody listed it. Accept-Encoding is missing on purpose: compression happens in nginx, once.
PASSED_HEADERS: tuple[str, ...] = (
    "Accept",
    "Accept-Language",
    "Content-Digest",
    "Content-Type",
    "Digest",
    "If-Match",
    "If-Modified-Since",
    "If-None-Match",
    "If-Range",
    "If-Unmodified-Since",
    "Idempotency-Key",
    "Last-Event-ID",
    "Prefer",
    "Range",
    "Repr-Digest",
    "User-Agent",
)


@dataclass(frozen=True)
class Refusal:
    """What nginx itself says when it answers with an error: title and remedy."""

    status: int
    slug: str
    title: str
    detail: str


REFUSALS: tuple[Refusal, ...] = (
    Refusal(400, "bad-request", "Bad request", "The request is malformed: check its line, headers and length."),
    Refusal(401, "unauthorized", "Unauthorized", "A valid key or token is needed: send `Authorization: Bearer <key>`."),
    Refusal(403, "forbidden", "Forbidden", "This is not served."),
    Refusal(404, "not-found", "Not found", "There is nothing here."),
    Refusal(405, "method-not-allowed", "Method not allowed", "This address cannot be used with this method."),
    Refusal(408, "request-timeout", "Request timeout", "The request took too long to arrive. Send it again."),
    Refusal(411, "length-required", "Length required", "Send a Content-Length."),
    Refusal(413, "content-too-large", "Content too large", "The body is larger than is taken here: send parts."),
    Refusal(414, "uri-too-long", "URI too long", "The address is too long: POST the same search as a body."),
    Refusal(416, "range-not-satisfiable", "Range not satisfiable", "The file has no such part."),
    Refusal(
        426, "upgrade-required", "Upgrade required", "Ask for lines by HTTP/1.1: over 1.0 a break looks like the end."
    ),
    Refusal(429, "too-many-requests", "Too many requests", "Slow down, and try again in a moment."),
    # nginx's own number for headers that are too large; it leaves as 400.
    Refusal(494, "bad-request", "Bad request", "The headers are too large."),
    Refusal(
        500, "internal", "Internal", "The request could not be taken in; the disk may be full. Quote the id below."
    ),
    Refusal(501, "not-implemented", "Not implemented", "This transfer encoding is not understood."),
    Refusal(502, "unavailable", "Unavailable", "The service behind is starting or stopped. Try again in a moment."),
    Refusal(503, "unavailable", "Unavailable", "The service is not available. Try again in a moment."),
    Refusal(504, "timeout", "Timeout", "The answer took too long. Ask for less: a smaller area, time or page."),
    Refusal(505, "version-not-supported", "Version not supported", "Speak HTTP/1.1 or HTTP/1.0."),
)

#: What a page from here may load, by the surface it belongs to. Inline styles are OpenLayers' and Vue's.
CONTENT_POLICIES: dict[str, str] = {
    "site": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    # Our own pages: no style or script stands in them.
    "pages": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
        "form-action 'self'; frame-ancestors 'none'"
    ),
    # An answer of the API is data. Should a browser be made to show one as a page, it may do nothing.
    "api": "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    # Swagger's pages load it from the folder of the browser.
    "docs": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    # As it comes; the hash is that of the one script that stands within a page.
    "flower": (
        "default-src 'none'; script-src 'self' 'sha256-A0YIP5A+DKoseGAUTHRoMPDkKPK5cKzfYH3mjcCKtj8='; "
        "style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    # A stored file, shown by itself, is nobody's page.
    "store": "sandbox; default-src 'none'",
}
