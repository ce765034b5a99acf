"""Which band maths is computed. Constants are folded in pure Python under the interpreter's lock: no time limit could
stop ``9**9**9**9``, so it is refused before anybody sees it."""

from __future__ import annotations

import ast

from almagest.core.errors import BadRequestError

_MAX_LENGTH = 1000
_MAX_PARTS = 16
_MAX_NODES = 300
_MAX_EXPONENT = 16
_ALLOWED = (
    ast.Expression, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.Call, ast.Name, ast.Load, ast.Constant,
    ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Mod, ast.Pow, ast.BitAnd, ast.BitOr, ast.BitXor, ast.Invert,
    ast.UAdd, ast.USub, ast.Not, ast.And, ast.Or, ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE,
)  # fmt: skip


def checked(expression: str) -> str:
    """The expression, if it is one that is computed in no more time than its pixels take.

    Raises:
        BadRequestError: it is too long, is not band maths, or raises constants to powers.
    """
    parts = expression.split(";")
    if len(expression) > _MAX_LENGTH or len(parts) > _MAX_PARTS:
        raise BadRequestError(f"expression: at most {_MAX_LENGTH} characters and {_MAX_PARTS} parts.")
    for part in parts:
        try:
            nodes = list(ast.walk(ast.parse(part.strip(), mode="eval")))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise BadRequestError(f"expression: {part[:80]!r} is not band maths such as `(b2-b1)/(b2+b1)`.") from None
        if len(nodes) > _MAX_NODES or not all(isinstance(node, _ALLOWED) for node in nodes):
            raise BadRequestError(f"expression: {part[:80]!r} is more than sums, products, comparisons and functions.")
        if not all(map(_is_harmless, nodes)):
            raise BadRequestError(f"expression: powers are of bands, and to numbers up to {_MAX_EXPONENT}.")
    return expression


def _is_harmless(node: ast.AST) -> bool:
    if isinstance(node, ast.Constant):
        return isinstance(node.value, int | float) and abs(node.value) < 1e30
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
        exponent = node.right
        is_small = isinstance(exponent, ast.Constant) and abs(exponent.value) <= _MAX_EXPONENT  # type: ignore[arg-type]
        return is_small and any(isinstance(part, ast.Name) for part in ast.walk(node.left))
    return not isinstance(node, ast.Call) or isinstance(node.func, ast.Name)
