"""The description of the STAC API: what stac-fastapi would say, and what is true instead."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis

from almagest.core.settings import Settings, Site
from almagest.services.stac import routes
from almagest.services.stac.app import create_app
from almagest.services.web.inventory import Inventory

TABLES = {"internal": routes.INTERNAL, "external": routes.EXTERNAL}


@pytest.fixture(scope="module", params=TABLES)
def described(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    settings = Settings(site=Site(home=tmp_path_factory.mktemp("home")))
    return request.param, create_app(settings, request.param).openapi()


def test_it_is_valid_openapi(described: tuple[str, dict[str, Any]]) -> None:
    schemathesis.openapi.from_dict(described[1]).validate()


def test_every_operation_is_of_the_inventory_and_says_what_it_refuses(described: tuple[str, dict[str, Any]]) -> None:
    audience, document = described
    inventory = Inventory(TABLES[audience])
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            route = inventory.find(method.upper(), path)
            assert route is not None
            answers = operation["responses"]
            # FastAPI would say that it refuses with 422 and a document of its own.
            assert "422" not in answers
            assert {"400", "429", "503"} <= set(answers)
            assert ("401" in answers) == ("403" in answers) == (not route.scope.is_open)
            for status, answer in answers.items():
                if status.startswith("4"):
                    assert answer["content"]["application/problem+json"]["schema"]["$ref"].endswith("/Problem")
    assert "ValidationError" not in str(document)


def test_every_reference_leads_somewhere(described: tuple[str, dict[str, Any]]) -> None:
    used = {part.split("'")[0] for part in str(described[1]).split("#/components/schemas/")[1:]}
    assert used <= set(described[1]["components"]["schemas"])
