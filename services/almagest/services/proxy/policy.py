"""What the door lets through, as data. The template turns it into nginx's words."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Route:
    """One sub-path of an audience and the upstream that answers it."""

    path: str
    upstream: str


@dataclass(frozen=True)
class Audience:
    """One first path segment. Longer sub-paths win over shorter ones.

    Attributes:
        prefix: the segment, with its slash in front.
        routes: what stands below it.
        open_posts: paths whose POST only reads, spelled as the client must spell them; every other method than GET,
            HEAD and OPTIONS, and every other spelling, needs a key.
    """

    prefix: str
    routes: tuple[Route, ...]
    open_posts: tuple[str, ...] = ()


AUDIENCES: tuple[Audience, ...] = (
    Audience("/api", (Route("/tiles", "tiles"), Route("", "stac")), open_posts=("/api/search",)),
)

#: The only headers of a client that reach an application. Whoever would name himself (X-Principal, X-Role, X-Tier,
#: X-Scopes), his way here (X-Forwarded-*, Forwarded, X-Real-IP) or another method (X-HTTP-Method-Override) is not
#: heard, because nobody listed it. Accept-Encoding is missing on purpose: compression happens in nginx, once.
PASSED_HEADERS: tuple[str, ...] = (
    "Accept",
    "Accept-Language",
    "Access-Control-Request-Headers",
    "Access-Control-Request-Method",
    "Content-Type",
    "If-Match",
    "If-Modified-Since",
    "If-None-Match",
    "If-Range",
    "If-Unmodified-Since",
    "Origin",
    "Prefer",
    "Range",
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
    Refusal(401, "unauthorized", "Unauthorized", "Writing needs a key: send `Authorization: Bearer <key>`."),
    Refusal(403, "forbidden", "Forbidden", "This is not served here."),
    Refusal(404, "not-found", "Not found", "There is nothing here."),
    Refusal(405, "method-not-allowed", "Method not allowed", "This address cannot be used with this method."),
    Refusal(408, "request-timeout", "Request timeout", "The request took too long to arrive. Send it again."),
    Refusal(411, "length-required", "Length required", "Send a Content-Length."),
    Refusal(413, "content-too-large", "Content too large", "The body is larger than this site takes: send parts."),
    Refusal(414, "uri-too-long", "URI too long", "The address is too long: POST the same search as a body."),
    Refusal(416, "range-not-satisfiable", "Range not satisfiable", "The file has no such part."),
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
    # An answer of the API is data. Should a browser be made to show one as a page, it may do nothing.
    "api": "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; frame-ancestors 'none'",
}
