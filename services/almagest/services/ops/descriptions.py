"""Processes as OGC API - Processes describes them (Part 1, 1.0, and the names that 2.0 gives the same things)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from almagest.core.jobs import Process
from almagest.services.ops import openapi
from almagest.services.ops.answers import link

#: What is claimed, and tested.
CONFORMANCE = tuple(
    f"http://www.opengis.net/spec/ogcapi-processes-1/1.0/conf/{name}"
    for name in ("core", "ogc-process-description", "json", "oas30", "job-list", "callback", "dismiss")
)
_RELS = "http://www.opengis.net/def/rel/ogc/1.0"


def landing(base: str) -> dict[str, Any]:
    """What there is, and where.

    Args:
        base: address of the API, without a slash at its end.
    """
    return {
        "title": "Almagest operations",
        "description": "Processes that make items of the catalogue, and the jobs that run them (OGC API - Processes).",
        "links": [
            link("self", f"{base}/", "This document"),
            link("service-desc", f"{base}/openapi.json", "Description of the interface", openapi.MEDIA_TYPE),
            link("service-doc", f"{base}/docs", "The same for people", "text/html"),
            link("conformance", f"{base}/conformance", "What it conforms to"),
            link(f"{_RELS}/conformance", f"{base}/conformance", "What it conforms to"),
            link(f"{_RELS}/processes", f"{base}/processes", "Processes"),
            link(f"{_RELS}/job-list", f"{base}/jobs", "Jobs"),
        ],
    }


def summary(process: Process[Any], base: str) -> dict[str, Any]:
    """A process in a list."""
    here = f"{base}/processes/{process.id}"
    return {
        "id": process.id,
        "version": process.version,
        "title": process.title,
        "description": process.description,
        "keywords": list(process.keywords),
        "jobControlOptions": [*(["sync-execute"] if process.is_quick else []), "async-execute", "dismiss"],
        "outputTransmission": ["value"],
        "links": [
            link("self", here, process.title),
            link(f"{_RELS}/execute", f"{here}/execution", "Where it is executed"),
            link(f"{_RELS}/job-list", f"{base}/jobs?processID={process.id}", "Jobs of it"),
        ],
    }


def description(process: Process[Any], base: str) -> dict[str, Any]:
    """All that is to be known of a process."""
    return {**summary(process, base), "inputs": input_descriptions(process), "outputs": dict(_outputs(process))}


def input_descriptions(process: Process[Any]) -> dict[str, dict[str, Any]]:
    """What a process takes: title, description and schema of each input, by its name."""
    return dict(_inputs(process))


def _inputs(process: Process[Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    schema = process.inputs.model_json_schema()
    required = set(schema.get("required", ()))
    definitions = schema.get("$defs", {})
    for name, given in schema["properties"].items():
        found = _inlined(given, definitions)
        own = {key: value for key, value in found.items() if key not in {"title", "description"}}
        yield (
            name,
            {
                "title": found.get("title", name),
                "description": found.get("description", ""),
                "schema": own,
                "minOccurs": int(name in required),
                "maxOccurs": 1,
            },
        )


def _inlined(schema: Any, definitions: Mapping[str, Any]) -> Any:
    """A part of a schema without references: they would lead elsewhere from within a description."""
    if isinstance(schema, list):
        return [_inlined(part, definitions) for part in schema]
    if not isinstance(schema, dict):
        return schema
    referred = definitions.get(str(schema.get("$ref", "")).removeprefix("#/$defs/"))
    whole = {**referred, **schema} if referred else schema
    return {key: _inlined(value, definitions) for key, value in whole.items() if not (referred and key == "$ref")}


def _outputs(process: Process[Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, output in process.outputs.items():
        yield name, {"title": output.title, "description": output.description, "schema": dict(output.schema)}
