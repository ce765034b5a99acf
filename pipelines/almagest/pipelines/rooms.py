"""Collections that results go into: made where they are missing, and as wide as what is in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import orjson
import psycopg

from almagest.catalogue import links
from almagest.catalogue.acceptance import Rules, accept_collection
from almagest.catalogue.extents import Extent
from almagest.catalogue.reserved import require_changeable
from almagest.core.errors import ConfigurationError

Document = dict[str, Any]


def provide(
    connection: psycopg.Connection[Any],
    document: Mapping[str, Any],
    made_of: Iterable[str],
    rules: Rules,
    *,
    public: bool,
) -> None:
    """Makes a collection where there is none, or widens the one that is there by the extent of the new one.

    It says what it is derived from. What else somebody has said of it stays as it is.

    Args:
        connection: of the workers' role, in a transaction: nobody else writes to the collection until it ends.
        document: the collection.
        made_of: ids of the collections that its items are made of; where one is internal, a new one is as well.
        rules: that documents have to follow.
        public: a new one is so all the same.

    Raises:
        InvalidDocumentError: it is not valid STAC.
        ConfigurationError: its extent is missing.
    """
    sources = sorted(set(made_of))
    accepted = _derived(accept_collection(document, rules).document, sources, rules.origin)
    identifier = accepted["id"]
    require_changeable(identifier)
    extent = Extent.of_collection(accepted)
    if extent is None:
        raise ConfigurationError(f"{identifier}: a collection of results says from when to when, and where.")
    connection.execute("SELECT almagest.lock_collection(%s)", (identifier,))
    present = _document(connection, identifier)
    if present is None:
        if not public:
            connection.execute("SELECT almagest.keep_internal(%s, %s)", (identifier, sources))
        _call(connection, "SELECT almagest.create_collection(%s::jsonb)", accepted)
        return
    changed = _derived(_widened(present, extent), sources, rules.origin)
    if changed != present:
        _call(connection, "SELECT almagest.replace_collection(%s::jsonb)", changed)


def _widened(present: Document, extent: Extent) -> Document:
    known = Extent.of_collection(present)
    if known is None or known | extent == known:
        return present
    # Whatever else it says of more boxes or spans stays: the first is around all of them.
    wider = (known | extent).as_json()
    wider["spatial"]["bbox"] += present["extent"]["spatial"]["bbox"][1:]
    wider["temporal"]["interval"] += present["extent"]["temporal"]["interval"][1:]
    return {**present, "extent": wider}


def _derived(document: Document, sources: Sequence[str], origin: str) -> Document:
    """With a link to each collection that its items are made of."""
    # By paths: the site may have had another address.
    known = {links.path(link.get("href")) for link in links.related(document, "derived_from")}
    paths = [f"/api/collections/{quote(source, safe='')}" for source in sources]
    new = [
        {"rel": "derived_from", "type": "application/json", "href": f"{origin}{path}"}
        for path in paths
        if path not in known
    ]
    return {**document, "links": [*(document.get("links") or []), *new]} if new else document


def _document(connection: psycopg.Connection[Any], identifier: str) -> Document | None:
    row = connection.execute("SELECT almagest.collection_document(%s)::text", (identifier,)).fetchone()
    return orjson.loads(row[0]) if row and row[0] else None


def _call(connection: psycopg.Connection[Any], statement: str, document: Document) -> None:
    connection.execute(statement.encode(), (orjson.dumps(document).decode(),))
