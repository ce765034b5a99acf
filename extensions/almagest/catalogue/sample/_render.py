"""From the ground and the sky to what a sensor measures: reflectance at the top of the atmosphere."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from almagest.catalogue.sample import _catalog as catalog
from almagest.catalogue.sample import _spectra as spectra
from almagest.catalogue.sample._noise import Field, rng, step
from almagest.catalogue.sample._plan import Scene, world_origin
from almagest.catalogue.sample._sky import Sky, Weather
from almagest.catalogue.sample.worlds import World
from almagest.catalogue.sample.worlds._ground import PIXEL_M

#: Counts are reflectance × 10000.
COUNTS = 10_000
#: A pixel counts as cloud where clouds hide so much of it.
CLOUD_OPACITY = 0.4


class Quality(IntEnum):
    """Classes of the quality asset."""

    NODATA = 0
    LAND = 1
    WATER = 2
    SNOW = 3
    SHADOW = 4
    CLOUD = 5


@dataclass(frozen=True)
class Picture:
    """A rendered scene.

    Attributes:
        counts: of each band by name, 0 outside the footprint; (height, width), or half of it for coarse bands.
        visual: red, green, blue, and 255 where there is data; (4, height, width).
        quality: one of :class:`Quality` for each pixel; (height, width).
    """

    counts: dict[str, npt.NDArray[np.uint16]]
    visual: npt.NDArray[np.uint8]
    quality: npt.NDArray[np.uint8]

    def share(self, kind: Quality) -> float:
        """Of the valid pixels, those of a class [percent]."""
        valid = int((self.quality != Quality.NODATA).sum())
        return 100 * int((self.quality == kind).sum()) / max(valid, 1)


def render(scene: Scene, world: World, weather: Weather) -> Picture:
    """What the sensor sees of a world."""
    window = _window(scene)
    part = np.s_[window[0] : window[1], window[2] : window[3]]
    sky = weather.over(scene.time, window, scene.sun_elevation, scene.sun_azimuth)
    height = world.height[part]
    shares = _seasons(scene, world, part)
    light = _light(height, scene.sun_elevation, scene.sun_azimuth)
    texture = world.texture[part]
    ratio = scene.sensor.pixel_m / PIXEL_M
    inside = _inside(scene)
    noise = rng(catalog.PLACES.index(scene.place) if scene.place in catalog.PLACES else 99, int(scene.time.timestamp()))
    seen: dict[str, Field] = {}
    for band in scene.sensor.bands:
        ground = _mixed(shares, band.center_um)
        seen[band.name] = _blurred(_top(ground * texture, height, light, sky, band.center_um, scene.sun_elevation))
    counts = {}
    for band in scene.sensor.bands:
        values = _resampled(seen[band.name], ratio)
        mask = inside
        if band.coarse:
            values = _halved(values)
            mask = inside[::2, ::2] & inside[1::2, ::2] & inside[::2, 1::2] & inside[1::2, 1::2]
        values = values * scene.platform.gain
        values = values + noise.standard_normal(values.shape, np.float32) * scene.sensor.noise
        counts[band.name] = np.where(mask, _counts(values), np.uint16(0))
    colours = {band.common_name: _resampled(seen[band.name], ratio) for band in scene.sensor.bands[:3]}
    elevation = scene.sun_elevation
    visual = np.stack([_tone(colours[name], name, elevation) for name in ("red", "green", "blue")])
    visual = np.where(inside, _vivid(visual), 0)
    rgba = np.concatenate([visual, np.where(inside, 255, 0)[None]]).astype(np.uint8)
    return Picture(counts, rgba, _classes(shares, sky, ratio, inside))


def _mixed(shares: dict[str, Field], wavelength_um: float) -> Field:
    """Reflectance of ground of many materials. Summed one by one: the order decides the last bit."""
    of = dict(zip(spectra.NAMES, spectra.reflectance(wavelength_um).tolist(), strict=True))
    total = np.zeros_like(next(iter(shares.values())))
    for name, share in shares.items():
        total += share * of[name]
    return total


def _counts(values: Field) -> npt.NDArray[np.uint16]:
    """Whole counts, in steps of 8 to 64: like the noise of light itself, they grow with the brightness."""
    bright = np.searchsorted(np.array([0.06, 0.20, 0.50], np.float32), values.ravel()).reshape(values.shape)
    step = np.array([8, 16, 32, 64], np.float32)[bright]
    counts: npt.NDArray[np.uint16] = np.clip(np.rint(values * COUNTS / step) * step, 8, 65_472).astype(np.uint16)
    return counts


def _window(scene: Scene) -> tuple[int, int, int, int]:
    """Rows and columns of the world that the scene's grid covers."""
    east, north = world_origin(scene.place)
    left, top = (scene.origin[0] - east) / PIXEL_M, (north - scene.origin[1]) / PIXEL_M
    size = scene.sensor.pixel_m / PIXEL_M
    return round(top), round(top + scene.height * size), round(left), round(left + scene.width * size)


