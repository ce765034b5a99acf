"""How much of a place is land: known places, and the whole outline in one piece."""

from __future__ import annotations

import lzma
from importlib import resources

import numpy as np
import pytest
import shapely

from almagest.pipelines.matchups.areas import area_km2
from almagest.pipelines.matchups.land import fractions


@pytest.mark.parametrize(
    ("where", "box", "share"),
    [
        ("Switzerland", (7, 46, 9, 47), 1.0),
        ("the middle of the Atlantic", (-40, 20, -38, 22), 0.0),
        ("the South Pole", (-180, -90, 180, -86), 1.0),
        ("the North Pole", (-180, 86, 180, 90), 0.0),
        ("the Caspian Sea", (50.5, 41, 51, 42), 0.0),
        ("Chukotka, beyond the antimeridian", (-179.5, 67, -178, 67.8), 1.0),
        ("Fiji: Viti Levu in the sea", (177, -18.5, 179, -17), 0.31),
    ],
)
def test_known_places(where: str, box: tuple[float, float, float, float], share: float) -> None:
    (found,) = fractions(np.array([shapely.box(*box)], object))
    assert found == pytest.approx(share, abs=0.03), where


def test_it_is_that_of_the_outline_in_one_piece() -> None:
    packed = (resources.files("almagest.pipelines.matchups") / "land.wkb.xz").read_bytes()
    outline = shapely.from_wkb(lzma.decompress(packed))
    assert outline.is_valid
    # Of the Earth's land, with Antarctica but for its ice shelves.
    assert area_km2(np.array([outline], object)) == pytest.approx(147e6, rel=0.01)
    chance = np.random.default_rng(3)
    west, south = chance.uniform(-180, 170, 60), chance.uniform(-80, 70, 60)
    shapes = shapely.box(west, south, west + chance.uniform(0.1, 9, 60), south + chance.uniform(0.1, 9, 60))
    holes = shapely.difference(shapes, shapely.buffer(shapely.centroid(shapes), 0.03))
    for some in (shapes, holes):
        for ground, share in zip(some, fractions(some), strict=True):
            common = ground.intersection(outline)
            expected = 0.0 if common.area == 0 else float(area_km2(np.array([common], object))[0])
            assert share * float(area_km2(np.array([ground], object))[0]) == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_nothing_of_nothing() -> None:
    assert fractions(np.array([], object)).shape == (0,)
