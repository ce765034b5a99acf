"""Searches that hypothesis makes have the answers that pgSTAC's own ``search()`` gives: documents, order and pages.

What is stored is known, so that documents are also compared with what was brought. Where stock is wrong, a function
here says what is expected instead, and the test of the same difference shows that stock is still wrong.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from almagest.catalogue import loading
from conftest import stac_client
from support import mixture
from support.cluster import Cluster
from support.comparing import as_stock_means_it, compare, texts_of, without_nulls, words_of
from support.rasters import collection
from support.searches import Search, searches
from support.stock import StockSearch
from support.walking import Api, Key, key

Document = dict[str, Any]


@pytest.fixture(scope="module")
def outside(cluster: Cluster, mixed: str) -> Iterator[Api]:
    with stac_client(cluster.settings(mixed), "external") as client:
        yield Api(client, "/external")


@functools.cache
def brought() -> dict[Key, Document]:
    """All items as they are to be given back."""
    return {key(item): as_it_is_kept(item) for item in mixture.items()}


def as_it_is_kept(item: Document) -> Document:
    """Stock stores no nulls; of these, we put back the one that STAC requires."""
    if item["collection"] != mixture.STOCK:
        return item
    kept: Document = without_nulls(item)
    if "start_datetime" in kept["properties"]:
        kept["properties"].setdefault("datetime", None)
    return kept


METHODS = st.sampled_from(["POST", "GET", "GET with text", "GET items"])
few = examples(
    max_examples=45, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)  # fmt: skip


@few
@given(search=searches(), method=METHODS)
@example(search={"bbox": [165, -90, -165, 90], "limit": 20}, method="POST")
@example(search={"bbox": [60, -90, -1, 20, 10, 9000], "query": {"gsd": {"gte": 10}}, "limit": 20}, method="GET")
@example(
    search={"q": ["forest", "river"], "sortby": [{"field": "cloud", "direction": "asc"}], "limit": 20}, method="GET"
)
def test_a_search_has_stocks_items_in_stocks_order(
    inside: Api, stock: StockSearch, search: Search, method: str
) -> None:
    compare(inside, stock, search, method, brought())


@examples(few, max_examples=25)
@given(search=searches(), method=METHODS)
def test_outsiders_find_the_same(outside: Api, stock: StockSearch, search: Search, method: str) -> None:
    compare(outside, stock, search, method, brought())


@pytest.mark.soak
@pytest.mark.parametrize("audience", ["inside", "outside"])
def test_so_do_many_more(audience: str, stock: StockSearch, request: pytest.FixtureRequest) -> None:
    api: Api = request.getfixturevalue(audience)

    @examples(few, max_examples=10 * few.max_examples, derandomize=False)
    @given(search=searches(), method=METHODS)
    def run(search: Search, method: str) -> None:
        compare(api, stock, search, method, brought())

    run()


def test_stock_takes_a_box_across_the_antimeridian_for_the_rest_of_the_globe(inside: Api, stock: StockSearch) -> None:
    across = {"bbox": [165, -90, -165, 90], "limit": 1000}
    rest = stock.whole({"bbox": [-165, -90, 165, 90]})
    assert stock.whole(across) == rest
    assert {*map(key, inside.first(across))} >= brought().keys() - {*map(key, rest)} != set()


WITH_HEIGHTS: Search = {"bbox": [-180, -90, -1, 180, 90, 9000], "limit": 1000}


def test_stock_refuses_boxes_with_heights(stock: StockSearch) -> None:
    with pytest.raises(psycopg.Error, match="PolyhedralSurface"):
        stock.whole(WITH_HEIGHTS)


def test_a_box_with_heights_finds_what_one_without_does(inside: Api, stock: StockSearch) -> None:
    assert [*map(key, inside.first(WITH_HEIGHTS))] == [*map(key, stock.whole(as_stock_means_it(WITH_HEIGHTS)))]


@pytest.mark.parametrize("word", mixture.WORDS)
def test_stock_finds_no_words_in_items_without_a_description(word: str, inside: Api, stock: StockSearch) -> None:
    search = {"q": [word], "limit": 1000}
    found = inside.first(search)
    described = [document for document in found if "description" in document["properties"]]
    assert {*map(key, found)} == {name for name, item in brought().items() if word in words_of(item)}
    assert [*map(key, stock.whole(search))] == [*map(key, described)]
    assert len(described) < len(found)


@pytest.mark.parametrize("phrase", ["forest river", "winter forest"])
def test_stock_reads_descriptions_before_titles(phrase: str, inside: Api, stock: StockSearch) -> None:
    """And we after them. A phrase is found, too, that begins where one ends and ends where the next begins."""
    search = {"q": [f'"{phrase}"'], "limit": 1000}
    ours, theirs = {*map(key, inside.first(search))}, {*map(key, stock.whole(search))}
    texts = {name: texts_of(item) for name, item in brought().items()}
    assert ours == {name for name, read in texts.items() if phrase in " ".join(read.values())}
    assert theirs == {
        name
        for name, read in texts.items()
        if "description" in read and phrase in " ".join([read.pop("description"), *read.values()])
    }
    assert theirs - ours


def test_stock_drops_nulls_from_its_answers(inside: Api, stock: StockSearch) -> None:
    search = {"collections": [mixture.MONTHS], "limit": 1000}
    ours, theirs = inside.first(search), stock.whole(search)
    nulls = {key(document) for document in ours if document["properties"].get("cloud", 0) is None}
    assert nulls
    assert not [document for document in theirs if key(document) in nulls and "cloud" in document["properties"]]


def test_stock_stores_no_nulls(stock: StockSearch) -> None:
    """Of a document in one of our collections it keeps what we stored; of one that it stored itself nothing is left."""
    count = "SELECT count(*) FROM items WHERE collection = %s AND content->'properties'->'cloud' = 'null'"
    for name, has_some in ((mixture.MONTHS, True), (mixture.STOCK, False)):
        (found,) = stock.connection.execute(count, (name,)).fetchone() or (0,)
        assert (found > 0) == has_some
        brought_so = [item for item in mixture.items() if item["properties"].get("cloud", 0) is None]
        assert name in {item["collection"] for item in brought_so}


def test_stock_takes_a_null_for_the_value_of_the_base_item(cluster: Cluster, mixed: str) -> None:
    search, asset = {"collections": ["based"], "limit": 10}, {"href": "https://example.org/a", "our:note": None}
    with cluster.clone(mixture.TEMPLATE) as name:
        loading.load_documents(
            cluster.settings(name),
            [collection("based", item_assets={"data": {"our:note": "seen"}})],
            [{**mixture.items()[0], "collection": "based", "assets": {"data": asset}}],
        )
        with stac_client(cluster.settings(name)) as client, StockSearch.over(cluster, name) as stock:
            (ours,), (theirs,) = Api(client, "/api").first(search), stock.whole(search)
    assert ours["assets"]["data"]["our:note"] is None
    assert theirs["assets"]["data"]["our:note"] == "seen"


def test_stock_cuts_fields_out_before_it_joins_an_item_with_its_base_item(stock: StockSearch) -> None:
    found = stock.whole({"fields": {"include": ["assets.data.type"]}})
    assert [document for document in found if document["assets"] and not brought()[key(document)]["assets"]]


def test_stock_answers_null_for_a_document_without_fields(inside: Api, stock: StockSearch) -> None:
    search = {"ids": ["item_30"], "fields": {"include": ["id"], "exclude": ["id", "collection"]}, "limit": 10}
    assert stock.whole(search) == [None] * 4
    assert [document.keys() for document in inside.first(search)] == [{"links"}] * 4


#: Of these, the first two lie in base items.
@pytest.mark.parametrize("path", ["stac_version", "assets.data.type", "assets.data.href", "properties.nothing"])
def test_a_field_has_the_value_that_it_has_in_the_whole_document(path: str, inside: Api) -> None:
    def at(document: Document) -> Any:
        return functools.reduce(lambda part, step: part.get(step, {}), path.split("."), document)

    found = inside.first({"fields": {"include": [path]}, "limit": 1000})
    assert [at(document) for document in found] == [at(brought()[key(document)]) for document in found]