def _inside(scene: Scene) -> npt.NDArray[np.bool_]:
    """Which pixels have their centre inside the footprint."""
    x = scene.origin[0] + (np.arange(scene.width) + 0.5) * scene.sensor.pixel_m
    y = scene.origin[1] - (np.arange(scene.height)[:, None] + 0.5) * scene.sensor.pixel_m
    corners = scene.footprint
    sides = [
        (bx - ax) * (y - ay) - (by - ay) * (x - ax)
        for (ax, ay), (bx, by) in zip(corners, [*corners[1:], corners[0]], strict=True)
    ]
    positive = np.logical_and.reduce([side >= 0 for side in sides])
    negative = np.logical_and.reduce([side <= 0 for side in sides])
    return np.asarray(positive | negative)


def _seasons(scene: Scene, world: World, part: tuple[slice, slice]) -> dict[str, Field]:
    """Shares of materials on the day of the scene; names of :mod:`_spectra` alone."""
    day = (scene.time - catalog.FIRST).total_seconds() / 86400
    shares = {name: share[part] for name, share in world.shares.items()}
    height, chill = world.height[part], world.chill[part]
    sea, crop = shares.pop("sea", None), shares.pop("crop", None)

    def add(name: str, share: Field) -> None:
        shares[name] = shares[name] + share if name in shares else share

    if crop is not None:
        # A crop of 130 days, then stubble and bare ground, all of it 200 days long.
        age = (world.phase[part] + day / 200) % 1
        green = step(0.08, 0.30, age) * step(0.62, 0.50, age)
        ripe = step(0.50, 0.60, age) * step(0.85, 0.72, age)
        add("crop", crop * green)
        add("straw", crop * ripe)
        add("soil", crop * (1 - green - ripe))
    if sea is not None:
        # The ice cover thins from the shores and along the leads.
        other = np.roll(world.chill, (511, 317), (0, 1))[part]
        pack = step(-0.25, 0.25, 1.35 - day / 13 + 0.9 * other)
        pack = pack * (1 - 0.9 * step(0.10, 0.02, np.abs(chill + 0.15)) * step(0, 10, np.full_like(chill, day + 4)))
        ponds = step(0.2, 1.0, chill + day / 24 - 0.5)
        add("sea_ice", sea * pack * (1 - 0.75 * ponds))
        add("melt_pond", sea * pack * 0.75 * ponds)
        add("deep_water", sea * (1 - pack))
    line, width, most = _snow_line(scene, day)
    snow = step(line - width, line + width, height + 0.45 * width * chill) * most
    if float(snow.max()) > 0:
        for name in shares:
            if name not in {"sea_ice", "melt_pond", "deep_water"}:
                shares[name] = shares[name] * (1 - snow)
        add("snow", snow * (1 - sum((shares[n] for n in ("sea_ice", "melt_pond", "deep_water") if n in shares), 0.0)))
    return shares


def _snow_line(scene: Scene, day: float) -> tuple[float, float, float]:
    """Height of the snow line, half the width of its fringe [m], and how much snow covers at most."""
    if scene.place.latitude > 66:
        return 380 + 24 * day, 260.0, 0.95
    if scene.place.name == "coast":
        # A winter storm on the ninth day, then thaw.
        fallen = 950 if day >= 9 else 1500
        return fallen + 18 * (day - 9 if day >= 9 else day), 140.0, 0.95
    return 1e5, 100.0, 0.0


