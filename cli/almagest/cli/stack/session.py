"""Whose settings a command works with, and as whom."""

from __future__ import annotations

import contextlib
import os

from almagest.cli.stack import privileges, state
from almagest.core.configuration import Configuration
from almagest.core.settings import Settings


def of_stack() -> Settings | None:
    """The settings of the stack here, as its user; None where there never was one."""
    settings = state.adopt()
    if not state.folder(settings).exists():
        return None
    privileges.step_down(settings)
    return state.effective()


def attach(configuration: Configuration | None = None) -> Settings:
    """The settings for a command that works on the catalogue, whether or not the stack runs.

    What this shell and the configuration files say counts; what they say nothing about is as the stack here was
    started, if there is one. Root becomes the stack's user, lest files be made that the services cannot read.

    Args:
        configuration: what to go by, where the command has flags of its own for it.
    """
    settings = state.adopt(configuration)
    if not state.folder(settings).exists():
        return settings
    privileges.step_down(settings)
    return _completed(settings)


def look(configuration: Configuration | None = None) -> Settings:
    """The same for a command that only asks, as anybody."""
    settings = state.adopt(configuration)
    with contextlib.suppress(PermissionError):  # it is another user's: what it was started with is not ours to know
        return _completed(settings)
    return settings


def _completed(settings: Settings) -> Settings:
    remembered = state.recall(settings).get("settings", {})
    return state.load({name: value for name, value in remembered.items() if name not in os.environ})
