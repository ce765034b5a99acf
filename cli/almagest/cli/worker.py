"""``almagest worker``: does jobs, here or on another machine."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from almagest.core.groups import QUEUES

EPILOG = (
    "Example, on another machine with the secrets almagest_worker, redis and callback.key in its folder of secrets, and"
    " with the same store: ALMAGEST_DB_HOST=db.example.org ALMAGEST_WORK_REDIS_HOST=redis.example.org almagest worker"
    " --queues gpu --slots 1 --name gpu-1"
)


def worker(
    name: Annotated[str, typer.Option(metavar="NAME", help="Of this worker among those of its home.")] = "worker",
    queues: Annotated[
        str, typer.Option(metavar="QUEUES", help=f"Kinds of jobs that it does, of {','.join(QUEUES)}.")
    ] = "",
    slots: Annotated[int | None, typer.Option(min=1, metavar="N", help="Jobs at the same time.")] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Say whether the worker of this name is well, and end.")
    ] = False,
) -> None:
    """Do jobs until told to stop. `almagest up` starts workers by itself; this starts one more, anywhere.

    What is in hand when it is stopped is taken up by others. Queues and slots are as the settings say, unless they are
    given.
    """
    from structlog.contextvars import get_contextvars

    from almagest.cli.stack import session
    from almagest.core import logs
    from almagest.core.processes import sign_of_life, why_unwell
    from almagest.pipelines import worker as workers

    settings = session.attach()
    if check:
        sys.exit(why_unwell(sign_of_life(settings, name)))
    chosen = workers.queues_of(settings, queues)
    logs.configure("worker", get_contextvars)
    workers.serve(settings, chosen, slots or settings.work.slots, name)
