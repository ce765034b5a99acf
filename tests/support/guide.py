"""Documents whose commands are run as a reader would run them."""

from __future__ import annotations

import re
from pathlib import Path

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
