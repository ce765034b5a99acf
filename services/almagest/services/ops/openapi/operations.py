"""What an operation is made of, and how OpenAPI 3.0 writes it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from almagest.services.web.docs import problem_answers

Schema = Mapping[str, Any]

JSON = "application/json"

_NAME = re.compile(r"\{(\w+)(?::\w+)?\}")


def ref(schema: str) -> dict[str, str]:
    """A schema of the description, by its name in :mod:`almagest.services.ops.openapi.schemas`."""
    return {"$ref": f"#/components/schemas/{schema}"}


@dataclass(frozen=True)
class Answer:
    """One that is no problem.

    Attributes:
        description: when it is given, in a sentence.
        schema: of its body; None: it has none.
        media_type: of its body.
        headers: those that it always has, and what they say.
    """

    description: str
    schema: Schema | None = None
    media_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)

    def written(self) -> dict[str, Any]:
        """As OpenAPI has it."""
        headers = {
            name: {"description": told, "required": True, "schema": {"type": "string"}}
            for name, told in self.headers.items()
        }
        return {
            "description": self.description,
            **({"headers": headers} if headers else {}),
            **({"content": {self.media_type: {"schema": self.schema}}} if self.schema is not None else {}),
        }


@dataclass(frozen=True)
class Parameter:
    """One of the query, or a header.

    Attributes:
        name: as it is written in a request.
        description: what it does, in a sentence.
        schema: of its value. Of an array, members are separated by commas.
        place: ``query`` or ``header``.
        example: of its value.
    """

    name: str
    description: str
    schema: Schema
    place: str = "query"
    example: object = None

    def written(self) -> dict[str, Any]:
        """As OpenAPI has it."""
        together = {"style": "form", "explode": False} if self.schema.get("type") == "array" else {}
        return {
            "name": self.name,
            "in": self.place,
            "description": self.description,
            "schema": dict(self.schema),
            **together,
            **({} if self.example is None else {"example": self.example}),
        }


@dataclass(frozen=True)
class Operation:
    """What one method does at one address.

    Attributes:
        name: unique among all, for those who generate clients.
        summary: what it does, in a few words.
        tag: the part that it belongs to.
        answers: by status, those that are no problem.
        problems: statuses of its problem documents, ``4XX`` among them where a range is meant. Those that the door
            gives (401, 403, 429, 503) are added where they can come.
        parameters: besides those of the path.
        body: schema of what is sent, as JSON.
        example: of what is sent.
        media_type: of what is sent, where it is not JSON.
        description: more, where the summary is not enough.
    """

    name: str
    summary: str
    tag: str
    answers: Mapping[int, Answer]
    problems: Iterable[int | str] = ()
    parameters: Iterable[Parameter] = ()
    body: Schema | None = None
    example: object = None
    media_type: str = JSON
    description: str = ""

    def written(self, path: str) -> dict[str, Any]:
        """As OpenAPI has it, at this path."""
        within = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in _NAME.findall(path)
        ]
        parameters = [*within, *(parameter.written() for parameter in self.parameters)]
        shown = {} if self.example is None else {"example": self.example}
        sent = {"required": True, "content": {self.media_type: {"schema": self.body, **shown}}}
        return {
            "operationId": self.name,
            "summary": self.summary,
            "tags": [self.tag],
            **({"description": self.description} if self.description else {}),
            **({"parameters": parameters} if parameters else {}),
            **({"requestBody": sent} if self.body else {}),
            "responses": {
                **{str(status): answer.written() for status, answer in self.answers.items()},
                **problem_answers(self.problems),
            },
        }


def paths(operations: Mapping[tuple[str, str], Operation]) -> dict[str, dict[str, Any]]:
    """The member ``paths``, of operations by method and path."""
    found: dict[str, dict[str, Any]] = {}
    for (method, path), operation in operations.items():
        written = _NAME.sub(r"{\1}", path)
        found.setdefault(written, {})[method.lower()] = operation.written(path)
    return found
