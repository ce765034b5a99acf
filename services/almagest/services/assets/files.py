"""How a stored file is handed out: nginx sends the bytes, and is told which ones and what they are."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from almagest.core.hrefs import HrefRefusedError

OCTETS = "application/octet-stream"

_TOKEN = r"[A-Za-z0-9!#$&^_.+-]+"  # noqa: S105 (a part of a media type)
_VALUE = rf'(?:{_TOKEN}|"[ !#-\[\]-~]*")'
_MEDIA_TYPE = re.compile(rf"({_TOKEN}/{_TOKEN})(?: *; *{_TOKEN} *= *{_VALUE})*", re.ASCII)
#: What a browser would run, or take other things out of, in the name of this site.
_ACTIVE = re.compile(r"html|xml|svg|script|css|multipart|message|^(?!application|audio|font|image|model|text|video)")


def harmless(media_type: str | None) -> str:
    """The media type as a browser may be told it; plain bytes for what it would run, or what is no media type."""
    found = _MEDIA_TYPE.fullmatch(media_type or "")
    return OCTETS if found is None or _ACTIVE.search(found[1].lower()) else found[0]


def disposition(item: str, key: str, path: str) -> str:
    """What a browser calls the file if it is saved. Not as it is called here: that is nobody's business."""
    suffix = Path(path).suffix
    is_needed = re.fullmatch(r"\.[A-Za-z0-9]{1,8}", suffix) and not key.endswith(suffix)
    return f"inline; filename*=UTF-8''{quote(f'{item}-{key}', safe='')}{suffix if is_needed else ''}"


@dataclass(frozen=True)
class Shelf:
    """The folders of the store, as nginx knows them.

    Attributes:
        roots: in the order of the settings.
    """

    roots: Sequence[Path]

    def address(self, path: str) -> str:
        """Where nginx finds a file, given by its real path.

        Raises:
            HrefRefusedError: it lies in none of the folders.
        """
        for number, root in enumerate(self.roots):
            real = f"{os.path.realpath(root)}/"
            if path.startswith(real):
                return f"/_store/{number}/{quote(os.fsencode(path.removeprefix(real)))}"
        raise HrefRefusedError
