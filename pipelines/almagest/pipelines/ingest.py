"""Process ``ingest``: documents from a folder or a STAC API into the catalogue, as `almagest ingest` puts them in.

What somebody with a key may name is less than what an operator may: only folders and hosts that the settings list.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from almagest.core.jobs import Context, Output, Process, ProcessFailedError
from almagest.core.settings import Settings

_ROLE = "almagest_worker"
#: Batches at the same time: a worker has other jobs, too.
_CREW = 2
#: Between two words on how far it is [s].
_NEWS_S = 0.5


class Inputs(BaseModel):
    """What to put in, and how."""

    model_config = ConfigDict(extra="forbid")

    source: str = Field(
        min_length=1,
        max_length=4000,
        description="A file or folder of the workers (static catalogue, ndjson, stac-geoparquet), or the address of a"
        " STAC API or a static catalogue. Folders and hosts have to be named in the settings.",
        examples=["/incoming", "https://stac.example.org/collections/scenes"],
    )
    collection: str | None = Field(
        None,
        min_length=1,
        max_length=1000,
        description="Collection of items that name none; others stay where they are.",
    )
    create_collections: bool = Field(False, description="Make missing collections from their items.")


def _run(inputs: Inputs, context: Context) -> Mapping[str, Any]:
    from almagest.catalogue.acceptance import Rules
    from almagest.catalogue.exchange import open_source
    from almagest.catalogue.exchange.bounds import confined
    from almagest.catalogue.ingest.engine import ingest
    from almagest.catalogue.ingest.options import Options, Sources
    from almagest.catalogue.ingest.tally import Tally

    settings = Settings.load()
    work = settings.work
    tally = Tally(say=context.log, watch=_news(context))
    with confined(work.ingest_roots, work.ingest_hosts):
        location = _location(inputs.source)
        sources = Sources([open_source(location, origin=settings.site.origin)])
        rules = Rules(settings.site.origin, settings.api.schema_mirror, settings.api.validate_extensions)
        asked = Options(inputs.collection, inputs.create_collections, workers=_CREW)
        ingest(sources, _access(settings, context.job), rules, asked, tally)
    context.log(str(tally.totals))
    if tally.totals.refused:
        raise ProcessFailedError(f"Not all of it went in: {tally.totals}. The log names what did not, and why.")
    return {"totals": tally.summary()}


def _location(source: str) -> str:
    """What the source means; of files, only those that may be read.

    Raises:
        ProcessFailedError: it may not be read, or is not there.
    """
    from almagest.catalogue.exchange.bounds import check_file
    from almagest.core.errors import NotFoundError

    if source.startswith(("http://", "https://")):
        if "@" in source.partition("://")[2].partition("/")[0]:
            raise ProcessFailedError("An address with a user or a password in it is not taken.")
        return source
    path = Path(source)
    try:
        check_file(path)
        is_there = path.is_file() or path.is_dir()
    except (NotFoundError, OSError, ValueError):
        raise ProcessFailedError(
            f"{source} lies in no folder that may be read here: ALMAGEST_WORK_INGEST_ROOTS names those that may."
        ) from None
    if not path.is_absolute() or not is_there:
        raise ProcessFailedError(f"There is no file or folder {source}.")
    return source


def _access(settings: Settings, job: str) -> Any:
    """The database, as the one whose job it is."""
    from dataclasses import replace

    from almagest.catalogue import database, jobs
    from almagest.catalogue.ingest.line import Access

    with database.connect(settings, _ROLE) as connection:
        found = jobs.find(connection, UUID(job))
    return replace(Access.of(settings, _ROLE), actor=found.request.get("by") or found.principal, job=job)


def _news(context: Context) -> Any:
    from almagest.catalogue.ingest.tally import Progress

    told = time.monotonic()

    def watch(state: Progress) -> None:
        nonlocal told
        if time.monotonic() - told >= _NEWS_S:
            told = time.monotonic()
            context.progress(100 * (state.fraction or 0), str(state.totals))

    return watch


PROCESS = Process(
    id="ingest",
    version="1.0.0",
    title="Ingest",
    description="Puts collections and items into the catalogue, from a folder of the workers or from a STAC API; what"
    " is there already is only compared. Good documents go in, bad ones are named in the log, and the job fails if"
    " there were any. Done again, it sends only what is missing.",
    inputs=Inputs,
    outputs={"totals": Output("How many documents were created, updated, unchanged …", {"type": "object"})},
    run=_run,
    scope="catalogue:write",
    queue="download",
    time_limit_s=6 * 3600,
    keywords=("stac", "import"),
)
