"""Settings in layers: defaults < the user's own file < ``--config`` < environment < flags.

A file has a section for each group of :mod:`almagest.core.settings`, and the sections that eomatch reads: these are
kept as they are, for the commands that use them, and merged as eomatch merges them.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from almagest.core import yamlfiles
from almagest.core.errors import ConfigurationError
from almagest.core.settings import SECTIONS, Client, Settings, explain, is_set

#: Sections of eomatch 0.2.
EOMATCH_SECTIONS = ("matchup_catalogue", "ingest", "query", "read", "preview")

#: What eomatch's finder, and the downloader below it, look for at the top of the file.
FINDER_KEYS = frozenset(
    {
        "platforms",
        "collections",
        "start_time",
        "end_time",
        "min_lat",
        "max_lat",
        "min_lon",
        "max_lon",
        "exclude_antimeridian_events",
        "exclude_night_events",
        "orbitx_netcdf_files",
        "orbitx_netcdf_path",
        "propagation_sampling_interval",
        "interpolation_sampling_interval",
        "space_diff_threshold",
        "time_diff_threshold",
        "check_before",
        "check_after",
        "has_land_ocean_mask",
        "custom_satellites",
        "dump_orbit",
        "provider_by_collection",
        "fs",
        "eodag",
        "earthaccess",
        "RadCalNet",
        "hypernets",
        "max_retries",
        "max_retrys",
        "retry_wait",
        "delete_usgs_tmp_file",
        "update_collections_list",
    }
)

# The downloader has a section of the same name as one of ours.
_SHARED = {"api": {"preferred_api", "preferred_provider", "eodag_logging_level", "fetch_collection_update"}}

DEFAULT = "default"
ENVIRONMENT = "environment"
FLAGS = "flags"


def user_file() -> Path:
    """Where the user's own configuration stands, if there is one."""
    folder = os.environ.get("XDG_CONFIG_HOME", "")
    # By the XDG specification a relative path counts as none.
    return (Path(folder) if folder.startswith("/") else _expanded("~/.config")) / "almagest" / "config.yaml"


@dataclass(frozen=True)
class _Layer:
    name: str
    values: Mapping[str, Any]

    def find(self, name: str) -> Any:
        """The value of ``section.key`` (or of a key at the top), None where nothing is said."""
        value: Any = self.values
        for part in name.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        return value


@dataclass(frozen=True)
class Configuration:
    """All that files, environment and flags say together. Made by :meth:`load`."""

    files: tuple[_Layer, ...]
    above: tuple[_Layer, ...]

    @classmethod
    def load(cls, config: Path | None = None, overrides: Mapping[str, Any] | None = None) -> Configuration:
        """Read the user's own file, then ``config`` (or the file that ``ALMAGEST_CONFIG`` names).

        Args:
            config: what ``--config`` names.
            overrides: what flags say, by names like ``database.port``; None means that nothing was said.

        Raises:
            ConfigurationError: a file, or a value wherever it stands, cannot be used; names the place.
        """
        named = str(config or "") or os.environ.get("ALMAGEST_CONFIG")
        # What cannot be reached is not there: a service may run without a home of its own.
        paths = [path for path in [user_file()] if _is_there(path)]
        if named:
            paths.append(_expanded(named))
        return cls(tuple(_Layer(str(path), read(path)) for path in paths), ()).over(overrides or {})

    def over(self, overrides: Mapping[str, Any], source: str = FLAGS) -> Configuration:
        """The same, with more over it; names and None as :meth:`load` takes them."""
        said: dict[str, Any] = {}
        for name, value in overrides.items():
            if value is not None:
                section, _, key = name.partition(".")
                said.setdefault(section, {})[key] = value
        changed = Configuration(self.files, (*self.above, _Layer(source, said)))
        for section in SECTIONS:  # whatever cannot be used is said at once
            changed._group(section)
        return changed

    def settings(self) -> Settings:
        """The settings that all layers together mean."""
        return Settings(**{section: self._group(section) for section in SECTIONS if section != "client"})

    @property
    def client(self) -> Client:
        """How commands reach a catalogue that runs elsewhere."""
        group = self._group("client")
        assert isinstance(group, Client)
        return group

    @property
    def finder(self) -> Mapping[str, Any]:
        """What stands at the top of the file for eomatch's finder."""
        return {name: value for name, value in self._kept().items() if name in FINDER_KEYS}

    def section(self, name: str) -> Mapping[str, Any]:
        """One section: of ours with every value, of eomatch's with what the files say."""
        kept = self._kept().get(name) or {}
        return {**kept, **self._group(name).model_dump()} if name in SECTIONS else dict(kept)

    def where(self, name: str) -> str:
        """Where a value like ``site.port`` is from: ``default``, the path of a file, ``environment`` or ``flags``."""
        for layer in reversed(self.above):
            if layer.find(name) is not None:
                return layer.name
        section, _, key = name.partition(".")
        ours = section in SECTIONS and key in SECTIONS[section].model_fields
        if ours and is_set(SECTIONS[section], key):
            return ENVIRONMENT
        for layer in reversed(self.files):
            value = layer.find(name)
            if value is not None and not (ours and _says_nothing(section, key, value)):
                return layer.name
        return DEFAULT

    def rank(self, name: str) -> int:
        """How high the layer is that a value comes from; 0 for a default."""
        return [DEFAULT, *(layer.name for layer in self.files), ENVIRONMENT, FLAGS].index(self.where(name))

    def given(self) -> Iterator[str]:
        """Names of all settings of ours that some layer says something about, like ``database.port``."""
        for section, group in SECTIONS.items():
            yield from (name for key in group.model_fields if self.where(name := f"{section}.{key}") != DEFAULT)

    def _group(self, section: str) -> Any:
        group = SECTIONS[section]
        values: dict[str, Any] = {}
        places: dict[str, str] = {}
        for layer in (*self.files, *self.above):
            for key, value in (layer.values.get(section) or {}).items():
                if key not in group.model_fields or _says_nothing(section, key, value):
                    continue
                if layer in self.above or not is_set(group, key):
                    values[key] = _usable(layer, section, key, value)
                    places[key] = f"{layer.name}: {section}.{key}"
        try:
            return group(**values)
        except ValidationError as error:
            raise ConfigurationError(explain(error, places)) from None

    def _kept(self) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        for layer in self.files:
            merged = _merged(merged, _foreign(layer.values))
        return merged


