"""Schemathesis: requests made from an app's own description, good and bad, and its answers held against it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

#: Names another seed than that of the day.
VARIABLE = "ALMAGEST_TEST_SEED"

#: What is asked of every answer: that it is none of our faults, and that it is described. Whether a request that the
#: description allows is taken is not asked: what a filter or an id means stands in no schema.
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)


def seed() -> int:
    """The same all day, so that who runs the tests again sees the same."""
    return int(os.environ.get(VARIABLE) or datetime.now(UTC).toordinal())


def fuzz(description: str, folder: Path, *, seconds: int, values: Mapping[str, Sequence[str]], more: str = "") -> str:
    """Sends requests for so long.

    Args:
        description: address of the OpenAPI document.
        folder: for its configuration.
        seconds: how long [s].
        values: of parameters of paths, by name: those that are there, so that not all is 404.
        more: of its configuration, as TOML.

    Returns:
        What it reports.

    Raises:
        AssertionError: an answer is not as described, or there is none; shows which, and how to ask again.
    """
    lines = ["[warnings]", "enabled = false", "[parameters]"]
    lines += [f'"path.{name}" = {{ dictionary = "{name}", probability = 0.7 }}' for name in values]
    for name, known in values.items():
        lines += [f"[dictionaries.{name}]", f"values = {list(known)!r}"]
    configuration = folder / "schemathesis.toml"
    configuration.write_text("\n".join([*lines, more, ""]))
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(configuration), "--no-color", "run"]
    command += [description, "--seed", str(seed()), "--max-time", str(seconds), "--checks", ",".join(CHECKS)]
    command += ["--max-examples", "20", "--continue-on-failure", "--generation-database", "none"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds + 120, cwd=folder)
    report = "\n".join(line[:1000] for line in [*done.stdout.splitlines(), *done.stderr.splitlines()])
    assert done.returncode == 0, report
    return report
