"""What is refused before a CQL2 text filter is parsed.

For every further parenthesis that does not fit, the parser takes twice as long. Where they are thousands, its stack
overflows and takes the process along.
"""

from __future__ import annotations

import re

from almagest.core.errors import BadRequestError

_MAX_LENGTH = 32_768
_MAX_DEPTH = 10
_QUOTED = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"")


def check_text(expression: str) -> None:
    """Refuses a filter that would cost more to read than to run.

    Raises:
        BadRequestError: it is too long, or its parentheses nest too deep or do not match.
    """
    if len(expression) > _MAX_LENGTH:
        raise BadRequestError(f"filter: at most {_MAX_LENGTH} characters; send a longer one as CQL2 JSON.")
    depth = deepest = 0
    for character in _QUOTED.sub("", expression):
        depth += (character == "(") - (character == ")")
        deepest = max(deepest, depth)
        if depth < 0:
            break
    if depth != 0:
        raise BadRequestError("filter: the parentheses do not match.")
    if deepest > _MAX_DEPTH:
        raise BadRequestError(f"filter: parentheses nest at most {_MAX_DEPTH} deep; send a deeper one as CQL2 JSON.")
