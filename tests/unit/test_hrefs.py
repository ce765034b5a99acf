"""What may be opened. Each refused href is one that some reader would have followed."""

from __future__ import annotations

import dataclasses
import json
import os
import string
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as budget
from hypothesis import strategies as st

from almagest.core.errors import ConfigurationError, NotFoundError
from almagest.core.hrefs import HrefPolicy, HrefRefusedError, candidates
from almagest.core.settings import S3, Settings, Site, Store

TIFF = b"II*\x00" + b"\x00" * 60


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "store"
    (folder / "deep").mkdir(parents=True)
    (folder / "scene.tif").write_bytes(TIFF)
    (folder / "deep" / "scene with ü & %.tif").write_bytes(TIFF)
    (tmp_path / "secret.tif").write_bytes(TIFF)
    return folder


@pytest.fixture
def policy(root: Path) -> HrefPolicy:
    return HrefPolicy((root,), ("data.example.org", "mirror.example.org:8443"))


def refused(policy: HrefPolicy, href: object) -> None:
    with pytest.raises(HrefRefusedError) as caught:
        policy.resolve(href)
    assert str(caught.value) == HrefRefusedError.default_message(), "the message must not say why, nor what was tried"


def test_a_file_below_a_root_is_opened_by_its_real_path(policy: HrefPolicy, root: Path) -> None:
    scene = root / "scene.tif"
    for href in (str(scene), scene.as_uri(), f"FILE://{scene}", f"{root}//scene.tif"):
        assert policy.resolve(href) == str(scene)
        assert policy.permits(href)


def test_a_file_uri_is_decoded_once(policy: HrefPolicy, root: Path) -> None:
    odd = root / "deep" / "scene with ü & %.tif"
    assert policy.resolve(odd.as_uri()) == str(odd)
    assert policy.resolve(str(odd)) == str(odd), "a bare path is not decoded at all"
    assert "%25" in odd.as_uri()


def test_https_on_a_listed_host(policy: HrefPolicy) -> None:
    assert policy.resolve("https://data.example.org/a/b.tif") == "https://data.example.org/a/b.tif"
    assert policy.resolve("HTTPS://Data.Example.ORG:443/a/b.tif") == "https://data.example.org/a/b.tif"
    assert policy.resolve("https://mirror.example.org:8443/b.tif") == "https://mirror.example.org:8443/b.tif"


def test_refusal_is_a_404(policy: HrefPolicy) -> None:
    assert issubclass(HrefRefusedError, NotFoundError)


