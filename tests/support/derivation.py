"""Catalogues of items that are derived from one another, and who is derived from whom by walking through all of it."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import orjson
import psycopg

from almagest.catalogue.versions import moment_of, version_of
from support import ingests, versions

Document = dict[str, Any]
#: Collection and id.
Name = tuple[str, str]
#: A node: collection, id and version, or an address.
Node = tuple[str, str, str | None] | str

COLLECTIONS = ("open", "plain", "secret")
OTHER = "https://elsewhere.example.org"


@dataclass
class World:
    """A catalogue that changes by chance: items come, change in what is seen and what is not, go and come back.

    Attributes:
        connection: as the admin.
        origin: of the site.
        chance: decides.
        names: items that there may be.
    """

    connection: psycopg.Connection[Any]
    origin: str
    chance: random.Random
    names: list[Name] = field(default_factory=lambda: [(of, f"é {n}") for of in COLLECTIONS for n in range(4)])
    made: int = 0

    def step(self) -> None:
        """One change, or some folding."""
        name, what = self.chance.choice(self.names), self.chance.random()
        if what < 0.1 and self._present(name):
            self.connection.execute("SELECT almagest.delete_item(%s, %s)", name)
        elif what < 0.25:
            self.connection.execute("SELECT almagest.fold_lineage(%s)", (self.chance.choice((1, 2, 100)),))
        elif what < 0.45 and (present := self._present(name)):
            # Outsiders do not see it; those inside have another version.
            self.made += 1
            present["properties"]["almagest:number"] = self.made
            self._put(present)
        else:
            self.made += 1
            document = ingests.item()
            document |= {"collection": name[0], "id": name[1], "links": [*self._links()]}
            document["properties"] |= {"number": self.made, "title": f"No. {self.made}"}
            self._put(document)

    def _put(self, document: Document) -> None:
        self.connection.execute("SELECT almagest.put_item(%s::jsonb)", (orjson.dumps(document).decode(),))

    def _present(self, name: Name) -> Document | None:
        row = self.connection.execute("SELECT almagest.item_document(%s, %s)", name).fetchone()
        return row[0] if row else None

    def _links(self) -> Iterator[Document]:
        for _ in range(self.chance.choice((0, 1, 1, 2, 3))):
            collection, item = self.chance.choice(self.names)
            api = self.chance.choice(("api", "api", "external"))
            href = f"{self.origin}/{api}/collections/{collection}/items/{quote(item)}"
            known = [state.valid_from for state in versions.states(self.connection, collection, item)]
            pin = version_of(self.chance.choice(known)) if known else "20200101T000000.000000Z"
            kind = self.chance.choice(("plain", "pinned", "pinned", "permalink", "relative", "elsewhere"))
            link = {"rel": "derived_from", "href": href}
            if kind == "pinned":
                link["almagest:version"] = pin
            elif kind == "permalink":
                link["href"] += f"/versions/{pin}"
            elif kind == "relative":
                link["href"] = f"/{api}/collections/{collection}/items/{quote(item)}"
            elif kind == "elsewhere":
                link["href"] = f"{OTHER}/api/collections/{collection}/items/{quote(item)}"
            yield link
        yield {"rel": "related", "href": f"{self.origin}/api/collections/open/items/no"}


@dataclass(frozen=True)
class Told:
    """What an audience can read about an item: when it was which document, None where it was none; the oldest first."""

    states: tuple[tuple[Any, Document | None], ...]

    def near(self, moment: Any, *, exact: bool) -> Any:
        """When the version began that it was at a moment; else, where that will do, the last before or the first."""
        begun = [(begin, document) for begin, document in self.states if begin <= moment]
        if begun and begun[-1][1] is not None:
            return begun[-1][0]
        there = [begin for begin, document in self.states if document is not None]
        before = [begin for begin in there if begin <= moment]
        return None if exact else before[-1] if before else there[0] if there else None


class Oracle:
    """Reads all of a catalogue as an audience may, by the functions that tell of one item, and walks through it."""

    def __init__(self, world: World, schema: str) -> None:
        self._origin = world.origin
        self._sources: dict[tuple[str, str, str], list[Node]] = {}
        self.told: dict[Name, Told] = {}
        for name in world.names:
            rows = world.connection.execute(
                f"""
                SELECT s.valid_from, CASE WHEN NOT s.deleted THEN
                    (SELECT r.item::jsonb FROM {schema}.item_row_at(%s, %s, s.valid_from) AS r) END
                FROM {schema}.item_states(%s, %s) AS s ORDER BY 1
                """.encode(),
                (*name, *name),
            ).fetchall()
            self.told[name] = Told(tuple(rows))

    def nodes(self) -> list[tuple[str, str, str]]:
        """Every version there is."""
        return [
            (*name, version_of(begin))
            for name, told in self.told.items()
            for begin, document in told.states
            if document is not None
        ]

    def sources(self, node: tuple[str, str, str]) -> list[Node]:
        """What a version is derived from, in order."""
        if node not in self._sources:
            self._sources[node] = self._read(node)
        return self._sources[node]

    def _read(self, node: tuple[str, str, str]) -> list[Node]:
        begun = moment_of(node[2])
        document = dict(self.told[node[0], node[1]].states)[begun]
        assert document is not None
        found: set[Node] = set()
        for link in document["links"]:
            if link["rel"] == "derived_from":
                found.add(self._source(link, begun))
        return sorted(found, key=lambda other: (isinstance(other, str), _ordered(other)))

    def products(self, node: tuple[str, str, str]) -> list[tuple[str, str, str]]:
        """What is derived from a version, in order."""
        return sorted(other for other in self.nodes() if node in self.sources(other))

    def walk(self, root: tuple[str, str, str], direction: str, depth: int, most: int) -> Document:
        """The lineage, as the API tells it but for what it says of single nodes."""
        nodes: list[Node] = [root]
        distance: dict[Node, int] = {root: 0}
        edges: list[tuple[int, int]] = []
        cut: list[str] = []
        waiting: deque[Node] = deque([root])
        while waiting:
            here = waiting.popleft()
            if isinstance(here, str) or here[2] is None or not self._is_there(here):
                continue
            others = self.sources(here) if direction == "up" else self.products(here)  # type: ignore[arg-type]
            if distance[here] >= depth:
                cut += ["depth"] if others and "depth" not in cut else []
                continue
            for other in others:
                if other not in distance:
                    if len(nodes) >= most:
                        return {"nodes": nodes, "edges": edges, "cut": [*cut, "nodes"]}
                    nodes.append(other)
                    distance[other] = distance[here] + 1
                    waiting.append(other)
                pair = nodes.index(here), nodes.index(other)
                edges.append(pair if direction == "up" else (pair[1], pair[0]))
        return {"nodes": nodes, "edges": edges, "cut": cut}

    def _is_there(self, node: tuple[str, str, str | None]) -> bool:
        told = self.told.get((node[0], node[1]))
        return told is not None and any(
            document is not None and version_of(begin) == node[2] for begin, document in told.states
        )

    def _source(self, link: Document, begun: Any) -> Node:
        href = link["href"].removeprefix(self._origin)
        if href.startswith(OTHER):
            return href
        _, _, _, collection, _, item, *rest = href.split("/")
        pin = link.get("almagest:version") or (rest[1] if rest else None)
        item = item.replace("%C3%A9%20", "é ")
        near = self.told[collection, item].near(moment_of(pin) if pin else begun, exact=pin is not None)
        return collection, item, version_of(near) if near else pin


def _ordered(node: Node) -> tuple[str, ...]:
    # What has no name comes last.
    return (node,) if isinstance(node, str) else (node[0], node[1], node[2] or "\U0010ffff")
