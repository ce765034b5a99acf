"""Schemas of documents, by the names by which operations refer to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, get_args

from almagest.core.jobs import Status
from almagest.services.ops.openapi.operations import ref

STRING: Mapping[str, Any] = {"type": "string"}
MOMENT: Mapping[str, Any] = {"type": "string", "format": "date-time"}
WHOLE: Mapping[str, Any] = {"type": "integer", "minimum": 0}
LINKS: Mapping[str, Any] = {"type": "array", "items": ref("Link")}


def of(required: Mapping[str, Any], optional: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The schema of an object, from those of its members."""
    needed = {"required": list(required)} if required else {}
    return {"type": "object", **needed, "properties": {**required, **(optional or {})}}


def many(items: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of an array."""
    return {"type": "array", "items": dict(items)}


def nullable(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of something that may be missing."""
    return {**schema, "nullable": True}


def one_of(values: Iterable[str]) -> dict[str, Any]:
    """The schema of a word."""
    return {"type": "string", "enum": list(values)}


#: JSON Schema itself, of the draft that pydantic writes: OpenAPI 3.0 has no words for it.
_JSON_SCHEMA = {"type": "object", "description": "A JSON Schema (2020-12)."}
_VALUE = of(
    {"title": STRING, "description": STRING, "schema": _JSON_SCHEMA},
    {"minOccurs": WHOLE, "maxOccurs": WHOLE},
)
_SUMMARY = of(
    {
        "id": STRING,
        "version": STRING,
        "title": STRING,
        "description": STRING,
        "keywords": many(STRING),
        "jobControlOptions": many(one_of(("sync-execute", "async-execute", "dismiss"))),
        "outputTransmission": many(one_of(("value",))),
        "links": LINKS,
    }
)
_STATUS = of(
    {
        "jobID": {**STRING, "format": "uuid"},
        "id": {**STRING, "format": "uuid", "description": "The same, as version 2.0 of the standard names it."},
        "type": one_of(("process",)),
        "processingEntityType": one_of(("ogc-api-processes",)),
        "processID": STRING,
        "status": one_of(get_args(Status)),
        "message": STRING,
        "progress": {"type": "integer", "minimum": 0, "maximum": 100},
        "created": MOMENT,
        "updated": MOMENT,
        "links": LINKS,
    },
    {"started": MOMENT, "finished": MOMENT, "exception": ref("Exception")},
)

SCHEMAS: Mapping[str, Any] = {
    "Conformance": of({"conformsTo": many({**STRING, "format": "uri"})}),
    "Event": of({"id": WHOLE, "at": MOMENT, "kind": one_of(("state", "log")), "message": STRING}),
    "Exception": {
        **of({"type": STRING, "title": STRING, "status": {"type": "integer"}, "detail": STRING}),
        "description": "Why a job failed, as the problem document says it that stands where its results would be.",
    },
    "Execution": {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "inputs": {
                "type": "object",
                "description": "By name, as the description of the process has them with their JSON Schemas. "
                "A value may stand within an object as its `value`.",
            },
            "outputs": {
                "type": "object",
                "description": "Those that are wanted, by name; all, if none is named.",
                "additionalProperties": {
                    "type": "object",
                    "properties": {"transmissionMode": one_of(("value",))},
                },
            },
            "subscriber": {
                "type": "object",
                "description": "Who is called back, by POST: signed, and at least once.",
                "properties": {
                    name: {**STRING, "format": "uri"} for name in ("successUri", "inProgressUri", "failedUri")
                },
            },
            "response": {
                **one_of(("raw", "document")),
                "default": "raw",
                "description": "`document` makes an object by name of one output, too.",
            },
        },
    },
    "Health": of({"status": one_of(("ok",))}),
    "Jobs": of({"jobs": many(ref("StatusInfo")), "links": LINKS}),
    "Landing": of({"title": STRING, "description": STRING, "links": LINKS}),
    "Link": of({"rel": STRING, "href": STRING}, {"type": STRING, "title": STRING}),
    "Log": of({"events": many(ref("Event"))}),
    "Process": {
        "allOf": [
            ref("ProcessSummary"),
            of(
                {
                    "inputs": {"type": "object", "additionalProperties": ref("Value")},
                    "outputs": {"type": "object", "additionalProperties": ref("Value")},
                }
            ),
        ]
    },
    "ProcessSummary": _SUMMARY,
    "Processes": of({"processes": many(ref("ProcessSummary")), "links": LINKS}),
    "Readiness": of({"status": one_of(("ready", "unavailable")), "reasons": many(STRING)}),
    "Results": {
        "description": "One output by itself, of the schema that the description of the process gives it; several, or "
        "one that was asked for as a document, as an object of outputs by name.",
    },
    "StatusInfo": _STATUS,
    "Value": {**_VALUE, "description": "An input or an output of a process."},
}
