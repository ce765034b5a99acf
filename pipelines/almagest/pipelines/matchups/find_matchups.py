"""Process ``find-matchups``: scenes of the catalogue that saw the same ground at nearly the same time, as items of it.

A run of much time is shared out among parts, each of which has its own stretch of it: an event belongs to the stretch
in which it begins, whoever finds it.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from almagest.core.errors import ConfigurationError
from almagest.core.jobs import Child, Context, Fanout, Output, Process, ProcessFailedError
from almagest.core.wording import counted
from almagest.pipelines.matchups import naming
from almagest.pipelines.matchups.stretches import Stretch, gathered

if TYPE_CHECKING:
    from almagest.catalogue.exporting import Snapshot
    from almagest.catalogue.following import Place
    from almagest.pipelines.matchups.updating import Share

#: Fewer scenes than this are not worth a part of their own.
_SCENES_OF_PART = 100_000
_NUMBERS = ("events", "matchups", "removed")
_TICK = timedelta(microseconds=1)


class Inputs(BaseModel):
    """Which scenes, and what makes two of them a matchup."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    collections: list[str] = Field(
        min_length=1,
        max_length=100,
        description="Collections of the scenes.",
        examples=[["landsat-c2-l2", "sentinel-2-l2a"]],
    )
    platforms: list[str] = Field(
        [],
        max_length=100,
        description="Only scenes of these platforms; none: of any. As many as collections: each is one of the"
        " collection in its place.",
        examples=[["landsat-9", "sentinel-2b"]],
    )
    max_time_difference: float = Field(
        1800, ge=0, le=31 * 86400, description="Most time between the end of one scene and the start of the other [s]."
    )
    min_overlap_area: float = Field(0, ge=0, description="Least overlap [km²].")
    min_overlap_fraction: float = Field(
        0, ge=0, le=1, description="Least overlap, as a share of the smaller of both footprints."
    )
    event_gap: float = Field(
        300, ge=1, le=31 * 86400, description="Without a matchup for so long, another event begins [s]."
    )
    datetime: str | None = Field(
        None,
        max_length=100,
        description="Only scenes of this time, as in a STAC search.",
        examples=["2025-06-01T00:00:00Z/2025-06-30T23:59:59Z"],
    )
    bbox: list[float] | None = Field(
        None, description="Only scenes that touch this box [degrees].", examples=[[-109.1, 36.9, -102.0, 41.0]]
    )
    filter: dict[str, Any] | str | None = Field(
        None,
        description="Only scenes for which this CQL2 holds, as text or JSON.",
        examples=["eo:cloud_cover < 20"],
    )
    only_changes: bool = Field(
        False,
        description="Look only where scenes have come, gone or changed since the last run with the same inputs; the"
        " first looks everywhere.",
    )
    part: str | None = Field(
        None,
        max_length=100,
        description="Only events that begin in this stretch of time, whose end does not belong to it; a run sets it"
        " where it is shared out.",
    )
    public: bool = Field(
        False, description="Whether outsiders may see the matchups, though they may not see all of the scenes."
    )

    @field_validator("collections")
    @classmethod
    def _nameable(cls, collections: list[str]) -> list[str]:
        return naming.require_nameable(collections)

    @field_validator("datetime", "part")
    @classmethod
    def _interval(cls, text: str | None) -> str | None:
        if text is not None:
            Stretch.parse(text)
        return text

    @model_validator(mode="after")
    def _several(self) -> Self:
        if len(self.collections) != len(set(self.collections)) and len(self.collections) != len(self.platforms):
            raise ValueError("a collection may stand there twice only where platforms stand beside them")
        if self.part is not None and not Stretch.parse(self.part).is_known:
            raise ValueError("a part of a run begins and ends between 1900 and 2200, or is open")
        if self.part is not None and self.only_changes:
            raise ValueError("a part of a run looks everywhere in it: leave only_changes away")
        return self


