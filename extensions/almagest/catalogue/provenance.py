"""A lineage as a document of W3C PROV (PROV-JSON, https://www.w3.org/submissions/prov-json/).

Versions of items are entities, jobs are activities that generated some of them and used others, software and whoever
wrote are agents. What nobody knows, or may know, is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from almagest.catalogue.versions import moment_of
from almagest.core.addresses import segment

Document = dict[str, Any]

MEDIA_TYPE = "application/prov+json"

_QUALIFIED = "prov:QUALIFIED_NAME"


def document(lineage: Mapping[str, Any], base: str, jobs: str, here: str) -> Document:
    """A lineage as PROV-JSON.

    Args:
        lineage: `nodes` and `edges`, as `walk_lineage` tells them.
        base: public address of the API, with a trailing slash.
        jobs: that of jobs, with a trailing slash.
        here: that of the lineage itself: what lies elsewhere is named below it.
    """
    making = _Making()
    nodes: Sequence[Document] = lineage["nodes"]
    names = [making.entity(number, node) for number, node in enumerate(nodes)]
    for edge in lineage["edges"]:
        making.derivation(nodes[edge["derived"]], names[edge["derived"]], names[edge["source"]])
    return {
        "prefix": {
            "version": f"{base}collections/",
            "source": f"{here}#",
            "job": jobs,
            "software": "urn:almagest:software:",
            "actor": "urn:almagest:actor:",
            "almagest": "urn:almagest:",
        },
        **{kind: records for kind, records in making.records.items() if records},
    }


@dataclass
class _Making:
    """Records by their kinds and names, in the order in which they are met."""

    records: dict[str, dict[str, Document]] = field(default_factory=dict)

    def entity(self, number: int, node: Document) -> str:
        """Adds what is known of a node; answers its name."""
        if "href" in node:
            name = f"source:{number}"
            self._put("entity", name, {"prov:location": {"$": node["href"], "type": "xsd:anyURI"}})
            return name
        name = f"version:{segment(node['collection'])}/items/{segment(node['id'])}"
        name += f"/versions/{node['version']}" if "version" in node else ""
        told: Document = {"prov:type": {"$": "almagest:ItemVersion", "type": _QUALIFIED}}
        if title := node.get("title"):
            told["prov:label"] = title
        self._put("entity", name, told)
        software = [self._software(*entry) for entry in _entries(node.get("software"))]
        actor = self._agent("actor", node["actor"], "prov:Person") if node.get("actor") else None
        if "job" not in node:
            for agent in (*software, *([actor] if actor else [])):
                self._relate("wasAttributedTo", {"prov:entity": name, "prov:agent": agent})
            return name
        ended = moment_of(node["version"]).isoformat()
        job = f"job:{segment(node['job'])}"
        self._put("activity", job, {"prov:endTime": ended, **_process(node)})
        self._relate("wasGeneratedBy", {"prov:entity": name, "prov:activity": job, "prov:time": ended})
        for agent in (*software, *([actor] if actor else [])):
            self._relate("wasAssociatedWith", {"prov:activity": job, "prov:agent": agent})
        return name

    def derivation(self, node: Document, derived: str, source: str) -> None:
        """Adds that one was made of another; and that the job used it, where there was one."""
        told = {"prov:generatedEntity": derived, "prov:usedEntity": source}
        if "job" in node:
            told["prov:activity"] = f"job:{segment(node['job'])}"
            self._relate("used", {"prov:activity": told["prov:activity"], "prov:entity": source})
        self._relate("wasDerivedFrom", told)

    def _software(self, name: str, version: str) -> str:
        told = {"prov:label": f"{name} {version}", "almagest:version": version}
        return self._agent("software", f"{name}@{version}", "prov:SoftwareAgent", told)

    def _agent(self, prefix: str, name: str, kind: str, told: Document | None = None) -> str:
        identifier = f"{prefix}:{segment(name)}"
        self._put(
            "agent", identifier, {"prov:type": {"$": kind, "type": _QUALIFIED}, "prov:label": name, **(told or {})}
        )
        return identifier

    def _relate(self, kind: str, told: Document) -> None:
        records = self.records.setdefault(kind, {})
        if told not in records.values():
            records[f"_:{kind}{len(records)}"] = told

    def _put(self, kind: str, name: str, told: Document) -> None:
        self.records.setdefault(kind, {}).setdefault(name, told)


def _entries(software: Any) -> list[tuple[str, str]]:
    """What the processing extension tells of software; producers may have written anything."""
    if not isinstance(software, dict):
        return []
    return [(str(name), str(version)) for name, version in software.items() if isinstance(version, str | int | float)]


def _process(node: Document) -> Document:
    """Our own processes are software of ours."""
    ours = [
        name.removeprefix("almagest/") for name, _ in _entries(node.get("software")) if name.startswith("almagest/")
    ]
    return {"almagest:process": ours[0], "prov:label": ours[0]} if ours else {}
