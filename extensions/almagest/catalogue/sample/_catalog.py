"""The sample's cast: two sensors with two platforms each, four places, four weeks. Data only.

The sensors are modelled on what flies today, but no agency built them and no one took these pictures.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from almagest.catalogue.sample._orbits import Orbit

#: Changes whenever the same call would write other bytes; files of another recipe are made again.
RECIPE = "2"
FIRST = datetime(2025, 6, 8, tzinfo=UTC)
LAST = datetime(2025, 6, 30, tzinfo=UTC)
#: When the items were made, for the catalogue: fixed, as everything here depends on the recipe alone.
CREATED = "2025-09-01T00:00:00Z"

#: Scenes are as large as this share of real ones, scaled down about the middle of their place.
SCALE = 0.25


@dataclass(frozen=True)
class Band:
    """One band of a sensor.

    Attributes:
        name: as in file names.
        common_name: of the eo extension.
        center_um: centre wavelength [µm].
        width_um: full width at half maximum [µm].
        coarse: whether its pixels are twice as large as the sensor's finest.
    """

    name: str
    common_name: str
    center_um: float
    width_um: float
    coarse: bool = False

    @property
    def key(self) -> str:
        """The key of its asset."""
        return self.common_name


@dataclass(frozen=True)
class Platform:
    """One satellite of a sensor's constellation.

    Attributes:
        name: as in ``platform``.
        start_day: by how many days it is behind the first one on the same ground tracks [d].
        gain: factor on every reflectance: how well it is calibrated. 1 is perfect.
    """

    name: str
    start_day: int
    gain: float


@dataclass(frozen=True)
class Sensor:
    """A sensor, and the collection of its scenes.

    Attributes:
        collection: id of the collection.
        instrument: as in ``instruments``.
        constellation: as in ``constellation``.
        level: processing level.
        pixel_m: side of its finest pixels [m].
        frame_km: side of its tiles, or length of its scenes along the track, in real size [km].
        tiled: cut along a fixed grid of tiles, not along the track.
        noise: standard deviation of the reflectance.
        max_cross_track_km: passes farther off are left out: their scenes would leave the place [km].
    """

    collection: str
    instrument: str
    constellation: str
    level: str
    pixel_m: float
    frame_km: float
    tiled: bool
    noise: float
    max_cross_track_km: float
    orbit: Orbit
    bands: tuple[Band, ...]
    platforms: tuple[Platform, ...]


@dataclass(frozen=True)
class Place:
    """Where both sensors look.

    Attributes:
        name: short, in lower case: part of ids.
        title: for people.
        seed: of its ground and its weather.
        longitude: of its middle [degree].
        latitude: of its middle [degree].
        epsg: UTM zone of all its scenes.
        clear: how often the sky is clear, 0 to 1.
        every_days: scenes are taken on every so manieth day.
        first_day: the first of these days, counted from the first of all.
    """

    name: str
    title: str
    seed: int
    longitude: float
    latitude: float
    epsg: int
    clear: float
    every_days: int = 1
    first_day: int = 0


MSI = Sensor(
    collection="sample-msi-l1c",
    instrument="sample-msi",
    constellation="sample-msi",
    level="L1C",
    pixel_m=80.0,
    frame_km=102.4,
    tiled=True,
    noise=0.0005,
    max_cross_track_km=145.0,
    orbit=Orbit(10, 143, 98.62, 786.0, 10.5, 290.0, 0.35),
    bands=(
        Band("B02", "blue", 0.490, 0.098),
        Band("B03", "green", 0.560, 0.045),
        Band("B04", "red", 0.665, 0.038),
        Band("B05", "rededge071", 0.704, 0.019, coarse=True),
        Band("B08", "nir", 0.842, 0.145),
        Band("B11", "swir16", 1.610, 0.143, coarse=True),
        Band("B12", "swir22", 2.190, 0.242, coarse=True),
    ),
    platforms=(Platform("sample-msi-a", 0, 1.000), Platform("sample-msi-b", 5, 1.006)),
)

OLI = Sensor(
    collection="sample-oli-l1",
    instrument="sample-oli",
    constellation="sample-oli",
    level="L1",
    pixel_m=120.0,
    frame_km=185.0,
    tiled=False,
    noise=0.0004,
    max_cross_track_km=62.0,
    orbit=Orbit(16, 233, 98.2, 705.0, 10.25, 185.0, 0.8),
    bands=(
        Band("B2", "blue", 0.482, 0.060),
        Band("B3", "green", 0.561, 0.057),
        Band("B4", "red", 0.655, 0.037),
        Band("B5", "nir08", 0.865, 0.028),
        Band("B6", "swir16", 1.609, 0.085),
        Band("B7", "swir22", 2.201, 0.187),
    ),
    platforms=(Platform("sample-oli-8", 0, 0.994), Platform("sample-oli-9", 8, 1.003)),
)

SENSORS = (MSI, OLI)

PLACES = (
    Place("arctic", "Ice caps and fjords, Ellesmere Island", 100, -89.9, 79.8, 32616, 0.55, every_days=7, first_day=4),
    Place("coast", "Ocean coast and farmland, central Chile", 410, -72.65, -36.7, 32718, 0.6),
    Place("delta", "Tidal delta, Gulf of Carpentaria", 320, 139.34, -17.55, 32754, 0.55),
    Place("desert", "Sand sea and centre pivots, Western Desert", 240, 27.67, 22.55, 32635, 0.85),
)
