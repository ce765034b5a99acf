"""Processes that do what jobs must survive. Read by tests, copied into a package of its own by `plugin.write`."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from almagest.core.jobs import Child, Context, Fanout, Output, Process
from almagest.pipelines.matchups import find_matchups


class Named(BaseModel):
    """A name, and how long it takes."""

    name: str
    pause_s: float = 0


class Many(BaseModel):
    """So many children."""

    name: str
    number: int


def _empty(inputs: Named, context: Context) -> Mapping[str, Any]:
    return {"name": inputs.name}


def _effect(inputs: Named, context: Context) -> Mapping[str, Any]:
    """One item, which gets a version for each time that it is published otherwise."""
    time.sleep(inputs.pause_s)
    context.publish(
        [
            {
                "type": "Feature",
                "stac_version": "1.1.0",
                "id": inputs.name,
                "collection": "effects",
                "geometry": {"type": "Point", "coordinates": [1, 2]},
                "bbox": [1, 2, 1, 2],
                "properties": {"datetime": "2025-06-20T00:00:00Z", "at": time.time()},
                "links": [],
                "assets": {},
            }
        ]
    )
    return {"name": inputs.name}


def _fan(inputs: Many, context: Context) -> Mapping[str, Any] | Fanout:
    if not context.children:
        names = [{"name": f"{inputs.name}-{number}"} for number in range(inputs.number)]
        return Fanout([Child("test-effect", given) for given in names])
    return {"name": ",".join(sorted((child.outputs or {}).get("name", child.status) for child in context.children))}


def _poison(inputs: Named, context: Context) -> Mapping[str, Any]:
    raise RuntimeError(f"poison {inputs.name}")


def _hang(inputs: Named, context: Context) -> Mapping[str, Any]:
    # As C code does that has forgotten us.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    (context.workdir / "began").touch()
    time.sleep(3600)
    return {"name": "late"}


def _hungry(inputs: Named, context: Context) -> Mapping[str, Any]:
    return {"name": str(len(bytearray(2 << 30)))}


def _crash(inputs: Named, context: Context) -> Mapping[str, Any]:
    context.log("about to crash")
    logging.getLogger("somebody").warning("crashes now")
    os.kill(os.getpid(), signal.SIGSEGV)
    return {"name": ""}


def _shared(inputs: find_matchups.Inputs, context: Context) -> Mapping[str, Any] | Fanout:
    """What finds matchups, in parts that hold a few scenes."""
    find_matchups._SCENES_OF_PART = 100
    return find_matchups.PROCESS.run(inputs, context)


def _process(name: str, run: Any, inputs: type[BaseModel] = Named, **more: Any) -> Process[Any]:
    return Process(
        id=f"test-{name}",
        version="1",
        title=name,
        description="Of a test.",
        inputs=inputs,
        outputs={"name": Output("A name", {"type": "string"})},
        run=run,
        **more,
    )


EMPTY = _process("empty", _empty)
EFFECT = _process("effect", _effect, max_attempts=20)
FAN = _process("fan", _fan, Many, max_attempts=20)
POISON = _process("poison", _poison, max_attempts=2)
HANG = _process("hang", _hang, time_limit_s=2, max_attempts=1)
STUCK = _process("stuck", _hang, memory_limit_mb=4096)
HUNGRY = _process("hungry", _hungry, memory_limit_mb=1024, max_attempts=1)
CRASH = _process("crash", _crash, memory_limit_mb=4096, max_attempts=1)
SHARED = Process(
    id="test-shared",
    version="1",
    title="shared",
    description="Of a test.",
    inputs=find_matchups.Inputs,
    outputs=find_matchups.PROCESS.outputs,
    run=_shared,
    memory_limit_mb=4096,
)
