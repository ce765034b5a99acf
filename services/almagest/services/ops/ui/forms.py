"""What a form sends, taken only from our own pages; and forms for the inputs of processes, made of their schemas."""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from starlette.requests import Request

from almagest.core.errors import AlmagestError, InvalidDocumentError
from almagest.core.jobs import Process
from almagest.services.ops.descriptions import input_descriptions

_MOST_FIELDS = 200


class StrangeFormError(AlmagestError):
    """This form did not come from a page of ours, or from one that is too old: open the page again."""

    status = 403
    slug = "strange-form"


async def read(request: Request, origin: str, csrf: str | None) -> dict[str, str]:
    """The fields of a form.

    Args:
        request: that brought it.
        origin: of our site: a browser says from where a form comes, and no page can make it say otherwise.
        csrf: what the form must hold; None: nobody has logged in yet.

    Raises:
        StrangeFormError: it is none of ours.
    """
    if request.headers.get("origin") != origin:
        raise StrangeFormError(f"This form was not sent by a page of {origin}: open it there.")
    async with request.form(max_files=0, max_fields=_MOST_FIELDS) as form:
        found = {name: value for name, value in form.items() if isinstance(value, str)}
    shown = found.pop("csrf", "").encode()
    if csrf is not None and not (request.headers.get("cookie") and hmac.compare_digest(shown, csrf.encode())):
        raise StrangeFormError()
    return found


@dataclass(frozen=True)
class Field:
    """One input of a process, as a form shows it.

    Attributes:
        kind: `text`, `number`, `checkbox`, `select`, `date`, `datetime` or `json`.
        value: what stands in it, as text.
    """

    name: str
    title: str
    description: str
    kind: str
    is_required: bool
    value: str = ""
    options: list[str] = field(default_factory=list)
    minimum: float | None = None
    maximum: float | None = None
    step: str = "any"
    longest: int | None = None
    example: str = ""
    fault: str = ""


def fields(
    process: Process[Any], values: Mapping[str, str] | None = None, error: InvalidDocumentError | None = None
) -> list[Field]:
    """The form of a process.

    Args:
        process: whose inputs are asked for.
        values: what somebody has written already.
        error: what is wrong with that.
    """
    faults = (
        {fault.pointer.split("/")[2]: fault.message for fault in error.violations if fault.pointer.count("/") > 1}
        if error
        else {}
    )
    return list(_fields(process, values, faults))


def _fields(process: Process[Any], values: Mapping[str, str] | None, faults: Mapping[str, str]) -> Iterator[Field]:
    for name, described in input_descriptions(process).items():
        schema = _meant(described["schema"])
        kind = _kind(schema)
        default = schema.get("default", described["schema"].get("default"))
        example = next(iter(described["schema"].get("examples", [])), "")
        yield Field(
            name=name,
            title=described["title"],
            description=described["description"],
            kind=kind,
            is_required=described["minOccurs"] > 0,
            value=_written(default, kind) if values is None else values.get(name, ""),
            options=[str(option) for option in schema.get("enum", [])],
            minimum=schema.get("minimum"),
            maximum=schema.get("maximum"),
            step="1" if schema.get("type") == "integer" else "any",
            longest=schema.get("maxLength"),
            example=_written(example, kind),
            fault=_in_words(faults.get(name, ""), _written(example, kind)),
        )


def _in_words(fault: str, example: str) -> str:
    """What is wrong, for who cannot read regular expressions."""
    return f"Write it like {example}" if example and fault.startswith("String should match pattern") else fault


def inputs(process: Process[Any], form: Mapping[str, str]) -> dict[str, Any]:
    """The inputs that a form means. What cannot be read stays text, for the process to say what is wrong with it."""
    found: dict[str, Any] = {}
    for asked in _fields(process, form, {}):
        text = form.get(asked.name, "").strip() if asked.kind != "text" else form.get(asked.name, "")
        if asked.kind == "checkbox":
            found[asked.name] = text == "on"
        elif text:
            found[asked.name] = _read(text, asked.kind)
    return found


def _read(text: str, kind: str) -> Any:
    if kind not in {"number", "json"}:
        return f"{text}Z" if kind == "datetime" and len(text) in {16, 19} else text
    try:
        return orjson.loads(text)
    except ValueError:
        return text


def _meant(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Of something that may be left out, what it is where it is not."""
    choices = [choice for choice in schema.get("anyOf", []) if choice.get("type") != "null"]
    return choices[0] if len(choices) == 1 else schema


def _kind(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return "select"
    kinds = {"boolean": "checkbox", "number": "number", "integer": "number"}
    if schema.get("type") == "string":
        return {"date": "date", "date-time": "datetime"}.get(schema.get("format", ""), "text")
    return kinds.get(str(schema.get("type")), "json")


def _written(value: Any, kind: str) -> str:
    if value is None or value == "":
        return ""
    if kind == "checkbox":
        return "on" if value else ""
    return value if isinstance(value, str) else orjson.dumps(value).decode()