@pytest.mark.parametrize(
    "href",
    [
        "/etc/passwd",
        "file:///etc/passwd",
        "file://localhost/etc/passwd",
        "file://localhost{root}/scene.tif",
        "file://127.0.0.1{root}/scene.tif",
        "file:{root}/scene.tif",
        "file:////{root}/scene.tif",
        "file:/{root}/scene.tif",
        "//host{root}/scene.tif",
        "{root}/../secret.tif",
        "file://{root}/../secret.tif",
        "file://{root}/%2e%2e/secret.tif",
        "file://{root}/%2E%2e/secret.tif",
        "file://{root}/.%2e/secret.tif",
        "file://{root}/..%2fsecret.tif",
        "file://{root}/..%5csecret.tif",
        "file://{root}\\..\\secret.tif",
        "file://{root}/%252e%252e/secret.tif",
        "file://{root}/scene.tif%00.png",
        "file://{root}/scene.tif?x",
        "file://{root}/scene.tif#x",
        "file://{root}/%zz.tif",
        "file://{root}/%ff.tif",
        "{root}/scene.tif\x00",
        "{root}/scene.tif\n",
        " {root}/scene.tif",
        "{root}",
        "{root}/",
        "{root}/deep",
        "{root}/missing.tif",
        "{root}x/scene.tif",
        "scene.tif",
        "./scene.tif",
        "~/scene.tif",
        "/vsicurl/https://data.example.org/a.tif",
        "/VSIcurl/http://127.0.0.1/a.tif",
        "/vsizip/{root}/a.zip/a.tif",
        "/vsitar/{root}/a.tar/a.tif",
        "/vsis3/bucket/a.tif",
        "/vsisubfile/0_100,{root}/scene.tif",
        "/vsistdin/",
        "vrt://{root}/scene.tif",
        "vrt:///etc/passwd",
        'NETCDF:"{root}/scene.tif":x',
        'HDF5:"{root}/scene.tif"://x',
        "GTIFF_DIR:1:{root}/scene.tif",
        "GTIFF_RAW:{root}/scene.tif",
        "DERIVED_SUBDATASET:AMPLITUDE:{root}/scene.tif",
        "WMS:http://127.0.0.1/",
        "<VRTDataset rasterXSize='1' rasterYSize='1'/>",
        "zip://{root}/a.zip!a.tif",
        "zip+https://data.example.org/a.zip!/a.tif",
        "s3://bucket/a.tif",
        "gs://bucket/a.tif",
        "ftp://data.example.org/a.tif",
        "http://data.example.org/a.tif",
        "http://127.0.0.1/a.tif",
        "https://127.0.0.1/a.tif",
        "https://localhost/a.tif",
        "https://[::1]/a.tif",
        "https://2130706433/a.tif",
        "https://0x7f.1/a.tif",
        "https://169.254.169.254/latest/meta-data/a.tif",
        "https://data.example.org.evil.test/a.tif",
        "https://evil.test/data.example.org/a.tif",
        "https://data.example.org@evil.test/a.tif",
        "https://user:secret@data.example.org/a.tif",
        "https://data.example.org:8443/a.tif",
        "https://data.example.org:443:443/a.tif",
        "https://data.example.org./a.tif",
        "https://data.example.org\\@evil.test/a.tif",
        "https://data。example。org/a.tif",
        "https://ｄata.example.org/a.tif",
        "https:data.example.org/a.tif",
        "https:/data.example.org/a.tif",
        "https:///a.tif",
        "https://data.example.org",
        "https://data.example.org/a/../b.tif",
        "https://data.example.org/a/%2e%2e/b.tif",
        "https://data.example.org/a%2fb.tif",
        "https://data.example.org//a.tif",
        "https://data.example.org/a.tif?url=http://127.0.0.1/",
        "https://data.example.org/a.tif#x",
        "https://data.example.org/a.zip!/a.tif",
        "https://data.example.org/a b.tif",
        "https://data.example.org/a.vrt",
        "https://data.example.org/a.VRT",
        "javascript:alert(1)",
        "data:image/tiff;base64,SUkqAA==",
        "",
        "file:",
        "file://",
        "https:",
        "x" * 5000,
        None,
        7,
        ["/etc/passwd"],
    ],
)
def test_refused(policy: HrefPolicy, root: Path, href: object) -> None:
    if isinstance(href, str):
        href = href.replace("{root}", str(root))
    refused(policy, href)
    assert not policy.permits(href)


@pytest.mark.parametrize(
    "character", ["／", "․", "‥", "\u202e", "\u200b", "\ufeff", "％", "：", "\ud800", "\x85", "\u2028"]
)
def test_characters_that_look_or_normalise_like_others(policy: HrefPolicy, root: Path, character: str) -> None:
    refused(policy, f"{root}/a{character}b.tif")
    if character != "\ud800":
        refused(policy, f"file://{root}/a{quote(character)}b.tif")


def test_symbolic_links_are_followed_before_they_are_judged(policy: HrefPolicy, root: Path, tmp_path: Path) -> None:
    (root / "out.tif").symlink_to(tmp_path / "secret.tif")
    (root / "folder").symlink_to(tmp_path)
    (root / "in.tif").symlink_to(root / "scene.tif")
    (root / "loop.tif").symlink_to(root / "loop.tif")
    refused(policy, f"{root}/out.tif")
    refused(policy, f"{root}/folder/secret.tif")
    refused(policy, f"{root}/loop.tif")
    assert policy.resolve(f"{root}/in.tif") == str(root / "scene.tif")


