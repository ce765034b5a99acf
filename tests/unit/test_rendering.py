"""How items are shown where nobody says how, and the links that say it to map clients."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as budget
from hypothesis import strategies as st

from almagest.catalogue.rendering import Render, collection_links, default_render, links, renders
from almagest.core.hrefs import HrefPolicy

TILES = "https://stac.example.org/api/tiles"
COG = "image/tiff; application=geotiff; profile=cloud-optimized"
POLICY = HrefPolicy((), ("data.example.org",))


def asset(name: str = "a.tif", **more: Any) -> dict[str, Any]:
    return {"href": f"https://data.example.org/{name}", "type": COG, **more}


def item(assets: dict[str, Any], **properties: Any) -> dict[str, Any]:
    return {"id": "scene 1/ä", "collection": "sentinel", "assets": assets, "properties": properties}


def colored(color: str, **band: Any) -> dict[str, Any]:
    return asset(f"{color}.tif", **{"eo:bands": [{"name": color, "common_name": color}], "raster:bands": [band]})


def shown(document: dict[str, Any], collection: dict[str, Any] | None = None) -> Render:
    render = default_render(document, POLICY, collection)
    assert render is not None
    return render


# ---------------------------------------------------------------------------------------------------------------------
# Which assets


def test_a_picture_made_to_be_seen_comes_first() -> None:
    rgb = {color: colored(color) for color in ("red", "green", "blue")}
    assert shown(item({**rgb, "TCI": asset(), "x": asset(roles=["visual"])})).assets == ("x",)
    assert shown(item({**rgb, "TCI": asset()})).assets == ("TCI",)
    assert shown(item({**rgb, "visual": asset()})) == Render(("visual",), "True colour")


def test_a_visual_asset_that_is_not_8_bit_is_no_picture() -> None:
    document = item({"visual": asset(**{"raster:bands": [{"data_type": "uint16"}] * 3}), "red": colored("red")})
    assert shown(document).assets != ("visual",)


def test_bands_are_named_where_there_are_more_than_three() -> None:
    naip = asset(**{"eo:bands": [{"common_name": c} for c in ("red", "green", "blue", "nir")]})
    assert shown(item({"image": naip})).assets == ("image|bidx=1,2,3",)
    bgr = asset(bands=[{"eo:common_name": c, "data_type": "uint8"} for c in ("blue", "green", "red", "nir")])
    assert shown(item({"image": bgr})).assets == ("image|bidx=3,2,1",)
    four = asset(**{"raster:bands": [{"data_type": "uint8"}] * 4})
    assert shown(item({"ortho": four})).assets == ("ortho|bidx=1,2,3",)


def test_three_8_bit_bands_are_a_picture() -> None:
    assert shown(item({"ortho": asset(**{"raster:bands": [{"data_type": "uint8"}] * 3})})).assets == ("ortho",)


def test_red_green_and_blue_from_three_assets() -> None:
    document = item({name: colored(name) for name in ("blue", "green", "nir", "red")})
    assert shown(document).assets == ("red", "green", "blue")
    document = item({key: colored(color) for key, color in (("B02", "blue"), ("B03", "green"), ("B04", "red"))})
    assert shown(document).assets == ("B04", "B03", "B02")
    assert shown(item({key: asset() for key in ("B2", "B3", "B4", "B5")})).assets == ("B4", "B3", "B2")


def test_red_green_and_blue_from_one_asset() -> None:
    bands = [{"common_name": color} for color in ("blue", "green", "red", "nir")]
    of_16_bit = asset(**{"eo:bands": bands, "raster:bands": [{"data_type": "uint16"}] * 4})
    assert shown(item({"sr": of_16_bit})).assets == ("sr|bidx=3,2,1",)
    assert shown(item({"sr": of_16_bit})).query() == "assets=sr%7Cbidx%3D3,2,1&rescale=0,3000"


def test_any_raster_is_better_than_none_and_masks_come_last() -> None:
    document = item({"mask": asset(roles=["data-mask"]), "elevation": asset(title="Elevation", roles=["data"])})
    assert shown(document) == Render(("elevation",), "Elevation")
    assert shown(item({"mask": asset(roles=["data-mask"])})).assets == ("mask",)


@pytest.mark.parametrize(
    "assets",
    [
        {},
        {"a": asset(type="image/png")},
        {"a": asset(type="application/json")},
        {"a": asset(type="application/x-hdf5")},
        {"a": {"href": "https://elsewhere.example.org/a.tif", "type": COG}},
        {"a": {"href": "/vsicurl/https://data.example.org/a.tif", "type": COG}},
        {"a": {"href": "http://data.example.org/a.tif", "type": COG}},
        {"a": {"href": "file:///etc/passwd", "type": COG}},
        {"a": {"href": "https://data.example.org/a.txt"}},
        {"a": {"type": COG}},
        {"a|bidx=1": asset()},
        {"a": "https://data.example.org/a.tif"},
    ],
)
def test_nothing_is_shown_of_what_cannot_be_opened(assets: dict[str, Any]) -> None:
    document = item(assets)
    assert default_render(document, POLICY) is None
    assert links(document, renders(document, POLICY), TILES) == []


def test_assets_that_cannot_be_opened_are_as_if_absent() -> None:
    elsewhere = {"href": "https://elsewhere.example.org/visual.tif", "type": COG, "roles": ["visual"]}
    assert shown(item({"visual": elsewhere, "b": asset()})).assets == ("b",)
    rgb = {color: colored(color) for color in ("red", "green")}
    assert shown(item({**rgb, "blue": elsewhere})).assets == ("red",)


def test_a_file_must_be_there(tmp_path: Path) -> None:
    policy = HrefPolicy((tmp_path,))
    document = item({"a": {"href": (tmp_path / "a.tif").as_uri(), "type": COG}})
    assert default_render(document, policy) is None
    (tmp_path / "a.tif").write_bytes(b"II*\x00")
    assert default_render(document, policy) == Render(("a",), "a")


def test_a_local_copy_of_a_remote_asset_is_shown(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"II*\x00")
    copied = {
        "href": "https://elsewhere.example.org/a.tif",
        "type": COG,
        "alternate": {"local": {"href": (tmp_path / "a.tif").as_uri()}},
    }
    assert default_render(item({"a": copied}), HrefPolicy((tmp_path,))) == Render(("a",), "a")


# ---------------------------------------------------------------------------------------------------------------------
# How bright


def rgb(**band: Any) -> dict[str, Any]:
    return item({color: colored(color, **band) for color in ("red", "green", "blue")})


def test_8_bit_bands_are_shown_as_they_are() -> None:
    assert shown(rgb(data_type="uint8", statistics={"minimum": 3, "maximum": 200})).rescale == ()


def test_reflectance_kept_as_integers_is_shown_up_to_30_percent() -> None:
    assert shown(rgb(data_type="uint16")).rescale == (pytest.approx((0, 3000)),)
    assert shown(rgb(data_type="uint16", scale=0.0001, offset=-0.1)).rescale == (pytest.approx((1000, 4000)),)
    landsat = shown(rgb(data_type="uint16", scale=2.75e-05, offset=-0.2)).rescale
    assert landsat == (pytest.approx((7272.7, 18181.8), abs=0.1),)


def test_what_nobody_knows_is_left_to_the_pixels() -> None:
    assert shown(rgb()).rescale == ()
    document = rgb(data_type="uint16")
    document["assets"]["green"] = colored("green")
    assert shown(document).rescale == (), "one range for all or none"


def test_statistics_make_a_range() -> None:
    def one(**statistics: float) -> tuple[Any, ...]:
        band = {"data_type": "float32", "statistics": statistics}
        return shown(item({"dem": asset(**{"raster:bands": [band]})})).rescale

    assert one(minimum=100, maximum=900) == ((100, 900),)
    assert one(minimum=0, maximum=1000, mean=500, stddev=100) == ((300, 700),)
    assert one(minimum=450, maximum=520, mean=500, stddev=100) == ((450, 520),)
    assert one(minimum=5, maximum=5) == ()
    assert one(minimum=float("nan"), maximum=5) == ()


def test_stac_1_1_says_it_on_the_asset() -> None:
    document = item({"dem": asset(data_type="float32", statistics={"minimum": 0, "maximum": 9}, title="Height")})
    assert shown(document) == Render(("dem",), "Height", rescale=((0, 9),), colormap_name="viridis")


def test_classes_keep_their_colours() -> None:
    classes = [{"value": 1, "color_hint": "FF0000"}, {"value": 7, "color_hint": "00ff00"}]
    document = item({"lulc": asset(**{"classification:classes": classes})})
    assert json.loads(shown(document).colormap or "") == {"1": "#ff0000", "7": "#00ff00"}
    document = item({"lulc": asset(bands=[{"classification:classes": classes}])})
    assert json.loads(shown(document).colormap or "") == {"1": "#ff0000", "7": "#00ff00"}
    document = item({"lulc": asset(**{"classification:classes": [{"value": 1}]})})
    assert shown(document).colormap is None


# ---------------------------------------------------------------------------------------------------------------------
# The render extension

NDVI = {
    "title": "NDVI",
    "assets": ["B04", "B08"],
    "expression": "(B08-B04)/(B08+B04)",
    "rescale": [[-1, 1]],
    "colormap_name": "rdylgn",
    "nodata": 0,
    "resampling": "average",
    "minmax_zoom": [8, 14],
}


def test_named_renders_come_first() -> None:
    document = item({"B04": asset(), "B08": asset(), "visual": asset()}, renders={"ndvi": NDVI})
    assert renders(document, POLICY) == [
        Render(
            ("B04", "B08"),
            "NDVI",
            name="ndvi",
            rescale=((-1, 1),),
            expression="(b2-b1)/(b2+b1)",
            colormap_name="rdylgn",
            resampling="average",
            nodata="0",
            zooms=(8, 14),
        )
    ]


def test_an_item_speaks_before_its_collection() -> None:
    collection = {"id": "sentinel", "renders": {"ndvi": NDVI, "swir": {"assets": ["B08"]}}}
    document = item({"B04": asset(), "B08": asset()}, renders={"grey": {"assets": ["B04"], "bidx": [1]}})
    assert [render.name for render in renders(document, POLICY, collection)] == ["grey", "swir", "ndvi"]
    assert shown(document, collection).assets == ("B04|bidx=1",)
    assert shown(item({"B08": asset()}), collection).name == "swir"


@pytest.mark.parametrize(
    "render",
    [
        {},
        {"assets": []},
        {"assets": "B04"},
        {"assets": ["missing"]},
        {"assets": [7]},
        {"assets": ["B04"], "rescale": [[1]]},
        {"assets": ["B04"], "rescale": [[2, 1]]},
        {"assets": ["B04"], "rescale": [["a", "b"]]},
        {"assets": ["B04"], "rescale": 7},
        "B04",
        None,
    ],
)
def test_malformed_renders_are_passed_over(render: Any) -> None:
    document = item({"B04": asset()}, renders={"broken": render})
    assert shown(document) == Render(("B04",), "B04")


def test_a_true_picture_goes_first_whatever_order_the_database_keeps() -> None:
    """jsonb sorts keys by length: an author's first render comes back as any other."""
    renders_of = {"ndvi": NDVI, "urban": {"assets": ["B08"]}, "true-colour": {"assets": ["B04"]}}
    document = item({"B04": asset(), "B08": asset()}, renders=renders_of)
    assert [render.name for render in renders(document, POLICY)] == ["true-colour", "urban", "ndvi"]


