"""Process ``predict-crossings``: when two satellites will pass over the same ground at nearly the same time."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from math import ceil, comb, isfinite
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from almagest.core.jobs import Context, Output, Process, ProcessFailedError
from almagest.pipelines.matchups import elements, naming
from almagest.pipelines.matchups.stretches import Stretch

if TYPE_CHECKING:
    from almagest.pipelines.matchups.orbits import Orbit
    from almagest.pipelines.matchups.scenes import Sensor

_LONGEST = timedelta(days=400)
#: So many pairs of sensors, times days, can be looked at within the limit of time, at a second each, or less.
_MOST_PAIR_DAYS = 10_000
#: From then on elements tell less and less, kilometres along the orbit at first.
_AGED = timedelta(days=14)
#: They tell nothing at all of what is further away than this.
_OUTDATED = timedelta(days=366)
_SATELLITE = """\
1 99001U 24001A   22001.13055556  .00000000  00000-0  00000+0 0    14
2 99001  98.5700  78.2800 0001149   0.0000 272.4000 14.31717441    19"""


class Inputs(BaseModel):
    """Which satellites, when, and how near they have to come."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    collections: list[str] = Field(
        min_length=2,
        max_length=20,
        description="Collections of the scenes to come.",
        examples=[["landsat-c2-l2", "sentinel-2-l2a"]],
    )
    platforms: list[str] = Field(
        min_length=2,
        max_length=20,
        description="As many as collections: each is one of the collection in its place.",
        examples=[["landsat-9", "sentinel-2a"]],
    )
    elements: dict[str, Annotated[str, Field(max_length=1_000_000)]] = Field(
        min_length=2,
        max_length=20,
        description="Two-line element sets of each platform, with names of satellites or without. Of several the one"
        " nearest in epoch tells where it is.",
        examples=[{"sentinel-2a": _SATELLITE}],
    )
    datetime: str = Field(
        max_length=100,
        description="Crossings that begin within this interval, as in a STAC search, 400 days at most. What was"
        " predicted in it before, and is not by these elements, is removed.",
        examples=["2022-01-01T00:00:00Z/2022-01-15T00:00:00Z"],
    )
    max_time_difference: float = Field(
        1800, ge=0, le=6 * 3600, description="Most time between both being above the same ground [s]."
    )
    max_distance: float = Field(
        100, gt=0, le=500, description="Most distance between the ground below one and that below the other [km]."
    )
    event_gap: float = Field(
        300, ge=1, le=6 * 3600, description="When they are not near for so long, another event begins [s]."
    )
    min_solar_elevation: float | None = Field(
        None, ge=-90, le=90, description="Only where and when the sun stands at least as high, for both [degree]."
    )
    bbox: list[float] | None = Field(
        None,
        min_length=4,
        max_length=4,
        description="Only crossings, as a whole, whose boxes overlap this one [degree].",
        examples=[[-109.1, 36.9, -102.0, 41.0]],
    )
    public: bool = Field(
        False, description="Whether outsiders may see the events, though they may not see all of the scenes."
    )

    @field_validator("collections")
    @classmethod
    def _nameable(cls, collections: list[str]) -> list[str]:
        return naming.require_nameable(collections)

    @field_validator("datetime")
    @classmethod
    def _interval(cls, text: str) -> str:
        interval = Stretch.parse(text)
        if interval.begin is None or interval.end is None or interval.begin == interval.end:
            raise ValueError("say from when and until when, with a `/` in between")
        if interval.end - interval.begin > _LONGEST:
            raise ValueError(f"look at {_LONGEST.days} days at most")
        return text

    @field_validator("bbox")
    @classmethod
    def _box(cls, bbox: list[float] | None) -> list[float] | None:
        if bbox is not None:
            west, south, east, north = bbox
            if not all(map(isfinite, bbox)) or max(abs(west), abs(east)) > 180 or not -90 <= south <= north <= 90:
                raise ValueError("write west, south, east and north; west is the greater across the antimeridian alone")
        return bbox

    @field_validator("elements")
    @classmethod
    def _readable(cls, texts: dict[str, str]) -> dict[str, str]:
        for platform, text in texts.items():
            try:
                elements.parse(text)
            except ValueError as error:
                raise ValueError(f"{platform}, {error}") from None
        return texts

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if len(self.collections) != len(self.platforms):
            raise ValueError("there are as many platforms as collections: each is one of the collection in its place")
        if len(set(zip(self.collections, self.platforms, strict=True))) < len(self.platforms):
            raise ValueError("a platform of a collection stands there twice")
        for collection, platform in zip(self.collections, self.platforms, strict=True):
            if not naming.NAMEABLE.fullmatch(platform) or not naming.fits(f"{collection}-{platform}"):
                raise ValueError(f"no collection can be called by a platform {platform!r}")
        if missing := sorted(set(self.platforms) - self.elements.keys()):
            raise ValueError(f"there are no elements of {missing[0]}")
        if others := sorted(self.elements.keys() - set(self.platforms)):
            raise ValueError(f"there are elements of {others[0]}, which is none of the platforms")
        for platform, text in self.elements.items():
            if not any(_is_near(self.interval, each.epoch) for each in elements.parse(text)):
                raise ValueError(f"{platform}: the elements are of more than a year before or after the interval")
        if (work := comb(len(self.platforms), 2) * self.days) > _MOST_PAIR_DAYS:
            raise ValueError(
                f"{work:,} days of a pair of sensors are more than can be looked at: ask for {_MOST_PAIR_DAYS:,} at"
                " most, and for the rest by itself"
            )
        return self

    @property
    def days(self) -> int:
        """How long the interval is, in whole days."""
        assert self.interval.begin is not None
        assert self.interval.end is not None
        return ceil((self.interval.end - self.interval.begin) / timedelta(days=1))

    @property
    def interval(self) -> Stretch:
        """What is looked at; it has both ends."""
        return Stretch.parse(self.datetime)