def test_a_root_may_itself_be_a_link(root: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(root)
    policy = HrefPolicy((tmp_path / "alias",))
    for spelled in (tmp_path / "alias" / "scene.tif", root / "scene.tif"):
        assert policy.resolve(str(spelled)) == str(root / "scene.tif")
        assert policy.permits(str(spelled))


def test_only_regular_files_are_opened(policy: HrefPolicy, root: Path) -> None:
    os.mkfifo(root / "pipe.tif")
    refused(policy, f"{root}/pipe.tif")  # and does not wait for a writer
    (root / "closed.tif").write_bytes(TIFF)
    (root / "null.tif").symlink_to("/dev/null")
    refused(policy, f"{root}/null.tif")


@pytest.mark.parametrize(
    "content",
    [
        b'<VRTDataset rasterXSize="1" rasterYSize="1"/>',
        b'\n  <VRTDataset rasterXSize="1" rasterYSize="1"/>',
        b'\xef\xbb\xbf<VRTDataset rasterXSize="1" rasterYSize="1"/>',
        b'<?xml version="1.0"?><!-- x --><VRTDataset/>',
        b'anything at all <VRTDataset rasterXSize="1" rasterYSize="1"/>',
        b"<GDAL_WMS></GDAL_WMS>",
    ],
)
def test_a_pointer_in_the_clothes_of_a_tiff(policy: HrefPolicy, root: Path, content: bytes) -> None:
    (root / "clothed.tif").write_bytes(content)
    refused(policy, f"{root}/clothed.tif")


def test_pointers_by_their_names(policy: HrefPolicy, root: Path) -> None:
    for name in ("a.vrt", "a.VrT", "a.tif.vrt", "a.gti", "a.mrf", "a.tif.ovr", "a.tif.aux.xml"):
        (root / name).write_bytes(TIFF)
        refused(policy, f"{root}/{name}")
    (root / "named.tif").symlink_to(root / "a.vrt")
    refused(policy, f"{root}/named.tif")


def test_nothing_is_opened_by_an_empty_policy(root: Path) -> None:
    refused(HrefPolicy(), f"{root}/scene.tif")
    refused(HrefPolicy(), "https://data.example.org/a.tif")


@pytest.mark.parametrize("root", [Path("/"), Path("/tmp/.."), Path("relative")])
def test_a_root_that_would_open_everything(root: Path) -> None:
    with pytest.raises(ConfigurationError, match="ALMAGEST_STORE_ROOTS"):
        HrefPolicy((root,))


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "127.0.0.1",
        "10.0.0.1",
        "0x7f.1",
        "*.example.org",
        "https://example.org",
        "example.org/",
        "[::1]",
        "localhost:8080",
        "metadata.google.internal",
        "printer.local",
        "x.localhost",
    ],
)
def test_a_host_that_is_none(host: str) -> None:
    with pytest.raises(ConfigurationError, match="ALMAGEST_ASSET_HOSTS"):
        HrefPolicy((), (host,))


def test_the_settings_may_not_open_the_secrets(tmp_path: Path) -> None:
    settings = Settings(site=Site(home=tmp_path / "home"))
    assert HrefPolicy.of(settings).file_roots == (tmp_path / "home" / "store",)
    too_wide = dataclasses.replace(settings, store=Store(store_roots=(tmp_path,)))
    with pytest.raises(ConfigurationError, match="secrets"):
        HrefPolicy.of(too_wide)


def test_a_local_copy_is_preferred(policy: HrefPolicy, root: Path) -> None:
    asset = {
        "href": "https://data.example.org/scene.tif",
        "alternate": {
            "elsewhere": {"href": "s3://bucket/scene.tif"},
            "copy": {"href": (root / "scene.tif").as_uri()},
            "odd": "not an object",
        },
    }
    assert list(candidates(asset)) == [asset["href"], "s3://bucket/scene.tif", (root / "scene.tif").as_uri()]
    assert policy.choose(asset) == (root / "scene.tif").as_uri()
    assert policy.choose({"href": "https://data.example.org/scene.tif"}) == "https://data.example.org/scene.tif"
    assert policy.choose({"href": "s3://bucket/scene.tif"}) is None
    assert policy.choose({"href": None, "alternate": 7}) is None