# ---------------------------------------------------------------------------------------------------------------------
# Links


def test_the_links_of_an_item() -> None:
    document = item({"visual": asset()})
    made = {link["rel"]: link for link in links(document, renders(document, POLICY), TILES)}
    here = f"{TILES}/collections/sentinel/items/scene%201%2F%C3%A4"
    assert list(made) == ["xyz", "tilejson", "preview", "thumbnail"]
    assert made["xyz"] == {
        "rel": "xyz",
        "type": "image/png",
        "title": "True colour",
        "href": f"{here}/tiles/WebMercatorQuad/{{z}}/{{x}}/{{y}}.png?blank=true&assets=visual",
    }
    assert made["tilejson"]["type"] == "application/json"
    assert made["tilejson"]["href"] == (
        f"{here}/WebMercatorQuad/tilejson.json?tilesize=256&tile_format=png&blank=true&assets=visual"
    )
    assert made["preview"]["type"] == made["thumbnail"]["type"] == "image/png"
    assert made["preview"]["href"] == f"{here}/preview.png?max_size=512&assets=visual"


def test_each_named_render_has_its_tiles_and_names_it() -> None:
    document = item({"B04": asset(), "B08": asset()}, renders={"ndvi": NDVI, "grey": {"assets": ["B04"]}})
    made = links(document, renders(document, POLICY), TILES)
    assert [(link["rel"], link.get("render")) for link in made] == [
        ("xyz", "grey"),
        ("tilejson", "grey"),
        ("xyz", "ndvi"),
        ("tilejson", "ndvi"),
        ("preview", None),
        ("thumbnail", None),
    ]
    query = parse_qsl(urlsplit(made[2]["href"].replace("{", "").replace("}", "")).query)
    assert query == [
        ("blank", "true"),
        ("assets", "B04"),
        ("assets", "B08"),
        ("rescale", "-1,1"),
        ("expression", "(b2-b1)/(b2+b1)"),
        ("colormap_name", "rdylgn"),
        ("resampling", "average"),
        ("nodata", "0"),
    ]
    assert "minzoom=8&maxzoom=14" in made[3]["href"]


