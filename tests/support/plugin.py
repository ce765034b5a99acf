"""A package of processes, as somebody else's would be installed: found by its entry points."""

from __future__ import annotations

from pathlib import Path

_NAME = "almagest_test_processes"
_PROCESSES = ("EMPTY", "EFFECT", "FAN", "POISON", "HANG", "STUCK", "HUNGRY", "CRASH", "SHARED")


def write(folder: Path) -> Path:
    """Writes the package; the folder belongs into ``PYTHONPATH``."""
    info = folder / f"{_NAME}-1.0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {_NAME}\nVersion: 1.0\n")
    points = "\n".join(f"{name.lower()} = {_NAME}:{name}" for name in _PROCESSES)
    (info / "entry_points.txt").write_text(f"[almagest.processes]\n{points}\n")
    source = Path(__file__).with_name("plugin_processes.py").read_text()
    (folder / f"{_NAME}.py").write_text(source)
    return folder