def test_outside_documents_name_exposed_assets_and_no_files(root: Path) -> None:
    policy = HrefPolicy((root,), ("data.example.org",), "https://stac.example.org/external/assets/")
    own = "https://stac.example.org/external/assets/c/i%20%2F/k:%C3%BC%25"
    assert policy.own(own) == ("c", "i /", "k:ü%")
    assert policy.permits(own)
    assert policy.permits("https://data.example.org/a.tif")
    assert not policy.permits((root / "scene.tif").as_uri())
    assert policy.resolve((root / "scene.tif").as_uri()) == str(root / "scene.tif"), "where the catalogue says it lies"
    refused(policy, own)
    asset = {"href": "https://data.example.org/a.tif", "alternate": {"here": {"href": own}}}
    assert policy.choose(asset) == own


@pytest.mark.parametrize(
    "rest",
    [
        *("", "c", "c/i", "c/i/", "c//k", "/i/k", "c/i/k/l", "c/i/k?x", "c/i/k#x", "c/i/%", "c/i/%FF", "c/i/%00"),
        *("c/i/k k", "c/i/k\\x", "c/i/ü", "c/i/\x7f"),
    ],
)
def test_what_is_no_address_of_an_asset(root: Path, rest: str) -> None:
    prefix = "https://stac.example.org/external/assets/"
    policy = HrefPolicy((root,), (), prefix)
    assert policy.own(prefix + rest) is None
    assert not policy.permits(prefix + rest)
    assert policy.own(f"https://stac.example.org.evil/external/assets/{rest}") is None
    assert HrefPolicy((root,)).own(f"{prefix}c/i/k") is None


def test_objects_of_our_bucket(root: Path) -> None:
    policy = HrefPolicy((root,), bucket="own")
    assert policy.resolve("s3://own/a b/c%41.tif") == "/vsis3/own/a b/c%41.tif"
    assert policy.permits("s3://own/a.tif")
    assert (
        policy.choose({"href": "https://a.org/a.tif", "alternate": {"s3": {"href": "s3://own/a.tif"}}})
        == "s3://own/a.tif"
    )
    for href in (
        *(
            "s3://other/a.tif",
            "s3://own/",
            "s3://own/../other/a.tif",
            "s3://own//a.tif",
            "s3://own/a.vrt",
            "S3://own/a",
        ),
        *(
            "/vsis3/own/a.tif",
            "file:///vsis3/own/a.tif",
            "s3://own/a\\b.tif",
            "s3://own/a\u200b.tif",
            "s3://own@other/a",
        ),
    ):
        assert not policy.permits(href)
        refused(policy, href)
    outside = HrefPolicy((root,), (), "https://stac.example.org/external/assets/", "own")
    assert not outside.permits("s3://own/a.tif"), "outsiders know it by its address here"
    assert outside.resolve("s3://own/a.tif") == "/vsis3/own/a.tif"


def test_a_file_is_handed_out_whatever_is_in_it(policy: HrefPolicy, root: Path, tmp_path: Path) -> None:
    (root / "metadata.xml").write_text("<xml/>")
    refused(policy, f"{root}/metadata.xml")
    assert policy.stored((root / "metadata.xml").as_uri()) == str(root / "metadata.xml")
    (root / "link.xml").symlink_to(tmp_path / "secret.tif")
    for href in (
        f"file://{tmp_path}/secret.tif",
        f"file://{root}/link.xml",
        f"file://{root}/deep",
        f"file://{root}/no",
    ):
        with pytest.raises(HrefRefusedError):
            policy.stored(href)
    with pytest.raises(HrefRefusedError):
        policy.stored("https://data.example.org/a.tif")


# ---------------------------------------------------------------------------------------------------------------------
# Whatever is asked for, nothing outside is ever returned.

_PIECES = st.sampled_from(
    [
        "..",
        ".",
        "%2e%2e",
        "%2e",
        "..%2f",
        "deep",
        "scene.tif",
        "secret.tif",
        "out",
        "\\",
        "/",
        "//",
        "~",
        "%00",
        "%252e",
        "／",
        "‥",
        "file:",
        "file://",
        "https://",
        "/vsizip/",
        "vrt://",
        "?",
        "#",
        "data.example.org",
        "@",
    ]
)