def _run(inputs: Inputs, context: Context) -> Mapping[str, Any] | Fanout:
    from almagest.catalogue.exporting import snapshot
    from almagest.core.settings import Settings
    from almagest.pipelines.matchups.catalogued import Catalogued
    from almagest.pipelines.matchups.gathering import Wanted
    from almagest.pipelines.matchups.pairing import Limits
    from almagest.pipelines.matchups.updating import Share, Update

    if context.children:
        result = _together(context.children)
        context.remember(_key(inputs), {**context.checkpoint, "longest_s": result["longest_scene"]})
        return result
    search = _search(inputs)
    with _refusing(), snapshot(Settings.load(), "almagest_worker") as moment:
        moment.ids(inputs.collections)  # fails early where one is not there
        reached = moment.horizon()
        last = context.recall(_key(inputs)) if inputs.only_changes else None
        shares = None if last is None else _changed(inputs, context, moment, Last(**last), reached)
        if shares is None and inputs.part is None:
            parts = _parts([each for each in moment.months(search) if Stretch(each[0]).is_known])
            if len(parts) > 1:
                context.log(f"shared out among {len(parts)} parts")
                asked = inputs.model_dump(mode="json", exclude_defaults=True, exclude={"only_changes"})
                children = [Child(PROCESS.id, {**asked, "part": str(part)}) for part in parts]
                return Fanout(children, {"era": reached.era, "xact": reached.xact})
        if shares is None:
            shares = [Share(Stretch.parse(inputs.part or "../.."))]
        catalogued = Catalogued(moment, search, Wanted(tuple(inputs.collections), tuple(inputs.platforms)))
        limits = Limits(inputs.max_time_difference, inputs.min_overlap_area, inputs.min_overlap_fraction)
        update = Update(catalogued, limits, inputs.event_gap, context, inputs.public)
        for number, share in enumerate(shares):
            context.progress(100 * number / len(shares), str(share.stretch) if share.stretch != Stretch() else None)
            update.run(share)
        predicted = update.finish()
    done = update.done
    for sensor, number in done.scenes.items():
        context.log(f"{counted(number, 'scene')} of {sensor}")
    if last is None and inputs.part is None:  # of a part of all time there need not be any
        for missing in catalogued.wanted.missing(done.scenes):
            context.log(missing)
    for reason, number in catalogued.skipped.items():
        context.log(f"{number:,} items passed by: {reason}")
    context.log(f"{done.events:,} events with {done.matchups:,} matchups; {done.removed:,} matchups removed")
    context.log(f"{predicted:,} predictions have come true")
    longest_s = max(done.longest.total_seconds(), last["longest_s"] if last else 0)
    if inputs.part is None:
        context.remember(_key(inputs), asdict(Last(reached.era, reached.xact, longest_s)))
    return {**{name: getattr(done, name) for name in _NUMBERS}, "longest_scene": longest_s}


@dataclass(frozen=True)
class Last:
    """What a run remembers of the one before.

    Attributes:
        era, xact: of the place in the log of changes up to which it has looked.
        longest_s: what the longest scene took that it knows of [s].
    """

    era: int
    xact: int
    longest_s: float

    @property
    def place(self) -> Place:
        """In the log of changes."""
        from almagest.catalogue.following import Place

        return Place(self.era, self.xact)


def _key(inputs: Inputs) -> str:
    """Of what a run remembers: by what its matchups are found."""
    asked = inputs.model_dump_json(exclude={"only_changes", "part"})
    return hashlib.sha256(asked.encode()).hexdigest()


