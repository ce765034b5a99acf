"""Names of files for ids, which may be anything: whatever the file system, and however long."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Any

#: Ids that are file names as they are, and hrefs too: no reader has to decode them.
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+=~@-]{0,149}")
_DEVICES = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.IGNORECASE)
_DATE = re.compile(r"(\d{4})-(\d\d)-(\d\d)")


def file_names(identifier: str) -> Iterator[str]:
    """Names for an id, without a suffix, best first: no name is anybody's but the first, which others may have too."""
    if _PLAIN.fullmatch(identifier) and not identifier.endswith(".") and not _DEVICES.fullmatch(identifier):
        yield identifier
    readable = re.sub(r"[^A-Za-z0-9._-]+", "_", identifier)[:80].strip("._") or "item"
    digest = hashlib.sha256(identifier.encode(errors="surrogatepass")).hexdigest()
    for length in range(12, len(digest) + 1):
        yield f"{readable}-{digest[:length]}"


def day_folder(item: dict[str, Any]) -> str:
    """`2024/3/9`, the day of an item as the layout of eomatch has it."""
    properties = item.get("properties")
    held = properties if isinstance(properties, dict) else {}
    found = _DATE.match(str(held.get("datetime") or held.get("start_datetime") or ""))
    return "/".join(str(int(part)) for part in found.groups()) if found else "undated"
