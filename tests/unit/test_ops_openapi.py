"""The description of the ops app: it is OpenAPI 3.0, and describes what there is."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis

from almagest.services.ops import openapi
from almagest.services.ops.routes import ROUTES
from almagest.services.web.inventory import Inventory, Scope

DOCUMENT = openapi.document("https://example.org/ops")
#: For people, and the description itself.
UNDESCRIBED = ("/docs", "/openapi.json", "/ui")

OPERATIONS = [
    (method, path, operation) for path, methods in DOCUMENT["paths"].items() for method, operation in methods.items()
]


def test_every_route_that_a_client_reaches_is_described_and_nothing_else() -> None:
    reached = {
        (method, route.path)
        for route in ROUTES
        for method in route.methods
        if route.scope is not Scope.NONE and not route.path.startswith(UNDESCRIBED)
    }
    assert set(openapi.OPERATIONS) == reached


def test_it_is_valid_openapi() -> None:
    schemathesis.openapi.from_dict(DOCUMENT).validate()
    assert DOCUMENT["openapi"].startswith("3.0")


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS, ids=lambda value: str(value)[:40])
def test_every_operation_says_what_it_answers(method: str, path: str, operation: dict[str, Any]) -> None:
    answers = operation["responses"]
    assert any(status.startswith("2") for status in answers)
    for status, answer in answers.items():
        assert answer["description"]
        if status.startswith("4"):
            assert answer["content"]["application/problem+json"]["schema"]["$ref"].endswith("/Problem")
        elif method != "head" and status not in {"204", "304", "307"}:
            assert all(content["schema"] for content in answer["content"].values())
    route = Inventory(ROUTES).find(method.upper(), path)
    assert route is not None
    assert ("security" in operation) == (not route.scope.is_open)
    # A login may be refused, too.
    assert route.scope.is_open or {"401", "403"} <= set(answers)


def test_operations_have_names_of_their_own() -> None:
    names = [operation["operationId"] for _, _, operation in OPERATIONS]
    assert len(names) == len(set(names))


def test_every_schema_is_used_and_there() -> None:
    text = str(DOCUMENT)
    for name in openapi.SCHEMAS:
        assert f"'#/components/schemas/{name}'" in text, name
    used = {part.split("'")[0] for part in text.split("#/components/schemas/")[1:]}
    assert used <= set(DOCUMENT["components"]["schemas"])
