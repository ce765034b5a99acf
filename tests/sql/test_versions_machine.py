"""Random writes by every path that there is, against a model: every past state is answered exactly."""

from __future__ import annotations

import copy
import tempfile
from typing import Any, ClassVar

import orjson
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from pypgstac.db import PgstacDB
from pypgstac.load import Loader

from almagest.catalogue import database
from almagest.catalogue.storing import Store
from support import versions
from support.cluster import Cluster

Document = dict[str, Any]

TEMPLATE = "template_almagest"
COLLECTION = "scenes"
IDS = ("a", "b", "c")
MONTHS = ("2024-01-05T00:00:00Z", "2024-01-09T00:00:00Z", "2024-02-07T00:00:00Z", "2025-03-01T00:00:00Z")
ITEM_ASSETS: tuple[Document, ...] = (
    {},
    {"red": {"title": "Red", "roles": ["data"]}},
    {"red": {"title": "Red", "roles": ["data"], "unit": "m"}, "blue": {"title": "Blue"}},
)

contents = st.tuples(st.sampled_from(MONTHS), st.integers(0, 2), st.sampled_from(["Red", "Other"]), st.booleans())
some_ids = st.lists(st.sampled_from(IDS), min_size=1, max_size=3, unique=True)


def collection(item_assets: Document) -> Document:
    return {
        "type": "Collection",
        "stac_version": "1.1.0",
        "id": COLLECTION,
        "description": "d",
        "license": "other",
        "links": [],
        "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}},
        "item_assets": item_assets,
    }


def item(identifier: str, content: tuple[str, int, str, bool]) -> Document:
    when, number, title, has_blue = content
    assets: Document = {"red": {"href": "https://a.org/red.tif", "title": title, "roles": ["data"]}}
    if has_blue:
        assets["blue"] = {"href": "https://a.org/blue.tif", "title": "Blue"}
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": identifier,
        "collection": COLLECTION,
        "geometry": {"type": "Point", "coordinates": [1, number]},
        "bbox": [1, number, 1, number],
        "properties": {"datetime": when, "number": number},
        "links": [],
        "assets": assets,
    }


