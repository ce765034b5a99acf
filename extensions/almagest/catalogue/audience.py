"""The policy of the external audience: what the settings say of it, and the rules that operators make.

What the rules mean is decided in the database (``sql/audience``), and holds from the next request on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import unquote

import psycopg

from almagest.catalogue.links import related
from almagest.catalogue.reserved import CANARY
from almagest.core.errors import BadRequestError

if TYPE_CHECKING:
    from almagest.core.settings import Settings

Visibility = Literal["public", "internal"]


#: Members that we write ourselves. They stay hidden for good: the canary looks for one.
OURS = "almagest:*"

_COLLECTION = re.compile(r"/(?:api|external)/collections/([^/?#]+)/?")
_PUBLIC = """
    SELECT id, almagest.collection_document(id) FROM almagest.collection_ids() AS c(id)
    WHERE NOT almagest.is_internal(id) ORDER BY id
"""
_NAME = re.compile(r'[^"\\\x00-\x1f*]+\*?')


@dataclass(frozen=True)
class Policy:
    """What outsiders may see.

    Attributes:
        visible_schemes: of hrefs that they may see.
        visible_buckets: whose ``s3://`` hrefs they may see.
        collections: what a collection is that no rule names.
        hidden_properties: names of members that they never see; a final ``*`` stands for any end.
        rules: by id or pattern of collections, what these are.
    """

    visible_schemes: tuple[str, ...]
    visible_buckets: tuple[str, ...]
    collections: Visibility
    hidden_properties: tuple[str, ...]
    rules: dict[str, Visibility]


def apply(settings: Settings, connection: psycopg.Connection) -> None:
    """Tells the database what the settings say."""
    connection.execute(
        """
        UPDATE almagest.audience_policy
        SET (origin, visible_schemes, visible_buckets, own_bucket, internal_by_default) = (%s, %s, %s, %s, %s)
        WHERE (origin, visible_schemes, visible_buckets, own_bucket, internal_by_default)
              IS DISTINCT FROM (%s, %s, %s, %s, %s)
        """,
        2
        * (
            settings.site.origin,
            list(settings.audience.visible_schemes),
            list(settings.audience.visible_buckets),
            settings.s3.bucket,
            settings.audience.collections == "internal",
        ),
    )
    connection.execute(
        """
        INSERT INTO almagest.collection_rule (pattern, internal) VALUES (%s, true)
        ON CONFLICT (pattern) DO UPDATE SET internal = true WHERE NOT collection_rule.internal
        """,
        (CANARY,),
    )


def policy(connection: psycopg.Connection) -> Policy:
    """The policy as it holds now."""
    row = connection.execute(
        """
        SELECT visible_schemes, visible_buckets, internal_by_default, hidden_properties FROM almagest.audience_policy
        """
    ).fetchone()
    assert row is not None, "the migration makes the row"
    schemes, buckets, internal, hidden = row
    rules = connection.execute("SELECT pattern, internal FROM almagest.collection_rule ORDER BY pattern").fetchall()
    return Policy(
        tuple(schemes),
        tuple(buckets),
        _visibility(internal),
        tuple(hidden),
        {pattern: _visibility(is_internal) for pattern, is_internal in rules},
    )


def visibilities(connection: psycopg.Connection) -> dict[str, Visibility]:
    """What each existing collection is, by id."""
    rows = connection.execute(
        "SELECT id, almagest.is_internal(id) FROM almagest.collection_ids() AS c(id) ORDER BY id"
    ).fetchall()
    return {identifier: _visibility(internal) for identifier, internal in rows}


def made_of_internal(connection: psycopg.Connection[Any]) -> dict[str, list[str]]:
    """Public collections that say that they are derived from others here which are internal, with these.

    What is in them shows something of these. Whoever makes a collection out of others makes it internal where one of
    them is; one of them may become internal later.
    """
    (origin,) = connection.execute("SELECT origin FROM almagest.audience_policy").fetchone() or ("",)
    of = {
        identifier: _derived_from(document, origin) for identifier, document in connection.execute(_PUBLIC).fetchall()
    }
    internal = internal_among(connection, set().union(*of.values()))  # one that is gone by now counts as well
    return {identifier: sorted(sources & internal) for identifier, sources in of.items() if sources & internal}


def _derived_from(collection: Mapping[str, Any], origin: str) -> set[str]:
    """Ids of collections of this site."""
    hrefs = [str(link.get("href")).removeprefix(origin) for link in related(collection, "derived_from")]
    return {unquote(place[1]) for place in map(_COLLECTION.fullmatch, hrefs) if place}


def set_collections(connection: psycopg.Connection, pattern: str, visibility: Visibility | None) -> None:
    """Makes a rule for a collection or a pattern of them, which need not exist yet; None forgets it.

    Raises:
        BadRequestError: it is no pattern, or the canary's.
    """
    if not pattern or "\0" in pattern:
        raise BadRequestError("Name a collection, or a pattern such as `draft-*`.")
    if pattern == CANARY and visibility != "internal":
        raise BadRequestError(f"{CANARY} is where the canary hides things: it stays internal.")
    if visibility is None:
        connection.execute("DELETE FROM almagest.collection_rule WHERE pattern = %s", (pattern,))
        return
    connection.execute(
        """
        INSERT INTO almagest.collection_rule (pattern, internal) VALUES (%s, %s)
        ON CONFLICT (pattern) DO UPDATE SET internal = excluded.internal
        """,
        (pattern, visibility == "internal"),
    )


def set_hidden(connection: psycopg.Connection, *, hide: Iterable[str] = (), show: Iterable[str] = ()) -> None:
    """Hides members of some names from outsiders, and no longer those of others.

    Raises:
        BadRequestError: something is no name of a member, or it is our own members that would be shown.
    """
    hidden, shown = list(hide), list(show)
    for name in (*hidden, *shown):
        if not _NAME.fullmatch(name):
            raise BadRequestError(f"{name!r} is not the name of a member; a `*` may stand at its end.")
    if OURS in shown:
        raise BadRequestError(f"{OURS} tells how things came to be inside: it stays hidden.")
    connection.execute(
        """
        UPDATE almagest.audience_policy SET hidden_properties = (
            SELECT coalesce(array_agg(DISTINCT name ORDER BY name), '{}')
            FROM unnest(hidden_properties || %s::text[]) AS n(name) WHERE name <> ALL (%s::text[]))
        """,
        (hidden, shown),
    )


def set_search(connection: psycopg.Connection, identifier: str, visibility: Visibility) -> bool:
    """Makes a registered search public, or internal again; False where there is none of this id."""
    found = connection.execute(
        "UPDATE almagest.registered_search SET audience = %s WHERE id = %s", (visibility, identifier)
    )
    return found.rowcount > 0


def _visibility(internal: bool) -> Visibility:
    return "internal" if internal else "public"


def internal_among(connection: psycopg.Connection[Any], collections: Iterable[str]) -> set[str]:
    """Those of some collections that only insiders see, whether or not they are there."""
    rows = connection.execute(
        "SELECT id FROM unnest(%s::text[]) AS c(id) WHERE almagest.is_internal(id)", (sorted(collections),)
    ).fetchall()
    return {identifier for (identifier,) in rows}


def public_among(connection: psycopg.Connection[Any], collections: Iterable[str]) -> set[str]:
    """Those of some collections that outsiders may see, for a role that cannot read the rules."""
    row = connection.execute("SELECT almagest.public_among(%s)", (list(collections),)).fetchone()
    return set(row[0]) if row else set()