def _is_near(interval: Stretch, epoch: datetime) -> bool:
    assert interval.begin is not None
    assert interval.end is not None
    return interval.begin - epoch <= _OUTDATED and epoch - interval.end <= _OUTDATED


def _run(inputs: Inputs, context: Context) -> Mapping[str, Any]:
    from almagest.catalogue.exporting import snapshot
    from almagest.core.settings import Settings
    from almagest.pipelines.matchups.catalogued import Catalogued
    from almagest.pipelines.matchups.crossings import Nearness
    from almagest.pipelines.matchups.gathering import Wanted
    from almagest.pipelines.matchups.predicting import Prediction
    from almagest.pipelines.matchups.predictions import crossing_items, sunlit

    with snapshot(Settings.load(), "almagest_worker") as moment:
        moment.ids(inputs.collections)  # fails early where one is not there
    orbits = _orbits(inputs, context)
    pairs = list(_pairs(orbits, context))
    if not pairs:
        raise ProcessFailedError("There are no two satellites among these platforms.")
    where = sunlit(inputs.min_solar_elevation)
    limits = Nearness(inputs.max_time_difference, inputs.max_distance, inputs.event_gap, where)
    found = {}
    for number, (one, other) in enumerate(pairs):
        of = orbits[one], orbits[other]

        def seen(share: float, number: int = number, name: str = naming.combination((one, other))) -> None:
            context.progress(100 * (number + share) / len(pairs), name)

        found[one, other] = list(crossing_items((one, other), of, limits, inputs.interval, seen))
    with snapshot(Settings.load(), "almagest_worker") as moment:  # once all is known: it holds up the database
        catalogued = Catalogued(moment, {}, Wanted())
        prediction = Prediction(catalogued, inputs.interval, inputs.bbox, context, inputs.public)
        for pair, items in found.items():
            prediction.run(pair, items)
    context.log(
        f"{prediction.events:,} crossings predicted, {prediction.found:,} more where events have been found;"
        f" {prediction.removed:,} earlier predictions removed"
    )
    return {"events": prediction.events, "found": prediction.found, "removed": prediction.removed}


def _orbits(inputs: Inputs, context: Context) -> dict[Sensor, Orbit]:
    from almagest.pipelines.matchups.orbits import Orbit
    from almagest.pipelines.matchups.scenes import Sensor

    of = {platform: Orbit.of(platform, elements.parse(text)) for platform, text in inputs.elements.items()}
    for platform, orbit in of.items():
        if (age := orbit.age(inputs.interval)) > _AGED:
            context.log(f"{platform}: the elements are of {age.days} days before or after what they are used for")
    sensors = itertools.starmap(Sensor, zip(inputs.collections, inputs.platforms, strict=True))
    return {sensor: of[sensor.platform] for sensor in sorted(sensors)}


def _pairs(orbits: Mapping[Sensor, Orbit], context: Context) -> Iterator[tuple[Sensor, Sensor]]:
    for one, other in itertools.combinations(orbits, 2):
        if orbits[one].satellite != orbits[other].satellite:
            yield one, other
        elif one.platform != other.platform:
            context.log(f"{one.platform} and {other.platform} are one satellite, which does not cross itself")


PROCESS = Process(
    id="predict-crossings",
    version="1.1.0",
    title="Predict crossings",
    description="Finds when two satellites will pass over the same ground at nearly the same time, by the elements of"
    " their orbits (SGP4). A sensor is a collection and a platform in it. Crossings become events of their sensors,"
    " beside those that `find-matchups` finds, with `matchup:predicted` true; each goes when an event is found in its"
    " place, and none is made where one has been. What was predicted before in the same interval and is not any more is"
    " removed. Distances are those of sub-satellite points, whatever the swaths. Done again, it changes nothing.",
    inputs=Inputs,
    outputs={
        "events": Output("How many crossings are predicted", {"type": "integer"}),
        "found": Output("How many more there are of which events have been found", {"type": "integer"}),
        "removed": Output("How many earlier predictions were removed", {"type": "integer"}),
    },
    run=_run,
    scope="catalogue:write",
    max_attempts=1,  # what is too much for one is too much for the next one
    time_limit_s=4 * 3600,
    memory_limit_mb=4096,
    keywords=("matchup", "orbit", "TLE", "SGP4", "simultaneous nadir overpass"),
)