def _light(height: Field, elevation: float, azimuth: float) -> Field:
    """Direct light on a slope relative to level ground."""
    gy, gx = np.gradient(height, PIXEL_M)
    up, angle = math.radians(max(elevation, 5)), math.radians(azimuth)
    # Rows run south: gy is how the ground rises to the south.
    towards = gx * math.sin(angle) - gy * math.cos(angle)
    facing = (math.sin(up) - math.cos(up) * towards) / np.sqrt(1 + gx * gx + gy * gy)
    light: Field = np.clip(facing / math.sin(up), 0, 2.2)
    return light


def _top(ground: Field, height: Field, light: Field, sky: Sky, wavelength_um: float, elevation: float) -> Field:
    """Reflectance at the top of the atmosphere over ground and clouds."""
    diffuse = min(0.10 + 0.022 * wavelength_um**-3, 0.45)
    thin = np.exp(height * (-1 / 8500))
    lit = diffuse + (1 - diffuse) * light * (1 - sky.shadow)
    air = spectra.path_reflectance(wavelength_um, elevation)
    surface = ground * lit * spectra.transmittance(wavelength_um, elevation) + air * thin
    cloud = float(spectra.reflectance(wavelength_um)[spectra.NAMES.index("cloud")])
    # Clouds hide most of the air below them.
    above = cloud * sky.shade * 0.95 + 0.3 * air
    top: Field = surface + (above - surface) * sky.opacity
    return top


def _blurred(field: Field) -> Field:
    """What the optics spread over neighbouring pixels."""
    padded = np.pad(field, 1, mode="edge")
    rows = 0.16 * (padded[:-2] + padded[2:]) + 0.68 * padded[1:-1]
    blurred: Field = 0.16 * (rows[:, :-2] + rows[:, 2:]) + 0.68 * rows[:, 1:-1]
    return blurred


def _resampled(field: Field, ratio: float) -> Field:
    """Means over pixels that are 1 or 1.5 times as large."""
    if ratio == 1:
        return field
    if ratio != 1.5:
        raise ValueError(f"pixels of {ratio} world pixels are not provided for")
    a, b, c = field[0::3], field[1::3], field[2::3]
    rows = np.stack([(2 * a + b) / 3, (b + 2 * c) / 3], axis=1).reshape(-1, field.shape[1])
    a, b, c = rows[:, 0::3], rows[:, 1::3], rows[:, 2::3]
    return np.stack([(2 * a + b) / 3, (b + 2 * c) / 3], axis=2).reshape(rows.shape[0], -1)


def _halved(field: Field) -> Field:
    """Means over pixels that are twice as large."""
    return (field[::2, ::2] + field[1::2, ::2] + field[::2, 1::2] + field[1::2, 1::2]) * 0.25


def _tone(reflectance: Field, colour: str, elevation: float) -> Field:
    """From reflectance to how bright it is shown, 0 to 255: dark things are lifted, bright ones kept apart."""
    wavelength = {"red": 0.665, "green": 0.56, "blue": 0.49}[colour]
    air = 0.9 * spectra.path_reflectance(wavelength, elevation)
    clear = np.maximum(reflectance - air, 0) / spectra.transmittance(wavelength, elevation)
    knee = 0.33
    tone: Field = np.clip(clear * (1 + knee) / (clear + knee), 0, 1) ** (1 / 1.2) * 255
    return tone


def _vivid(picture: Field) -> Field:
    """A little more colour."""
    grey = picture.mean(axis=0, keepdims=True)
    vivid: Field = np.clip(grey + 1.18 * (picture - grey), 0, 255)
    return vivid


def _classes(shares: dict[str, Field], sky: Sky, ratio: float, inside: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    def total(*names: str) -> Field:
        return sum((shares[name] for name in names if name in shares), np.zeros_like(sky.opacity))

    water = _resampled(total("deep_water", "shallow_water", "turbid_water"), ratio) > 0.5
    snow = _resampled(total("snow", "ice", "sea_ice", "melt_pond"), ratio) > 0.5
    classes = np.full(inside.shape, Quality.LAND, np.uint8)
    classes[water] = Quality.WATER
    classes[snow] = Quality.SNOW
    classes[_resampled(sky.shadow, ratio) > 0.35] = Quality.SHADOW
    classes[_resampled(sky.opacity, ratio) > CLOUD_OPACITY] = Quality.CLOUD
    classes[~inside] = Quality.NODATA
    return classes