def test_the_links_of_a_collection() -> None:
    document = item({"visual": asset()})
    ways = renders(document, POLICY)
    made = collection_links({"id": "sentinel"}, ways, TILES, document)
    assert [link["rel"] for link in made] == ["xyz", "tilejson", "preview", "thumbnail"]
    assert made[0]["href"].startswith(f"{TILES}/collections/sentinel/tiles/WebMercatorQuad/{{z}}/{{x}}/{{y}}.png?")
    assert "/items/scene%201" in made[2]["href"]
    assert [link["rel"] for link in collection_links({"id": "sentinel"}, ways, TILES)] == ["xyz", "tilejson"]
    assert collection_links({"id": "sentinel"}, [], TILES) == []


def test_documents_without_ids_have_no_links() -> None:
    """The fields extension can leave them out."""
    render = Render(("visual",), "True colour")
    assert links({"assets": {}}, render, TILES) == []
    assert links({"id": "a"}, render, TILES) == []
    assert collection_links({}, render, TILES) == []


# ---------------------------------------------------------------------------------------------------------------------

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
_KEYS = st.sampled_from(
    [
        "type",
        "roles",
        "bands",
        "eo:bands",
        "raster:bands",
        "classification:classes",
        "data_type",
        "statistics",
        "title",
        "alternate",
        "raster:scale",
        "eo:common_name",
    ]
)
_NAMED = st.dictionaries(st.text(max_size=3), st.dictionaries(st.sampled_from([*NDVI, "bidx", "colormap"]), _JSON))


@budget(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    assets=st.dictionaries(st.text(max_size=6), st.dictionaries(_KEYS, _JSON, max_size=5), max_size=4),
    named=_JSON | _NAMED,
)
def test_no_document_is_too_strange(assets: dict[str, Any], named: Any) -> None:
    """What is stored was checked against the core schemas only: anything may stand in an extension's field."""
    document = item({key: {**asset(), **facts} for key, facts in assets.items()}, renders=named)
    made = links(document, renders(document, POLICY), TILES)
    assert all(isinstance(link["href"], str) for link in made)
