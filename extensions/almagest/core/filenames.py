"""Names that people give to files: what every system that they come from and go to can live with."""

from __future__ import annotations

import unicodedata

from almagest.core.errors import BadRequestError

_MOST_BYTES = 255
#: Separators of paths, here and elsewhere, and what stands for bytes that were no text.
_FORBIDDEN = frozenset("/\\\N{REPLACEMENT CHARACTER}")
#: Control characters, invisible ones (some make a name read backwards), halves of characters, line ends.
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def file_name(given: str) -> str:
    """A name as it is kept: in Unicode's composed form (NFC), so that what looks the same is the same.

    Raises:
        BadRequestError: it is none.
    """
    if (length := len(given.encode("utf-8", "replace"))) > 4 * _MOST_BYTES:  # normalizing takes the square of it
        raise BadRequestError(f"The name of a file has {_MOST_BYTES} bytes of UTF-8 at most; this one has {length}.")
    name = unicodedata.normalize("NFC", given)
    if not name or name in {".", ".."} or name != name.strip():
        raise BadRequestError("The name of a file is neither empty nor `.` nor `..`, and has no space at its ends.")
    for sign in name:
        if sign in _FORBIDDEN or unicodedata.category(sign) in _INVISIBLE:
            raise BadRequestError(f"The name of a file cannot hold {sign!a}: no separators and nothing invisible.")
    if (length := len(name.encode())) > _MOST_BYTES:
        raise BadRequestError(f"The name of a file has {_MOST_BYTES} bytes of UTF-8 at most; this one has {length}.")
    return name
