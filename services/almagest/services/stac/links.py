"""Links that follow from where a document is stored. They are made on the way out, never stored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urljoin, urlsplit

from almagest.catalogue.links import INFERRED_LINKS, SERVER_LINKS, rel
from almagest.core.addresses import segment

OGC_QUERYABLES = "http://www.opengis.net/def/rel/ogc/1.0/queryables"
#: Links never served as they are stored. The queryables and aggregations of the server that a collection came from are
#: not ours, and clients would follow them there.
_REPLACED = INFERRED_LINKS | SERVER_LINKS

Link = dict[str, Any]

JSON = "application/json"
GEOJSON = "application/geo+json"
JSON_SCHEMA = "application/schema+json"


@dataclass(frozen=True)
class Links:
    """Makes links under one base.

    Attributes:
        base: public address of the API, with a trailing slash.
        as_of: moment at which documents are looked at, which their links say too; None: the present.
    """

    base: str
    as_of: str | None = None

    def href(self, *segments: str) -> str:
        """An address under the base; ids among the segments are percent-encoded."""
        return self.base + "/".join(map(segment, segments))

    @property
    def _then(self) -> str:
        return "" if self.as_of is None else f"?as-of={quote(self.as_of, safe=':')}"

    def item(self, collection: str, item: str, stored: Iterable[Mapping[str, Any]] | None) -> list[Link]:
        """Links of an item: its own place first, then what is stored with it."""
        of = self.href("collections", collection)
        return [
            {"rel": "self", "type": GEOJSON, "href": f"{of}/items/{segment(item)}{self._then}"},
            {"rel": "parent", "type": JSON, "href": f"{of}{self._then}"},
            {"rel": "collection", "type": JSON, "href": f"{of}{self._then}"},
            {"rel": "root", "type": JSON, "href": self.base},
            *self.stored(stored),
        ]

    def collection(self, collection: str, stored: Iterable[Mapping[str, Any]] | None) -> list[Link]:
        """Links of a collection."""
        here = self.href("collections", collection)
        return [
            {"rel": "self", "type": JSON, "href": f"{here}{self._then}"},
            {"rel": "parent", "type": JSON, "href": self.base},
            {"rel": "root", "type": JSON, "href": self.base},
            {"rel": "items", "type": GEOJSON, "href": f"{here}/items{self._then}"},
            *self.stored(stored),
            *(
                {"rel": name, "type": JSON_SCHEMA, "title": "Queryables", "href": f"{here}/queryables"}
                for name in ("queryables", OGC_QUERYABLES)
            ),
            *self.aggregating("collections", collection),
        ]

    def aggregating(self, *of: str) -> list[Link]:
        """Links to the aggregations of the catalogue, or of what lies under these segments."""
        return [
            {"rel": "aggregate", "type": JSON, "method": "GET", "href": self.href(*of, "aggregate")},
            {"rel": "aggregate", "type": JSON, "method": "POST", "href": self.href(*of, "aggregate")},
            {"rel": "aggregations", "type": JSON, "href": self.href(*of, "aggregations")},
        ]

    def stored(self, links: Iterable[Mapping[str, Any]] | None) -> list[Link]:
        """What a document brought along, without the links that are made here; relative ones resolved."""
        return [
            {**link, "href": _resolved(self.base, link["href"])}
            # Other writers may have left anything here: what is no link is left out.
            for link in (links if isinstance(links, list) else ())
            if isinstance(link, dict) and rel(link) not in _REPLACED and "href" in link
        ]


def _resolved(base: str, href: object) -> str:
    if isinstance(href, str) and href.startswith(("https://", "http://")):
        return href
    try:
        return urljoin(base, str(href))
    except ValueError:  # it begins as an address, and is none
        return str(href)


def with_parameters(url: str, **parameters: str | None) -> str:
    """The address with these query parameters set, or dropped where they are None; the others stay as they are."""
    parts = urlsplit(url)
    kept = [(key, value) for key, value in parse_qsl(parts.query, keep_blank_values=True) if key not in parameters]
    new = [(key, value) for key, value in parameters.items() if value is not None]
    return parts._replace(query=urlencode(kept + new)).geturl()