def _expanded(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:  # a user without a home
        return Path(text)


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False


def read(path: Path) -> dict[str, Any]:
    """What one file says, section by section.

    Raises:
        ConfigurationError: it cannot be read, or holds what there is not; names the file and the key.
    """
    values = yamlfiles.read_mapping(path, once=SECTIONS)
    for name, below in values.items():
        if name in SECTIONS or name in EOMATCH_SECTIONS:
            if below is not None and not isinstance(below, dict):
                raise ConfigurationError(f"{path}: `{name}` is a section: write `name: value` on the lines below it.")
            if name in SECTIONS:
                _refuse_unknown(path, name, below or {})
        elif name not in FINDER_KEYS:
            raise ConfigurationError(f"{path}: there is no section `{name!s:.100}`.{_advice(name)}")
    return values


def _refuse_unknown(path: Path, section: str, below: Mapping[Any, Any]) -> None:
    for key in below:
        if key not in SECTIONS[section].model_fields and key not in _SHARED.get(section, ()):
            raise ConfigurationError(f"{path}: there is no setting `{section}.{key!s:.100}`.{_advice(key, section)}")


def _advice(name: object, section: str = "") -> str:
    """What somebody probably meant who wrote a name that there is not."""
    homes = [other for other, group in SECTIONS.items() if name in group.model_fields]
    if homes:
        return f" `{name}` stands under `{homes[0]}:`."
    known = [*SECTIONS[section].model_fields] if section else [*SECTIONS, *EOMATCH_SECTIONS, *FINDER_KEYS]
    near = difflib.get_close_matches(str(name), known, 1)
    return f" Do you mean `{section}{'.' if section else ''}{near[0]}`?" if near else " `almagest init` shows all."


def _says_nothing(section: str, key: str, value: object) -> bool:
    """Whether a value is left open. As in the environment, an empty one is none, but for texts that may be empty."""
    return value is None or (value == "" and str not in _types(SECTIONS[section].model_fields[key].annotation))


def _usable(layer: _Layer, section: str, key: str, value: Any) -> Any:
    types = _types(SECTIONS[section].model_fields[key].annotation)
    if isinstance(value, bool) and bool not in types:
        meant = "put it into quotes" if str in types else "it takes no yes or no"
        raise ConfigurationError(f"{layer.name}: {section}.{key}: YAML reads this as {str(value).lower()}: {meant}.")
    # In the environment a shell does this.
    if Path in types and isinstance(value, str) and value.startswith("~"):
        return _expanded(value)
    return value


def _types(annotation: Any) -> set[Any]:
    inner = get_args(annotation)
    return {annotation}.union(*map(_types, inner)) if inner else {annotation}


def _foreign(values: Mapping[str, Any]) -> dict[str, Any]:
    """What is not ours: eomatch's sections, its finder's keys, and what stands in a section of the same name."""
    shared = {
        section: {key: value for key, value in (values.get(section) or {}).items() if key in keys}
        for section, keys in _SHARED.items()
    }
    # A section with nothing below it says nothing; it does not empty the one of a file below.
    others = {
        name: value
        for name, value in values.items()
        if name not in SECTIONS and (value is not None or name not in EOMATCH_SECTIONS)
    }
    return {**others, **shared}


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Sections are merged key by key, all the way down; everything else is replaced, by nothing also."""
    merged = dict(below)
    for key, value in above.items():
        present = merged.get(key)
        both = isinstance(present, Mapping) and isinstance(value, Mapping)
        merged[key] = _merged(present, value) if both else value  # type: ignore[arg-type]
    return merged
