"""Inputs of a process, as they are written on a command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from almagest.core.errors import BadRequestError


def read_inputs(file: Path | None, given: list[str]) -> dict[str, Any]:
    """All inputs: a JSON object in a file, and ``NAME=VALUE`` above it, each JSON or plain text.

    Raises:
        BadRequestError: one is neither.
    """
    try:
        inputs = json.loads(file.read_bytes()) if file else {}
    except ValueError as error:
        raise BadRequestError(f"{file} is not JSON: {error}.") from None
    if not isinstance(inputs, dict):
        raise BadRequestError(f"{file} holds no JSON object.")
    for pair in given:
        name, separator, value = pair.partition("=")
        if not separator:
            raise BadRequestError(f"{pair!r} is not NAME=VALUE.")
        try:
            inputs[name] = json.loads(value)
        except ValueError:
            inputs[name] = value
    return inputs
