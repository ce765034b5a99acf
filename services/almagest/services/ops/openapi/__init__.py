"""The OpenAPI description of the ops app, as data: a table of operations for each part, by method and path.

Who adds a route for clients describes it in the table of its part, or brings a table, which is named here.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from typing import Any

from almagest.services.ops.openapi import figures, files, people, processes, schemas, state
from almagest.services.ops.openapi.operations import Operation, paths
from almagest.services.ops.routes import ROUTES
from almagest.services.web import docs

TITLE = "Almagest operations"
#: What it is served as.
MEDIA_TYPE = "application/vnd.oai.openapi+json;version=3.0"

#: Every operation that a client can ask for, but for this description and what only people look at.
OPERATIONS: Mapping[tuple[str, str], Operation] = {
    operation: described
    for part in (processes, figures, files, people, state)
    for operation, described in part.OPERATIONS.items()
}
#: Documents by their names.
SCHEMAS: Mapping[str, Any] = {**schemas.SCHEMAS, **figures.SCHEMAS, **files.SCHEMAS, **people.SCHEMAS}


def document(base: str) -> dict[str, Any]:
    """The description.

    Args:
        base: public address of the app, without a slash at its end.
    """
    described = {
        "openapi": "3.0.3",
        "info": {
            "title": TITLE,
            "version": metadata.version("almagest"),
            "description": "Processes that make items of the catalogue, the jobs that run them, people with their keys"
            " and files, and how all is.",
        },
        "servers": [{"url": base}],
        "paths": paths(OPERATIONS),
        "components": {"schemas": dict(SCHEMAS)},
    }
    return docs.with_bearer(described, ROUTES)
