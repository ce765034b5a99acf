"""What has to be on the disk before anybody is told of it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

#: What a full disk answers, or a quota that is used up.
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def flush_folder(folder: Path) -> None:
    """Names that were given or taken in a folder are so after a power cut, too."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
