"""Documents whose commands are run as a reader would run them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from support.stack import Stack

#: What guides call the site.
ADDRESS = "http://127.0.0.1:8080"

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(document: Path, section: str | None = None) -> list[tuple[str, str]]:
    """Language and text of every fenced block, of one section (its heading, as written) or of all."""
    text = document.read_text(encoding="utf-8")
    if section is not None:
        _, _, text = text.partition(f"{section}\n")
        assert text, f"{document}: there is no section {section!r}"
        level = section.split()[0]
        text = re.split(rf"^{level} ", text, maxsplit=1, flags=re.MULTILINE)[0]
    return [(found[1], found[2]) for found in _BLOCK.finditer(text)]


def script(document: Path, language: str, section: str | None = None) -> str:
    """All blocks of one language, one after the other."""
    return "\n".join(text for kind, text in blocks(document, section) if kind == language)


def run(stack: Stack, place: Path, language: str, text: str) -> str:
    """What a block says that is run where its reader would run it, in a folder like a clone."""
    commands = {"sh": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-c"]}
    done = subprocess.run(
        [*commands[language], text.replace(ADDRESS, stack.origin)],
        cwd=place,
        env={
            **os.environ,
            **stack.variables,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(place),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    # With all said and done, pyarrow now and then trips over a thread of its own on the way out.
    is_over = done.returncode == -6 and done.stderr == "terminate called without an active exception\n"
    assert done.returncode == 0 or ("pyarrow" in text and is_over), f"{text}\n{done.stdout}\n{done.stderr}"
    return done.stdout
