"""eomatch 0.2, the tool that our commands and catalogues must get along with, in an environment of its own.

It wants other versions of what we use, and a gigabyte: only `make soak` installs it. A developer who has it names its
Python in ``ALMAGEST_TEST_EOMATCH``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

VARIABLE = "ALMAGEST_TEST_EOMATCH"
#: It reads any version of pgSTAC, and writes into that of its own pypgstac.
WANTED = ("eomatch[ingest]==0.2", "pypgstac==0.10.*")


class Eomatch:
    """Runs eomatch with a home of its own: it writes its configuration there when it is imported."""

    def __init__(self, python: Path, home: Path) -> None:
        self.python, self.home = python, home

    def run(self, *arguments: str, check: bool = True, **variables: str) -> str:
        """What its Python prints for these arguments (``-c …``, ``-m eomatch.query …``)."""
        done = subprocess.run(
            [self.python, *arguments],
            env={"PATH": os.environ["PATH"], "HOME": str(self.home), "LANG": "C.UTF-8", **variables},
            cwd=self.home,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        if check and done.returncode:
            raise AssertionError(f"eomatch {' '.join(arguments)}: {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done.stdout


def find(home: Path) -> Eomatch:
    """The one that is named; skips where none is."""
    python = os.environ.get(VARIABLE)
    if python is None:
        pytest.skip(f"eomatch is not installed here: `make soak` does it, or name its Python in {VARIABLE}")
    return Eomatch(Path(python), home)


@contextmanager
def installed() -> Iterator[Path]:
    """Its Python, in an environment that is gone afterwards; skips where it cannot be installed."""
    if os.environ.get(VARIABLE):
        yield Path(os.environ[VARIABLE])
        return
    folder = Path(tempfile.mkdtemp(prefix="alm-eomatch-"))
    try:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True, capture_output=True)
        python = folder / "bin" / "python"
        done = subprocess.run(
            [python, "-m", "pip", "install", "--quiet", *WANTED], capture_output=True, text=True, check=False
        )
        if done.returncode:
            pytest.skip(f"eomatch 0.2 cannot be installed: {done.stderr.strip().rpartition(chr(10))[2]}")
        yield python
    finally:
        shutil.rmtree(folder, ignore_errors=True)