class Writers(RuleBasedStateMachine):
    """Each rule is one transaction by one path; the model keeps what every item was after each of them."""

    cluster: ClassVar[Cluster]

    def __init__(self) -> None:
        super().__init__()
        self._clone = self.cluster.clone(TEMPLATE)
        self.settings = self.cluster.settings(self._clone.__enter__())
        self.admin = database.connect(self.settings, "postgres")
        self.writer = database.connect(self.settings, "almagest_writer")
        self.store = Store(self.writer)
        self.stock = PgstacDB(
            dsn=f"postgresql://almagest_writer@/{self.settings.database.name}"
            f"?host={self.settings.db_host}&port={self.settings.database.port}"
        )
        self.history: dict[str, list[Document | None]] = {identifier: [] for identifier in IDS}
        self.item_assets: Document = {}

    @initialize()
    def begin(self) -> None:
        self._with_collection()

    def teardown(self) -> None:
        self.stock.close()
        self.writer.close()
        self.admin.close()
        self._clone.__exit__(None, None, None)

    # The model.

    def now(self, identifier: str) -> Document | None:
        past = self.history[identifier]
        return past[-1] if past else None

    def became(self, identifier: str, document: Document | None) -> None:
        past = self.history[identifier]
        if document != self.now(identifier):
            past.append(copy.deepcopy(document))

    # Ours.

    @rule(ids=some_ids, content=contents)
    def put(self, ids: list[str], content: Any) -> None:
        documents = [item(identifier, content) for identifier in ids]
        batch = self.store.prepare(documents)
        with self.writer.transaction():
            self.store.put(batch)
        for document in documents:
            self.became(document["id"], document)

    @rule(identifier=st.sampled_from(IDS))
    def delete(self, identifier: str) -> None:
        if self.now(identifier) is None:
            return
        self.writer.execute("SELECT delete_item(%s, %s)", (COLLECTION, identifier))
        self.became(identifier, None)

    @rule(identifier=st.sampled_from(IDS), chosen=st.lists(st.none() | contents, min_size=2, max_size=4))
    def several_in_one_transaction(self, identifier: str, chosen: list[Any]) -> None:
        for content in chosen:
            if content is not None:
                self.store.prepare([item(identifier, content)])
        present = self.now(identifier)
        with self.writer.transaction():
            for content in chosen:
                if content is not None:
                    present = item(identifier, content)
                    self.store.put([present])
                elif present is not None:
                    self.writer.execute("SELECT delete_item(%s, %s)", (COLLECTION, identifier))
                    present = None
        self.became(identifier, present)

    @rule(identifier=st.sampled_from(IDS), content=contents)
    def rolled_back(self, identifier: str, content: Any) -> None:
        batch = self.store.prepare([item(identifier, content)])
        with self.writer.transaction(force_rollback=True):
            self.store.put(batch)

    # Stock pgSTAC's.

    @rule(ids=some_ids, content=contents, method=st.sampled_from(["ignore", "upsert", "delsert"]))
    def loader(self, ids: list[str], content: Any, method: str) -> None:
        documents = [item(identifier, content) for identifier in ids]
        self._load(documents, method)
        for document in documents:
            present = self.now(document["id"])
            # Within a partition it looks for the id, and not elsewhere: what it inserts there takes the other's place.
            if method != "ignore" or present is None or not self._share_a_partition(present, document):
                self.became(document["id"], document)

    @rule(identifier=st.sampled_from(IDS), method=st.sampled_from(["upsert", "delsert", "upsert_item", "update_item"]))
    def the_same_again(self, identifier: str, method: str) -> None:
        present = self.now(identifier)
        if present is None:
            return
        if method.endswith("item"):
            self._call(method, present)
        else:
            self._load([present], method)

    @rule(identifier=st.sampled_from(IDS), content=contents, function=st.sampled_from(["upsert_item", "update_item"]))
    def api_function(self, identifier: str, content: Any, function: str) -> None:
        document = item(identifier, content)
        if function == "update_item" and self.now(identifier) is None:
            return
        with self.admin.transaction():
            self.admin.execute("SET LOCAL search_path = pgstac, public")
            statement = (
                "SELECT upsert_item(%s::jsonb)" if function == "upsert_item" else "SELECT update_item(%s::jsonb)"
            )
            self.admin.execute(statement, (orjson.dumps(document).decode(),))
        self.became(identifier, document)

    def _load(self, documents: list[Document], method: str) -> None:
        with tempfile.NamedTemporaryFile("wb", suffix=".ndjson") as file:
            file.write(b"\n".join(orjson.dumps(document) for document in documents))
            file.flush()
            Loader(self.stock).load_items(file.name, insert_mode=method)

    def _call(self, function: str, document: Document) -> None:
        with self.admin.transaction():
            self.admin.execute("SET LOCAL search_path = pgstac, public")
            statement = (
                "SELECT upsert_item(%s::jsonb)" if function == "upsert_item" else "SELECT update_item(%s::jsonb)"
            )
            self.admin.execute(statement, (orjson.dumps(document).decode(),))

    # Plain SQL.

    @rule(identifier=st.sampled_from(IDS), number=st.integers(0, 3))
    def update_by_sql(self, identifier: str, number: int) -> None:
        self.admin.execute(
            """
            UPDATE pgstac.items SET content = jsonb_set(content, '{properties,number}', to_jsonb(%s::int)) WHERE id = %s
            """,
            (number, identifier),
        )
        if present := self.now(identifier):
            self.became(identifier, {**present, "properties": {**present["properties"], "number": number}})

    @rule(identifier=st.sampled_from(IDS))
    def delete_by_sql(self, identifier: str) -> None:
        self.admin.execute("DELETE FROM pgstac.items WHERE collection = %s AND id = %s", (COLLECTION, identifier))
        if self.now(identifier) is not None:
            self.became(identifier, None)

    # Collections.

    @rule(item_assets=st.sampled_from(ITEM_ASSETS))
    def change_item_assets(self, item_assets: Document) -> None:
        self.item_assets = item_assets
        self.writer.execute("SELECT replace_collection(%s::jsonb)", (orjson.dumps(collection(item_assets)).decode(),))
        self.store = Store(self.writer)

    @rule(trunc=st.sampled_from(["month", "year", None]))
    def repartition(self, trunc: str | None) -> None:
        self.admin.execute("UPDATE pgstac.collections SET partition_trunc = %s WHERE id = %s", (trunc, COLLECTION))

    @rule(item_assets=st.sampled_from(ITEM_ASSETS))
    def delete_collection_and_make_it_again(self, item_assets: Document) -> None:
        self.item_assets = item_assets
        self.writer.execute("SELECT delete_collection(%s)", (COLLECTION,))
        for identifier in IDS:
            if self.now(identifier) is not None:
                self.became(identifier, None)
        self._with_collection()

    def _with_collection(self) -> None:
        self.writer.execute(
            "SELECT create_collection(%s::jsonb)", (orjson.dumps(collection(self.item_assets)).decode(),)
        )
        self.store = Store(self.writer)

    def _share_a_partition(self, one: Document, other: Document) -> bool:
        (trunc,) = self.admin.execute(
            "SELECT partition_trunc FROM pgstac.collections WHERE id = %s", (COLLECTION,)
        ).fetchone()  # type: ignore[misc]
        length = {"month": 7, "year": 4, None: 0}[trunc]
        return one["properties"]["datetime"][:length] == other["properties"]["datetime"][:length]

    # What must hold after each.

    @invariant()
    def every_past_state_is_answered(self) -> None:
        for identifier in IDS:
            assert versions.documents(self.admin, COLLECTION, identifier) == self.history[identifier]

    @invariant()
    def no_id_is_there_twice(self) -> None:
        twice = self.admin.execute("SELECT id FROM pgstac.items GROUP BY collection, id HAVING count(*) > 1").fetchall()
        assert twice == []


def test_every_past_state_is_answered_exactly(cluster: Cluster) -> None:
    Writers.cluster = cluster
    run_state_machine_as_test(
        Writers,
        settings=settings(
            max_examples=25,
            stateful_step_count=25,
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
            # To make a failing run shorter takes longer than to read it: every step has a database to itself.
            phases=[Phase.reuse, Phase.generate],
        ),
    )
