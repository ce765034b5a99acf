"""Reading a YAML file that people write, so that each of their mistakes is one sentence."""

from __future__ import annotations

from collections.abc import Container
from pathlib import Path
from typing import Any

from almagest.core.errors import ConfigurationError


def read_mapping(path: Path, once: Container[str] = ()) -> dict[str, Any]:
    """The mapping that a file holds; an empty file is an empty one.

    Args:
        path: the file.
        once: keys of the top under which nothing may stand twice, nor they themselves: YAML silently takes the last.

    Raises:
        ConfigurationError: it cannot be read, is not YAML, or no mapping; names the file and the line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path} is not text in UTF-8.") from None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.") from None
    document = _parsed(path, text, once)
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ConfigurationError(f"{path} holds no sections: write `section:`, and below it `name: value`.")
    return document


def _parsed(path: Path, text: str, once: Container[str]) -> Any:
    import yaml

    try:
        document = yaml.safe_load(text)
        _refuse_twice(path, yaml.compose(text, Loader=yaml.SafeLoader), once)
        for event in yaml.parse(text, yaml.SafeLoader):
            # A few lines of them can mean gigabytes, or a mapping that holds itself.
            if isinstance(event, yaml.AliasEvent):
                where = f"{path}, line {event.start_mark.line + 1}" if event.start_mark else path
                raise ConfigurationError(f"{where}: an alias stands here: write out what it means.")
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}, line {mark.line + 1}" if mark else str(path)
        problem = error.problem or error.context
        # After `name:` a tab is only found out where the next word is looked for.
        if "'\\t'" in str(problem):
            raise ConfigurationError(f"{where}: a tab stands here; YAML is indented by spaces.") from None
        raise ConfigurationError(f"{where}: this is not YAML: {problem}.") from None
    except (yaml.YAMLError, ValueError) as error:  # characters and dates that there cannot be
        raise ConfigurationError(f"{path} is not YAML: {str(error).splitlines()[0]}.") from None
    except RecursionError:
        raise ConfigurationError(f"{path} is nested too deeply.") from None
    return document


def _refuse_twice(path: Path, top: Any, once: Container[str]) -> None:
    """Raises where a key stands twice."""
    for key, below in _unique(path, top, once):
        if key in once:
            for _ in _unique(path, below, None, f"{key}."):
                pass


def _unique(path: Path, node: Any, once: Container[str] | None, prefix: str = "") -> list[tuple[str, Any]]:
    import yaml

    if not isinstance(node, yaml.MappingNode):
        return []
    seen: set[str] = set()
    for key, _ in node.value:
        name = str(key.value)
        if name in seen and (once is None or name in once):
            line = key.start_mark.line + 1
            raise ConfigurationError(f"{path}, line {line}: {prefix}{name} stands here for the second time.")
        seen.add(name)
    return [(str(key.value), below) for key, below in node.value]
