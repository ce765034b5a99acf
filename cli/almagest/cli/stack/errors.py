"""What can go wrong with the stack itself, as opposed to its settings."""

from __future__ import annotations

from almagest.core.errors import AlmagestError


class StackError(AlmagestError):
    """The stack does not run."""

    slug = "stack"
