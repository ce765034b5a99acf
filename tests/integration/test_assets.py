"""Stored assets: what outsiders may read of them, by the applications of both audiences on a real database."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import httpx
import pytest
from starlette.testclient import TestClient

from almagest.catalogue import assets, loading, relocation, sample
from almagest.catalogue.assets import Outcome, Refusal, Selection
from almagest.core.errors import BadRequestError, ConfigurationError, NotFoundError
from almagest.core.settings import S3, Settings, Store
from conftest import stac_client
from support import rasters

pytestmark = pytest.mark.filterwarnings("ignore")

BOX = (0.0, 0.0, 1.0, 1.0)
UTM = {"crs": "EPSG:32633", "west": 500_000.0, "north": 5_500_000.0, "size": 10.0}
#: An id and a key with all that an address must spell differently. The test client decodes twice: `%41` is not told
#: from `A` by it, so there is none here.
ODD_ITEM, ODD_KEY = "S2A:T33|x@ü % %zz ?#+&", "B04@2024-01-01/10 m:ö%;=?#.tif"

Load = Callable[..., None]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    folder = tmp_path / "store"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.tif").write_bytes(b"a")
    (folder / "deep" / "b ü%41#?.tif").write_bytes(b"b")
    return folder


@pytest.fixture
def own(settings: Settings, store: Path) -> Settings:
    return dataclasses.replace(settings, store=Store(store_roots=(store,)), s3=S3(bucket="own-bucket"))


@pytest.fixture
def load(own: Settings) -> Load:
    def load(*items: dict[str, Any], collection: str = "scenes") -> None:
        loading.load_documents(own, [rasters.collection(collection)], items)

    return load


@pytest.fixture
def keys(own: Settings) -> None:
    """The keys of the bucket, which nobody is asked about: signing is arithmetic."""
    own.secrets.mkdir(mode=0o700, parents=True, exist_ok=True)
    (own.secrets / "s3.access").write_text("somebody\n")
    (own.secrets / "s3.secret").write_text("something\n")


@pytest.fixture
def inside(own: Settings, keys: None) -> Iterator[httpx.Client]:
    with stac_client(own) as client:
        yield client


@pytest.fixture
def outside(own: Settings, keys: None) -> Iterator[httpx.Client]:
    with stac_client(own, "external") as client:
        yield client


def item(identifier: str, **hrefs: str) -> dict[str, Any]:
    return rasters.item(
        identifier, "scenes", BOX, {key: {"href": href, "type": rasters.COG} for key, href in hrefs.items()}
    )


def address(collection: str, identifier: str, key: str) -> str:
    return "/assets/" + "/".join(quote(part, safe="") for part in (collection, identifier, key))


def shown(client: httpx.Client, identifier: str) -> dict[str, Any]:
    """The assets of an item as a client sees them: key to href."""
    found = client.get(f"/collections/scenes/items/{quote(identifier, safe='')}")
    assert found.status_code == 200, found.text
    return {key: asset["href"] for key, asset in found.json()["assets"].items()}


def expose(settings: Settings, *keys: str, **more: Any) -> tuple[Outcome, list[Refusal]]:
    refusals: list[Refusal] = []
    return assets.expose(settings, Selection("scenes", keys=keys), refused=refusals.append, **more), refusals


def test_outsiders_read_what_is_exposed_and_nothing_else(
    own: Settings, store: Path, load: Load, inside: httpx.Client, outside: httpx.Client
) -> None:
    href = (store / "a.tif").as_uri()
    load(item("one", visual=href, quality=href))
    assert shown(inside, "one") == {"visual": href, "quality": href}
    assert shown(outside, "one") == {}
    assert outside.get(address("scenes", "one", "visual")).status_code == 404
    assert inside.get(address("scenes", "one", "visual")).status_code == 200

    assert expose(own, "vis*") == (Outcome(changed=1), [])
    assert expose(own, "visual") == (Outcome(unchanged=1), [])
    assert shown(outside, "one") == {"visual": f"{own.site.origin}/external/assets/scenes/one/visual"}
    answer = outside.get(address("scenes", "one", "visual"))
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["x-accel-redirect"] == "/_store/1/a.tif"
    assert answer.headers["content-type"] == rasters.COG
    assert answer.headers["content-disposition"] == "inline; filename*=UTF-8''one-visual.tif"
    assert answer.headers["cache-control"] == "no-cache"
    assert outside.head(address("scenes", "one", "visual")).headers["x-accel-redirect"] == "/_store/1/a.tif"
    assert outside.get(address("scenes", "one", "quality")).status_code == 404
    assert shown(inside, "one") == {"visual": href, "quality": href}

    assert assets.hide(own, Selection("scenes", keys=("visual",)), dry_run=True) == 1
    assert assets.hide(own, Selection("scenes", keys=("visual",))) == 1
    assert shown(outside, "one") == {}
    assert outside.get(address("scenes", "one", "visual")).status_code == 404


def test_thumbnails_go_with_what_they_show_and_with_nothing_else(
    own: Settings, store: Path, load: Load, outside: httpx.Client
) -> None:
    rasters.write(store / "r.tif", rasters.gradient(3), crs="EPSG:32633", west=500_000.0, north=5_500_000.0, size=10.0)
    href = (store / "r.tif").as_uri()
    small = {"href": (store / "a.tif").as_uri(), "type": "image/webp", "roles": ["thumbnail"]}
    for name in ("one", "two%"):
        scene = item(name, visual=href, quality=href)
        scene["assets"] |= {"small_": small, "smallX": {**small, "roles": ["data"]}}
        load(scene)
    expose(own)
    assert assets.hide(own, Selection("scenes", keys=("qual*",))) == 2
    assert set(shown(outside, "one")) == {"visual", "small_", "smallX"}
    assert assets.hide(own, Selection("scenes", ("one",), ("vis*",)), dry_run=True) == 2
    assert assets.hide(own, Selection("scenes", ("one",), ("vis*",))) == 2
    assert set(shown(outside, "one")) == {"smallX"}
    assert set(shown(outside, "two%")) == {"visual", "small_", "smallX"}


def test_ids_and_keys_may_hold_anything(
    own: Settings, store: Path, load: Load, inside: httpx.Client, outside: httpx.Client
) -> None:
    load(item(ODD_ITEM, **{ODD_KEY: (store / "deep" / "b ü%41#?.tif").as_uri()}))
    expose(own)
    href = shown(outside, ODD_ITEM)[ODD_KEY]
    path = urlsplit(href).path
    assert unquote(path) == f"/external/assets/scenes/{ODD_ITEM}/{ODD_KEY}"
    for client, target in ((outside, href), (inside, f"{own.site.origin}{address('scenes', ODD_ITEM, ODD_KEY)}")):
        answer = client.get(target)
        assert answer.status_code == 200, answer.text
        assert answer.headers["x-accel-redirect"] == "/_store/1/deep/b%20%C3%BC%2541%23%3F.tif"
        name = answer.headers["content-disposition"].removeprefix("inline; filename*=UTF-8''")
        assert unquote(name) == f"{ODD_ITEM}-{ODD_KEY}"


def test_exposing_holds_for_a_place_not_for_a_name(
    own: Settings, store: Path, load: Load, outside: httpx.Client
) -> None:
    """Who can write items cannot hand out files by naming them in an exposed asset."""
    (store / "secret.tif").write_bytes(b"secret")
    load(item("one", visual=(store / "a.tif").as_uri()))
    expose(own)
    load(item("one", visual=(store / "secret.tif").as_uri()))
    assert shown(outside, "one") == {}
    assert outside.get(address("scenes", "one", "visual")).status_code == 404


def test_what_may_not_be_handed_out_is_refused_and_the_rest_goes_on(
    own: Settings, store: Path, load: Load, tmp_path: Path, outside: httpx.Client
) -> None:
    (tmp_path / "secret.tif").write_bytes(b"secret")
    (store / "link.tif").symlink_to(tmp_path / "secret.tif")
    load(
        item(
            "one",
            good=(store / "a.tif").as_uri(),
            object="s3://own-bucket/a/b.tif",
            missing=(store / "missing.tif").as_uri(),
            beyond=(tmp_path / "secret.tif").as_uri(),
            dots=f"file://{store}/../secret.tif",
            link=(store / "link.tif").as_uri(),
            folder=(store / "deep").as_uri(),
            bare=str(store / "a.tif"),
            other="s3://own-bucket-2/a.tif",
            climbing="s3://own-bucket/a/../b.tif",
            secrets=(own.secrets / "s3.secret").as_uri(),
            public="https://data.example.org/a.tif",
        )
    )
    outcome, refusals = expose(own)
    assert outcome == Outcome(changed=2, elsewhere=1, refused=9)
    assert {refusal.key for refusal in refusals} == {
        *("missing", "beyond", "dots", "link", "folder", "bare", "other", "climbing", "secrets")
    }
    assert all("/one/" in str(refusal) and ": " in str(refusal) for refusal in refusals)
    assert {key for _, _, key, _ in assets.exposed(own)} == {"good", "object"}
    assert set(shown(outside, "one")) == {"good", "object", "public"}


def test_the_gate_of_the_file_system_is_asked_each_time(
    own: Settings, store: Path, load: Load, tmp_path: Path, inside: httpx.Client, outside: httpx.Client
) -> None:
    load(item("one", visual=(store / "a.tif").as_uri(), odd=str(store / "a.tif"), other="s3://other/a.tif"))
    expose(own, "visual")
    for key in ("odd", "other", "none"):
        assert inside.get(address("scenes", "one", key)).status_code == 404
    (store / "a.tif").unlink()
    assert outside.get(address("scenes", "one", "visual")).status_code == 404
    (tmp_path / "secret.tif").write_bytes(b"secret")
    (store / "a.tif").symlink_to(tmp_path / "secret.tif")
    for client in (inside, outside):
        answer = client.get(address("scenes", "one", "visual"))
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"
        assert str(tmp_path) not in answer.text


def test_expose_wants_a_collection_and_tells_which_items_are_not_there(own: Settings, store: Path, load: Load) -> None:
    with pytest.raises(NotFoundError, match="nowhere"):
        assets.expose(own, Selection("nowhere"))
    load(item("one", visual=(store / "a.tif").as_uri()), item("two", visual=(store / "a.tif").as_uri()))
    refusals: list[Refusal] = []
    outcome = assets.expose(own, Selection("scenes", items=("two", "three")), refused=refusals.append)
    assert outcome == Outcome(changed=1, refused=1)
    assert [str(refusal) for refusal in refusals] == ["scenes/three: there is no such item"]
    assert [row[1] for row in assets.exposed(own)] == ["two"]
    assert assets.hide(own, Selection("nowhere")) == 0


def test_many_items_are_exposed_in_batches(
    own: Settings, store: Path, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assets, "BATCH", 7)
    href = (store / "a.tif").as_uri()
    load(*(item(f"i{n:02}", visual=href, odd_key=href) for n in range(30)))
    batches: list[int] = []
    assert expose(own, dry_run=True, progress=batches.append) == (Outcome(changed=60), [])
    assert (sum(batches), max(batches)) == (30, 7)
    assert assets.exposed(own) == []
    assert expose(own) == (Outcome(changed=60), [])
    assert assets.hide(own, Selection("scenes", keys=("odd?key", "%"))) == 30
    assert assets.hide(own, Selection("scenes", items=("i03",))) == 1


# ---------------------------------------------------------------------------------------------------------------------
# Moving


def move(settings: Settings, old: Path, new: Path, **more: Any) -> relocation.Moved:
    return relocation.migrate_prefix(settings, f"{old.as_uri()}/", f"{new.as_uri()}/", **more)


def test_bytes_move_without_being_hidden_for_a_moment(
    own: Settings, store: Path, load: Load, outside: httpx.Client, inside: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assets, "BATCH", 5)
    old, new = store / "old", store / "new"
    for folder in (old, new):
        folder.mkdir()
        (folder / "a.tif").write_bytes(b"a")
    href = (old / "a.tif").as_uri()
    elsewhere = (store / "old-a.tif").as_uri()
    documents = [item(f"i{n:02}", visual=href, hidden=href, elsewhere=elsewhere) for n in range(23)]
    documents[0]["assets"]["hidden"]["alternate"] = {"copy": {"href": href}, "web": {"href": "https://a.org/a.tif"}}
    load(*documents)
    expose(own, "visual")
    wrong: list[str] = []
    done = threading.Event()

    def watch() -> None:
        with stac_client(own, "external") as client:
            while not done.is_set():
                for n in (0, 11, 22):
                    answer = client.get(address("scenes", f"i{n:02}", "visual"))
                    if answer.status_code != 200 or "visual" not in shown(client, f"i{n:02}"):
                        wrong.append(f"i{n:02}: {answer.status_code}")

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        assert move(own, old, new, dry_run=True) == relocation.Moved(items=23, exposed=23)
        assert move(own, old, new) == relocation.Moved(items=23, exposed=23)
    finally:
        done.set()
        watcher.join()
    assert wrong == []
    moved = (new / "a.tif").as_uri()
    assert shown(inside, "i00") == {"visual": moved, "hidden": moved, "elsewhere": elsewhere}
    stored = inside.get("/collections/scenes/items/i00").json()["assets"]["hidden"]["alternate"]
    assert stored == {"copy": {"href": moved}, "web": {"href": "https://a.org/a.tif"}}
    assert {location for *_, location in assets.exposed(own)} == {moved}
    accel = outside.get(address("scenes", "i07", "visual")).headers["x-accel-redirect"]
    assert accel == "/_store/1/new/a.tif"
    assert move(own, old, new) == relocation.Moved()


def test_nothing_exposed_moves_to_where_no_bytes_are(own: Settings, store: Path, load: Load) -> None:
    old, new = store / "old", store / "new"
    old.mkdir()
    (old / "a.tif").write_bytes(b"a")
    load(item("one", visual=(old / "a.tif").as_uri()), item("two", hidden=(old / "b.tif").as_uri()))
    expose(own, "visual")
    refusals: list[Refusal] = []
    assert move(own, old, new, refused=refusals.append) == relocation.Moved(items=1, refused=1)
    assert [(refusal.item, refusal.key) for refusal in refusals] == [("one", "visual")]
    assert assets.exposed(own) == [("scenes", "one", "visual", (old / "a.tif").as_uri())]


@pytest.mark.parametrize(
    "prefix", ["/srv/a/", "file:///srv/a", "s3:///a/", "https://a.org/", "file:", "file://host/a/"]
)
def test_a_prefix_is_a_folder(own: Settings, prefix: str) -> None:
    for pair in ((prefix, "file:///b/"), ("file:///b/", prefix)):
        with pytest.raises(BadRequestError, match="is not a folder"):
            relocation.migrate_prefix(own, *pair)


# ---------------------------------------------------------------------------------------------------------------------
# Objects


def test_objects_are_handed_out_by_a_link_that_ends(
    own: Settings, load: Load, inside: httpx.Client, outside: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "somebody-else")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://elsewhere.example.org")
    load(item("one", visual="s3://own-bucket/a b/ü%41.tif", other="s3://other/a.tif"))
    expose(own)
    links = set()
    for client in (inside, outside):
        for method in ("GET", "HEAD"):
            answer = client.request(method, address("scenes", "one", "visual"), follow_redirects=False)
            assert answer.status_code == 307
            assert answer.headers["cache-control"] == "no-store"
            link = answer.headers["location"]
            assert link.startswith("https://s3.us-east-1.amazonaws.com/own-bucket/a%20b/%C3%BC%2541.tif?")
            assert "X-Amz-Expires=300&" in link
            assert "somebody-else" not in link
            links.add(link.partition("X-Amz-Signature=")[2])
        assert client.get(address("scenes", "one", "other")).status_code == 404
    assert len(links) >= 2, "a link is for one method"


def test_a_bucket_needs_its_keys(own: Settings, tmp_path: Path) -> None:
    without = dataclasses.replace(own, site=own.site.model_copy(update={"home": tmp_path / "home"}))
    with pytest.raises(ConfigurationError, match=r"s3\.access"):
        stac_client(without)


# ---------------------------------------------------------------------------------------------------------------------
# Pictures


@pytest.fixture
def pictures(own: Settings) -> Iterator[httpx.Client]:
    from almagest.services.tiles.app import create_app

    base = f"{own.site.origin}/external/tiles"
    with TestClient(create_app(own, "external"), base_url=base, raise_server_exceptions=False) as client:
        yield client


def test_outsiders_see_pictures_of_what_is_exposed(
    own: Settings, store: Path, load: Load, outside: httpx.Client, pictures: httpx.Client
) -> None:
    path = rasters.write(store / "scene.tif", rasters.gradient(3), **UTM)
    hidden = rasters.write(store / "hidden.tif", rasters.gradient(1), **UTM)
    found = {"visual": rasters.asset(path), "quality": rasters.asset(hidden)}
    load(rasters.item(ODD_ITEM, "scenes", rasters.bounds(path), found))
    scene = f"/collections/scenes/items/{quote(ODD_ITEM, safe='')}"

    west, south, east, north = rasters.bounds(path)
    point = f"{(west + east) / 2},{(south + north) / 2}"

    def asked(*keys: str) -> dict[str, int]:
        return {key: pictures.get(f"{scene}/point/{point}", params={"assets": key}).status_code for key in keys}

    assert asked("visual", "quality") == {"visual": 404, "quality": 404}
    assert not [link for link in outside.get(scene).json()["links"] if link["rel"] == "xyz"]
    expose(own, "visual")
    assert asked("visual", "quality") == {"visual": 200, "quality": 404}
    assert [link for link in outside.get(scene).json()["links"] if link["rel"] == "xyz"]
    preview = pictures.get(f"{scene}/preview.png")
    assert preview.status_code == 200, preview.text
    tag = {"If-None-Match": preview.headers["etag"]}
    assert pictures.get(f"{scene}/preview.png", headers=tag).status_code == 304
    mosaic = f"/collections/scenes/point/{point}?assets=visual"
    assert pictures.get(mosaic).json()["assets"] != []

    assets.hide(own, Selection("scenes"))
    assert asked("visual", "quality") == {"visual": 404, "quality": 404}
    assert pictures.get(f"{scene}/preview.png", headers=tag).status_code == 404
    assert pictures.get(mosaic).status_code in {200, 404}
    assert pictures.get(mosaic).json().get("assets", []) == []


# ---------------------------------------------------------------------------------------------------------------------
# The sample


def test_outsiders_read_the_sample_but_for_one_layer(
    own: Settings, outside: httpx.Client, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = [item(name, visual=(store / "a.tif").as_uri(), quality=(store / "a.tif").as_uri()) for name in "ab"]
    made = sample.Sample([rasters.collection("scenes")], documents, internal_keys=frozenset({"quality"}))
    monkeypatch.setattr(sample, "generate", lambda *_, **__: made)
    monkeypatch.setattr(sample, "generated_ids", lambda: frozenset({"scenes"}))
    loading.load_sample(own, "generate")
    assert list(shown(outside, "a")) == list(shown(outside, "b")) == ["visual"]

    assets.hide(own, Selection("scenes"))
    loading.load_sample(own, "generate")
    assert shown(outside, "a") == {}, "what an operator has hidden stays hidden"


def test_a_sample_that_would_not_be_loaded_is_not_made(
    own: Settings, store: Path, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    load(item("a", visual=(store / "a.tif").as_uri()))
    monkeypatch.setattr(sample, "generate", lambda *_, **__: pytest.fail("rendered for nothing"))
    loading.load_sample(own, "generate", told.append)
    assert "the catalogue holds scenes already: no sample is loaded" in told