@budget(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=500)
@given(pieces=st.lists(_PIECES, max_size=10), start=st.sampled_from(["", "file://", "FILE://"]), inside=st.booleans())
def test_no_traversal_leads_out(policy: HrefPolicy, root: Path, pieces: list[str], start: str, inside: bool) -> None:
    (root / "out").unlink(missing_ok=True)
    (root / "out").symlink_to(root.parent)
    href = start + (str(root) if inside else "") + "/" + "/".join(pieces)
    check(policy, root, href)


@budget(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(href=st.text(max_size=200) | st.text(alphabet=string.punctuation + "abtfv1", max_size=60))
def test_no_text_leads_out(policy: HrefPolicy, root: Path, href: str) -> None:
    check(policy, root, href)


def check(policy: HrefPolicy, root: Path, href: str) -> None:
    try:
        resolved = policy.resolve(href)
    except HrefRefusedError:
        return
    if resolved.startswith("https:"):
        assert resolved.startswith(("https://data.example.org/", "https://mirror.example.org:8443/"))
    else:
        assert Path(resolved).is_file()
        assert Path(resolved).resolve() == Path(resolved)
        assert Path(resolved).is_relative_to(root)
    assert policy.permits(href), "what can be opened is also linked to"


@pytest.mark.parametrize("external", [False, True])
def test_at_a_glance_no_href_is_overlooked_that_is_permitted(external: bool, tmp_path: Path) -> None:
    """Pages ask only of documents that may name something that can be opened; the others must name nothing."""
    file = tmp_path / "a b.tif"
    file.write_bytes(b"x")
    own = "http://127.0.0.1:8080/external/assets/" if external else ""
    policy = HrefPolicy((tmp_path,), ("Data.example.org", "other.example.org:8443"), own, "bucket")
    hrefs = [
        str(file),
        file.as_uri(),
        file.as_uri().replace("file:", "FILE:"),
        "https://data.example.org/a.tif",
        "https://DATA.example.org:443/a.tif",
        "https://other.example.org:8443/a.tif",
        "s3://bucket/a.tif",
        "http://127.0.0.1:8080/external/assets/c/i/k",
    ]
    permitted = [href for href in hrefs if policy.permits(href)]
    assert len(permitted) == (4 if external else 7)
    for href in permitted:
        assert policy.may_be_named_in(f'{{"assets": {{"a": {{"href": {json.dumps(href)}}}}}}}'), href
    assert not policy.may_be_named_in('{"assets": {"a": {"href": "https://example.org/a.tif", "file:size": 1}}}')


def test_files_of_single_callers_are_opened_by_no_document(tmp_path: Path) -> None:
    settings = Settings(site=Site(home=tmp_path), store=Store(store=tmp_path / "store"), s3=S3(bucket="ours"))
    own = tmp_path / "store" / "own-files" / "0f" / "scene.tif"
    own.parent.mkdir(parents=True)
    own.write_bytes(TIFF)
    (tmp_path / "store" / "link.tif").symlink_to(own)
    (tmp_path / "store" / "folder").symlink_to(own.parent.parent)
    (tmp_path / "store" / "own-files.tif").write_bytes(TIFF)
    policy = HrefPolicy.of(settings)
    beside = (tmp_path / "store" / "own-files.tif").as_uri()
    assert policy.permits(beside)
    assert policy.resolve(beside)
    assert policy.permits("s3://ours/own-files.tif")
    for href in (
        own.as_uri(),
        str(own),
        f"file://{tmp_path}/store//own-files/0f/scene.tif",
        f"{tmp_path}/store/link.tif",
        f"{tmp_path}/store/folder/0f/scene.tif",
        "s3://ours/own-files/0f/scene.tif",
        "s3://ours/own%2Dfiles/0f/scene.tif",
        "s3://ours/%6Fwn-files/0f/scene.tif",
    ):
        refused(policy, href)
        with pytest.raises(HrefRefusedError):
            policy.stored(href)
    assert not policy.permits(own.as_uri())
    assert not policy.permits("s3://ours/%6Fwn-files/0f/scene.tif")