def _changed(inputs: Inputs, context: Context, moment: Snapshot, last: Last, reached: Place) -> list[Share] | None:
    """Where there are matchups that may have come, gone or changed since the last run; None: nobody knows."""
    from almagest.pipelines.matchups.catalogued import LONGEST
    from almagest.pipelines.matchups.updating import Share

    if not moment.keeps(inputs.collections, last.place):
        context.log("what has changed since the last run is forgotten: everything is looked at")
        return None
    spans = moment.changed(inputs.collections, last.place, reached)
    if len(spans) > _SCENES_OF_PART:
        context.log("so much has changed since the last run that everything is looked at")
        return None
    context.log(f"{len(spans):,} times at which scenes have come, gone or changed since the last run")
    # A matchup begins with the earlier of its scenes, which may be the other one.
    spans = [span for span in spans if span[1] - span[0] <= LONGEST and Stretch(*span).is_known]
    longest = max([timedelta(seconds=last.longest_s), *(ends - begins for begins, ends in spans)])
    before = timedelta(seconds=inputs.max_time_difference) + longest
    begins = [(begin - before, begin + _TICK) for begin, _ in spans]
    return [Share(stretch, is_touched=True) for stretch in gathered(begins, timedelta(seconds=inputs.event_gap))]


@contextmanager
def _refusing() -> Iterator[None]:
    """What the database refuses was asked for by the inputs: to ask again would not help."""
    try:
        yield
    except ConfigurationError as error:
        raise ProcessFailedError(str(error)) from None


def _search(inputs: Inputs) -> dict[str, Any]:
    from almagest.catalogue import filters

    search: dict[str, Any] = {"collections": sorted(set(inputs.collections))}
    if inputs.datetime is not None:
        search["datetime"] = inputs.datetime
    if inputs.bbox is not None:
        search["bbox"] = inputs.bbox
    if inputs.filter is not None:
        search["filter"] = (
            filters.parse(inputs.filter, "cql2-text") if isinstance(inputs.filter, str) else inputs.filter
        )
        search["filter-lang"] = "cql2-json"
    return search


def _parts(months: Sequence[tuple[datetime, int]]) -> list[Stretch]:
    """Stretches of whole months, together all time, each but the last with scenes enough."""
    begins: list[datetime | None] = []
    waiting = 0
    for month, scenes in months:
        if waiting >= _SCENES_OF_PART:
            begins.append(month)
            waiting = 0
        waiting += scenes
    return [Stretch(begin, end) for begin, end in itertools.pairwise([None, *begins, None])]


def _together(children: Sequence[Child]) -> Mapping[str, Any]:
    failed = [child for child in children if child.status != "successful"]
    if failed:
        raise ProcessFailedError(f"{len(failed)} of {len(children)} parts failed: nothing of these is published.")
    sums: Counter[str] = Counter()
    for child in children:
        sums.update({name: (child.outputs or {})[name] for name in _NUMBERS})
    longest = max((child.outputs or {})["longest_scene"] for child in children)
    return {**{name: sums[name] for name in _NUMBERS}, "longest_scene": longest}


PROCESS = Process(
    id="find-matchups",
    version="1.1.0",
    title="Find matchups",
    description="Finds scenes of two sensors that saw the same ground at nearly the same time, and groups them into"
    " events. A sensor is a collection and a platform in it. Events and matchups become items of collections that are"
    " named by their sensors, in the data model of eomatch; they name the versions of the scenes that they are made of."
    " Where an event has grown it keeps its id; matchups whose scenes have gone, or are no longer what they were, are"
    " removed, and so are predicted crossings where an event was found in their place. Done again, it changes nothing.",
    inputs=Inputs,
    outputs={
        "events": Output("How many events there are now, where it has looked", {"type": "integer"}),
        "matchups": Output("How many matchups there are in them", {"type": "integer"}),
        "removed": Output("How many matchups were removed", {"type": "integer"}),
        "longest_scene": Output("What the longest scene took [s]", {"type": "number"}),
    },
    run=_run,
    scope="catalogue:write",
    # Geometry is C code, and nobody knows beforehand how much there is of it.
    time_limit_s=4 * 3600,
    memory_limit_mb=8192,
    keywords=("matchup", "collocation", "simultaneous nadir overpass"),
)
