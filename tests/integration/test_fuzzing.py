"""Whatever is sent to the apps: no answer is a fault of ours, and each is one that its description has."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest

from almagest.catalogue import accounts, database
from almagest.core import secrets
from almagest.core.processes import Audience
from almagest.core.settings import Settings
from almagest.pipelines import registry
from almagest.services.ops import jobs
from almagest.services.ops.app import create_app
from almagest.services.stac.app import PREFIXES
from support import mixture
from support.cluster import Cluster
from support.fuzzing import fuzz
from support.hands import at_work
from support.serving import listening, on_a_port, served

#: Of this machine's services only one process listens: what is told of the others is right.
UNREADY = """
[[operations]]
include-path = "/ready"
checks.not_a_server_error.expected-statuses = ["2xx", "4xx", 503]

# nginx sends the bytes: here the answer only names them.
[[operations]]
include-name = "GET /files/{name}"
checks.response_schema_conformance.enabled = false
"""
#: Collections stay until the end, or nothing would be found in them.
SPARING = """
[[operations]]
include-name = "DELETE /collections/{collection_id}"
parameters = { "path.collection_id" = "spare" }
"""
#: Nobody tells schemathesis that an answer may take as long as it asks for.
PATIENT = """
[[operations]]
include-name = "GET /changes"
parameters = { "query.wait" = 0.2 }
"""
#: geojson-pydantic warns of boxes over the antimeridian, and of collections of one; elsewhere a warning is no error.
pytestmark = pytest.mark.filterwarnings("ignore:(BBOX crossing|GeometryCollection should):UserWarning")

DURATIONS = pytest.mark.parametrize("seconds", [30, pytest.param(200, marks=pytest.mark.soak)])


@DURATIONS
def test_processes_and_jobs_are_as_described(
    cluster: Cluster, settings: Settings, home: Path, seconds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Who asks for a long pause does not hold up the others.
    monkeypatch.setattr(jobs, "_PATIENCE_S", 0.5)
    own = on_a_port(cluster.settings(settings.database.name, home))
    secrets.ensure(own.secrets, "almagest_ops")
    secrets.ensure(own.secrets, secrets.JWT_KEY, "5a" * 32)
    with database.connect(own, "postgres") as connection:
        root = accounts.create(connection, "root", None, role="ADMIN")
        accounts.create(connection, "ada", None)
    # Who may everything, and has logged in: no address is closed.
    said = {"x-scopes": "admin account", "x-subject": root.subject, "x-principal": "root", "x-session": str(uuid4())}
    caller = [(name.encode(), value.encode()) for name, value in said.items()]
    values = {"process_id": list(registry.processes()), "name": ["ada", "data.bin"]}
    with at_work(own, home / "work"), listening(create_app(own), own.site.port, caller):
        address = f"{own.site.origin}/ops/openapi.json"
        print(fuzz(address, home, seconds=seconds, values=values, more=UNREADY))


@DURATIONS
@pytest.mark.parametrize("audience", ["internal", "external"])
def test_the_catalogue_is_as_described(cluster: Cluster, audience: Audience, tmp_path: Path, seconds: int) -> None:
    mixture.prepare(cluster)
    values = {
        "collection_id": mixture.COLLECTIONS,
        "item_id": [*mixture.NAMES, "item_20"],
        "key": ["data", "note"],
    }
    prefix = PREFIXES[audience]
    with cluster.clone(mixture.TEMPLATE) as name, served(cluster.settings(name), audience) as running:
        address = f"{running.site.origin}{prefix}/openapi.json"
        more = PATIENT + (SPARING if audience == "internal" else "")
        print(fuzz(address, tmp_path, seconds=seconds, values=values, more=more))
