"""The configuration file that ``almagest init`` writes: every setting with its default, its meaning, and its variable.

A line ``# like this`` explains; a line ``#like: this`` is a setting, which counts once its ``#`` is gone.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from almagest.core.configuration import EOMATCH_SECTIONS, FINDER_KEYS
from almagest.core.settings import SECTIONS, variable

_HEAD = """\
Configuration of Almagest. A line like `#port: 8080` is a setting with its default: take the `#` away to change it.

What a file says counts less than a variable of the environment (in brackets here), and that less than a flag.
Commands read ~/.config/almagest/config.yaml, and over it the file that --config or ALMAGEST_CONFIG names.
`almagest settings` shows what counts, and where it comes from."""

_EOMATCH = """\
What follows are the sections and keys of eomatch, which may stand here as they stand in its own configuration."""

#: Sections of eomatch: what they are for, and keys with examples and meanings.
_SECTIONS: dict[str, tuple[str, tuple[tuple[str, object, str], ...]]] = {
    "matchup_catalogue": (
        "A catalogue of matchups on disk.",
        (
            ("path", None, "Its folder; `almagest ingest` reads it where no other source is named."),
            ("id", "matchup-catalogue", "Its id."),
            ("description", "Matchup catalogue", "Its description."),
        ),
    ),
    "ingest": (
        "The database that `almagest ingest` writes to, where it is not the one of section `database`.",
        (
            ("db_host", None, "Host, or the folder of its socket."),
            ("db_port", None, "Port."),
            ("db_name", None, "Database."),
            ("db_user", None, "Role to write as; without one: almagest_writer, whose password is among the secrets."),
            ("db_password", None, "Its password. The variable PGPASSWORD is a better place."),
        ),
    ),
    "query": (
        "What `almagest query` asks, where section `client` names no API.",
        (("api_url", None, "STAC API, like https://host/api."),),
    ),
    "read": (
        "How products are read for comparison: for all collections, and for some of them by id.",
        (
            (
                "defaults",
                {
                    "vars_sel": {"meas": [], "aux": []},
                    "read_params": {"use_chunks": False, "metadata_level": True, "save_extracted": False},
                    "processors": {},
                },
                "For all: variables (`meas`, `aux`), parameters of the reader, processors.",
            ),
            ("collections", {}, "By collection; what stands here counts more."),
            ("crop_to_shared_valid_extent", True, "Cut all products to where each of them has values."),
        ),
    ),
    "preview": (
        "How products are read for thumbnails, in the same words.",
        (("read", {"defaults": {"vars_sel": {"meas": "rgb", "aux": []}}, "collections": {}}, "As section `read`."),),
    ),
}

_FINDER: tuple[tuple[str, object, str], ...] = (
    ("platforms", "Sentinel-2A, Landsat-9", "Platforms, in the order of their collections."),
    ("collections", "S2_MSI_L1C, LANDSAT_C2L1", "Collections to find matchups between."),
    ("start_time", "2023-01-01 00:00:00", "Begin of the search (UTC)."),
    ("end_time", "2023-12-31 23:59:59", "End of the search (UTC)."),
    ("min_lat", None, "Southern bound [degrees]; so the other three."),
    ("max_lat", None, ""),
    ("min_lon", None, ""),
    ("max_lon", None, ""),
    ("time_diff_threshold", 1800, "Longest time between the two [s]."),
    ("space_diff_threshold", 100.0, "Longest distance between the two tracks [km]."),
    ("exclude_night_events", False, "Leave out what happens at night."),
    ("exclude_antimeridian_events", False, "Leave out what lies across 180 degrees."),
    ("has_land_ocean_mask", False, "Only over the ocean."),
    ("check_before", False, "Look before the first overpass, too."),
    ("check_after", False, "Look after the last overpass, too."),
    ("propagation_sampling_interval", 30, "Step of orbit propagation [s]."),
    ("interpolation_sampling_interval", 1, "Step around a crossing [s]."),
    ("orbitx_netcdf_path", None, "File of crossings that are computed already."),
    ("orbitx_netcdf_files", {}, "Such files, by pair of platforms."),
    ("custom_satellites", None, "Definitions of further satellites."),
    ("dump_orbit", False, "Keep the orbits that were computed."),
)


def render(values: Mapping[str, Any] | None = None) -> str:
    """The file. What ``values`` says is set in it, all else stands there as a comment.

    Args:
        values: sections and keys, as a configuration file holds them.
    """
    values = values or {}
    lines = [*_comment(_HEAD), ""]
    for name, group in SECTIONS.items():
        said = dict(values.get(name) or {})
        lines += [*_comment(group.__doc__ or ""), f"{name}:"]
        for key, info in group.model_fields.items():
            meaning = f"{info.description} ({variable(group, key)})"
            lines += _setting(key, info.default, meaning, said, "  ")
        lines += [*_given(said, "  "), ""]  # eomatch's, in a section of the same name
    lines += [*_comment(_EOMATCH), ""]
    for name in EOMATCH_SECTIONS:
        purpose, keys = _SECTIONS[name]
        said = dict(values.get(name) or {})
        lines += [*_comment(purpose), f"{name}:"]
        for key, example, meaning in keys:
            lines += _setting(key, example, meaning, said, "  ")
        lines += [*_given(said, "  "), ""]
    lines += _comment("What eomatch's finder looks for.")
    said = {key: value for key, value in values.items() if key in FINDER_KEYS}
    for key, example, meaning in _FINDER:
        lines += _setting(key, example, meaning, said, "")
    return "\n".join([*lines, *_given(said, "")]) + "\n"


def _setting(key: str, default: object, meaning: str, said: dict[str, Any], indent: str) -> Iterator[str]:
    """A setting and what it means; what is said of it is taken out of ``said``."""
    yield from _comment(meaning, indent)
    if key in said:
        yield from _given({key: said.pop(key)}, indent)
    else:
        yield f"{indent}#{key}:{_flow(default)}"


def _given(values: Mapping[str, Any], indent: str) -> Iterator[str]:
    import yaml

    if values:
        text = yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True, width=1000)
        yield from textwrap.indent(text.rstrip("\n"), indent).splitlines()


def _flow(value: object) -> str:
    """A value on one line. JSON is YAML, and leaves no doubt what is text."""
    if isinstance(value, Path):
        value = str(value)
    return "" if value is None else f" {json.dumps(value, ensure_ascii=False)}"


def _comment(text: str, indent: str = "") -> Iterator[str]:
    for paragraph in text.strip().splitlines():
        for line in textwrap.wrap(paragraph, 116 - len(indent)) or [""]:
            yield f"{indent}# {line}".rstrip()
