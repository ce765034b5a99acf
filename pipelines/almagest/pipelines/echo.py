"""Process ``echo``: says what it was told. To try the machinery with, by people and by tests."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from almagest.core.jobs import Context, Output, Process, ProcessFailedError


class Inputs(BaseModel):
    """What to say, and how."""

    model_config = ConfigDict(extra="forbid")

    message: str = Field(max_length=10_000, description="What is said.", examples=["Hello"])
    pause_s: float = Field(0, title="Pause [s]", ge=0, le=60, description="How long to wait before it is said [s].")
    fail: bool = Field(False, description="Fail instead, as a process does that cannot do what it was asked for.")


def _run(inputs: Inputs, context: Context) -> Mapping[str, Any]:
    began = time.monotonic()
    while (waited := time.monotonic() - began) < inputs.pause_s:
        context.progress(100 * waited / inputs.pause_s, f"{inputs.pause_s - waited:.0f} s to go")
        time.sleep(min(0.2, inputs.pause_s - waited))
    if inputs.fail:
        raise ProcessFailedError(f"Told to fail: {inputs.message}")
    context.log(f"said {len(inputs.message)} characters")
    return {"echo": inputs.message}


PROCESS = Process(
    id="echo",
    version="1.0.0",
    title="Echo",
    description="Answers with the message that it is given, after a pause if one is asked for.",
    inputs=Inputs,
    outputs={"echo": Output("The message", {"type": "string"})},
    run=_run,
    is_quick=True,
    keywords=("test",),
)
