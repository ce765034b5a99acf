"""Filters that come as text: what is refused before they are parsed, and what they mean.

For every further parenthesis that does not fit, the parser takes twice as long. Where they are thousands, or operators
are that apply to each other, its stack overflows and takes the process along.

The library's own validation is never called: it takes many times as long for every further operator, and `a=a=a=a=a`
keeps it busy until the memory is full. The search core judges what it is given.
"""

from __future__ import annotations

import re
from typing import Any

import cql2
import orjson

from almagest.core.errors import BadRequestError

_MAX_LENGTH = 32_768
_MAX_DEPTH = 10
_MAX_WORDS = 200
_QUOTED = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"")
#: What stands on both sides of one of these is read one after the other, not one within the other.
_SEPARATOR = re.compile(r"\b(?:AND|OR)\b|,", re.IGNORECASE)
_WORD = re.compile(r"\w+|[^\w\s]")


def parse(text: str, language: str) -> dict[str, Any]:
    """A filter as CQL2 JSON.

    Args:
        text: as it stood in an address.
        language: cql2-text or cql2-json.

    Raises:
        BadRequestError: it is no filter, or one that would cost too much to read.
    """
    if language == "cql2-text":
        check_text(text)
    try:
        parsed = cql2.Expr(text).to_json() if language == "cql2-text" else orjson.loads(text)
    except Exception as error:  # cql2's parser knows no narrower one
        lines = str(error).strip().splitlines()
        raise BadRequestError(f"filter: this is not {language}: {lines[-1] if lines else 'unreadable'}") from None
    if not isinstance(parsed, dict) or "op" not in parsed:
        raise BadRequestError(f"filter: this {language} is no condition.")
    return parsed


def check_text(expression: str) -> None:
    """Refuses a filter that would cost more to read than to run.

    Raises:
        BadRequestError: it is too long, has too long a chain of operators, or its parentheses nest too deep or do not
            match.
    """
    if len(expression) > _MAX_LENGTH:
        raise BadRequestError(f"filter: at most {_MAX_LENGTH} characters; send a longer one as CQL2 JSON.")
    bare = _QUOTED.sub("", expression)
    depth = deepest = 0
    for character in bare:
        depth += (character == "(") - (character == ")")
        deepest = max(deepest, depth)
        if depth < 0:
            break
    if depth != 0:
        raise BadRequestError("filter: the parentheses do not match.")
    if deepest > _MAX_DEPTH:
        raise BadRequestError(f"filter: parentheses nest at most {_MAX_DEPTH} deep; send a deeper one as CQL2 JSON.")
    if any(len(_WORD.findall(part)) > _MAX_WORDS for part in _SEPARATOR.split(bare)):
        raise BadRequestError(f"filter: at most {_MAX_WORDS} words and signs in one condition.")
